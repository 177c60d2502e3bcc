//! Which files a static registry reads.

use std::io;
use std::path::{Path, PathBuf};

/// A file larger than this is refused: 32 MiB, some 100,000 instances.
pub(super) const LARGEST: u64 = 32 << 20;

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
