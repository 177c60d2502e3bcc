//! Where the connections of a TCP port go (`spec/traffic-v1alpha3.md` §1.2). RouteRules have no say here.

use outrigger_api::virtual_service::{RouteDestination, TcpMatch, TcpRoute, VirtualService};

use super::inputs::Inputs;
use super::place::{Place, ProxyCondition};
use super::route::Target;
use super::virtual_service::Compiling;
use crate::class::Class;
use crate::finding::{Finding, Topic};
use crate::snapshot::rules::{Names, typed};

/// The destinations of a TCP port for sidecars of `class`, with their weights; all instances of the host unless its
/// oldest VirtualService says otherwise. Never empty.
pub(crate) fn targets(
    inputs: &Inputs,
    names: &Names,
    class: &Class,
    port: u16,
) -> (Vec<Target>, Vec<Finding>) {
    let whole = vec![Target::whole(&inputs.host, port)];
    let Some((rule, spec)) = typed::<VirtualService>(&inputs.virtual_services).next() else {
        return (whole, Vec::new());
    };
    let compiling = Compiling {
        rule,
        names,
        destinations: &inputs.destinations,
        place: Place::Sidecars(class),
        dialect: class.dialect,
        port,
    };
    let (targets, findings) = chosen(&compiling, spec);
    (targets.unwrap_or(whole), findings)
}

/// The destinations of the first TCP route that is for the place and port, if one is.
pub(crate) fn chosen(
    compiling: &Compiling<'_>,
    spec: &VirtualService,
) -> (Option<Vec<Target>>, Vec<Finding>) {
    let mut findings = Vec::new();
    for (index, tcp) in spec.tcp.iter().enumerate() {
        let (applies, skipped) = applies(compiling, tcp, index);
        findings.extend(skipped);
        if !applies {
            continue;
        }
        let mut targets = Vec::new();
        for (destination, weight) in RouteDestination::weighted(&tcp.route).filter(|(_, weight)| *weight > 0)
        {
            let (target, missing) = compiling.target(destination, weight);
            findings.extend(missing);
            targets.push(target);
        }
        if !targets.is_empty() {
            return (Some(targets), findings);
        }
    }
    (None, findings)
}

fn applies(compiling: &Compiling<'_>, tcp: &TcpRoute, index: usize) -> (bool, Vec<Finding>) {
    let mut findings = Vec::new();
    let mut met = tcp.matches.is_empty();
    for (place, condition) in tcp.matches.iter().enumerate() {
        let about_proxy = ProxyCondition {
            gateways: &condition.gateways,
            port: condition.port,
            source_labels: &condition.source_labels,
        };
        if !compiling
            .place
            .meets(about_proxy, &compiling.rule.meta.namespace, compiling.port)
        {
            continue;
        }
        if has_subnets(condition) {
            let message =
                format!("tcp[{index}].match[{place}]: subnets are not in force; this match is left out");
            findings.push(compiling.finding(Topic::PilotTotalRejectedConfigs, message));
            continue;
        }
        met = true;
    }
    (met, findings)
}

fn has_subnets(condition: &TcpMatch) -> bool {
    !condition.destination_subnets.is_empty() || condition.source_subnet.is_some()
}
