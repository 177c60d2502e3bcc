//! HTTP routes of a VirtualService (`spec/traffic-v1alpha3.md` §1.1).

use std::collections::BTreeMap;
use std::time::Duration;

use super::check_gateways;
use super::destination::{Destination, check_weights, effective, read_required};
use super::fault::Fault;
use crate::cors_policy::{self, CorsPolicy};
use crate::fields::{Fields, Message};
use crate::http_header::{Headers, check_name};
use crate::model::Labels;
use crate::output::Object;
use crate::rewrite::{self, Redirect, Rewrite, SECOND_WORDS};
use crate::route_rule::read_weight;
use crate::string_match::StringMatch;

/// One route: which requests, and what happens to them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpRoute {
    /// Alternatives: the route takes a request that any of them fits. Empty for every request.
    pub matches: Vec<HttpMatch>,
    /// Where requests go.
    pub action: HttpAction,
    /// Changes path or host on the way; never with a redirect.
    pub rewrite: Option<Rewrite>,
    /// Deprecated: upgrades are always allowed.
    pub websocket_upgrade: bool,
    /// Total time for a request, retries included, at least 1 ms; absent for no limit.
    pub timeout: Option<Duration>,
    /// Attempts after a failure; absent for the mesh's default.
    pub retries: Option<Retries>,
    /// Faults to inject; never with a redirect.
    pub fault: Option<Fault>,
    /// Where a copy of each request goes.
    pub mirror: Option<Destination>,
    /// Cross-origin policy.
    pub cors_policy: Option<CorsPolicy>,
    /// Changes to headers, deprecated fields included.
    pub headers: Headers,
}

/// What happens to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpAction {
    /// It is forwarded to one of these, at least one. See [`HttpAction::weighted`].
    Route(Vec<HttpRouteDestination>),
    /// It is answered with 301.
    Redirect(Redirect),
}

impl Default for HttpAction {
    fn default() -> HttpAction {
        HttpAction::Route(Vec::new())
    }
}

impl HttpAction {
    /// The destinations with the percent each of them takes: a single one takes all. None for a redirect.
    pub fn weighted(&self) -> impl Iterator<Item = (&HttpRouteDestination, u32)> {
        let destinations: &[HttpRouteDestination] = match self {
            HttpAction::Route(destinations) => destinations,
            HttpAction::Redirect(_) => &[],
        };
        destinations
            .iter()
            .map(|entry| (entry, effective(entry.weight, destinations.len())))
    }
}

impl Message for HttpRoute {
    fn read(fields: &Fields<'_>) -> HttpRoute {
        let route: Vec<HttpRouteDestination> = fields.messages("route");
        let redirect = Redirect::read(fields, SECOND_WORDS);
        check_weights(fields, route.iter().map(|entry| entry.weight));
        cors_policy::check_origins(fields);
        let routed = !fields.items("route").is_empty();
        match (fields.has("redirect"), routed) {
            (false, false) => fields.problem("HTTP route or redirect is required"),
            (true, true) => {
                fields.problem_at("redirect", "HTTP route cannot contain both route and redirect")
            }
            _ => {}
        }
        let read = HttpRoute {
            matches: fields.messages("match"),
            action: match redirect {
                Some(redirect) => HttpAction::Redirect(redirect),
                None => HttpAction::Route(route),
            },
            rewrite: Rewrite::read(fields, SECOND_WORDS),
            websocket_upgrade: fields.flag("websocketUpgrade"),
            timeout: fields.duration("timeout", ""),
            retries: fields.message("retries"),
            fault: fields.message("fault"),
            mirror: fields.message("mirror"),
            cors_policy: fields.message("corsPolicy"),
            headers: Headers::read(fields),
        };
        if fields.has("redirect") {
            if fields.has("fault") {
                fields.problem_at("redirect", "HTTP route cannot contain both fault and redirect");
            }
            if fields.has("rewrite") {
                fields.problem_at(
                    "redirect",
                    "HTTP route rule cannot contain both rewrite and redirect",
                );
            }
            if read.websocket_upgrade {
                fields.problem_at(
                    "websocketUpgrade",
                    "WebSocket upgrade is not allowed on redirect rules",
                );
            }
        }
        read
    }

