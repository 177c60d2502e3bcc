//! Clusters: one for each version of a service port, with its load balancer and its upstream protocol.

use std::collections::HashMap;
use std::net::SocketAddr;

use outrigger_api::model::{Instance, Labels, Protocol};
use outrigger_xds::pb::envoy::config::cluster::v3::Cluster;
use outrigger_xds::pb::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, DiscoveryType, DnsLookupFamily, EdsClusterConfig, LbPolicy,
};
use outrigger_xds::pb::envoy::config::core::v3::Http2ProtocolOptions;
use outrigger_xds::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use outrigger_xds::pb::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
use outrigger_xds::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::explicit_http_config::ProtocolConfig;
use outrigger_xds::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::{
    ExplicitHttpConfig, UpstreamProtocolOptions,
};
use outrigger_xds::pb::google::protobuf::Any;

use outrigger_xds::pack;

use super::encode::ads;
use super::endpoint::load_assignment;
use super::route_config::duration;
use crate::mesh::MeshSettings;
use crate::names;

/// How a proxy picks among the endpoints of a cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Balancer {
    /// In turn.
    #[default]
    RoundRobin,
    /// The less loaded of two picked at random.
    LeastRequest,
    /// At random.
    Random,
}

impl Balancer {
    fn policy(self) -> LbPolicy {
        match self {
            Balancer::RoundRobin => LbPolicy::RoundRobin,
            Balancer::LeastRequest => LbPolicy::LeastRequest,
            Balancer::Random => LbPolicy::Random,
        }
    }
}

/// A cluster whose endpoints come over EDS under its own name.
pub(crate) fn eds(name: &str, protocol: Protocol, balancer: Balancer, mesh: &MeshSettings) -> Cluster {
    Cluster {
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Eds as i32)),
        eds_cluster_config: Some(EdsClusterConfig {
            eds_config: Some(ads()),
            service_name: name.to_owned(),
        }),
        ..outbound(name, protocol, balancer, mesh)
    }
}

/// A cluster whose endpoints are names that the proxy resolves.
pub(crate) fn dns(
    name: &str,
    port: u16,
    labels: &Labels,
    instances: &[Instance],
    protocol: Protocol,
    balancer: Balancer,
    mesh: &MeshSettings,
) -> Cluster {
    Cluster {
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::StrictDns as i32)),
        load_assignment: Some(load_assignment(name, port, labels, instances, None)),
        dns_lookup_family: DnsLookupFamily::V4Only as i32,
        ..outbound(name, protocol, balancer, mesh)
    }
}

/// The cluster that leads to the application behind a sidecar.
pub(crate) fn inbound(name: &str, app: SocketAddr, protocol: Protocol, mesh: &MeshSettings) -> Cluster {
    let application = Instance {
        address: app.ip().to_string(),
        port: app.port(),
        service_port: app.port(),
        labels: Labels::default(),
        weight: 1,
        locality: String::new(),
        service_account: String::new(),
        workload_id: String::new(),
    };
    let instances = std::slice::from_ref(&application);
    Cluster {
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Static as i32)),
        load_assignment: Some(load_assignment(
            name,
            app.port(),
            &Labels::default(),
            instances,
            None,
        )),
        ..outbound(name, protocol, Balancer::RoundRobin, mesh)
    }
}

/// The cluster without endpoints.
pub(crate) fn black_hole(mesh: &MeshSettings) -> Cluster {
    let name = names::BLACK_HOLE_CLUSTER;
    Cluster {
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Static as i32)),
        load_assignment: Some(ClusterLoadAssignment {
            cluster_name: name.to_owned(),
            ..ClusterLoadAssignment::default()
        }),
        ..outbound(name, Protocol::Tcp, Balancer::RoundRobin, mesh)
    }
}

fn outbound(name: &str, protocol: Protocol, balancer: Balancer, mesh: &MeshSettings) -> Cluster {
    Cluster {
        name: name.to_owned(),
        connect_timeout: Some(duration(mesh.connect_timeout)),
        lb_policy: balancer.policy() as i32,
        typed_extension_protocol_options: protocol_options(protocol),
        ..Cluster::default()
    }
}

/// HTTP/2 with prior knowledge for the protocols that need it; nothing for the rest, which is HTTP/1.1.
fn protocol_options(protocol: Protocol) -> HashMap<String, Any> {
    if !protocol.is_http2() {
        return HashMap::new();
    }
    let options = HttpProtocolOptions {
        upstream_protocol_options: Some(UpstreamProtocolOptions::ExplicitHttpConfig(ExplicitHttpConfig {
            protocol_config: Some(ProtocolConfig::Http2ProtocolOptions(
                Http2ProtocolOptions::default(),
            )),
        })),
        ..HttpProtocolOptions::default()
    };
    HashMap::from([(
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions".to_owned(),
        pack(&options),
    )])
}
