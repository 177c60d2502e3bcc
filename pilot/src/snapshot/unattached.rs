//! Rules that name what is not there, or not clearly: they do no harm, but their author should know.

use std::collections::BTreeSet;

use outrigger_api::host;
use outrigger_api::model::Catalog;
use outrigger_api::resource::Spec;
use outrigger_api::virtual_service::{MESH_GATEWAY, VirtualService};

use super::rules::{Rule, Rules};
use crate::compile::gateway_key;
use crate::finding::{Finding, Topic};

/// Rules for hosts that no registry knows, RouteRules for services without HTTP, VirtualServices bound to gateways that
/// do not exist, and parts of VirtualServices that nothing can meet.
pub(crate) fn findings(rules: &Rules, catalog: &Catalog) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (host, of_host) in rules.governed_hosts() {
        let Some(state) = catalog.services.get(host) else {
            let message = format!("no registry knows {host}, so the rule is not in force");
            let missing = of_host
                .iter()
                .map(|rule| Finding::new(Topic::PilotDestinationMissing, rule.key(), message.clone()));
            findings.extend(missing);
            continue;
        };
        if !state.service.ports.iter().any(|port| port.protocol.is_http()) {
            let message =
                format!("{host} has no HTTP port, and its routes are for HTTP: the rule is not in force");
            let useless = of_host
                .iter()
                .filter(|rule| matches!(rule.spec, Spec::RouteRule(_)));
            findings.extend(
                useless
                    .map(|rule| Finding::new(Topic::PilotTotalRejectedConfigs, rule.key(), message.clone())),
            );
        }
    }
    for (rule, spec) in rules.all_virtual_services() {
        let mut find = |message: String| {
            findings.push(Finding::new(Topic::PilotDestinationMissing, rule.key(), message));
        };
        unreachable_hosts(spec, catalog).for_each(|host| {
            find(format!(
                "no service is under {host}, so sidecars have no routes for it"
            ));
        });
        unbound_matches(spec).into_iter().for_each(|gateway| {
            find(format!(
                "a match is for gateway {gateway}, to which the virtual service is not bound; it is never met"
            ));
        });
        let named = spec.gateways.iter().filter(|name| name.as_str() != MESH_GATEWAY);
        for name in named {
            let (namespace, gateway) = gateway_key(name, &rule.meta.namespace);
            let exists = rules
                .gateways()
                .any(|(known, _)| known.meta.name == gateway && known.meta.namespace == namespace);
            if !exists {
                find(format!(
                    "no gateway {namespace}/{gateway} exists, so nothing is bound to it"
                ));
            }
        }
    }
    findings
}

/// The wildcards of a VirtualService of sidecars that cover nothing: routes are made for hosts that are known.
fn unreachable_hosts<'a>(spec: &'a VirtualService, catalog: &'a Catalog) -> impl Iterator<Item = &'a String> {
    let wildcards = spec.hosts.iter().filter(|host| host.starts_with('*'));
    wildcards.filter(|wildcard| {
        let mut hosts = catalog.services.keys();
        spec.binds_to_mesh() && !hosts.any(|host| host::is_subset_of(host, wildcard))
    })
}

/// The gateways that matches name and the VirtualService does not.
fn unbound_matches(spec: &VirtualService) -> BTreeSet<&String> {
    let http = spec.http.iter().flat_map(|route| &route.matches);
    let tcp = spec.tcp.iter().flat_map(|route| &route.matches);
    let named = http
        .flat_map(|condition| &condition.gateways)
        .chain(tcp.flat_map(|condition| &condition.gateways));
    named
        .filter(|name| match name.as_str() {
            MESH_GATEWAY => !spec.binds_to_mesh(),
            _ => !spec.gateways.contains(name),
        })
        .collect()
}

/// The short names of a rule that are hosts of several registries. The first is meant.
pub(crate) fn ambiguous(rule: &Rule, rules: &Rules) -> Vec<Finding> {
    let names = rules.names();
    let namespace = rule.meta.namespace.as_str();
    let known = match &rule.spec {
        Spec::RouteRule(spec) => vec![names.known_services(&spec.destination, namespace)],
        Spec::DestinationPolicy(spec) => vec![names.known_services(&spec.destination, namespace)],
        Spec::VirtualService(spec) => spec
            .hosts
            .iter()
            .map(|host| names.known_hosts(host, namespace))
            .collect(),
        Spec::DestinationRule(spec) => vec![names.known_hosts(&spec.host, namespace)],
        Spec::EgressRule(_) | Spec::Gateway(_) | Spec::ServiceEntry(_) | Spec::ServiceAddress(_) => {
            Vec::new()
        }
    };
    let several = known.into_iter().filter(|hosts| hosts.len() > 1);
    several
        .map(|hosts| {
            let message = format!("the short name may be {}; the first is meant", hosts.join(" or "));
            Finding::new(Topic::PilotConflictingRules, rule.key(), message)
        })
        .collect()
}
