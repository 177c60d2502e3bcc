//! Which requests a RouteRule is about. All conditions that are set must hold.

use std::collections::BTreeMap;

use crate::document::node::Value;
use crate::fields::{At, Fields, Message};
use crate::http_header::check_name;
use crate::output::Object;
use crate::service_ref::ServiceRef;
use crate::string_match::StringMatch;
use crate::subnet::{self, Subnet};

/// The conditions of a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MatchCondition {
    /// Callers: only proxies beside an instance of this service with these labels get the rule. Absent for all.
    pub source: Option<ServiceRef>,
    /// Headers by name, in lower case; `uri`, `scheme`, `method` and `authority` stand for the parts of the
    /// request line.
    pub headers: BTreeMap<String, StringMatch>,
    /// Conditions on TCP connections: checked, but not enforced.
    pub tcp: Option<L4Condition>,
}

impl Message for MatchCondition {
    fn read(fields: &Fields<'_>) -> MatchCondition {
        if let Some(udp) = fields.at("udp") {
            fields.problem_at("udp", "UDP protocol not supported yet");
            let _: Option<L4Condition> = udp.message();
        }
        MatchCondition {
            source: fields.message("source"),
            headers: read_headers(fields),
            tcp: fields.message("tcp"),
        }
    }

    fn write(&self, out: &mut Object) {
        out.message("source", self.source.as_ref());
        if !self.headers.is_empty() {
            let mut request = Object::default();
            request.string_matches("headers", &self.headers);
            out.value("request", request.finish());
        }
        out.message("tcp", self.tcp.as_ref());
    }
}

fn read_headers(fields: &Fields<'_>) -> BTreeMap<String, StringMatch> {
    let Some(request) = fields.at("request").and_then(|at| at.fields()) else {
        return BTreeMap::new();
    };
    let mut headers = BTreeMap::new();
    for (name, at) in request.entries("headers") {
        check_name(&at, name);
        if name == "uri" && has_blank_regex(&at) {
            at.problem("regex header value for \"uri\" must be non-empty");
        } else if let Some(matched) = StringMatch::read(&at, None) {
            if name == "uri" {
                check_uri(&at, &matched);
            }
            headers.insert(name.to_owned(), matched);
        }
    }
    request.finish();
    headers
}

fn has_blank_regex(at: &At<'_>) -> bool {
    let Value::Map(entries) = &at.node.value else {
        return false;
    };
    let mut regex = entries.iter().filter(|entry| entry.key == "regex");
    regex.any(|entry| matches!(&entry.node.value, Value::Text { text, .. } if text.is_empty()))
}

fn check_uri(at: &At<'_>, matched: &StringMatch) {
    let how = match matched {
        StringMatch::Exact(_) => "exact",
        StringMatch::Prefix(_) => "prefix",
        StringMatch::Regex(_) | StringMatch::Presence => return,
    };
    if matched.text().is_empty() {
        at.problem(format!("{how} header value for \"uri\" must be non-empty"));
    }
}

/// Where a TCP connection comes from and goes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct L4Condition {
    /// Addresses of the caller.
    pub source_subnet: Vec<Subnet>,
    /// Addresses called.
    pub destination_subnet: Vec<Subnet>,
}

impl Message for L4Condition {
    fn read(fields: &Fields<'_>) -> L4Condition {
        L4Condition {
            source_subnet: subnet::read_all(fields, "sourceSubnet"),
            destination_subnet: subnet::read_all(fields, "destinationSubnet"),
        }
    }

    fn write(&self, out: &mut Object) {
        out.texts("sourceSubnet", &self.source_subnet);
        out.texts("destinationSubnet", &self.destination_subnet);
    }
}

#[cfg(test)]
mod tests {
    use crate::kind::Kind;
    use crate::resource::Spec;
    use crate::string_match::StringMatch;
    use crate::trial::{accepted, check};

    #[test]
    fn conditions_are_checked() {
        check(
            Kind::RouteRule,
            &[
                ("{destination: {service: a.b}, match: {}}", &[]),
                (
                    "{destination: {service: a.b}, match: {source: {service: istio-ingress, labels: {istio: ingress}}, tcp: {sourceSubnet: [10.0.0.0/8], destinationSubnet: [10.0.0.1]}}}",
                    &[],
                ),
                (
                    "{destination: {service: a.b}, match: {request: {headers: {Foo: bar, '': {exact: x}, x: {}, y: {exact: a, regex: b}}}}}",
                    &[
                        "spec.match.request.headers.Foo: header name \"Foo\" invalid: must be in lower case",
                        "spec.match.request.headers[\"\"]: header name cannot be empty",
                        "spec.match.request.headers.x: unrecognized string match",
                        "spec.match.request.headers.y.regex: only one of exact, regex may be set",
                    ],
                ),
                (
                    "{destination: {service: a.b}, match: {request: {headers: {uri: {prefix: ''}}}}}",
                    &["spec.match.request.headers.uri: prefix header value for \"uri\" must be non-empty"],
                ),
                (
                    "{destination: {service: a.b}, match: {request: {headers: {cookie: {regex: '(?=x)'}}}}}",
                    &[
                        "spec.match.request.headers.cookie.regex: the regular expression \"(?=x)\" uses look-ahead (?=...), which ECMAScript has and the proxies' RE2 syntax has not; write it without",
                    ],
                ),
                (
                    "{destination: {service: a.b}, match: {tcp: {sourceSubnet: [10.0.0.0/99, nine, '::1']}, udp: {sourceSubnet: [x]}}}",
                    &[
                        "spec.match.tcp.sourceSubnet[0]: 10.0.0.0/99 is not a valid CIDR block",
                        "spec.match.tcp.sourceSubnet[1]: nine is not a valid IP",
                        "spec.match.tcp.sourceSubnet[2]: ::1 is not a valid IPv4 address",
                        "spec.match.udp: UDP protocol not supported yet",
                        "spec.match.udp.sourceSubnet[0]: x is not a valid IP",
                    ],
                ),
            ],
        );
    }

    #[test]
    fn a_bare_text_is_an_exact_match() {
        let resource = accepted(
            Kind::RouteRule,
            "{destination: {service: a.b}, match: {request: {headers: {foo: bar}}}}",
        );
        let Spec::RouteRule(rule) = resource.spec else {
            panic!("{resource:?}")
        };
        let headers = rule.condition.unwrap_or_default().headers;
        assert_eq!(headers["foo"], StringMatch::Exact("bar".into()));
    }
}
