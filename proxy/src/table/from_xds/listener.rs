//! Listener to where it accepts and what it does.

use std::sync::Arc;

use outrigger_xds::pb::envoy::config::core::v3::TrafficDirection;
use outrigger_xds::pb::envoy::config::listener::v3::filter::ConfigType;
use outrigger_xds::pb::envoy::config::listener::v3::filter_chain_match::ConnectionSourceType;
use outrigger_xds::pb::envoy::config::listener::v3::{
    FilterChain, FilterChainMatch, Listener as ListenerMessage,
};
use outrigger_xds::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
use outrigger_xds::pb::envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy;
use outrigger_xds::pb::envoy::extensions::filters::network::tcp_proxy::v3::tcp_proxy::{
    ClusterSpecifier, WeightedCluster,
};
use outrigger_xds::unpack;

use super::address::ip_and_port;
use super::at::{At, refuse};
use super::filter::access_log;
use super::http::http;
use crate::stats::{ListenerStats, TcpStats};
use crate::table::{Direction, Listener, ListenerKind, Names, TableError, Target, TcpListener, Weighted};

/// A checked listener.
#[derive(Debug)]
pub struct ListenerSpec {
    /// The listener; with RDS its routes are empty until the control thread puts in the delivered ones. Its counters
    /// are its own until the control thread gives it the kept ones.
    pub listener: Listener,
    /// Name of the route configuration it waits for; `None` for inline routes and TCP.
    pub rds: Option<String>,
}

/// Checks an LDS resource.
#[allow(deprecated)] // a field that is on its way out is refused as well
pub fn listener(message: &ListenerMessage, names: &mut Names) -> Result<ListenerSpec, TableError> {
    let at = At::resource(&message.name);
    if message.name.is_empty() {
        return Err(at.at("name").error("must not be blank"));
    }
    refuse!(
        at,
        message,
        additional_addresses,
        fcds_config,
        filter_chain_matcher,
        default_filter_chain,
        listener_filters,
        udp_listener_config,
        api_listener,
        socket_options,
        tcp_fast_open_queue_length,
        listener_specifier,
        enable_mptcp,
        stat_prefix,
    );
    for (field, value, allowed) in [
        ("use_original_dst", message.use_original_dst, false),
        ("transparent", message.transparent, false),
        ("freebind", message.freebind, false),
        ("bind_to_port", message.bind_to_port, true),
    ] {
        if value.is_some_and(|value| value.value != allowed) {
            return Err(at.at(field).error(format!("only {allowed} is supported")));
        }
    }
    let address = ip_and_port(&at.at("address"), message.address.as_ref())?;
    let direction = match TrafficDirection::try_from(message.traffic_direction) {
        Ok(TrafficDirection::Inbound) => Direction::Inbound,
        Ok(TrafficDirection::Outbound) => Direction::Outbound,
        Ok(TrafficDirection::Unspecified) => Direction::Gateway,
        Err(_) => {
            let found = message.traffic_direction;
            return Err(at
                .at("traffic_direction")
                .error(format!("{found} is not a known direction")));
        }
    };
    let [chain] = &*message.filter_chains else {
        let found = message.filter_chains.len();
        return Err(at
            .at("filter_chains")
            .error(format!("exactly one chain is expected, found {found}")));
    };
    let logged = access_log(&at, &message.access_log)?;
    let at_chain = at.nth("filter_chains", 0);
    let own_host_only = own_host_only(&at_chain, chain)?;
    let (mut kind, rds) = filter(&at_chain, chain, names)?;
    if let ListenerKind::Tcp(tcp) = &mut kind {
        tcp.access_log |= logged;
    }
    let stats = Arc::new(ListenerStats::new(1));
    let listener = Listener {
        name: (&*message.name).into(),
        address,
        direction,
        own_host_only,
        kind,
        stats,
    };
    Ok(ListenerSpec { listener, rds })
}

/// The one condition that a chain may have: that connections come from the host itself.
fn own_host_only(at: &At<'_>, chain: &FilterChain) -> Result<bool, TableError> {
    let only = FilterChainMatch {
        source_type: ConnectionSourceType::SameIpOrLoopback as i32,
        ..FilterChainMatch::default()
    };
    match &chain.filter_chain_match {
        None => Ok(false),
        Some(any) if *any == FilterChainMatch::default() => Ok(false),
        Some(condition) if *condition == only => Ok(true),
        Some(_) => Err(at
            .at("filter_chain_match")
            .error("only source_type SAME_IP_OR_LOOPBACK is supported, alone")),
    }
}

