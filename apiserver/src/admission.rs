//! What a written object must pass beyond its own kind's rules, and what its author should be told.

mod dangling;
mod subsets;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use outrigger_api::kind::Kind;
use outrigger_api::problem::Problem;
use outrigger_api::resource::Resource;
use outrigger_api::{effect, references};

use crate::view::View;
use subsets::Subsets;

pub(crate) use dangling::left_dangling;

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
                let subsets = Subsets::of(subsets::rules(view));
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
