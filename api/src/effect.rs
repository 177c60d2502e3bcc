//! Fields that are accepted and kept, but whose effect comes later: one table, so that nothing is silently ignored.

use serde_json::Value;

use crate::document::node::field_path;
use crate::kind::Kind;
use crate::problem::Problem;
use crate::resource::Resource;

/// A field without effect, and what does not happen.
struct Later {
    kind: Kind,
    when: When,
    what: &'static str,
}

/// When a row speaks. In a path `[]` stands for every element of a list, a leading `**` for any beginning.
enum When {
    /// The field is set.
    Set(&'static str),
    /// The field has this value.
    Is(&'static str, &'static str),
    /// The field has a value that begins like this.
    Begins(&'static str, &'static str),
    /// The element of this list of addresses is not the one that a listener is opened for: the first, when it is a single
    /// address and no block.
    NotServed(&'static str),
    /// The field of this object (first path) is left out.
    Unset(&'static str, &'static str),
}

use Kind::{
    DestinationPolicy, DestinationRule, EgressRule, Gateway, RouteRule, ServiceEntry, VirtualService,
};
use When::{Begins, Is, NotServed, Set, Unset};

const fn later(kind: Kind, when: When, what: &'static str) -> Later {
    Later { kind, when, what }
}

#[rustfmt::skip]
const LATER: &[Later] = &[
    later(RouteRule, Set("spec.match.tcp"), "the rule is left out, its connections are not matched"),
    later(RouteRule, Set("spec.redirect"), "requests are answered with 501 instead of being redirected"),
    later(RouteRule, Set("spec.rewrite"), "paths and hosts are not rewritten"),
    later(RouteRule, Set("spec.websocketUpgrade"), "upgrades are allowed on every route"),
    later(RouteRule, Set("spec.httpReqTimeout.custom"), "custom timeouts are not interpreted"),
    later(RouteRule, Set("spec.httpReqTimeout.simpleTimeout.overrideHeaderName"), "no header overrides the timeout"),
    later(RouteRule, Set("spec.httpReqRetries"), "requests are not retried"),
    later(RouteRule, Set("spec.httpFault"), "faults are not injected"),
    later(RouteRule, Set("spec.mirror"), "requests are not mirrored"),
    later(RouteRule, Set("spec.corsPolicy"), "cross-origin policy is not applied"),
    later(RouteRule, Set("spec.appendHeaders"), "headers are not changed"),

    later(DestinationPolicy, Set("spec.loadBalancing.custom"), "custom load balancing is not interpreted"),
    later(DestinationPolicy, Set("spec.circuitBreaker"), "calls are not cut off"),
    later(DestinationPolicy, Set("spec.custom"), "custom policies are not interpreted"),

    later(EgressRule, Set("spec"), "outside hosts are not opened, use a ServiceEntry"),

    later(VirtualService, Set("spec.http[].match[].queryParams"), "the match is left out"),
    later(VirtualService, Set("spec.http[].redirect"), "requests are answered with 501 instead of being redirected"),
    later(VirtualService, Set("spec.http[].rewrite"), "paths and hosts are not rewritten"),
    later(VirtualService, Set("spec.http[].websocketUpgrade"), "upgrades are allowed on every route"),
    later(VirtualService, Set("spec.http[].retries"), "requests are not retried"),
    later(VirtualService, Set("spec.http[].fault"), "faults are not injected"),
    later(VirtualService, Set("spec.http[].mirror"), "requests are not mirrored"),
    later(VirtualService, Set("spec.http[].corsPolicy"), "cross-origin policy is not applied"),
    later(VirtualService, Set("spec.http[].headers"), "headers are not changed"),
    later(VirtualService, Set("spec.http[].route[].headers"), "headers are not changed"),
    later(VirtualService, Set("spec.tls"), "TLS connections are not routed by SNI"),
    later(VirtualService, Set("spec.tcp[].match[].destinationSubnets"), "the match is left out"),
    later(VirtualService, Set("spec.tcp[].match[].sourceSubnet"), "the match is left out"),
    later(VirtualService, Set("spec.exportTo"), "the object is seen by all namespaces"),

    later(DestinationRule, Set("**.loadBalancer.consistentHash"), "instances are chosen round robin"),
    later(DestinationRule, Is("**.loadBalancer.simple", "PASSTHROUGH"), "instances are chosen round robin"),
    later(DestinationRule, Set("**.trafficPolicy.connectionPool"), "calls are not limited"),
    later(DestinationRule, Set("**.portLevelSettings[].connectionPool"), "calls are not limited"),
    later(DestinationRule, Set("**.trafficPolicy.outlierDetection"), "instances are not set aside"),
    later(DestinationRule, Set("**.portLevelSettings[].outlierDetection"), "instances are not set aside"),
    later(DestinationRule, Set("**.trafficPolicy.tls"), "services are called without TLS"),
    later(DestinationRule, Set("**.portLevelSettings[].tls"), "services are called without TLS"),
    later(DestinationRule, Set("spec.exportTo"), "the object is seen by all namespaces"),

    later(Gateway, Set("spec.servers[].tls"), "TLS is not served, the server is not opened"),
    later(Gateway, Set("spec.servers[].bind"), "the server binds the gateway's address"),
    later(Gateway, Set("spec.servers[].defaultEndpoint"), "there is no default endpoint"),

    later(ServiceEntry, NotServed("spec.addresses[]"), "only the first address gets a listener, when it is no block"),
    later(ServiceEntry, Is("spec.location", "MESH_INTERNAL"), "services inside and outside of the mesh are called alike"),
    later(ServiceEntry, Unset("spec", "resolution"), "resolution NONE opens no way to the caller's own addresses"),
    later(ServiceEntry, Begins("spec.endpoints[].address", "unix:"), "endpoints in the file system are left out"),
    later(ServiceEntry, Set("spec.endpoints[].network"), "all endpoints are taken to be reachable"),
    later(ServiceEntry, Set("spec.subjectAltNames"), "services are called without TLS"),
    later(ServiceEntry, Set("spec.exportTo"), "the object is seen by all namespaces"),
];

/// Names every field of the object that has no effect yet, as a warning on its path.
///
/// The warnings have no place in a file; [`crate::document::Parsed::place`] gives them one.
pub fn not_yet(resource: &Resource) -> Vec<Problem> {
    let kind = resource.kind();
    let mut rows: Vec<(&Later, usize)> = LATER
        .iter()
        .filter(|row| row.kind == kind)
        .map(|row| (row, 0))
        .collect();
    let mut warnings = Vec::new();
    if rows.is_empty() {
        return warnings;
    }
    let object = resource.key().to_string();
    visit(
        "spec",
        "spec",
        &resource.spec.to_json(),
        &mut |path, pattern, value| {
            for (row, places) in &mut rows {
                let Some(name) = row.when.speaks_of(path, pattern, value) else {
                    continue;
                };
                *places += 1;
                if *places <= MAX_PLACES {
                    let path = if name.is_empty() {
                        path.to_owned()
                    } else {
                        field_path(path, name)
                    };
                    let field = path.rsplit('.').next().unwrap_or(&path);
                    let message = format!("{field} has no effect yet: {}", row.what);
                    warnings.push(Problem::new(&path, message).of(&object));
                }
            }
        },
    );
    for (row, places) in rows.into_iter().filter(|(_, places)| *places > MAX_PLACES) {
        let message = format!("the same at {} more places: {}", places - MAX_PLACES, row.what);
        warnings.push(Problem::new("spec", message).of(&object));
    }
    warnings
}

/// Places of one row that are named each; more are counted.
const MAX_PLACES: usize = 5;

impl When {
    /// Whether the row speaks of the value at `path`, which is `pattern` without indices; the name is that of a field that
    /// is left out there.
    fn speaks_of(&self, path: &str, pattern: &str, value: &Value) -> Option<&'static str> {
        let fits = |wanted: &str| match wanted.strip_prefix("**") {
            Some(end) => pattern.ends_with(end),
            None => pattern == wanted,
        };
        match self {
            When::Set(wanted) => fits(wanted).then_some(""),
            When::Is(wanted, text) => (fits(wanted) && value.as_str() == Some(text)).then_some(""),
            When::Begins(wanted, start) => {
                (fits(wanted) && value.as_str().is_some_and(|text| text.starts_with(start))).then_some("")
            }
            When::NotServed(wanted) => {
                let is_block = value
                    .as_str()
                    .is_some_and(|text| text.contains('/') && !text.ends_with("/32"));
                (fits(wanted) && (is_block || !path.ends_with("[0]"))).then_some("")
            }
            When::Unset(wanted, field) => (fits(wanted) && value.get(field).is_none()).then_some(field),
        }
    }
}

/// Visits a value and everything in it, with its path and the same path with `[]` in place of indices.
fn visit(path: &str, pattern: &str, value: &Value, seen: &mut dyn FnMut(&str, &str, &Value)) {
    seen(path, pattern, value);
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                visit(&field_path(path, name), &field_path(pattern, name), field, seen);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                visit(&format!("{path}[{index}]"), &format!("{pattern}[]"), item, seen);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