/// The one network filter of the chain.
#[allow(deprecated)] // a field that is on its way out is refused as well
fn filter(
    at: &At<'_>,
    chain: &FilterChain,
    names: &mut Names,
) -> Result<(ListenerKind, Option<String>), TableError> {
    refuse!(at, chain, transport_socket, use_proxy_proto);
    let [filter] = &*chain.filters else {
        let found = chain.filters.len();
        let expected = "exactly one filter is expected, an HTTP connection manager or a TCP proxy";
        return Err(at.at("filters").error(format!("{expected}, found {found}")));
    };
    let at = at.nth("filters", 0);
    let Some(ConfigType::TypedConfig(any)) = &filter.config_type else {
        return Err(at.at("typed_config").error("is missing"));
    };
    let at = at.at("typed_config");
    match any.type_url.rsplit('/').next() {
        Some("envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager") => {
            let manager: HttpConnectionManager = unpack(any).map_err(|error| at.garbled(&error))?;
            let (http, rds) = http(&at, &manager, names)?;
            Ok((ListenerKind::Http(http), rds))
        }
        Some("envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy") => {
            let proxy: TcpProxy = unpack(any).map_err(|error| at.garbled(&error))?;
            Ok((ListenerKind::Tcp(tcp(&at, &proxy, names)?), None))
        }
        _ => Err(at.error(format!(
            "filter {:?} of type {:?} is not supported: expected an HTTP connection manager or a TCP proxy",
            filter.name, any.type_url
        ))),
    }
}

#[allow(deprecated)] // a field that is on its way out is refused as well
fn tcp(at: &At<'_>, message: &TcpProxy, names: &mut Names) -> Result<TcpListener, TableError> {
    refuse!(
        at,
        message,
        on_demand,
        metadata_match,
        downstream_idle_timeout,
        upstream_idle_timeout,
        backoff_options,
        hash_policy,
        tunneling_config,
        max_downstream_connection_duration,
        max_downstream_connection_duration_jitter_percentage,
        proxy_protocol_tlvs,
        upstream_connect_mode,
        max_early_data_bytes,
    );
    if message.stat_prefix.is_empty() {
        return Err(at.at("stat_prefix").error("must not be blank"));
    }
    let target = match &message.cluster_specifier {
        Some(ClusterSpecifier::Cluster(name)) if name.is_empty() => {
            return Err(at.at("cluster").error("must not be blank"));
        }
        Some(ClusterSpecifier::Cluster(name)) => Target::One(names.slot(name)),
        Some(ClusterSpecifier::WeightedClusters(clusters)) => {
            weighted(&at.at("weighted_clusters"), clusters, names)?
        }
        None => return Err(at.error("one of cluster and weighted_clusters is expected")),
    };
    let mut tcp = TcpListener::new(target, &*message.stat_prefix, Arc::new(TcpStats::new(1)));
    tcp.idle_timeout = at
        .at("idle_timeout")
        .limit(message.idle_timeout.as_ref(), tcp.idle_timeout)?;
    if let Some(attempts) = message.max_connect_attempts {
        if attempts.value == 0 {
            return Err(at.at("max_connect_attempts").error("must be at least 1"));
        }
        tcp.max_connect_attempts = attempts.value;
    }
    tcp.access_log = access_log(at, &message.access_log)?;
    Ok(tcp)
}

fn weighted(at: &At<'_>, message: &WeightedCluster, names: &mut Names) -> Result<Target, TableError> {
    let mut weights = Vec::with_capacity(message.clusters.len());
    for (cluster, nth) in message.clusters.iter().zip(0..) {
        let at = at.nth("clusters", nth);
        refuse!(at, cluster, metadata_match);
        if cluster.name.is_empty() {
            return Err(at.at("name").error("must not be blank"));
        }
        weights.push((cluster.weight, names.slot(&cluster.name)));
    }
    Weighted::new(weights)
        .map(Target::Weighted)
        .map_err(|message| at.at("clusters").error(message))
}
