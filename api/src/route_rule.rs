//! RouteRule: how requests to one service are routed (`spec/traffic-v1alpha2.md` §1).

mod condition;
mod fault;
mod timeout;

use std::collections::BTreeMap;

pub use condition::{L4Condition, MatchCondition};
pub(crate) use fault::read_status;
pub use fault::{Abort, AbortKind, Delay, HttpFault};
pub use timeout::{HttpRetry, HttpTimeout};

use crate::cors_policy::CorsPolicy;
use crate::fields::{Fields, Message};
use crate::http_header::check_name;
use crate::model::Labels;
use crate::output::Object;
use crate::rewrite::{self, FIRST_WORDS, Redirect, Rewrite};
use crate::service_ref::ServiceRef;

/// A rule for the callers of one service. Applies to ports that speak HTTP, HTTP/2 or gRPC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteRule {
    /// The service whose callers the rule governs, in all its versions; has no labels.
    pub destination: ServiceRef,
    /// Rules with a higher number come first, equal ones by key.
    pub precedence: i32,
    /// Which requests; absent for all.
    pub condition: Option<MatchCondition>,
    /// Where they go; empty for all instances of the destination. See [`RouteRule::weighted`].
    pub route: Vec<DestinationWeight>,
    /// Answers with 302 instead of forwarding; excludes route, rewrite, fault and WebSocket.
    pub redirect: Option<Redirect>,
    /// Changes path or host on the way.
    pub rewrite: Option<Rewrite>,
    /// Allows the upgrade to WebSocket on this route.
    pub websocket_upgrade: bool,
    /// Total time for a request, retries included; absent for 15 s.
    pub timeout: Option<HttpTimeout>,
    /// Attempts after a failure; absent for none.
    pub retries: Option<HttpRetry>,
    /// Faults to inject.
    pub fault: Option<HttpFault>,
    /// Where a copy of each request goes, labels allowed.
    pub mirror: Option<ServiceRef>,
    /// Cross-origin policy.
    pub cors_policy: Option<CorsPolicy>,
    /// Headers appended to the request, in key order.
    pub append_headers: BTreeMap<String, String>,
}

impl RouteRule {
    /// The routes with the percent each of them takes: a single one takes all, whatever its weight says.
    pub fn weighted(&self) -> impl Iterator<Item = (&DestinationWeight, u32)> {
        let single = self.route.len() == 1;
        self.route
            .iter()
            .map(move |entry| (entry, if single { 100 } else { entry.weight }))
    }
}

impl Message for RouteRule {
    fn read(fields: &Fields<'_>) -> RouteRule {
        let rule = RouteRule {
            destination: read_destination(fields),
            precedence: fields.integer("precedence").unwrap_or(0),
            condition: fields.message("match"),
            route: fields.messages("route"),
            redirect: Redirect::read(fields, FIRST_WORDS),
            rewrite: Rewrite::read(fields, FIRST_WORDS),
            websocket_upgrade: fields.flag("websocketUpgrade"),
            timeout: fields.message("httpReqTimeout"),
            retries: fields.message("httpReqRetries"),
            fault: fields.message("httpFault"),
            mirror: fields.message("mirror"),
            cors_policy: fields.message("corsPolicy"),
            append_headers: read_append_headers(fields),
        };
        fault::refuse_l4(fields);
        check_weights(fields, &rule.route);
        if fields.has("redirect") {
            if fields.has("route") {
                fields.problem_at("redirect", "rule cannot contain both route and redirect");
            }
            if fields.has("rewrite") {
                fields.problem_at("redirect", "rule cannot contain both rewrite and redirect");
            }
            if fields.has("httpFault") {
                fields.problem_at("redirect", "rule cannot contain both fault and redirect");
            }
            if rule.websocket_upgrade {
                fields.problem_at(
                    "websocketUpgrade",
                    "WebSocket upgrade is not allowed on redirect rules",
                );
            }
        }
        rule
    }

