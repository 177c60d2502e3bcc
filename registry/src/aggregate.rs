//! One catalogue out of several registries, in the order the operator declared them.
//!
//! The first registry that knows a host decides what the service is (ports, protocol, resolution); the
//! instances of all registries that know it are joined, as long as they fit that: their service port exists, and
//! they have an address where the service has addresses. What does not fit is left out with a warning. Of two that
//! name the same address and port the first registry's stays. A registry that fails keeps its last state, so it can
//! never blank what others, or it itself, said before.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use futures_util::stream::{FuturesUnordered, StreamExt};
use outrigger_api::model::{Catalog, Instance, Resolution, ServiceState};
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
    let mut by_host: BTreeMap<&str, Vec<Said<'_>>> = BTreeMap::new();
    for (registry, state) in registries.iter().enumerate() {
        for (host, state) in &state.catalog.services {
            by_host.entry(host).or_default().push(Said { registry, state });
        }
    }
    let mut left_out = Vec::new();
    let mut services = BTreeMap::new();
    for (host, said) in by_host {
        if let Some((first, others)) = said.split_first() {
            let before = before.catalog.services.get(host);
            services.insert(host.to_owned(), join_one(before, first, others, &mut left_out));
        }
    }
    let mut states: Vec<RegistryState> = registries.iter().map(|registry| (**registry).clone()).collect();
    for LeftOut { registry, warning } in left_out {
        if let Some(state) = states.get_mut(registry) {
            state.warnings.push(warning);
        }
    }
    AggregateState {
        catalog: Catalog { services },
        registries: states,
    }
}

/// What one registry says of a host.
#[derive(Clone, Copy)]
struct Said<'a> {
    /// Its position.
    registry: usize,
    state: &'a ServiceState,
}

/// That something a registry says does not count.
struct LeftOut {
    registry: usize,
    warning: String,
}

/// `first` has precedence over the `others`.
fn join_one(
    before: Option<&ServiceState>,
    first: &Said<'_>,
    others: &[Said<'_>],
    left_out: &mut Vec<LeftOut>,
) -> ServiceState {
    let mut joined = first.state.clone();
    if !others.is_empty() {
        let mut seen = BTreeSet::new();
        let mut instances: Vec<Instance> = Vec::new();
        for said in std::iter::once(first).chain(others) {
            let (fitting, misfits): (Vec<&Instance>, Vec<&Instance>) = said
                .state
                .instances
                .iter()
                .partition(|instance| misfit(&joined, instance).is_none());
            let new = fitting
                .into_iter()
                .filter(|instance| seen.insert((&instance.address, instance.port, instance.service_port)));
            instances.extend(new.cloned());
            if let Some(why) = misfits.first().and_then(|instance| misfit(&joined, instance)) {
                let (host, count) = (&joined.service.host, misfits.len());
                left_out.push(LeftOut {
                    registry: said.registry,
                    warning: format!("{host}: {count} of its instances left out: {why}"),
                });
            }
        }
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

/// Why an instance cannot be one of the service that the first registry describes.
fn misfit(service: &ServiceState, instance: &Instance) -> Option<String> {
    let Instance {
        address,
        port,
        service_port,
        ..
    } = instance;
    let registry = &service.registry;
    if service.service.port(*service_port).is_none() {
        return Some(format!(
            "{address}:{port} is behind port {service_port}, which {registry} does not give the service"
        ));
    }
    let is_name = address.parse::<IpAddr>().is_err();
    (is_name && service.service.resolution == Resolution::Endpoints).then(|| {
        format!("{address}:{port} is a name, and {registry} gives the service instances with addresses")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use outrigger_api::model::{Labels, Protocol, Service, ServicePort};
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
        assert_eq!(
            joined.registries[1].warnings,
            [
                "a: 1 of its instances left out: 10.0.0.2:81 is behind port 81, which static does not give the service"
            ]
        );
    }

    #[test]
    fn a_name_among_addresses_is_left_out_and_an_address_among_names_is_not() {
        let by_address = || service("consul", "a", 80, Protocol::Http, &["10.0.0.1"]);
        let by_name = || {
            let mut state = service("static", "a", 80, Protocol::Http, &["a.example.com"]);
            Arc::make_mut(&mut state.service).resolution = Resolution::Dns;
            state
        };
        let joined = |first: ServiceState, second: ServiceState| {
            let registries = vec![
                registry(&first.registry.clone(), vec![first]),
                registry(&second.registry.clone(), vec![second]),
            ];
            join(&AggregateState::default(), registries)
        };

        let addressed = joined(by_address(), by_name());
        assert_eq!(addresses(&addressed, "a"), ["10.0.0.1"]);
        assert_eq!(
            addressed.registries[1].warnings,
            [
                "a: 1 of its instances left out: a.example.com:80 is a name, and consul gives the service instances with addresses"
            ]
        );
        let named = joined(by_name(), by_address());
        assert_eq!(addresses(&named, "a"), ["10.0.0.1", "a.example.com"]);
        assert!(
            named
                .registries
                .iter()
                .all(|registry| registry.warnings.is_empty())
        );
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
