//! How a static registry learns that a file changed, and that whoever writes it is done.
//!
//! Half a file is often a good one with fewer services. So a file that somebody has open for writing is left as it was
//! read last until it is closed, however long the pauses between the writes are.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::inotify::{self, ReadFlags};
use tokio::net::unix::pipe;

/// How often files are looked at when the kernel does not tell of changes.
const LOOK: Duration = Duration::from_secs(1);

/// How often they are looked at although it does: it does not tell of network filesystems or replaced parents.
const SLOW_LOOK: Duration = Duration::from_secs(5);

/// After the first event wait this long for more: editors write in several steps.
const QUIET: Duration = Duration::from_millis(20);

/// A writer that has written nothing for so long, and has not closed the file, is not waited for.
const SILENT: Duration = Duration::from_secs(5);

/// Wakes when something under a path may have changed: at once by inotify, else every second.
#[derive(Debug)]
pub(super) struct Changes {
    /// An inotify descriptor is read as a pipe is, and this is tokio's safe wrapper for one.
    inotify: Option<pipe::Receiver>,
    writers: Writers,
    /// The names that the kernel told of at the last wake; `None` before the first.
    announced: Option<BTreeSet<OsString>>,
    /// When to look again, because a file was not taken as it was.
    again: Option<Duration>,
}

impl Changes {
    /// Watches `path` and, so that a file replaced by renaming is seen, its directory.
    pub(super) fn of(path: &Path) -> Changes {
        let inotify = watch(path)
            .map_err(|error| {
                tracing::warn!(path = %path.display(), %error, "inotify cannot watch this path; it is looked at once a second");
            })
            .ok();
        Changes {
            inotify,
            writers: Writers::default(),
            announced: None,
            again: None,
        }
    }

    /// Waits for the next change. Without inotify, returns after a second whether there was one or not.
    pub(super) async fn next(&mut self) {
        let Some(descriptor) = &self.inotify else {
            return tokio::time::sleep(LOOK).await;
        };
        let most = self.again.take().unwrap_or(SLOW_LOOK);
        match tokio::time::timeout(most, descriptor.readable()).await {
            Ok(Ok(())) | Err(_) => {}
            Ok(Err(_)) => tokio::time::sleep(LOOK).await,
        }
        tokio::time::sleep(QUIET).await;
        self.announced = Some(self.drain(Instant::now()));
    }

    /// True when what was read of `file` a moment ago may be half of what its writer means.
    pub(super) fn is_unfinished(&mut self, file: &Path) -> bool {
        let Some(name) = file.file_name() else {
            return false;
        };
        let now = Instant::now();
        // What a writer did before the file was read is in the queue by now.
        let touched = self.drain(now);
        if !touched.is_empty() {
            self.again = Some(QUIET);
        }
        if touched.contains(name) || self.writers.has(name, now) {
            return true;
        }
        let unannounced = match &self.announced {
            Some(announced) => !announced.contains(name),
            None => self.inotify.is_none(),
        };
        let unfinished = unannounced && modified_lately(file);
        if unfinished && self.again.is_none() {
            self.again = Some(LOOK);
        }
        unfinished
    }

