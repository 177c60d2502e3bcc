//! `/debug/registryz`: the services of all registries, as pilot sees them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::SystemTime;

use outrigger_api::model::{Catalog, Protocol, Resolution};
use outrigger_registry::state::RegistryState;
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
    /// How much of that registry was read, where it is not all: `restored, read 70 s ago`, `read in part`.
    #[serde(skip_serializing_if = "Option::is_none")]
    reading: Option<&'a str>,
    /// Healthy instances.
    instances: usize,
}

#[derive(Debug, Serialize)]
struct Port<'a> {
    name: &'a str,
    port: u16,
    protocol: Protocol,
}

/// In words, how much was read of each registry that was not read whole.
pub fn readings(registries: &[RegistryState], now: SystemTime) -> BTreeMap<String, String> {
    let incomplete = registries.iter().filter(|registry| !registry.synced);
    incomplete
        .map(|registry| (registry.name.clone(), registry.reading(now)))
        .collect()
}

/// The page. `readings` are those of registries that were not read whole.
pub fn registryz<'a>(
    catalog: &'a Catalog,
    addresses: &BTreeMap<String, Ipv4Addr>,
    readings: &'a BTreeMap<String, String>,
) -> Vec<ServiceEntry<'a>> {
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
            reading: readings.get(&state.registry).map(String::as_str),
            instances: state.instances.len(),
        }
    });
    services.collect()
}
