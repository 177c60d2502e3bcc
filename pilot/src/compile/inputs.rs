//! Everything that the clusters, listeners and routes of one host depend on, for one class of proxies.
//!
//! Compilation of a host is a function of this value alone: when it is equal to that of the last time, the last
//! result stands.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use outrigger_api::destination_policy::DestinationPolicy;
use outrigger_api::model::{Instance, Resolution, Service};
use outrigger_api::route_rule::RouteRule;
use outrigger_api::virtual_service::VirtualService;

use super::version::{Version, versions};
use crate::class::Class;
use crate::finding::Finding;
use crate::snapshot::Snapshot;
use crate::snapshot::rules::{Names, Rule, typed};

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Inputs {
    /// The host.
    pub(crate) host: String,
    /// Its service; `None` for a host that only a VirtualService knows.
    pub(crate) service: Option<Arc<Service>>,
    /// Its instances, when they stand in the cluster itself (DNS).
    pub(crate) instances: Option<Arc<Vec<Instance>>>,
    /// Its virtual address.
    pub(crate) address: Option<Ipv4Addr>,
    /// What its clusters are split into.
    pub(crate) versions: Vec<Version>,
    /// Its RouteRules, all of them, in the order of evaluation.
    pub(crate) route_rules: Vec<Rule>,
    /// Of these, the ones for callers of this class.
    pub(crate) accepted: Vec<Rule>,
    /// Its VirtualServices, oldest first.
    pub(crate) virtual_services: Vec<Rule>,
    /// Its DestinationPolicies for callers of this class, smallest key first.
    pub(crate) policies: Vec<Rule>,
    /// Its DestinationRules, oldest first.
    pub(crate) destination_rules: Vec<Rule>,
    /// The hosts that its rules send requests to.
    pub(crate) destinations: Destinations,
    /// What was found on the way.
    pub(crate) findings: Vec<Finding>,
}

/// The hosts that some rules send requests to, with what is known of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Destinations(BTreeMap<String, Destination>);

impl Destinations {
    /// Looks `hosts` up.
    pub(crate) fn gather(snapshot: &Snapshot, hosts: impl IntoIterator<Item = String>) -> Destinations {
        let known = hosts.into_iter().map(|host| {
            let destination = Destination::of(snapshot, &host);
            (host, destination)
        });
        Destinations(known.collect())
    }

    /// What is known of a host.
    pub(crate) fn of(&self, host: &str) -> Destination {
        self.0.get(host).cloned().unwrap_or_default()
    }
}

/// A host that rules send requests to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Destination {
    /// The service, if it is known.
    pub(crate) service: Option<Arc<Service>>,
    /// Texts of its versions.
    pub(crate) versions: BTreeSet<String>,
}

impl Destination {
    fn of(snapshot: &Snapshot, host: &str) -> Destination {
        Destination {
            service: snapshot
                .catalog
                .services
                .get(host)
                .map(|state| state.service.clone()),
            versions: versions(&snapshot.rules, host)
                .0
                .into_iter()
                .map(|version| version.text)
                .collect(),
        }
    }

    /// The port that requests are sent to (`spec/traffic-v1alpha3.md` §1.1): the one named, else the only one,
    /// else that of the listener.
    pub(crate) fn port(&self, named: Option<u16>, listener: u16) -> u16 {
        named.unwrap_or_else(
            || match self.service.as_ref().map(|service| service.ports.as_slice()) {
                Some([only]) => only.port,
                _ => listener,
            },
        )
    }

    /// Why requests sent there find no cluster, if they do not.
    pub(crate) fn missing(&self, host: &str, port: u16, version: &str) -> Option<String> {
        let Some(service) = &self.service else {
            return Some(format!("no registry knows {host}; such requests get 503"));
        };
        if service.port(port).is_none() {
            return Some(format!("{host} has no port {port}; such requests get 503"));
        }
        if !self.versions.contains(version) {
            return Some(format!(
                "no DestinationRule defines subset {version} of {host}; such requests get 503"
            ));
        }
        None
    }
}

impl Inputs {
    /// Gathers what `host` depends on.
    pub(crate) fn gather(snapshot: &Snapshot, class: &Class, host: &str) -> Inputs {
        let rules = &snapshot.rules;
        let names = rules.names();
        let state = snapshot.catalog.services.get(host);
        let route_rules = rules.route_rules(host).to_vec();
        let accepted = route_rules
            .iter()
            .filter(|rule| accepts_caller(rule, names, class))
            .cloned()
            .collect();
        let policies = rules
            .policies(host)
            .iter()
            .filter(|rule| policy_accepts_caller(rule, names, class));
        let virtual_services = rules.virtual_services(host).to_vec();
        let targets = targets(host, &route_rules, &virtual_services, names);
        let (versions, findings) = versions(rules, host);
        Inputs {
            host: host.to_owned(),
            service: state.map(|state| state.service.clone()),
            instances: state
                .filter(|state| state.service.resolution == Resolution::Dns)
                .map(|state| state.instances.clone()),
            address: snapshot.addresses.get(host).copied(),
            versions,
            accepted,
            route_rules,
            policies: policies.cloned().collect(),
            virtual_services,
            destination_rules: rules.destination_rules(host).to_vec(),
            destinations: Destinations::gather(snapshot, targets),
            findings,
        }
    }
}

fn accepts_caller(rule: &Rule, names: &Names, class: &Class) -> bool {
    let source = rule
        .spec::<RouteRule>()
        .and_then(|spec| spec.condition.as_ref()?.source.as_ref());
    source.is_none_or(|source| class.meets(&names.caller(source, &rule.meta.namespace)))
}

fn policy_accepts_caller(rule: &Rule, names: &Names, class: &Class) -> bool {
    let source = rule
        .spec::<DestinationPolicy>()
        .and_then(|spec| spec.source.as_ref());
    source.is_none_or(|source| class.meets(&names.caller(source, &rule.meta.namespace)))
}

/// The hosts that the rules of `host` send requests to, itself included; none where there are no rules.
fn targets(host: &str, route_rules: &[Rule], virtual_services: &[Rule], names: &Names) -> BTreeSet<String> {
    let mut targets = BTreeSet::new();
    if route_rules.is_empty() && virtual_services.is_empty() {
        return targets;
    }
    targets.insert(host.to_owned());
    for (rule, spec) in typed::<RouteRule>(route_rules) {
        let entries = spec.route.iter();
        targets.extend(entries.map(|entry| names.route_target(entry, host, &rule.meta.namespace).0));
    }
    for (rule, spec) in typed::<VirtualService>(virtual_services) {
        targets.extend(destination_hosts(spec).map(|host| names.host(host, &rule.meta.namespace)));
    }
    targets
}

/// The hosts that a VirtualService sends requests and connections to, as written.
pub(crate) fn destination_hosts(spec: &VirtualService) -> impl Iterator<Item = &str> {
    let http = spec
        .http
        .iter()
        .flat_map(|route| route.action.weighted())
        .map(|(entry, _)| &entry.destination);
    let tcp = spec
        .tcp
        .iter()
        .flat_map(|route| &route.route)
        .map(|entry| &entry.destination);
    http.chain(tcp).map(|destination| destination.host.as_str())
}
