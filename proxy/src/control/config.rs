//! The configuration as delivered and as in force: a state machine from updates to tables.
//!
//! A delivered resource that is good becomes *wanted*. It comes into force when what it needs is there: a cluster when
//! its endpoints are known, a route configuration when its clusters are in force, a listener when its routes are and
//! its address is bound. Until then what was in force before stays. Nothing waits longer than [`PATIENCE`]. What is
//! removed goes last, when nothing in force uses it.
//!
//! Time comes in as a value and sockets behind a trait, so a whole exchange is a test without either.

mod clusters;
mod kept;
mod listeners;
mod routes;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use outrigger_xds::TypeUrl;
use outrigger_xds::client::{Upsert, Verdict};
use outrigger_xds::pb::envoy::config::cluster::v3::Cluster;
use outrigger_xds::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use outrigger_xds::pb::envoy::config::listener::v3::Listener;
use outrigger_xds::pb::envoy::config::route::v3::RouteConfiguration;
use prost::Message;

use self::clusters::Clusters;
use self::kept::Kept;
use self::listeners::Listeners;
use self::routes::Routes;
use super::Ports;
use super::records::Records;
use crate::table::from_xds::{self, Discovery, EndpointSpec};
use crate::table::{Names, Table, TableError};

/// The longest wait for something that is needed: then a cluster is used without endpoints, a listener without routes,
/// and a route whose clusters are not there. Envoy's initial fetch timeout.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);

/// Everything delivered so far.
#[derive(Debug)]
pub(super) struct Config {
    names: Names,
    clusters: Clusters,
    routes: Routes,
    listeners: Listeners,
    kept: Kept,
    records: Arc<Records>,
    answered: BTreeSet<TypeUrl>,
    serial: u64,
}

/// What came of a look at the configuration.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// A new table, when something changed.
    pub(super) table: Option<Arc<Table>>,
    /// When to look again even if nothing is delivered.
    pub(super) wake: Option<Instant>,
    /// What is still waited for, for people.
    pub(super) waiting: Option<String>,
    /// Listeners whose address was refused at first and is bound now. The control plane holds them for refused, until
    /// it is asked for them again.
    pub(super) bound: Vec<Arc<str>>,
}

impl Settled {
    fn wake_at(&mut self, when: Instant) {
        self.wake = Some(self.wake.map_or(when, |wake| wake.min(when)));
    }

    fn wait_for(&mut self, what: impl FnOnce() -> String) {
        self.waiting.get_or_insert_with(what);
    }
}

impl Config {
    /// Nothing yet; counters are made for `workers` workers, and what is delivered is written down in `records`. `own` is
    /// the workload's address, where it is known.
    pub(super) fn new(workers: usize, records: Arc<Records>, own: Option<IpAddr>) -> Config {
        Config {
            names: Names::default(),
            clusters: Clusters::default(),
            routes: Routes::default(),
            listeners: Listeners::of(own),
            kept: Kept::new(workers),
            records,
            answered: BTreeSet::new(),
            serial: 0,
        }
    }

    /// Takes an update in. Each resource is judged on its own: good ones become wanted although another one of the
    /// update is refused, for which the last good version stays. The verdict names every refused one.
    pub(super) fn apply(
        &mut self,
        kind: TypeUrl,
        upserts: &[Upsert],
        removed: &[String],
        ports: &mut dyn Ports,
        now: Instant,
    ) -> Verdict {
        self.answered.insert(kind);
        for name in removed {
            self.remove(kind, name, now);
        }
        let mut refused = Vec::new();
        let records = Arc::clone(&self.records);
        for upsert in upserts.iter().filter(|upsert| !records.has(kind, upsert)) {
            match self.upsert(kind, upsert, ports, now) {
                Ok(()) => records.accepted(kind, upsert),
                Err(error) => {
                    let reason = error.to_string();
                    records.refused(kind, upsert, &reason);
                    refused.push(reason);
                }
            }
        }
        records.judged(kind, refused.is_empty());
        if refused.is_empty() {
            Ok(())
        } else {
            Err(refused.join("; "))
        }
    }

    fn upsert(
        &mut self,
        kind: TypeUrl,
        upsert: &Upsert,
        ports: &mut dyn Ports,
        now: Instant,
    ) -> Result<(), TableError> {
        match kind {
            TypeUrl::Cluster => {
                let message: Cluster = decode(upsert)?;
                named(upsert, "name", &message.name)?;
                let mut spec = from_xds::cluster(&message)?;
                let id = self.names.slot(&message.name);
                spec.info.name = self.names.interned(&message.name).unwrap_or(spec.info.name);
                self.clusters.upsert(id, spec, &mut self.kept, now);
            }
            TypeUrl::Endpoint => {
                let message: ClusterLoadAssignment = decode(upsert)?;
                named(upsert, "cluster_name", &message.cluster_name)?;
                self.clusters.assign(from_xds::assignment(&message)?);
            }
            TypeUrl::Listener => {
                let message: Listener = decode(upsert)?;
                named(upsert, "name", &message.name)?;
                let spec = from_xds::listener(&message, &mut self.names)?;
                self.listeners.upsert(spec, &mut self.kept, ports, now)?;
            }
            TypeUrl::Route => {
                let message: RouteConfiguration = decode(upsert)?;
                named(upsert, "name", &message.name)?;
                self.routes
                    .upsert(from_xds::routes(&message, &mut self.names)?, now);
            }
            TypeUrl::VirtualHost | TypeUrl::Secret => {
                return Err(TableError::new(
                    &*upsert.name,
                    "",
                    format!("{kind} was not asked for"),
                ));
            }
        }
        Ok(())
    }

