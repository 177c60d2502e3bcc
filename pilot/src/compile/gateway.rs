//! Gateways and the VirtualServices bound to them become ports and routes at routers
//! (`spec/traffic-v1alpha3.md` §3).

use std::collections::{BTreeMap, BTreeSet};

use outrigger_api::gateway::{Gateway, Server};
use outrigger_api::host;
use outrigger_api::model::Protocol;
use outrigger_api::resource::Key;
use outrigger_api::virtual_service::VirtualService;
use outrigger_xds::pb::envoy::config::route::v3::RouteConfiguration;

use super::inputs::{Destinations, destination_hosts};
use super::place::Place;
use super::route::{Action, Matching, Route};
use super::route_config::{route_configuration, virtual_host};
use super::virtual_service::Compiling;
use super::{listener, tcp_route};
use crate::class::Class;
use crate::dialect::Dialect;
use crate::finding::{Finding, Topic};
use crate::names;
use crate::node::Role;
use crate::snapshot::Snapshot;
use crate::snapshot::rules::{Names, Rule};

/// What the routers of one class open.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct GatewayPart {
    /// The ports, each router on its own address.
    pub(crate) ports: BTreeMap<u16, Opened>,
    /// The routes of HTTP ports.
    pub(crate) routes: Vec<RouteConfiguration>,
    /// What was found.
    pub(crate) findings: Vec<Finding>,
}

/// What stands behind a port.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Opened {
    /// Routes.
    Http,
    /// These clusters, by weight.
    Tcp(Vec<(String, u32)>),
}

/// One server of a Gateway.
struct Entry<'a> {
    key: Key,
    rule: &'a Rule,
    server: &'a Server,
}

/// Compiles the Gateways that select `class`. Servers of one port are joined when they speak the same plain HTTP;
/// otherwise the older one keeps the port.
pub(crate) fn compile(snapshot: &Snapshot, class: &Class) -> GatewayPart {
    let mut part = GatewayPart::default();
    if class.role != Role::Router {
        return part;
    }
    for (number, entries) in by_port(snapshot, class, &mut part.findings) {
        let http = entries
            .first()
            .is_some_and(|entry| entry.server.port.protocol.is_http());
        if http {
            part.routes.push(http_routes(
                snapshot,
                class.dialect,
                number,
                &entries,
                &mut part.findings,
            ));
            part.ports.insert(number, Opened::Http);
        } else if let Some(clusters) =
            tcp_clusters(snapshot, class.dialect, number, &entries, &mut part.findings)
        {
            part.ports.insert(number, Opened::Tcp(clusters));
        }
    }
    part
}

fn by_port<'a>(
    snapshot: &'a Snapshot,
    class: &Class,
    findings: &mut Vec<Finding>,
) -> BTreeMap<u16, Vec<Entry<'a>>> {
    let mut ports: BTreeMap<u16, Vec<Entry<'a>>> = BTreeMap::new();
    let selected = snapshot
        .rules
        .gateways()
        .filter(|(rule, _)| class.gateways.contains(&rule.key()));
    for (rule, server) in
        selected.flat_map(|(rule, spec): (_, &Gateway)| spec.servers.iter().map(move |s| (rule, s)))
    {
        let number = server.port.number;
        let mut reject = |message: String| {
            findings.push(Finding::new(
                Topic::PilotTotalRejectedConfigs,
                rule.key(),
                message,
            ));
        };
        if server.tls.is_some() || matches!(server.port.protocol, Protocol::Https | Protocol::Tls) {
            reject(format!(
                "server {}: tls is not in force in this version; the port is not opened",
                server.port.name
            ));
            continue;
        }
        let entries = ports.entry(number).or_default();
        match entries.first() {
            Some(first) if !may_share(first.server.port.protocol, server.port.protocol) => reject(format!(
                "server {}: port {number} speaks {} for {} already; this server is left out",
                server.port.name, first.server.port.protocol, first.key
            )),
            _ => entries.push(Entry {
                key: rule.key(),
                rule,
                server,
            }),
        }
    }
    ports
}

fn may_share(first: Protocol, second: Protocol) -> bool {
    first.is_http() && first == second
}

