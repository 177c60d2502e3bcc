//! The load assignments of every cluster of the mesh. Alone in their layer, so that a change of endpoints touches
//! nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;

use outrigger_api::model::{Instance, Protocol, Resolution, Service};
use outrigger_xds::{Layer, LayerBuilder, Resource, TypeUrl};

use super::endpoint::{Peers, chosen, load_assignment, socket};
use super::version::{Version, versions};
use crate::finding::{Finding, Topic};
use crate::names;
use crate::snapshot::Snapshot;

/// The endpoints of the mesh for readers of one kind: with marks of proven sidecars or without.
#[derive(Debug)]
pub struct Endpoints {
    hosts: BTreeMap<String, HostEndpoints>,
    peers: Option<Arc<Peers>>,
    /// The load assignments.
    pub layer: Arc<Layer>,
    /// Clusters without endpoints.
    pub findings: Arc<Vec<Finding>>,
}

#[derive(Debug)]
struct HostEndpoints {
    service: Arc<Service>,
    instances: Arc<Vec<Instance>>,
    /// Where proven sidecars stand, of these instances; `None` for readers that take no marks.
    peers: Option<Peers>,
    versions: Vec<Version>,
    resources: Vec<Arc<Resource>>,
    findings: Vec<Finding>,
}

/// Compiles all load assignments. Those of `previous` whose host did not change, and none of whose sidecars came or
/// went, are taken over as they are.
pub fn compile_endpoints(snapshot: &Snapshot, mesh_marks: bool, previous: Option<&Endpoints>) -> Endpoints {
    let peers = mesh_marks.then(|| snapshot.peers.clone());
    let same_peers = previous.is_some_and(|previous| match (&previous.peers, &peers) {
        (Some(old), Some(new)) => Arc::ptr_eq(old, new) || old == new,
        (None, None) => true,
        _ => false,
    });
    let mut hosts = BTreeMap::new();
    let mut unchanged = previous.is_some();
    for (host, state) in &snapshot.catalog.services {
        if state.service.resolution != Resolution::Endpoints {
            continue;
        }
        let (versions, _) = versions(&snapshot.rules, host);
        let known = previous
            .and_then(|previous| previous.hosts.get(host))
            .filter(|known| {
                known.versions == versions
                    && known.service == state.service
                    && known.instances == state.instances
                    && (same_peers || known.peers == peers_among(&state.instances, peers.as_deref()))
            });
        let entry = match known {
            Some(known) => known.retain(),
            None => {
                unchanged = false;
                let peers = peers_among(&state.instances, peers.as_deref());
                HostEndpoints::compile(&state.service, &state.instances, versions, peers)
            }
        };
        hosts.insert(host.clone(), entry);
    }
    if let Some(previous) = previous.filter(|previous| unchanged && previous.hosts.len() == hosts.len()) {
        return Endpoints {
            hosts,
            peers,
            layer: previous.layer.clone(),
            findings: previous.findings.clone(),
        };
    }
    let mut builder = LayerBuilder::new(previous.map(|previous| previous.layer.clone()));
    for entry in hosts.values() {
        entry
            .resources
            .iter()
            .for_each(|resource| builder.insert(resource.clone()));
    }
    let findings = hosts
        .values()
        .flat_map(|entry| entry.findings.iter().cloned())
        .collect();
    Endpoints {
        peers,
        layer: builder.build(),
        findings: Arc::new(findings),
        hosts,
    }
}

/// The proven sidecars that stand where these instances are advertised.
fn peers_among(instances: &[Instance], peers: Option<&Peers>) -> Option<Peers> {
    let peers = peers?;
    let addresses = instances.iter().filter_map(socket);
    Some(addresses.filter(|address| peers.contains(address)).collect())
}

impl HostEndpoints {
    fn compile(
        service: &Arc<Service>,
        instances: &Arc<Vec<Instance>>,
        versions: Vec<Version>,
        peers: Option<Peers>,
    ) -> HostEndpoints {
        let mut resources = Vec::new();
        let mut findings = Vec::new();
        for port in service.ports.iter().filter(|port| port.protocol != Protocol::Udp) {
            // A mark says that HTTP/2 is spoken there, which holds for HTTP ports only.
            let peers = peers.as_ref().filter(|_| port.protocol.is_http());
            for version in &versions {
                let name = names::outbound_cluster(&service.host, port.port, &version.text);
                let assignment = load_assignment(&name, port.port, &version.labels, instances, peers);
                resources.push(Arc::new(encode(&assignment)));
                if chosen(instances, port.port, &version.labels).next().is_none() {
                    let what = if version.labels.is_empty() {
                        String::new()
                    } else {
                        format!(" with {}", version.labels)
                    };
                    let message = format!("no instance of {}{what} on port {}", service.host, port.port);
                    findings.push(Finding::new(Topic::PilotEdsNoInstances, name, message));
                }
            }
        }
        HostEndpoints {
            service: service.clone(),
            instances: instances.clone(),
            peers,
            versions,
            resources,
            findings,
        }
    }

    fn retain(&self) -> HostEndpoints {
        HostEndpoints {
            service: self.service.clone(),
            instances: self.instances.clone(),
            peers: self.peers.clone(),
            versions: self.versions.clone(),
            resources: self.resources.clone(),
            findings: self.findings.clone(),
        }
    }
}

fn encode(assignment: &outrigger_xds::pb::envoy::config::endpoint::v3::ClusterLoadAssignment) -> Resource {
    use outrigger_xds::References;
    use prost::Message;
    let value = assignment.encode_to_vec();
    Resource::from_bytes(
        TypeUrl::Endpoint,
        &assignment.cluster_name,
        &value,
        References::none(),
    )
}
