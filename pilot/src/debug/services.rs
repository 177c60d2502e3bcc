//! `/debug/registryz`: the services of all registries, as pilot sees them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use outrigger_api::model::{Catalog, Protocol, Resolution};
use serde::Serialize;

/// One service.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceEntry<'a> {
    /// Fully qualified host.
    hostname: &'a str,
    /// Address given by the registry; `0.0.0.0` when it gives none.
    address: IpAddr,
    /// Address allotted by the mesh, absent until there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    virtual_address: Option<Ipv4Addr>,
    /// Ports by number.
    ports: Vec<Port<'a>>,
    /// True when the service is not part of the mesh.
    mesh_external: bool,
    /// How endpoints are found.
    resolution: Resolution,
    /// Namespace attribute.
    namespace: &'a str,
    /// The registry that declared it first.
    registry: &'a str,
    /// Healthy instances.
    instances: usize,
}

#[derive(Debug, Serialize)]
struct Port<'a> {
    name: &'a str,
    port: u16,
    protocol: Protocol,
}

/// The page.
pub fn registryz<'a>(catalog: &'a Catalog, addresses: &BTreeMap<String, Ipv4Addr>) -> Vec<ServiceEntry<'a>> {
    let services = catalog.services.values().map(|state| {
        let service = &state.service;
        ServiceEntry {
            hostname: &service.host,
            address: service.address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            virtual_address: addresses.get(&service.host).copied(),
            ports: service
                .ports
                .iter()
                .map(|port| Port {
                    name: &port.name,
                    port: port.port,
                    protocol: port.protocol,
                })
                .collect(),
            mesh_external: service.external,
            resolution: service.resolution,
            namespace: &service.namespace,
            registry: &state.registry,
            instances: state.instances.len(),
        }
    });
    services.collect()
}
