//! What happens at every start: the truth is read from snapshot and journal, and the store is made to agree.
//!
//! The journal rules wherever it is whole, because every acknowledged write was flushed to it. Versions are
//! given out without gaps, so a damaged or lost record shows as a missing version; only then is the store asked what it
//! holds for the missing versions. After a loss a new snapshot closes the matter, the history is forgotten, and the counter
//! jumps, so that a version that was lost with the damaged bytes is never given out again.
//!
//! An unfinished record at the end is no loss. Readers, watchers and the store learn of a change only after its record
//! was flushed, so nobody has seen the versions in it, and they may be given out: the tail is cut off and all goes on.

pub(crate) mod merge;
mod report;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::PathBuf;

use bytes::Bytes;

use crate::directory::Directory;
use crate::journal::change::{Change, Effect};
use crate::journal::segment::{self, Segment};
use crate::journal::{Journal, JournalError};
use crate::snapshot;
use crate::store::envelope::Envelope;
use crate::store::memory::Memory;
use crate::store::tree::Tree;
use crate::store::{Batch, Store, StoreError};
use merge::{Base, Replay};

/// How far the counter jumps after damage: more versions than a lost piece of journal can have held.
const JUMP: u64 = 100_000;

/// Which engine keeps the indexed state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Engine {
    /// sled, in the folder `sled` of the data directory.
    #[default]
    Sled,
    /// A map in memory, filled at every start from snapshot and journal.
    Memory,
}

/// The state that a server begins with.
pub(crate) struct Recovered {
    /// Envelope by storage key; a damaged one that nothing could repair is still here, to be reported.
    pub(crate) truth: BTreeMap<String, Bytes>,
    /// Highest version given out.
    pub(crate) version: u64,
    /// The latest changes, oldest first and without a gap up to `version`.
    pub(crate) past: VecDeque<Past>,
    /// Version after which `past` is complete.
    pub(crate) horizon: u64,
    pub(crate) journal: Journal,
    /// `None` when it could not be written: it is behind, and rebuilt with the next snapshot.
    pub(crate) store: Option<Box<dyn Store>>,
    pub(crate) since_snapshot: Since,
}

/// What the journal has beyond the newest snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Since {
    pub(crate) changes: u64,
    /// Bytes of new values.
    pub(crate) bytes: u64,
}

impl Since {
    fn of(changes: &[Change], snapshot: u64) -> Since {
        let newer = changes.iter().filter(|change| change.version > snapshot);
        newer.fold(Since::default(), |since, change| Since {
            changes: since.changes + 1,
            bytes: since.bytes + change.effect.value_length() as u64,
        })
    }
}

/// A change with what was there before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Past {
    pub(crate) version: u64,
    pub(crate) key: String,
    pub(crate) before: Option<Bytes>,
    pub(crate) after: Option<Bytes>,
}

/// The state cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// A file cannot be read or written.
    #[error("cannot read the state in {directory}: {reason}; check the disk and the files' owner")]
    Files {
        /// The data directory.
        directory: String,
        /// What the system says.
        reason: io::Error,
    },
    /// The store's files cannot be replaced by new ones.
    #[error("{0}; the journal is whole: free space, or move the folder `sled` away, and start again")]
    Store(#[from] StoreError),
    /// The journal cannot be continued.
    #[error("{0}")]
    Journal(String),
}

impl From<JournalError> for RecoveryError {
    fn from(error: JournalError) -> Self {
        RecoveryError::Journal(error.to_string())
    }
}

/// Reads, repairs and opens everything in a directory.
pub(crate) fn recover(directory: &Directory, engine: Engine) -> Result<Recovered, RecoveryError> {
    let files = |reason| RecoveryError::Files {
        directory: directory.path().display().to_string(),
        reason,
    };
    let snapshots = snapshot::read_all(directory.path()).map_err(files)?;
    let covered = snapshot::covered(&snapshots);
    let mut unread = segment::list(directory.path()).map_err(files)?;
    let needed = unread.split_off(segment::covered(unread.iter().map(|file| file.first), covered));
    let segments: Vec<Segment> = needed
        .into_iter()
        .map(segment::read)
        .collect::<Result<_, _>>()
        .map_err(files)?;
    let damaged_snapshots = report::snapshots(&snapshots);
    let newest_snapshot = snapshots.iter().rev().find(|snapshot| snapshot.damage.is_none());
    let newest_snapshot = newest_snapshot.map_or(0, |snapshot| snapshot.version);
    let changes = changes_of(&segments);
    // Of a newer program, or worse: its version may be the last one, where no gap would tell.
    let unreadable = segments
        .iter()
        .map(|segment| segment.payloads.len())
        .sum::<usize>()
        > changes.len();
    let mut since_snapshot = Since::of(&changes, newest_snapshot);

    let (mut store, held) = open_store(directory, engine)?;
    let mut replay = Replay::run(Base::choose(snapshots, &changes, held.as_ref()), changes);
    let incomplete =
        replay.is_incomplete() || held.as_ref().is_some_and(|held| held.applied > replay.version);
    let gone = match &held {
        Some(held) if incomplete => replay.adopt(held),
        Some(_) => Vec::new(),
        None => {
            if incomplete {
                tracing::error!(
                    "snapshot or journal is damaged, and there is no store that would have what is missing"
                );
            }
            replay.missing().to_vec()
        }
    };
    if !gone.is_empty() {
        tracing::error!(versions = ?gone, "changes are lost: neither the journal nor the store has them");
    }
    let lost = report::journal(&segments) || unreadable || incomplete;
    let mut journal = Journal::resume(directory.path(), &unread, &segments)?;
    let held = held.unwrap_or_default();
    if lost {
        replay.version = replay.version.max(held.applied) + JUMP;
        replay.forget_the_past();
    }
    if lost || !damaged_snapshots.is_empty() {
        let written = snapshot_of(&replay, directory);
        match written.and_then(|()| set_aside(&damaged_snapshots, replay.version)) {
            Ok(()) => since_snapshot = Since::default(),
            Err(reason) => {
                tracing::error!(%reason, "no snapshot after the repair; the next start repairs again")
            }
        }
    }
    if since_snapshot == Since::default() {
        journal.seal(); // all of it is in a snapshot: what comes goes into a new file, so that this one can be trimmed
    }
    let batch = differences(&replay.truth, held, replay.version);
    if !batch.changes.is_empty() {
        tracing::info!(
            engine = store.engine(),
            values = batch.changes.len(),
            "store brought up to the journal"
        );
    }
    let store = match store.apply(&batch).and_then(|()| store.flush()) {
        Ok(()) => {
            // A server that ended between a snapshot and the trimming after it left more than is needed.
            if let Err(error) = journal.trim(covered) {
                tracing::error!(%error, "journal could not be trimmed");
            }
            Some(store)
        }
        Err(error) => {
            tracing::error!(%error, "store is behind the journal; it is rebuilt with the next snapshot");
            None
        }
    };
    Ok(Recovered {
        truth: replay.truth,
        version: replay.version,
        past: replay.past,
        horizon: replay.horizon,
        journal,
        store,
        since_snapshot,
    })
}

