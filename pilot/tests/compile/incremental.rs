//! What did not change is not made again: the same allocation goes on.

use std::sync::Arc;

use outrigger_pilot::snapshot::Snapshot;
use outrigger_xds::TypeUrl;

use super::scenario::{Compiled, Scenario, productpage};

const RULE: &str = "
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {name: reviews}
spec:
  destination: {name: reviews}
  route: [{labels: {version: v1}}]
";

fn step(before: (&Snapshot, &Compiled), scenario: &Scenario) -> (Snapshot, Compiled) {
    let snapshot = scenario.snapshot(before.0);
    let compiled = Compiled::of(&snapshot, &productpage(), Some(before.1));
    (snapshot, compiled)
}

fn first(scenario: &Scenario) -> (Snapshot, Compiled) {
    let snapshot = scenario.snapshot(&Snapshot::default());
    let compiled = Compiled::of(&snapshot, &productpage(), None);
    (snapshot, compiled)
}

#[test]
fn a_change_of_endpoints_touches_only_the_load_assignments_of_that_host() {
    let scenario = Scenario::bookinfo().rules(RULE);
    let (snapshot, old) = first(&scenario);

    let moved = scenario.with_service("ratings.service.consul 9080/http @ 127.0.0.44:9080 version=v1");
    let (next, new) = step((&snapshot, &old), &moved);

    assert!(Arc::ptr_eq(&snapshot.rules, &next.rules));
    assert!(old.shared.stands_for(&next), "no host is looked at again");
    assert!(Arc::ptr_eq(&old.shared.clusters, &new.shared.clusters));
    assert!(Arc::ptr_eq(&old.shared.listeners, &new.shared.listeners));
    assert!(Arc::ptr_eq(&old.shared.routes, &new.shared.routes));
    assert!(Arc::ptr_eq(&old.own, &new.own));
    for resource in old.endpoints.layer.resources(TypeUrl::Endpoint) {
        let now = new
            .endpoints
            .layer
            .get(TypeUrl::Endpoint, resource.name())
            .unwrap();
        assert_eq!(
            Arc::ptr_eq(resource, now),
            !resource.name().contains("ratings"),
            "{}",
            resource.name()
        );
    }
}

#[test]
fn a_change_of_one_rule_makes_only_the_resources_of_its_host_again() {
    let scenario = Scenario::bookinfo().rules(RULE);
    let (snapshot, old) = first(&scenario);

    let (next, new) = step(
        (&snapshot, &old),
        &scenario.clone().rules(&RULE.replace("v1}", "v3}")),
    );
    assert!(!old.shared.stands_for(&next));

    assert!(Arc::ptr_eq(&old.shared.listeners, &new.shared.listeners));
    for resource in old.shared.routes.resources(TypeUrl::Route) {
        let now = new.shared.routes.get(TypeUrl::Route, resource.name()).unwrap();
        let concerned = resource.name().contains("reviews") || resource.name().as_ref() == "http_proxy";
        assert_eq!(Arc::ptr_eq(resource, now), !concerned, "{}", resource.name());
    }
    let whole = "outbound|9080||reviews.service.consul";
    assert!(Arc::ptr_eq(
        old.shared.clusters.get(TypeUrl::Cluster, whole).unwrap(),
        new.shared.clusters.get(TypeUrl::Cluster, whole).unwrap()
    ));
    let changed = |name: &str| new.shared.clusters.get(TypeUrl::Cluster, name).is_some();
    assert!(changed("outbound|9080|version=v3|reviews.service.consul"));
    assert!(!changed("outbound|9080|version=v1|reviews.service.consul"));
}

#[test]
fn the_same_again_is_the_same_in_every_part() {
    let scenario = Scenario::bookinfo().rules(RULE);
    let (snapshot, old) = first(&scenario);

    let (next, new) = step((&snapshot, &old), &scenario);

    assert!(Arc::ptr_eq(&snapshot.catalog, &next.catalog));
    assert!(Arc::ptr_eq(&snapshot.ownership, &next.ownership));
    assert!(Arc::ptr_eq(&old.shared.routes, &new.shared.routes));
    assert!(Arc::ptr_eq(&old.endpoints.layer, &new.endpoints.layer));
    assert!(Arc::ptr_eq(&old.shared.findings, &new.shared.findings));
}

#[test]
fn a_new_peer_changes_the_marks_of_its_own_host_only() {
    let scenario = Scenario::bookinfo();
    let (snapshot, old) = first(&scenario);

    let (_, new) = step((&snapshot, &old), &scenario.clone().peers(&["127.0.0.4:9080"]));

    assert!(Arc::ptr_eq(&old.shared.routes, &new.shared.routes));
    for resource in old.endpoints.layer.resources(TypeUrl::Endpoint) {
        let now = new
            .endpoints
            .layer
            .get(TypeUrl::Endpoint, resource.name())
            .unwrap();
        assert_eq!(
            Arc::ptr_eq(resource, now),
            !resource.name().contains("ratings"),
            "{}",
            resource.name()
        );
    }
}

#[test]
fn compilation_is_deterministic() {
    let versions = || {
        let (_, compiled) = first(&Scenario::bookinfo().rules(RULE));
        let shared = &compiled.shared;
        let layers = [
            &shared.clusters,
            &shared.listeners,
            &shared.routes,
            &compiled.own.layer,
        ];
        let resources = layers.into_iter().flat_map(|layer| {
            TypeUrl::ALL
                .into_iter()
                .flat_map(move |kind| layer.resources(kind).iter().map(|r| r.version()))
        });
        resources.collect::<Vec<_>>()
    };

    assert_eq!(versions(), versions());
}
