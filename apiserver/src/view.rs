//! The live state in memory: what every reader and watcher is answered from, so that none ever waits for the disk.
//!
//! One writer publishes whole batches; readers take a short lock, copy handles, and go. A list and its version
//! belong together, and a watch after that version misses nothing.

mod state;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Instant;

use bytes::Bytes;
use outrigger_api::kind::Kind;
use outrigger_api::resource::Key;
use tokio::sync::watch;

use crate::history::{Event, History, Now, TooOld};
use crate::object::{Stored, Unreadable, storage_key};
use crate::recovery::Past;
use state::{OfKind, State};

/// The state, shared by everyone in the process.
#[derive(Debug)]
pub(crate) struct View {
    state: RwLock<State>,
    /// Tells every watcher the version of the latest change of anything: one of another kind tells it that its own
    /// kind is complete up to there.
    wake: watch::Sender<u64>,
}

/// A stored value that cannot be served; it stays until it is written over or deleted.
#[derive(Clone, Debug)]
pub(crate) struct Quarantined {
    pub(crate) envelope: Bytes,
    pub(crate) reason: Unreadable,
}

/// One batch for [`View::publish`].
#[derive(Debug, Default)]
pub(crate) struct Published {
    /// In the order of their versions.
    pub(crate) events: Vec<Arc<Event>>,
    /// Storage keys that were written over or deleted: they leave the quarantine.
    pub(crate) touched: Vec<String>,
    pub(crate) version: u64,
}

impl Published {
    /// One line for each change, the first hop of a rule's way to the proxies. As at every hop `generation` is the
    /// store's counter; the object's own is `object_generation`.
    pub(crate) fn log(&self) {
        for event in &self.events {
            let object = event.now.object();
            let (key, object_generation) = (&object.key, object.resource.meta.generation);
            let generation = event.version;
            match event.now {
                Now::Present(_) => tracing::info!(%key, generation, object_generation, "stored"),
                Now::Gone(_) => tracing::info!(%key, generation, object_generation, "deleted"),
            }
        }
    }
}

impl View {
    /// The state as it was recovered.
    pub(crate) fn new(
        truth: BTreeMap<String, Bytes>,
        version: u64,
        past: impl Iterator<Item = Past>,
        horizon: u64,
    ) -> Self {
        let mut state = State {
            version,
            quarantine: BTreeMap::new(),
            kinds: Kind::ALL
                .map(|kind| {
                    (
                        kind,
                        OfKind {
                            objects: BTreeMap::new(),
                            history: History::after_horizon(horizon),
                        },
                    )
                })
                .into(),
        };
        let mut opened = BTreeMap::new();
        for (key, envelope) in truth {
            match Stored::open(&key, envelope.clone()) {
                Ok(stored) => {
                    let stored = Arc::new(stored);
                    opened.insert((key, stored.version), Arc::clone(&stored));
                    state.put(stored);
                }
                Err(reason) => {
                    tracing::error!(%key, %reason, "stored value quarantined; write or delete the object to clear it");
                    state.quarantine.insert(key, Quarantined { envelope, reason });
                }
            }
        }
        let now = Instant::now();
        for past in past {
            state.remember(past, &mut opened, now);
        }
        View {
            state: RwLock::new(state),
            wake: watch::Sender::new(version),
        }
    }

    /// Version of the latest change of anything.
    pub(crate) fn version(&self) -> u64 {
        self.read().version
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Arc<Stored>> {
        self.read().get(key)
    }

    /// Why a key that exists cannot be served.
    pub(crate) fn quarantined(&self, key: &Key) -> Option<Unreadable> {
        self.read()
            .quarantine
            .get(&storage_key(key))
            .map(|quarantined| quarantined.reason.clone())
    }

    /// All values that cannot be served, by storage key.
    pub(crate) fn quarantine(&self) -> Vec<(String, Quarantined)> {
        self.read()
            .quarantine
            .iter()
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }

    /// The objects of a kind in one namespace or in all, sorted, with the version at which that was true.
    pub(crate) fn list(&self, kind: Kind, namespace: Option<&str>) -> (Vec<Arc<Stored>>, u64) {
        let state = self.read();
        let objects = state
            .kinds
            .get(&kind)
            .map(|of_kind| of_kind.in_namespace(namespace))
            .unwrap_or_default();
        (objects, state.version)
    }

    /// How many objects there are of each kind.
    pub(crate) fn counts(&self) -> Vec<(Kind, usize)> {
        self.read()
            .kinds
            .iter()
            .map(|(kind, of_kind)| (*kind, of_kind.objects.len()))
            .collect()
    }

    /// Every object of every kind, at one version.
    pub(crate) fn everything(&self) -> (Vec<Arc<Stored>>, u64) {
        let state = self.read();
        let objects = state
            .kinds
            .values()
            .flat_map(|of_kind| of_kind.objects.values().cloned())
            .collect();
        (objects, state.version)
    }

    /// Makes a batch visible and wakes the watchers. Only the writer calls this, after the disk has the batch.
    pub(crate) fn publish(&self, batch: Published) {
        let (version, now) = (batch.version, Instant::now());
        {
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            for key in &batch.touched {
                state.quarantine.remove(key);
            }
            for event in batch.events {
                state.perform(event, now);
            }
            state.version = version;
        }
        self.wake.send_replace(version);
    }

    /// Changes of a kind after a version, at most `limit`, and the version up to which they are all.
    pub(crate) fn changes(
        &self,
        kind: Kind,
        after: u64,
        limit: usize,
    ) -> Result<(Vec<Arc<Event>>, u64), TooOld> {
        let state = self.read();
        let Some(of_kind) = state.kinds.get(&kind) else {
            return Ok((Vec::new(), state.version));
        };
        let events = of_kind.history.after(after, limit)?;
        let complete_to = match events.last() {
            Some(last) if events.len() == limit => last.version,
            Some(_) | None => state.version.max(after),
        };
        Ok((events, complete_to))
    }

    /// How many changes of a kind there are after a version.
    pub(crate) fn count_changes(&self, kind: Kind, after: u64) -> usize {
        self.read()
            .kinds
            .get(&kind)
            .map_or(0, |of_kind| of_kind.history.count_after(after))
    }

    /// Wakes whenever the version moves.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.wake.subscribe()
    }

    // A panic while the lock was held cannot leave a half-made batch behind that matters more than going on.
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
}
