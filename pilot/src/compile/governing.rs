//! Which generation of rules governs a host. Rules of the first generation win over those of the second.

use outrigger_api::destination_rule::DestinationRule;
use outrigger_api::virtual_service::VirtualService;

use super::inputs::Inputs;
use crate::finding::{Finding, Topic};
use crate::snapshot::rules::typed;

/// Whose routes a host has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Governing {
    /// RouteRules.
    First,
    /// A VirtualService.
    Second,
    /// No rule at all.
    Nothing,
}

/// Who governs the HTTP ports of a host. Any RouteRule of the host makes it the first generation, also one for
/// other callers: a host does not change generation with the caller. A VirtualService without HTTP routes does not
/// govern HTTP ports.
pub(crate) fn governing(inputs: &Inputs) -> Governing {
    if !inputs.route_rules.is_empty() {
        return Governing::First;
    }
    let first = typed::<VirtualService>(&inputs.virtual_services).next();
    if first.is_some_and(|(_, spec)| !spec.http.is_empty()) {
        Governing::Second
    } else {
        Governing::Nothing
    }
}

/// The rules of a host that another one pushes out.
pub(crate) fn conflicts(inputs: &Inputs) -> Vec<Finding> {
    let host = &inputs.host;
    let mut findings = Vec::new();
    if let Some(winner) = inputs.route_rules.first() {
        findings.extend(
            typed::<VirtualService>(&inputs.virtual_services)
                .filter(|(_, spec)| !spec.http.is_empty())
                .map(|(rule, _)| {
                    let message = format!(
                        "{} governs {host}; the http routes of this one are left out",
                        winner.key()
                    );
                    Finding::new(Topic::PilotConflictingRules, rule.key(), message)
                }),
        );
    }
    if let [oldest, younger @ ..] = inputs.virtual_services.as_slice() {
        findings.extend(younger.iter().map(|rule| {
            let message = format!(
                "{} is older and governs {host}; this one is left out for it",
                oldest.key()
            );
            Finding::new(Topic::PilotConflictingRules, rule.key(), message)
        }));
    }
    let policies = typed::<DestinationRule>(&inputs.destination_rules);
    let mut policies = policies.filter(|(_, spec)| spec.traffic_policy.is_some());
    if let Some((oldest, _)) = policies.next() {
        findings.extend(policies.map(|(rule, _)| {
            let message = format!(
                "{} is older and says how {host} is spoken to; the trafficPolicy of this one is left out for it",
                oldest.key()
            );
            Finding::new(Topic::PilotConflictingRules, rule.key(), message)
        }));
    }
    findings
}
