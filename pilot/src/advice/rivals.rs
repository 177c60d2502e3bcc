//! What a rule that is written does to other rules of its hosts, and they to it.

use std::collections::BTreeSet;
use std::sync::Arc;

use outrigger_api::kind::Kind;
use outrigger_api::resource::{Key, Resource, Spec};
use outrigger_api::virtual_service::MESH_GATEWAY;
use outrigger_client::reflector::ConfigSnapshot;

use crate::compile::gateway_key;
use crate::compile::overruled::overruled;
use crate::snapshot::Snapshot;
use crate::snapshot::rules::{Rule, Rules};

/// The age of an object that is not stored yet: younger than any other.
const YOUNGEST: &str = "9999-12-31T23:59:59Z";

/// Sentences about `resource` where other rules leave it without effect, and about rules that it leaves so.
pub(super) fn advise(snapshot: &Snapshot, resource: &Resource) -> Vec<String> {
    let (hosts, gateways) = places(snapshot, resource);
    if hosts.is_empty() && gateways.is_empty() {
        return Vec::new();
    }
    let own = resource.key();
    let before = concerned(snapshot, &hosts, &gateways);
    let mut after = before.clone();
    let stored = after.objects.get(&own);
    let mut written = resource.clone();
    written.meta.creation_timestamp = stored
        .map(|stored| stored.meta.creation_timestamp.clone())
        .unwrap_or_else(|| Some(YOUNGEST.to_owned()));
    after.objects.insert(own.clone(), Arc::new(written));
    let found = |config: &ConfigSnapshot| {
        let mut snapshot = snapshot.clone();
        snapshot.rules = Arc::new(Rules::build(config, snapshot.rules.names().clone()));
        overruled(&snapshot, &hosts, &gateways)
    };
    let known = found(&before);
    let is_own = |key: &str| key == own.to_string();
    let told = found(&after)
        .into_iter()
        .filter(|finding| is_own(&finding.key) || !known.contains(finding));
    told.map(|finding| match is_own(&finding.key) {
        true => finding.message,
        false => format!("{}: {}", finding.key, finding.message),
    })
    .collect()
}

/// The hosts and the gateways whose routes `resource` has a part in.
fn places(snapshot: &Snapshot, resource: &Resource) -> (BTreeSet<String>, BTreeSet<Key>) {
    let names = snapshot.rules.names();
    let namespace = resource.meta.namespace.as_str();
    match &resource.spec {
        Spec::RouteRule(spec) => (
            BTreeSet::from([names.service(&spec.destination, namespace)]),
            BTreeSet::new(),
        ),
        Spec::VirtualService(spec) => {
            let hosts = spec.hosts.iter().filter(|_| spec.binds_to_mesh());
            let gateways = spec.gateways.iter().filter(|name| *name != MESH_GATEWAY);
            (
                hosts.map(|host| names.host(host, namespace)).collect(),
                gateways.map(|name| gateway(name, namespace)).collect(),
            )
        }
        _ => Default::default(),
    }
}

fn gateway(name: &str, namespace: &str) -> Key {
    let (namespace, name) = gateway_key(name, namespace);
    Key {
        kind: Kind::Gateway,
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    }
}

/// The stored objects that have a part in the same routes.
fn concerned(snapshot: &Snapshot, hosts: &BTreeSet<String>, gateways: &BTreeSet<Key>) -> ConfigSnapshot {
    let rules = &snapshot.rules;
    let of_hosts = hosts
        .iter()
        .flat_map(|host| rules.route_rules(host).iter().chain(rules.virtual_services(host)));
    let of_gateways = rules.all_virtual_services().filter(|(rule, spec)| {
        let bound = |name: &String| gateways.contains(&gateway(name, &rule.meta.namespace));
        spec.gateways.iter().any(bound)
    });
    let gateways = rules
        .gateways()
        .filter(|(rule, _)| gateways.contains(&rule.key()));
    let rules = of_hosts
        .chain(of_gateways.map(|(rule, _)| rule))
        .chain(gateways.map(|(rule, _)| rule));
    ConfigSnapshot {
        objects: rules.map(|rule| (rule.key(), Rule::resource(rule))).collect(),
        ..ConfigSnapshot::default()
    }
}
