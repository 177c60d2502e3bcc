//! RouteRules become the routes of their host (`spec/traffic-v1alpha2.md` §1.1 – §1.3).

use std::time::Duration;

use outrigger_api::route_rule::{HttpTimeout, MatchCondition, RouteRule};

use super::inputs::Inputs;
use super::matching::{header, path, pseudo};
use super::route::{Action, DEFAULT_TIMEOUT, Matching, Route, Target, default_route};
use crate::dialect::Dialect;
use crate::finding::{Finding, Topic};
use crate::snapshot::rules::{Names, Rule, typed};

/// The routes of one HTTP port, in the order in which rules are tried. A rule that catches everything ends the list;
/// without one the default route does.
pub(crate) fn routes(
    inputs: &Inputs,
    names: &Names,
    dialect: Dialect,
    port: u16,
) -> (Vec<Route>, Vec<Finding>) {
    let mut routes: Vec<Route> = Vec::new();
    let mut findings = Vec::new();
    let mut ended_by: Option<&Rule> = None;
    for (rule, spec) in typed::<RouteRule>(&inputs.accepted) {
        if let Some(winner) = ended_by {
            let message = format!("never reached: {} catches every request before it", winner.key());
            findings.push(Finding::new(Topic::PilotShadowedRoutes, rule.key(), message));
            continue;
        }
        match route(inputs, names, rule, spec, dialect, port) {
            Ok((route, missing)) => {
                findings.extend(missing);
                if route.matching.is_catch_all() {
                    ended_by = Some(rule);
                }
                routes.push(route);
            }
            Err(why) => findings.push(Finding::new(Topic::PilotTotalRejectedConfigs, rule.key(), why)),
        }
    }
    if ended_by.is_none() {
        routes.push(default_route(&inputs.host, port, Some(DEFAULT_TIMEOUT)));
    }
    (routes, findings)
}

/// One rule's route, or why it is left out.
fn route(
    inputs: &Inputs,
    names: &Names,
    rule: &Rule,
    spec: &RouteRule,
    dialect: Dialect,
    port: u16,
) -> Result<(Route, Vec<Finding>), String> {
    let matching = match &spec.condition {
        None => Matching::everything(),
        Some(condition) => matching(condition)?.for_readers(dialect)?,
    };
    let name = rule.meta.name.clone();
    if spec.redirect.is_some() {
        let reason = format!("{}: redirect is not in force in this version", rule.key());
        return Ok((
            Route {
                name,
                matching,
                action: Action::Answer { status: 501, reason },
            },
            Vec::new(),
        ));
    }
    let mut findings = Vec::new();
    let mut targets = Vec::new();
    for (entry, weight) in spec.weighted() {
        let (host, labels) = names.route_target(entry, &inputs.host, &rule.meta.namespace);
        let destination = inputs.destinations.of(&host);
        let port = if host == inputs.host {
            port
        } else {
            destination.port(None, port)
        };
        let version = labels.to_string();
        if let Some(why) = destination.missing(&host, port, &version) {
            findings.push(Finding::new(Topic::PilotDestinationMissing, rule.key(), why));
        }
        targets.push(Target {
            host,
            port,
            version,
            weight,
        });
    }
    if targets.is_empty() {
        targets.push(Target::whole(&inputs.host, port));
    }
    let action = Action::Forward {
        targets,
        timeout: Some(timeout(spec)),
    };
    Ok((
        Route {
            name,
            matching,
            action,
        },
        findings,
    ))
}

fn timeout(spec: &RouteRule) -> Duration {
    match &spec.timeout {
        Some(HttpTimeout::Simple { timeout, .. }) => *timeout,
        Some(HttpTimeout::Custom(_)) | None => DEFAULT_TIMEOUT,
    }
}

/// What a condition asks of a request. The source is judged before, for the proxy as a whole.
fn matching(condition: &MatchCondition) -> Result<Matching, String> {
    if condition.tcp.is_some() {
        // Without its condition the rule would take more than its author meant.
        return Err("conditions on TCP connections are not in force; the rule is left out".into());
    }
    let mut matching = Matching::everything();
    for (name, value) in &condition.headers {
        match name.as_str() {
            "uri" => matching.path = path(value),
            "scheme" | "method" | "authority" => matching.headers.push(pseudo(name, value)),
            _ => matching.headers.push(header(name, value)),
        }
    }
    matching.sort();
    Ok(matching)
}
