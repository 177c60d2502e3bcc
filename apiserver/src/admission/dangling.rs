//! Virtual services that lose a subset when a destination rule goes or changes. That is allowed, since the order in
//! which objects leave is their author's affair, and told.

use std::collections::BTreeSet;
use std::sync::Arc;

use outrigger_api::kind::Kind;
use outrigger_api::problem::Problem;
use outrigger_api::references;
use outrigger_api::resource::{Key, Resource};

use super::subsets::{self, Subsets};
use crate::view::View;

/// A sentence for every virtual service that names a subset which is defined now, and not any more when the objects
/// under `leaving` are gone and `instead` stands in their place.
pub(crate) fn left_dangling(view: &View, leaving: &BTreeSet<Key>, instead: Option<&Resource>) -> Vec<String> {
    if leaving.iter().all(|key| key.kind != Kind::DestinationRule) {
        return Vec::new();
    }
    let staying = subsets::rules(view).filter(|rule| !leaving.contains(&rule.key()));
    let after = Subsets::of(staying.chain(instead.cloned().map(Arc::new)));
    let before = Subsets::of(subsets::rules(view));
    let (services, _) = view.list(Kind::VirtualService, None);
    services
        .iter()
        .filter_map(|service| {
            let mut lost = references::check(&service.resource, &|host| after.of_host(host));
            if lost.is_empty() {
                return None;
            }
            let missing = references::check(&service.resource, &|host| before.of_host(host));
            lost.retain(|problem| missing.iter().all(|known| known.path != problem.path));
            sentence(&service.key, &lost)
        })
        .collect()
}

fn sentence(service: &Key, lost: &[Problem]) -> Option<String> {
    let (first, more) = lost.split_first()?;
    let more = match more.len() {
        0 => String::new(),
        more => format!(", and so at {more} more places"),
    };
    Some(format!(
        "{service} is left dangling: {}: {}{more}",
        first.path, first.message
    ))
}
