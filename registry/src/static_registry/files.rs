//! Which files a static registry reads, and how it learns that one changed.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::inotify;
use tokio::net::unix::pipe;

/// A file larger than this is refused: 32 MiB, some 100,000 instances.
pub(super) const LARGEST: u64 = 32 << 20;

/// How often files are looked at when the kernel does not tell of changes.
const LOOK: Duration = Duration::from_secs(1);

/// How often they are looked at although it does: it does not tell of network filesystems or replaced parents.
const SLOW_LOOK: Duration = Duration::from_secs(5);

/// After the first event wait this long for more: editors write in several steps.
const QUIET: Duration = Duration::from_millis(20);

/// The files at `path`, sorted: the file itself, or every `.yaml`, `.yml` and `.json` of a directory.
/// Hidden files are left out; they are what editors leave behind.
pub(super) fn list(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !std::fs::metadata(path)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let file = entry?.path();
        let hidden = file
            .file_name()
            .is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        let known = file
            .extension()
            .is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|known| extension == *known));
        if known && !hidden {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

/// The text of one file.
pub(super) fn text(file: &Path) -> Result<String, String> {
    let size = std::fs::metadata(file).map_err(|error| error.to_string())?.len();
    if size > LARGEST {
        return Err(format!("{size} bytes are too many, expected at most {LARGEST}"));
    }
    let bytes = std::fs::read(file).map_err(|error| error.to_string())?;
    String::from_utf8(bytes)
        .map_err(|error| format!("not UTF-8 text at byte {}", error.utf8_error().valid_up_to()))
}

/// Wakes when something under a path may have changed: at once by inotify, else every second.
#[derive(Debug)]
pub(super) struct Changes {
    /// An inotify descriptor is read as a pipe is, and this is tokio's safe wrapper for one.
    inotify: Option<pipe::Receiver>,
}

impl Changes {
    /// Watches `path` and, so that a file replaced by renaming is seen, its directory.
    pub(super) fn of(path: &Path) -> Changes {
        let inotify = watch(path)
            .map_err(|error| {
                tracing::warn!(path = %path.display(), %error, "inotify cannot watch this path; it is looked at once a second");
            })
            .ok();
        Changes { inotify }
    }

    /// Waits for the next change. Without inotify, returns after a second whether there was one or not.
    pub(super) async fn next(&self) {
        let Some(descriptor) = &self.inotify else {
            tokio::time::sleep(LOOK).await;
            return;
        };
        let event = async {
            match descriptor.readable().await {
                Ok(()) => drain(descriptor),
                Err(_) => tokio::time::sleep(LOOK).await,
            }
        };
        if tokio::time::timeout(SLOW_LOOK, event).await.is_ok() {
            tokio::time::sleep(QUIET).await;
            drain(descriptor);
        }
    }
}

fn watch(path: &Path) -> io::Result<pipe::Receiver> {
    let descriptor = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    let flags = inotify::WatchFlags::CLOSE_WRITE
        | inotify::WatchFlags::CREATE
        | inotify::WatchFlags::DELETE
        | inotify::WatchFlags::MOVED_FROM
        | inotify::WatchFlags::MOVED_TO
        | inotify::WatchFlags::MODIFY;
    let folder = match std::fs::metadata(path) {
        Ok(meta) if meta.is_dir() => path,
        _ => path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
            .unwrap_or(Path::new(".")),
    };
    inotify::add_watch(&descriptor, folder, flags)?;
    pipe::Receiver::from_owned_fd_unchecked(descriptor)
}

/// Reads events away. Which they were does not matter: the files are read again and compared.
fn drain(descriptor: &pipe::Receiver) {
    let mut buffer = [0_u8; 4096];
    while matches!(descriptor.try_read(&mut buffer), Ok(count) if count > 0) {}
}
