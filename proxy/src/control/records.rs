//! What was delivered, for people: every resource with its version, and what became of it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use outrigger_xds::TypeUrl;
use outrigger_xds::client::{ConnectionState, Upsert};

/// The resources of the configuration as they were delivered. Written by the control thread, read by the admin server;
/// no request looks here.
#[derive(Debug, Default)]
pub struct Records {
    kinds: Mutex<[Kind; TypeUrl::COUNT]>,
    connection: Mutex<Option<ConnectionState>>,
}

/// The resources of a type.
#[derive(Clone, Debug, Default)]
pub struct Kind {
    /// By name.
    pub records: BTreeMap<String, Record>,
    /// Updates accepted.
    pub accepted: u64,
    /// Updates refused.
    pub refused: u64,
}

/// A resource.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// The last good version, or `None` when there never was one.
    pub good: Option<Delivered>,
    /// The version refused since, and why.
    pub refusal: Option<(Delivered, String)>,
}

/// One version of a resource.
#[derive(Clone, Debug)]
pub struct Delivered {
    /// Pilot's name for it.
    pub version: String,
    /// The encoded message.
    pub value: Bytes,
    /// When it came.
    pub at: SystemTime,
}

impl Delivered {
    fn new(upsert: &Upsert) -> Delivered {
        Delivered {
            version: upsert.version.clone(),
            value: upsert.value.clone(),
            at: SystemTime::now(),
        }
    }
}

impl Records {
    /// A copy of all resources of a type; the encoded messages are shared.
    pub fn kind(&self, kind: TypeUrl) -> Kind {
        self.lock().get(kind.index()).cloned().unwrap_or_default()
    }

    /// Updates of a type accepted and refused so far.
    pub fn counts(&self, kind: TypeUrl) -> (u64, u64) {
        self.lock()
            .get(kind.index())
            .map_or((0, 0), |found| (found.accepted, found.refused))
    }

    /// The state of the connection to the control plane; `None` with a static configuration.
    pub fn connection_state(&self) -> Option<ConnectionState> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn connection(&self, state: ConnectionState) {
        *self.connection.lock().unwrap_or_else(PoisonError::into_inner) = Some(state);
    }

    /// True when exactly this is the last good version already.
    pub(super) fn has(&self, kind: TypeUrl, upsert: &Upsert) -> bool {
        self.edit(kind, |found| {
            found.records.get(&upsert.name).is_some_and(|record| {
                let good = record.good.as_ref();
                record.refusal.is_none()
                    && good.is_some_and(|good| good.version == upsert.version && good.value == upsert.value)
            })
        })
    }

    pub(super) fn accepted(&self, kind: TypeUrl, upsert: &Upsert) {
        let record = Record {
            good: Some(Delivered::new(upsert)),
            refusal: None,
        };
        self.edit(kind, |found| {
            drop(found.records.insert(upsert.name.clone(), record))
        });
    }

    pub(super) fn refused(&self, kind: TypeUrl, upsert: &Upsert, reason: &str) {
        let refusal = Some((Delivered::new(upsert), reason.to_owned()));
        self.edit(kind, |found| {
            found.records.entry(upsert.name.clone()).or_default().refusal = refusal
        });
    }

    /// What was refused has become good without being delivered again.
    pub(super) fn recovered(&self, kind: TypeUrl, name: &str) {
        self.edit(kind, |found| {
            if let Some(record) = found.records.get_mut(name)
                && let Some((delivered, _)) = record.refusal.take()
            {
                record.good = Some(delivered);
            }
        });
    }

    pub(super) fn removed(&self, kind: TypeUrl, name: &str) {
        self.edit(kind, |found| drop(found.records.remove(name)));
    }

    pub(super) fn retain(&self, kind: TypeUrl, needed: impl Fn(&str) -> bool) {
        self.edit(kind, |found| found.records.retain(|name, _| needed(name)));
    }

    pub(super) fn judged(&self, kind: TypeUrl, good: bool) {
        self.edit(kind, |found| {
            if good {
                found.accepted += 1
            } else {
                found.refused += 1
            }
        });
    }

    fn edit<R: Default>(&self, kind: TypeUrl, edit: impl FnOnce(&mut Kind) -> R) -> R {
        self.lock().get_mut(kind.index()).map(edit).unwrap_or_default()
    }

    /// A panic while holding the lock leaves every record whole, so it does not matter.
    fn lock(&self) -> MutexGuard<'_, [Kind; TypeUrl::COUNT]> {
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
