//! One catalogue out of several registries, in the order the operator declared them.
//!
//! The first registry that knows a host decides what the service is (ports, protocol, resolution); the
//! instances of all registries that know it are joined, as long as their service port exists; of two that name
//! the same address and port the first registry's stays. A registry that
//! fails keeps its last state, so it can never blank what others, or it itself, said before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::stream::{FuturesUnordered, StreamExt};
use outrigger_api::model::{Catalog, Instance, ServiceState};
use tokio::sync::watch;

use crate::state::{RegistryHandle, RegistryState};

/// All registries at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AggregateState {
    /// The joined catalogue. Parts that did not change share their `Arc`s with the state before.
    pub catalog: Catalog,
    /// What each registry says of itself, in declared order.
    pub registries: Vec<RegistryState>,
}

impl AggregateState {
    /// True once every registry was read at least once.
    pub fn synced(&self) -> bool {
        self.registries.iter().all(|registry| registry.synced)
    }
}

/// Joins registries and follows them.
#[derive(Debug)]
pub struct Aggregate;

impl Aggregate {
    /// Follows `registries`; position is precedence. Runs until every receiver is dropped, then stops the
    /// registries too. Must be called inside a tokio runtime.
    pub fn start(registries: Vec<RegistryHandle>) -> watch::Receiver<Arc<AggregateState>> {
        let first = join(&AggregateState::default(), snapshot(&registries));
        let (sender, receiver) = watch::channel(Arc::new(first));
        tokio::spawn(follow(registries, sender));
        receiver
    }
}

async fn follow(registries: Vec<RegistryHandle>, sender: watch::Sender<Arc<AggregateState>>) {
    let mut changes: FuturesUnordered<_> = registries
        .iter()
        .map(|registry| next_change(registry.state.clone()))
        .collect();
    // Between the first snapshot and this line something may have changed already.
    publish(&registries, &sender);
    loop {
        let state = tokio::select! {
            Some(changed) = changes.next() => changed,
            () = sender.closed() => return,
        };
        // A registry whose sender is gone keeps its last state and is not asked again.
        if let Some(state) = state {
            changes.push(next_change(state));
        }
        publish(&registries, &sender);
    }
}

async fn next_change(
    mut state: watch::Receiver<Arc<RegistryState>>,
) -> Option<watch::Receiver<Arc<RegistryState>>> {
    state.changed().await.ok()?;
    Some(state)
}

fn publish(registries: &[RegistryHandle], sender: &watch::Sender<Arc<AggregateState>>) {
    let states = snapshot(registries);
    sender.send_if_modified(|current| {
        let next = join(current, states);
        if next == **current {
            return false;
        }
        *current = Arc::new(next);
        true
    });
}

fn snapshot(registries: &[RegistryHandle]) -> Vec<Arc<RegistryState>> {
    registries.iter().map(RegistryHandle::current).collect()
}

/// The state after these readings. Pure; `before` only lends its `Arc`s.
pub fn join(before: &AggregateState, registries: Vec<Arc<RegistryState>>) -> AggregateState {
    let mut by_host: BTreeMap<&str, (&ServiceState, Vec<&ServiceState>)> = BTreeMap::new();
    for registry in &registries {
        for (host, state) in &registry.catalog.services {
            let known = by_host.entry(host);
            known
                .and_modify(|(_, others)| others.push(state))
                .or_insert_with(|| (state, Vec::new()));
        }
    }
    let services = by_host
        .into_iter()
        .map(|(host, (first, others))| {
            let before = before.catalog.services.get(host);
            (host.to_owned(), join_one(before, first, &others))
        })
        .collect();
    AggregateState {
        catalog: Catalog { services },
        registries: registries.iter().map(|registry| (**registry).clone()).collect(),
    }
}