    /// Takes a resource away. Routes and endpoints that something uses stay as they are: they go with what uses them.
    fn remove(&mut self, kind: TypeUrl, name: &str, now: Instant) {
        match kind {
            TypeUrl::Cluster => {
                if let Some(id) = self.names.find(name) {
                    self.clusters.remove(id, now);
                }
                self.records.removed(kind, name);
            }
            TypeUrl::Listener => {
                self.listeners.remove(name);
                self.records.removed(kind, name);
            }
            TypeUrl::Endpoint => self.clusters.unknown_assignment(name),
            TypeUrl::Route => self.routes.unknown(name, now),
            TypeUrl::VirtualHost | TypeUrl::Secret => {}
        }
    }

    /// The endpoints that a name was resolved to.
    pub(super) fn resolved(&mut self, cluster: &str, endpoints: Vec<EndpointSpec>) {
        if let Some(id) = self.names.find(cluster) {
            self.clusters.resolved(id, endpoints);
        }
    }

    /// Clusters whose names are to be resolved.
    pub(super) fn dns(&self) -> BTreeMap<String, Discovery> {
        self.clusters.dns()
    }

    /// Names of the resources of this type that others need.
    pub(super) fn interest(&self, kind: TypeUrl) -> BTreeSet<String> {
        match kind {
            TypeUrl::Endpoint => self.clusters.assignments_needed(),
            TypeUrl::Route => self.listeners.routes_needed(),
            _ => BTreeSet::new(),
        }
    }

    /// Addresses that are to stay bound.
    pub(super) fn addresses(&self) -> BTreeSet<SocketAddr> {
        self.listeners.addresses()
    }

    /// Brings into force what can be, lets go of what can go, and makes a table of it if anything changed.
    pub(super) fn settle(&mut self, ports: &mut dyn Ports, now: Instant) -> Settled {
        let mut settled = Settled::default();
        let mut changed = self.clusters.settle(now, &mut settled);
        changed |= self.routes.settle(&self.clusters, now, &mut settled);
        changed |= self
            .listeners
            .settle(&self.clusters, &self.routes, ports, now, &mut settled);
        if self.clusters.has_removed() {
            let used: HashSet<_> = self.routes.in_force().chain(self.listeners.in_force()).collect();
            changed |= self.clusters.drop_removed(&used, now, &mut settled);
        }
        for name in &settled.bound {
            self.records.recovered(TypeUrl::Listener, name);
        }
        if changed {
            self.sweep();
            settled.table = self.table();
        }
        for (kind, what) in [(TypeUrl::Listener, "listeners"), (TypeUrl::Cluster, "clusters")] {
            if !self.answered.contains(&kind) {
                settled.waiting = Some(format!("waiting for the first {what}"));
            }
        }
        settled
    }

    /// Says that everything has been delivered that ever will be.
    pub(super) fn complete(&mut self) {
        self.answered.extend([TypeUrl::Cluster, TypeUrl::Listener]);
    }

    /// Forgets names, records and counters that nothing uses.
    fn sweep(&mut self) {
        let needed = self.listeners.routes_needed();
        self.routes.retain(|name| needed.contains(name));
        self.records.retain(TypeUrl::Route, |name| needed.contains(name));
        let needed = self.clusters.assignments_needed();
        self.clusters.retain_assignments(|name| needed.contains(name));
        self.records
            .retain(TypeUrl::Endpoint, |name| needed.contains(name));
        let used: HashSet<_> = self.routes.all().chain(self.listeners.all()).collect();
        let clusters = &self.clusters;
        self.names.retain(|_, id| clusters.has(id) || used.contains(&id));
        self.kept.prune();
    }

    fn table(&mut self) -> Option<Arc<Table>> {
        let clusters = self.clusters.slots(self.names.len());
        match Table::new(self.serial + 1, self.listeners.active(), clusters) {
            Ok(table) => {
                self.serial += 1;
                Some(Arc::new(table))
            }
            Err(error) => {
                tracing::warn!(%error, "the table stays as it is");
                None
            }
        }
    }
}

/// Reads the message of a resource.
fn decode<M: Message + Default>(upsert: &Upsert) -> Result<M, TableError> {
    M::decode(upsert.value.clone())
        .map_err(|error| TableError::new(&*upsert.name, "", format!("its bytes do not decode: {error}")))
}

/// Checks that a resource is called the same inside and outside.
fn named(upsert: &Upsert, field: &str, found: &str) -> Result<(), TableError> {
    if upsert.name == found {
        return Ok(());
    }
    Err(TableError::new(
        &*upsert.name,
        field,
        format!("is {found:?}, but the resource was sent as {:?}", upsert.name),
    ))
}

#[cfg(test)]
mod tests;
