//! A static configuration: the `static_resources` of an Envoy bootstrap file, in YAML or JSON.
//!
//! Field names are Envoy's. Only what the proxy does can be written; anything else is an error with its line. What is
//! read becomes the same protobuf messages that xDS delivers and goes the same way from there.

mod cluster;
mod listener;
mod route;
mod scalar;

use std::fmt;
use std::path::{Path, PathBuf};

use outrigger_xds::pb::envoy::config::cluster::v3::Cluster;
use outrigger_xds::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use outrigger_xds::pb::envoy::config::listener::v3::Listener;
use outrigger_xds::pb::envoy::config::route::v3::RouteConfiguration;
use serde::Deserialize;

/// Resources that are there from the start and never change.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bootstrap {
    /// Where the proxy listens.
    pub listeners: Vec<Listener>,
    /// Where it sends.
    pub clusters: Vec<Cluster>,
    /// Route configurations for listeners with `rds`; beyond what Envoy allows in a file.
    pub routes: Vec<RouteConfiguration>,
    /// Endpoints for EDS clusters; beyond what Envoy allows in a file.
    pub endpoints: Vec<ClusterLoadAssignment>,
}

impl Bootstrap {
    /// Reads `path`.
    ///
    /// # Errors
    /// When the file cannot be read or is not a bootstrap; the error names the line.
    pub fn read(path: &Path) -> Result<Bootstrap, BootstrapError> {
        let error = |message| BootstrapError {
            path: path.to_owned(),
            message,
        };
        let text =
            std::fs::read_to_string(path).map_err(|source| error(format!("cannot be read: {source}")))?;
        Bootstrap::parse(&text).map_err(error)
    }

    /// Reads a bootstrap from text.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn parse(text: &str) -> Result<Bootstrap, String> {
        let file: File = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
        let resources = file.static_resources;
        Ok(Bootstrap {
            listeners: resources.listeners.into_iter().map(Into::into).collect(),
            clusters: resources.clusters.into_iter().map(Into::into).collect(),
            routes: resources.routes.into_iter().map(Into::into).collect(),
            endpoints: resources.endpoints.into_iter().map(Into::into).collect(),
        })
    }
}

/// A bootstrap file that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootstrapError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it, and where.
    pub message: String,
}

impl fmt::Display for BootstrapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.message)
    }
}

impl std::error::Error for BootstrapError {}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    static_resources: Resources,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Resources {
    #[serde(default)]
    listeners: Vec<listener::Listener>,
    #[serde(default)]
    clusters: Vec<cluster::Cluster>,
    #[serde(default)]
    routes: Vec<route::RouteConfiguration>,
    #[serde(default)]
    endpoints: Vec<cluster::Assignment>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Names;
    use crate::table::from_xds;

    const SAMPLE: &str = r#"
static_resources:
  listeners:
  - name: in
    address: {socket_address: {address: 127.0.0.1, port_value: 8080}}
    traffic_direction: INBOUND
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          stream_idle_timeout: 0s
          upgrade_configs: [{upgrade_type: websocket}]
          route_config:
            name: in
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {path: /health}
                direct_response: {status: 200, body: {inline_string: "ok"}}
              - match:
                  prefix: /
                  headers: [{name: cookie, string_match: {safe_regex: {regex: "^(.*; )?user=jason(;.*)?$"}}}]
                route: {cluster: two, timeout: 0.25s}
              - match: {prefix: /}
                route: {weighted_clusters: {clusters: [{name: one, weight: 90}, {name: two, weight: 10}]}}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  - name: db
    address: {socket_address: {address: 127.0.0.1, port_value: 3306}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.tcp_proxy
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: db
          cluster: one
  clusters:
  - name: one
    type: STATIC
    lb_policy: LEAST_REQUEST
    connect_timeout: 1s
    load_assignment:
      cluster_name: one
      endpoints:
      - lb_endpoints:
        - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 9080}}}
          load_balancing_weight: 3
  - name: two
    type: STRICT_DNS
    load_assignment:
      cluster_name: two
      endpoints:
      - lb_endpoints:
        - endpoint: {address: {socket_address: {address: localhost, port_value: 9081}}}
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
"#;

    #[test]
    fn a_bootstrap_of_envoy_compiles() {
        let bootstrap = Bootstrap::parse(SAMPLE).expect("a good bootstrap");
        let mut names = Names::default();
        let listeners: Vec<_> = bootstrap
            .listeners
            .iter()
            .map(|listener| {
                from_xds::listener(listener, &mut names)
                    .expect("a good listener")
                    .listener
            })
            .collect();
        assert_eq!(listeners.len(), 2);
        let clusters: Vec<_> = bootstrap
            .clusters
            .iter()
            .map(|cluster| from_xds::cluster(cluster).expect("a good cluster"))
            .collect();
        assert_eq!(clusters[0].info.policy, crate::table::Policy::LeastRequest);
        assert_eq!(clusters[1].info.http, crate::table::HttpVersion::Http2);
    }

    #[test]
    fn what_the_proxy_does_not_do_is_an_error_with_its_line() {
        let text = SAMPLE.replace("lb_policy: LEAST_REQUEST", "outlier_detection: {}");
        let error = Bootstrap::parse(&text).expect_err("outlier detection is not supported");
        assert!(
            error.contains("outlier_detection") && error.contains("line"),
            "{error}"
        );
        let error = Bootstrap::read(Path::new("/does/not/exist")).expect_err("there is no such file");
        assert!(error.to_string().contains("/does/not/exist"), "{error}");
    }
}
