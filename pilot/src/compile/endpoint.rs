//! Load assignments: which instances stand behind one cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use outrigger_api::model::{Instance, Labels};
use outrigger_xds::pb::envoy::config::core::v3::{HealthStatus, Locality};
use outrigger_xds::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use outrigger_xds::pb::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints,
};
use outrigger_xds::pb::google::protobuf::UInt32Value;

use super::encode::socket_address;
use crate::dialect::Dialect;

/// The addresses of which it is proven that a connected sidecar listens there for HTTP.
pub type Peers = BTreeSet<SocketAddr>;

/// Endpoints of `port` whose labels are a superset of `labels`. A cluster without any is still given out, empty:
/// a proxy would wait for it otherwise. `peers` is `None` for readers that take no marks.
pub(crate) fn load_assignment(
    cluster: &str,
    port: u16,
    labels: &Labels,
    instances: &[Instance],
    peers: Option<&Peers>,
) -> ClusterLoadAssignment {
    let mut localities: BTreeMap<&str, Vec<LbEndpoint>> = BTreeMap::new();
    for instance in chosen(instances, port, labels) {
        localities
            .entry(&instance.locality)
            .or_default()
            .push(endpoint(instance, peers));
    }
    let mut endpoints: Vec<_> = localities
        .into_iter()
        .map(|(name, list)| locality(name, list))
        .collect();
    scale(&mut endpoints);
    ClusterLoadAssignment {
        cluster_name: cluster.to_owned(),
        endpoints,
        ..ClusterLoadAssignment::default()
    }
}

/// The instances of one version of a service port.
pub(crate) fn chosen<'a>(
    instances: &'a [Instance],
    port: u16,
    labels: &'a Labels,
) -> impl Iterator<Item = &'a Instance> {
    instances
        .iter()
        .filter(move |instance| instance.service_port == port && labels.is_subset_of(&instance.labels))
}

/// Where an instance is advertised; `None` for a name.
pub(crate) fn socket(instance: &Instance) -> Option<SocketAddr> {
    let address: IpAddr = instance.address.parse().ok()?;
    Some(SocketAddr::new(address, instance.port))
}

/// True when a sidecar is proven to stand where this instance is advertised.
pub(crate) fn is_peer(instance: &Instance, peers: &Peers) -> bool {
    socket(instance).is_some_and(|address| peers.contains(&address))
}

fn endpoint(instance: &Instance, peers: Option<&Peers>) -> LbEndpoint {
    let marked = peers.is_some_and(|peers| is_peer(instance, peers));
    LbEndpoint {
        health_status: HealthStatus::Healthy as i32,
        metadata: marked.then(Dialect::mesh_mark),
        load_balancing_weight: Some(UInt32Value {
            value: instance.weight.max(1),
        }),
        host_identifier: Some(HostIdentifier::Endpoint(Endpoint {
            address: Some(socket_address(&instance.address, instance.port)),
            ..Endpoint::default()
        })),
    }
}

fn locality(name: &str, lb_endpoints: Vec<LbEndpoint>) -> LocalityLbEndpoints {
    let mut parts = name.splitn(3, '/').map(str::to_owned);
    let weight = lb_endpoints
        .iter()
        .filter_map(|endpoint| endpoint.load_balancing_weight)
        .fold(0u32, |sum, weight| sum.saturating_add(weight.value));
    LocalityLbEndpoints {
        locality: Some(Locality {
            region: parts.next().unwrap_or_default(),
            zone: parts.next().unwrap_or_default(),
            sub_zone: parts.next().unwrap_or_default(),
        }),
        lb_endpoints,
        load_balancing_weight: Some(UInt32Value { value: weight }),
        ..LocalityLbEndpoints::default()
    }
}

/// Brings locality weights into 1..=128, keeping their proportion (`spec/traffic-v1alpha3.md` §9).
fn scale(localities: &mut [LocalityLbEndpoints]) {
    const MOST: u64 = 128;
    let weights = localities
        .iter()
        .filter_map(|locality| locality.load_balancing_weight);
    let heaviest = u64::from(weights.map(|weight| weight.value).max().unwrap_or(0));
    if heaviest <= MOST {
        return;
    }
    for weight in localities
        .iter_mut()
        .filter_map(|locality| locality.load_balancing_weight.as_mut())
    {
        let scaled = (u64::from(weight.value) * MOST).div_ceil(heaviest);
        weight.value = u32::try_from(scaled.max(1)).unwrap_or(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(address: &str, version: &str, locality: &str, weight: u32) -> Instance {
        Instance {
            address: address.into(),
            port: 19080,
            service_port: 9080,
            labels: [("version", version)].into_iter().collect(),
            weight,
            locality: locality.into(),
            service_account: String::new(),
            workload_id: String::new(),
        }
    }

    #[test]
    fn only_instances_with_all_labels_of_the_right_port_are_listed_by_locality() {
        let mut other_port = instance("10.0.0.9", "v1", "", 1);
        other_port.service_port = 9090;
        let instances = [
            instance("10.0.0.1", "v1", "eu/a", 1),
            instance("10.0.0.2", "v2", "eu/a", 1),
            instance("10.0.0.3", "v1", "eu/b", 3),
            other_port,
        ];
        let v1 = [("version", "v1")].into_iter().collect();

        let assignment = load_assignment("c", 9080, &v1, &instances, None);

        let zones: Vec<_> = assignment
            .endpoints
            .iter()
            .map(|l| {
                (
                    l.locality.clone().unwrap().zone,
                    l.lb_endpoints.len(),
                    l.load_balancing_weight.unwrap().value,
                )
            })
            .collect();
        assert_eq!(zones, [("a".to_owned(), 1, 1), ("b".to_owned(), 1, 3)]);
    }

    #[test]
    fn only_a_proven_sidecar_is_marked_and_only_for_readers_of_marks() {
        let instances = [
            instance("10.0.0.1", "v1", "", 1),
            instance("10.0.0.2", "v1", "", 1),
        ];
        let peers = Peers::from(["10.0.0.1:19080".parse().unwrap()]);
        let marks = |peers| -> Vec<bool> {
            load_assignment("c", 9080, &Labels::default(), &instances, peers).endpoints[0]
                .lb_endpoints
                .iter()
                .map(|endpoint| endpoint.metadata.is_some())
                .collect()
        };

        assert_eq!(marks(Some(&peers)), [true, false]);
        assert_eq!(marks(None), [false, false]);
    }

    #[test]
    fn heavy_localities_are_scaled_to_128() {
        let instances = [
            instance("10.0.0.1", "v1", "a", 1000),
            instance("10.0.0.2", "v1", "b", 10),
        ];

        let assignment = load_assignment("c", 9080, &Labels::default(), &instances, None);

        let weights: Vec<_> = assignment
            .endpoints
            .iter()
            .map(|l| l.load_balancing_weight.unwrap().value)
            .collect();
        assert_eq!(weights, [128, 2]);
    }
}
