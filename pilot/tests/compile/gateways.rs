//! Gateways and the VirtualServices bound to them, at routers.

use super::scenario::{Compiled, Scenario, node};
use super::shown;

const GATEWAY: &str = "
apiVersion: networking.istio.io/v1alpha3
kind: Gateway
metadata: {name: edge}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 9081, name: http, protocol: HTTP}, hosts: ['*']}
  - {port: {number: 9082, name: tcp, protocol: TCP}, hosts: ['*']}
  - {port: {number: 9443, name: https, protocol: HTTPS}, hosts: ['*'], tls: {mode: SIMPLE, serverCertificate: a, privateKey: b}}
";

const BOUND: &str = "
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata: {name: bookinfo}
spec:
  hosts: ['*']
  gateways: [edge]
  http:
  - match: [{uri: {exact: /productpage}}, {uri: {prefix: /api}}]
    route: [{destination: {host: productpage, port: {number: 9080}}}]
  tcp:
  - match: [{port: 9082}]
    route: [{destination: {host: ratings, port: {number: 9080}}}]
";

fn compile(scenario: &Scenario, labels: &str) -> Compiled {
    scenario.compile(&node(
        "router~127.0.0.1~gateway~service.consul",
        &[("LABELS", labels)],
    ))
}

#[test]
fn a_short_host_of_a_virtual_service_is_the_host_it_means_at_the_edge_too() {
    let short = BOUND.replace("hosts: ['*']", "hosts: [reviews]");
    let compiled = compile(
        &Scenario::bookinfo().rules(GATEWAY).rules(&short),
        "istio=ingressgateway",
    );

    let routes = shown::route_configuration(&compiled.shared.routes, "http.9081");
    for host in [
        "reviews:9081 [reviews reviews:9081]",
        "reviews.service.consul:9081 [reviews.service.consul reviews.service.consul:9081]",
    ] {
        assert!(routes.contains(host), "{routes}");
    }
}

#[test]
fn a_selected_router_opens_its_ports_on_its_own_address() {
    let compiled = compile(
        &Scenario::bookinfo().rules(GATEWAY).rules(BOUND),
        "istio=ingressgateway",
    );

    insta::assert_snapshot!(shown::layer(&compiled.own.layer), @r#"
    listener 127.0.0.1_9081 127.0.0.1:9081 -> http http.9081
    listener 127.0.0.1_9082 127.0.0.1:9082 -> tcp outbound|9080||ratings.service.consul
    "#);
    insta::assert_snapshot!(shown::route_configuration(&compiled.shared.routes, "http.9081"), @r#"
    routes http.9081
      *:9081 [*]
        bookinfo: /productpage -> outbound|9080||productpage.service.consul (0s)
        bookinfo: /api* -> outbound|9080||productpage.service.consul (0s)
    "#);
    insta::assert_snapshot!(compiled.findings(), @"pilot_total_rejected_configs gateway/default/edge: server https: tls is not in force in this version; the port is not opened");
    assert_eq!(shown::layer(&compiled.shared.listeners), "");
}

#[test]
fn a_router_with_other_labels_opens_nothing() {
    let compiled = compile(&Scenario::bookinfo().rules(GATEWAY).rules(BOUND), "istio=egress");

    assert_eq!(shown::layer(&compiled.own.layer), "");
}

#[test]
fn a_port_that_nothing_is_bound_to_answers_404() {
    let compiled = compile(&Scenario::bookinfo().rules(GATEWAY), "istio=ingressgateway");

    insta::assert_snapshot!(shown::route_configuration(&compiled.shared.routes, "http.9081"), @r#"
    routes http.9081
      blackhole:9081 [*]
        blackhole: /* -> answer 404
    "#);
}

#[test]
fn virtual_services_share_a_host_and_catch_alls_come_last() {
    let bound = |name: &str, hosts: &str, http: &str| {
        format!(
            "
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata: {{name: {name}}}
spec:
  hosts: [{hosts}]
  gateways: [default/edge, mesh]
  http: [{http}]
"
        )
    };
    let gateway = "
apiVersion: networking.istio.io/v1alpha3
kind: Gateway
metadata: {name: edge}
spec:
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*.shop.com', './own.org', other/hidden.org]}]
";
    let scenario = Scenario::bookinfo()
        .rules(gateway)
        .rules(&bound(
            "a",
            "www.shop.com",
            "{route: [{destination: {host: details}}]}",
        ))
        .rules(&bound(
            "b",
            "www.shop.com, own.org, hidden.org, elsewhere.org",
            "{match: [{uri: {exact: /b}}], route: [{destination: {host: ratings}}]}",
        ));

    let compiled = compile(&scenario, "");

    insta::assert_snapshot!(shown::route_configuration(&compiled.shared.routes, "http.80"), @r#"
    routes http.80
      own.org:80 [own.org own.org:80]
        b: /b -> outbound|9080||ratings.service.consul (0s)
      www.shop.com:80 [www.shop.com www.shop.com:80]
        b: /b -> outbound|9080||ratings.service.consul (0s)
        a: /* -> outbound|9080||details.service.consul (0s)
    "#);
}
