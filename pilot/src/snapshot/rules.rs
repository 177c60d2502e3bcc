//! The rules of one configuration, typed and indexed by the host they govern.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, Deref};
use std::sync::Arc;

use outrigger_api::destination_policy::DestinationPolicy;
use outrigger_api::destination_rule::DestinationRule;
use outrigger_api::gateway::Gateway;
use outrigger_api::host::{self, ShortNames};
use outrigger_api::model::Labels;
use outrigger_api::resource::{Resource, Spec};
use outrigger_api::route_rule::{DestinationWeight, RouteRule};
use outrigger_api::service_address::ServiceAddress;
use outrigger_api::service_entry::ServiceEntry;
use outrigger_api::service_ref::ServiceRef;
use outrigger_api::virtual_service::VirtualService;

use outrigger_client::reflector::ConfigSnapshot;

use super::unattached;
use crate::class::Caller;
use crate::finding::Finding;

/// One rule as stored. Two of them are equal when they are one and the same reading of the object, which is what
/// a reflector keeps as long as the object does not change.
#[derive(Clone, Debug)]
pub struct Rule(Arc<Resource>);

impl Rule {
    /// The rule's spec, when it is of this kind.
    pub fn spec<T: Typed>(&self) -> Option<&T> {
        T::of(&self.0.spec)
    }

    /// The object.
    pub(crate) fn resource(&self) -> Arc<Resource> {
        self.0.clone()
    }
}

impl From<Arc<Resource>> for Rule {
    fn from(resource: Arc<Resource>) -> Self {
        Rule(resource)
    }
}

impl Deref for Rule {
    type Target = Resource;

    fn deref(&self) -> &Resource {
        &self.0
    }
}

impl PartialEq for Rule {
    fn eq(&self, other: &Rule) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// A spec that can be asked for by its type.
pub trait Typed: Sized {
    /// The spec, when it is of this kind.
    fn of(spec: &Spec) -> Option<&Self>;
}

macro_rules! typed {
    ($($kind:ident),*) => {$(
        impl Typed for $kind {
            fn of(spec: &Spec) -> Option<&Self> {
                match spec {
                    Spec::$kind(spec) => Some(spec),
                    _ => None,
                }
            }
        }
    )*};
}

typed!(
    RouteRule,
    DestinationPolicy,
    VirtualService,
    DestinationRule,
    Gateway,
    ServiceEntry,
    ServiceAddress
);

/// The rules of a list with their specs.
pub fn typed<'a, T: Typed + 'a>(rules: &'a [Rule]) -> impl Iterator<Item = (&'a Rule, &'a T)> {
    rules.iter().filter_map(|rule| Some((rule, rule.spec()?)))
}

/// All rules that compilation reads.
#[derive(Debug, Default)]
pub struct Rules {
    /// By the host that a rule governs, in the order of evaluation.
    route_rules: BTreeMap<String, Vec<Rule>>,
    /// By the host that a policy is for, smallest key first.
    policies: BTreeMap<String, Vec<Rule>>,
    /// Bound to sidecars, by each of their hosts, oldest first; wildcards among them.
    virtual_services: BTreeMap<String, Vec<Rule>>,
    /// Every VirtualService, oldest first; gateways look through them.
    all_virtual_services: Vec<Rule>,
    /// By host, oldest first; wildcards among them.
    destination_rules: BTreeMap<String, Vec<Rule>>,
    gateways: Vec<Rule>,
    service_entries: Vec<Rule>,
    /// The label sets that rules of the first generation name, by host.
    label_sets: BTreeMap<String, BTreeSet<Labels>>,
    callers: BTreeSet<Caller>,
    names: Names,
    findings: Vec<Finding>,
}

/// How a rule's references become hosts: short names are completed, and of several candidates the first that is
/// a known host is meant.
#[derive(Debug, Default, Clone)]
pub struct Names {
    short_names: ShortNames,
    known: BTreeSet<String>,
}

impl Names {
    /// Completes with `short_names`; `known` are the hosts of the catalogue.
    pub fn new(short_names: ShortNames, known: BTreeSet<String>) -> Self {
        Names { short_names, known }
    }

    /// The host that a reference of the first generation means.
    pub fn service(&self, reference: &ServiceRef, namespace: &str) -> String {
        self.first_known(reference.candidates(namespace, &self.short_names))
    }

    /// The host that a rule of the second generation means.
    pub fn host(&self, host: &str, namespace: &str) -> String {
        if host.contains(['.', '*', ':']) || host.is_empty() {
            return host.to_owned();
        }
        self.first_known(self.short_names.candidates(host, namespace))
    }

