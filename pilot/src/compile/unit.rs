//! One host's share of what a class of proxies gets: its clusters, its outbound listeners, its routes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use outrigger_api::model::{Protocol, Resolution, ServicePort};
use outrigger_xds::pb::envoy::config::cluster::v3::Cluster;
use outrigger_xds::{References, Resource, UnpackError};
use prost::{Message, Name};

use super::balancer::balancer;
use super::cluster;
use super::domains::{self, Wanted};
use super::governing::{Governing, conflicts, governing};
use super::inputs::Inputs;
use super::listener::{self, Direction, Routes};
use super::route::{DEFAULT_TIMEOUT, Route, default_route};
use super::route_config::{route_configuration, virtual_host};
use super::{route_rule, tcp_route, virtual_service};
use crate::class::Class;
use crate::finding::{Finding, Topic};
use crate::mesh::MeshSettings;
use crate::names as resource_names;
use crate::snapshot::rules::Names;

/// What one host adds. Resources are encoded once and shared by every proxy that gets them.
#[derive(Debug, Default)]
pub(crate) struct Unit {
    pub(crate) clusters: Vec<Arc<Resource>>,
    pub(crate) listeners: Vec<Arc<Resource>>,
    pub(crate) routes: Vec<Arc<Resource>>,
    /// The routes of each HTTP port, for the RouteConfiguration of the HTTP proxy.
    pub(crate) http: BTreeMap<u16, Vec<Route>>,
    /// The clusters of each TCP port with their weights.
    pub(crate) tcp: BTreeMap<u16, Vec<(String, u32)>>,
    /// Addresses that the registry itself gives to the service, and the virtual one.
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) findings: Vec<Finding>,
}

/// The port of a host that no registry knows (`spec/traffic-v1alpha3.md` §1.4).
pub(crate) const UNKNOWN_HOST_PORT: u16 = 80;

impl Unit {
    /// Compiles one host.
    pub(crate) fn compile(inputs: &Inputs, names: &Names, class: &Class, mesh: &MeshSettings) -> Unit {
        let mut unit = Unit {
            findings: inputs.findings.clone(),
            ..Unit::default()
        };
        unit.findings.extend(conflicts(inputs));
        unit.addresses = inputs.address.map(IpAddr::V4).into_iter().collect();
        let Some(service) = &inputs.service else {
            unit.compile_unknown_host(inputs, names, class);
            return unit;
        };
        if service.resolution == Resolution::Passthrough {
            unit.findings.push(Finding::new(
                Topic::PilotTotalRejectedConfigs,
                &inputs.host,
                "resolution NONE needs captured traffic, which explicit mode has not; the host is left out",
            ));
            return unit;
        }
        let own = service.address.filter(|address| !address.is_unspecified());
        unit.addresses.extend(own);
        for port in service.ports.iter().filter(|port| port.protocol != Protocol::Udp) {
            unit.compile_clusters(inputs, port, mesh);
            if port.protocol.is_http() {
                unit.compile_http(inputs, names, class, port);
            } else {
                unit.compile_tcp(inputs, names, class, port);
            }
            if class.virtual_listeners {
                unit.compile_listener(inputs, class, port, mesh);
            }
        }
        unit
    }

    /// Only the HTTP proxy can be asked for a host that has no service: its VirtualService says where to go, and the
    /// host answers for the ports of its destinations too, by which a client may know it.
    fn compile_unknown_host(&mut self, inputs: &Inputs, names: &Names, class: &Class) {
        if governing(inputs) != Governing::Second {
            return;
        }
        let (routes, findings) = virtual_service::routes(inputs, names, class, UNKNOWN_HOST_PORT);
        self.findings.extend(findings);
        let of_destinations: BTreeSet<u16> = routes.iter().flat_map(Route::ports).collect();
        for port in of_destinations
            .into_iter()
            .filter(|port| *port != UNKNOWN_HOST_PORT)
        {
            let (routes, findings) = virtual_service::routes(inputs, names, class, port);
            self.findings.extend(findings);
            self.http.insert(port, routes);
        }
        self.http.insert(UNKNOWN_HOST_PORT, routes);
    }

    fn compile_clusters(&mut self, inputs: &Inputs, port: &ServicePort, mesh: &MeshSettings) {
        for version in &inputs.versions {
            let name = resource_names::outbound_cluster(&inputs.host, port.port, &version.text);
            let (balancer, findings) = balancer(inputs, port, version);
            self.findings.extend(findings);
            let cluster = match &inputs.instances {
                Some(instances) => {
                    let labels = &version.labels;
                    cluster::dns(&name, port.port, labels, instances, port.protocol, balancer, mesh)
                }
                None => cluster::eds(&name, port.protocol, balancer, mesh),
            };
            self.clusters.push(encode_cluster(&cluster));
        }
    }

    fn compile_http(&mut self, inputs: &Inputs, names: &Names, class: &Class, port: &ServicePort) {
        let (routes, findings) = match governing(inputs) {
            Governing::First => route_rule::routes(inputs, names, class.dialect, port.port),
            Governing::Second => virtual_service::routes(inputs, names, class, port.port),
            Governing::Nothing => (
                vec![default_route(&inputs.host, port.port, Some(DEFAULT_TIMEOUT))],
                Vec::new(),
            ),
        };
        self.findings.extend(findings);
        let wanted = Wanted {
            host: &inputs.host,
            port: port.port,
            bare: true,
            addresses: self.addresses.clone(),
        };
        let domains = domains::alone(&wanted, &class.domain);
        let host = virtual_host(
            resource_names::virtual_host(&inputs.host, port.port),
            domains,
            &routes,
        );
        let name = resource_names::outbound_routes(&inputs.host, port.port);
        let configuration = route_configuration(&name, vec![host]);
        self.routes.extend(encode(
            &name,
            &configuration,
            References::of_route(&configuration),
        ));
        self.http.insert(port.port, routes);
    }

    fn compile_tcp(&mut self, inputs: &Inputs, names: &Names, class: &Class, port: &ServicePort) {
        let (targets, findings) = tcp_route::targets(inputs, names, class, port.port);
        self.findings.extend(findings);
        self.tcp.insert(port.port, listener::tcp_clusters(&targets));
    }

    fn compile_listener(&mut self, inputs: &Inputs, class: &Class, port: &ServicePort, mesh: &MeshSettings) {
        let Some(address) = inputs.address else {
            let message = "has no virtual address yet, so no listener";
            self.findings
                .push(Finding::new(Topic::PilotNoIp, &inputs.host, message));
            return;
        };
        let bind = (IpAddr::V4(address), port.port);
        let listener = match self.tcp.get(&port.port) {
            Some(clusters) => listener::tcp(bind, Direction::Outbound, clusters, mesh),
            None => {
                let routes = Routes::Named(resource_names::outbound_routes(&inputs.host, port.port));
                listener::http(bind, Direction::Outbound, routes, mesh, class.dialect)
            }
        };
        self.listeners.extend(encode(
            &listener.name,
            &listener,
            References::of_listener(&listener),
        ));
    }
}

fn encode_cluster(cluster: &Cluster) -> Arc<Resource> {
    Arc::new(Resource::from_bytes(
        outrigger_xds::TypeUrl::Cluster,
        &cluster.name,
        &cluster.encode_to_vec(),
        References::of_cluster(cluster),
    ))
}

fn encode<M: Message + Name>(
    name: &str,
    message: &M,
    references: References,
) -> Result<Arc<Resource>, UnpackError> {
    Resource::encode(name, message, references).map(Arc::new)
}