/// The routes of an HTTP port: one virtual host for each host that a server and a VirtualService have in common.
fn http_routes(
    snapshot: &Snapshot,
    dialect: Dialect,
    port: u16,
    entries: &[Entry<'_>],
    findings: &mut Vec<Finding>,
) -> RouteConfiguration {
    let mut hosts: BTreeMap<String, Vec<(Key, Route)>> = BTreeMap::new();
    for entry in entries {
        let place = Place::Gateway(&entry.key);
        for (rule, spec) in bound(snapshot, place) {
            let common = common_hosts(entry, rule, spec, snapshot.rules.names());
            if common.is_empty() || spec.http.is_empty() {
                continue;
            }
            let (routes, found) = compiling(snapshot, dialect, rule, spec, place, port, |compiling| {
                compiling.routes(spec)
            });
            findings.extend(found);
            for host in common {
                let known = hosts.entry(host).or_default();
                for route in &routes {
                    let route = (rule.key(), route.clone());
                    // A rule that is bound to several gateways of the port comes with each of them.
                    if !known.contains(&route) {
                        known.push(route);
                    }
                }
            }
        }
    }
    let mut virtual_hosts = Vec::new();
    for (host, routes) in hosts {
        let routes = catch_all_last(routes, &host, findings);
        let domains = if host == "*" {
            vec![host.clone()]
        } else {
            names::with_port(&host, port).to_vec()
        };
        virtual_hosts.push(virtual_host(names::virtual_host(&host, port), domains, &routes));
    }
    if virtual_hosts.is_empty() {
        virtual_hosts.push(virtual_host(
            format!("blackhole:{port}"),
            vec!["*".into()],
            &[nothing_bound(entries)],
        ));
    }
    RouteConfiguration {
        // Clients name the port that they see, which a container platform or a balancer in front may have mapped.
        ignore_port_in_host_matching: true,
        ..route_configuration(&names::gateway_routes(port), virtual_hosts)
    }
}

/// The answer of a port that nothing is bound to.
fn nothing_bound(entries: &[Entry<'_>]) -> Route {
    let keys: Vec<String> = entries.iter().map(|entry| entry.key.to_string()).collect();
    let reason = format!(
        "no virtual service is bound to {} for any of its hosts",
        keys.join(", ")
    );
    Route {
        name: "blackhole".into(),
        matching: Matching::everything(),
        action: Action::Answer { status: 404, reason },
    }
}

/// Several VirtualServices may share a host at a gateway: their routes stand in order, those that catch everything
/// at the end, of which the first counts.
fn catch_all_last(routes: Vec<(Key, Route)>, host: &str, findings: &mut Vec<Finding>) -> Vec<Route> {
    let (catch_all, ordered): (Vec<_>, Vec<_>) = routes
        .into_iter()
        .partition(|(_, route)| route.matching.is_catch_all());
    let mut catch_all = catch_all.into_iter();
    let last = catch_all.next();
    if let Some((winner, _)) = &last {
        findings.extend(catch_all.map(|(rule, _)| {
            let message = format!("at {host} {winner} catches every request before it");
            Finding::new(Topic::PilotShadowedRoutes, rule, message)
        }));
    }
    ordered.into_iter().chain(last).map(|(_, route)| route).collect()
}

/// The clusters of a TCP port: those of the first TCP route that is for it.
fn tcp_clusters(
    snapshot: &Snapshot,
    dialect: Dialect,
    port: u16,
    entries: &[Entry<'_>],
    findings: &mut Vec<Finding>,
) -> Option<Vec<(String, u32)>> {
    let entry = entries.first()?;
    let place = Place::Gateway(&entry.key);
    for (rule, spec) in bound(snapshot, place) {
        let (targets, found) = compiling(snapshot, dialect, rule, spec, place, port, |compiling| {
            tcp_route::chosen(compiling, spec)
        });
        findings.extend(found);
        if let Some(targets) = targets {
            return Some(listener::tcp_clusters(&targets));
        }
    }
    let message = format!("no virtual service has a tcp route for port {port}; the port is not opened");
    findings.push(Finding::new(
        Topic::PilotTotalRejectedConfigs,
        entry.rule.key(),
        message,
    ));
    None
}

/// The VirtualServices bound to a gateway, oldest first.
fn bound<'a>(
    snapshot: &'a Snapshot,
    place: Place<'a>,
) -> impl Iterator<Item = (&'a Rule, &'a VirtualService)> {
    snapshot.rules.all_virtual_services().filter(move |(rule, spec)| {
        spec.gateways
            .iter()
            .any(|name| place.is_named(name, &rule.meta.namespace))
    })
}

fn compiling<T>(
    snapshot: &Snapshot,
    dialect: Dialect,
    rule: &Rule,
    spec: &VirtualService,
    place: Place<'_>,
    port: u16,
    run: impl FnOnce(&Compiling<'_>) -> T,
) -> T {
    let names = snapshot.rules.names();
    let hosts = destination_hosts(spec).map(|host| names.host(host, &rule.meta.namespace));
    let destinations = Destinations::gather(snapshot, hosts);
    run(&Compiling {
        rule,
        names,
        destinations: &destinations,
        place,
        dialect,
        port,
    })
}

/// The hosts that both a server and a VirtualService stand for, each as narrow as the narrower of the two.
///
/// A short name stands for itself and for the host that it means.
fn common_hosts(entry: &Entry<'_>, rule: &Rule, spec: &VirtualService, names: &Names) -> Vec<String> {
    let meant = spec
        .hosts
        .iter()
        .map(|host| names.host(host, &rule.meta.namespace));
    let of_rules: BTreeSet<String> = spec.hosts.iter().cloned().chain(meant).collect();
    let mut common: Vec<String> = Vec::new();
    for written in &entry.server.hosts {
        let (namespace, of_server) = host::split_namespace(written);
        let visible = match namespace {
            None | Some("*") => true,
            Some(".") => rule.meta.namespace == entry.key.namespace,
            Some(namespace) => rule.meta.namespace == namespace,
        };
        if !visible {
            continue;
        }
        for of_rule in &of_rules {
            let narrower = if host::is_subset_of(of_rule, of_server) {
                Some(of_rule.as_str())
            } else if host::is_subset_of(of_server, of_rule) {
                Some(of_server)
            } else {
                None
            };
            common.extend(narrower.map(str::to_owned).filter(|host| !common.contains(host)));
        }
    }
    common
}
