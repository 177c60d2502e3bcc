//! What holds whatever the rules are.

use std::collections::BTreeSet;

use outrigger_xds::TypeUrl;
use outrigger_xds::pb::envoy::config::route::v3::RouteConfiguration;
use outrigger_xds::pb::envoy::config::route::v3::route::Action;
use outrigger_xds::pb::envoy::config::route::v3::route_action::ClusterSpecifier;
use proptest::prelude::*;

use super::scenario::{Compiled, Scenario, productpage};

const HOSTS: [&str; 5] = ["reviews", "ratings", "details", "productpage", "nowhere"];

#[derive(Debug, Clone)]
struct Destination {
    host: usize,
    version: u8,
    weight: u32,
}

fn destinations() -> impl Strategy<Value = Vec<Destination>> {
    prop::collection::vec((0..HOSTS.len(), 0..5u8, 0..60u32), 1..4).prop_map(|parts| {
        let mut left = 100;
        let last = parts.len() - 1;
        let parts = parts
            .into_iter()
            .enumerate()
            .map(|(place, (host, version, weight))| {
                let weight = if place == last { left } else { weight.min(left) };
                left -= weight;
                Destination {
                    host,
                    version,
                    weight,
                }
            });
        parts.collect()
    })
}

fn first_generation(index: usize, host: usize, precedence: i32, matched: bool, to: &[Destination]) -> String {
    let matching = if matched {
        "match: {request: {headers: {end-user: {exact: a}}}}"
    } else {
        ""
    };
    let route = to.iter().map(|part| {
        let labels = if part.version == 0 {
            String::new()
        } else {
            format!(", labels: {{version: v{}}}", part.version)
        };
        format!(
            "  - {{destination: {{name: {}}}{labels}, weight: {}}}\n",
            HOSTS[part.host], part.weight
        )
    });
    format!(
        "apiVersion: config.istio.io/v1alpha2\nkind: RouteRule\nmetadata: {{name: rule-{index}}}\nspec:\n  \
         destination: {{name: {}}}\n  precedence: {precedence}\n  {matching}\n  route:\n{}",
        HOSTS[host],
        route.collect::<String>()
    )
}

fn second_generation(index: usize, host: usize, matched: bool, to: &[Destination]) -> String {
    let matching = if matched {
        "match: [{uri: {prefix: /a}}]"
    } else {
        "match: [{uri: {prefix: /}}]"
    };
    let route = to.iter().map(|part| {
        let subset = if part.version == 0 {
            String::new()
        } else {
            format!(", subset: v{}", part.version)
        };
        format!(
            "    - {{destination: {{host: {}{subset}}}, weight: {}}}\n",
            HOSTS[part.host], part.weight
        )
    });
    format!(
        "apiVersion: networking.istio.io/v1alpha3\nkind: VirtualService\nmetadata: {{name: vs-{index}}}\nspec:\n  \
         hosts: [{}]\n  http:\n  - {matching}\n    route:\n{}",
        HOSTS[host],
        route.collect::<String>()
    )
}

fn rules() -> impl Strategy<Value = String> {
    let one = (
        0..HOSTS.len(),
        any::<bool>(),
        -1..3i32,
        any::<bool>(),
        destinations(),
    );
    prop::collection::vec(one, 0..7).prop_map(|rules| {
        let documents = rules
            .iter()
            .enumerate()
            .map(|(index, (host, first, precedence, matched, to))| {
                if *first {
                    first_generation(index, *host, *precedence, *matched, to)
                } else {
                    second_generation(index, *host, *matched, to)
                }
            });
        documents.collect::<Vec<_>>().join("---\n")
    })
}

const SUBSETS: &str = "
apiVersion: networking.istio.io/v1alpha3
kind: DestinationRule
metadata: {name: reviews}
spec:
  host: reviews.service.consul
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
";

/// The clusters of every route with their weights; one alone has 100.
fn targets(compiled: &Compiled) -> Vec<Vec<(String, u32)>> {
    let resources = compiled.shared.routes.resources(TypeUrl::Route);
    let configurations = resources
        .iter()
        .map(|resource| resource.decode::<RouteConfiguration>().unwrap());
    let hosts = configurations.flat_map(|configuration| configuration.virtual_hosts);
    let routes = hosts.flat_map(|host| host.routes);
    routes
        .filter_map(|route| match route.action? {
            Action::Route(action) => match action.cluster_specifier? {
                ClusterSpecifier::Cluster(name) => Some(vec![(name, 100)]),
                ClusterSpecifier::WeightedClusters(weighted) => {
                    let parts = weighted.clusters.into_iter();
                    Some(
                        parts
                            .map(|part| (part.name, part.weight.unwrap().value))
                            .collect(),
                    )
                }
                _ => None,
            },
            _ => None,
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn weights_sum_to_100_and_a_missing_cluster_is_always_reported(yaml in rules()) {
        let compiled = Scenario::bookinfo().rules(SUBSETS).rules(&yaml).compile(&productpage());

        let clusters: BTreeSet<&str> =
            compiled.shared.clusters.resources(TypeUrl::Cluster).iter().map(|cluster| cluster.name().as_ref()).collect();
        let findings = compiled.findings();
        for route in targets(&compiled) {
            prop_assert_eq!(route.iter().map(|(_, weight)| weight).sum::<u32>(), 100, "{:?}", route);
            for (name, _) in route {
                let host = name.rsplit('|').next().unwrap();
                let reported = findings.lines().any(|line| {
                    line.starts_with("pilot_destination_missing") && line.contains(host)
                });
                prop_assert!(clusters.contains(name.as_str()) || reported, "{} in\n{}", name, findings);
            }
        }
    }

    #[test]
    fn every_cluster_of_endpoints_has_its_load_assignment_and_no_domain_stands_twice(yaml in rules()) {
        let compiled = Scenario::bookinfo().rules(SUBSETS).rules(&yaml).compile(&productpage());

        for cluster in compiled.shared.clusters.resources(TypeUrl::Cluster) {
            for name in cluster.references().of_type(TypeUrl::Endpoint) {
                prop_assert!(compiled.endpoints.layer.get(TypeUrl::Endpoint, name).is_some(), "{}", name);
            }
        }
        for resource in compiled.shared.routes.resources(TypeUrl::Route) {
            let configuration: RouteConfiguration = resource.decode().unwrap();
            let mut seen = BTreeSet::new();
            for domain in configuration.virtual_hosts.iter().flat_map(|host| &host.domains) {
                prop_assert!(seen.insert(domain), "{} twice in {}", domain, configuration.name);
            }
        }
    }
}
