//! RouteRules and DestinationPolicies.

use outrigger_pilot::node::Node;

use super::scenario::{Scenario, node, productpage};
use super::shown;

const ALL_V1: &str = "
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {name: reviews-default}
spec:
  destination: {name: reviews}
  precedence: 1
  route: [{labels: {version: v1}}]
---
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {name: ratings-default}
spec:
  destination: {service: ratings.service.consul}
  precedence: 1
  route: [{labels: {version: v1}}]
";

const TEST_V2: &str = "
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {name: reviews-test-v2}
spec:
  destination: {name: reviews}
  precedence: 2
  match:
    request:
      headers:
        cookie: {regex: '^(.*?;)?(user=jason)(;.*)?$'}
        uri: {prefix: /reviews}
  route: [{labels: {version: v2}}]
";

const REVIEWS: &str = "outbound|9080||reviews.service.consul";

#[test]
fn without_rules_every_service_is_whole_and_default() {
    let compiled = Scenario::bookinfo().compile(&productpage());

    insta::assert_snapshot!("no_rules_clusters", shown::layer(&compiled.shared.clusters));
    insta::assert_snapshot!("no_rules_endpoints", shown::layer(&compiled.endpoints.layer));
    insta::assert_snapshot!("no_rules_listeners", shown::layer(&compiled.shared.listeners));
    insta::assert_snapshot!("no_rules_routes", shown::layer(&compiled.shared.routes));
    insta::assert_snapshot!("no_rules_own", shown::layer(&compiled.own.layer));
    assert_eq!(compiled.findings(), "");
}

