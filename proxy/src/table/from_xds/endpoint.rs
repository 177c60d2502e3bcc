//! ClusterLoadAssignment to endpoints.

use std::net::SocketAddr;

use outrigger_xds::pb::envoy::config::core::v3::{HealthStatus, Metadata};
use outrigger_xds::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use outrigger_xds::pb::envoy::config::endpoint::v3::{ClusterLoadAssignment, Endpoint, LbEndpoint};
use outrigger_xds::pb::google::protobuf::value::Kind;

use super::address::{host_and_port, ip_and_port};
use super::at::{At, refuse};
use super::discovery::DnsTarget;
use crate::table::{Health, TableError};

/// Metadata namespace in which pilot marks endpoints.
const MESH: &str = "outrigger.mesh";

/// A checked load assignment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssignmentSpec {
    /// The cluster's EDS service name.
    pub name: String,
    /// Each address once.
    pub endpoints: Vec<EndpointSpec>,
}

/// A checked endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointSpec {
    /// Where it listens.
    pub address: SocketAddr,
    /// At least 1. Default 1.
    pub weight: u32,
    /// Whether it may be chosen.
    pub health: Health,
    /// True when the metadata `outrigger.mesh` says `protocol: h2`: a sidecar listens there.
    pub mesh_h2: bool,
}

/// Checks an EDS resource.
pub fn assignment(message: &ClusterLoadAssignment) -> Result<AssignmentSpec, TableError> {
    let at = At::resource(&message.cluster_name);
    if message.cluster_name.is_empty() {
        return Err(at.at("cluster_name").error("must not be blank"));
    }
    Ok(AssignmentSpec {
        name: message.cluster_name.clone(),
        endpoints: endpoints(&at, message)?,
    })
}

/// The endpoints of an assignment whose addresses are IP addresses. Where an address stands twice the first one counts.
pub(super) fn endpoints(
    at: &At<'_>,
    message: &ClusterLoadAssignment,
) -> Result<Vec<EndpointSpec>, TableError> {
    let mut endpoints = Vec::new();
    let mut seen = std::collections::HashSet::new();
    each(at, message, |at, lb, endpoint| {
        let address = ip_and_port(&at.at("endpoint").at("address"), endpoint.address.as_ref())?;
        if seen.insert(address) {
            let mesh_h2 = is_mesh(lb.metadata.as_ref());
            endpoints.push(EndpointSpec {
                address,
                weight: weight(at, lb)?,
                health: health(at, lb)?,
                mesh_h2,
            });
        }
        Ok(())
    })?;
    Ok(endpoints)
}

/// The endpoints of an assignment whose addresses are names to be resolved.
pub(super) fn dns_targets(
    at: &At<'_>,
    message: &ClusterLoadAssignment,
) -> Result<Vec<DnsTarget>, TableError> {
    let mut targets = Vec::new();
    each(at, message, |at, lb, endpoint| {
        let (host, port) = host_and_port(&at.at("endpoint").at("address"), endpoint.address.as_ref())?;
        targets.push(DnsTarget {
            host: host.to_owned(),
            port,
            weight: weight(at, lb)?,
        });
        Ok(())
    })?;
    Ok(targets)
}

/// Shows every endpoint with its place; refuses what no assignment may have.
fn each(
    at: &At<'_>,
    message: &ClusterLoadAssignment,
    mut show: impl FnMut(&At<'_>, &LbEndpoint, &Endpoint) -> Result<(), TableError>,
) -> Result<(), TableError> {
    refuse!(at, message, named_endpoints);
    if let Some(policy) = &message.policy {
        refuse!(
            at.at("policy"),
            policy,
            drop_overloads,
            endpoint_stale_after,
            weighted_priority_health
        );
    }
    for (locality, nth) in message.endpoints.iter().zip(0..) {
        let at = at.nth("endpoints", nth);
        refuse!(at, locality, priority, lb_config);
        for (lb, nth) in locality.lb_endpoints.iter().zip(0..) {
            let at = at.nth("lb_endpoints", nth);
            match &lb.host_identifier {
                Some(HostIdentifier::Endpoint(endpoint)) => {
                    refuse!(at.at("endpoint"), endpoint, additional_addresses);
                    show(&at, lb, endpoint)?;
                }
                Some(HostIdentifier::EndpointName(_)) => return Err(at.at("endpoint_name").not_supported()),
                None => return Err(at.at("endpoint").error("is missing")),
            }
        }
    }
    Ok(())
}

fn weight(at: &At<'_>, lb: &LbEndpoint) -> Result<u32, TableError> {
    match lb.load_balancing_weight.map(|weight| weight.value) {
        Some(0) => Err(at.at("load_balancing_weight").error("must be at least 1")),
        weight => Ok(weight.unwrap_or(1)),
    }
}

fn health(at: &At<'_>, lb: &LbEndpoint) -> Result<Health, TableError> {
    match HealthStatus::try_from(lb.health_status) {
        Ok(HealthStatus::Unknown | HealthStatus::Healthy | HealthStatus::Degraded) => Ok(Health::Healthy),
        Ok(HealthStatus::Unhealthy | HealthStatus::Draining | HealthStatus::Timeout) => Ok(Health::Unhealthy),
        Err(_) => Err(at
            .at("health_status")
            .error(format!("{} is not a known status", lb.health_status))),
    }
}

fn is_mesh(metadata: Option<&Metadata>) -> bool {
    let mark = metadata.and_then(|metadata| metadata.filter_metadata.get(MESH)?.fields.get("protocol"));
    matches!(mark.and_then(|value| value.kind.as_ref()), Some(Kind::StringValue(protocol)) if protocol == "h2")
}