    fn write(&self, out: &mut Object) {
        out.message("destination", Some(&self.destination));
        out.integer("precedence", self.precedence);
        out.message("match", self.condition.as_ref());
        out.messages("route", &self.route);
        rewrite::write(self.redirect.as_ref(), self.rewrite.as_ref(), out);
        out.flag("websocketUpgrade", self.websocket_upgrade);
        out.message("httpReqTimeout", self.timeout.as_ref());
        out.message("httpReqRetries", self.retries.as_ref());
        out.message("httpFault", self.fault.as_ref());
        out.message("mirror", self.mirror.as_ref());
        out.message("corsPolicy", self.cors_policy.as_ref());
        out.text_map("appendHeaders", &self.append_headers);
    }
}

fn read_destination(fields: &Fields<'_>) -> ServiceRef {
    if !fields.has("destination") {
        fields.problem_at("destination", "route rule must have a destination service");
    }
    let destination: ServiceRef = fields
        .message("destination")
        .unwrap_or_else(|| ServiceRef::host(""));
    if !destination.labels.is_empty() {
        fields.problem_at("destination", "route rule destination labels must be empty");
    }
    destination
}

fn read_append_headers(fields: &Fields<'_>) -> BTreeMap<String, String> {
    for (name, at) in fields.entries("appendHeaders") {
        check_name(&at, name);
        if at.is_null() || at.text() == Some("") {
            at.problem(format!("appended header {name:?} must have a non-empty value"));
        }
    }
    fields.text_map("appendHeaders")
}

/// A single entry may leave its weight out; all other sums are exactly 100.
fn check_weights(fields: &Fields<'_>, route: &[DestinationWeight]) {
    let total: u32 = route.iter().map(|entry| entry.weight).sum();
    let single_without = route.len() == 1 && total == 0;
    if !route.is_empty() && !single_without && total != 100 {
        fields.problem_at("route", format!("route weights total {total} (must total 100)"));
    }
}

/// One place that requests may go to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DestinationWeight {
    /// Another service; absent for the rule's destination.
    pub destination: Option<ServiceRef>,
    /// The version: instances that carry all of these labels. Empty for all instances.
    pub labels: Labels,
    /// Percent as written, 0 when left out; see [`RouteRule::weighted`] for what it means.
    pub weight: u32,
}

impl Message for DestinationWeight {
    fn read(fields: &Fields<'_>) -> DestinationWeight {
        DestinationWeight {
            destination: fields.message("destination"),
            labels: fields.labels("labels"),
            weight: read_weight(fields),
        }
    }

    fn write(&self, out: &mut Object) {
        out.message("destination", self.destination.as_ref());
        out.labels("labels", &self.labels);
        out.integer("weight", self.weight);
    }
}

