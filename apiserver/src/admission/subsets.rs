//! Which subsets a host has, by all destination rules together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use outrigger_api::kind::Kind;
use outrigger_api::resource::{Resource, Spec};

use crate::view::View;

/// The destination rules of the store.
pub(super) fn rules(view: &View) -> impl Iterator<Item = Arc<Resource>> {
    let (stored, _) = view.list(Kind::DestinationRule, None);
    stored.into_iter().map(|stored| Arc::clone(&stored.resource))
}

/// Subsets by host, as destination rules define them.
pub(super) struct Subsets {
    /// By the first label of the rule's host.
    rules: BTreeMap<String, Vec<Arc<Resource>>>,
}

impl Subsets {
    pub(super) fn of(rules: impl Iterator<Item = Arc<Resource>>) -> Self {
        let mut by_label: BTreeMap<String, Vec<Arc<Resource>>> = BTreeMap::new();
        for resource in rules {
            if let Spec::DestinationRule(rule) = &resource.spec {
                let label = first_label(&rule.host).to_owned();
                by_label.entry(label).or_default().push(resource);
            }
        }
        Subsets { rules: by_label }
    }

    /// The subsets of a host, as far as the two can mean the same: how a short name is completed depends on
    /// registries, so `reviews` and `reviews.service.consul` count as one host here.
    pub(super) fn of_host(&self, host: &str) -> BTreeSet<String> {
        let mut subsets = BTreeSet::new();
        for resource in self.rules.get(first_label(host)).into_iter().flatten() {
            if let Spec::DestinationRule(rule) = &resource.spec
                && may_be_same_host(&rule.host, host)
            {
                subsets.extend(rule.subsets.iter().map(|subset| subset.name.clone()));
            }
        }
        subsets
    }
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
    use super::*;

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
