//! The journal against torn tails, flipped bits and full disks.

use super::change::{Change, Effect};
use super::*;

fn framed(version: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    record::frame(
        &Change {
            version,
            effect: Effect::Delete {
                key: format!("k{version}"),
            },
        }
        .encode(),
        &mut bytes,
    );
    bytes
}

fn read_all(directory: &Path) -> Vec<Segment> {
    let files = segment::list(directory).unwrap();
    files
        .into_iter()
        .map(|file| segment::read(file).unwrap())
        .collect()
}

fn open(directory: &Path) -> Journal {
    Journal::resume(directory, &[], &read_all(directory)).unwrap()
}

fn versions(directory: &Path) -> Vec<u64> {
    let segments = read_all(directory);
    let payloads = segments.into_iter().flat_map(|segment| segment.payloads);
    payloads
        .map(|payload| Change::decode(payload).unwrap().version)
        .collect()
}

#[test]
fn what_was_appended_is_read_after_reopening_and_appending_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = open(directory.path());
    journal.append(1, &[framed(1), framed(2)].concat()).unwrap();
    drop(journal);

    open(directory.path()).append(3, &framed(3)).unwrap();

    assert_eq!(versions(directory.path()), [1, 2, 3]);
}

#[test]
fn a_torn_tail_is_cut_and_the_next_record_follows_the_last_whole_one() {
    let directory = tempfile::tempdir().unwrap();
    open(directory.path())
        .append(1, &[framed(1), framed(2)].concat())
        .unwrap();
    let path = segment::path(directory.path(), 1);
    let length = fs::metadata(&path).unwrap().len();
    OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(length - 3)
        .unwrap();

    open(directory.path()).append(2, &framed(2)).unwrap();

    assert_eq!(versions(directory.path()), [1, 2]);
    assert_eq!(fs::metadata(&path).unwrap().len(), length);
}

#[test]
fn segments_are_rotated_and_trimmed_only_when_every_record_is_covered() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = open(directory.path());
    journal.segment_size = 1;
    (1..=5).for_each(|version| journal.append(version, &framed(version)).unwrap());

    let removed = journal.trim(3).unwrap();

    assert_eq!((removed, versions(directory.path())), (3, vec![4, 5]));
    journal.seal();
    journal.append(6, &framed(6)).unwrap();
    assert_eq!(
        (journal.trim(5).unwrap(), versions(directory.path())),
        (2, vec![6])
    );
}

#[test]
fn after_a_failed_write_the_journal_is_cut_back_and_goes_on_in_a_new_file() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = open(directory.path());
    journal.append(1, &framed(1)).unwrap();
    let path = segment::path(directory.path(), 1);
    let whole = fs::metadata(&path).unwrap().len();
    OpenOptions::new()
        .append(true)
        .open(&path)
        .unwrap()
        .write_all(b"half a record")
        .unwrap();
    journal.active.as_mut().unwrap().file = File::open(&path).unwrap(); // not writable: the next write fails

    let error = journal.append(2, &framed(2)).unwrap_err().to_string();
    journal.append(2, &framed(2)).unwrap();

    assert!(
        error.contains("cannot write") && error.contains("free space in"),
        "{error}"
    );
    assert_eq!(fs::metadata(&path).unwrap().len(), whole);
    assert_eq!(versions(directory.path()), [1, 2]);
}

#[test]
fn a_failed_write_into_an_empty_segment_leaves_no_file_behind() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = open(directory.path());
    let mut active = journal.begin(1).unwrap();
    active.file = File::open(&active.path).unwrap();
    journal.active = Some(active);

    assert!(journal.append(1, &framed(1)).is_err());
    journal.append(1, &framed(1)).unwrap();

    assert_eq!(versions(directory.path()), [1]);
}

/// A directory handle that cannot be flushed, as a disk with a fault: the kernel refuses to sync this device.
fn unflushable() -> File {
    File::open("/dev/null").unwrap()
}

#[test]
fn a_directory_that_could_not_be_flushed_once_takes_the_next_write() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = open(directory.path());
    let whole = std::mem::replace(&mut journal.entries, unflushable());

    for attempt in 0..2 {
        let error = journal.append(1, &framed(1)).unwrap_err().to_string();
        assert!(
            error.contains("cannot flush the directory of"),
            "attempt {attempt}: {error}"
        );
    }
    journal.entries = whole;
    journal.append(1, &framed(1)).unwrap();
    journal.append(2, &framed(2)).unwrap();

    assert_eq!(versions(directory.path()), [1, 2]);
}

#[test]
fn a_full_segment_is_followed_by_a_new_one_although_the_directory_could_not_be_flushed_once() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = open(directory.path());
    journal.segment_size = 1;
    journal.append(1, &framed(1)).unwrap();
    let whole = std::mem::replace(&mut journal.entries, unflushable());

    journal.append(2, &framed(2)).unwrap_err();
    journal.entries = whole;
    journal.append(2, &framed(2)).unwrap();

    assert_eq!(versions(directory.path()), [1, 2]);
    assert_eq!(journal.trim(1).unwrap(), 1);
}

#[test]
fn a_repair_that_was_cut_short_after_the_removal_of_a_file_is_taken_up_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = open(directory.path());
    let mut active = journal.begin(1).unwrap();
    fs::remove_file(&active.path).unwrap();
    active.broken = true;
    journal.active = Some(active);

    journal.append(1, &framed(1)).unwrap();

    assert_eq!(versions(directory.path()), [1]);
}
