//! Cluster to what the table knows of it.

use outrigger_xds::pb::envoy::config::cluster::v3::cluster::{LbConfig, LbPolicy};
use outrigger_xds::pb::envoy::config::cluster::v3::{CircuitBreakers, Cluster};
use outrigger_xds::pb::envoy::config::core::v3::HttpProtocolOptions as CommonOptions;
use outrigger_xds::pb::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
use outrigger_xds::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::UpstreamProtocolOptions;
use outrigger_xds::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::explicit_http_config::ProtocolConfig;
use outrigger_xds::unpack;

use super::at::{At, refuse};
use super::discovery::{Discovery, discovery};
use crate::table::{ClusterInfo, EndpointSet, HttpVersion, Limits, Policy, TableError};

/// A checked cluster.
#[derive(Debug)]
pub struct ClusterSpec {
    /// Everything but the endpoints. Its counters are its own until the control thread gives it the kept ones.
    pub info: ClusterInfo,
    /// Below this percentage of healthy endpoints health is ignored. Default 50.
    pub panic_threshold: u32,
    /// Where its endpoints come from.
    pub discovery: Discovery,
}

/// Checks a CDS resource.
#[allow(deprecated)] // the older places of the protocol options are still written by control planes
pub fn cluster(message: &Cluster) -> Result<ClusterSpec, TableError> {
    let at = At::resource(&message.name);
    if message.name.is_empty() {
        return Err(at.at("name").error("must not be blank"));
    }
    refuse!(
        at,
        message,
        alt_stat_name,
        transport_socket,
        transport_socket_matches,
        transport_socket_matcher,
        health_checks,
        outlier_detection,
        lb_subset_config,
        load_balancing_policy,
        upstream_bind_config,
        filters,
        preconnect_policy,
        upstream_config,
        connection_pool_per_downstream_connection,
        protocol_selection,
        dns_resolvers,
        dns_resolution_config,
        typed_dns_resolver_config,
        use_tcp_for_dns_lookups,
        dns_jitter,
        lrs_server,
        upstream_connection_options,
        max_requests_per_connection,
    );
    let mut info = ClusterInfo::new(&*message.name, 1);
    info.policy = policy(&at, message)?;
    if let Some(timeout) = at
        .at("connect_timeout")
        .duration(message.connect_timeout.as_ref())?
    {
        if timeout.is_zero() {
            return Err(at.at("connect_timeout").error("must be above 0"));
        }
        info.connect_timeout = timeout;
    }
    if message.http2_protocol_options.is_some() {
        info.http = HttpVersion::Http2;
    }
    if let Some(options) = &message.common_http_protocol_options {
        common_options(&at.at("common_http_protocol_options"), options, &mut info)?;
    }
    protocol_options(&at, message, &mut info)?;
    if let Some(breakers) = &message.circuit_breakers {
        info.limits = limits(&at.at("circuit_breakers"), breakers)?;
    }
    let discovery = discovery(&at, message)?;
    Ok(ClusterSpec {
        info,
        panic_threshold: panic_threshold(&at, message)?,
        discovery,
    })
}

fn policy(at: &At<'_>, message: &Cluster) -> Result<Policy, TableError> {
    match &message.lb_config {
        None => {}
        Some(LbConfig::RoundRobinLbConfig(config)) => {
            refuse!(at.at("round_robin_lb_config"), config, slow_start_config);
        }
        Some(LbConfig::LeastRequestLbConfig(config)) => {
            let at = at.at("least_request_lb_config");
            refuse!(at, config, active_request_bias, slow_start_config);
            if config.choice_count.is_some_and(|count| count.value != 2) {
                return Err(at.at("choice_count").error("only 2 is supported"));
            }
        }
        Some(_) => {
            return Err(at
                .at("lb_config")
                .error("only round robin, random and least request are supported"));
        }
    }
    match LbPolicy::try_from(message.lb_policy) {
        Ok(LbPolicy::RoundRobin) => Ok(Policy::RoundRobin),
        Ok(LbPolicy::LeastRequest) => Ok(Policy::LeastRequest),
        Ok(LbPolicy::Random) => Ok(Policy::Random),
        other => {
            let found = other.map_or("an unknown number", |policy| policy.as_str_name());
            let expected = "expected ROUND_ROBIN, LEAST_REQUEST or RANDOM";
            Err(at
                .at("lb_policy")
                .error(format!("{found} is not supported: {expected}")))
        }
    }
}