    /// The condition on the caller that a `source` states.
    pub fn caller(&self, source: &ServiceRef, namespace: &str) -> Caller {
        Caller {
            host: Some(self.service(source, namespace)),
            labels: source.labels.clone(),
        }
    }

    /// The host and the version that one `route` entry of a RouteRule for `host` sends to. Labels may stand beside
    /// the destination and in it.
    pub fn route_target(&self, entry: &DestinationWeight, host: &str, namespace: &str) -> (String, Labels) {
        let mut labels = entry.labels.clone();
        match &entry.destination {
            None => (host.to_owned(), labels),
            Some(destination) => {
                labels.0.extend(destination.labels.0.clone());
                (self.service(destination, namespace), labels)
            }
        }
    }

    /// The known hosts that a reference of the first generation may mean, by precedence.
    pub(crate) fn known_services(&self, reference: &ServiceRef, namespace: &str) -> Vec<String> {
        self.known(reference.candidates(namespace, &self.short_names))
    }

    /// The known hosts that a name of the second generation may mean, by precedence.
    pub(crate) fn known_hosts(&self, host: &str, namespace: &str) -> Vec<String> {
        if host.contains(['.', '*', ':']) {
            return self.known(vec![host.to_owned()]);
        }
        self.known(self.short_names.candidates(host, namespace))
    }

    fn known(&self, mut candidates: Vec<String>) -> Vec<String> {
        candidates.retain(|host| self.known.contains(host));
        candidates
    }

    fn first_known(&self, candidates: Vec<String>) -> String {
        let known = candidates.iter().find(|host| self.known.contains(*host)).cloned();
        known
            .or_else(|| candidates.into_iter().next())
            .unwrap_or_default()
    }
}

impl Rules {
    /// Indexes the objects of a configuration.
    pub fn build(config: &ConfigSnapshot, names: Names) -> Rules {
        let mut rules = Rules {
            names,
            ..Rules::default()
        };
        for object in config.objects.values() {
            let rule = Rule::from(object.clone());
            rules.add(&rule);
            let ambiguous = unattached::ambiguous(&rule, &rules);
            rules.findings.extend(ambiguous);
        }
        for list in rules.route_rules.values_mut() {
            list.sort_by_key(|rule| {
                let precedence = rule.spec().map_or(0, |spec: &RouteRule| spec.precedence);
                (Reverse(precedence), rule.key())
            });
        }
        for list in rules.policies.values_mut() {
            list.sort_by_key(|rule| rule.key());
        }
        let by_age = rules
            .virtual_services
            .values_mut()
            .chain(rules.destination_rules.values_mut());
        let alone = [
            &mut rules.all_virtual_services,
            &mut rules.gateways,
            &mut rules.service_entries,
        ];
        for list in by_age.chain(alone) {
            list.sort_by_key(age);
        }
        rules
    }

    /// The RouteRules of a host: precedence descending, then key ascending (`spec/traffic-v1alpha2.md` §1.3).
    pub fn route_rules(&self, host: &str) -> &[Rule] {
        self.route_rules.get(host).map_or(&[], Vec::as_slice)
    }

    /// Every host that RouteRules, DestinationPolicies or DestinationRules name in full, with those of one kind at a time.
    pub(crate) fn governed_hosts(&self) -> impl Iterator<Item = (&str, &[Rule])> {
        [&self.route_rules, &self.policies, &self.destination_rules]
            .into_iter()
            .flatten()
            .map(|(host, rules)| (host.as_str(), rules.as_slice()))
            .filter(|(host, _)| !host.starts_with('*'))
    }

    /// What was found while the rules were indexed.
    pub(crate) fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The DestinationPolicies of a host, smallest key first.
    pub fn policies(&self, host: &str) -> &[Rule] {
        self.policies.get(host).map_or(&[], Vec::as_slice)
    }

    /// The VirtualServices that sidecars obey for a host: those that name it, else those with the longest wildcard
    /// that covers it; oldest first, and only the first is obeyed.
    pub fn virtual_services(&self, host: &str) -> &[Rule] {
        closest(&self.virtual_services, host)
    }

    /// How many rules say where requests go.
    pub fn routing_rules(&self) -> usize {
        self.all_virtual_services.len() + self.route_rules.values().map(Vec::len).sum::<usize>()
    }

    /// Every VirtualService, oldest first.
    pub fn all_virtual_services(&self) -> impl Iterator<Item = (&Rule, &VirtualService)> {
        typed(&self.all_virtual_services)
    }

    /// Hosts that VirtualServices of sidecars name in full.
    pub fn virtual_hosts(&self) -> impl Iterator<Item = &str> {
        self.virtual_services
            .keys()
            .map(String::as_str)
            .filter(|host| !host.starts_with('*'))
    }

