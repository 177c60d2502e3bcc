//! VirtualServices, DestinationRules and ServiceEntries at sidecars, and where both generations meet.

use outrigger_pilot::dialect::Dialect;
use outrigger_pilot::snapshot::Snapshot;

use super::scenario::{Scenario, productpage};
use super::shown;

const SUBSETS: &str = "
apiVersion: networking.istio.io/v1alpha3
kind: DestinationRule
metadata: {name: reviews}
spec:
  host: reviews.service.consul
  trafficPolicy: {loadBalancer: {simple: RANDOM}}
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v2, labels: {version: v2}, trafficPolicy: {loadBalancer: {simple: LEAST_CONN}}}
  - {name: v3, labels: {version: v3}}
";

const BY_USER: &str = "
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
  - match:
    - headers: {end-user: {exact: jason}}
    - {uri: {prefix: /beta}, method: {exact: GET}}
    timeout: 2s
    route: [{destination: {host: reviews, subset: v2}}]
  - match: [{port: 9999}]
    route: [{destination: {host: reviews, subset: v3}}]
  - route:
    - {destination: {host: reviews, subset: v1}, weight: 75}
    - {destination: {host: reviews, subset: v3}, weight: 25}
    - {destination: {host: reviews}, weight: 0}
  - route: [{destination: {host: reviews, subset: v2}}]
";

const REVIEWS: &str = "outbound|9080||reviews.service.consul";

fn reviews_clusters(compiled: &super::scenario::Compiled) -> String {
    let clusters = shown::layer(&compiled.shared.clusters);
    clusters
        .lines()
        .filter(|line| line.contains("reviews"))
        .map(|line| format!("{line}\n"))
        .collect()
}

