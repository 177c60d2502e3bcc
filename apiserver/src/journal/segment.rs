//! One file of the journal: its name, and what can be read from it.

use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::record::{self, Found};

/// A segment as found on disk.
#[derive(Debug)]
pub(crate) struct Segment {
    /// Version of its first record, from its name.
    pub(crate) first: u64,
    pub(crate) path: PathBuf,
    /// Payloads of all whole records, in order.
    pub(crate) payloads: Vec<Bytes>,
    /// Damaged places that whole records follow.
    pub(crate) holes: Vec<Range<u64>>,
    /// Length without damage at the end.
    pub(crate) whole_length: u64,
    /// Length of the file.
    pub(crate) length: u64,
}

impl Segment {
    /// Bytes at the end that are no whole record.
    pub(crate) fn torn(&self) -> u64 {
        self.length - self.whole_length
    }
}

/// Where a segment with this first version lives.
pub(crate) fn path(directory: &Path, first: u64) -> PathBuf {
    directory.join(format!("journal-{first:020}.log"))
}

/// Reads every segment of a directory, oldest first. A file that merely looks similar is left alone.
pub(crate) fn read_all(directory: &Path) -> io::Result<Vec<Segment>> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(first) = name
            .to_str()
            .and_then(|name| version_in_name(name, "journal-", ".log"))
        else {
            continue;
        };
        segments.push(read(first, entry.path())?);
    }
    segments.sort_by_key(|segment| segment.first);
    Ok(segments)
}

/// The version in a file's name: twenty digits, and far from the end of the counter, where no server ever comes.
pub(crate) fn version_in_name(name: &str, prefix: &str, suffix: &str) -> Option<u64> {
    let digits = name.strip_prefix(prefix)?.strip_suffix(suffix)?;
    let version = digits.parse().ok().filter(|_| digits.len() == 20)?;
    (version < u64::MAX / 2).then_some(version)
}

fn read(first: u64, path: PathBuf) -> io::Result<Segment> {
    let bytes = Bytes::from(fs::read(&path)?);
    let length = bytes.len() as u64;
    let mut segment = Segment {
        first,
        path,
        payloads: Vec::new(),
        holes: Vec::new(),
        whole_length: 0,
        length,
    };
    for (start, found) in record::scan(&bytes, 0) {
        match found {
            Found::Record { payload, end } => {
                segment.payloads.push(bytes.slice_ref(payload));
                segment.whole_length = end as u64;
            }
            Found::Damage { to_the_end: true, .. } => {}
            Found::Damage { end, .. } => segment.holes.push(start as u64..end as u64),
        }
    }
    Ok(segment)
}
