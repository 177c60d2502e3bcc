//! Composing the messages of a stream: for each type in turn, what is to be sent now.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::kind::{Held, KindState, Outstanding};
use super::observer::{Observed, Push};
use super::order::{Step, View, warmed_by};
use super::reply::{Reply, Variant};
use super::stream::{Output, Stream};
use crate::{Resource, Snapshot, TypeUrl, Version};

/// What there is to do for one type.
#[derive(Debug, Default)]
struct Plan {
    puts: BTreeMap<Arc<str>, Arc<Resource>>,
    takes: Vec<Arc<str>>,
    settled: Vec<Arc<str>>,
    held: Vec<(Arc<str>, Option<Duration>)>,
    deferred: Vec<Arc<str>>,
    /// When a wait ends by itself.
    wake: Option<Duration>,
}

impl Stream {
    /// Sends whatever can be sent now, in the order of the types.
    pub(super) fn advance(&mut self, now: Duration, out: &mut Vec<Output>) {
        self.wake = None;
        let Some(snapshot) = self.snapshot.clone() else {
            return;
        };
        for kind in TypeUrl::ALL {
            let state = &self.kinds[kind];
            if state.subscribed && state.outstanding.is_none() {
                self.advance_kind(kind, &snapshot, now, out);
            }
        }
    }

    fn advance_kind(&mut self, kind: TypeUrl, snapshot: &Snapshot, now: Duration, out: &mut Vec<Output>) {
        let mut plan = self.plan(kind, snapshot, now);
        self.wake = earliest(self.wake, plan.wake);
        self.drop_unsayable(kind, &mut plan, out);
        self.note_waits(kind, snapshot, &plan, out);
        let state = &mut self.kinds[kind];
        // A first answer that names everything must not be cut short: to the client it would be everything.
        if kind.is_wholesale() && !state.initialized && !plan.held.is_empty() {
            return;
        }
        if plan.is_silent() && !state.owed {
            plan.puts = state.next_trial(snapshot, kind);
        }
        let due = state.owed && plan.held.is_empty();
        if due || !plan.is_silent() {
            self.send(kind, snapshot, plan, out);
        }
    }

    /// Decides about every name that may need something.
    fn plan(&self, kind: TypeUrl, snapshot: &Snapshot, now: Duration) -> Plan {
        let view = View {
            kinds: &self.kinds,
            snapshot,
            now,
            started: self.started,
            patience: self.patience,
        };
        let state = view.state(kind);
        let going = state.dirty.keys().any(|name| snapshot.get(kind, name).is_none());
        let in_use = if going {
            view.in_use(kind)
        } else {
            Default::default()
        };
        let mut plan = Plan::default();
        for (name, need) in &state.dirty {
            let name = Arc::clone(name);
            match view.step(kind, &name, *need, &in_use) {
                Step::Settled => plan.settled.push(name),
                Step::Put(resource) => {
                    plan.puts.insert(name, resource);
                }
                Step::Take => plan.takes.push(name),
                Step::Hold { since } => {
                    plan.wake = earliest(plan.wake, since.map(|since| since + self.patience));
                    plan.held.push((name, since));
                }
                Step::Defer { until } => {
                    plan.wake = earliest(plan.wake, until);
                    plan.deferred.push(name);
                }
            }
        }
        plan
    }

    /// Drops removals that this variant cannot say, or that are no news to the client: the absence of a route or
    /// assignment deletes nothing in the state-of-the-world variant, and what a client never had need not go.
    fn drop_unsayable(&mut self, kind: TypeUrl, plan: &mut Plan, out: &mut Vec<Output>) {
        if self.variant == Variant::Delta {
            return;
        }
        let state = &mut self.kinds[kind];
        let mut withdrawn = Vec::new();
        plan.takes.retain(|name| {
            let sayable = kind.is_wholesale() && state.held(name).is_some();
            if !sayable {
                state.dirty.remove(name);
                let known = state.known.remove(name);
                if known.is_some_and(|known| known.refused.is_some()) {
                    withdrawn.push(Arc::clone(name));
                }
            }
            sayable
        });
        tell_withdrawn(kind, withdrawn, out);
    }

    /// Writes down what the plan found out about names that nothing is sent for.
    fn note_waits(&mut self, kind: TypeUrl, snapshot: &Snapshot, plan: &Plan, out: &mut Vec<Output>) {
        let state = &mut self.kinds[kind];
        for (name, since) in &plan.held {
            state.dirty.entry(Arc::clone(name)).or_default().held_since = *since;
        }
        let mut withdrawn = Vec::new();
        for name in &plan.settled {
            state.dirty.remove(name);
            let wanted = snapshot.get(kind, name);
            let (Some(known), Some(wanted)) = (state.known.get_mut(name), wanted) else {
                continue;
            };
            if known.held.version() != Some(wanted.version()) {
                continue;
            }
            // What the client told about an earlier stream is what the snapshot has: take over what it names.
            known.held = Held::Resource(Arc::clone(wanted));
            if known.refused.take().is_some() {
                withdrawn.push(Arc::clone(name));
            }
        }
        tell_withdrawn(kind, withdrawn, out);
    }

