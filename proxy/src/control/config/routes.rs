//! Route configurations: wanted until their clusters are in force, then in force themselves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::clusters::{Clusters, Readiness};
use super::{PATIENCE, Settled};
use crate::table::{ClusterId, RouteTable};

/// All route configurations that came by RDS, by name.
#[derive(Debug, Default)]
pub(super) struct Routes {
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug, Default)]
struct Entry {
    wanted: Option<Wanted>,
    active: Option<Compiled>,
}

#[derive(Debug)]
struct Wanted {
    compiled: Compiled,
    since: Instant,
}

#[derive(Debug)]
struct Compiled {
    table: Arc<RouteTable>,
    uses: Box<[ClusterId]>,
}

impl Routes {
    /// Wants this version.
    pub(super) fn upsert(&mut self, table: RouteTable, now: Instant) {
        let uses = distinct(table.clusters());
        let entry = self.entries.entry(table.name.to_string()).or_default();
        entry.wanted = Some(Wanted {
            compiled: Compiled {
                table: Arc::new(table),
                uses,
            },
            since: now,
        });
    }

    /// RDS knows no such configuration: a listener that waits for it gets an empty one; one that has it keeps it.
    pub(super) fn unknown(&mut self, name: &str, now: Instant) {
        let entry = self.entries.entry(name.to_owned()).or_default();
        if entry.wanted.is_none() && entry.active.is_none() {
            let table = Arc::new(RouteTable::empty(name));
            entry.wanted = Some(Wanted {
                compiled: Compiled {
                    table,
                    uses: Box::default(),
                },
                since: now,
            });
        }
    }

    /// Brings into force what has its clusters. Over a version in force, clusters that nobody has delivered yet are
    /// waited for too; without one it is better to answer for the others at once.
    pub(super) fn settle(&mut self, clusters: &Clusters, now: Instant, settled: &mut Settled) -> bool {
        let mut changed = false;
        for (name, entry) in &mut self.entries {
            let Some(wanted) = entry.wanted.take() else {
                continue;
            };
            let unknown_until = entry.active.as_ref().map(|_| wanted.since + PATIENCE);
            match clusters.readiness(&wanted.compiled.uses, unknown_until, now) {
                Readiness::Ready => {
                    entry.active = Some(wanted.compiled);
                    changed = true;
                }
                Readiness::Missing(_, until) => {
                    settled.wake_at(until);
                    settled.wait_for(|| format!("waiting for the clusters of route configuration {name}"));
                    entry.wanted = Some(wanted);
                }
            }
        }
        changed
    }

    /// The configuration in force.
    pub(super) fn active(&self, name: &str) -> Option<&Arc<RouteTable>> {
        self.entries
            .get(name)?
            .active
            .as_ref()
            .map(|compiled| &compiled.table)
    }

    /// Clusters that configurations in force use.
    pub(super) fn in_force(&self) -> impl Iterator<Item = ClusterId> {
        self.entries
            .values()
            .filter_map(|entry| entry.active.as_ref())
            .flat_map(|compiled| &compiled.uses)
            .copied()
    }

    /// Clusters that any configuration uses.
    pub(super) fn all(&self) -> impl Iterator<Item = ClusterId> {
        let wanted = self.entries.values().filter_map(|entry| entry.wanted.as_ref());
        self.in_force()
            .chain(wanted.flat_map(|wanted| &wanted.compiled.uses).copied())
    }

    /// Forgets configurations that no listener needs.
    pub(super) fn retain(&mut self, needed: impl Fn(&str) -> bool) {
        self.entries.retain(|name, _| needed(name));
    }
}

/// Each slot once.
pub(super) fn distinct(ids: impl Iterator<Item = ClusterId>) -> Box<[ClusterId]> {
    let mut ids: Vec<_> = ids.collect();
    ids.sort_unstable();
    ids.dedup();
    ids.into()
}
