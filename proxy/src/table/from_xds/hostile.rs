//! Hostile resources: each is refused with its name and field, and nothing panics.

use outrigger_xds::pb::envoy::config::cluster::v3::Cluster;
use outrigger_xds::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use outrigger_xds::pb::envoy::config::listener::v3::filter_chain_match::ConnectionSourceType;
use outrigger_xds::pb::envoy::config::listener::v3::{FilterChainMatch, Listener};
use outrigger_xds::pb::envoy::config::route::v3::RouteConfiguration;
use proptest::prelude::*;
use prost::Message;

use super::{assignment, cluster, listener, routes};
use crate::control::bootstrap::Bootstrap;
use crate::table::{Names, TableError};

const GOOD: &str = r#"
static_resources:
  listeners:
  - name: in
    address: {socket_address: {address: 127.0.0.1, port_value: 8080}}
    filter_chains:
    - filters:
      - name: hcm
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          rds: {route_config_name: r}
          http_filters:
          - name: router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  clusters:
  - name: one
    type: EDS
    eds_cluster_config: {service_name: uno}
  - name: two
    load_assignment:
      cluster_name: two
      endpoints:
      - lb_endpoints:
        - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 9080}}}
  routes:
  - name: r
    virtual_hosts:
    - name: all
      domains: ["*"]
      routes:
      - match: {safe_regex: {regex: "/a+"}, headers: [{name: a, string_match: {exact: b}}]}
        route: {weighted_clusters: {clusters: [{name: one, weight: 1}, {name: two, weight: 1}]}}
      - match: {prefix: /}
        direct_response: {status: 200, body: {inline_string: hello}}
  endpoints:
  - cluster_name: uno
    endpoints:
    - lb_endpoints:
      - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 9080}}}
        load_balancing_weight: 3
        metadata: {filter_metadata: {outrigger.mesh: {protocol: h2}}}
"#;

fn good() -> Bootstrap {
    Bootstrap::parse(GOOD).expect("a good bootstrap")
}

/// Compiles every resource of a bootstrap that is good but for one text; the first error.
fn compile(text: &str) -> Result<(), TableError> {
    let bootstrap = Bootstrap::parse(text).expect("the file itself is readable");
    let mut names = Names::default();
    bootstrap
        .listeners
        .iter()
        .try_for_each(|message| listener(message, &mut names).map(drop))?;
    bootstrap
        .clusters
        .iter()
        .try_for_each(|message| cluster(message).map(drop))?;
    bootstrap
        .routes
        .iter()
        .try_for_each(|message| routes(message, &mut names).map(drop))?;
    bootstrap
        .endpoints
        .iter()
        .try_for_each(|message| assignment(message).map(drop))
}

#[test]
fn a_listener_may_be_for_its_own_host_and_no_other_condition_is_taken() {
    let read = |change: fn(&mut FilterChainMatch)| {
        let mut message = good().listeners.remove(0);
        let mut condition = FilterChainMatch::default();
        change(&mut condition);
        message.filter_chains[0].filter_chain_match = Some(condition);
        listener(&message, &mut Names::default()).map(|spec| spec.listener.own_host_only)
    };

    assert!(matches!(read(|_| {}), Ok(false)));
    let own_host = |condition: &mut FilterChainMatch| {
        condition.set_source_type(ConnectionSourceType::SameIpOrLoopback);
    };
    assert!(matches!(read(own_host), Ok(true)));
    let refused: [fn(&mut FilterChainMatch); 2] = [
        |condition| condition.set_source_type(ConnectionSourceType::External),
        |condition| {
            condition.set_source_type(ConnectionSourceType::SameIpOrLoopback);
            condition.source_ports.push(1);
        },
    ];
    for condition in refused {
        let error = read(condition).expect_err("not supported").to_string();
        assert!(
            error
                .starts_with("in: filter_chains[0].filter_chain_match: only source_type SAME_IP_OR_LOOPBACK"),
            "{error}"
        );
    }
}

