//! What was read, completed by what was saved of the parts that were not. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use outrigger_api::model::{Catalog, Instance, Service, ServicePort, ServiceState};

use crate::state::Part;

/// `read` with what `saved` has of the `unread` parts.
pub(super) fn fill(read: &Catalog, saved: &Catalog, unread: &[Part]) -> Catalog {
    let unread = Unread::of(unread);
    let mut whole = read.clone();
    for (host, before) in &saved.services {
        let cover = unread.cover(host);
        let stand_ins: Vec<Instance> = before
            .instances
            .iter()
            .filter(|instance| cover.has(&instance.locality))
            .cloned()
            .collect();
        match whole.services.get_mut(host) {
            Some(state) => add(state, &before.service, &cover, stand_ins),
            // A service with instances in other places only was given up where those were read.
            None if cover.is_empty() || stand_ins.is_empty() && !before.instances.is_empty() => {}
            None => {
                let mut state = before.clone();
                if stand_ins.len() < before.instances.len() {
                    state.instances = Arc::new(stand_ins);
                }
                whole.services.insert(host.clone(), state);
            }
        }
    }
    whole
}

/// The parts that were not read, by host.
struct Unread<'a> {
    of_all: Vec<&'a Part>,
    of_one: BTreeMap<&'a str, Vec<&'a Part>>,
}

impl<'a> Unread<'a> {
    fn of(parts: &'a [Part]) -> Unread<'a> {
        let mut unread = Unread {
            of_all: Vec::new(),
            of_one: BTreeMap::new(),
        };
        for part in parts {
            match &part.host {
                Some(host) => unread.of_one.entry(host).or_default().push(part),
                None => unread.of_all.push(part),
            }
        }
        unread
    }

    fn cover(&self, host: &str) -> Cover<'a> {
        let of_host = self.of_one.get(host).into_iter().flatten();
        let mut cover = Cover::default();
        for part in self.of_all.iter().chain(of_host) {
            match &part.locality {
                Some(locality) => drop(cover.localities.insert(locality.as_str())),
                None => cover.everywhere = true,
            }
        }
        cover
    }
}

/// Where instances of one host may be that were not read.
#[derive(Default)]
struct Cover<'a> {
    everywhere: bool,
    localities: BTreeSet<&'a str>,
}

impl Cover<'_> {
    fn has(&self, locality: &str) -> bool {
        self.everywhere || self.localities.contains(locality)
    }

    fn is_empty(&self) -> bool {
        !self.everywhere && self.localities.is_empty()
    }
}

/// Adds to a host that was read in one place what stands in for the other places. A part without a place is one that
/// holds hosts whole: what was read of this host is all of it then.
fn add(state: &mut ServiceState, before: &Service, cover: &Cover<'_>, stand_ins: Vec<Instance>) {
    if cover.everywhere || stand_ins.is_empty() || before.resolution != state.service.resolution {
        return;
    }
    let mut service = Service::clone(&state.service);
    let mut instances = state.instances.to_vec();
    let mut known: BTreeSet<(String, u16)> = instances
        .iter()
        .map(|instance| (instance.address.clone(), instance.port))
        .collect();
    for instance in stand_ins {
        if service.port(instance.service_port).is_none() {
            let Some(port) = before.port(instance.service_port) else {
                continue;
            };
            service.ports.push(named_apart(port, &service.ports));
        }
        if known.insert((instance.address.clone(), instance.port)) {
            instances.push(instance);
        }
    }
    service.ports.sort_by_key(|port| port.port);
    instances.sort();
    if service != *state.service {
        state.service = Arc::new(service);
    }
    state.instances = Arc::new(instances);
}

/// `port` under a name that none of `others` has.
fn named_apart(port: &ServicePort, others: &[ServicePort]) -> ServicePort {
    let mut port = port.clone();
    if others.iter().any(|other| other.name == port.name) {
        port.name = format!("{}-{}", port.protocol, port.port);
    }
    port
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::saved::tests::service;

    fn catalog(services: &[ServiceState]) -> Catalog {
        Catalog {
            services: services
                .iter()
                .map(|state| (state.service.host.clone(), state.clone()))
                .collect(),
        }
    }

    fn shown(catalog: &Catalog) -> Vec<String> {
        let states = catalog.services.iter();
        states
            .map(|(host, state)| {
                let addresses: Vec<&str> = state
                    .instances
                    .iter()
                    .map(|instance| instance.address.as_str())
                    .collect();
                format!("{host}: {}", addresses.join(" "))
            })
            .collect()
    }

    #[test]
    fn a_registry_that_was_not_read_at_all_is_as_it_was_saved() {
        let saved = catalog(&[service("a", 80, &[("10.0.0.1", "dc1")]), service("b", 80, &[])]);

        let whole = fill(&Catalog::default(), &saved, &[Part::all("consul")]);

        assert_eq!(whole, saved);
        assert_eq!(fill(&Catalog::default(), &saved, &[]), Catalog::default());
    }

    #[test]
    fn a_dead_datacenter_keeps_its_instances_and_the_other_is_as_it_is_now() {
        let saved = catalog(&[
            service("both", 80, &[("10.1.0.1", "dc1"), ("10.2.0.1", "dc2")]),
            service("gone", 80, &[("10.1.0.2", "dc1")]),
            service("second", 80, &[("10.2.0.3", "dc2")]),
        ]);
        let read = catalog(&[service("both", 80, &[("10.1.0.9", "dc1")])]);
        let dead = Part {
            locality: Some("dc2".into()),
            ..Part::all("datacenter dc2")
        };

        assert_eq!(
            shown(&fill(&read, &saved, &[dead])),
            ["both: 10.1.0.9 10.2.0.1", "second: 10.2.0.3"]
        );
    }

    #[test]
    fn instances_of_a_dead_datacenter_bring_their_port() {
        let saved = catalog(&[service("a", 81, &[("10.2.0.1", "dc2")])]);
        let read = catalog(&[service("a", 80, &[("10.1.0.1", "dc1")])]);
        let dead = Part {
            locality: Some("dc2".into()),
            ..Part::all("datacenter dc2")
        };

        let whole = fill(&read, &saved, &[dead]);

        let ports: Vec<(&str, u16)> = whole.services["a"]
            .service
            .ports
            .iter()
            .map(|port| (port.name.as_str(), port.port))
            .collect();
        assert_eq!(ports, [("http", 80), ("http-81", 81)]);
    }

    #[test]
    fn a_service_that_was_not_read_stands_and_another_that_left_the_list_does_not() {
        let saved = catalog(&[
            service("a", 80, &[("10.0.0.1", "dc1")]),
            service("left", 80, &[("10.0.0.2", "dc1")]),
        ]);
        let failing = Part {
            host: Some("a".into()),
            ..Part::all("service a")
        };

        assert_eq!(
            shown(&fill(&Catalog::default(), &saved, &[failing])),
            ["a: 10.0.0.1"]
        );
    }

    #[test]
    fn hosts_of_a_broken_file_stand_and_those_of_good_files_are_as_they_are_now() {
        let saved = catalog(&[
            service("broken", 80, &[("10.0.0.1", "")]),
            service("good", 80, &[("10.0.0.2", "")]),
        ]);
        let read = catalog(&[service("good", 80, &[("10.0.0.3", "")])]);

        assert_eq!(
            shown(&fill(&read, &saved, &[Part::all("1.yaml")])),
            ["broken: 10.0.0.1", "good: 10.0.0.3"]
        );
    }
}
