//! Clusters and load assignments in a bootstrap file.

use std::collections::HashMap;

use outrigger_xds::pack;
use outrigger_xds::pb::envoy::config::cluster::v3 as pb;
use outrigger_xds::pb::envoy::config::core::v3 as core;
use outrigger_xds::pb::envoy::config::endpoint::v3 as endpoint;
use outrigger_xds::pb::envoy::extensions::upstreams::http::v3 as upstream;
use outrigger_xds::pb::google::protobuf;
use serde::Deserialize;

use super::scalar::{Address, Seconds, ads, number};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cluster {
    name: String,
    #[serde(default, rename = "type")]
    kind: Kind,
    connect_timeout: Option<Seconds>,
    #[serde(default)]
    lb_policy: LbPolicy,
    load_assignment: Option<Assignment>,
    eds_cluster_config: Option<Eds>,
    dns_refresh_rate: Option<Seconds>,
    #[serde(default)]
    respect_dns_ttl: bool,
    #[serde(default)]
    dns_lookup_family: Family,
    circuit_breakers: Option<Breakers>,
    #[serde(default)]
    typed_extension_protocol_options: HashMap<String, ProtocolOptions>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Kind {
    #[default]
    Static,
    StrictDns,
    Eds,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum LbPolicy {
    #[default]
    RoundRobin,
    LeastRequest,
    Random,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Family {
    #[default]
    Auto,
    V4Only,
    V6Only,
    V4Preferred,
    All,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Eds {
    #[serde(default)]
    service_name: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Breakers {
    thresholds: Vec<Threshold>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Threshold {
    max_connections: Option<u32>,
    max_pending_requests: Option<u32>,
    max_requests: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "@type")]
enum ProtocolOptions {
    #[serde(rename = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions")]
    Http(HttpProtocolOptions),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HttpProtocolOptions {
    explicit_http_config: Explicit,
    common_http_protocol_options: Option<Common>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum Explicit {
    HttpProtocolOptions(Nothing),
    Http2ProtocolOptions(Nothing),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Common {
    idle_timeout: Option<Seconds>,
}

/// `{}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Assignment {
    cluster_name: String,
    #[serde(default)]
    endpoints: Vec<Locality>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Locality {
    #[serde(default)]
    lb_endpoints: Vec<LbEndpoint>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LbEndpoint {
    endpoint: Endpoint,
    load_balancing_weight: Option<u32>,
    #[serde(default)]
    health_status: Health,
    metadata: Option<Metadata>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Health {
    #[default]
    Unknown,
    Healthy,
    Unhealthy,
    Draining,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Endpoint {
    address: Address,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    filter_metadata: HashMap<String, HashMap<String, String>>,
}

impl From<Cluster> for pb::Cluster {
    #[allow(deprecated)] // Envoy still reads the DNS fields here, as we do
    fn from(cluster: Cluster) -> Self {
        use pb::cluster::{ClusterDiscoveryType, DiscoveryType, DnsLookupFamily, LbPolicy as Policy};
        let kind = match cluster.kind {
            Kind::Static => DiscoveryType::Static,
            Kind::StrictDns => DiscoveryType::StrictDns,
            Kind::Eds => DiscoveryType::Eds,
        };
        let policy = match cluster.lb_policy {
            LbPolicy::RoundRobin => Policy::RoundRobin,
            LbPolicy::LeastRequest => Policy::LeastRequest,
            LbPolicy::Random => Policy::Random,
        };
        let family = match cluster.dns_lookup_family {
            Family::Auto => DnsLookupFamily::Auto,
            Family::V4Only => DnsLookupFamily::V4Only,
            Family::V6Only => DnsLookupFamily::V6Only,
            Family::V4Preferred => DnsLookupFamily::V4Preferred,
            Family::All => DnsLookupFamily::All,
        };
        let eds = cluster
            .eds_cluster_config
            .map(|eds| pb::cluster::EdsClusterConfig {
                eds_config: ads(),
                service_name: eds.service_name,
            });
        let options = cluster.typed_extension_protocol_options.into_iter();
        pb::Cluster {
            name: cluster.name,
            cluster_discovery_type: Some(ClusterDiscoveryType::Type(kind as i32)),
            connect_timeout: cluster.connect_timeout.map(Into::into),
            lb_policy: policy as i32,
            load_assignment: cluster.load_assignment.map(Into::into),
            eds_cluster_config: eds,
            dns_refresh_rate: cluster.dns_refresh_rate.map(Into::into),
            respect_dns_ttl: cluster.respect_dns_ttl,
            dns_lookup_family: family as i32,
            circuit_breakers: cluster.circuit_breakers.map(Into::into),
            typed_extension_protocol_options: options
                .map(|(key, ProtocolOptions::Http(options))| {
                    (key, pack(&upstream::HttpProtocolOptions::from(options)))
                })
                .collect(),
            ..Default::default()
        }
    }
}

impl From<Breakers> for pb::CircuitBreakers {
    fn from(breakers: Breakers) -> Self {
        let thresholds = breakers
            .thresholds
            .into_iter()
            .map(|threshold| pb::circuit_breakers::Thresholds {
                max_connections: number(threshold.max_connections),
                max_pending_requests: number(threshold.max_pending_requests),
                max_requests: number(threshold.max_requests),
                ..Default::default()
            });
        pb::CircuitBreakers {
            thresholds: thresholds.collect(),
            ..Default::default()
        }
    }
}

impl From<HttpProtocolOptions> for upstream::HttpProtocolOptions {
    fn from(options: HttpProtocolOptions) -> Self {
        use upstream::http_protocol_options::explicit_http_config::ProtocolConfig;
        use upstream::http_protocol_options::{ExplicitHttpConfig, UpstreamProtocolOptions};
        let protocol = match options.explicit_http_config {
            Explicit::HttpProtocolOptions(Nothing {}) => {
                ProtocolConfig::HttpProtocolOptions(Default::default())
            }
            Explicit::Http2ProtocolOptions(Nothing {}) => {
                ProtocolConfig::Http2ProtocolOptions(Default::default())
            }
        };
        let explicit = ExplicitHttpConfig {
            protocol_config: Some(protocol),
        };
        upstream::HttpProtocolOptions {
            upstream_protocol_options: Some(UpstreamProtocolOptions::ExplicitHttpConfig(explicit)),
            common_http_protocol_options: options.common_http_protocol_options.map(|common| {
                core::HttpProtocolOptions {
                    idle_timeout: common.idle_timeout.map(Into::into),
                    ..Default::default()
                }
            }),
            ..Default::default()
        }
    }
}

impl From<Assignment> for endpoint::ClusterLoadAssignment {
    fn from(assignment: Assignment) -> Self {
        let localities = assignment
            .endpoints
            .into_iter()
            .map(|locality| endpoint::LocalityLbEndpoints {
                lb_endpoints: locality.lb_endpoints.into_iter().map(Into::into).collect(),
                ..Default::default()
            });
        endpoint::ClusterLoadAssignment {
            cluster_name: assignment.cluster_name,
            endpoints: localities.collect(),
            ..Default::default()
        }
    }
}

impl From<LbEndpoint> for endpoint::LbEndpoint {
    fn from(lb: LbEndpoint) -> Self {
        let health = match lb.health_status {
            Health::Unknown => core::HealthStatus::Unknown,
            Health::Healthy => core::HealthStatus::Healthy,
            Health::Unhealthy => core::HealthStatus::Unhealthy,
            Health::Draining => core::HealthStatus::Draining,
        };
        let address = Some(lb.endpoint.address.into());
        let place = endpoint::Endpoint {
            address,
            ..Default::default()
        };
        endpoint::LbEndpoint {
            load_balancing_weight: number(lb.load_balancing_weight),
            health_status: health as i32,
            metadata: lb.metadata.map(Into::into),
            host_identifier: Some(endpoint::lb_endpoint::HostIdentifier::Endpoint(place)),
        }
    }
}

impl From<Metadata> for core::Metadata {
    fn from(metadata: Metadata) -> Self {
        let text = |value| protobuf::Value {
            kind: Some(protobuf::value::Kind::StringValue(value)),
        };
        let fields = |fields: HashMap<String, String>| protobuf::Struct {
            fields: fields
                .into_iter()
                .map(|(key, value)| (key, text(value)))
                .collect(),
        };
        let namespaces = metadata.filter_metadata.into_iter();
        core::Metadata {
            filter_metadata: namespaces
                .map(|(namespace, found)| (namespace, fields(found)))
                .collect(),
            ..Default::default()
        }
    }
}
