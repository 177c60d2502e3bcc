//! TCP services, the way in, explicit upstreams, and the readers that are not ours.

use outrigger_pilot::node::Node;
use outrigger_xds::NodeInfo;

use super::scenario::{Scenario, node, productpage};
use super::shown;

fn databases() -> Scenario {
    Scenario::services(
        "mysql.service.consul 3306/mysql @ 127.0.0.8:3306 version=v1; 127.0.0.9:3306 version=v2
         shop.service.consul 3306/tcp,80/http2,53/udp @ 127.0.0.10:3306 version=v1; 127.0.0.10:80>80 version=v1",
    )
}

const WEIGHTED: &str = "
apiVersion: networking.istio.io/v1alpha3
kind: DestinationRule
metadata: {name: mysql}
spec:
  host: mysql.service.consul
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
---
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata: {name: mysql}
spec:
  hosts: [mysql.service.consul]
  tcp:
  - match: [{destinationSubnets: [10.0.0.0/8]}]
    route: [{destination: {host: mysql, subset: v2}}]
  - match: [{port: 3306}]
    route:
    - {destination: {host: mysql, subset: v1}, weight: 90}
    - {destination: {host: mysql, subset: v2}, weight: 10}
";

#[test]
fn two_tcp_services_on_one_port_have_a_listener_each() {
    let compiled = databases().compile(&productpage());

    insta::assert_snapshot!(shown::layer(&compiled.shared.listeners), @r#"
    listener 127.128.0.1_3306 127.128.0.1:3306 -> tcp outbound|3306||mysql.service.consul
    listener 127.128.0.2_3306 127.128.0.2:3306 -> tcp outbound|3306||shop.service.consul
    listener 127.128.0.2_80 127.128.0.2:80 -> http outbound|80||shop.service.consul
    "#);
    insta::assert_snapshot!(shown::layer(&compiled.shared.clusters), @r#"
    cluster BlackHoleCluster STATIC ROUND_ROBIN []
    cluster outbound|3306||mysql.service.consul EDS ROUND_ROBIN
    cluster outbound|3306||shop.service.consul EDS ROUND_ROBIN
    cluster outbound|80||shop.service.consul EDS ROUND_ROBIN h2
    "#);
}

#[test]
fn tcp_routes_are_weighted_and_conditions_on_addresses_are_left_out() {
    let compiled = databases().rules(WEIGHTED).compile(&productpage());

    let listeners = shown::layer(&compiled.shared.listeners);
    insta::assert_snapshot!(listeners.lines().next().unwrap(), @"listener 127.128.0.1_3306 127.128.0.1:3306 -> tcp outbound|3306|v1|mysql.service.consul 90%, outbound|3306|v2|mysql.service.consul 10%");
    insta::assert_snapshot!(compiled.findings(), @"pilot_total_rejected_configs virtual-service/default/mysql: tcp[0].match[0]: subnets are not in force; this match is left out");
}

#[test]
fn upstreams_of_the_nodes_choice_are_opened_where_it_says() {
    let node = node(
        "sidecar~127.0.0.10~shop-1~service.consul",
        &[
            (
                "INBOUND",
                "3306=127.0.0.1:13306,80=127.0.0.1:18080/http2,9999=127.0.0.1:9998",
            ),
            ("OUTBOUND_VIRTUAL", "off"),
            (
                "OUTBOUND",
                "mysql:3306=127.0.0.1:33060,shop:80=127.0.0.1:8081,gone:1=127.0.0.1:2,shop:80=127.0.0.1:8081",
            ),
        ],
    );
    let compiled = databases().rules(WEIGHTED).compile(&node);

    assert_eq!(shown::layer(&compiled.shared.listeners), "");
    insta::assert_snapshot!(shown::layer(&compiled.own.layer), @r#"
    cluster inbound|3306|tcp-3306|shop.service.consul STATIC ROUND_ROBIN [127.0.0.1:13306]
    cluster inbound|80|http2-80|shop.service.consul STATIC ROUND_ROBIN h2 [127.0.0.1:18080]
    cluster inbound|9999||shop-1 STATIC ROUND_ROBIN [127.0.0.1:9998]
    listener 127.0.0.10_3306 127.0.0.10:3306 -> tcp inbound|3306|tcp-3306|shop.service.consul
    listener 127.0.0.10_80 127.0.0.10:80 -> http inline
    routes inbound|80|http2-80|shop.service.consul
      inbound|http|80 [*]
        default: /* -> inbound|80|http2-80|shop.service.consul (0s)
    listener 127.0.0.10_9999 127.0.0.10:9999 -> tcp inbound|9999||shop-1
    listener 127.0.0.1_33060 127.0.0.1:33060 -> tcp outbound|3306|v1|mysql.service.consul 90%, outbound|3306|v2|mysql.service.consul 10%
    listener 127.0.0.1_8081 127.0.0.1:8081 -> http outbound|80||shop.service.consul
    "#);
    let http: Vec<&str> = compiled.own.http_inbound.keys().map(String::as_str).collect();
    assert_eq!(http, ["127.0.0.10_80"], "nothing else may be spoken HTTP/2 to");
    let own: Vec<_> = compiled
        .own
        .findings
        .iter()
        .map(|finding| (&finding.key, &finding.message))
        .collect();
    insta::assert_debug_snapshot!(own, @r#"
    [
        (
            "gone",
            "no registry knows the host, so 127.0.0.1:2 is not opened",
        ),
        (
            "127.0.0.1_8081",
            "127.0.0.1:8081 is wanted twice; the second listener is left out",
        ),
    ]
    "#);
}

#[test]
fn only_proven_sidecars_are_marked_for_our_proxy_and_nobody_for_envoy() {
    let scenario = databases().peers(&["127.0.0.10:80", "127.0.0.10:3306"]);
    let mut envoy = NodeInfo::from_id("sidecar~127.0.0.3~productpage-v1~service.consul").unwrap();
    envoy.user_agent_name = "envoy".into();

    let ours = shown::layer(&scenario.compile(&productpage()).endpoints.layer);
    let theirs = shown::layer(&scenario.compile(&Node::of(&envoy).unwrap()).endpoints.layer);

    insta::assert_snapshot!(ours, @r#"
    endpoints outbound|3306||mysql.service.consul: 127.0.0.8:3306, 127.0.0.9:3306
    endpoints outbound|3306||shop.service.consul: 127.0.0.10:3306
    endpoints outbound|80||shop.service.consul: 127.0.0.10:80 (h2)
    "#);
    assert!(!theirs.contains("(h2)"), "{theirs}");
    let http1 = node("sidecar~127.0.0.3~p~", &[("MESH_PROTOCOL", "http1")]);
    assert!(!shown::layer(&scenario.compile(&http1).endpoints.layer).contains("(h2)"));
}