    /// The DestinationRules for a host: those that name it, else those with the longest wildcard that covers it;
    /// oldest first.
    pub fn destination_rules(&self, host: &str) -> &[Rule] {
        closest(&self.destination_rules, host)
    }

    /// Every Gateway, oldest first.
    pub fn gateways(&self) -> impl Iterator<Item = (&Rule, &Gateway)> {
        typed(&self.gateways)
    }

    /// Every ServiceEntry, oldest first.
    pub fn service_entries(&self) -> impl Iterator<Item = (&Rule, &ServiceEntry)> {
        typed(&self.service_entries)
    }

    /// The versions of a host that rules of the first generation send requests to.
    pub fn label_sets(&self, host: &str) -> impl Iterator<Item = &Labels> {
        self.label_sets.get(host).into_iter().flatten()
    }

    /// The conditions on the caller that rules state.
    pub fn callers(&self) -> &BTreeSet<Caller> {
        &self.callers
    }

    /// How references become hosts.
    pub fn names(&self) -> &Names {
        &self.names
    }

    fn add(&mut self, rule: &Rule) {
        let namespace = rule.meta.namespace.as_str();
        match &rule.spec {
            Spec::RouteRule(spec) => self.add_route_rule(rule, spec),
            Spec::DestinationPolicy(spec) => {
                if let Some(source) = &spec.source {
                    self.callers.insert(self.names.caller(source, namespace));
                }
                let host = self.names.service(&spec.destination, namespace);
                self.policies.entry(host).or_default().push(rule.clone());
            }
            Spec::VirtualService(spec) => {
                self.all_virtual_services.push(rule.clone());
                self.callers.extend(source_labels(spec).map(|labels| Caller {
                    host: None,
                    labels: labels.clone(),
                }));
                if spec.binds_to_mesh() {
                    // A short name and the full one are one host.
                    let hosts = spec.hosts.iter().map(|host| self.names.host(host, namespace));
                    for host in hosts.collect::<BTreeSet<_>>() {
                        self.virtual_services.entry(host).or_default().push(rule.clone());
                    }
                }
            }
            Spec::DestinationRule(spec) => {
                let host = self.names.host(&spec.host, namespace);
                self.destination_rules.entry(host).or_default().push(rule.clone());
            }
            Spec::Gateway(_) => self.gateways.push(rule.clone()),
            Spec::ServiceEntry(_) => self.service_entries.push(rule.clone()),
            Spec::EgressRule(_) | Spec::ServiceAddress(_) => {}
        }
    }

    fn add_route_rule(&mut self, rule: &Rule, spec: &RouteRule) {
        let namespace = rule.meta.namespace.as_str();
        let host = self.names.service(&spec.destination, namespace);
        if let Some(source) = spec
            .condition
            .as_ref()
            .and_then(|condition| condition.source.as_ref())
        {
            self.callers.insert(self.names.caller(source, namespace));
        }
        for entry in &spec.route {
            let (target, labels) = self.names.route_target(entry, &host, namespace);
            if !labels.is_empty() {
                self.label_sets.entry(target).or_default().insert(labels);
            }
        }
        self.route_rules.entry(host).or_default().push(rule.clone());
    }
}

/// Oldest first; objects without a time (from files) first of all, then by name and namespace
/// (`spec/traffic-v1alpha3.md` §0).
pub(crate) fn age(rule: &Rule) -> (Option<String>, String, String) {
    (
        rule.meta.creation_timestamp.clone(),
        rule.meta.name.clone(),
        rule.meta.namespace.clone(),
    )
}

fn closest<'a>(by_host: &'a BTreeMap<String, Vec<Rule>>, host: &str) -> &'a [Rule] {
    if let Some(rules) = by_host.get(host) {
        return rules;
    }
    let from = (Bound::Included("*"), Bound::Unbounded);
    let wildcards = by_host.range::<str, _>(from).map(|(pattern, _)| pattern.as_str());
    let closest = host::most_specific(host, wildcards.take_while(|pattern| pattern.starts_with('*')));
    closest
        .and_then(|pattern| by_host.get(pattern))
        .map_or(&[], Vec::as_slice)
}

fn source_labels(spec: &VirtualService) -> impl Iterator<Item = &Labels> {
    let http = spec
        .http
        .iter()
        .flat_map(|route| &route.matches)
        .map(|condition| &condition.source_labels);
    let tcp = spec
        .tcp
        .iter()
        .flat_map(|route| &route.matches)
        .map(|condition| &condition.source_labels);
    http.chain(tcp).filter(|labels| !labels.is_empty())
}
