//! Snapshot files: the whole state at one version, so that the journal need not be kept for ever.
//!
//! `snapshot-VERSION.snap` is a row of records (see [`record`]): a head with version and count, one entry per key,
//! and a tail that repeats the count. A file gets its name only after it was flushed, read back and compared. The two newest are
//! kept, and the journal from the older one on, so that one damaged file is never the only copy.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use bytes::{Buf, Bytes};

use crate::journal::record::{self, Found};
use crate::journal::segment::version_in_name;

/// Files kept.
pub(crate) const KEPT: usize = 2;
/// Layout number in the head.
const FORMAT: u8 = 1;

/// A snapshot as read.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// All changes up to this version are in it.
    pub(crate) version: u64,
    pub(crate) path: PathBuf,
    /// Envelope by key: all of them in a whole file, what could be read of a damaged one.
    pub(crate) entries: BTreeMap<String, Bytes>,
    /// What is wrong with the file; `None` when it is whole.
    pub(crate) damage: Option<String>,
}

impl Snapshot {
    /// Remembers the first thing that is wrong.
    fn damaged(&mut self, what: String) {
        self.damage.get_or_insert(what);
    }
}

/// Writes a snapshot, proves it by reading it back, and gives it its name. Removes all but the newest [`KEPT`] and
/// returns the version up to which the journal is not needed any more: that of the oldest one left, or 0 while this is
/// the only one, for then the journal is the second copy.
pub(crate) fn write<'a>(
    directory: &Path,
    version: u64,
    entries: impl ExactSizeIterator<Item = (&'a str, Bytes)>,
) -> io::Result<u64> {
    let draft = directory.join("snapshot.draft");
    let count = entries.len() as u64;
    let mut sum = 0u32;
    let mut file = BufWriter::new(File::create(&draft)?);
    let mut frame = Vec::new();
    let mut put = |payload: &[u8]| {
        frame.clear();
        record::frame(payload, &mut frame);
        sum = crc32c::crc32c_append(sum, &frame);
        file.write_all(&frame)
    };
    put(&[
        b"H".as_slice(),
        &[FORMAT],
        &version.to_be_bytes(),
        &count.to_be_bytes(),
    ]
    .concat())?;
    for (key, envelope) in entries {
        let length = (key.len() as u16).to_be_bytes(); // keys are at most 400 bytes long
        put(&[b"E".as_slice(), &length, key.as_bytes(), &envelope].concat())?;
    }
    put(&[b"T".as_slice(), &count.to_be_bytes()].concat())?;
    file.flush()?;
    file.get_ref().sync_all()?;
    drop(file);
    prove(&draft, sum)?;
    fs::rename(&draft, path(directory, version))?;
    let covered = prune(directory)?;
    File::open(directory)?.sync_all()?;
    Ok(covered)
}

/// Version up to which the journal is not needed, by the snapshots that were read: as [`write`] tells it, of whole ones.
pub(crate) fn covered(snapshots: &[Snapshot]) -> u64 {
    let mut whole = snapshots.iter().filter(|snapshot| snapshot.damage.is_none());
    whole.nth_back(KEPT - 1).map_or(0, |oldest| oldest.version)
}

/// Moves a damaged snapshot out of the way; an older one moved aside is replaced.
pub(crate) fn set_aside(snapshot: &Path) -> io::Result<()> {
    fs::rename(snapshot, snapshot.with_file_name("snapshot.damaged"))
}

fn prove(draft: &Path, sum: u32) -> io::Result<()> {
    if crc32c::crc32c(&fs::read(draft)?) == sum {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "{} reads back differently from what was written",
        draft.display()
    )))
}

fn path(directory: &Path, version: u64) -> PathBuf {
    directory.join(format!("snapshot-{version:020}.snap"))
}

fn files(directory: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let version = name
            .to_str()
            .and_then(|name| version_in_name(name, "snapshot-", ".snap"));
        files.extend(version.map(|version| (version, entry.path())));
    }
    files.sort();
    Ok(files)
}

fn prune(directory: &Path) -> io::Result<u64> {
    let files = files(directory)?;
    let surplus = files.len().saturating_sub(KEPT);
    for (_, path) in files.iter().take(surplus) {
        fs::remove_file(path)?;
    }
    let oldest = files.get(surplus).map_or(0, |(version, _)| *version);
    Ok(if files.len() < KEPT { 0 } else { oldest })
}

