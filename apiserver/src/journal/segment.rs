//! One file of the journal: its name, and what can be read from it.

use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::record::{self, Found};

/// A segment's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    /// Version of its first record, from its name.
    pub(crate) first: u64,
    pub(crate) path: PathBuf,
}

/// A segment as found on disk.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) file: Named,
    /// Payloads of all whole records, in order.
    pub(crate) payloads: Vec<Bytes>,
    /// Damaged places that whole records follow.
    pub(crate) holes: Vec<Range<u64>>,
    pub(crate) tail: Tail,
    /// Length without the tail.
    pub(crate) whole_length: u64,
    /// Length of the file.
    pub(crate) length: u64,
}

/// What follows the last whole record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    /// Nothing.
    None,
    /// The beginning of a record, see [`record::is_unfinished`].
    Unfinished,
    /// Bytes that may once have been records.
    Damaged,
}

/// Where a segment with this first version lives.
pub(crate) fn path(directory: &Path, first: u64) -> PathBuf {
    directory.join(format!("journal-{first:020}.log"))
}

/// The segments of a directory, oldest first. A file that merely looks similar is left alone.
pub(crate) fn list(directory: &Path) -> io::Result<Vec<Named>> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let version = name
            .to_str()
            .and_then(|name| version_in_name(name, "journal-", ".log"));
        segments.extend(version.map(|first| Named {
            first,
            path: entry.path(),
        }));
    }
    segments.sort_by_key(|segment| segment.first);
    Ok(segments)
}

/// How many of the oldest segments have only records with versions at or below `version`, by the names of those that
/// follow. The last one is always needed.
pub(crate) fn covered(firsts: impl Iterator<Item = u64>, version: u64) -> usize {
    firsts
        .skip(1)
        .take_while(|successor| *successor <= version.saturating_add(1))
        .count()
}

/// The version in a file's name: twenty digits, and far from the end of the counter, where no server ever comes.
pub(crate) fn version_in_name(name: &str, prefix: &str, suffix: &str) -> Option<u64> {
    let digits = name.strip_prefix(prefix)?.strip_suffix(suffix)?;
    let version = digits.parse().ok().filter(|_| digits.len() == 20)?;
    (version < u64::MAX / 2).then_some(version)
}

/// Reads a segment whole.
pub(crate) fn read(file: Named) -> io::Result<Segment> {
    let bytes = Bytes::from(fs::read(&file.path)?);
    let length = bytes.len() as u64;
    let mut segment = Segment {
        file,
        payloads: Vec::new(),
        holes: Vec::new(),
        tail: Tail::None,
        whole_length: 0,
        length,
    };
    for (start, found) in record::scan(&bytes, 0) {
        match found {
            Found::Record { payload, end } => {
                segment.payloads.push(bytes.slice_ref(payload));
                segment.whole_length = end as u64;
            }
            Found::Damage {
                to_the_end: true,
                end,
            } => {
                let unfinished = bytes.get(start..end).is_some_and(record::is_unfinished);
                segment.tail = if unfinished {
                    Tail::Unfinished
                } else {
                    Tail::Damaged
                };
            }
            Found::Damage { end, .. } => segment.holes.push(start as u64..end as u64),
        }
    }
    Ok(segment)
}