#[test]
fn all_to_v1_makes_a_cluster_of_the_labels_and_one_route_to_it() {
    let compiled = Scenario::bookinfo().rules(ALL_V1).compile(&productpage());

    insta::assert_snapshot!(shown::route_configuration(&compiled.shared.routes, REVIEWS), @r#"
    routes outbound|9080||reviews.service.consul
      reviews.service.consul:9080 [reviews.service.consul reviews.service.consul:9080 reviews.service reviews.service:9080 reviews reviews:9080 127.128.0.4 127.128.0.4:9080 *]
        reviews-default: /* -> outbound|9080|version=v1|reviews.service.consul (15s)
    "#);
    insta::assert_snapshot!("all_v1_endpoints", shown::layer(&compiled.endpoints.layer));
    assert_eq!(compiled.findings(), "");
}

#[test]
fn a_cookie_pattern_of_higher_precedence_comes_first() {
    let compiled = Scenario::bookinfo()
        .rules(ALL_V1)
        .rules(TEST_V2)
        .compile(&productpage());

    insta::assert_snapshot!(shown::route_configuration(&compiled.shared.routes, REVIEWS), @r#"
    routes outbound|9080||reviews.service.consul
      reviews.service.consul:9080 [reviews.service.consul reviews.service.consul:9080 reviews.service reviews.service:9080 reviews reviews:9080 127.128.0.4 127.128.0.4:9080 *]
        reviews-test-v2: /reviews* cookie~^(.*?;)?(user=jason)(;.*)?$ -> outbound|9080|version=v2|reviews.service.consul (15s)
        reviews-default: /* -> outbound|9080|version=v1|reviews.service.consul (15s)
    "#);
}

#[test]
fn half_and_half_is_two_weighted_clusters_and_a_rule_behind_it_is_shadowed() {
    let compiled = Scenario::bookinfo()
        .rules(ALL_V1)
        .rules(
            "
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {name: reviews-50-v3}
spec:
  destination: {name: reviews}
  precedence: 3
  httpReqTimeout: {simpleTimeout: {timeout: 2.5s}}
  route:
  - {labels: {version: v1}, weight: 50}
  - {labels: {version: v3}, weight: 50}
",
        )
        .compile(&productpage());

    insta::assert_snapshot!(shown::route_configuration(&compiled.shared.routes, REVIEWS), @r#"
    routes outbound|9080||reviews.service.consul
      reviews.service.consul:9080 [reviews.service.consul reviews.service.consul:9080 reviews.service reviews.service:9080 reviews reviews:9080 127.128.0.4 127.128.0.4:9080 *]
        reviews-50-v3: /* -> outbound|9080|version=v1|reviews.service.consul 50%, outbound|9080|version=v3|reviews.service.consul 50% (2.5s)
    "#);
    insta::assert_snapshot!(compiled.findings(), @"pilot_shadowed_routes route-rule/default/reviews-default: never reached: route-rule/default/reviews-50-v3 catches every request before it");
}

#[test]
fn equal_precedence_is_ordered_by_key() {
    let rule = |name: &str, value: &str| {
        format!(
            "
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {{name: {name}}}
spec:
  destination: {{name: reviews}}
  match: {{request: {{headers: {{end-user: {{exact: {value}}}, method: {{exact: GET}}}}}}}}
"
        )
    };
    let compiled = Scenario::bookinfo()
        .rules(&rule("zebra", "z"))
        .rules(&rule("ant", "a"))
        .compile(&productpage());

    insta::assert_snapshot!(shown::route_configuration(&compiled.shared.routes, REVIEWS), @r#"
    routes outbound|9080||reviews.service.consul
      reviews.service.consul:9080 [reviews.service.consul reviews.service.consul:9080 reviews.service reviews.service:9080 reviews reviews:9080 127.128.0.4 127.128.0.4:9080 *]
        ant: /* :method=GET end-user=a -> outbound|9080||reviews.service.consul (15s)
        zebra: /* :method=GET end-user=z -> outbound|9080||reviews.service.consul (15s)
        default-route: /* -> outbound|9080||reviews.service.consul (15s)
    "#);
}

#[test]
fn a_source_is_judged_for_each_class_of_proxies() {
    let scenario = Scenario::bookinfo().rules(
        "
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {name: for-productpage}
spec:
  destination: {name: reviews}
  match: {source: {name: productpage, labels: {version: v1}}}
  route: [{labels: {version: v3}}]
",
    );
    let other = node(
        "sidecar~127.0.0.2~details-v1~service.consul",
        &[("INBOUND", "9080=127.0.0.1:19080")],
    );

    let routes = |node: &Node| shown::route_configuration(&scenario.compile(node).shared.routes, REVIEWS);

    insta::assert_snapshot!(routes(&productpage()), @r#"
    routes outbound|9080||reviews.service.consul
      reviews.service.consul:9080 [reviews.service.consul reviews.service.consul:9080 reviews.service reviews.service:9080 reviews reviews:9080 127.128.0.4 127.128.0.4:9080 *]
        for-productpage: /* -> outbound|9080|version=v3|reviews.service.consul (15s)
    "#);
    insta::assert_snapshot!(routes(&other), @r#"
    routes outbound|9080||reviews.service.consul
      reviews.service.consul:9080 [reviews.service.consul reviews.service.consul:9080 reviews.service reviews.service:9080 reviews reviews:9080 127.128.0.4 127.128.0.4:9080 *]
        default-route: /* -> outbound|9080||reviews.service.consul (15s)
    "#);
}

#[test]
fn versions_that_do_not_run_are_reported_and_still_routed_to() {
    let compiled = Scenario::bookinfo()
        .rules(
            "
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {name: ratings-test-v2}
spec:
  destination: {name: ratings}
  route: [{labels: {version: v2}}]
---
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {name: elsewhere}
spec:
  destination: {name: details}
  route: [{destination: {name: nowhere}}]
",
        )
        .compile(&productpage());

    let ratings = "outbound|9080||ratings.service.consul";
    insta::assert_snapshot!(shown::route_configuration(&compiled.shared.routes, ratings), @r#"
    routes outbound|9080||ratings.service.consul
      ratings.service.consul:9080 [ratings.service.consul ratings.service.consul:9080 ratings.service ratings.service:9080 ratings ratings:9080 127.128.0.3 127.128.0.3:9080 *]
        ratings-test-v2: /* -> outbound|9080|version=v2|ratings.service.consul (15s)
    "#);
    insta::assert_snapshot!(compiled.findings(), @r#"
    pilot_destination_missing route-rule/default/elsewhere: no registry knows nowhere.service.consul; such requests get 503
    pilot_eds_no_instances outbound|9080|version=v2|ratings.service.consul: no instance of ratings.service.consul with version=v2 on port 9080
    "#);
}

#[test]
fn a_policy_is_for_exactly_its_version_and_the_smallest_key_wins() {
    let policy = |name: &str, labels: &str, balancer: &str| {
        format!(
            "
apiVersion: config.istio.io/v1alpha2
kind: DestinationPolicy
metadata: {{name: {name}}}
spec:
  destination: {{name: reviews, labels: {labels}}}
  loadBalancing: {{name: {balancer}}}
"
        )
    };
    let compiled = Scenario::bookinfo()
        .rules(ALL_V1)
        .rules(&policy("b", "{version: v1}", "RANDOM"))
        .rules(&policy("a", "{version: v1}", "LEAST_CONN"))
        .rules(&policy("whole", "{}", "RANDOM"))
        .compile(&productpage());

    let clusters = shown::layer(&compiled.shared.clusters);
    let reviews: String = clusters
        .lines()
        .filter(|line| line.contains("reviews"))
        .map(|l| format!("{l}\n"))
        .collect();
    insta::assert_snapshot!(reviews, @r#"
    cluster outbound|9080|version=v1|reviews.service.consul EDS LEAST_REQUEST
    cluster outbound|9080||reviews.service.consul EDS RANDOM
    "#);
    insta::assert_snapshot!(compiled.findings(), @"pilot_conflicting_rules destination-policy/default/b: destination-policy/default/a is for the same version and wins; this one is left out");
}

#[test]
fn what_is_not_in_force_is_answered_or_left_out_never_widened() {
    let compiled = Scenario::bookinfo()
        .rules(
            "
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {name: away}
spec:
  destination: {name: reviews}
  precedence: 2
  match: {request: {headers: {uri: {exact: /old}}}}
  redirect: {uri: /new}
---
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {name: by-address}
spec:
  destination: {name: reviews}
  precedence: 3
  match: {tcp: {sourceSubnet: [10.0.0.0/8]}}
  route: [{labels: {version: v3}}]
",
        )
        .compile(&productpage());

    insta::assert_snapshot!(shown::route_configuration(&compiled.shared.routes, REVIEWS), @r#"
    routes outbound|9080||reviews.service.consul
      reviews.service.consul:9080 [reviews.service.consul reviews.service.consul:9080 reviews.service reviews.service:9080 reviews reviews:9080 127.128.0.4 127.128.0.4:9080 *]
        away: /old -> answer 501
        default-route: /* -> outbound|9080||reviews.service.consul (15s)
    "#);
    insta::assert_snapshot!(compiled.findings(), @"pilot_total_rejected_configs route-rule/default/by-address: conditions on TCP connections are not in force; the rule is left out");
}
