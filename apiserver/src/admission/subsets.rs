//! Which subsets a host has, by all destination rules together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use outrigger_api::destination_rule::DestinationRule;
use outrigger_api::host;
use outrigger_api::kind::Kind;
use outrigger_api::resource::{Resource, Spec};

use crate::view::View;

/// The destination rules of the store.
pub(super) fn rules(view: &View) -> impl Iterator<Item = Arc<Resource>> {
    let (stored, _) = view.list(Kind::DestinationRule, None);
    stored.into_iter().map(|stored| Arc::clone(&stored.resource))
}

/// Subsets by host, as destination rules define them.
#[derive(Default)]
pub(super) struct Subsets {
    /// Rules for one host, by its first label.
    single: BTreeMap<String, Vec<Arc<Resource>>>,
    /// Rules for many hosts, by their pattern.
    wildcard: BTreeMap<String, Vec<Arc<Resource>>>,
}

impl Subsets {
    pub(super) fn of(rules: impl Iterator<Item = Arc<Resource>>) -> Self {
        let mut subsets = Subsets::default();
        for resource in rules {
            let Spec::DestinationRule(rule) = &resource.spec else {
                continue;
            };
            let (rules, place) = if rule.host.starts_with('*') {
                (&mut subsets.wildcard, rule.host.as_str())
            } else {
                (&mut subsets.single, first_label(&rule.host))
            };
            rules.entry(place.to_owned()).or_default().push(resource);
        }
        subsets
    }

    /// The subsets of a host, by the rules that pilot takes for it: those that name it, else those of the wildcard that
    /// fits it most closely. How a short name is completed depends on registries, so `reviews` and
    /// `reviews.service.consul` count as one host here, and `reviews` may be covered by every wildcard.
    pub(super) fn of_host(&self, host: &str) -> BTreeSet<String> {
        let same_label = self.single.get(first_label(host)).into_iter().flatten();
        let mut subsets = BTreeSet::new();
        let mut named = false;
        for rule in same_label.filter_map(|resource| destination_rule(resource)) {
            if may_be_same_host(&rule.host, host) {
                named |= rule.host == host;
                subsets.extend(names(rule));
            }
        }
        if !named {
            let covering = self.covering(host).into_iter();
            subsets.extend(
                covering
                    .filter_map(|resource| destination_rule(resource))
                    .flat_map(names),
            );
        }
        subsets
    }

    fn covering(&self, host: &str) -> Vec<&Arc<Resource>> {
        if !host.contains('.') {
            return self.wildcard.values().flatten().collect();
        }
        let closest = host::most_specific(host, self.wildcard.keys().map(String::as_str));
        let rules = closest.and_then(|pattern| self.wildcard.get(pattern));
        rules.into_iter().flatten().collect()
    }
}

fn destination_rule(resource: &Resource) -> Option<&DestinationRule> {
    match &resource.spec {
        Spec::DestinationRule(rule) => Some(rule),
        _ => None,
    }
}

fn names(rule: &DestinationRule) -> impl Iterator<Item = String> {
    rule.subsets.iter().map(|subset| subset.name.clone())
}

fn first_label(host: &str) -> &str {
    host.split('.').next().unwrap_or(host)
}

fn may_be_same_host(left: &str, right: &str) -> bool {
    let either_short = !left.contains('.') || !right.contains('.');
    left == right || either_short && first_label(left) == first_label(right)
}

#[cfg(test)]
mod tests {
    use outrigger_api::document::{Options, parse_body};

    use super::*;

    /// Destination rules as `host: subset`.
    fn subsets(rules: &[(&str, &str)]) -> Subsets {
        let rules = rules.iter().enumerate().map(|(index, (host, subset))| {
            let json = format!(
                r#"{{"apiVersion":"networking.istio.io/v1alpha3","kind":"DestinationRule",
                    "metadata":{{"name":"r{index}","namespace":"default"}},
                    "spec":{{"host":"{host}","subsets":[{{"name":"{subset}","labels":{{"version":"{subset}"}}}}]}}}}"#
            );
            Arc::new(parse_body(json.as_bytes(), &Options::default()).unwrap().resource)
        });
        Subsets::of(rules)
    }

    #[test]
    fn the_rules_of_a_host_are_those_that_name_it_else_those_of_the_closest_wildcard() {
        let rules = [
            ("*", "all"),
            ("*.mesh", "mesh"),
            ("*.a.mesh", "near"),
            ("ratings.mesh", "own"),
            ("details", "short"),
        ];
        for (host, expected) in [
            ("reviews.mesh", &["mesh"] as &[&str]),
            ("reviews.a.mesh", &["near"]),
            ("reviews.elsewhere", &["all"]),
            ("ratings.mesh", &["own"]),
            ("details.mesh", &["mesh", "short"]),
            ("ratings", &["all", "mesh", "near", "own"]),
            ("reviews", &["all", "mesh", "near"]),
        ] {
            let found = subsets(&rules).of_host(host);
            assert!(
                found.iter().map(String::as_str).eq(expected.iter().copied()),
                "{host}: {found:?}"
            );
        }
        assert!(subsets(&rules[1..2]).of_host("mesh.elsewhere").is_empty());
    }

    #[test]
    fn short_and_full_names_may_be_one_host_and_different_names_are_not() {
        for (left, right, same) in [
            ("reviews", "reviews", true),
            ("reviews", "reviews.service.consul", true),
            ("reviews.service.consul", "reviews", true),
            ("reviews", "reviewsold.service.consul", false),
            ("reviews.a", "reviews.a.b", false),
            ("reviews.service.consul", "ratings.service.consul", false),
        ] {
            assert_eq!(may_be_same_host(left, right), same, "{left} {right}");
        }
    }
}
