//! Which instances a proxy stands beside: by the platform's workload id, else by its own address and port.
//!
//! Never by a bare IP: several workloads share one on many platforms.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use outrigger_api::model::{Catalog, Instance, Labels, Service};

use crate::node::{Node, Role};

/// Finds the instances of a proxy without a walk through the catalogue.
#[derive(Debug, Default)]
pub struct Ownership {
    by_workload: BTreeMap<String, Vec<Place>>,
    by_address: BTreeMap<(String, u16), Vec<Place>>,
}

/// One instance, by where it stands in the catalogue it was indexed from.
#[derive(Clone, Debug)]
struct Place {
    service: Arc<Service>,
    instances: Arc<Vec<Instance>>,
    index: usize,
}

/// An instance that a proxy stands beside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owned {
    /// The service.
    pub service: Arc<Service>,
    /// The instance itself.
    pub instance: Instance,
}

impl Ownership {
    /// Indexes a catalogue.
    pub fn of(catalog: &Catalog) -> Self {
        let mut ownership = Ownership::default();
        for state in catalog.services.values() {
            for (index, instance) in state.instances.iter().enumerate() {
                let place = Place {
                    service: state.service.clone(),
                    instances: state.instances.clone(),
                    index,
                };
                if !instance.workload_id.is_empty() {
                    let places = ownership
                        .by_workload
                        .entry(instance.workload_id.clone())
                        .or_default();
                    places.push(place.clone());
                }
                let address = (instance.address.clone(), instance.port);
                ownership.by_address.entry(address).or_default().push(place);
            }
        }
        ownership
    }

    /// The instances of `node`, by host and service port. Those under its workload id, if there are any; otherwise
    /// those advertised at its address on a port that it takes requests on.
    pub fn instances_of(&self, node: &Node) -> Vec<Owned> {
        if node.role == Role::Router {
            return self
                .by_workload
                .get(&node.workload)
                .map(|places| owned(places))
                .unwrap_or_default();
        }
        if let Some(places) = self.by_workload.get(&node.workload) {
            return owned(places);
        }
        let ip = node.ip.to_string();
        let places: Vec<Place> = node
            .inbound
            .keys()
            .filter_map(|&port| self.by_address.get(&(ip.clone(), port)))
            .flatten()
            .cloned()
            .collect();
        owned(&places)
    }
}

fn owned(places: &[Place]) -> Vec<Owned> {
    let mut owned: Vec<Owned> = places
        .iter()
        .filter_map(|place| {
            let instance = place.instances.get(place.index)?.clone();
            Some(Owned {
                service: place.service.clone(),
                instance,
            })
        })
        .collect();
    owned.sort_by(|left, right| {
        (&left.service.host, &left.instance).cmp(&(&right.service.host, &right.instance))
    });
    owned
}

/// The labels of a workload: those of all its instances, then what the node itself tells.
pub fn workload_labels(node: &Node, owned: &[Owned]) -> Labels {
    let mut labels = Labels::default();
    for entry in owned {
        labels.0.extend(entry.instance.labels.0.clone());
    }
    labels.0.extend(node.labels.0.clone());
    labels
}

/// The hosts that a workload is an instance of.
pub fn workload_hosts(owned: &[Owned]) -> BTreeSet<&str> {
    owned.iter().map(|entry| entry.service.host.as_str()).collect()
}
