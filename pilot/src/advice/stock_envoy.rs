//! Patterns that a stock Envoy does not take: it refuses them together with every route of their configuration.

use outrigger_api::resource::{Resource, Spec};
use outrigger_api::route_rule::RouteRule;
use outrigger_api::string_match::StringMatch;
use outrigger_api::virtual_service::VirtualService;

use crate::dialect::Dialect;

/// One sentence for each pattern of `resource` that is not RE2's.
pub(super) fn advise(resource: &Resource) -> Vec<String> {
    let conditions = match &resource.spec {
        Spec::RouteRule(spec) => of_route_rule(spec),
        Spec::VirtualService(spec) => of_virtual_service(spec),
        _ => Vec::new(),
    };
    let told = conditions.into_iter().filter_map(|(field, condition)| {
        let StringMatch::Regex(pattern) = condition else {
            return None;
        };
        let why = Dialect::Envoy.objection(pattern.as_str())?;
        Some(format!(
            "{field}: {why}; there the condition is left out with its route"
        ))
    });
    told.collect()
}

fn of_route_rule(spec: &RouteRule) -> Vec<(String, &StringMatch)> {
    let headers = spec.condition.iter().flat_map(|condition| &condition.headers);
    headers
        .map(|(name, value)| (format!("match.request.headers.{name}"), value))
        .collect()
}

fn of_virtual_service(spec: &VirtualService) -> Vec<(String, &StringMatch)> {
    let mut conditions = Vec::new();
    for (route, http) in spec.http.iter().enumerate() {
        for (alternative, condition) in http.matches.iter().enumerate() {
            let place = format!("http[{route}].match[{alternative}]");
            let parts = [
                ("uri", &condition.uri),
                ("scheme", &condition.scheme),
                ("method", &condition.method),
                ("authority", &condition.authority),
            ];
            let parts = parts
                .into_iter()
                .filter_map(|(name, value)| Some((format!("{place}.{name}"), value.as_ref()?)));
            conditions.extend(parts);
            let headers = condition.headers.iter();
            conditions.extend(headers.map(|(name, value)| (format!("{place}.headers.{name}"), value)));
        }
    }
    conditions
}