    fn write(&self, out: &mut Object) {
        out.messages("match", &self.matches);
        match &self.action {
            HttpAction::Route(destinations) => {
                out.messages("route", destinations);
                rewrite::write(None, self.rewrite.as_ref(), out);
            }
            HttpAction::Redirect(redirect) => rewrite::write(Some(redirect), None, out),
        }
        out.flag("websocketUpgrade", self.websocket_upgrade);
        out.duration("timeout", self.timeout);
        out.message("retries", self.retries.as_ref());
        out.message("fault", self.fault.as_ref());
        out.message("mirror", self.mirror.as_ref());
        out.message("corsPolicy", self.cors_policy.as_ref());
        self.headers.write(out);
    }
}

/// Conditions that a request must all fulfil.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpMatch {
    /// The path; without the query for an exact match.
    pub uri: Option<StringMatch>,
    /// `http` or `https`.
    pub scheme: Option<StringMatch>,
    /// `GET` and the like.
    pub method: Option<StringMatch>,
    /// The host, with the port when the caller sent one.
    pub authority: Option<StringMatch>,
    /// Headers by lower-case name. Never `uri`, `scheme`, `method` or `authority`: these are warned about and dropped.
    pub headers: BTreeMap<String, StringMatch>,
    /// Port that the caller used.
    pub port: Option<u16>,
    /// Labels that the calling proxy must carry; without meaning at gateways and beside `gateways`.
    pub source_labels: Labels,
    /// Gateways that this match is for, in place of those of the virtual service.
    pub gateways: Vec<String>,
    /// Query parameters: exact or regex.
    pub query_params: BTreeMap<String, StringMatch>,
    /// Compares the path without regard to case (exact and prefix).
    pub ignore_uri_case: bool,
}

/// Names that stand for parts of the request line and have fields of their own.
const PSEUDO_HEADERS: [&str; 4] = ["uri", "scheme", "method", "authority"];

impl Message for HttpMatch {
    fn read(fields: &Fields<'_>) -> HttpMatch {
        let string_match = |name| fields.at(name).and_then(|at| StringMatch::read(&at, None));
        let mut headers = BTreeMap::new();
        for (name, at) in fields.entries("headers") {
            check_name(&at, name);
            let matched = StringMatch::read(&at, Some(StringMatch::Presence));
            if PSEUDO_HEADERS.contains(&name) {
                fields.warn_at(
                    "headers",
                    format!("the header match {name:?} is ignored, use the field {name} of the match"),
                );
            } else if let Some(matched) = matched {
                headers.insert(name.to_owned(), matched);
            }
        }
        let mut query_params = BTreeMap::new();
        for (name, at) in fields.entries("queryParams") {
            match StringMatch::read(&at, None) {
                Some(StringMatch::Prefix(_)) => {
                    at.problem("query parameters match exact or regex, not prefix")
                }
                Some(matched) => {
                    query_params.insert(name.to_owned(), matched);
                }
                None => {}
            }
        }
        check_gateways(fields);
        HttpMatch {
            uri: string_match("uri"),
            scheme: string_match("scheme"),
            method: string_match("method"),
            authority: string_match("authority"),
            headers,
            port: fields.port("port"),
            source_labels: fields.labels("sourceLabels"),
            gateways: fields.texts("gateways"),
            query_params,
            ignore_uri_case: fields.flag("ignoreUriCase"),
        }
    }

