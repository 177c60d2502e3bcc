//! What is there again after a crash, whatever was damaged.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::journal::record;

fn envelope(version: u64, text: &str) -> Bytes {
    let json = Bytes::copy_from_slice(text.as_bytes());
    Envelope {
        version,
        kind: "things".into(),
        json,
    }
    .encode()
}

fn put(version: u64, key: &str) -> Change {
    Change {
        version,
        effect: Effect::Put {
            key: key.into(),
            envelope: envelope(version, key),
        },
    }
}

fn delete(version: u64, key: &str) -> Change {
    Change {
        version,
        effect: Effect::Delete { key: key.into() },
    }
}

/// a, b and c are put, then a is deleted: b and c are left at version 4.
fn story() -> Vec<Change> {
    vec![put(1, "a"), put(2, "b"), put(3, "c"), delete(4, "a")]
}

/// Runs the story through journal and store, as a server does, and closes everything.
fn written(directory: &Path) {
    let held = Directory::hold(directory).unwrap();
    let mut recovered = recover(&held, Engine::Sled).unwrap();
    let mut store = recovered.store.unwrap();
    for change in story() {
        let mut framed = Vec::new();
        record::frame(&change.encode(), &mut framed);
        recovered.journal.append(change.version, &framed).unwrap();
        let (key, _, after) = perform(change.effect, &mut BTreeMap::new());
        store
            .apply(&Batch {
                applied: change.version,
                changes: vec![(key, after)],
            })
            .unwrap();
    }
    store.flush().unwrap();
}

fn reopened(directory: &Path) -> Recovered {
    recover(&Directory::hold(directory).unwrap(), Engine::Sled).unwrap()
}

fn keys(recovered: &Recovered) -> Vec<&str> {
    recovered.truth.keys().map(String::as_str).collect()
}

fn in_store(recovered: &Recovered) -> BTreeMap<String, Bytes> {
    read_store(recovered.store.as_deref().unwrap()).unwrap().envelopes
}

fn change_store(directory: &Path, applied: u64, changes: Vec<(String, Option<Bytes>)>) {
    let mut tree = Tree::open(&directory.join("sled")).unwrap();
    tree.apply(&Batch { applied, changes }).unwrap();
    tree.flush().unwrap();
}

fn journal_file(directory: &Path) -> PathBuf {
    segment::path(directory, 1)
}

#[test]
fn a_clean_directory_opens_with_everything_and_its_history() {
    let directory = tempfile::tempdir().unwrap();
    written(directory.path());

    let recovered = reopened(directory.path());

    assert_eq!(
        (keys(&recovered), recovered.version, recovered.horizon),
        (vec!["b", "c"], 4, 0)
    );
    assert_eq!(recovered.past.len(), 4);
    assert_eq!(recovered.past[3].before, Some(envelope(1, "a")));
}

#[test]
fn without_its_store_everything_is_rebuilt_from_the_journal() {
    let directory = tempfile::tempdir().unwrap();
    written(directory.path());
    fs::remove_dir_all(directory.path().join("sled")).unwrap();

    let recovered = reopened(directory.path());

    assert_eq!((keys(&recovered), recovered.version), (vec!["b", "c"], 4));
    assert_eq!(in_store(&recovered), recovered.truth);
}

#[test]
fn a_store_that_does_not_open_is_set_aside_and_rebuilt() {
    let directory = tempfile::tempdir().unwrap();
    written(directory.path());
    fs::remove_dir_all(directory.path().join("sled")).unwrap();
    fs::write(directory.path().join("sled"), "no directory").unwrap();

    let recovered = reopened(directory.path());

    assert_eq!((keys(&recovered), recovered.version), (vec!["b", "c"], 4));
    assert_eq!(
        fs::read_to_string(directory.path().join("sled.damaged")).unwrap(),
        "no directory"
    );
}

#[test]
fn garbage_and_flipped_bits_in_the_files_of_the_store_change_nothing() {
    for damage in 0..12 {
        let directory = tempfile::tempdir().unwrap();
        written(directory.path());
        let file = directory
            .path()
            .join(if damage % 3 == 0 { "sled/conf" } else { "sled/db" });
        let mut bytes = fs::read(&file).unwrap();
        let length = bytes.len();
        match damage {
            0 | 1 => bytes.fill(0xA5),
            2 | 3 => bytes.truncate(length / 2),
            _ => bytes[(length * damage / 13).min(length - 1)] ^= 1 << (damage % 8),
        }
        fs::write(&file, bytes).unwrap();

        let recovered = reopened(directory.path());

        assert_eq!(
            (keys(&recovered), recovered.version),
            (vec!["b", "c"], 4),
            "damage {damage}"
        );
        assert_eq!(in_store(&recovered), recovered.truth, "damage {damage}");
    }
}