/// What the store held when it was opened.
#[derive(Debug, Default)]
pub(crate) struct Held {
    pub(crate) applied: u64,
    pub(crate) envelopes: BTreeMap<String, Bytes>,
}

/// Opens the engine and reads it. Files that cannot be opened or read are set aside and begun anew, with `None` held.
fn open_store(
    directory: &Directory,
    engine: Engine,
) -> Result<(Box<dyn Store>, Option<Held>), RecoveryError> {
    if engine == Engine::Memory {
        return Ok((Box::new(Memory::default()), None));
    }
    let trouble = match Tree::open(&directory.tree()) {
        Ok(tree) => match read_store(&tree) {
            Ok(held) => return Ok((Box::new(tree), Some(held))),
            Err(error) => error,
        },
        Err(error) => error,
    };
    Ok((renew_store(directory, &trouble)?, None))
}

/// Begins the sled files anew after trouble; the caller fills them.
pub(crate) fn renew_store(directory: &Directory, trouble: &StoreError) -> Result<Box<dyn Store>, StoreError> {
    let aside = directory.set_tree_aside().map_err(|reason| StoreError {
        engine: "sled",
        what: "move its damaged files aside",
        reason: reason.to_string(),
    })?;
    tracing::error!(%trouble, aside = %aside.display(), "store set aside; it is rebuilt from snapshot and journal");
    Ok(Box::new(Tree::open(&directory.tree())?))
}

fn read_store(store: &dyn Store) -> Result<Held, StoreError> {
    let mut held = Held {
        applied: store.applied()?,
        envelopes: BTreeMap::new(),
    };
    store.load(&mut |key, envelope| drop(held.envelopes.insert(key.to_owned(), envelope)))?;
    Ok(held)
}

/// What the store lacks, has wrong, or has too much.
fn differences(truth: &BTreeMap<String, Bytes>, held: Held, applied: u64) -> Batch {
    let mut changes = Vec::new();
    for (key, envelope) in truth {
        if held.envelopes.get(key) != Some(envelope) {
            changes.push((key.clone(), Some(envelope.clone())));
        }
    }
    for (key, envelope) in held.envelopes {
        match (truth.contains_key(&key), Envelope::decode(envelope)) {
            (true, Err(reason)) => tracing::warn!(%key, %reason, "a damaged value of the store was repaired"),
            (true, Ok(_)) => {}
            (false, _) => changes.push((key, None)),
        }
    }
    Batch { applied, changes }
}

fn changes_of(segments: &[Segment]) -> Vec<Change> {
    let mut changes = Vec::new();
    for segment in segments {
        for payload in &segment.payloads {
            match Change::decode(payload.clone()) {
                Ok(change) => changes.push(change),
                Err(reason) => {
                    tracing::error!(path = %segment.file.path.display(), %reason, "unreadable journal record")
                }
            }
        }
    }
    changes
}

/// Writes a snapshot of the state after replaying.
fn snapshot_of(replay: &Replay, directory: &Directory) -> io::Result<()> {
    let entries = replay
        .truth
        .iter()
        .map(|(key, envelope)| (key.as_str(), envelope.clone()));
    snapshot::write(directory.path(), replay.version, entries).map(drop)
}

/// Moves damaged snapshots out of the way, after a new one at `version` was written. One of the same version was
/// written over, and one that was surplus is gone.
fn set_aside(damaged: &[(u64, PathBuf)], version: u64) -> io::Result<()> {
    let left = damaged
        .iter()
        .filter(|(of, path)| *of != version && path.exists());
    for (_, path) in left {
        snapshot::set_aside(path)?;
    }
    Ok(())
}

/// The operation of a journal record on a map of envelopes; gives back what was there before.
fn perform(effect: Effect, truth: &mut BTreeMap<String, Bytes>) -> (String, Option<Bytes>, Option<Bytes>) {
    match effect {
        Effect::Put { key, envelope } => {
            let before = truth.insert(key.clone(), envelope.clone());
            (key, before, Some(envelope))
        }
        Effect::Delete { key } => {
            let before = truth.remove(&key);
            (key, before, None)
        }
    }
}

#[cfg(test)]
mod tests;
