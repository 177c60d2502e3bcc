//! What one proxy gets besides its class: the way in to its application, its HTTP proxy port, the upstreams of its
//! own choice, the ports of its gateways.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use outrigger_api::model::Protocol;
use outrigger_xds::pb::envoy::config::listener::v3::Listener;
use outrigger_xds::{Layer, LayerBuilder};

use super::gateway::{GatewayPart, Opened};
use super::listener::{Direction, Routes};
use super::route_config::{inbound_routes, route_configuration};
use super::shared::Shared;
use super::{cluster, listener};
use crate::finding::{Finding, Topic};
use crate::mesh::MeshSettings;
use crate::names;
use crate::node::{Inbound, Node, Role};
use crate::snapshot::Snapshot;
use crate::snapshot::ownership::Owned;

/// One proxy's own configuration.
#[derive(Debug)]
pub struct Own {
    /// Its clusters and listeners.
    pub layer: Arc<Layer>,
    /// What was found.
    pub findings: Arc<Vec<Finding>>,
    /// Where it takes HTTP for its application, by the name of the listener: HTTP/1.1 and HTTP/2 alike.
    pub http_inbound: BTreeMap<String, SocketAddr>,
    inputs: Inputs,
}

/// Everything it depends on.
#[derive(Clone, Debug, PartialEq)]
struct Inputs {
    node: Arc<Node>,
    owned: Vec<Owned>,
    upstreams: Vec<Resolved>,
    gateway: Arc<GatewayPart>,
    mesh: Arc<MeshSettings>,
}

/// An upstream of the node's choice with what is known of it.
#[derive(Clone, Debug, PartialEq)]
struct Resolved {
    bind: SocketAddr,
    leads: Leads,
}

#[derive(Clone, Debug, PartialEq)]
enum Leads {
    /// To a port with routes.
    Http { host: String, port: u16 },
    /// To a TCP port.
    Tcp { clusters: Vec<(String, u32)> },
    /// Nowhere, because of this.
    Nowhere { host: String, why: String },
}

/// Compiles what `node`, which stands beside `owned`, gets besides `shared`. Taken over from `previous` when nothing
/// it depends on has changed.
pub fn compile_node(
    snapshot: &Snapshot,
    node: &Arc<Node>,
    owned: &[Owned],
    shared: &Shared,
    previous: Option<&Arc<Own>>,
) -> Arc<Own> {
    let inputs = Inputs {
        node: node.clone(),
        owned: owned.to_vec(),
        upstreams: node
            .upstreams
            .iter()
            .map(|upstream| resolve(snapshot, node, upstream, shared))
            .collect(),
        gateway: shared.gateway.clone(),
        mesh: snapshot.mesh.clone(),
    };
    if let Some(previous) = previous.filter(|previous| previous.inputs == inputs) {
        return previous.clone();
    }
    let mut building = Building {
        builder: LayerBuilder::new(previous.map(|previous| previous.layer.clone())),
        taken: BTreeSet::new(),
        findings: Vec::new(),
        http_inbound: BTreeMap::new(),
        node,
        mesh: &inputs.mesh,
    };
    match node.role {
        Role::Sidecar => building.sidecar(&inputs),
        Role::Router => building.router(&inputs.gateway),
    }
    let Building {
        builder,
        findings,
        http_inbound,
        ..
    } = building;
    Arc::new(Own {
        layer: builder.build(),
        findings: Arc::new(findings),
        http_inbound,
        inputs,
    })
}

struct Building<'a> {
    builder: LayerBuilder,
    taken: BTreeSet<SocketAddr>,
    findings: Vec<Finding>,
    http_inbound: BTreeMap<String, SocketAddr>,
    node: &'a Node,
    mesh: &'a MeshSettings,
}