#[test]
fn a_damaged_value_in_the_store_is_repaired_from_the_journal() {
    let directory = tempfile::tempdir().unwrap();
    written(directory.path());
    let mut bytes = envelope(2, "b").to_vec();
    bytes[20] ^= 4;
    change_store(directory.path(), 4, vec![("b".into(), Some(bytes.into()))]);

    let recovered = reopened(directory.path());

    assert_eq!(recovered.truth.get("b"), Some(&envelope(2, "b")));
    assert_eq!((in_store(&recovered), recovered.version), (recovered.truth, 4));
}

#[test]
fn a_store_that_lags_behind_is_brought_up_and_one_with_too_much_is_cut() {
    let directory = tempfile::tempdir().unwrap();
    written(directory.path());
    change_store(
        directory.path(),
        2,
        vec![("c".into(), None), ("a".into(), Some(envelope(1, "a")))],
    );

    assert_eq!(keys(&reopened(directory.path())), ["b", "c"]);
}

#[test]
fn any_flipped_bit_in_the_journal_loses_nothing_that_the_store_has() {
    let directory = tempfile::tempdir().unwrap();
    written(directory.path());
    let bits = fs::read(journal_file(directory.path())).unwrap().len() * 8;

    for position in (0..bits).step_by(101) {
        let copy = tempfile::tempdir().unwrap();
        written(copy.path());
        let mut bytes = fs::read(journal_file(copy.path())).unwrap();
        bytes[position / 8] ^= 1 << (position % 8);
        fs::write(journal_file(copy.path()), bytes).unwrap();

        let recovered = reopened(copy.path());

        assert_eq!(keys(&recovered), ["b", "c"], "bit {position}");
        assert!(
            recovered.version > 4,
            "a version that was lost with the bytes must not come again"
        );
        drop(recovered);
        assert_eq!(
            keys(&reopened(copy.path())),
            ["b", "c"],
            "bit {position}, opened again"
        );
    }
}

#[test]
fn a_cut_journal_loses_nothing_that_the_store_has() {
    for length in [0, 1, 12, 37, 80, 130] {
        let directory = tempfile::tempdir().unwrap();
        written(directory.path());
        assert!(length < fs::metadata(journal_file(directory.path())).unwrap().len());
        let file = fs::OpenOptions::new()
            .write(true)
            .open(journal_file(directory.path()))
            .unwrap();
        file.set_len(length).unwrap();

        let recovered = reopened(directory.path());

        assert_eq!(keys(&recovered), ["b", "c"], "length {length}");
        assert!(recovered.version > 4, "length {length}");
    }
}

#[test]
fn a_damaged_snapshot_is_replaced_by_the_older_one_and_the_journal() {
    let directory = tempfile::tempdir().unwrap();
    written(directory.path());
    let older = [("a", envelope(1, "a")), ("b", envelope(2, "b"))];
    let newer = [("b", envelope(2, "b")), ("c", envelope(3, "c"))];
    snapshot::write(directory.path(), 2, older.into_iter()).unwrap();
    snapshot::write(directory.path(), 4, newer.clone().into_iter()).unwrap();
    let newest = directory.path().join("snapshot-00000000000000000004.snap");
    let mut bytes = fs::read(&newest).unwrap();
    bytes[60] ^= 1;
    fs::write(&newest, bytes).unwrap();

    let recovered = reopened(directory.path());

    assert_eq!(
        recovered.truth,
        newer.map(|(key, envelope)| (key.to_owned(), envelope)).into()
    );
}

#[test]
fn with_every_snapshot_damaged_and_the_journal_trimmed_the_store_is_believed() {
    let directory = tempfile::tempdir().unwrap();
    written(directory.path());
    let entries = [("b", envelope(2, "b")), ("c", envelope(3, "c"))];
    snapshot::write(directory.path(), 4, entries.into_iter()).unwrap();
    fs::remove_file(journal_file(directory.path())).unwrap();
    let only = directory.path().join("snapshot-00000000000000000004.snap");
    let bytes = fs::read(&only).unwrap();
    fs::write(&only, &bytes[..bytes.len() / 2]).unwrap();

    let recovered = reopened(directory.path());

    assert_eq!(keys(&recovered), ["b", "c"]);
}

#[test]
fn a_value_that_is_damaged_everywhere_is_kept_for_the_report() {
    let directory = tempfile::tempdir().unwrap();
    let damaged = Bytes::from_static(b"\x01 not an envelope at all");
    snapshot::write(
        directory.path(),
        5,
        [("a", damaged.clone()), ("b", envelope(2, "b"))].into_iter(),
    )
    .unwrap();

    let recovered = reopened(directory.path());

    assert_eq!(recovered.truth.get("a"), Some(&damaged));
    assert_eq!(recovered.truth.get("b"), Some(&envelope(2, "b")));
}

/// What a process leaves that was killed while it wrote the record of a change.
fn tear(directory: &Path, change: &Change) {
    let mut framed = Vec::new();
    record::frame(&change.encode(), &mut framed);
    let mut file = fs::OpenOptions::new()
        .append(true)
        .open(journal_file(directory))
        .unwrap();
    io::Write::write_all(&mut file, &framed[..framed.len() - 5]).unwrap();
}