    fn write(&self, out: &mut Object) {
        out.string_match("uri", self.uri.as_ref());
        out.string_match("scheme", self.scheme.as_ref());
        out.string_match("method", self.method.as_ref());
        out.string_match("authority", self.authority.as_ref());
        out.string_matches("headers", &self.headers);
        out.opt("port", self.port);
        out.labels("sourceLabels", &self.source_labels);
        out.texts("gateways", &self.gateways);
        out.string_matches("queryParams", &self.query_params);
        out.flag("ignoreUriCase", self.ignore_uri_case);
    }
}

/// One place that requests may go to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpRouteDestination {
    /// The place.
    pub destination: Destination,
    /// Percent as written, 0 when left out; see [`HttpAction::weighted`] for what it means.
    pub weight: u32,
    /// Changes to headers of requests that go there, deprecated fields included.
    pub headers: Headers,
}

impl Message for HttpRouteDestination {
    fn read(fields: &Fields<'_>) -> HttpRouteDestination {
        HttpRouteDestination {
            destination: read_required(fields),
            weight: read_weight(fields),
            headers: Headers::read(fields),
        }
    }

    fn write(&self, out: &mut Object) {
        out.message("destination", Some(&self.destination));
        out.integer("weight", self.weight);
        self.headers.write(out);
    }
}

/// Attempts after a failure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retries {
    /// Most retries, at least 1.
    pub attempts: u32,
    /// Time for each attempt, at least 1 ms; absent for the whole timeout.
    pub per_try_timeout: Option<Duration>,
    /// Failures that are retried: words of Envoy's `retry_on` and HTTP statuses. Empty for the mesh's default.
    pub retry_on: Vec<String>,
}

/// The words of `retryOn`.
const RETRY_ON: [&str; 11] = [
    "5xx",
    "gateway-error",
    "connect-failure",
    "retriable-4xx",
    "refused-stream",
    "retriable-status-codes",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
];

impl Message for Retries {
    fn read(fields: &Fields<'_>) -> Retries {
        let attempts = fields.integer::<i32>("attempts");
        if attempts.unwrap_or(0) <= 0 {
            fields.problem_at("attempts", "attempts must be positive");
        }
        let written = fields.text("retryOn");
        let retry_on: Vec<String> = written
            .split(',')
            .map(|word| word.trim().to_owned())
            .filter(|word| !word.is_empty())
            .collect();
        for word in &retry_on {
            let status = word.len() == 3 && word.parse().is_ok_and(is_standard_status);
            if !status && !RETRY_ON.contains(&word.as_str()) {
                fields.problem_at_with_hint(
                    "retryOn",
                    format!("{word:?} is not a valid retryOn policy"),
                    format!("use {} or an HTTP status", RETRY_ON.join(", ")),
                );
            }
        }
        Retries {
            attempts: attempts
                .and_then(|attempts| u32::try_from(attempts).ok())
                .unwrap_or(0),
            per_try_timeout: fields.duration("perTryTimeout", ""),
            retry_on,
        }
    }

    fn write(&self, out: &mut Object) {
        out.integer("attempts", self.attempts);
        out.duration("perTryTimeout", self.per_try_timeout);
        out.text("retryOn", &self.retry_on.join(","));
    }
}

