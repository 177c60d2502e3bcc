//! Listeners in a bootstrap file.

use outrigger_xds::pack;
use outrigger_xds::pb::envoy::config::accesslog::v3 as accesslog;
use outrigger_xds::pb::envoy::config::core::v3 as core;
use outrigger_xds::pb::envoy::config::listener::v3 as pb;
use outrigger_xds::pb::envoy::extensions::access_loggers::stream::v3::StdoutAccessLog;
use outrigger_xds::pb::envoy::extensions::filters::http::router::v3::Router;
use outrigger_xds::pb::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
use outrigger_xds::pb::envoy::extensions::filters::network::tcp_proxy::v3 as tcp;
use serde::Deserialize;

use super::cluster::Nothing;
use super::route::RouteConfiguration;
use super::scalar::{Address, Seconds, ads, number, truth};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listener {
    name: String,
    address: Address,
    #[serde(default)]
    traffic_direction: Direction,
    filter_chains: Vec<FilterChain>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Direction {
    #[default]
    Unspecified,
    Inbound,
    Outbound,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FilterChain {
    filters: Vec<Filter>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    name: String,
    typed_config: FilterConfig,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "@type")]
enum FilterConfig {
    #[serde(
        rename = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
    )]
    Http(Box<Http>),
    #[serde(rename = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy")]
    Tcp(Tcp),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Http {
    stat_prefix: String,
    #[serde(default)]
    codec_type: Codec,
    route_config: Option<RouteConfiguration>,
    rds: Option<Rds>,
    http_filters: Vec<HttpFilter>,
    #[serde(default)]
    access_log: Vec<AccessLog>,
    #[serde(default)]
    upgrade_configs: Vec<Upgrade>,
    use_remote_address: Option<bool>,
    stream_idle_timeout: Option<Seconds>,
    request_timeout: Option<Seconds>,
    request_headers_timeout: Option<Seconds>,
    max_request_headers_kb: Option<u32>,
    http_protocol_options: Option<Http1>,
    common_http_protocol_options: Option<Common>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Codec {
    #[default]
    Auto,
    Http1,
    Http2,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rds {
    route_config_name: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HttpFilter {
    name: String,
    typed_config: HttpFilterConfig,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "@type")]
enum HttpFilterConfig {
    #[serde(rename = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router")]
    Router(Nothing),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AccessLog {
    name: String,
    typed_config: AccessLogConfig,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "@type")]
enum AccessLogConfig {
    #[serde(rename = "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog")]
    Stdout(Nothing),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Upgrade {
    upgrade_type: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Http1 {
    #[serde(default)]
    accept_http_10: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Common {
    idle_timeout: Option<Seconds>,
    max_headers_count: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tcp {
    stat_prefix: String,
    cluster: Option<String>,
    weighted_clusters: Option<Weighted>,
    idle_timeout: Option<Seconds>,
    max_connect_attempts: Option<u32>,
    #[serde(default)]
    access_log: Vec<AccessLog>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Weighted {
    clusters: Vec<Weight>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Weight {
    name: String,
    weight: u32,
}

impl From<Listener> for pb::Listener {
    fn from(listener: Listener) -> Self {
        let direction = match listener.traffic_direction {
            Direction::Unspecified => core::TrafficDirection::Unspecified,
            Direction::Inbound => core::TrafficDirection::Inbound,
            Direction::Outbound => core::TrafficDirection::Outbound,
        };
        let chains = listener.filter_chains.into_iter().map(|chain| pb::FilterChain {
            filters: chain.filters.into_iter().map(Into::into).collect(),
            ..Default::default()
        });
        pb::Listener {
            name: listener.name,
            address: Some(listener.address.into()),
            traffic_direction: direction as i32,
            filter_chains: chains.collect(),
            ..Default::default()
        }
    }
}

impl From<Filter> for pb::Filter {
    fn from(filter: Filter) -> Self {
        let any = match filter.typed_config {
            FilterConfig::Http(http) => pack(&hcm::HttpConnectionManager::from(*http)),
            FilterConfig::Tcp(proxy) => pack(&tcp::TcpProxy::from(proxy)),
        };
        pb::Filter {
            name: filter.name,
            config_type: Some(pb::filter::ConfigType::TypedConfig(any)),
        }
    }
}

impl From<Http> for hcm::HttpConnectionManager {
    fn from(http: Http) -> Self {
        use hcm::http_connection_manager::{CodecType, RouteSpecifier, UpgradeConfig};
        let codec = match http.codec_type {
            Codec::Auto => CodecType::Auto,
            Codec::Http1 => CodecType::Http1,
            Codec::Http2 => CodecType::Http2,
        };
        let inline = http
            .route_config
            .map(|routes| RouteSpecifier::RouteConfig(routes.into()));
        let rds = http.rds.map(|rds| {
            let route_config_name = rds.route_config_name;
            RouteSpecifier::Rds(hcm::Rds {
                config_source: ads(),
                route_config_name,
            })
        });
        let upgrades = http.upgrade_configs.into_iter();
        hcm::HttpConnectionManager {
            stat_prefix: http.stat_prefix,
            codec_type: codec as i32,
            route_specifier: inline.or(rds),
            http_filters: http.http_filters.into_iter().map(Into::into).collect(),
            access_log: http.access_log.into_iter().map(Into::into).collect(),
            upgrade_configs: upgrades
                .map(|upgrade| UpgradeConfig {
                    upgrade_type: upgrade.upgrade_type,
                    ..Default::default()
                })
                .collect(),
            use_remote_address: truth(http.use_remote_address),
            stream_idle_timeout: http.stream_idle_timeout.map(Into::into),
            request_timeout: http.request_timeout.map(Into::into),
            request_headers_timeout: http.request_headers_timeout.map(Into::into),
            max_request_headers_kb: number(http.max_request_headers_kb),
            http_protocol_options: http
                .http_protocol_options
                .map(|options| core::Http1ProtocolOptions {
                    accept_http_10: options.accept_http_10,
                    ..Default::default()
                }),
            common_http_protocol_options: http.common_http_protocol_options.map(|options| {
                core::HttpProtocolOptions {
                    idle_timeout: options.idle_timeout.map(Into::into),
                    max_headers_count: number(options.max_headers_count),
                    ..Default::default()
                }
            }),
            ..Default::default()
        }
    }
}

impl From<HttpFilter> for hcm::HttpFilter {
    fn from(filter: HttpFilter) -> Self {
        let HttpFilterConfig::Router(Nothing {}) = filter.typed_config;
        let router = hcm::http_filter::ConfigType::TypedConfig(pack(&Router::default()));
        hcm::HttpFilter {
            name: filter.name,
            config_type: Some(router),
            ..Default::default()
        }
    }
}

impl From<AccessLog> for accesslog::AccessLog {
    fn from(log: AccessLog) -> Self {
        let AccessLogConfig::Stdout(Nothing {}) = log.typed_config;
        let stdout = accesslog::access_log::ConfigType::TypedConfig(pack(&StdoutAccessLog::default()));
        accesslog::AccessLog {
            name: log.name,
            config_type: Some(stdout),
            ..Default::default()
        }
    }
}

impl From<Tcp> for tcp::TcpProxy {
    fn from(proxy: Tcp) -> Self {
        use tcp::tcp_proxy::{ClusterSpecifier, WeightedCluster, weighted_cluster::ClusterWeight};
        let weighted = proxy.weighted_clusters.map(|weighted| {
            let clusters = weighted.clusters.into_iter().map(|cluster| ClusterWeight {
                name: cluster.name,
                weight: cluster.weight,
                ..Default::default()
            });
            ClusterSpecifier::WeightedClusters(WeightedCluster {
                clusters: clusters.collect(),
            })
        });
        tcp::TcpProxy {
            stat_prefix: proxy.stat_prefix,
            cluster_specifier: proxy.cluster.map(ClusterSpecifier::Cluster).or(weighted),
            idle_timeout: proxy.idle_timeout.map(Into::into),
            max_connect_attempts: number(proxy.max_connect_attempts),
            access_log: proxy.access_log.into_iter().map(Into::into).collect(),
            ..Default::default()
        }
    }
}
