//! What all proxies of one class get, put together from the units of all hosts.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use outrigger_api::model::{Catalog, Resolution};
use outrigger_xds::{Layer, LayerBuilder, Resource};

use super::cluster;
use super::domains::{self, Wanted};
use super::gateway::{self, GatewayPart};
use super::inputs::Inputs;
use super::route_config::{route_configuration, virtual_host};
use super::unit::Unit;
use crate::class::Class;
use crate::finding::Finding;
use crate::mesh::MeshSettings;
use crate::names;
use crate::snapshot::Snapshot;
use crate::snapshot::rules::Rules;

/// The shared configuration of one class.
#[derive(Debug)]
pub struct Shared {
    /// Whose it is.
    pub class: Class,
    /// Clusters of every version of every service port.
    pub clusters: Arc<Layer>,
    /// Listeners on virtual addresses.
    pub listeners: Arc<Layer>,
    /// Route configurations.
    pub routes: Arc<Layer>,
    /// What was found.
    pub findings: Arc<Vec<Finding>>,
    /// What the class's gateways open.
    pub(crate) gateway: Arc<GatewayPart>,
    units: BTreeMap<String, (Inputs, Arc<Unit>)>,
    /// What was found while the hosts of the explicit HTTP proxy were put together; stands as long as its routes do.
    domain_findings: Arc<Vec<Finding>>,
    basis: Basis,
}

/// The parts of a snapshot that shared configuration is made of.
#[derive(Debug)]
struct Basis {
    rules: Arc<Rules>,
    catalog: Arc<Catalog>,
    addresses: Arc<BTreeMap<String, Ipv4Addr>>,
    mesh: Arc<MeshSettings>,
}

impl Basis {
    fn of(snapshot: &Snapshot) -> Basis {
        Basis {
            rules: snapshot.rules.clone(),
            catalog: snapshot.catalog.clone(),
            addresses: snapshot.addresses.clone(),
            mesh: snapshot.mesh.clone(),
        }
    }

    /// True when nothing differs but endpoints that proxies learn of separately. Large parts are compared by their handles.
    fn is_that_of(&self, snapshot: &Snapshot) -> bool {
        Arc::ptr_eq(&self.rules, &snapshot.rules)
            && Arc::ptr_eq(&self.addresses, &snapshot.addresses)
            && self.mesh == snapshot.mesh
            && same_services(&self.catalog, &snapshot.catalog)
    }
}

/// True when both know the same services, with the same instances where these stand in the cluster itself.
fn same_services(left: &Arc<Catalog>, right: &Arc<Catalog>) -> bool {
    let pairs = || left.services.iter().zip(&right.services);
    Arc::ptr_eq(left, right)
        || left.services.len() == right.services.len()
            && pairs().all(|((host, old), (same, new))| {
                host == same
                    && old.service == new.service
                    && (old.service.resolution != Resolution::Dns
                        || Arc::ptr_eq(&old.instances, &new.instances))
            })
}

/// Compiles what `class` shares. Hosts on which nothing changed since `previous` are taken over as they are, and so
/// is every layer in which nothing changed.
pub fn compile_shared(snapshot: &Snapshot, class: &Class, previous: Option<&Shared>) -> Shared {
    let previous =
        previous.filter(|previous| previous.class == *class && previous.basis.mesh == snapshot.mesh);
    let mut changed = Changed {
        clusters: false,
        listeners: false,
        routes: false,
        findings: false,
    };
    let mut units = BTreeMap::new();
    for host in hosts(snapshot) {
        let inputs = Inputs::gather(snapshot, class, host);
        let known = previous.and_then(|previous| previous.units.get(host));
        let unit = match known.filter(|(known, _)| *known == inputs) {
            Some((_, unit)) => unit.clone(),
            None => {
                let unit = Unit::compile(&inputs, snapshot.rules.names(), class, &snapshot.mesh);
                changed.note(known.map(|(_, unit)| unit.as_ref()), &unit);
                Arc::new(unit)
            }
        };
        units.insert(host.to_owned(), (inputs, unit));
    }
    if let Some(previous) = previous {
        let gone = previous
            .units
            .iter()
            .filter(|(host, _)| !units.contains_key(*host));
        gone.for_each(|(_, (_, unit))| changed.note(Some(unit), &Unit::default()));
    }
    let gateway = gateway::compile(snapshot, class);
    if previous.is_none_or(|previous| *previous.gateway != gateway) {
        changed.routes = true;
        changed.findings = true;
    }
    assemble(snapshot, class, units, gateway, changed, previous)
}

/// What differs from the time before.
struct Changed {
    clusters: bool,
    listeners: bool,
    routes: bool,
    findings: bool,
}

impl Changed {
    fn note(&mut self, old: Option<&Unit>, new: &Unit) {
        let nothing = Unit::default();
        let old = old.unwrap_or(&nothing);
        self.clusters |= old.clusters != new.clusters;
        self.listeners |= old.listeners != new.listeners;
        self.routes |= old.routes != new.routes || old.http != new.http || old.addresses != new.addresses;
        self.findings |= old.findings != new.findings;
    }
}

