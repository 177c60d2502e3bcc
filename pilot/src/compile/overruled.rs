//! Which rules of some hosts and gateways have no effect because of other rules: what compilation finds of that kind,
//! without the resources it makes.

use std::collections::BTreeSet;

use outrigger_api::resource::Key;
use outrigger_api::route_rule::RouteRule;

use super::gateway;
use super::governing::{Governing, conflicts, governing};
use super::inputs::Inputs;
use super::unit::UNKNOWN_HOST_PORT;
use super::{route_rule, virtual_service};
use crate::class::{Caller, Class};
use crate::finding::{Finding, Topic};
use crate::node::Role;
use crate::snapshot::Snapshot;
use crate::snapshot::rules::typed;

/// Rules that are left out for others, or never reached because of them.
pub(crate) fn overruled(
    snapshot: &Snapshot,
    hosts: &BTreeSet<String>,
    gateways: &BTreeSet<Key>,
) -> BTreeSet<Finding> {
    let mut found: Vec<Finding> = Vec::new();
    for host in hosts {
        found.extend(of_host(snapshot, &Class::nobody(), host));
        for (key, caller) in for_some_callers(snapshot, host) {
            let class = Class {
                callers: BTreeSet::from([caller]),
                ..Class::nobody()
            };
            // What this rule takes from others it takes for its own callers, as it is meant to.
            let about_it = of_host(snapshot, &class, host)
                .into_iter()
                .filter(|finding| finding.key == key);
            found.extend(about_it);
        }
    }
    let edge = Class {
        role: Role::Router,
        gateways: gateways.clone(),
        ..Class::nobody()
    };
    found.extend(gateway::compile(snapshot, &edge).findings);
    let wanted = [Topic::PilotConflictingRules, Topic::PilotShadowedRoutes];
    found
        .into_iter()
        .filter(|finding| wanted.contains(&finding.topic))
        .collect()
}

/// The RouteRules of a host that are for some callers alone, and for whom.
fn for_some_callers(snapshot: &Snapshot, host: &str) -> Vec<(String, Caller)> {
    let names = snapshot.rules.names();
    typed::<RouteRule>(snapshot.rules.route_rules(host))
        .filter_map(|(rule, spec)| {
            let source = spec.condition.as_ref()?.source.as_ref()?;
            Some((rule.key().to_string(), names.caller(source, &rule.meta.namespace)))
        })
        .collect()
}

fn of_host(snapshot: &Snapshot, class: &Class, host: &str) -> Vec<Finding> {
    let names = snapshot.rules.names();
    let inputs = Inputs::gather(snapshot, class, host);
    let mut found = conflicts(&inputs);
    let ports: Vec<u16> = match &inputs.service {
        None => vec![UNKNOWN_HOST_PORT],
        Some(service) => {
            let http = service.ports.iter().filter(|port| port.protocol.is_http());
            http.map(|port| port.port).collect()
        }
    };
    for port in ports {
        found.extend(match governing(&inputs) {
            Governing::First => route_rule::routes(&inputs, names, class.dialect, port).1,
            Governing::Second => virtual_service::routes(&inputs, names, class, port).1,
            Governing::Nothing => Vec::new(),
        });
    }
    found
}
