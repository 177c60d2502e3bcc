//! Make before break: what must wait for what within one client (spec/pilot.md §6).
//!
//! Two rules. **Hold**: a route or listener that names a cluster which the client does not have yet waits until the
//! client accepted that cluster and its endpoints. **Defer**: a resource that is gone waits until the client accepted
//! new versions of everything that still names it. A refusal ends a hold, and a hold on something that was sent ends
//! after a while; a hold on something not sent yet cannot end, and need not: it is sent as soon as the client answers.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::kind::{Held, KindState, Need, Wildcard};
use crate::per_type::PerType;
use crate::{Resource, Snapshot, TypeUrl};

/// One stream at one moment.
pub(super) struct View<'a> {
    pub(super) kinds: &'a PerType<KindState>,
    pub(super) snapshot: &'a Snapshot,
    /// When this moment is, on any clock that does not go back.
    pub(super) now: Duration,
    /// When the stream began.
    pub(super) started: Duration,
    /// How long content waits for the acceptance of what was sent.
    pub(super) patience: Duration,
}

/// What is to be done about one name.
#[derive(Debug)]
pub(super) enum Step {
    /// Nothing: the client has what it should have.
    Settled,
    /// Send this.
    Put(Arc<Resource>),
    /// Tell the client that it is gone.
    Take,
    /// Wait for clusters; `since` is set while all of them were sent.
    Hold { since: Option<Duration> },
    /// Keep it until its users are gone; `until` is set if the wait ends by itself.
    Defer { until: Option<Duration> },
}

/// The names of one type that must stay because the client may still use them.
#[derive(Debug, Default)]
pub(super) struct InUse {
    names: HashSet<Arc<str>>,
    /// The client holds users whose content is not known, so any name may be in use.
    unknown: bool,
}

/// How far a client is with a cluster that it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Readiness {
    Ready,
    Sent,
    Unsent,
}

