//! What one client asked for, holds and is being sent of one resource type.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::observer::Push;
use crate::{Resource, Version};

/// The state of one type on one stream.
#[derive(Debug, Default)]
pub(super) struct KindState {
    /// Whether any request of this type came.
    pub(super) subscribed: bool,
    /// Whether everything of the type is wanted.
    pub(super) wildcard: Wildcard,
    /// The names asked for, beside a wildcard.
    pub(super) names: BTreeSet<Arc<str>>,
    /// What the client holds or refused, by name.
    pub(super) known: BTreeMap<Arc<str>, Known>,
    /// The names to look at: what the client should have may differ from what it has.
    pub(super) dirty: BTreeMap<Arc<str>, Need>,
    /// Whether a reply is due even if there is nothing to say in it.
    pub(super) owed: bool,
    /// Whether anything was ever sent.
    pub(super) initialized: bool,
    /// The message that waits for its ACK or NACK. While there is one, no other is sent.
    pub(super) outstanding: Option<Outstanding>,
    /// The nonce of the last message, answered or not.
    pub(super) last_nonce: Option<String>,
    /// Groups of names whose new content was refused together; each group is tried on its own, smaller and smaller,
    /// until what is at fault is found.
    pub(super) suspects: VecDeque<Vec<Arc<str>>>,
    /// How many groups may still be tried before all suspects count as refused.
    pub(super) trials_left: u32,
    /// Removals that were refused by themselves; they are tried again with the next snapshot.
    pub(super) postponed: BTreeSet<Arc<str>>,
}

/// Whether, and by what right, a client gets everything of a type.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Wildcard {
    /// It does not.
    #[default]
    Off,
    /// Its first request named nothing.
    Implied,
    /// It asked for `*`.
    Asked,
}

/// What a client has of one name.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) held: Held,
    /// The version that the client refused. It is not sent again.
    pub(super) refused: Option<Version>,
    /// The version that was refused together with others, and waits for its trial.
    pub(super) suspect: Option<Version>,
}

/// The content that a client accepted.
#[derive(Debug, Default)]
pub(super) enum Held {
    /// None.
    #[default]
    Nothing,
    /// Something from before this stream, by the client's word; the version is `None` if it is not one of ours.
    Declared(Option<Version>),
    /// This one.
    Resource(Arc<Resource>),
}

impl Held {
    pub(super) fn version(&self) -> Option<Version> {
        match self {
            Held::Nothing | Held::Declared(None) => None,
            Held::Declared(version) => *version,
            Held::Resource(resource) => Some(resource.version()),
        }
    }

    pub(super) fn resource(&self) -> Option<&Arc<Resource>> {
        match self {
            Held::Resource(resource) => Some(resource),
            Held::Nothing | Held::Declared(_) => None,
        }
    }

    pub(super) fn is_something(&self) -> bool {
        !matches!(self, Held::Nothing)
    }
}

/// Why a name is looked at.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Need {
    /// The client needs an answer about this name even if it already has the content.
    pub(super) forced: bool,
    /// Since when the content waits for clusters that were sent but not yet accepted.
    pub(super) held_since: Option<Duration>,
}

/// A message that waits for its ACK or NACK.
#[derive(Debug)]
pub(super) struct Outstanding {
    pub(super) push: Arc<Push>,
    /// The resources of `push.changed`, by name.
    pub(super) resources: BTreeMap<Arc<str>, Arc<Resource>>,
}

impl KindState {
    /// Whether the client wants this name.
    pub(super) fn wants(&self, name: &str) -> bool {
        self.wildcard != Wildcard::Off || self.names.contains(name)
    }

    /// Looks at a name again.
    pub(super) fn touch(&mut self, name: Arc<str>) {
        self.dirty.entry(name).or_default();
    }

    /// Looks at a name again, and answers even if nothing has changed.
    pub(super) fn force(&mut self, name: Arc<str>) {
        self.dirty.entry(name).or_default().forced = true;
    }

