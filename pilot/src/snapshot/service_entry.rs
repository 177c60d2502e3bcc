//! ServiceEntries become services beside those of the registries (`spec/traffic-v1alpha3.md` §4).

use std::sync::Arc;

use outrigger_api::model::{Catalog, Instance, Resolution, Service, ServicePort, ServiceState};
use outrigger_api::resource::Spec;
use outrigger_api::service_entry::{Endpoint, EntryResolution, Location, ServiceEntry};
use outrigger_client::reflector::ConfigSnapshot;

use super::rules::Rule;
use crate::finding::{Finding, Topic};

/// Under this name the catalogue says where such a service comes from.
const REGISTRY: &str = "service-entry";

/// The registries' catalogue with the services of all ServiceEntries, oldest first. A host that is there already
/// keeps its service; instances of the entry join when both are listed and the port exists.
pub(crate) fn merge(registries: &Catalog, config: &ConfigSnapshot) -> (Catalog, Vec<Finding>) {
    let mut catalog = registries.clone();
    let mut findings = Vec::new();
    let objects = config
        .objects
        .values()
        .filter(|object| matches!(object.spec, Spec::ServiceEntry(_)));
    let mut rules: Vec<Rule> = objects.map(|object| Rule::from(object.clone())).collect();
    rules.sort_by_key(super::rules::age);
    for rule in &rules {
        let Some(entry) = rule.spec::<ServiceEntry>() else {
            continue;
        };
        findings.extend(unused_addresses(rule, entry));
        for host in &entry.hosts {
            findings.extend(add(&mut catalog, rule, entry, host));
        }
    }
    (catalog, findings)
}

/// A service has one virtual address; the others of an entry, and blocks, get no listener.
fn unused_addresses(rule: &Rule, entry: &ServiceEntry) -> Option<Finding> {
    let used = entry.addresses.first().filter(|subnet| subnet.length() == 32);
    let unused: Vec<String> = entry
        .addresses
        .iter()
        .skip(usize::from(used.is_some()))
        .map(ToString::to_string)
        .collect();
    let message = format!(
        "addresses {} get no listener: a service has one virtual address, the first of the list when it is a single one",
        unused.join(", ")
    );
    (!unused.is_empty()).then(|| Finding::new(Topic::PilotNoIp, rule.key(), message))
}

fn add(catalog: &mut Catalog, rule: &Rule, entry: &ServiceEntry, host: &str) -> Vec<Finding> {
    let finding = |topic, message: String| Finding::new(topic, rule.key(), message);
    let resolution = match entry.resolution {
        EntryResolution::Static => Resolution::Endpoints,
        EntryResolution::Dns => Resolution::Dns,
        EntryResolution::None => {
            let message = format!(
                "{host}: resolution NONE needs captured traffic, which explicit mode has not; left out"
            );
            return vec![finding(Topic::PilotTotalRejectedConfigs, message)];
        }
    };
    let service = service(rule, entry, host, resolution);
    let (mut instances, mut findings) = (Vec::new(), Vec::new());
    for endpoint in endpoints(entry, host) {
        if endpoint.address.starts_with("unix:") {
            let message = format!(
                "{host}: endpoint {} is no address; sockets of the file system are left out",
                endpoint.address
            );
            findings.push(finding(Topic::PilotTotalRejectedConfigs, message));
            continue;
        }
        instances.extend(service.ports.iter().map(|port| instance(&endpoint, port)));
    }
    match catalog.services.get_mut(host) {
        None => {
            instances.sort();
            let state = ServiceState {
                service: Arc::new(service),
                instances: Arc::new(instances),
                registry: REGISTRY.into(),
            };
            catalog.services.insert(host.to_owned(), state);
        }
        Some(state) => {
            let message = format!("{host} is a service of {} already, which is kept", state.registry);
            findings.push(finding(Topic::PilotConflictingRules, message));
            if state.service.resolution == Resolution::Endpoints && resolution == Resolution::Endpoints {
                join(state, instances);
            }
        }
    }
    findings
}

fn service(rule: &Rule, entry: &ServiceEntry, host: &str, resolution: Resolution) -> Service {
    let mut ports: Vec<ServicePort> = entry
        .ports
        .iter()
        .map(|port| ServicePort {
            name: port.name.clone(),
            port: port.number,
            protocol: port.protocol,
        })
        .collect();
    ports.sort_by_key(|port| port.port);
    let single = entry.addresses.first().filter(|subnet| subnet.length() == 32);
    Service {
        host: host.to_owned(),
        address: single.map(|subnet| subnet.address.into()),
        ports,
        external: entry.location == Location::MeshExternal,
        resolution,
        namespace: rule.meta.namespace.clone(),
    }
}

/// The endpoints of an entry; the host itself when it is to be resolved and lists none.
fn endpoints(entry: &ServiceEntry, host: &str) -> Vec<Endpoint> {
    if entry.endpoints.is_empty() && entry.resolution == EntryResolution::Dns {
        return vec![Endpoint {
            address: host.to_owned(),
            ..Endpoint::default()
        }];
    }
    entry.endpoints.clone()
}

fn instance(endpoint: &Endpoint, port: &ServicePort) -> Instance {
    Instance {
        address: endpoint.address.clone(),
        port: endpoint.ports.get(&port.name).copied().unwrap_or(port.port),
        service_port: port.port,
        labels: endpoint.labels.clone(),
        weight: endpoint.weight.max(1),
        locality: endpoint.locality.clone(),
        service_account: String::new(),
        workload_id: String::new(),
    }
}

fn join(state: &mut ServiceState, instances: Vec<Instance>) {
    let known = instances
        .into_iter()
        .filter(|instance| state.service.port(instance.service_port).is_some());
    let mut joined: Vec<Instance> = state.instances.iter().cloned().chain(known).collect();
    joined.sort();
    joined.dedup();
    state.instances = Arc::new(joined);
}