/// `first` has precedence over the `others`.
fn join_one(before: Option<&ServiceState>, first: &ServiceState, others: &[&ServiceState]) -> ServiceState {
    let mut joined = first.clone();
    if !others.is_empty() {
        let mut seen = BTreeSet::new();
        let mut instances: Vec<Instance> = std::iter::once(&first)
            .chain(others)
            .flat_map(|state| state.instances.iter())
            .filter(|instance| joined.service.port(instance.service_port).is_some())
            .filter(|instance| seen.insert((&instance.address, instance.port, instance.service_port)))
            .cloned()
            .collect();
        instances.sort();
        joined.instances = Arc::new(instances);
    }
    if let Some(before) = before {
        if before.service == joined.service {
            joined.service = Arc::clone(&before.service);
        }
        if before.instances == joined.instances {
            joined.instances = Arc::clone(&before.instances);
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;
    use outrigger_api::model::{Labels, Protocol, Resolution, Service, ServicePort};
    use std::time::{Duration, SystemTime};

    fn service(
        registry: &str,
        host: &str,
        port: u16,
        protocol: Protocol,
        addresses: &[&str],
    ) -> ServiceState {
        ServiceState {
            service: Arc::new(Service {
                host: host.into(),
                address: None,
                ports: vec![ServicePort {
                    name: protocol.to_string(),
                    port,
                    protocol,
                }],
                external: false,
                resolution: Resolution::Endpoints,
                namespace: "default".into(),
            }),
            instances: Arc::new(
                addresses
                    .iter()
                    .map(|&address| Instance {
                        address: address.into(),
                        port,
                        service_port: port,
                        labels: Labels::default(),
                        weight: 1,
                        locality: String::new(),
                        service_account: "default".into(),
                        workload_id: String::new(),
                    })
                    .collect(),
            ),
            registry: registry.into(),
        }
    }

    fn registry(name: &str, services: Vec<ServiceState>) -> Arc<RegistryState> {
        Arc::new(RegistryState {
            name: name.into(),
            catalog: Catalog {
                services: services
                    .into_iter()
                    .map(|state| (state.service.host.clone(), state))
                    .collect(),
            },
            synced: true,
            ..RegistryState::default()
        })
    }

    fn addresses(state: &AggregateState, host: &str) -> Vec<String> {
        state.catalog.services[host]
            .instances
            .iter()
            .map(|instance| instance.address.clone())
            .collect()
    }

    #[test]
    fn the_first_registry_decides_and_instances_are_joined() {
        let first = registry(
            "static",
            vec![service("static", "a", 80, Protocol::Http, &["10.0.0.2"])],
        );
        let second = registry(
            "consul",
            vec![
                service("consul", "a", 80, Protocol::Tcp, &["10.0.0.1", "10.0.0.2"]),
                service("consul", "b", 81, Protocol::Tcp, &["10.0.0.3"]),
            ],
        );

        let joined = join(&AggregateState::default(), vec![first, second]);

        assert_eq!(
            joined.catalog.services["a"].service.ports[0].protocol,
            Protocol::Http
        );
        assert_eq!(joined.catalog.services["a"].registry, "static");
        assert_eq!(addresses(&joined, "a"), ["10.0.0.1", "10.0.0.2"]);
        assert_eq!(addresses(&joined, "b"), ["10.0.0.3"]);
    }

    #[test]
    fn an_instance_behind_a_port_that_the_first_registry_does_not_know_is_left_out() {
        let first = registry(
            "static",
            vec![service("static", "a", 80, Protocol::Http, &["10.0.0.1"])],
        );
        let second = registry(
            "consul",
            vec![service("consul", "a", 81, Protocol::Http, &["10.0.0.2"])],
        );

        let joined = join(&AggregateState::default(), vec![first, second]);

        assert_eq!(addresses(&joined, "a"), ["10.0.0.1"]);
    }

    #[test]
    fn what_did_not_change_is_shared_with_the_state_before() {
        let states = || {
            vec![
                registry(
                    "static",
                    vec![service("static", "a", 80, Protocol::Http, &["10.0.0.1"])],
                ),
                registry(
                    "consul",
                    vec![service("consul", "a", 80, Protocol::Http, &["10.0.0.2"])],
                ),
            ]
        };
        let before = join(&AggregateState::default(), states());

        let after = join(&before, states());

        let (old, new) = (&before.catalog.services["a"], &after.catalog.services["a"]);
        assert!(Arc::ptr_eq(&old.service, &new.service) && Arc::ptr_eq(&old.instances, &new.instances));
    }

    #[tokio::test]
    async fn a_failing_registry_blanks_neither_itself_nor_others() {
        let (good, good_state) = watch::channel(registry(
            "static",
            vec![service("static", "a", 80, Protocol::Http, &["10.0.0.1"])],
        ));
        let (bad, bad_state) = watch::channel(registry(
            "consul",
            vec![service("consul", "b", 80, Protocol::Http, &["10.0.0.2"])],
        ));
        let mut joined = Aggregate::start(vec![
            RegistryHandle::fed(good_state),
            RegistryHandle::fed(bad_state),
        ]);

        bad.send_modify(|state| {
            let failed = Arc::make_mut(state);
            failed.stale_since = Some(SystemTime::UNIX_EPOCH);
            failed.last_error = Some("connection refused".into());
        });
        drop(bad);
        let state = joined
            .wait_for(|state| state.registries[1].last_error.is_some())
            .await
            .unwrap()
            .clone();
        assert_eq!(addresses(&state, "a"), ["10.0.0.1"]);
        assert_eq!(addresses(&state, "b"), ["10.0.0.2"]);

        good.send(registry(
            "static",
            vec![service("static", "a", 80, Protocol::Http, &["10.0.0.9"])],
        ))
        .unwrap();
        let moved = tokio::time::timeout(
            Duration::from_secs(5),
            joined.wait_for(|state| addresses(state, "a") == ["10.0.0.9"]),
        )
        .await
        .expect("the living registry is still followed")
        .unwrap();
        assert_eq!(addresses(&moved, "b"), ["10.0.0.2"]);
    }

    #[tokio::test]
    async fn dropping_the_last_receiver_stops_the_registries() {
        let (sender, state) = watch::channel(registry("static", vec![]));
        let joined = Aggregate::start(vec![RegistryHandle::fed(state)]);

        drop(joined);

        tokio::time::timeout(Duration::from_secs(5), sender.closed())
            .await
            .expect("the aggregate let its registry go");
    }
}
