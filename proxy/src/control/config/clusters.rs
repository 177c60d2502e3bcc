//! Clusters: wanted until their endpoints are known, then in force.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use super::kept::Kept;
use super::{PATIENCE, Settled};
use crate::table::from_xds::{AssignmentSpec, ClusterSpec, Discovery, EndpointSpec};
use crate::table::{Cluster, ClusterId, ClusterInfo, Endpoint, EndpointSet, Member};

/// All clusters by slot, and what is known of endpoints.
#[derive(Debug, Default)]
pub(super) struct Clusters {
    entries: BTreeMap<ClusterId, Entry>,
    assignments: HashMap<String, Vec<EndpointSpec>>,
}

#[derive(Debug)]
struct Entry {
    info: Arc<ClusterInfo>,
    panic_threshold: u32,
    discovery: Discovery,
    /// What a DNS cluster's names were resolved to.
    resolved: Option<Vec<EndpointSpec>>,
    /// Since when this version is wanted.
    since: Instant,
    active: Option<Arc<Cluster>>,
    /// True when the cluster in force may not be what is wanted.
    stale: bool,
    removed: Option<Instant>,
}

/// Whether the clusters that a route or listener needs are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readiness {
    /// All are in force, or will never come.
    Ready,
    /// This one is missing, to be waited for until then.
    Missing(ClusterId, Instant),
}

impl Clusters {
    /// Wants this version of a cluster.
    pub(super) fn upsert(&mut self, id: ClusterId, spec: ClusterSpec, kept: &mut Kept, now: Instant) {
        let ClusterSpec {
            mut info,
            panic_threshold,
            discovery,
        } = spec;
        info.stats = kept.cluster(&info.name);
        let previous = self.entries.remove(&id);
        let (mut active, mut resolved) = (None, None);
        if let Some(previous) = previous {
            info.load = Arc::clone(&previous.info.load);
            active = previous.active;
            resolved = previous.resolved.filter(|_| previous.discovery == discovery);
        }
        let info = Arc::new(info);
        let entry = Entry {
            info,
            panic_threshold,
            discovery,
            resolved,
            since: now,
            active,
            stale: true,
            removed: None,
        };
        self.entries.insert(id, entry);
    }

