//! Listeners: wanted until bound and supplied with routes, then in force.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::clusters::{Clusters, Readiness};
use super::kept::Kept;
use super::routes::{Routes, distinct};
use super::{PATIENCE, Settled};
use crate::control::Ports;
use crate::table::from_xds::ListenerSpec;
use crate::table::{ClusterId, Direction, Listener, ListenerKind, RouteTable, TableError, Target};

/// Between two attempts to bind an address that somebody else holds.
const BIND_RETRY: Duration = Duration::from_secs(2);

/// The next step when somebody else holds an address on which services are reached.
const SHARED_HOST: &str = "stop it; or, where it is another sidecar of this host, which alone can have the virtual \
                           addresses of services, start this one with --outbound-virtual off";

/// All listeners by name.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    entries: BTreeMap<Arc<str>, Entry>,
    /// The workload's own address, where it is known: on others, services are reached.
    own: Option<IpAddr>,
}

#[derive(Debug, Default)]
struct Entry {
    wanted: Option<Wanted>,
    active: Option<Active>,
    removed: bool,
}

#[derive(Debug)]
struct Wanted {
    template: Arc<Template>,
    since: Instant,
    /// When to try again, for an address that could not be bound.
    bind_again: Option<Instant>,
}

#[derive(Debug)]
struct Active {
    template: Arc<Template>,
    listener: Arc<Listener>,
}

/// A listener as delivered, and what it needs.
#[derive(Debug)]
struct Template {
    listener: Listener,
    rds: Option<String>,
    uses: Box<[ClusterId]>,
}

impl Entry {
    fn address(&self) -> Option<SocketAddr> {
        let template = match (&self.wanted, &self.active) {
            (Some(wanted), _) => &wanted.template,
            (None, active) => &active.as_ref()?.template,
        };
        Some(template.listener.address)
    }
}

impl Listeners {
    /// None yet, for a workload with this address.
    pub(super) fn of(own: Option<IpAddr>) -> Listeners {
        Listeners {
            own,
            ..Listeners::default()
        }
    }

    /// Wants this version, and binds its address. Refused when another listener wants the same address; when the
    /// address is taken by somebody else it stays wanted, and binding is tried again, but the error is returned.
    pub(super) fn upsert(
        &mut self,
        spec: ListenerSpec,
        kept: &mut Kept,
        ports: &mut dyn Ports,
        now: Instant,
    ) -> Result<(), TableError> {
        let ListenerSpec { mut listener, rds } = spec;
        let address = listener.address;
        let other = |(name, entry): &(&Arc<str>, &Entry)| {
            **name != listener.name && !entry.removed && entry.address() == Some(address)
        };
        if let Some((name, _)) = self.entries.iter().find(other) {
            let message = format!("{address} is already taken by listener {name}");
            return Err(TableError::new(&*listener.name, "address", message));
        }
        listener.stats = kept.listener(&address);
        let uses = match &mut listener.kind {
            ListenerKind::Http(http) => {
                http.stats = kept.http(&http.stat_prefix);
                distinct(http.routes.clusters())
            }
            ListenerKind::Tcp(tcp) => {
                tcp.stats = kept.tcp(&tcp.stat_prefix);
                distinct(Target::clusters(&tcp.target).into_iter())
            }
        };
        let elsewhere = self.own.is_some_and(|own| own != address.ip());
        let of_services = listener.direction == Direction::Outbound && elsewhere;
        let bound = ports.bind(address).map_err(|error| match of_services {
            true => error.told(SHARED_HOST),
            false => error.to_string(),
        });
        let name = Arc::clone(&listener.name);
        let entry = self.entries.entry(Arc::clone(&name)).or_default();
        let bind_again = bound.is_err().then(|| now + BIND_RETRY);
        entry.wanted = Some(Wanted {
            template: Arc::new(Template { listener, rds, uses }),
            since: now,
            bind_again,
        });
        entry.removed = false;
        bound.map_err(|message| TableError::new(&*name, "address", message))
    }

    /// Lets a listener go; it stays while another one is about to take its address over.
    pub(super) fn remove(&mut self, name: &str) {
        if let Some(entry) = self.entries.get_mut(name) {
            entry.removed = true;
            entry.wanted = None;
        }
    }

    /// Brings into force what is bound and has its routes, and passes new routes on to what is in force.
    pub(super) fn settle(
        &mut self,
        clusters: &Clusters,
        routes: &Routes,
        ports: &mut dyn Ports,
        now: Instant,
        settled: &mut Settled,
    ) -> bool {
        let mut changed = false;
        for entry in self.entries.values_mut() {
            if let Some(wanted) = entry.wanted.take() {
                // Over a version in force, clusters that nobody has delivered yet are waited for too.
                let unknown_until = entry.active.as_ref().map(|_| wanted.since + PATIENCE);
                match supply(wanted, unknown_until, clusters, routes, ports, now, settled) {
                    Ok(active) => {
                        entry.active = Some(active);
                        changed = true;
                    }
                    Err(wanted) => entry.wanted = Some(wanted),
                }
            }
            if let Some(active) = &mut entry.active {
                changed |= active.follow(routes);
            }
        }
        changed | self.drop_removed()
    }

