//! Which load balancer a cluster gets: from the one DestinationPolicy for exactly its version, else from the
//! DestinationRules of its host.

use outrigger_api::destination_policy::{self, DestinationPolicy, LoadBalancing};
use outrigger_api::destination_rule::{
    DestinationRule, LoadBalancer, PolicySettings, PortSelector, SimpleBalancer, TrafficPolicy,
};
use outrigger_api::model::ServicePort;

use super::cluster::Balancer;
use super::inputs::Inputs;
use super::version::Version;
use crate::finding::{Finding, Topic};
use crate::snapshot::rules::{Rule, typed};

/// The balancer of one version of a service port. A policy attaches to the version whose labels equal its own; of
/// several the smallest key wins whole (`spec/traffic-v1alpha2.md` §2.1).
pub(crate) fn balancer(inputs: &Inputs, port: &ServicePort, version: &Version) -> (Balancer, Vec<Finding>) {
    let mut policies = typed::<DestinationPolicy>(&inputs.policies)
        .filter(|(_, policy)| policy.destination.labels == version.labels);
    let Some((winner, policy)) = policies.next() else {
        return (
            of_destination_rules(&inputs.destination_rules, port, &version.text),
            Vec::new(),
        );
    };
    let losers = policies.map(|(rule, _)| {
        let message = format!(
            "{} is for the same version and wins; this one is left out",
            winner.key()
        );
        Finding::new(Topic::PilotConflictingRules, rule.key(), message)
    });
    let balancer = match &policy.load_balancing {
        Some(LoadBalancing::Named(destination_policy::Balancer::LeastConn)) => Balancer::LeastRequest,
        Some(LoadBalancing::Named(destination_policy::Balancer::Random)) => Balancer::Random,
        Some(LoadBalancing::Named(destination_policy::Balancer::RoundRobin) | LoadBalancing::Custom(_))
        | None => Balancer::RoundRobin,
    };
    (balancer, losers.collect())
}

/// The first rule-level policy of the host's DestinationRules, and on top of it that of the subset.
fn of_destination_rules(rules: &[Rule], port: &ServicePort, subset: &str) -> Balancer {
    let whole = typed::<DestinationRule>(rules).find_map(|(_, spec)| spec.traffic_policy.as_ref());
    let own = typed::<DestinationRule>(rules)
        .flat_map(|(_, spec)| &spec.subsets)
        .find(|candidate| !subset.is_empty() && candidate.name == subset)
        .and_then(|subset| subset.traffic_policy.as_ref());
    let chosen = own
        .and_then(|policy| for_port(policy, port))
        .or_else(|| whole.and_then(|policy| for_port(policy, port)));
    match chosen {
        Some(LoadBalancer::Simple(SimpleBalancer::LeastConn)) => Balancer::LeastRequest,
        Some(LoadBalancer::Simple(SimpleBalancer::Random)) => Balancer::Random,
        // Consistent hashing and pass-through are accepted with a warning and not in force.
        Some(LoadBalancer::Simple(SimpleBalancer::RoundRobin | SimpleBalancer::Passthrough))
        | Some(LoadBalancer::ConsistentHash(_))
        | None => Balancer::RoundRobin,
    }
}

/// What a policy says about a port. A port with an exception takes everything from there, absent parts as defaults.
fn for_port<'a>(policy: &'a TrafficPolicy, port: &ServicePort) -> Option<&'a LoadBalancer> {
    let exception = policy.port_level.iter().find(|entry| match &entry.port {
        PortSelector::Number(number) => *number == port.port,
        PortSelector::Name(name) => *name == port.name,
    });
    match exception {
        Some(entry) => Some(entry.settings.load_balancer.as_ref().unwrap_or(DEFAULT)),
        None => {
            let PolicySettings { load_balancer, .. } = &policy.settings;
            load_balancer.as_ref()
        }
    }
}

static DEFAULT: &LoadBalancer = &LoadBalancer::Simple(SimpleBalancer::RoundRobin);
