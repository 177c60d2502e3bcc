//! What a written object must pass beyond its own kind's rules, and what its author should be told.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use outrigger_api::kind::Kind;
use outrigger_api::problem::Problem;
use outrigger_api::resource::{Resource, Spec};
use outrigger_api::{effect, references};

use crate::object::Stored;
use crate::view::View;

/// Somebody with a wider view than the store, who comments on written objects: pilot knows the registries, and can say
/// "no instance of ratings.service.consul has labels version=v2".
pub trait Advisor: Send + Sync {
    /// Sentences for the author of an object, lower case and without a full stop. Called for every write on the
    /// request's task: it must answer from memory.
    fn advise(&self, resource: &Resource) -> Vec<String>;
}

/// The gate.
#[derive(Default)]
pub(crate) struct Admission {
    advisor: RwLock<Option<Arc<dyn Advisor>>>,
}

impl Admission {
    pub(crate) fn set_advisor(&self, advisor: Arc<dyn Advisor>) {
        *self.advisor.write().unwrap_or_else(PoisonError::into_inner) = Some(advisor);
    }

    /// Refuses what leads nowhere; gives warnings for what has no effect or an unlikely one.
    pub(crate) fn admit(&self, resource: &Resource, view: &View) -> Result<Vec<String>, Vec<Problem>> {
        let problems = match resource.kind() {
            Kind::VirtualService => {
                let subsets = Subsets::of(view);
                references::check(resource, &|host| subsets.of_host(host))
            }
            _ => references::check(resource, &|_| BTreeSet::new()),
        };
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut warnings: Vec<String> = effect::not_yet(resource).iter().map(sentence).collect();
        let advisor = self
            .advisor
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some(advisor) = advisor {
            warnings.extend(advisor.advise(resource));
        }
        Ok(warnings)
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Admission(..)")
    }
}

/// A problem as a warning: the answer is about one object, so neither it nor the file is named again.
pub(crate) fn sentence(problem: &Problem) -> String {
    Problem {
        origin: String::new(),
        line: 0,
        column: 0,
        object: None,
        ..problem.clone()
    }
    .to_string()
}

/// Subsets by host, as destination rules define them.
struct Subsets {
    /// By the first label of the rule's host.
    rules: BTreeMap<String, Vec<Arc<Stored>>>,
}

impl Subsets {
    fn of(view: &View) -> Self {
        let mut rules: BTreeMap<String, Vec<Arc<Stored>>> = BTreeMap::new();
        for stored in view.list(Kind::DestinationRule, None).0 {
            if let Spec::DestinationRule(rule) = &stored.resource.spec {
                rules
                    .entry(first_label(&rule.host).to_owned())
                    .or_default()
                    .push(stored);
            }
        }
        Subsets { rules }
    }

    /// The subsets of a host, as far as the two can mean the same: how a short name is completed depends on
    /// registries, so `reviews` and `reviews.service.consul` count as one host here.
    fn of_host(&self, host: &str) -> BTreeSet<String> {
        let mut subsets = BTreeSet::new();
        for stored in self.rules.get(first_label(host)).into_iter().flatten() {
            if let Spec::DestinationRule(rule) = &stored.resource.spec
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
