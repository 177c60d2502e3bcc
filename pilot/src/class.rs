//! The view that a group of proxies shares: everything about a proxy on which shared configuration depends.
//!
//! Two proxies of one class get the same clusters, endpoints, outbound listeners and routes, byte for byte, so
//! these are computed once for all of them.

use std::collections::BTreeSet;

use outrigger_api::model::Labels;
use outrigger_api::resource::Key;

use crate::dialect::Dialect;
use crate::node::{Node, Role};
use crate::snapshot::Snapshot;
use crate::snapshot::ownership::{Owned, workload_hosts, workload_labels};

/// A condition on the caller that some rule states: `match.source` of the first generation, `sourceLabels` of
/// the second.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Caller {
    /// The caller must be an instance of this host; `None` = whoever it is.
    pub host: Option<String>,
    /// The caller's labels must include these.
    pub labels: Labels,
}

/// What shared configuration depends on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Class {
    /// Sidecar or gateway.
    pub role: Role,
    /// Which data plane reads it.
    pub dialect: Dialect,
    /// The DNS domain, for short names.
    pub domain: String,
    /// Namespace of the workloads.
    pub namespace: String,
    /// True when there is a listener for each service port on the service's virtual address.
    pub virtual_listeners: bool,
    /// True when the explicit HTTP proxy's routes are wanted.
    pub http_proxy: bool,
    /// True when endpoints are marked that are proven to be sidecars.
    pub mesh_marks: bool,
    /// The conditions on the caller, among those that rules state, that these proxies meet.
    pub callers: BTreeSet<Caller>,
    /// The Gateways whose selector takes these proxies.
    pub gateways: BTreeSet<Key>,
}

impl Class {
    /// The class of `node`, which stands beside `owned`.
    pub fn of(snapshot: &Snapshot, node: &Node, owned: &[Owned]) -> Class {
        let labels = workload_labels(node, owned);
        let hosts = workload_hosts(owned);
        let gateway = node.role == Role::Router;
        let callers = snapshot
            .rules
            .callers()
            .iter()
            .filter(|caller| match &caller.host {
                None => caller.labels.is_subset_of(&labels),
                Some(host) if gateway && is_ingress(host) => {
                    let mut labels = labels.clone();
                    labels.0.insert("istio".into(), "ingress".into());
                    caller.labels.is_subset_of(&labels)
                }
                Some(host) => {
                    hosts.contains(host.as_str()) && accepted_by_instance(caller, host, node, owned)
                }
            });
        let gateways = snapshot
            .rules
            .gateways()
            .filter(|(_, spec)| gateway && spec.selector.is_subset_of(&labels));
        Class {
            role: node.role,
            dialect: node.dialect,
            domain: node.domain.clone(),
            namespace: node.namespace.clone(),
            virtual_listeners: node.virtual_listeners && !gateway,
            http_proxy: node.http_proxy_port.is_some(),
            mesh_marks: node.mesh_h2 && node.dialect.reads_mesh_marks(),
            callers: callers.cloned().collect(),
            gateways: gateways.map(|(rule, _)| rule.key()).collect(),
        }
    }

    /// The class of a plain sidecar without a workload, which meets no condition on the caller.
    pub(crate) fn nobody() -> Class {
        Class {
            role: Role::Sidecar,
            dialect: Dialect::Outrigger,
            domain: String::new(),
            namespace: "default".into(),
            virtual_listeners: true,
            http_proxy: true,
            mesh_marks: true,
            callers: BTreeSet::new(),
            gateways: BTreeSet::new(),
        }
    }

    /// True when these proxies meet a condition on the caller.
    pub fn meets(&self, caller: &Caller) -> bool {
        *caller == Caller::default() || self.callers.contains(caller)
    }
}

/// One and the same instance of the host must carry the labels; what the node tells overrides the registry.
fn accepted_by_instance(caller: &Caller, host: &str, node: &Node, owned: &[Owned]) -> bool {
    owned
        .iter()
        .filter(|entry| entry.service.host == host)
        .any(|entry| {
            let labels = workload_labels(node, std::slice::from_ref(entry));
            caller.labels.is_subset_of(&labels)
        })
}

/// The pseudo source by which the first generation names the ingress (`spec/traffic-v1alpha2.md` §1.1).
fn is_ingress(host: &str) -> bool {
    host.split('.').next() == Some("istio-ingress")
}