fn protocol_options(at: &At<'_>, message: &Cluster, info: &mut ClusterInfo) -> Result<(), TableError> {
    const KEY: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    let at = at.at("typed_extension_protocol_options");
    for (key, any) in &message.typed_extension_protocol_options {
        let at = at.at(key);
        if key != KEY {
            return Err(at.not_supported());
        }
        let options: HttpProtocolOptions = unpack(any).map_err(|error| at.garbled(&error))?;
        refuse!(
            at,
            options,
            upstream_http_protocol_options,
            http_filters,
            header_validation_config,
            outlier_detection,
            request_mirror_policies,
            hash_policy,
            retry_policy,
        );
        if let Some(common) = &options.common_http_protocol_options {
            common_options(&at.at("common_http_protocol_options"), common, info)?;
        }
        let explicit = match &options.upstream_protocol_options {
            Some(UpstreamProtocolOptions::ExplicitHttpConfig(explicit)) => explicit.protocol_config.as_ref(),
            None => continue,
            Some(_) => {
                return Err(at
                    .at("upstream_protocol_options")
                    .error("only explicit_http_config is supported"));
            }
        };
        info.http = match explicit {
            Some(ProtocolConfig::HttpProtocolOptions(_)) => HttpVersion::Http1,
            Some(ProtocolConfig::Http2ProtocolOptions(_)) => HttpVersion::Http2,
            Some(ProtocolConfig::Http3ProtocolOptions(_)) => {
                return Err(at.at("http3_protocol_options").not_supported());
            }
            None => {
                return Err(at
                    .at("explicit_http_config")
                    .error("one protocol is expected, found none"));
            }
        };
    }
    Ok(())
}

fn common_options(at: &At<'_>, options: &CommonOptions, info: &mut ClusterInfo) -> Result<(), TableError> {
    refuse!(
        at,
        options,
        max_connection_duration,
        max_connection_duration_jitter,
        max_stream_duration,
        max_headers_count,
        max_response_headers_kb,
        max_requests_per_connection,
    );
    info.idle_timeout = at
        .at("idle_timeout")
        .limit(options.idle_timeout.as_ref(), info.idle_timeout)?;
    Ok(())
}

fn limits(at: &At<'_>, breakers: &CircuitBreakers) -> Result<Limits, TableError> {
    refuse!(at, breakers, per_host_thresholds);
    let mut limits = Limits::default();
    for (threshold, nth) in breakers.thresholds.iter().zip(0..) {
        let at = at.nth("thresholds", nth);
        if threshold.priority != 0 {
            return Err(at.at("priority").error("only DEFAULT is supported"));
        }
        refuse!(at, threshold, max_retries, retry_budget, max_connection_pools);
        let set = |limit: &mut u32, value: Option<outrigger_xds::pb::google::protobuf::UInt32Value>| {
            *limit = value.map_or(*limit, |value| value.value);
        };
        set(&mut limits.connections, threshold.max_connections);
        set(&mut limits.pending, threshold.max_pending_requests);
        set(&mut limits.requests, threshold.max_requests);
    }
    Ok(limits)
}

fn panic_threshold(at: &At<'_>, message: &Cluster) -> Result<u32, TableError> {
    let Some(config) = &message.common_lb_config else {
        return Ok(EndpointSet::PANIC_THRESHOLD);
    };
    let at = at.at("common_lb_config");
    refuse!(at, config, consistent_hashing_lb_config, override_host_status);
    match config.healthy_panic_threshold.map(|percent| percent.value) {
        None => Ok(EndpointSet::PANIC_THRESHOLD),
        Some(percent) if (0.0..=100.0).contains(&percent) => Ok(percent as u32),
        Some(percent) => {
            let at = at.at("healthy_panic_threshold");
            Err(at.error(format!(
                "a percentage between 0 and 100 is expected, found {percent}"
            )))
        }
    }
}