    /// Drops removed listeners whose address nobody is about to take over.
    fn drop_removed(&mut self) -> bool {
        let awaited: BTreeSet<SocketAddr> = self
            .entries
            .values()
            .filter_map(|entry| entry.wanted.as_ref())
            .map(|wanted| wanted.template.listener.address)
            .collect();
        let before = self.entries.len();
        self.entries.retain(|_, entry| {
            let address = entry.active.as_ref().map(|active| active.listener.address);
            !entry.removed || address.is_some_and(|address| awaited.contains(&address))
        });
        self.entries.len() != before
    }

    /// The listeners in force.
    pub(super) fn active(&self) -> Vec<Arc<Listener>> {
        let active = self.entries.values().filter_map(|entry| entry.active.as_ref());
        active.map(|active| Arc::clone(&active.listener)).collect()
    }

    /// RDS names that some listener needs.
    pub(super) fn routes_needed(&self) -> BTreeSet<String> {
        self.templates()
            .filter_map(|template| template.rds.clone())
            .collect()
    }

    /// Addresses that some listener needs, in force or not.
    pub(super) fn addresses(&self) -> BTreeSet<SocketAddr> {
        self.templates()
            .map(|template| template.listener.address)
            .collect()
    }

    /// Clusters that listeners in force use by themselves.
    pub(super) fn in_force(&self) -> impl Iterator<Item = ClusterId> {
        let active = self.entries.values().filter_map(|entry| entry.active.as_ref());
        active.flat_map(|active| &active.template.uses).copied()
    }

    /// Clusters that any listener uses by itself.
    pub(super) fn all(&self) -> impl Iterator<Item = ClusterId> {
        self.templates().flat_map(|template| &template.uses).copied()
    }

    fn templates(&self) -> impl Iterator<Item = &Arc<Template>> {
        self.entries.values().flat_map(|entry| {
            let wanted = entry.wanted.as_ref().map(|wanted| &wanted.template);
            wanted
                .into_iter()
                .chain(entry.active.as_ref().map(|active| &active.template))
        })
    }
}

/// The listener in force, or what is still wanted.
fn supply(
    mut wanted: Wanted,
    unknown_until: Option<Instant>,
    clusters: &Clusters,
    routes: &Routes,
    ports: &mut dyn Ports,
    now: Instant,
    settled: &mut Settled,
) -> Result<Active, Wanted> {
    let template = Arc::clone(&wanted.template);
    let Listener { name, address, .. } = &template.listener;
    if let Some(when) = wanted.bind_again {
        if now < when || ports.bind(*address).is_err() {
            let again = if now < when { when } else { now + BIND_RETRY };
            settled.wake_at(again);
            if template.listener.direction == Direction::Inbound {
                // Without it nobody reaches the application; who only calls others can be served all the same.
                settled
                    .wait_for(|| format!("the address {address} of inbound listener {name} cannot be bound"));
            }
            return Err(Wanted {
                bind_again: Some(again),
                ..wanted
            });
        }
        wanted.bind_again = None;
        settled.bound.push(Arc::clone(name));
    }
    let deadline = wanted.since + PATIENCE;
    if let Readiness::Missing(_, until) = clusters.readiness(&template.uses, unknown_until, now) {
        settled.wake_at(until);
        settled.wait_for(|| format!("waiting for the clusters of listener {name}"));
        return Err(wanted);
    }
    let supplied = match &template.rds {
        Some(rds) => match routes.active(rds) {
            Some(table) => Some(Arc::clone(table)),
            None if now < deadline => {
                settled.wake_at(deadline);
                settled.wait_for(|| format!("waiting for the routes {rds} of listener {name}"));
                return Err(wanted);
            }
            None => Some(Arc::new(RouteTable::empty(&**rds))),
        },
        None => None,
    };
    Ok(Active {
        listener: Arc::new(with_routes(&template.listener, supplied)),
        template,
    })
}

impl Active {
    /// Takes the routes in force over if they are others than before.
    fn follow(&mut self, routes: &Routes) -> bool {
        let Some(table) = self.template.rds.as_ref().and_then(|rds| routes.active(rds)) else {
            return false;
        };
        match &self.listener.kind {
            ListenerKind::Http(http) if !Arc::ptr_eq(&http.routes, table) => {
                self.listener = Arc::new(with_routes(&self.listener, Some(Arc::clone(table))));
                true
            }
            _ => false,
        }
    }
}

fn with_routes(listener: &Listener, routes: Option<Arc<RouteTable>>) -> Listener {
    let mut listener = listener.clone();
    if let (ListenerKind::Http(http), Some(routes)) = (&mut listener.kind, routes) {
        http.routes = routes;
    }
    listener
}