fn assemble(
    snapshot: &Snapshot,
    class: &Class,
    units: BTreeMap<String, (Inputs, Arc<Unit>)>,
    gateway: GatewayPart,
    changed: Changed,
    previous: Option<&Shared>,
) -> Shared {
    let layer = |changed: bool, earlier: Option<&Arc<Layer>>, fill: &dyn Fn(&mut LayerBuilder)| match earlier
    {
        Some(earlier) if !changed => earlier.clone(),
        earlier => {
            let mut builder = LayerBuilder::new(earlier.cloned());
            fill(&mut builder);
            builder.build()
        }
    };
    let each = |builder: &mut LayerBuilder, part: &dyn Fn(&Unit) -> &[Arc<Resource>]| {
        for (_, unit) in units.values() {
            part(unit)
                .iter()
                .for_each(|resource| builder.insert(resource.clone()));
        }
    };
    let (proxied, domain_findings) = if class.http_proxy && (changed.routes || previous.is_none()) {
        let (hosts, findings) = http_proxy(&units, &class.domain);
        (
            Some(route_configuration(names::HTTP_PROXY_ROUTES, hosts)),
            Arc::new(findings),
        )
    } else {
        let stands = previous.map(|previous| previous.domain_findings.clone());
        (None, stands.unwrap_or_default())
    };
    let routes = layer(
        changed.routes,
        previous.map(|previous| &previous.routes),
        &|builder| {
            each(builder, &|unit| &unit.routes);
            proxied
                .iter()
                .for_each(|configuration| builder.route(configuration));
            gateway
                .routes
                .iter()
                .for_each(|configuration| builder.route(configuration));
        },
    );
    let findings = match previous {
        Some(previous) if !changed.findings && !changed.routes => previous.findings.clone(),
        _ => {
            let of_units = units.values().flat_map(|(_, unit)| unit.findings.iter().cloned());
            Arc::new(
                of_units
                    .chain(domain_findings.iter().cloned())
                    .chain(gateway.findings.iter().cloned())
                    .collect(),
            )
        }
    };
    Shared {
        class: class.clone(),
        clusters: layer(
            changed.clusters,
            previous.map(|previous| &previous.clusters),
            &|builder| {
                each(builder, &|unit| &unit.clusters);
                builder.cluster(&cluster::black_hole(&snapshot.mesh));
            },
        ),
        listeners: layer(
            changed.listeners,
            previous.map(|previous| &previous.listeners),
            &|builder| {
                each(builder, &|unit| &unit.listeners);
            },
        ),
        routes,
        findings,
        gateway: match previous {
            Some(previous) if *previous.gateway == gateway => previous.gateway.clone(),
            _ => Arc::new(gateway),
        },
        units,
        domain_findings,
        basis: Basis::of(snapshot),
    }
}

/// Every host of the catalogue, and those that only a VirtualService knows.
fn hosts(snapshot: &Snapshot) -> BTreeSet<&str> {
    let known = snapshot.catalog.services.keys().map(String::as_str);
    known.chain(snapshot.rules.virtual_hosts()).collect()
}

/// The virtual hosts behind the explicit HTTP proxy: every HTTP port of every host.
fn http_proxy(
    units: &BTreeMap<String, (Inputs, Arc<Unit>)>,
    domain: &str,
) -> (
    Vec<outrigger_xds::pb::envoy::config::route::v3::VirtualHost>,
    Vec<Finding>,
) {
    let entries: Vec<_> = units
        .iter()
        .flat_map(|(host, (_, unit))| {
            unit.http
                .iter()
                .map(move |(port, routes)| (host, *port, routes, unit))
        })
        .collect();
    let wanted: Vec<Wanted<'_>> = entries
        .iter()
        .map(|(host, port, _, unit)| Wanted {
            host,
            port: *port,
            // Without a port a client means 80, and a service answers only for the ports that it has.
            bare: *port == 80,
            addresses: unit.addresses.clone(),
        })
        .collect();
    let (domains, findings) = domains::together(&wanted, domain);
    let hosts = entries
        .iter()
        .zip(domains)
        .filter(|(_, domains)| !domains.is_empty());
    let hosts = hosts.map(|((host, port, routes, _), domains)| {
        virtual_host(names::virtual_host(host, *port), domains, routes)
    });
    (hosts.collect(), findings)
}

impl Shared {
    /// True when compiling `snapshot` for this class would come out the same, as after a change of endpoints alone.
    pub fn stands_for(&self, snapshot: &Snapshot) -> bool {
        self.basis.is_that_of(snapshot)
    }

    /// The clusters of a TCP port, or `None` when the port is one with routes.
    pub(crate) fn tcp(&self, host: &str, port: u16) -> Option<&[(String, u32)]> {
        self.units
            .get(host)
            .and_then(|(_, unit)| unit.tcp.get(&port))
            .map(Vec::as_slice)
    }
}