    /// Drops what is no longer wanted after names or the wildcard were given up.
    pub(super) fn forget_unwanted(&mut self) {
        if self.wildcard == Wildcard::Off {
            let names = &self.names;
            self.known.retain(|name, _| names.contains(name));
            self.dirty.retain(|name, _| names.contains(name));
        }
    }

    /// What the client accepted under this name.
    pub(super) fn held(&self, name: &str) -> Option<&Held> {
        self.known
            .get(name)
            .map(|known| &known.held)
            .filter(|held| held.is_something())
    }

    /// Whether this name travels in the message that waits for its answer.
    pub(super) fn is_sent(&self, name: &str) -> bool {
        self.outstanding
            .as_ref()
            .is_some_and(|outstanding| outstanding.resources.contains_key(name))
    }

    /// Whether this name is taken away by the message that waits for its answer.
    pub(super) fn is_being_taken(&self, name: &str) -> bool {
        let removed = self
            .outstanding
            .iter()
            .flat_map(|outstanding| &outstanding.push.removed);
        removed.into_iter().any(|removed| &**removed == name)
    }

    /// The client accepted the outstanding message.
    pub(super) fn accept(&mut self) -> Option<Arc<Push>> {
        let Outstanding { push, resources } = self.outstanding.take()?;
        for (name, resource) in resources {
            if self.wants(&name) {
                self.known.insert(
                    name,
                    Known {
                        held: Held::Resource(resource),
                        ..Known::default()
                    },
                );
            }
        }
        for name in &push.removed {
            self.known.remove(name);
        }
        Some(push)
    }

    /// The client refused the outstanding message. `wanted` gives the version that a name should have now. Returns
    /// the message and the names whose content is now known to be at fault.
    pub(super) fn refuse(
        &mut self,
        wanted: impl Fn(&str) -> Option<Version>,
    ) -> Option<(Arc<Push>, Vec<Arc<str>>)> {
        let Outstanding { push, resources } = self.outstanding.take()?;
        self.retry_removals(&push, resources.is_empty());
        let changed = resources
            .iter()
            .filter(|(name, resource)| self.lacks(name, resource))
            .count();
        let mut group: Vec<Arc<str>> = Vec::new();
        for (name, resource) in &resources {
            if self.lacks(name, resource) && self.wants(name) {
                let known = self.known.entry(Arc::clone(name)).or_default();
                if wanted(name) == Some(resource.version()) {
                    known.suspect = Some(resource.version());
                    group.push(Arc::clone(name));
                } else if changed == 1 {
                    known.refused = Some(resource.version());
                }
            }
        }
        // What was sent alone is at fault; of several, what has not changed since is tried in halves.
        if changed > 1 && self.trials_left > 0 {
            let second = group.split_off(group.len() / 2);
            self.suspects.push_front(second);
            self.suspects.push_front(group);
            return Some((push, Vec::new()));
        }
        if self.trials_left == 0 {
            group.extend(self.suspects.drain(..).flatten());
        }
        group.retain(|name| self.condemn(name));
        Some((push, group))
    }

    /// What was refused under this name may be sent again.
    pub(super) fn forgive(&mut self, name: &str) {
        if let Some(known) = self.known.get_mut(name) {
            known.refused = None;
            known.suspect = None;
        }
    }

    /// Whether the client holds something else than this under the name.
    fn lacks(&self, name: &str, resource: &Resource) -> bool {
        self.held(name).and_then(Held::version) != Some(resource.version())
    }

    fn retry_removals(&mut self, push: &Push, alone: bool) {
        for name in &push.removed {
            if alone {
                self.postponed.insert(Arc::clone(name));
            } else {
                self.touch(Arc::clone(name));
            }
        }
    }

    fn condemn(&mut self, name: &str) -> bool {
        let Some(known) = self.known.get_mut(name) else {
            return false;
        };
        let Some(version) = known.suspect.take() else {
            return false;
        };
        known.refused = Some(version);
        true
    }
}