    fn send(&mut self, kind: TypeUrl, snapshot: &Snapshot, plan: Plan, out: &mut Vec<Output>) {
        let resources = match (self.variant, kind.is_wholesale()) {
            (Variant::Sotw, true) => self.whole_state(kind, snapshot, &plan),
            _ => plan.puts.values().cloned().collect(),
        };
        let removed = if self.variant == Variant::Delta {
            plan.takes.clone()
        } else {
            Vec::new()
        };
        let (nonce, version) = self.next_nonce(snapshot.generation());
        let push = Arc::new(Push {
            kind,
            nonce: nonce.clone(),
            generation: snapshot.generation(),
            version: version.clone(),
            changed: plan.puts.keys().cloned().collect(),
            removed: if kind.is_wholesale() {
                plan.takes.clone()
            } else {
                removed.clone()
            },
        });
        self.rewarm(kind, &plan.puts);

        let state = &mut self.kinds[kind];
        for name in plan.puts.keys().chain(&plan.takes) {
            state.dirty.remove(name);
        }
        for name in plan.puts.keys() {
            if let Some(known) = state.known.get_mut(name) {
                known.suspect = None;
            }
        }
        state.owed = false;
        state.initialized = true;
        state.last_nonce = Some(nonce.clone());
        state.outstanding = Some(Outstanding {
            push: Arc::clone(&push),
            resources: plan.puts,
        });
        let type_url = kind.url().into();
        out.push(Output::Send(Reply {
            variant: self.variant,
            type_url,
            version,
            nonce,
            resources,
            removed,
        }));
        out.push(Output::Told(Observed::Sent(push)));
    }

    /// Everything of a type that this client should have: new content where the plan says so, else what it holds.
    fn whole_state(&self, kind: TypeUrl, snapshot: &Snapshot, plan: &Plan) -> Vec<Arc<Resource>> {
        let state = &self.kinds[kind];
        let mut whole: BTreeMap<Arc<str>, Arc<Resource>> = plan.puts.clone();
        let listed = snapshot
            .resources(kind)
            .into_iter()
            .map(|resource| resource.name());
        for name in listed.chain(&plan.deferred).filter(|name| state.wants(name)) {
            if let Some(held) = state.held(name).and_then(Held::resource) {
                whole.entry(Arc::clone(name)).or_insert_with(|| Arc::clone(held));
            }
        }
        whole.into_values().collect()
    }

    /// A cluster that is sent warms anew and waits for its endpoints, a listener for its routes: those are sent
    /// again, even unchanged.
    fn rewarm(&mut self, kind: TypeUrl, puts: &BTreeMap<Arc<str>, Arc<Resource>>) {
        let Some(warmed) = warmed_by(kind) else { return };
        let state = &mut self.kinds[warmed];
        for name in puts
            .values()
            .flat_map(|resource| resource.references().of_type(warmed))
        {
            if state.wants(name) && (state.known.contains_key(name) || state.is_sent(name)) {
                state.force(Arc::clone(name));
            }
        }
    }

    /// The client refused the outstanding message of a type.
    pub(super) fn refuse(&mut self, kind: TypeUrl, message: String, out: &mut Vec<Output>) {
        let snapshot = self.snapshot.clone();
        let wanted = |name: &str| -> Option<Version> {
            snapshot
                .as_ref()?
                .get(kind, name)
                .map(|resource| resource.version())
        };
        if let Some((push, refused)) = self.kinds[kind].refuse(wanted) {
            out.push(Output::Told(Observed::Nacked {
                push,
                message,
                refused,
            }));
        }
    }
}

impl Plan {
    fn is_silent(&self) -> bool {
        self.puts.is_empty() && self.takes.is_empty()
    }
}

impl KindState {
    /// The next group of suspects that can still be tried, with the content that was refused.
    fn next_trial(&mut self, snapshot: &Snapshot, kind: TypeUrl) -> BTreeMap<Arc<str>, Arc<Resource>> {
        while let Some(group) = self.suspects.pop_front() {
            let mut puts = BTreeMap::new();
            for name in group {
                let wanted = snapshot.get(kind, &name).filter(|_| self.wants(&name));
                let Some(suspect) = self.known.get_mut(&name).and_then(|known| known.suspect.take()) else {
                    continue;
                };
                if let Some(wanted) = wanted.filter(|wanted| wanted.version() == suspect) {
                    puts.insert(name, Arc::clone(wanted));
                }
            }
            if !puts.is_empty() {
                self.trials_left = self.trials_left.saturating_sub(1);
                return puts;
            }
        }
        BTreeMap::new()
    }
}

fn tell_withdrawn(kind: TypeUrl, names: Vec<Arc<str>>, out: &mut Vec<Output>) {
    if !names.is_empty() {
        out.push(Output::Told(Observed::Withdrawn { kind, names }));
    }
}

fn earliest(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
