//! What a [`View`](super::View) holds: the objects and the history of each kind. Pure.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use outrigger_api::kind::Kind;
use outrigger_api::resource::Key;

use super::Quarantined;
use crate::history::{Event, History, Now};
use crate::object::{Stored, key_of};
use crate::recovery::Past;
use crate::store::envelope::Envelope;

#[derive(Debug)]
pub(super) struct State {
    pub(super) version: u64,
    pub(super) kinds: BTreeMap<Kind, OfKind>,
    pub(super) quarantine: BTreeMap<String, Quarantined>,
}

#[derive(Debug)]
pub(super) struct OfKind {
    /// Keyed by namespace and name.
    pub(super) objects: BTreeMap<(String, String), Arc<Stored>>,
    pub(super) history: History,
}

impl State {
    pub(super) fn get(&self, key: &Key) -> Option<Arc<Stored>> {
        let objects = &self.kinds.get(&key.kind)?.objects;
        objects.get(&(key.namespace.clone(), key.name.clone())).cloned()
    }

    pub(super) fn put(&mut self, stored: Arc<Stored>) {
        if let Some(of_kind) = self.kinds.get_mut(&stored.key.kind) {
            of_kind
                .objects
                .insert((stored.key.namespace.clone(), stored.key.name.clone()), stored);
        }
    }

    pub(super) fn perform(&mut self, event: Arc<Event>, now: Instant) {
        let Some(of_kind) = self.kinds.get_mut(&event.now.object().key.kind) else {
            return;
        };
        let key = &event.now.object().key;
        let place = (key.namespace.clone(), key.name.clone());
        match &event.now {
            Now::Present(object) => drop(of_kind.objects.insert(place, Arc::clone(object))),
            Now::Gone(_) => drop(of_kind.objects.remove(&place)),
        }
        of_kind.history.push(event, now);
    }

    /// Rebuilds one event of the time before the restart, which counts as of `now`: its age is not known. What cannot be read any more ends the history before it.
    pub(super) fn remember(
        &mut self,
        past: Past,
        opened: &mut BTreeMap<(String, u64), Arc<Stored>>,
        now: Instant,
    ) {
        let Some(kind) = key_of(&past.key).map(|key| key.kind) else {
            return;
        };
        let Some(of_kind) = self.kinds.get_mut(&kind) else {
            return;
        };
        let mut open = |envelope: Bytes| -> Option<Arc<Stored>> {
            let version = Envelope::decode(envelope.clone()).ok()?.version;
            let place = (past.key.clone(), version);
            if let Some(known) = opened.get(&place) {
                return Some(Arc::clone(known));
            }
            let stored = Arc::new(Stored::open(&past.key, envelope).ok()?);
            opened.insert(place, Arc::clone(&stored));
            Some(stored)
        };
        let event = match (past.before, past.after) {
            (before, Some(after)) => {
                let before = before.and_then(&mut open);
                open(after).map(|object| Event::new(before, Now::Present(object)))
            }
            (Some(before), None) => open(before).map(|last| {
                let gone = Stored::new(last.resource.as_ref().clone(), past.version);
                Event::new(Some(last), Now::Gone(Arc::new(gone)))
            }),
            (None, None) => return, // a deletion of what was not there: nobody saw anything
        };
        match event {
            Some(event) => of_kind.history.push(Arc::new(event), now),
            None => of_kind.history = History::after_horizon(past.version),
        }
    }
}

impl OfKind {
    pub(super) fn in_namespace(&self, namespace: Option<&str>) -> Vec<Arc<Stored>> {
        let Some(namespace) = namespace else {
            return self.objects.values().cloned().collect();
        };
        let first = Bound::Included((namespace.to_owned(), String::new()));
        let objects = self.objects.range((first, Bound::Unbounded));
        objects
            .take_while(|((here, _), _)| here == namespace)
            .map(|(_, object)| Arc::clone(object))
            .collect()
    }
}
