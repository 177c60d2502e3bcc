//! DestinationRule: subsets of a host and how they are called (`spec/traffic-v1alpha3.md` §2).

mod connection_pool;
mod load_balancer;
mod traffic_policy;

use std::collections::BTreeSet;

pub use connection_pool::{
    ConnectionPool, H2UpgradePolicy, HttpPool, OutlierDetection, TcpKeepalive, TcpPool,
};
pub use load_balancer::{ConsistentHash, HashKey, LoadBalancer, SimpleBalancer};
pub use traffic_policy::{ClientTls, ClientTlsMode, PolicySettings, PortPolicy, PortSelector, TrafficPolicy};

use crate::export_to::ExportTo;
use crate::fields::{Fields, Message};
use crate::host;
use crate::model::Labels;
use crate::output::Object;

/// Versions of a host and how it is called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DestinationRule {
    /// Host of the service, or a wildcard; a short name is completed in the rule's namespace.
    pub host: String,
    /// How the host is called; absent for the mesh's default.
    pub traffic_policy: Option<TrafficPolicy>,
    /// Named versions.
    pub subsets: Vec<Subset>,
    /// Who sees the object; absent for the mesh's default.
    pub export_to: Option<ExportTo>,
}

impl Message for DestinationRule {
    fn read(fields: &Fields<'_>) -> DestinationRule {
        let host = fields.text("host");
        if host.is_empty() && !fields.is_broken("host") {
            fields.problem_at("host", "destination rule must have a host");
        } else if !host.is_empty()
            && let Err(error) = host::check_wildcard(&host)
        {
            fields.problem_at("host", error);
        }
        let mut seen = BTreeSet::new();
        for subset in fields.items("subsets").iter().filter_map(|at| at.fields()) {
            let name = subset.text("name");
            if !name.is_empty() && !seen.insert(name.clone()) {
                subset.problem_at("name", format!("duplicate subset name {name:?}"));
            }
        }
        DestinationRule {
            host,
            traffic_policy: fields.message("trafficPolicy"),
            subsets: fields.messages("subsets"),
            export_to: ExportTo::read(fields),
        }
    }

    fn write(&self, out: &mut Object) {
        out.text("host", &self.host);
        out.message("trafficPolicy", self.traffic_policy.as_ref());
        out.messages("subsets", &self.subsets);
        ExportTo::write(self.export_to, out);
    }
}

/// A named version of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subset {
    /// Name, a DNS label, unique in the rule.
    pub name: String,
    /// Instances that carry all of these labels belong to it.
    pub labels: Labels,
    /// How it is called, component by component on top of the rule's own policy.
    pub traffic_policy: Option<TrafficPolicy>,
}

impl Message for Subset {
    fn read(fields: &Fields<'_>) -> Subset {
        let name = fields.text("name");
        if !host::is_label(&name) {
            fields.problem_at(
                "name",
                format!("subset name is invalid: {name:?} must be a DNS label"),
            );
        }
        Subset {
            name,
            labels: fields.labels("labels"),
            traffic_policy: fields.message("trafficPolicy"),
        }
    }

    fn write(&self, out: &mut Object) {
        out.text("name", &self.name);
        out.labels("labels", &self.labels);
        out.message("trafficPolicy", self.traffic_policy.as_ref());
    }
}
