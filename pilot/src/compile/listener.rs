//! Listeners: an address with either an HTTP connection manager or a TCP proxy behind it.

use std::net::IpAddr;

use outrigger_xds::pb::envoy::config::accesslog::v3::{AccessLog, access_log};
use outrigger_xds::pb::envoy::config::core::v3::{Http2ProtocolOptions, TrafficDirection};
use outrigger_xds::pb::envoy::config::listener::v3::filter_chain_match::ConnectionSourceType;
use outrigger_xds::pb::envoy::config::listener::v3::{
    Filter, FilterChain, FilterChainMatch, Listener, filter,
};
use outrigger_xds::pb::envoy::config::route::v3::RouteConfiguration;
use outrigger_xds::pb::envoy::extensions::access_loggers::file::v3::{FileAccessLog, file_access_log};
use outrigger_xds::pb::envoy::extensions::filters::http::router::v3::Router;
use outrigger_xds::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::{
    RouteSpecifier, UpgradeConfig,
};
use outrigger_xds::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, HttpFilter, Rds, http_filter,
};
use outrigger_xds::pb::envoy::extensions::filters::network::tcp_proxy::v3::tcp_proxy::{
    ClusterSpecifier, WeightedCluster, weighted_cluster::ClusterWeight,
};
use outrigger_xds::pb::envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy;
use outrigger_xds::pb::google::protobuf::{BoolValue, UInt32Value};

use outrigger_xds::pack;

use super::encode::{ads, socket_address};
use super::route::Target;
use crate::dialect::Dialect;
use crate::mesh::MeshSettings;
use crate::names;

/// Which way the traffic of a listener goes, seen from the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// Towards the application.
    Inbound,
    /// Away from it, or through a gateway.
    Outbound,
}

/// Where an HTTP listener finds its routes.
pub(crate) enum Routes {
    /// In a RouteConfiguration of this name, asked for over ADS.
    Named(String),
    /// Here.
    Inline(Box<RouteConfiguration>),
}

/// A listener for HTTP/1.1 and HTTP/2 alike.
pub(crate) fn http(
    bind: (IpAddr, u16),
    direction: Direction,
    routes: Routes,
    mesh: &MeshSettings,
    dialect: Dialect,
) -> Listener {
    let name = names::listener(bind.0, bind.1);
    let route_specifier = match routes {
        Routes::Named(route_config_name) => RouteSpecifier::Rds(Rds {
            config_source: Some(ads()),
            route_config_name,
        }),
        Routes::Inline(configuration) => RouteSpecifier::RouteConfig(*configuration),
    };
    let mut manager = HttpConnectionManager {
        stat_prefix: stat_prefix(direction, &name),
        http_filters: vec![HttpFilter {
            name: "envoy.filters.http.router".into(),
            config_type: Some(http_filter::ConfigType::TypedConfig(pack(&Router::default()))),
            ..HttpFilter::default()
        }],
        http2_protocol_options: Some(Http2ProtocolOptions {
            allow_connect: true,
            ..Default::default()
        }),
        access_log: access_log(mesh),
        use_remote_address: Some(BoolValue {
            value: direction == Direction::Outbound,
        }),
        upgrade_configs: vec![UpgradeConfig {
            upgrade_type: "websocket".into(),
            ..Default::default()
        }],
        route_specifier: Some(route_specifier),
        ..HttpConnectionManager::default()
    };
    dialect.complete(&mut manager);
    listener(
        bind,
        direction,
        "envoy.filters.network.http_connection_manager",
        pack(&manager),
    )
}

/// `listener` for connections of the workload's own host alone; others are closed.
pub(crate) fn for_own_host(mut listener: Listener) -> Listener {
    for chain in &mut listener.filter_chains {
        chain.filter_chain_match = Some(FilterChainMatch {
            source_type: ConnectionSourceType::SameIpOrLoopback as i32,
            ..FilterChainMatch::default()
        });
    }
    listener
}

/// A listener that passes bytes on to one of `targets`, which must not be empty; several are chosen by weight.
pub(crate) fn tcp(
    bind: (IpAddr, u16),
    direction: Direction,
    clusters: &[(String, u32)],
    mesh: &MeshSettings,
) -> Listener {
    let specifier = match clusters {
        [(only, _)] => ClusterSpecifier::Cluster(only.clone()),
        several => ClusterSpecifier::WeightedClusters(WeightedCluster {
            clusters: several
                .iter()
                .map(|(name, weight)| ClusterWeight {
                    name: name.clone(),
                    weight: *weight,
                    ..Default::default()
                })
                .collect(),
        }),
    };
    let proxy = TcpProxy {
        stat_prefix: stat_prefix(direction, &names::listener(bind.0, bind.1)),
        access_log: access_log(mesh),
        cluster_specifier: Some(specifier),
        ..TcpProxy::default()
    };
    listener(bind, direction, "envoy.filters.network.tcp_proxy", pack(&proxy))
}

/// Targets as the TCP proxy takes them. Weight 0 is left out: it would be refused.
pub(crate) fn tcp_clusters(targets: &[Target]) -> Vec<(String, u32)> {
    targets
        .iter()
        .filter(|target| target.weight > 0)
        .map(|target| (target.cluster(), target.weight))
        .collect()
}

fn listener(
    bind: (IpAddr, u16),
    direction: Direction,
    filter_name: &str,
    config: outrigger_xds::pb::google::protobuf::Any,
) -> Listener {
    let traffic_direction = match direction {
        Direction::Inbound => TrafficDirection::Inbound,
        Direction::Outbound => TrafficDirection::Outbound,
    };
    Listener {
        name: names::listener(bind.0, bind.1),
        address: Some(socket_address(&bind.0.to_string(), bind.1)),
        filter_chains: vec![FilterChain {
            filters: vec![Filter {
                name: filter_name.to_owned(),
                config_type: Some(filter::ConfigType::TypedConfig(config)),
            }],
            ..FilterChain::default()
        }],
        traffic_direction: traffic_direction as i32,
        // A second proxy on the same address must fail loudly, not share the port unseen.
        enable_reuse_port: Some(BoolValue { value: false }),
        per_connection_buffer_limit_bytes: Some(UInt32Value {
            value: CONNECTION_BUFFER,
        }),
        ..Listener::default()
    }
}

/// What one connection may hold in each direction before its peer is made to wait.
const CONNECTION_BUFFER: u32 = 1 << 20;

fn stat_prefix(direction: Direction, name: &str) -> String {
    match direction {
        Direction::Inbound => format!("inbound_{name}"),
        Direction::Outbound => format!("outbound_{name}"),
    }
}

fn access_log(mesh: &MeshSettings) -> Vec<AccessLog> {
    let Some(path) = &mesh.access_log else {
        return Vec::new();
    };
    let file = FileAccessLog {
        path: path.clone(),
        access_log_format: None::<file_access_log::AccessLogFormat>,
    };
    vec![AccessLog {
        name: "envoy.access_loggers.file".into(),
        config_type: Some(access_log::ConfigType::TypedConfig(pack(&file))),
        ..AccessLog::default()
    }]
}
