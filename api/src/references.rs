//! Names in one object that another object must define before it is admitted.

use std::collections::BTreeSet;

use crate::problem::Problem;
use crate::resource::{Resource, Spec};
use crate::virtual_service::{Destination, HttpAction, VirtualService};

/// Refuses a VirtualService that names a subset which no DestinationRule of that host defines.
///
/// `subsets_of` is asked with each host as it is written, short names included, and gives the names of all
/// subsets that any DestinationRule defines for it. The problems have no place in a file;
/// [`crate::document::Parsed::place`] gives them one.
pub fn check(resource: &Resource, subsets_of: &dyn Fn(&str) -> BTreeSet<String>) -> Vec<Problem> {
    let Spec::VirtualService(service) = &resource.spec else {
        return Vec::new();
    };
    let object = resource.key().to_string();
    destinations(service)
        .into_iter()
        .filter(|(_, destination)| !destination.subset.is_empty())
        .filter_map(|(path, destination)| {
            let known = subsets_of(&destination.host);
            if known.contains(&destination.subset) {
                return None;
            }
            let message = format!(
                "no DestinationRule defines subset {:?} of host {}",
                destination.subset, destination.host
            );
            let hint = if known.is_empty() {
                "create the DestinationRule first".to_owned()
            } else {
                format!(
                    "its subsets are {}",
                    known.into_iter().collect::<Vec<_>>().join(", ")
                )
            };
            Some(
                Problem::new(format!("{path}.subset"), message)
                    .with_hint(hint)
                    .of(&object),
            )
        })
        .collect()
}

/// Every destination of a virtual service with its path.
fn destinations(service: &VirtualService) -> Vec<(String, &Destination)> {
    let mut found = Vec::new();
    for (index, route) in service.http.iter().enumerate() {
        if let HttpAction::Route(entries) = &route.action {
            for (entry, to) in entries.iter().enumerate() {
                found.push((
                    format!("spec.http[{index}].route[{entry}].destination"),
                    &to.destination,
                ));
            }
        }
        if let Some(mirror) = &route.mirror {
            found.push((format!("spec.http[{index}].mirror"), mirror));
        }
    }
    let tls = service
        .tls
        .iter()
        .map(|route| &route.route)
        .enumerate()
        .map(|route| ("tls", route));
    let tcp = service
        .tcp
        .iter()
        .map(|route| &route.route)
        .enumerate()
        .map(|route| ("tcp", route));
    for (list, (index, entries)) in tls.chain(tcp) {
        for (entry, to) in entries.iter().enumerate() {
            found.push((
                format!("spec.{list}[{index}].route[{entry}].destination"),
                &to.destination,
            ));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Kind;
    use crate::trial::accepted;

    fn refused(spec: &str) -> Vec<String> {
        let known = |host: &str| match host {
            "reviews.example" => BTreeSet::from(["v1".to_owned(), "v3".to_owned()]),
            _ => BTreeSet::new(),
        };
        check(&accepted(Kind::VirtualService, spec), &known)
            .iter()
            .map(Problem::to_string)
            .collect()
    }

    #[test]
    fn a_known_subset_and_no_subset_are_admitted() {
        assert_eq!(
            refused(
                "{hosts: [a.b], http: [{route: [{destination: {host: reviews.example, subset: v1}}]}], tcp: [{route: [{destination: {host: a.b}}]}]}"
            ),
            Vec::<String>::new()
        );
    }

    #[test]
    fn each_unknown_subset_is_refused_wherever_it_stands() {
        assert_eq!(
            refused(
                "{hosts: [a.b], http: [{route: [{destination: {host: reviews.example, subset: v2}}], mirror: {host: a.b, subset: x}}], \
                 tls: [{match: [{sniHosts: [a.b]}], route: [{destination: {host: a.b, subset: y}}]}], \
                 tcp: [{route: [{destination: {host: a.b, subset: z}}]}]}"
            ),
            [
                "virtual-service/default/trial: spec.http[0].route[0].destination.subset: no DestinationRule defines subset \"v2\" of host reviews.example (its subsets are v1, v3)",
                "virtual-service/default/trial: spec.http[0].mirror.subset: no DestinationRule defines subset \"x\" of host a.b (create the DestinationRule first)",
                "virtual-service/default/trial: spec.tls[0].route[0].destination.subset: no DestinationRule defines subset \"y\" of host a.b (create the DestinationRule first)",
                "virtual-service/default/trial: spec.tcp[0].route[0].destination.subset: no DestinationRule defines subset \"z\" of host a.b (create the DestinationRule first)",
            ]
        );
    }
}
