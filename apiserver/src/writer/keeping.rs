//! The writer's housekeeping after a batch is acknowledged: the store is brought up, snapshots are written beside
//! the work, and the journal is trimmed once both are on disk.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread::{self, JoinHandle};

use bytes::Bytes;

use super::{Command, Settings};
use crate::directory::Directory;
use crate::journal::Journal;
use crate::object::storage_key;
use crate::recovery::{Engine, Since, renew_store};
use crate::snapshot;
use crate::store::{Batch, Store, StoreError};
use crate::view::View;

pub(super) struct Keeping {
    directory: Directory,
    /// `None` while the store is behind the journal: it failed, and is begun anew with the next snapshot.
    store: Option<Box<dyn Store>>,
    engine: Engine,
    unflushed: bool,
    since_snapshot: Since,
    snapshot_every: u64,
    snapshot_bytes: u64,
    snapshot: Option<JoinHandle<()>>,
    commands: SyncSender<Command>,
    view: Arc<View>,
}

impl Keeping {
    pub(super) fn new(
        directory: Directory,
        store: Option<Box<dyn Store>>,
        since_snapshot: Since,
        commands: SyncSender<Command>,
        view: Arc<View>,
        settings: &Settings,
    ) -> Self {
        Keeping {
            directory,
            store,
            engine: settings.engine,
            unflushed: false,
            since_snapshot,
            snapshot_every: settings.snapshot_every,
            snapshot_bytes: settings.snapshot_bytes,
            snapshot: None,
            commands,
            view,
        }
    }

    /// Applies an acknowledged batch. A store that fails costs nothing but the time to rebuild it.
    pub(super) fn apply(&mut self, batch: &Batch, journal: &mut Journal) {
        if let Some(Err(error)) = self.store.as_mut().map(|store| store.apply(batch)) {
            self.give_up(&error);
        }
        self.unflushed = self.store.is_some();
        let values = batch.changes.iter().flat_map(|(_, value)| value);
        self.since_snapshot.changes += batch.changes.len() as u64;
        self.since_snapshot.bytes += values.map(Bytes::len).sum::<usize>() as u64;
        self.snapshot_when_due(journal);
    }

    /// Begins a snapshot once there is enough that is in none yet. Also called at the start, for the journal may have
    /// grown over the mark by little and little, with restarts between.
    pub(super) fn snapshot_when_due(&mut self, journal: &mut Journal) {
        let Since { changes, bytes } = self.since_snapshot;
        let due = changes >= self.snapshot_every || bytes >= self.snapshot_bytes;
        if due && self.snapshot.is_none() {
            self.begin_snapshot(journal);
        }
    }

    pub(super) fn is_unflushed(&self) -> bool {
        self.unflushed
    }

    /// Brings the store to disk.
    pub(super) fn flush(&mut self) {
        self.unflushed = false;
        if let Some(Err(error)) = self.store.as_mut().map(|store| store.flush()) {
            self.give_up(&error);
        }
    }

    /// Writes a snapshot of the present state in a thread of its own; writes go on meanwhile.
    fn begin_snapshot(&mut self, journal: &mut Journal) {
        self.since_snapshot = Since::default();
        journal.seal();
        let directory = self.directory.path().to_owned();
        let (objects, version) = self.view.everything();
        let quarantine = self.view.quarantine();
        let commands = self.commands.clone();
        let write = move || {
            let damaged = quarantine.into_iter().map(|(key, value)| (key, value.envelope));
            let whole = objects
                .iter()
                .map(|object| (storage_key(&object.key), object.envelope()));
            let entries: Vec<_> = damaged.chain(whole).collect();
            let entries = entries
                .iter()
                .map(|(key, envelope)| (key.as_str(), envelope.clone()));
            let outcome = snapshot::write(&directory, version, entries);
            let _ = commands.try_send(Command::SnapshotDone(outcome)); // there is a place for it, unless all stops
        };
        match thread::Builder::new()
            .name("apiserver-snapshot".into())
            .spawn(write)
        {
            Ok(thread) => self.snapshot = Some(thread),
            Err(error) => tracing::error!(%error, "no thread for a snapshot; the journal is kept"),
        }
    }

    /// Trims the journal up to the oldest snapshot kept, after the store's own flush.
    pub(super) fn snapshot_done(&mut self, outcome: io::Result<u64>, journal: &mut Journal) {
        self.join_snapshot();
        let kept_from = match outcome {
            Ok(version) => version,
            Err(error) => return tracing::error!(%error, "snapshot failed; the journal is kept"),
        };
        if self.store.is_none() {
            self.rebuild();
        }
        self.flush();
        if self.store.is_none() {
            return;
        }
        match journal.trim(kept_from) {
            Ok(segments) => tracing::info!(kept_from, segments, "snapshot written, journal trimmed"),
            Err(error) => tracing::error!(%error, "journal could not be trimmed"),
        }
    }

    /// Fills a new store with the present state. Only the writer changes that state, and this runs in its thread.
    fn rebuild(&mut self) {
        if self.engine == Engine::Memory {
            return;
        }
        let trouble = StoreError {
            engine: "sled",
            what: "go on",
            reason: "it failed before".into(),
        };
        let (objects, version) = self.view.everything();
        let whole = objects
            .iter()
            .map(|object| (storage_key(&object.key), Some(object.envelope())));
        let damaged = self
            .view
            .quarantine()
            .into_iter()
            .map(|(key, value)| (key, Some(value.envelope)));
        let batch = Batch {
            applied: version,
            changes: damaged.chain(whole).collect(),
        };
        let rebuilt =
            renew_store(&self.directory, &trouble).and_then(|mut store| store.apply(&batch).map(|()| store));
        match rebuilt {
            Ok(store) => self.store = Some(store),
            Err(error) => {
                tracing::error!(%error, "store could not be rebuilt; tried again with the next snapshot")
            }
        }
    }

    fn give_up(&mut self, error: &StoreError) {
        tracing::error!(%error, "store is behind the journal; it is rebuilt with the next snapshot");
        self.store = None;
        self.unflushed = false;
    }

    fn join_snapshot(&mut self) {
        if let Some(thread) = self.snapshot.take() {
            let _ = thread.join(); // a panic of the thread was printed by its hook
        }
    }

    /// Leaves everything on disk.
    pub(super) fn close(mut self) {
        self.join_snapshot();
        self.flush();
    }
}