impl Building<'_> {
    fn sidecar(&mut self, inputs: &Inputs) {
        for inbound in self.node.inbound.values() {
            self.inbound(inbound, &inputs.owned);
        }
        if let Some(port) = self.node.http_proxy_port {
            let bind = (self.node.ip, port);
            let routes = Routes::Named(names::HTTP_PROXY_ROUTES.into());
            let listener = listener::http(bind, Direction::Outbound, routes, self.mesh, self.node.dialect);
            // It stands on the workload's own address, which the network reaches; the way through it is the workload's.
            let listener = listener::for_own_host(listener);
            self.listener(bind, Topic::PilotConflictOutboundListener, &listener);
        }
        for upstream in &inputs.upstreams {
            self.upstream(upstream);
        }
    }

    fn inbound(&mut self, inbound: &Inbound, owned: &[Owned]) {
        let mut here = owned.iter().filter(|entry| entry.instance.port == inbound.port);
        let service = here.next();
        let others =
            here.filter(|other| Some(&other.service.host) != service.map(|entry| &entry.service.host));
        for other in others {
            let winner = service.map_or("", |entry| entry.service.host.as_str());
            let message = format!(
                "port {} is that of {winner}; {} is left out",
                inbound.port, other.service.host
            );
            self.finding(Topic::PilotConflictInboundListener, &other.service.host, message);
        }
        let port = service.and_then(|entry| entry.service.port(entry.instance.service_port));
        let protocol = inbound
            .protocol
            .or(port.map(|port| port.protocol))
            .unwrap_or(Protocol::Tcp);
        if protocol == Protocol::Udp {
            let message = format!("port {} is UDP, which is never proxied", inbound.port);
            self.finding(
                Topic::PilotTotalRejectedConfigs,
                &self.node.workload.clone(),
                message,
            );
            return;
        }
        // A workload that no registry knows yet is reachable too: its health check may have to pass first.
        let host = service.map_or(self.node.workload.as_str(), |entry| entry.service.host.as_str());
        let number = port.map_or(inbound.port, |port| port.port);
        let port_name = port.map_or("", |port| port.name.as_str());
        let cluster_name = names::inbound_cluster(host, number, port_name);
        let bind = (self.node.ip, inbound.port);
        let listener = if protocol.is_http() {
            let host = inbound_routes(&cluster_name, number);
            let routes = Routes::Inline(Box::new(route_configuration(&cluster_name, vec![host])));
            listener::http(bind, Direction::Inbound, routes, self.mesh, self.node.dialect)
        } else {
            listener::tcp(
                bind,
                Direction::Inbound,
                &[(cluster_name.clone(), 100)],
                self.mesh,
            )
        };
        if self.listener(bind, Topic::PilotConflictInboundListener, &listener) {
            self.builder
                .cluster(&cluster::inbound(&cluster_name, inbound.app, protocol, self.mesh));
            if protocol.is_http() {
                self.http_inbound
                    .insert(listener.name, SocketAddr::new(bind.0, bind.1));
            }
        }
    }

    fn upstream(&mut self, upstream: &Resolved) {
        let bind = (upstream.bind.ip(), upstream.bind.port());
        let listener = match &upstream.leads {
            Leads::Http { host, port } => {
                let routes = Routes::Named(names::outbound_routes(host, *port));
                listener::http(bind, Direction::Outbound, routes, self.mesh, self.node.dialect)
            }
            Leads::Tcp { clusters } => listener::tcp(bind, Direction::Outbound, clusters, self.mesh),
            Leads::Nowhere { host, why } => {
                self.finding(Topic::PilotDestinationMissing, host, why.clone());
                return;
            }
        };
        self.listener(bind, Topic::PilotConflictOutboundListener, &listener);
    }

    fn router(&mut self, gateway: &GatewayPart) {
        for (port, opened) in &gateway.ports {
            let bind = (self.node.ip, *port);
            let listener = match opened {
                Opened::Http => {
                    let routes = Routes::Named(names::gateway_routes(*port));
                    listener::http(bind, Direction::Outbound, routes, self.mesh, self.node.dialect)
                }
                Opened::Tcp(clusters) => listener::tcp(bind, Direction::Outbound, clusters, self.mesh),
            };
            self.listener(bind, Topic::PilotConflictOutboundListener, &listener);
        }
    }

    /// Adds a listener unless its address is taken; the first one keeps it.
    fn listener(&mut self, bind: (IpAddr, u16), topic: Topic, listener: &Listener) -> bool {
        if self.taken.insert(SocketAddr::new(bind.0, bind.1)) {
            self.builder.listener(listener);
            return true;
        }
        let message = format!(
            "{}:{} is wanted twice; the second listener is left out",
            bind.0, bind.1
        );
        self.finding(topic, &listener.name, message);
        false
    }

    fn finding(&mut self, topic: Topic, key: &str, message: String) {
        self.findings
            .push(Finding::new(topic, key, message).at(&self.node.id));
    }
}

fn resolve(snapshot: &Snapshot, node: &Node, upstream: &crate::node::Upstream, shared: &Shared) -> Resolved {
    let nowhere = |why: &str| Leads::Nowhere {
        host: upstream.host.clone(),
        why: format!("{why}, so {} is not opened", upstream.bind),
    };
    let leads = match snapshot.host_named(&upstream.host, &node.domain) {
        None => nowhere("no registry knows the host"),
        Some(host) => {
            let state = snapshot.catalog.services.get(host);
            match state.and_then(|state| state.service.port(upstream.port)) {
                None => nowhere(&format!("the host has no port {}", upstream.port)),
                Some(port) if port.protocol == Protocol::Udp => {
                    nowhere("the port is UDP, which is never proxied")
                }
                Some(port) if port.protocol.is_http() => Leads::Http {
                    host: host.to_owned(),
                    port: port.port,
                },
                Some(port) => match shared.tcp(host, port.port) {
                    None => nowhere("the host has no clusters"),
                    Some(clusters) => Leads::Tcp {
                        clusters: clusters.to_vec(),
                    },
                },
            }
        }
    };
    Resolved {
        bind: upstream.bind,
        leads,
    }
}