fn append(recovered: &mut Recovered, change: &Change) {
    let mut framed = Vec::new();
    record::frame(&change.encode(), &mut framed);
    recovered.journal.append(change.version, &framed).unwrap();
}

#[test]
fn an_unfinished_record_that_nobody_was_told_of_is_cut_off_and_nothing_else_happens() {
    let directory = tempfile::tempdir().unwrap();
    written(directory.path());
    let whole = fs::metadata(journal_file(directory.path())).unwrap().len();
    tear(directory.path(), &put(5, "never"));

    let mut recovered = reopened(directory.path());

    assert_eq!((keys(&recovered), recovered.version), (vec!["b", "c"], 4));
    assert_eq!(
        (recovered.past.len(), recovered.horizon),
        (4, 0),
        "watchers resume from anywhere"
    );
    assert_eq!(fs::metadata(journal_file(directory.path())).unwrap().len(), whole);
    assert!(snapshot::read_all(directory.path()).unwrap().is_empty());
    append(&mut recovered, &put(5, "d"));
    drop(recovered);
    let again = reopened(directory.path());
    assert_eq!((keys(&again), again.version), (vec!["b", "c", "d"], 5));
}

#[test]
fn an_unfinished_record_that_the_store_knows_of_was_once_whole_so_the_counter_jumps() {
    let directory = tempfile::tempdir().unwrap();
    written(directory.path());
    tear(directory.path(), &put(5, "d"));
    change_store(directory.path(), 5, vec![("d".into(), Some(envelope(5, "d")))]);

    let recovered = reopened(directory.path());

    assert_eq!(keys(&recovered), ["b", "c", "d"]);
    assert_eq!((recovered.version, recovered.horizon), (5 + JUMP, 5 + JUMP));
}

#[test]
fn a_damaged_snapshot_beside_a_whole_journal_is_set_aside_and_no_watcher_notices() {
    let directory = tempfile::tempdir().unwrap();
    written(directory.path());
    snapshot::write(directory.path(), 2, [("b", envelope(2, "b"))].into_iter()).unwrap();
    let file = directory.path().join("snapshot-00000000000000000002.snap");
    fs::write(&file, "garbage").unwrap();

    let recovered = reopened(directory.path());

    assert_eq!((recovered.version, recovered.horizon), (4, 0));
    assert!(!file.exists() && directory.path().join("snapshot.damaged").exists());
    let left = snapshot::read_all(directory.path()).unwrap();
    assert!(matches!(&left[..], [only] if only.version == 4 && only.damage.is_none()));
}

#[test]
fn a_segment_that_the_snapshots_cover_is_removed_unread() {
    let directory = tempfile::tempdir().unwrap();
    written(directory.path());
    let mut recovered = reopened(directory.path());
    recovered.journal.seal();
    append(&mut recovered, &put(5, "d"));
    drop(recovered);
    let older = [("b", envelope(2, "b")), ("c", envelope(3, "c"))];
    let newer = [
        ("b", envelope(2, "b")),
        ("c", envelope(3, "c")),
        ("d", envelope(5, "d")),
    ];
    snapshot::write(directory.path(), 4, older.into_iter()).unwrap();
    snapshot::write(directory.path(), 5, newer.into_iter()).unwrap();
    fs::write(
        journal_file(directory.path()),
        "would be reported as damage if it were read",
    )
    .unwrap();

    let recovered = reopened(directory.path());

    assert_eq!((keys(&recovered), recovered.version), (vec!["b", "c", "d"], 5));
    assert!(!journal_file(directory.path()).exists());
    assert!(segment::path(directory.path(), 5).exists());
}

#[test]
fn what_no_snapshot_has_is_counted_from_the_journal() {
    let directory = tempfile::tempdir().unwrap();
    written(directory.path());
    let each = envelope(1, "a").len() as u64;

    let without = reopened(directory.path()).since_snapshot;
    snapshot::write(directory.path(), 2, [("a", envelope(1, "a"))].into_iter()).unwrap();
    let beyond = reopened(directory.path()).since_snapshot;

    assert_eq!(
        without,
        Since {
            changes: 4,
            bytes: 3 * each
        }
    );
    assert_eq!(
        beyond,
        Since {
            changes: 2,
            bytes: each
        }
    );
}

#[test]
fn versions_that_neither_the_journal_nor_the_store_has_are_named() {
    let lost_after = |applied: u64| {
        let changes = vec![put(1, "a"), put(2, "b"), put(6, "c")];
        let base = Base::choose(Vec::new(), &changes, None);
        let held = Held {
            applied,
            envelopes: BTreeMap::new(),
        };
        Replay::run(base, changes).adopt(&held)
    };

    assert_eq!(lost_after(0), [3..=5]);
    assert_eq!(lost_after(4), [5..=5]);
    assert_eq!(lost_after(6), []);
}