impl View<'_> {
    pub(super) fn state(&self, kind: TypeUrl) -> &KindState {
        &self.kinds[kind]
    }

    /// Decides about one name. `in_use` is what [`View::in_use`] gives for the type.
    pub(super) fn step(&self, kind: TypeUrl, name: &Arc<str>, need: Need, in_use: &InUse) -> Step {
        let state = self.state(kind);
        if !state.wants(name) {
            return Step::Settled;
        }
        match self.snapshot.get(kind, name) {
            Some(wanted) => self.step_towards(kind, name, need, wanted),
            None => self.step_away(kind, name, need, in_use),
        }
    }

    /// The names of a type that what the client holds, and what it may be applying, still refers to although the
    /// snapshot no longer does so in the same place.
    pub(super) fn in_use(&self, kind: TypeUrl) -> InUse {
        let mut in_use = InUse::default();
        for user in users_of(kind) {
            let state = self.state(*user);
            for (name, known) in &state.known {
                match &known.held {
                    Held::Resource(held) if self.is_outdated(held) => {
                        in_use
                            .names
                            .extend(held.references().of_type(kind).iter().cloned());
                    }
                    Held::Declared(version)
                        if self.snapshot.get(*user, name).map(|wanted| wanted.version()) != *version =>
                    {
                        in_use.unknown = true;
                    }
                    Held::Resource(_) | Held::Declared(_) | Held::Nothing => {}
                }
            }
            for sent in state
                .outstanding
                .iter()
                .flat_map(|outstanding| outstanding.resources.values())
            {
                if self.is_outdated(sent) {
                    in_use
                        .names
                        .extend(sent.references().of_type(kind).iter().cloned());
                }
            }
        }
        in_use
    }

    fn step_towards(&self, kind: TypeUrl, name: &Arc<str>, need: Need, wanted: &Arc<Resource>) -> Step {
        let state = self.state(kind);
        let held = state.held(name);
        let version = Some(wanted.version());
        if held.and_then(Held::version) == version && !need.forced {
            return Step::Settled;
        }
        let known = state.known.get(name);
        if known.is_some_and(|known| known.refused == version || known.suspect == version) {
            // A client that asks again gets what it last accepted.
            return match held.and_then(Held::resource).filter(|_| need.forced) {
                Some(resource) => Step::Put(Arc::clone(resource)),
                None => Step::Settled,
            };
        }
        match self.readiness_of_clusters(wanted, held.and_then(Held::resource)) {
            Readiness::Ready => Step::Put(Arc::clone(wanted)),
            Readiness::Unsent => Step::Hold { since: None },
            Readiness::Sent => {
                let since = need.held_since.unwrap_or(self.now);
                if self.now >= since + self.patience {
                    Step::Put(Arc::clone(wanted))
                } else {
                    Step::Hold { since: Some(since) }
                }
            }
        }
    }

    fn step_away(&self, kind: TypeUrl, name: &Arc<str>, need: Need, in_use: &InUse) -> Step {
        let state = self.state(kind);
        let held = state.held(name);
        if let Some(held) = held
            && let Some(step) = self.deferral(kind, name, held, in_use)
        {
            return step;
        }
        if kind == TypeUrl::Endpoint && state.names.contains(name) {
            let empty = Resource::empty_assignment(name);
            let same = held.and_then(Held::version) == Some(empty.version());
            return if same && !need.forced {
                Step::Settled
            } else {
                Step::Put(Arc::new(empty))
            };
        }
        if state.known.contains_key(name) || need.forced {
            Step::Take
        } else {
            Step::Settled
        }
    }

    fn deferral(&self, kind: TypeUrl, name: &str, held: &Held, in_use: &InUse) -> Option<Step> {
        if in_use.names.contains(name) || in_use.unknown {
            return Some(Step::Defer { until: None });
        }
        // After a reconnect the users of a cluster may be told a moment later than the cluster.
        let until = self.started + self.patience;
        // Virtual hosts on demand are rare; a client is not waited for because it does not use them.
        let expected = users_of(kind)
            .iter()
            .filter(|user| **user != TypeUrl::VirtualHost);
        let users_unheard = expected.cloned().any(|user| !self.state(user).subscribed);
        let early = matches!(held, Held::Declared(_)) && users_unheard && self.now < until;
        early.then_some(Step::Defer { until: Some(until) })
    }

    /// Whether the snapshot has something else than this resource in its place.
    fn is_outdated(&self, resource: &Resource) -> bool {
        self.snapshot
            .get(resource.kind(), resource.name())
            .is_none_or(|wanted| wanted.version() != resource.version())
    }

    /// How far the client is with the clusters that `wanted` names and `held` does not.
    fn readiness_of_clusters(&self, wanted: &Resource, held: Option<&Arc<Resource>>) -> Readiness {
        if !matches!(
            wanted.kind(),
            TypeUrl::Listener | TypeUrl::Route | TypeUrl::VirtualHost
        ) {
            return Readiness::Ready;
        }
        let named = wanted.references().of_type(TypeUrl::Cluster).iter();
        let new =
            named.filter(|name| !held.is_some_and(|held| held.references().contains(TypeUrl::Cluster, name)));
        new.map(|name| self.readiness_of_cluster(name))
            .max()
            .unwrap_or(Readiness::Ready)
    }

    fn readiness_of_cluster(&self, name: &str) -> Readiness {
        let clusters = self.state(TypeUrl::Cluster);
        // A client that takes its clusters from elsewhere, or asks for them once it has the route, is not held up.
        let comes_here = clusters.subscribed && clusters.wants(name);
        let Some(wanted) = self.snapshot.get(TypeUrl::Cluster, name).filter(|_| comes_here) else {
            return Readiness::Ready;
        };
        match clusters.held(name).filter(|_| !clusters.is_being_taken(name)) {
            Some(held) => self.readiness_of_endpoints(held.resource().unwrap_or(wanted)),
            None if clusters.is_sent(name) => Readiness::Sent,
            None if clusters
                .known
                .get(name)
                .is_some_and(|known| known.refused == Some(wanted.version())) =>
            {
                Readiness::Ready
            }
            None => Readiness::Unsent,
        }
    }

    fn readiness_of_endpoints(&self, cluster: &Resource) -> Readiness {
        let endpoints = self.state(TypeUrl::Endpoint);
        let answered = |name: &Arc<str>| {
            endpoints
                .known
                .get(name)
                .is_some_and(|known| known.held.is_something() || known.refused.is_some())
        };
        if cluster
            .references()
            .of_type(TypeUrl::Endpoint)
            .iter()
            .all(answered)
        {
            Readiness::Ready
        } else {
            Readiness::Sent
        }
    }
}

/// The types whose resources name resources of this type.
fn users_of(kind: TypeUrl) -> &'static [TypeUrl] {
    match kind {
        TypeUrl::Cluster => &[TypeUrl::Listener, TypeUrl::Route, TypeUrl::VirtualHost],
        TypeUrl::Endpoint => &[TypeUrl::Cluster],
        TypeUrl::Route => &[TypeUrl::Listener],
        TypeUrl::Listener | TypeUrl::VirtualHost | TypeUrl::Secret => &[],
    }
}

/// The type whose resources warm anew when one of this type is sent, so that theirs must be sent again.
pub(super) fn warmed_by(kind: TypeUrl) -> Option<TypeUrl> {
    match kind {
        TypeUrl::Cluster => Some(TypeUrl::Endpoint),
        TypeUrl::Listener => Some(TypeUrl::Route),
        TypeUrl::Endpoint | TypeUrl::Route | TypeUrl::VirtualHost | TypeUrl::Secret => None,
    }
}

impl Wildcard {
    pub(super) fn is_on(self) -> bool {
        self != Wildcard::Off
    }
}