    /// Lets a cluster go once nothing in force uses it.
    pub(super) fn remove(&mut self, id: ClusterId, now: Instant) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.removed.get_or_insert(now);
        }
    }

    /// Endpoints came by EDS.
    pub(super) fn assign(&mut self, assignment: AssignmentSpec) {
        self.mark_stale(&assignment.name);
        self.assignments.insert(assignment.name, assignment.endpoints);
    }

    /// EDS knows no such assignment: a cluster that waits for it waits no longer; one that has endpoints keeps them.
    pub(super) fn unknown_assignment(&mut self, name: &str) {
        if !self.assignments.contains_key(name) {
            self.assign(AssignmentSpec {
                name: name.to_owned(),
                endpoints: Vec::new(),
            });
        }
    }

    /// Endpoints came by DNS.
    pub(super) fn resolved(&mut self, id: ClusterId, endpoints: Vec<EndpointSpec>) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.resolved = Some(endpoints);
            entry.stale = true;
        }
    }

    fn mark_stale(&mut self, service: &str) {
        for entry in self.entries.values_mut() {
            entry.stale |= matches!(&entry.discovery, Discovery::Eds(name) if name == service);
        }
    }

    /// Brings into force every cluster whose endpoints are known or have been waited for long enough.
    pub(super) fn settle(&mut self, now: Instant, settled: &mut Settled) -> bool {
        let mut changed = false;
        for (id, entry) in self.entries.iter_mut().filter(|(_, entry)| entry.stale) {
            let known = match &entry.discovery {
                Discovery::Static(endpoints) => Some(endpoints),
                Discovery::Eds(name) => self.assignments.get(name),
                Discovery::Dns { .. } => entry.resolved.as_ref(),
            };
            let deadline = entry.since + PATIENCE;
            if known.is_none() && now < deadline {
                settled.wake_at(deadline);
                settled.wait_for(|| format!("waiting for the endpoints of cluster {}", entry.info.name));
                continue;
            }
            entry.stale = false;
            let endpoints = members(known.map_or(&[], Vec::as_slice), entry.active.as_deref());
            if let Some(active) = &entry.active
                && Arc::ptr_eq(&active.info, &entry.info)
                && same(active.endpoints.members(), &endpoints)
            {
                continue;
            }
            let endpoints = Arc::new(EndpointSet::new(endpoints, entry.panic_threshold));
            entry.active = Some(Arc::new(Cluster {
                id: *id,
                info: Arc::clone(&entry.info),
                endpoints,
            }));
            changed = true;
        }
        changed
    }

    /// Whether all of `ids` are in force. One that nobody has delivered is waited for until `unknown_until`.
    pub(super) fn readiness(
        &self,
        ids: &[ClusterId],
        unknown_until: Option<Instant>,
        now: Instant,
    ) -> Readiness {
        for id in ids {
            let until = match self.entries.get(id) {
                Some(entry) if entry.active.is_some() => continue,
                Some(entry) => Some(entry.since + PATIENCE),
                None => unknown_until,
            };
            if let Some(until) = until.filter(|until| now < *until) {
                return Readiness::Missing(*id, until);
            }
        }
        Readiness::Ready
    }

    /// True when some removed cluster is still there.
    pub(super) fn has_removed(&self) -> bool {
        self.entries.values().any(|entry| entry.removed.is_some())
    }

    /// Drops removed clusters that nothing in force uses, or that have been used for long enough.
    pub(super) fn drop_removed(
        &mut self,
        used: &HashSet<ClusterId>,
        now: Instant,
        settled: &mut Settled,
    ) -> bool {
        let before = self.entries.len();
        self.entries.retain(|id, entry| match entry.removed {
            Some(removed) if used.contains(id) && entry.active.is_some() && now < removed + PATIENCE => {
                settled.wake_at(removed + PATIENCE);
                true
            }
            Some(_) => false,
            None => true,
        });
        self.entries.len() != before
    }

    /// True when the slot has a cluster, in force or not.
    pub(super) fn has(&self, id: ClusterId) -> bool {
        self.entries.contains_key(&id)
    }

    /// The clusters in force in a vector of `len` slots.
    pub(super) fn slots(&self, len: usize) -> Vec<Option<Arc<Cluster>>> {
        let mut slots = vec![None; len];
        for (id, entry) in &self.entries {
            if let Some(slot) = slots.get_mut(id.index()) {
                slot.clone_from(&entry.active);
            }
        }
        slots
    }

    /// EDS names that some cluster needs.
    pub(super) fn assignments_needed(&self) -> BTreeSet<String> {
        let names = self.entries.values().filter_map(|entry| match &entry.discovery {
            Discovery::Eds(name) => Some(name.clone()),
            _ => None,
        });
        names.collect()
    }

    /// Forgets assignments that no cluster needs.
    pub(super) fn retain_assignments(&mut self, needed: impl Fn(&str) -> bool) {
        self.assignments.retain(|name, _| needed(name));
    }

    /// Clusters whose names are to be resolved.
    pub(super) fn dns(&self) -> BTreeMap<String, Discovery> {
        let dns = self
            .entries
            .values()
            .filter(|entry| matches!(entry.discovery, Discovery::Dns { .. }));
        dns.map(|entry| (entry.info.name.to_string(), entry.discovery.clone()))
            .collect()
    }
}

/// Members for these endpoints; an address that was there before keeps its identity and its load.
fn members(endpoints: &[EndpointSpec], previous: Option<&Cluster>) -> Vec<Member> {
    let known: HashMap<SocketAddr, &Arc<Endpoint>> = previous
        .iter()
        .flat_map(|cluster| cluster.endpoints.members())
        .map(|member| (member.endpoint.address, &member.endpoint))
        .collect();
    let member = |spec: &EndpointSpec| {
        let endpoint = match known.get(&spec.address) {
            Some(endpoint) if endpoint.mesh_h2 == spec.mesh_h2 => Arc::clone(endpoint),
            before => Arc::new(Endpoint::new(
                spec.address,
                spec.mesh_h2,
                before.map(|endpoint| &***endpoint),
            )),
        };
        Member {
            endpoint,
            weight: spec.weight,
            health: spec.health,
        }
    };
    endpoints.iter().map(member).collect()
}

fn same(old: &[Member], new: &[Member]) -> bool {
    old.len() == new.len()
        && old.iter().zip(new).all(|(old, new)| {
            Arc::ptr_eq(&old.endpoint, &new.endpoint) && old.weight == new.weight && old.health == new.health
        })
}
