//! `/debug/endpointz`: what runs behind each service port.

use std::fmt::Write;

use outrigger_api::model::{Catalog, Instance, Labels};
use serde::Serialize;

use crate::compile::endpoint::{Peers, is_peer};

/// The instances of one service port.
#[derive(Debug, Serialize)]
pub struct PortEndpoints<'a> {
    /// `host:port name`.
    svc: String,
    /// The instances.
    ep: Vec<Endpoint<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Endpoint<'a> {
    address: &'a str,
    port: u16,
    service_port: u16,
    labels: &'a Labels,
    weight: u32,
    locality: &'a str,
    service_account: &'a str,
    workload_id: &'a str,
    /// `h2` when a sidecar is proven to stand there.
    #[serde(skip_serializing_if = "Option::is_none")]
    mesh: Option<&'static str>,
}

/// The page.
pub fn endpointz<'a>(catalog: &'a Catalog, peers: &Peers) -> Vec<PortEndpoints<'a>> {
    ports(catalog)
        .map(|(svc, instances)| PortEndpoints {
            svc,
            ep: instances.map(|instance| endpoint(instance, peers)).collect(),
        })
        .collect()
}

/// The page in short: `host:port name  family  address:port  labels  account`, an instance a line.
pub fn brief(catalog: &Catalog) -> String {
    let mut page = String::new();
    for (svc, instances) in ports(catalog) {
        for instance in instances {
            let Instance {
                address,
                port,
                labels,
                service_account,
                ..
            } = instance;
            // Writing to a `String` cannot fail.
            let _ = writeln!(page, "{svc} TCP {address}:{port} {labels} {service_account}");
        }
    }
    page
}

fn ports(catalog: &Catalog) -> impl Iterator<Item = (String, impl Iterator<Item = &Instance>)> {
    catalog.services.values().flat_map(|state| {
        state.service.ports.iter().map(move |port| {
            let name = if port.name.is_empty() {
                port.port.to_string()
            } else {
                port.name.clone()
            };
            let here = state
                .instances
                .iter()
                .filter(move |instance| instance.service_port == port.port);
            (format!("{}:{name}", state.service.host), here)
        })
    })
}

fn endpoint<'a>(instance: &'a Instance, peers: &Peers) -> Endpoint<'a> {
    Endpoint {
        address: &instance.address,
        port: instance.port,
        service_port: instance.service_port,
        labels: &instance.labels,
        weight: instance.weight,
        locality: &instance.locality,
        service_account: &instance.service_account,
        workload_id: &instance.workload_id,
        mesh: is_peer(instance, peers).then_some("h2"),
    }
}