/// Reads every snapshot of a directory, oldest first, damaged ones included.
pub(crate) fn read_all(directory: &Path) -> io::Result<Vec<Snapshot>> {
    files(directory)?
        .into_iter()
        .map(|(version, path)| Ok(read(version, Bytes::from(fs::read(&path)?), path)))
        .collect()
}

fn read(version: u64, bytes: Bytes, path: PathBuf) -> Snapshot {
    let mut snapshot = Snapshot {
        version,
        path,
        entries: BTreeMap::new(),
        damage: None,
    };
    let (mut head, mut tail) = (None, None);
    for (at, found) in record::scan(&bytes, 0) {
        let Found::Record { payload, .. } = found else {
            snapshot.damaged(format!("damaged at byte {at}"));
            continue;
        };
        match part(bytes.slice_ref(payload)) {
            Some(Part::Head { version, count }) => head = Some((version, count)),
            Some(Part::Entry { key, envelope }) => drop(snapshot.entries.insert(key, envelope)),
            Some(Part::Tail { count }) => tail = Some(count),
            None => snapshot.damaged(format!("unknown record at byte {at}")),
        }
    }
    let count = snapshot.entries.len() as u64;
    if head != Some((version, count)) || tail != Some(count) {
        snapshot.damaged(format!(
            "incomplete: {count} entries, head {head:?}, tail {tail:?}"
        ));
    }
    snapshot
}

enum Part {
    Head { version: u64, count: u64 },
    Entry { key: String, envelope: Bytes },
    Tail { count: u64 },
}

fn part(mut bytes: Bytes) -> Option<Part> {
    match bytes.try_get_u8().ok()? {
        b'H' if bytes.try_get_u8().ok()? == FORMAT => Some(Part::Head {
            version: bytes.try_get_u64().ok()?,
            count: bytes.try_get_u64().ok()?,
        }),
        b'E' => {
            let length = usize::from(bytes.try_get_u16().ok()?);
            if bytes.len() < length {
                return None;
            }
            let key = String::from_utf8(bytes.split_to(length).to_vec()).ok()?;
            Some(Part::Entry { key, envelope: bytes })
        }
        b'T' => Some(Part::Tail {
            count: bytes.try_get_u64().ok()?,
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries() -> BTreeMap<String, Bytes> {
        (0..20)
            .map(|n| (format!("key{n:02}"), Bytes::from(vec![n; usize::from(n)])))
            .collect()
    }

    fn write_one(directory: &Path, version: u64) -> u64 {
        let entries = entries();
        write(
            directory,
            version,
            entries.iter().map(|(key, value)| (key.as_str(), value.clone())),
        )
        .unwrap()
    }

    #[test]
    fn what_is_written_is_read_again_and_only_the_two_newest_files_are_kept() {
        let directory = tempfile::tempdir().unwrap();

        let oldest = [3, 5, 9].map(|version| write_one(directory.path(), version));

        assert_eq!(oldest, [0, 3, 5]);
        let read = read_all(directory.path()).unwrap();
        assert_eq!(
            read.iter().map(|snapshot| snapshot.version).collect::<Vec<_>>(),
            [5, 9]
        );
        assert!(
            read.iter()
                .all(|snapshot| snapshot.damage.is_none() && snapshot.entries == entries())
        );
    }

    #[test]
    fn a_flipped_bit_or_a_cut_is_noticed_and_the_other_entries_are_still_read() {
        let directory = tempfile::tempdir().unwrap();
        write_one(directory.path(), 3);
        let whole = fs::read(path(directory.path(), 3)).unwrap();

        for position in (0..whole.len() * 8).step_by(7) {
            let mut bytes = whole.clone();
            bytes[position / 8] ^= 1 << (position % 8);
            let snapshot = read(3, bytes.into(), PathBuf::new());
            assert!(
                snapshot.damage.is_some() && snapshot.entries.len() >= 19,
                "bit {position}"
            );
        }
        for length in 0..whole.len() {
            assert!(
                read(3, whole[..length].to_vec().into(), PathBuf::new())
                    .damage
                    .is_some(),
                "length {length}"
            );
        }
    }
}
