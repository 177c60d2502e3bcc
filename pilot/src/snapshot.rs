//! Everything that compilation reads, at one moment, as an immutable value.
//!
//! Built by pure functions from what the reflector and the registries say. Parts that did not change are shared
//! with the snapshot before.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use outrigger_api::host::ShortNames;
use outrigger_api::model::Catalog;
use outrigger_api::resource::{Resource, Spec};
use outrigger_client::reflector::ConfigSnapshot;

pub mod ownership;
pub mod rules;
pub mod service_entry;
mod unattached;

use crate::compile::endpoint::Peers;
use crate::finding::{Finding, Topic};
use crate::mesh::MeshSettings;
use ownership::Ownership;
use rules::{Names, Rules};

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Version of the configuration: the store's counter. Every hop logs it as `generation`.
    pub generation: u64,
    /// The rules, typed and indexed.
    pub rules: Arc<Rules>,
    /// Services of all registries and of ServiceEntries.
    pub catalog: Arc<Catalog>,
    /// The virtual addresses allotted to services, by host.
    pub addresses: Arc<BTreeMap<String, Ipv4Addr>>,
    /// Where sidecars are proven to listen.
    pub peers: Arc<Peers>,
    /// Settings of the whole mesh.
    pub mesh: Arc<MeshSettings>,
    /// Finds the instances of a proxy.
    pub ownership: Arc<Ownership>,
    /// What was found while the snapshot was built.
    pub findings: Arc<Vec<Finding>>,
    /// What it was built from, to see what has changed.
    sources: Sources,
}

#[derive(Clone, Debug, Default)]
struct Sources {
    config: Arc<ConfigSnapshot>,
    registries: Arc<Catalog>,
    /// What was found while ServiceEntries were merged in.
    findings: Arc<Vec<Finding>>,
}

/// What a snapshot is built from.
#[derive(Clone, Debug)]
pub struct Materials {
    /// The objects of the config API.
    pub config: Arc<ConfigSnapshot>,
    /// The registries' joined catalogue.
    pub registries: Arc<Catalog>,
    /// Virtual addresses that are not in the config API (when it cannot be written), by host.
    pub local_addresses: Arc<BTreeMap<String, Ipv4Addr>>,
    /// Where sidecars are proven to listen.
    pub peers: Arc<Peers>,
    /// Settings of the whole mesh.
    pub mesh: Arc<MeshSettings>,
    /// How short names become hosts.
    pub short_names: ShortNames,
}

impl Snapshot {
    /// The snapshot of these materials. `previous` only lends what did not change.
    pub fn build(previous: &Snapshot, materials: &Materials) -> Snapshot {
        let same_config = same_objects(&previous.sources.config, &materials.config);
        let same_registries = same_catalog(&previous.sources.registries, &materials.registries);
        let (catalog, of_entries) = if same_config && same_registries {
            (previous.catalog.clone(), previous.sources.findings.clone())
        } else {
            let (catalog, findings) = service_entry::merge(&materials.registries, &materials.config);
            let same = same_catalog(&previous.catalog, &catalog);
            (
                if same {
                    previous.catalog.clone()
                } else {
                    Arc::new(catalog)
                },
                Arc::new(findings),
            )
        };
        let rules = if same_config && same_hosts(&previous.catalog, &catalog) {
            previous.rules.clone()
        } else {
            let hosts: BTreeSet<String> = catalog.services.keys().cloned().collect();
            let names = Names::new(materials.short_names.clone(), hosts);
            Arc::new(Rules::build(&materials.config, names))
        };
        let ownership = if Arc::ptr_eq(&previous.catalog, &catalog) {
            previous.ownership.clone()
        } else {
            Arc::new(Ownership::of(&catalog))
        };
        let (addresses, doubled) = addresses(&materials.config, &materials.local_addresses);
        let mut findings = doubled;
        findings.extend(of_entries.iter().cloned());
        findings.extend(rules.findings().iter().cloned());
        findings.extend(unattached::findings(&rules, &catalog));
        findings.sort();
        findings.dedup();
        Snapshot {
            generation: materials.config.version,
            rules,
            addresses: share(&previous.addresses, addresses),
            peers: materials.peers.clone(),
            mesh: materials.mesh.clone(),
            ownership,
            findings: share(&previous.findings, findings),
            catalog,
            sources: Sources {
                config: materials.config.clone(),
                registries: materials.registries.clone(),
                findings: of_entries,
            },
        }
    }

    /// The objects of the config API, as they were read.
    pub fn objects(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.sources.config.objects.values()
    }

    /// The host in the catalogue that a node in `domain` means by `name`: the name itself, or the name completed by
    /// the domain or a part of it.
    pub fn host_named(&self, name: &str, domain: &str) -> Option<&str> {
        let suffixes = std::iter::successors(Some(domain), |rest| rest.split_once('.').map(|(_, tail)| tail));
        let completed = suffixes
            .filter(|suffix| !suffix.is_empty())
            .map(|suffix| format!("{name}.{suffix}"));
        std::iter::once(name.to_owned())
            .chain(completed)
            .find_map(|host| {
                self.catalog
                    .services
                    .get_key_value(&host)
                    .map(|(host, _)| host.as_str())
            })
    }
}

/// The stored addresses, then those that could not be stored. An address is one host's: the smaller host keeps it.
fn addresses(
    config: &ConfigSnapshot,
    local: &BTreeMap<String, Ipv4Addr>,
) -> (BTreeMap<String, Ipv4Addr>, Vec<Finding>) {
    let stored = config.objects.values().filter_map(|object| match &object.spec {
        Spec::ServiceAddress(spec) => Some((spec.host.clone(), spec.address)),
        _ => None,
    });
    let mut wanted: BTreeMap<String, Ipv4Addr> = local.clone();
    wanted.extend(stored);
    let mut owners: BTreeMap<Ipv4Addr, String> = BTreeMap::new();
    let mut findings = Vec::new();
    wanted.retain(|host, address| match owners.get(address) {
        None => {
            owners.insert(*address, host.clone());
            true
        }
        Some(owner) => {
            let message = format!("virtual address {address} is that of {owner}; {host} gets no listener");
            findings.push(Finding::new(Topic::PilotNoIp, host, message));
            false
        }
    });
    (wanted, findings)
}

fn same_objects(left: &Arc<ConfigSnapshot>, right: &Arc<ConfigSnapshot>) -> bool {
    let pairs = || left.objects.values().zip(right.objects.values());
    Arc::ptr_eq(left, right)
        || left.objects.len() == right.objects.len() && pairs().all(|(old, new)| Arc::ptr_eq(old, new))
}

fn same_catalog(left: &Arc<Catalog>, right: &Catalog) -> bool {
    std::ptr::eq(Arc::as_ptr(left), right) || left.diff(right).is_empty()
}

fn same_hosts(left: &Arc<Catalog>, right: &Arc<Catalog>) -> bool {
    Arc::ptr_eq(left, right) || left.services.keys().eq(right.services.keys())
}

fn share<T: PartialEq>(previous: &Arc<T>, new: T) -> Arc<T> {
    if **previous == new {
        previous.clone()
    } else {
        Arc::new(new)
    }
}