/// A weight from 0 to 100, of either generation.
pub(crate) fn read_weight(fields: &Fields<'_>) -> u32 {
    let Some(at) = fields.at("weight") else { return 0 };
    let Some(weight) = at.integer() else { return 0 };
    match u32::try_from(weight) {
        Ok(weight @ 0..=100) => weight,
        _ => {
            at.problem(format!(
                "weight invalid: percentage {weight} is not in range 0..100"
            ));
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Kind;
    use crate::resource::Spec;
    use crate::trial::{accepted, check};

    fn rule(spec: &str) -> RouteRule {
        match accepted(Kind::RouteRule, spec).spec {
            Spec::RouteRule(rule) => *rule,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_rule_as_a_whole_is_checked() {
        check(
            Kind::RouteRule,
            &[
                ("{destination: {service: a.b}}", &[]),
                (
                    "{}",
                    &["spec.destination: route rule must have a destination service"],
                ),
                (
                    "{destination: null}",
                    &["spec.destination: route rule must have a destination service"],
                ),
                (
                    "{destination: {service: a.b, labels: {version: v1}}}",
                    &["spec.destination: route rule destination labels must be empty"],
                ),
                ("{destination: {service: a.b}, precedence: -2147483648}", &[]),
                (
                    "{destination: {service: a.b}, precedence: 2147483648}",
                    &["spec.precedence: 2147483648 is not in range -2147483648..2147483647"],
                ),
                (
                    "{destination: {service: a.b}, precedence: high}",
                    &["spec.precedence: must be a whole number, found the text \"high\""],
                ),
                (
                    "{destination: {service: a.b}, redirect: {uri: /x}, route: [{weight: 100}], rewrite: {uri: /y}, httpFault: {abort: {httpStatus: 500}}, websocketUpgrade: true}",
                    &[
                        "spec.redirect: rule cannot contain both route and redirect",
                        "spec.redirect: rule cannot contain both rewrite and redirect",
                        "spec.redirect: rule cannot contain both fault and redirect",
                        "spec.websocketUpgrade: WebSocket upgrade is not allowed on redirect rules",
                    ],
                ),
                (
                    "{destination: {service: a.b}, redirect: {}}",
                    &["spec.redirect: redirect must specify path, host, or both"],
                ),
                (
                    "{destination: {service: a.b}, rewrite: {}}",
                    &["spec.rewrite: rewrite must specify path, host, or both"],
                ),
                ("{destination: {service: a.b}, redirect: {authority: c.d}}", &[]),
                (
                    "{destination: {service: a.b}, rewrite: {uri: /x, authority: c.d}, websocketUpgrade: yes}",
                    &[],
                ),
                (
                    "{destination: {service: a.b}, appendHeaders: {X-Foo: a, '': b, ok: ''}}",
                    &[
                        "spec.appendHeaders.X-Foo: header name \"X-Foo\" invalid: must be in lower case",
                        "spec.appendHeaders[\"\"]: header name cannot be empty",
                        "spec.appendHeaders.ok: appended header \"ok\" must have a non-empty value",
                    ],
                ),
            ],
        );
    }

    #[test]
    fn references_to_services_are_checked() {
        check(
            Kind::RouteRule,
            &[
                (
                    "{destination: {name: reviews, namespace: shop, domain: svc.example}}",
                    &[],
                ),
                ("{destination: {service: '*'}}", &[]),
                ("{destination: {service: '*-bar.foo.com'}}", &[]),
                ("{destination: {service: 10.0.0.0/8}}", &[]),
                (
                    "{destination: {}}",
                    &["spec.destination: name or service is mandatory for a service reference"],
                ),
                (
                    "{destination: {name: a, service: b}}",
                    &["spec.destination: specify either name or service, not both"],
                ),
                (
                    "{destination: {service: a.b, namespace: n, domain: d.e}}",
                    &[
                        "spec.destination.namespace: namespace is not valid when service is provided",
                        "spec.destination.domain: domain is not valid when service is provided",
                    ],
                ),
                (
                    "{destination: {name: Reviews, namespace: A, domain: x..y}}",
                    &[
                        "spec.destination.name: name \"Reviews\" must be a valid label",
                        "spec.destination.namespace: namespace \"A\" must be a valid label",
                        "spec.destination.domain: domain name \"x..y\" is invalid: label \"\" must be 1 to 63 lower case letters, digits or '-', with a letter or digit at both ends",
                    ],
                ),
                (
                    "{destination: {service: 10.0.0.0/99}}",
                    &["spec.destination.service: 10.0.0.0/99 is not a valid CIDR block"],
                ),
                (
                    "{destination: {service: foo.*}}",
                    &[
                        "spec.destination.service: domain name \"foo.*\" is invalid: a wildcard may only stand at the very left",
                    ],
                ),
                (
                    "{destination: {service: a.b}, mirror: {service: c.d, labels: {'a b': 'c d', e: 1}}}",
                    &[
                        "spec.mirror.labels[\"a b\"]: invalid tag key: \"a b\"",
                        "spec.mirror.labels[\"a b\"]: invalid tag value: \"c d\"",
                        "spec.mirror.labels.e: must be a text, found the number 1",
                    ],
                ),
            ],
        );
    }

    #[test]
    fn weights_add_up_to_a_hundred_unless_a_single_one_is_left_out() {
        check(
            Kind::RouteRule,
            &[
                (
                    "{destination: {service: a.b}, route: [{labels: {version: v1}}]}",
                    &[],
                ),
                ("{destination: {service: a.b}, route: [{weight: 100}]}", &[]),
                (
                    "{destination: {service: a.b}, route: [{weight: '70'}, {weight: 30}, {weight: 0}]}",
                    &[],
                ),
                (
                    "{destination: {service: a.b}, route: [{weight: 50}]}",
                    &["spec.route: route weights total 50 (must total 100)"],
                ),
                (
                    "{destination: {service: a.b}, route: [{}, {}]}",
                    &["spec.route: route weights total 0 (must total 100)"],
                ),
                (
                    "{destination: {service: a.b}, route: [{weight: 60}, {weight: 60}]}",
                    &["spec.route: route weights total 120 (must total 100)"],
                ),
                (
                    "{destination: {service: a.b}, route: [{weight: 100}, {weight: -1}]}",
                    &["spec.route[1].weight: weight invalid: percentage -1 is not in range 0..100"],
                ),
                (
                    "{destination: {service: a.b}, route: [{weight: 100}, {weight: 101}]}",
                    &["spec.route[1].weight: weight invalid: percentage 101 is not in range 0..100"],
                ),
                (
                    "{destination: {service: a.b}, route: [{destination: {}}]}",
                    &["spec.route[0].destination: name or service is mandatory for a service reference"],
                ),
            ],
        );
        let single = rule("{destination: {service: a.b}, route: [{labels: {version: v1}}]}");
        assert_eq!(
            single.weighted().map(|(_, percent)| percent).collect::<Vec<_>>(),
            [100]
        );
        let split = rule("{destination: {service: a.b}, route: [{weight: 75}, {weight: 25}]}");
        assert_eq!(
            split.weighted().map(|(_, percent)| percent).collect::<Vec<_>>(),
            [75, 25]
        );
    }

    #[test]
    fn cors_policies_are_checked() {
        check(
            Kind::RouteRule,
            &[
                (
                    "{destination: {service: a.b}, corsPolicy: {allowOrigin: [example.com], allowMethods: [POST, GET], allowHeaders: [X-Foo-Bar], exposeHeaders: [X-Baz], maxAge: 24h, allowCredentials: false}}",
                    &[],
                ),
                (
                    "{destination: {service: a.b}, corsPolicy: {allowMethods: [get, GET], maxAge: 1.5s}}",
                    &[
                        "spec.corsPolicy.allowMethods[0]: \"get\" is not a supported HTTP method",
                        "spec.corsPolicy.maxAge: max_age duration is accurate only to seconds precision",
                    ],
                ),
                (
                    "{destination: {service: a.b}, corsPolicy: {maxAge: 1d, allowCredentials: 'true'}}",
                    &[
                        "spec.corsPolicy.maxAge: \"1d\" is not a duration, write it like \"10s\", \"1h30m\" or \"100ms\" (units h, m, s, ms, us, ns)",
                        "spec.corsPolicy.allowCredentials: must be true or false, found the text \"true\"",
                    ],
                ),
            ],
        );
    }

    #[test]
    fn both_spellings_are_one_rule_and_the_canonical_form_is_written() {
        let camel = accepted(
            Kind::RouteRule,
            "{destination: {service: a.b}, httpReqTimeout: {simpleTimeout: {timeout: 3s, overrideHeaderName: x}}, websocketUpgrade: true}",
        );
        let snake = accepted(
            Kind::RouteRule,
            "{destination: {service: a.b}, http_req_timeout: {simple_timeout: {timeout: 3.000s, override_header_name: x}}, websocket_upgrade: true}",
        );

        assert_eq!(camel, snake);
        assert_eq!(
            snake.spec.to_json().to_string(),
            "{\"destination\":{\"service\":\"a.b\"},\"httpReqTimeout\":{\"simpleTimeout\":{\"overrideHeaderName\":\"x\",\"timeout\":\"3.000s\"}},\"websocketUpgrade\":true}"
        );
    }
}