/// Statuses of the IANA registry.
fn is_standard_status(status: u16) -> bool {
    matches!(
        status,
        100..=103 | 200..=208 | 226 | 300..=305 | 307..=308 | 400..=418 | 421..=426 | 428..=429 | 431 | 451 | 500..=508
            | 510..=511
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Kind;
    use crate::resource::Spec;
    use crate::trial::{accepted, check, warnings};

    fn route(route: &str) -> HttpRoute {
        let spec = format!("{{hosts: [a.b], http: [{route}]}}");
        match accepted(Kind::VirtualService, &spec).spec {
            Spec::VirtualService(mut service) => service.http.remove(0),
            other => panic!("{other:?}"),
        }
    }

    fn check_route(cases: &[(&str, &[&str])]) {
        for (route, expected) in cases {
            check(
                Kind::VirtualService,
                &[(&format!("{{hosts: [a.b], http: [{route}]}}"), expected)],
            );
        }
    }

    #[test]
    fn a_route_forwards_or_redirects() {
        check_route(&[
            ("{redirect: {uri: /x}}", &[]),
            (
                "{route: [{destination: {host: a.b}, weight: 20}, {destination: {host: a.b}, weight: 80}], timeout: 5s, rewrite: {uri: /x}, mirror: {host: c.d}, websocketUpgrade: true}",
                &[],
            ),
            ("{}", &["spec.http[0]: HTTP route or redirect is required"]),
            (
                "{route: []}",
                &["spec.http[0]: HTTP route or redirect is required"],
            ),
            (
                "{redirect: {uri: /x}, route: [{destination: {host: a.b}}], fault: {abort: {httpStatus: 500}}, rewrite: {uri: /y}, websocketUpgrade: true}",
                &[
                    "spec.http[0].redirect: HTTP route cannot contain both route and redirect",
                    "spec.http[0].redirect: HTTP route cannot contain both fault and redirect",
                    "spec.http[0].redirect: HTTP route rule cannot contain both rewrite and redirect",
                    "spec.http[0].websocketUpgrade: WebSocket upgrade is not allowed on redirect rules",
                ],
            ),
            (
                "{redirect: {}}",
                &["spec.http[0].redirect: redirect must specify URI, authority, or both"],
            ),
            (
                "{rewrite: {}, route: [{destination: {host: a.b}}]}",
                &["spec.http[0].rewrite: rewrite must specify URI, authority, or both"],
            ),
            (
                "{route: [{destination: {host: a.b}, weight: 20}, {destination: {host: a.b}, weight: 70}]}",
                &["spec.http[0].route: total destination weight 90 != 100"],
            ),
            (
                "{route: [{destination: {host: a.b}, weight: 101}]}",
                &["spec.http[0].route[0].weight: weight invalid: percentage 101 is not in range 0..100"],
            ),
            (
                "{timeout: 0s, route: [{destination: {host: a.b}}]}",
                &["spec.http[0].timeout: duration must be greater than 1ms"],
            ),
            (
                "{corsPolicy: {allowOrigin: ['*', 'https://a.b:8080', a.b, 'ftp://a.b', 'a.b:x']}, route: [{destination: {host: a.b}}]}",
                &[
                    "spec.http[0].corsPolicy.allowOrigin[3]: CORS Allow Origin must be '*' or of [http[s]://]host[:port] format, found \"ftp://a.b\"",
                    "spec.http[0].corsPolicy.allowOrigin[4]: CORS Allow Origin must be '*' or of [http[s]://]host[:port] format, found \"a.b:x\"",
                ],
            ),
        ]);
    }

    #[test]
    fn retries_are_checked() {
        check_route(&[
            (
                "{retries: {attempts: 3, perTryTimeout: 2s, retryOn: '5xx, gateway-error,503'}, route: [{destination: {host: a.b}}]}",
                &[],
            ),
            (
                "{retries: {perTryTimeout: 0s, retryOn: 'sometimes,999'}, route: [{destination: {host: a.b}}]}",
                &[
                    "spec.http[0].retries.attempts: attempts must be positive",
                    "spec.http[0].retries.perTryTimeout: duration must be greater than 1ms",
                    "spec.http[0].retries.retryOn: \"sometimes\" is not a valid retryOn policy",
                    "spec.http[0].retries.retryOn: \"999\" is not a valid retryOn policy",
                ],
            ),
        ]);
    }

    #[test]
    fn matches_are_checked() {
        check_route(&[
            (
                "{match: [{uri: {prefix: /x}, scheme: {exact: http}, method: {regex: GET|HEAD}, authority: {exact: a.b}, headers: {end-user: {exact: jason}, x: {}}, port: 80, sourceLabels: {app: x}, gateways: [mesh], queryParams: {q: {exact: ''}}, ignoreUriCase: true}, {}], route: [{destination: {host: a.b}}]}",
                &[],
            ),
            (
                "{match: [{uri: {}, headers: {End-User: {exact: x}}, port: 0, sourceLabels: {'a b': c}, gateways: [/], queryParams: {q: {prefix: x}}}], route: [{destination: {host: a.b}}]}",
                &[
                    "spec.http[0].match[0].uri: unrecognized string match",
                    "spec.http[0].match[0].headers.End-User: header name \"End-User\" invalid: must be in lower case",
                    "spec.http[0].match[0].port: port number 0 must be in the range 1..65535",
                    "spec.http[0].match[0].sourceLabels[\"a b\"]: invalid tag key: \"a b\"",
                    "spec.http[0].match[0].gateways[0]: config namespace and gateway name cannot be empty",
                    "spec.http[0].match[0].queryParams.q: query parameters match exact or regex, not prefix",
                ],
            ),
            (
                "{match: [{uri: {regex: '['}}], route: [{destination: {host: a.b}}]}",
                &[
                    "spec.http[0].match[0].uri.regex: the regular expression \"[\" is broken: unclosed character class",
                ],
            ),
        ]);
    }

    #[test]
    fn request_line_names_among_the_headers_are_dropped_with_a_warning() {
        let text =
            "{match: [{headers: {uri: {exact: /x}, y: {exact: z}}}], route: [{destination: {host: a.b}}]}";
        assert_eq!(route(text).matches[0].headers.keys().collect::<Vec<_>>(), ["y"]);
        assert_eq!(
            warnings(Kind::VirtualService, &format!("{{hosts: [a.b], http: [{text}]}}")),
            [
                "spec.http[0].match[0].headers: the header match \"uri\" is ignored, use the field uri of the match"
            ]
        );
    }

    #[test]
    fn header_changes_of_all_ages_are_merged() {
        let read = route(
            "{headers: {request: {set: {A: b}, add: {c: d}, remove: [E]}, response: {add: {f: g}}}, \
             appendHeaders: {c: lost, h: i}, appendRequestHeaders: {j: k}, removeRequestHeaders: [l], \
             appendResponseHeaders: {m: n}, removeResponseHeaders: [o], \
             route: [{destination: {host: a.b}, removeRequestHeaders: [p]}]}",
        );
        let pairs = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect()
        };
        assert_eq!(read.headers.request.set, pairs(&[("A", "b")]));
        assert_eq!(
            read.headers.request.add,
            pairs(&[("c", "d"), ("h", "i"), ("j", "k")])
        );
        assert_eq!(read.headers.request.remove, ["E", "l"]);
        assert_eq!(read.headers.response.add, pairs(&[("f", "g"), ("m", "n")]));
        assert_eq!(read.headers.response.remove, ["o"]);
        let HttpAction::Route(entries) = &read.action else {
            panic!("{read:?}")
        };
        assert_eq!(entries[0].headers.request.remove, ["p"]);
        check_route(&[(
            "{appendHeaders: {X: y}, headers: {request: {set: {'a b': c}}}, route: [{destination: {host: a.b}}]}",
            &[
                "spec.http[0].appendHeaders.X: header name \"X\" invalid: must be in lower case",
                "spec.http[0].headers.request.set[\"a b\"]: header name \"a b\" invalid: letters, digits and '-' are expected",
            ],
        )]);
    }

    #[test]
    fn a_single_destination_takes_all_and_one_without_weight_nothing() {
        let percents = |text: &str| {
            route(text)
                .action
                .weighted()
                .map(|(_, percent)| percent)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            percents("{route: [{destination: {host: a.b}, weight: 7}]}"),
            [100]
        );
        assert_eq!(
            percents("{route: [{destination: {host: a.b}, weight: 100}, {destination: {host: c.d}}]}"),
            [100, 0]
        );
        assert!(percents("{redirect: {uri: /}}").is_empty());
    }
}