    /// Takes in what the kernel has to tell; the names it tells of.
    fn drain(&mut self, now: Instant) -> BTreeSet<OsString> {
        let mut touched = BTreeSet::new();
        let Some(descriptor) = &self.inotify else {
            return touched;
        };
        let mut buffer = [0_u8; 4096];
        while let Ok(count @ 1..) = descriptor.try_read(&mut buffer) {
            let mut rest = buffer.get(..count).unwrap_or_default();
            while let Some((events, name)) = take_event(&mut rest) {
                self.writers.observe(events, name, now);
                touched.extend(name.map(OsStr::to_owned));
            }
        }
        touched
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

/// The first event of what was read, and the name in it, see inotify(7): watch, events, cookie and length of the name,
/// four bytes each, then the name, filled up with NULs.
fn take_event<'b>(bytes: &mut &'b [u8]) -> Option<(ReadFlags, Option<&'b OsStr>)> {
    let (_watch, rest) = bytes.split_first_chunk::<4>()?;
    let (events, rest) = rest.split_first_chunk()?;
    let (_cookie, rest) = rest.split_first_chunk::<4>()?;
    let (length, rest) = rest.split_first_chunk()?;
    let length = usize::try_from(u32::from_ne_bytes(*length)).ok()?;
    let (name, rest) = rest.split_at_checked(length)?;
    *bytes = rest;
    let name = name
        .split(|byte| *byte == 0)
        .next()
        .filter(|name| !name.is_empty());
    let events = ReadFlags::from_bits_retain(u32::from_ne_bytes(*events));
    Some((events, name.map(OsStr::from_bytes)))
}

/// For changes that the kernel does not tell of, as on network filesystems, behind links, or without inotify.
fn modified_lately(file: &Path) -> bool {
    let modified = std::fs::metadata(file).and_then(|meta| meta.modified());
    modified.is_ok_and(|modified| is_fresh(modified, SystemTime::now()))
}

/// A file that was modified since the last look may go on to change.
fn is_fresh(modified: SystemTime, now: SystemTime) -> bool {
    now.duration_since(modified).is_ok_and(|age| age < LOOK)
}

/// The files that somebody writes, by name, each with the moment of the last write. Pure.
#[derive(Debug, Default)]
struct Writers {
    wrote: BTreeMap<OsString, Instant>,
}

impl Writers {
    fn observe(&mut self, events: ReadFlags, name: Option<&OsStr>, now: Instant) {
        self.wrote
            .retain(|_, wrote| now.saturating_duration_since(*wrote) < SILENT);
        if events.contains(ReadFlags::QUEUE_OVERFLOW) {
            // Who closed what is lost; nobody is waited for that is not heard of again.
            self.wrote.clear();
        }
        let Some(name) = name else { return };
        if events.contains(ReadFlags::MODIFY) {
            self.wrote.insert(name.to_owned(), now);
        } else if !events.contains(ReadFlags::CREATE) {
            // Closed, deleted, moved away, or another file by now.
            self.wrote.remove(name);
        }
    }

    fn has(&self, name: &OsStr, now: Instant) -> bool {
        let wrote = self.wrote.get(name);
        wrote.is_some_and(|wrote| now.saturating_duration_since(*wrote) < SILENT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_unfinished_from_its_first_write_to_its_closing_or_a_long_silence() {
        let (mut writers, start) = (Writers::default(), Instant::now());
        let name = OsStr::new("a.yaml");
        let mut after = |events: ReadFlags, seconds: u64| {
            let now = start + Duration::from_secs(seconds);
            writers.observe(events, Some(name), now);
            (writers.has(name, now), writers.has(name, now + SILENT))
        };

        assert_eq!(after(ReadFlags::CREATE, 0), (false, false));
        assert_eq!(after(ReadFlags::MODIFY, 1), (true, false));
        assert_eq!(after(ReadFlags::MODIFY, 3), (true, false));
        assert_eq!(after(ReadFlags::CLOSE_WRITE, 4), (false, false));
        assert_eq!(after(ReadFlags::MODIFY, 5), (true, false));
        assert_eq!(after(ReadFlags::MOVED_TO, 6), (false, false));
        assert_eq!(after(ReadFlags::MODIFY, 7), (true, false));
        assert_eq!(after(ReadFlags::QUEUE_OVERFLOW, 8), (false, false));
    }

    #[test]
    fn events_are_read_one_by_one_and_half_of_one_is_none() {
        let event = |mask: ReadFlags, name: &[u8]| {
            let length = u32::try_from(name.len()).unwrap();
            let numbers = [1, mask.bits(), 0, length].map(u32::to_ne_bytes);
            [numbers.as_flattened(), name].concat()
        };
        let written = event(ReadFlags::MODIFY, b"a.yaml\0\0");
        let both = [written.clone(), event(ReadFlags::QUEUE_OVERFLOW, b"")].concat();

        let mut rest = both.as_slice();
        let first = take_event(&mut rest);
        assert_eq!(first, Some((ReadFlags::MODIFY, Some(OsStr::new("a.yaml")))));
        assert_eq!(take_event(&mut rest), Some((ReadFlags::QUEUE_OVERFLOW, None)));
        assert_eq!((take_event(&mut rest), rest.len()), (None, 0));
        for end in 0..written.len() {
            assert_eq!(take_event(&mut &written[..end]), None, "{end}");
        }
    }

    #[test]
    fn a_change_that_nobody_told_of_counts_once_it_has_stood_still_for_one_look() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(100);

        assert!(is_fresh(now - LOOK / 2, now));
        assert!(!is_fresh(now - LOOK, now));
        assert!(!is_fresh(now + LOOK, now), "a clock that is ahead stops nothing");
    }
}
