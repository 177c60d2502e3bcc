//! A VirtualService becomes the HTTP routes of a host (`spec/traffic-v1alpha3.md` §1).

use outrigger_api::virtual_service::{HttpAction, HttpMatch, HttpRoute, VirtualService};

use super::inputs::{Destinations, Inputs};
use super::matching::{header, path, path_any_case, pseudo};
use super::place::{Place, ProxyCondition};
use super::route::{Action, Matching, Route, Target};
use crate::class::Class;
use crate::dialect::Dialect;
use crate::finding::{Finding, Topic};
use crate::snapshot::rules::{Names, Rule, typed};

/// The routes that sidecars of `class` use for one HTTP port of a host: those of its oldest VirtualService. What
/// none of them matches is answered by 404.
pub(crate) fn routes(inputs: &Inputs, names: &Names, class: &Class, port: u16) -> (Vec<Route>, Vec<Finding>) {
    let Some((rule, spec)) = typed::<VirtualService>(&inputs.virtual_services).next() else {
        return (Vec::new(), Vec::new());
    };
    let compiling = Compiling {
        rule,
        names,
        destinations: &inputs.destinations,
        place: Place::Sidecars(class),
        dialect: class.dialect,
        port,
    };
    compiling.routes(spec)
}

/// One VirtualService being compiled for one place and port.
pub(crate) struct Compiling<'a> {
    pub(crate) rule: &'a Rule,
    pub(crate) names: &'a Names,
    pub(crate) destinations: &'a Destinations,
    pub(crate) place: Place<'a>,
    pub(crate) dialect: Dialect,
    pub(crate) port: u16,
}

impl Compiling<'_> {
    /// Routes in the order of the rule, up to the first that catches everything.
    pub(crate) fn routes(&self, spec: &VirtualService) -> (Vec<Route>, Vec<Finding>) {
        let mut routes: Vec<Route> = Vec::new();
        let mut findings = Vec::new();
        for (index, http) in spec.http.iter().enumerate() {
            if routes.last().is_some_and(|route| route.matching.is_catch_all()) {
                let message =
                    format!("http[{index}] is never reached: a route before it catches every request");
                findings.push(self.finding(Topic::PilotShadowedRoutes, message));
                continue;
            }
            let (matchings, skipped) = self.matchings(http, index);
            findings.extend(skipped);
            if matchings.is_empty() {
                continue;
            }
            let (action, missing) = self.action(http, index);
            findings.extend(missing);
            for matching in matchings {
                let ends = matching.is_catch_all();
                routes.push(Route {
                    name: self.rule.meta.name.clone(),
                    matching,
                    action: action.clone(),
                });
                if ends {
                    break;
                }
            }
        }
        (routes, findings)
    }

    /// The alternatives of a route that are for this place.
    fn matchings(&self, http: &HttpRoute, index: usize) -> (Vec<Matching>, Vec<Finding>) {
        if http.matches.is_empty() {
            return (vec![Matching::everything()], Vec::new());
        }
        let mut matchings = Vec::new();
        let mut findings = Vec::new();
        for (place, condition) in http.matches.iter().enumerate() {
            let about_proxy = ProxyCondition {
                gateways: &condition.gateways,
                port: condition.port,
                source_labels: &condition.source_labels,
            };
            if !self
                .place
                .meets(about_proxy, &self.rule.meta.namespace, self.port)
            {
                continue;
            }
            match matching(condition).and_then(|matching| matching.for_readers(self.dialect)) {
                Ok(matching) => matchings.push(matching),
                Err(why) => {
                    let message = format!("http[{index}].match[{place}]: {why}");
                    findings.push(self.finding(Topic::PilotTotalRejectedConfigs, message));
                }
            }
        }
        (matchings, findings)
    }

    fn action(&self, http: &HttpRoute, index: usize) -> (Action, Vec<Finding>) {
        if let HttpAction::Redirect(_) = &http.action {
            let reason = format!(
                "{}: http[{index}].redirect is not in force in this version",
                self.rule.key()
            );
            return (Action::Answer { status: 501, reason }, Vec::new());
        }
        let mut findings = Vec::new();
        let mut targets = Vec::new();
        for (entry, weight) in http.action.weighted().filter(|(_, weight)| *weight > 0) {
            let (target, missing) = self.target(&entry.destination, weight);
            findings.extend(missing);
            targets.push(target);
        }
        if targets.is_empty() {
            let reason = format!("{}: http[{index}] has no destination", self.rule.key());
            return (Action::Answer { status: 503, reason }, findings);
        }
        (
            Action::Forward {
                targets,
                timeout: http.timeout,
            },
            findings,
        )
    }

    /// One destination with its share.
    pub(crate) fn target(
        &self,
        destination: &outrigger_api::virtual_service::Destination,
        weight: u32,
    ) -> (Target, Option<Finding>) {
        let host = self.names.host(&destination.host, &self.rule.meta.namespace);
        let known = self.destinations.of(&host);
        let port = known.port(destination.port, self.port);
        let missing = known.missing(&host, port, &destination.subset);
        let target = Target {
            host,
            port,
            version: destination.subset.clone(),
            weight,
        };
        (
            target,
            missing.map(|why| self.finding(Topic::PilotDestinationMissing, why)),
        )
    }

    /// A finding about the rule.
    pub(crate) fn finding(&self, topic: Topic, message: String) -> Finding {
        Finding::new(topic, self.rule.key(), message)
    }
}

/// What a match asks of a request. A condition that cannot be put to proxies yet leaves the match out: without it
/// the route would take more than its author meant.
fn matching(condition: &HttpMatch) -> Result<Matching, String> {
    if !condition.query_params.is_empty() {
        return Err("queryParams are not in force; this match is left out".into());
    }
    let mut matching = Matching::everything();
    if let Some(uri) = &condition.uri {
        matching.path = if condition.ignore_uri_case {
            path_any_case(uri)
        } else {
            path(uri)
        };
    }
    let parts = [
        ("scheme", &condition.scheme),
        ("method", &condition.method),
        ("authority", &condition.authority),
    ];
    let parts = parts
        .into_iter()
        .filter_map(|(name, value)| Some(pseudo(name, value.as_ref()?)));
    matching.headers = parts.collect();
    matching
        .headers
        .extend(condition.headers.iter().map(|(name, value)| header(name, value)));
    matching.sort();
    Ok(matching)
}