#[test]
fn each_fault_is_named_with_its_resource_and_field() {
    assert_eq!(compile(GOOD), Ok(()));
    let check = |from: &str, to: &str, expected: &str| {
        assert!(GOOD.contains(from), "{from}");
        let error = compile(&GOOD.replacen(from, to, 1)).expect_err(to).to_string();
        assert!(
            error.starts_with(expected),
            "{error:?} should start with {expected:?}"
        );
    };
    let router = "{\"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}";
    check(
        &format!("http_filters:\n          - name: router\n            typed_config: {router}"),
        "http_filters: []",
        "in: filter_chains[0].filters[0].typed_config.http_filters: exactly one router is expected, found 0",
    );
    check(
        "address: 127.0.0.1, port_value: 8080",
        "address: localhost, port_value: 8080",
        "in: address.socket_address.address: an IP address is expected, found \"localhost\"",
    );
    check(
        "port_value: 8080",
        "port_value: 0",
        "in: address.socket_address.port_value: a port between 1 and 65535",
    );
    check(
        "port_value: 8080",
        "port_value: 65536",
        "in: address.socket_address.port_value: a port between",
    );
    check(
        "stat_prefix: in",
        "stat_prefix: ''",
        "in: filter_chains[0].filters[0].typed_config.stat_prefix: must not",
    );
    check(
        "route_config_name: r",
        "route_config_name: ''",
        "in: filter_chains[0].filters[0].typed_config.rds.route_",
    );
    check("name: one\n", "name: ''\n", "name: must not be blank");
    check(
        "    eds_cluster_config: {service_name: uno}\n",
        "",
        "one: eds_cluster_config: is missing",
    );
    check(
        "/a+",
        "/a(",
        "r: virtual_hosts[0].routes[0].match.safe_regex.regex: \"/a(\" is not a pattern",
    );
    check(
        "/a+",
        "a)|(b",
        "r: virtual_hosts[0].routes[0].match.safe_regex.regex: \"a)|(b\" is not a pattern",
    );
    check(
        "/a+",
        "(?=x)",
        "r: virtual_hosts[0].routes[0].match.safe_regex.regex: \"(?=x)\" is not a pattern",
    );
    check(
        "/a+",
        "((a{100}){100}){100}",
        "r: virtual_hosts[0].routes[0].match.safe_regex.regex: ",
    );
    check(
        "/a+",
        &"a".repeat(4097),
        "r: virtual_hosts[0].routes[0].match.safe_regex.regex: a pattern has at most",
    );
    check(
        "name: a,",
        "name: '',",
        "r: virtual_hosts[0].routes[0].match.headers[0].name: must not be blank",
    );
    check(
        "name: a,",
        "name: ':status',",
        "r: virtual_hosts[0].routes[0].match.headers[0].name: \":status\" is not",
    );
    check(
        "[{name: one, weight: 1}, {name: two, weight: 1}]",
        "[]",
        "r: virtual_hosts[0].routes[0].route.weighted_",
    );
    check(
        "{name: one, weight: 1}",
        "{name: '', weight: 1}",
        "r: virtual_hosts[0].routes[0].route.weighted_clusters",
    );
    check(
        "status: 200",
        "status: 99",
        "r: virtual_hosts[0].routes[1].direct_response.status: a status between",
    );
    check(
        "inline_string: hello",
        &format!("inline_string: {}", "x".repeat(4097)),
        "r: virtual_hosts[0].routes[1].dir",
    );
    check(
        "domains: [\"*\"]",
        "domains: []",
        "r: virtual_hosts[0].domains: must name at least one domain",
    );
    check(
        "domains: [\"*\"]",
        "domains: [a, A]",
        "r: virtual_hosts[0].domains[1]: domain \"A\" is already used",
    );
    check(
        "load_balancing_weight: 3",
        "load_balancing_weight: 0",
        "uno: endpoints[0].lb_endpoints[0].load_balancing",
    );
    check(
        "cluster_name: uno",
        "cluster_name: ''",
        "cluster_name: must not be blank",
    );
}

#[test]
fn a_sidecar_mark_and_a_weight_are_read() {
    let assignment = assignment(&good().endpoints[0]).expect("a good assignment");
    assert!(assignment.endpoints[0].mesh_h2);
    assert_eq!(assignment.endpoints[0].weight, 3);
}

#[test]
fn a_doubled_virtual_host_name_is_refused() {
    let mut message = good().routes.remove(0);
    message.virtual_hosts.push(message.virtual_hosts[0].clone());
    let error = routes(&message, &mut Names::default())
        .expect_err("the name is there twice")
        .to_string();
    assert_eq!(
        error,
        "r: virtual_hosts[1].name: \"all\" is already the name of virtual_hosts[0]"
    );
}

#[test]
fn ten_thousand_virtual_hosts_and_endpoints_compile() {
    let mut message = good().routes.remove(0);
    let sample = message.virtual_hosts.remove(0);
    for n in 0..10_000 {
        let mut host = sample.clone();
        host.name = format!("h{n}");
        host.domains = vec![format!("h{n}.example.com")];
        host.routes.truncate(0);
        message.virtual_hosts.push(host);
    }
    assert!(routes(&message, &mut Names::default()).is_ok());
    let mut message = good().endpoints.remove(0);
    let sample = message.endpoints[0].lb_endpoints[0].clone();
    message.endpoints[0].lb_endpoints = vec![sample; 10_000];
    assert_eq!(
        assignment(&message).expect("good").endpoints.len(),
        1,
        "an address counts once"
    );
}

/// Compiles whatever the bytes decode to.
fn swallow(bytes: &[u8]) {
    let mut names = Names::default();
    if let Ok(message) = Listener::decode(bytes) {
        let _ = listener(&message, &mut names);
    }
    if let Ok(message) = Cluster::decode(bytes) {
        let _ = cluster(&message);
    }
    if let Ok(message) = RouteConfiguration::decode(bytes) {
        let _ = routes(&message, &mut names);
    }
    if let Ok(message) = ClusterLoadAssignment::decode(bytes) {
        let _ = assignment(&message);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
        swallow(&bytes);
    }

    #[test]
    fn damaged_resources_never_panic(
        which in 0usize..5,
        cuts in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        keep in any::<prop::sample::Index>(),
    ) {
        let good = good();
        let mut bytes = match which {
            0 => good.listeners[0].encode_to_vec(),
            1 => good.clusters[0].encode_to_vec(),
            2 => good.clusters[1].encode_to_vec(),
            3 => good.routes[0].encode_to_vec(),
            _ => good.endpoints[0].encode_to_vec(),
        };
        for (place, byte) in cuts {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        swallow(&bytes);
        let keep = keep.index(bytes.len());
        swallow(&bytes[..keep]);
    }
}
