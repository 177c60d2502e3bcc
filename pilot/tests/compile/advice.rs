//! What is said about a rule when it is written: which other rules leave it without effect, or it them.

use outrigger_api::document::{self, Options};
use outrigger_api::resource::Resource;
use outrigger_pilot::advice::advise;
use outrigger_pilot::snapshot::Snapshot;

use crate::scenario::Scenario;

const STORED: &str = "
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {name: default}
spec: {destination: {name: reviews}, precedence: 1, route: [{labels: {version: v1}}]}
";

fn written(yaml: &str) -> Resource {
    let options = Options {
        default_namespace: "default".into(),
        allow_unknown: false,
    };
    let mut documents = document::parse("rule.yaml", yaml, &options);
    documents.swap_remove(0).outcome.unwrap().resource
}

/// What is said of `rule` where `stored` is in force.
fn said(stored: &str, rule: &str) -> Vec<String> {
    let snapshot = Scenario::bookinfo().rules(stored).snapshot(&Snapshot::default());
    advise(&snapshot, &written(rule))
}

fn route_rule(name: &str, precedence: u32, condition: &str) -> String {
    format!(
        "
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {{name: {name}}}
spec: {{destination: {{name: reviews}}, precedence: {precedence}, {condition} route: [{{labels: {{version: v2}}}}]}}
"
    )
}

fn virtual_service(name: &str, http: &str) -> String {
    format!(
        "
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata: {{name: {name}}}
spec: {{hosts: [reviews], http: [{http}]}}
"
    )
}

#[test]
fn a_rule_that_is_never_reached_is_told_so() {
    assert_eq!(
        said(STORED, &route_rule("late", 0, "")),
        ["never reached: route-rule/default/default catches every request before it"]
    );
    let for_one_caller = "match: {source: {name: productpage}},";
    assert_eq!(
        said(STORED, &route_rule("late", 0, for_one_caller)),
        ["never reached: route-rule/default/default catches every request before it"]
    );
    assert_eq!(said(STORED, &route_rule("early", 2, for_one_caller)), [""; 0]);
}

#[test]
fn a_rule_that_takes_all_from_a_stored_one_is_told_which() {
    assert_eq!(
        said(STORED, &route_rule("early", 2, "")),
        [
            "route-rule/default/default: never reached: route-rule/default/early catches every request before it"
        ]
    );
}

#[test]
fn a_stored_rule_that_is_written_again_is_not_its_own_rival() {
    assert_eq!(said(STORED, STORED), [""; 0]);
}

#[test]
fn the_other_generation_governs_and_is_named() {
    let second = virtual_service("second", "{route: [{destination: {host: reviews}}]}");
    assert_eq!(
        said(STORED, &second),
        [
            "route-rule/default/default governs reviews.service.consul; the http routes of this one are left out"
        ]
    );
    assert_eq!(
        said(&second, STORED),
        [
            "virtual-service/default/second: route-rule/default/default governs reviews.service.consul; the http \
             routes of this one are left out"
        ]
    );
}

#[test]
fn the_younger_virtual_service_of_a_host_is_left_out() {
    let route = "{route: [{destination: {host: reviews}}]}";
    assert_eq!(
        said(&virtual_service("old", route), &virtual_service("new", route)),
        [
            "virtual-service/default/old is older and governs reviews.service.consul; this one is left out for it"
        ]
    );
    let twice = format!("{route}, {{match: [{{uri: {{prefix: /x}}}}], {}", &route[1..]);
    assert_eq!(
        said("", &virtual_service("alone", &twice)),
        ["http[1] is never reached: a route before it catches every request"]
    );
}

#[test]
fn virtual_services_of_one_gateway_stand_in_each_others_way() {
    let stored = "
apiVersion: networking.istio.io/v1alpha3
kind: Gateway
metadata: {name: edge}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]}
---
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata: {name: old}
spec: {hosts: ['*'], gateways: [edge], http: [{route: [{destination: {host: reviews}}]}]}
";
    let new = "
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata: {name: new}
spec: {hosts: ['*'], gateways: [edge], http: [{route: [{destination: {host: ratings}}]}]}
";
    assert_eq!(
        said(stored, new),
        ["at * virtual-service/default/old catches every request before it"]
    );
}

#[test]
fn a_pattern_that_a_stock_envoy_refuses_is_named_with_its_field() {
    let condition = "match: {request: {headers: {uri: {regex: '/a{1001}'}}}},";
    assert_eq!(
        said("", &route_rule("odd", 2, condition)),
        [
            "match.request.headers.uri: a stock Envoy does not take the pattern \"/a{1001}\" as it is meant: it \
             repeats at most 1000 times, repetitions within repetitions multiplied; there the condition is left out \
             with its route"
        ]
    );
    let said = said(
        "",
        &virtual_service(
            "odd",
            "{match: [{headers: {cookie: {regex: '(?x) a'}}}], route: [{destination: {host: reviews}}]}",
        ),
    );
    assert!(
        said[0].starts_with("http[0].match[0].headers.cookie: "),
        "{said:?}"
    );
}

#[test]
fn a_rule_is_no_rival_of_itself() {
    let gateways = "
apiVersion: networking.istio.io/v1alpha3
kind: Gateway
metadata: {name: edge}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]}
---
apiVersion: networking.istio.io/v1alpha3
kind: Gateway
metadata: {name: shop}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]}
";
    let twice = "
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata: {name: twice}
spec:
  hosts: [reviews, reviews.service.consul]
  gateways: [edge, shop, mesh]
  http: [{route: [{destination: {host: reviews}}]}]
";
    assert_eq!(said(gateways, twice), [""; 0]);
}