#[test]
fn matches_are_alternatives_weights_add_up_and_there_is_no_default_timeout() {
    let compiled = Scenario::bookinfo()
        .rules(SUBSETS)
        .rules(BY_USER)
        .compile(&productpage());

    insta::assert_snapshot!(shown::route_configuration(&compiled.shared.routes, REVIEWS), @r#"
    routes outbound|9080||reviews.service.consul
      reviews.service.consul:9080 [reviews.service.consul reviews.service.consul:9080 reviews.service reviews.service:9080 reviews reviews:9080 127.128.0.4 127.128.0.4:9080 *]
        reviews: /* end-user=jason -> outbound|9080|v2|reviews.service.consul (2s)
        reviews: /beta* :method=GET -> outbound|9080|v2|reviews.service.consul (2s)
        reviews: /* -> outbound|9080|v1|reviews.service.consul 75%, outbound|9080|v3|reviews.service.consul 25% (0s)
    "#);
    insta::assert_snapshot!(reviews_clusters(&compiled), @r#"
    cluster outbound|9080|v1|reviews.service.consul EDS RANDOM
    cluster outbound|9080|v2|reviews.service.consul EDS LEAST_REQUEST
    cluster outbound|9080|v3|reviews.service.consul EDS RANDOM
    cluster outbound|9080||reviews.service.consul EDS RANDOM
    "#);
    insta::assert_snapshot!(compiled.findings(), @"pilot_shadowed_routes virtual-service/default/reviews: http[3] is never reached: a route before it catches every request");
}

#[test]
fn a_route_rule_for_the_host_wins_and_says_so() {
    let compiled = Scenario::bookinfo()
        .rules(SUBSETS)
        .rules(BY_USER)
        .rules(
            "
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {name: reviews-v3}
spec:
  destination: {name: reviews}
  route: [{labels: {version: v3}}]
---
apiVersion: config.istio.io/v1alpha2
kind: DestinationPolicy
metadata: {name: v2}
spec:
  destination: {name: reviews, labels: {version: v2}}
  loadBalancing: {name: RANDOM}
",
        )
        .compile(&productpage());

    insta::assert_snapshot!(shown::route_configuration(&compiled.shared.routes, REVIEWS), @r#"
    routes outbound|9080||reviews.service.consul
      reviews.service.consul:9080 [reviews.service.consul reviews.service.consul:9080 reviews.service reviews.service:9080 reviews reviews:9080 127.128.0.4 127.128.0.4:9080 *]
        reviews-v3: /* -> outbound|9080|version=v3|reviews.service.consul (15s)
    "#);
    insta::assert_snapshot!(reviews_clusters(&compiled), @r#"
    cluster outbound|9080|v1|reviews.service.consul EDS RANDOM
    cluster outbound|9080|v2|reviews.service.consul EDS RANDOM
    cluster outbound|9080|v3|reviews.service.consul EDS RANDOM
    cluster outbound|9080|version=v3|reviews.service.consul EDS RANDOM
    cluster outbound|9080||reviews.service.consul EDS RANDOM
    "#);
    insta::assert_snapshot!(compiled.findings(), @"pilot_conflicting_rules virtual-service/default/reviews: route-rule/default/reviews-v3 governs reviews.service.consul; the http routes of this one are left out");
}

#[test]
fn of_two_virtual_services_the_older_governs_and_subsets_are_defined_once() {
    let mut scenario = Scenario::bookinfo().rules(SUBSETS).rules(BY_USER);
    let younger = "
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata: {name: a-younger, creationTimestamp: '2026-01-01T00:00:00Z'}
spec:
  hosts: ['*.service.consul']
  http: [{route: [{destination: {host: details}}]}]
---
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata: {name: b-younger, creationTimestamp: '2026-01-01T00:00:00Z'}
spec:
  hosts: [reviews.service.consul]
  http: [{route: [{destination: {host: details}}]}]
---
apiVersion: networking.istio.io/v1alpha3
kind: DestinationRule
metadata: {name: younger, creationTimestamp: '2026-01-01T00:00:00Z'}
spec:
  host: reviews
  subsets: [{name: v1, labels: {version: v3}}, {name: canary, labels: {version: v3}}]
";
    scenario = scenario.rules(younger);
    let compiled = scenario.compile(&productpage());

    insta::assert_snapshot!(compiled.findings(), @r#"
    pilot_duplicate_subsets destination-rule/default/younger: subset v1 of reviews.service.consul is defined before; this definition is left out
    pilot_conflicting_rules virtual-service/default/b-younger: virtual-service/default/reviews is older and governs reviews.service.consul; this one is left out for it
    pilot_shadowed_routes virtual-service/default/reviews: http[3] is never reached: a route before it catches every request
    "#);
    let ratings =
        shown::route_configuration(&compiled.shared.routes, "outbound|9080||ratings.service.consul");
    assert!(
        ratings.contains("a-younger: /* -> outbound|9080||details.service.consul (0s)"),
        "{ratings}"
    );
    assert!(reviews_clusters(&compiled).contains("outbound|9080|canary|reviews.service.consul"));
}

#[test]
fn source_labels_pick_the_route_for_the_proxy_and_never_reach_the_wire() {
    let compiled = Scenario::bookinfo()
        .rules(SUBSETS)
        .rules(
            "
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
  - match: [{sourceLabels: {version: v9}}]
    route: [{destination: {host: reviews, subset: v1}}]
  - match: [{sourceLabels: {version: v1}}]
    route: [{destination: {host: reviews, subset: v2}}]
",
        )
        .compile(&productpage());

    insta::assert_snapshot!(shown::route_configuration(&compiled.shared.routes, REVIEWS), @r#"
    routes outbound|9080||reviews.service.consul
      reviews.service.consul:9080 [reviews.service.consul reviews.service.consul:9080 reviews.service reviews.service:9080 reviews reviews:9080 127.128.0.4 127.128.0.4:9080 *]
        reviews: /* -> outbound|9080|v2|reviews.service.consul (0s)
    "#);
}

#[test]
fn what_is_missing_keeps_its_name_and_what_cannot_be_matched_is_left_out() {
    let compiled = Scenario::bookinfo()
        .rules(
            "
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
  - match: [{queryParams: {debug: {exact: '1'}}}]
    route: [{destination: {host: details}}]
  - match: [{uri: {prefix: /Old}, ignoreUriCase: true}]
    redirect: {uri: /new}
  - route: [{destination: {host: reviews, subset: v4}}]
",
        )
        .compile(&productpage());

    insta::assert_snapshot!(shown::route_configuration(&compiled.shared.routes, REVIEWS), @r#"
    routes outbound|9080||reviews.service.consul
      reviews.service.consul:9080 [reviews.service.consul reviews.service.consul:9080 reviews.service reviews.service:9080 reviews reviews:9080 127.128.0.4 127.128.0.4:9080 *]
        reviews: ~(?i)/Old.* -> answer 501
        reviews: /* -> outbound|9080|v4|reviews.service.consul (0s)
    "#);
    insta::assert_snapshot!(compiled.findings(), @r#"
    pilot_total_rejected_configs virtual-service/default/reviews: http[0].match[0]: queryParams are not in force; this match is left out
    pilot_destination_missing virtual-service/default/reviews: no DestinationRule defines subset v4 of reviews.service.consul; such requests get 503
    "#);
}

#[test]
fn a_service_entry_is_a_service_and_an_unknown_host_is_reached_through_the_http_proxy() {
    let compiled = Scenario::services("a.service.consul 80/http @ 127.0.0.9:80")
        .rules(
            "
apiVersion: networking.istio.io/v1alpha3
kind: ServiceEntry
metadata: {name: db}
spec:
  hosts: [db.example.com]
  ports: [{number: 5432, name: tcp, protocol: TCP}, {number: 80, name: http, protocol: HTTP}]
  resolution: STATIC
  endpoints: [{address: 10.1.1.1, ports: {http: 8080}}]
---
apiVersion: networking.istio.io/v1alpha3
kind: ServiceEntry
metadata: {name: web}
spec:
  hosts: [www.example.com]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: DNS
---
apiVersion: networking.istio.io/v1alpha3
kind: ServiceEntry
metadata: {name: anywhere}
spec:
  hosts: ['*.example.org']
  ports: [{number: 80, name: http, protocol: HTTP}]
---
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata: {name: alias}
spec:
  hosts: [alias.example.com]
  http: [{route: [{destination: {host: a}}]}]
",
        )
        .compile(&productpage());

    insta::assert_snapshot!(
        "service_entries_clusters",
        shown::layer(&compiled.shared.clusters)
    );
    insta::assert_snapshot!(
        "service_entries_endpoints",
        shown::layer(&compiled.endpoints.layer)
    );
    insta::assert_snapshot!(shown::route_configuration(&compiled.shared.routes, "http_proxy"), @r#"
    routes http_proxy
      a.service.consul:80 [a.service.consul a.service.consul:80 a.service a.service:80 a a:80 127.128.0.1 127.128.0.1:80]
        default-route: /* -> outbound|80||a.service.consul (15s)
      alias.example.com:80 [alias.example.com alias.example.com:80]
        alias: /* -> outbound|80||a.service.consul (0s)
      db.example.com:80 [db.example.com db.example.com:80]
        default-route: /* -> outbound|80||db.example.com (15s)
      www.example.com:80 [www.example.com www.example.com:80]
        default-route: /* -> outbound|80||www.example.com (15s)
    "#);
    insta::assert_snapshot!(compiled.findings(), @r#"
    pilot_total_rejected_configs service-entry/default/anywhere: *.example.org: resolution NONE needs captured traffic, which explicit mode has not; left out
    pilot_no_ip db.example.com: has no virtual address yet, so no listener
    pilot_no_ip db.example.com: has no virtual address yet, so no listener
    pilot_no_ip www.example.com: has no virtual address yet, so no listener
    "#);
}

#[test]
fn a_pattern_that_a_stock_envoy_refuses_is_left_out_for_it_alone() {
    let scenario = Scenario::bookinfo().rules(
        "
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata: {name: odd}
spec:
  hosts: [reviews]
  http:
  - {match: [{uri: {regex: '/a{1001}'}}, {uri: {prefix: /b}}], route: [{destination: {host: ratings}}]}
  - {route: [{destination: {host: reviews}}]}
---
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {name: flag}
spec: {destination: {name: ratings}, match: {request: {headers: {uri: {regex: '(?x) a'}}}}, route: [{labels: {version: v1}}]}
",
    );
    let ours = productpage();
    let mut envoy = ours.clone();
    envoy.dialect = Dialect::Envoy;

    let (ours, envoys) = (scenario.compile(&ours), scenario.compile(&envoy));

    assert_eq!(ours.findings(), "");
    insta::assert_snapshot!(envoys.findings(), @r#"
    pilot_total_rejected_configs route-rule/default/flag: a stock Envoy does not take the pattern "(?x) a" as it is meant: it has no flag x, only i, m, s and U; left out there
    pilot_total_rejected_configs virtual-service/default/odd: http[0].match[0]: a stock Envoy does not take the pattern "/a{1001}" as it is meant: it repeats at most 1000 times, repetitions within repetitions multiplied; left out there
    "#);
    insta::assert_snapshot!(shown::route_configuration(&envoys.shared.routes, REVIEWS), @"
    routes outbound|9080||reviews.service.consul
      reviews.service.consul:9080 [reviews.service.consul reviews.service.consul:9080 reviews.service reviews.service:9080 reviews reviews:9080 127.128.0.4 127.128.0.4:9080 *]
        odd: /b* -> outbound|9080||ratings.service.consul (0s)
        odd: /* -> outbound|9080||reviews.service.consul (0s)
    ");
}

#[test]
fn through_the_http_proxy_a_host_answers_only_for_its_ports() {
    let compiled = Scenario::services(
        "a.service.consul 9080/http @ 127.0.0.9:9080
         b.service.consul 80/http,9090/http @ 127.0.0.8:80",
    )
    .rules(
        "
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata: {name: alias}
spec:
  hosts: [alias.example.com]
  http: [{route: [{destination: {host: a}}]}]
",
    )
    .compile(&productpage());

    insta::assert_snapshot!(shown::route_configuration(&compiled.shared.routes, "http_proxy"), @r#"
    routes http_proxy
      a.service.consul:9080 [a.service.consul:9080 a.service:9080 a:9080 127.128.0.1:9080]
        default-route: /* -> outbound|9080||a.service.consul (15s)
      alias.example.com:80 [alias.example.com alias.example.com:80]
        alias: /* -> outbound|9080||a.service.consul (0s)
      alias.example.com:9080 [alias.example.com:9080]
        alias: /* -> outbound|9080||a.service.consul (0s)
      b.service.consul:80 [b.service.consul b.service.consul:80 b.service b.service:80 b b:80 127.128.0.2 127.128.0.2:80]
        default-route: /* -> outbound|80||b.service.consul (15s)
      b.service.consul:9090 [b.service.consul:9090 b.service:9090 b:9090 127.128.0.2:9090]
        default-route: /* -> outbound|9090||b.service.consul (15s)
    "#);
}

#[test]
fn what_names_something_unknown_or_unclear_is_reported() {
    let compiled = Scenario::services(
        "a.service.consul 80/http @ 127.0.0.9:80
         a.marathon.mesos 80/http @ 127.0.0.8:80
         mysql.service.consul 3306/tcp @ 127.0.0.7:3306",
    )
    .rules(
        "
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {name: clear}
spec: {destination: {service: a.marathon.mesos}}
---
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {name: unclear}
spec: {destination: {name: a}}
---
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {name: unknown}
spec: {destination: {name: nowhere}}
---
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {name: bytes}
spec: {destination: {name: mysql}}
---
apiVersion: config.istio.io/v1alpha2
kind: DestinationPolicy
metadata: {name: unknown}
spec: {destination: {name: nowhere}, loadBalancing: {name: RANDOM}}
---
apiVersion: networking.istio.io/v1alpha3
kind: DestinationRule
metadata: {name: unknown}
spec: {host: nowhere.service.consul, trafficPolicy: {loadBalancer: {simple: RANDOM}}}
---
apiVersion: networking.istio.io/v1alpha3
kind: DestinationRule
metadata: {name: everybody}
spec: {host: '*.example.com', trafficPolicy: {loadBalancer: {simple: RANDOM}}}
---
apiVersion: networking.istio.io/v1alpha3
kind: DestinationRule
metadata: {name: first}
spec: {host: a.service.consul, trafficPolicy: {loadBalancer: {simple: RANDOM}}}
---
apiVersion: networking.istio.io/v1alpha3
kind: DestinationRule
metadata: {name: second}
spec: {host: a.service.consul, trafficPolicy: {loadBalancer: {simple: LEAST_CONN}}}
---
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata: {name: unbound}
spec:
  hosts: [x.example.com]
  gateways: [edge]
  http: [{route: [{destination: {host: a.service.consul}}]}]
---
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata: {name: wild}
spec:
  hosts: ['*.wild.com']
  http:
  - match: [{gateways: [edge]}]
    route: [{destination: {host: a.service.consul}}]
",
    )
    .compile(&productpage());

    insta::assert_snapshot!(compiled.findings(), @r#"
    pilot_total_rejected_configs route-rule/default/bytes: mysql.service.consul has no HTTP port, and its routes are for HTTP: the rule is not in force
    pilot_conflicting_rules route-rule/default/unclear: the short name may be a.service.consul or a.marathon.mesos; the first is meant
    pilot_destination_missing destination-policy/default/unknown: no registry knows nowhere.service.consul, so the rule is not in force
    pilot_destination_missing destination-rule/default/unknown: no registry knows nowhere.service.consul, so the rule is not in force
    pilot_destination_missing route-rule/default/unknown: no registry knows nowhere.service.consul, so the rule is not in force
    pilot_destination_missing virtual-service/default/unbound: no gateway default/edge exists, so nothing is bound to it
    pilot_destination_missing virtual-service/default/wild: a match is for gateway edge, to which the virtual service is not bound; it is never met
    pilot_destination_missing virtual-service/default/wild: no service is under *.wild.com, so sidecars have no routes for it
    pilot_conflicting_rules destination-rule/default/second: destination-rule/default/first is older and says how a.service.consul is spoken to; the trafficPolicy of this one is left out for it
    "#);
}

#[test]
fn addresses_of_a_service_entry_that_get_no_listener_are_reported() {
    let snapshot = Scenario::services("a.service.consul 80/http @ 127.0.0.9:80")
        .rules(
            "
apiVersion: networking.istio.io/v1alpha3
kind: ServiceEntry
metadata: {name: db}
spec:
  hosts: [db.example.com]
  addresses: [10.9.0.1, 10.9.0.2, 10.8.0.0/16]
  ports: [{number: 5432, name: tcp, protocol: TCP}]
  resolution: STATIC
  endpoints: [{address: 10.1.1.1}]
",
        )
        .snapshot(&Snapshot::default());

    let found: Vec<String> = snapshot
        .findings
        .iter()
        .map(|finding| finding.message.clone())
        .collect();
    assert!(
        found
            .iter()
            .any(|message| message.starts_with("addresses 10.9.0.2, 10.8.0.0/16 get no listener")),
        "{found:?}"
    );
}
