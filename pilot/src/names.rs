//! Names of the xDS resources that pilot gives out, and the domains under which a host is addressed.
//!
//! Names follow `spec/traffic-v1alpha3.md` §9, so that a proxy's statistics read as its users expect.

use std::net::IpAddr;

/// The RouteConfiguration of the explicit HTTP proxy port: every HTTP host of the mesh.
pub const HTTP_PROXY_ROUTES: &str = "http_proxy";

/// The cluster that has no endpoint: what is sent to it is refused.
pub const BLACK_HOLE_CLUSTER: &str = "BlackHoleCluster";

/// `outbound|9080|v2|reviews.service.consul`: the cluster that holds one version of a service port.
/// `version` is a subset's name, the text of a label set, or empty for all instances.
pub fn outbound_cluster(host: &str, port: u16, version: &str) -> String {
    format!("outbound|{port}|{version}|{host}")
}

/// `inbound|9080|http|reviews.service.consul`: the cluster that leads to the application itself.
pub fn inbound_cluster(host: &str, port: u16, port_name: &str) -> String {
    format!("inbound|{port}|{port_name}|{host}")
}

/// The RouteConfiguration of one service port; the same text as its un-versioned cluster.
pub fn outbound_routes(host: &str, port: u16) -> String {
    outbound_cluster(host, port, "")
}

/// The RouteConfiguration of a plain HTTP port of a gateway.
pub fn gateway_routes(port: u16) -> String {
    format!("http.{port}")
}

/// `127.128.0.7_9080`: a listener is named by what it binds.
pub fn listener(bind: IpAddr, port: u16) -> String {
    format!("{bind}_{port}")
}

/// `reviews.service.consul:9080`: a virtual host is named by host and port.
pub fn virtual_host(host: &str, port: u16) -> String {
    format!("{host}:{port}")
}

/// The short forms of `host` for a proxy whose own DNS domain is `domain`: the trailing labels that both share
/// may be left out one at a time, never the first label. Shortest last; empty when nothing is shared.
///
/// `reviews.default.svc.cluster.local` seen from `default.svc.cluster.local` is also `reviews.default.svc.cluster`,
/// `reviews.default.svc`, `reviews.default` and `reviews`.
pub fn short_forms(host: &str, domain: &str) -> Vec<String> {
    if domain.is_empty() || host.starts_with('*') || host.parse::<IpAddr>().is_ok() {
        return Vec::new();
    }
    let labels: Vec<&str> = host.split('.').collect();
    let shared = labels
        .iter()
        .rev()
        .zip(domain.split('.').rev())
        .take_while(|(left, right)| *left == right)
        .count()
        .min(labels.len().saturating_sub(1));
    (1..=shared)
        .filter_map(|dropped| labels.get(..labels.len() - dropped))
        .map(|kept| kept.join("."))
        .collect()
}

/// `name` alone and with the port, as clients write it in a Host header.
pub fn with_port(name: &str, port: u16) -> [String; 2] {
    [name.to_owned(), format!("{name}:{port}")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_shortened_one_shared_label_at_a_time() {
        assert_eq!(
            short_forms("reviews.service.consul", "service.consul"),
            ["reviews.service", "reviews"]
        );
        assert_eq!(
            short_forms("reviews.prod.svc.cluster.local", "default.svc.cluster.local"),
            ["reviews.prod.svc.cluster", "reviews.prod.svc", "reviews.prod"]
        );
    }

    #[test]
    fn a_host_that_shares_nothing_has_no_short_form() {
        assert!(short_forms("httpbin.org", "service.consul").is_empty());
        assert!(short_forms("reviews", "").is_empty());
        assert!(short_forms("*.service.consul", "service.consul").is_empty());
        assert!(short_forms("10.0.0.1", "0.1").is_empty());
    }

    #[test]
    fn the_first_label_is_never_dropped() {
        assert_eq!(short_forms("service.consul", "service.consul"), ["service"]);
        assert!(short_forms("consul", "consul").is_empty());
    }

    #[test]
    fn names_follow_the_reference() {
        assert_eq!(
            outbound_cluster("reviews.service.consul", 9080, "version=v2"),
            "outbound|9080|version=v2|reviews.service.consul"
        );
        assert_eq!(outbound_routes("a", 80), "outbound|80||a");
        assert_eq!(listener("127.128.0.7".parse().unwrap(), 9080), "127.128.0.7_9080");
    }
}
