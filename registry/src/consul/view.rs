//! What is known of Consul, and whether to believe what comes next. Readings in, a catalogue out, pure.
//!
//! A reading is believed unless it takes more than half of all instances away, or says that a service which
//! the list still names has no registration at all: then a second reading must agree
//! (`spec/reliability.md` P7). A service on the list is kept with its ports while all its instances are sick.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use outrigger_api::model::{Catalog, ServiceState};

use super::mapping::{self, Registration, Warnings};
use super::query::Key;
use super::settings::Settings;
use super::wire::{HealthEntry, Services};
use crate::vanish::{Losses, Verdict};

/// Everything read so far.
#[derive(Debug)]
pub(super) struct View {
    registry: String,
    datacenters: Vec<Datacenter>,
    /// Service names that share a host: those that differ in case only.
    names: BTreeMap<String, BTreeSet<String>>,
    catalog: Catalog,
    host_warnings: BTreeMap<String, Warnings>,
    losses: Losses,
}

#[derive(Debug, Default)]
struct Datacenter {
    listed: bool,
    /// Services on the list; `None` until their health was read.
    services: BTreeMap<String, Option<Known>>,
    /// Names on the list that cannot be hosts.
    skipped: Warnings,
}

#[derive(Debug)]
struct Known {
    host: String,
    registrations: Vec<Registration>,
    warnings: Warnings,
}

/// What a list of services asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ListChange {
    /// Services to watch from now on.
    pub(super) start: Vec<String>,
    /// Services not to watch any more.
    pub(super) stop: Vec<String>,
    /// Services that are gone from the list and kept until a second reading says so too.
    pub(super) doubted: bool,
}

impl View {
    pub(super) fn new(registry: &str, datacenters: usize) -> View {
        View {
            registry: registry.to_owned(),
            datacenters: (0..datacenters).map(|_| Datacenter::default()).collect(),
            names: BTreeMap::new(),
            catalog: Catalog::default(),
            host_warnings: BTreeMap::new(),
            losses: Losses::default(),
        }
    }

    /// The catalogue now.
    pub(super) fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// The lists, and the services on them, that were not read yet.
    pub(super) fn unread(&self) -> Vec<Key> {
        let mut unread = Vec::new();
        for (position, datacenter) in self.datacenters.iter().enumerate() {
            if !datacenter.listed {
                unread.push(Key::List(position));
            }
            let services = datacenter.services.iter();
            unread.extend(
                services
                    .filter(|(_, known)| known.is_none())
                    .map(|(service, _)| Key::Health(position, service.clone())),
            );
        }
        unread
    }

    /// True once a list and a service on it were read, or a list with none.
    pub(super) fn begun(&self) -> bool {
        self.datacenters.iter().any(|datacenter| {
            let mut services = datacenter.services.values();
            datacenter.listed && (datacenter.services.is_empty() || services.any(Option::is_some))
        })
    }

    /// Everything that was skipped or guessed, sorted.
    pub(super) fn warnings(&self) -> Vec<String> {
        let of_services = self.datacenters.iter().flat_map(|datacenter| {
            let known = datacenter.services.values().flatten();
            datacenter
                .skipped
                .iter()
                .chain(known.flat_map(|known| &known.warnings))
        });
        let all: BTreeSet<&String> = of_services.chain(self.host_warnings.values().flatten()).collect();
        all.into_iter().cloned().collect()
    }

    /// Takes a list of services. New names are taken in any case; lost ones when believed.
    pub(super) fn list(
        &mut self,
        datacenter: usize,
        services: &Services,
        settings: &Settings,
        confirmed: bool,
        now: Instant,
    ) -> ListChange {
        let mut skipped = Warnings::new();
        let mut listed = BTreeSet::new();
        for name in services
            .keys()
            .filter(|name| !mapping::is_skipped(name, settings))
        {
            match mapping::host(name, settings) {
                Ok(_) => {
                    listed.insert(name.as_str());
                }
                Err(warning) => {
                    skipped.insert(warning);
                }
            }
        }
        let present = self.present();
        let Some(known) = self.datacenters.get_mut(datacenter) else {
            return ListChange::default();
        };
        known.listed = true;
        known.skipped = skipped;
        let start: Vec<String> = listed
            .iter()
            .filter(|name| !known.services.contains_key(**name))
            .map(ToString::to_string)
            .collect();
        let gone: Vec<String> = known
            .services
            .keys()
            .filter(|name| !listed.contains(name.as_str()))
            .cloned()
            .collect();
        let lost = gone
            .iter()
            .filter_map(|name| known.services.get(name)?.as_ref())
            .map(Known::healthy)
            .sum();
        known
            .services
            .extend(start.iter().map(|name| (name.clone(), None)));
        if self.losses.judge(lost, present, confirmed, now) == Verdict::Confirm {
            return ListChange {
                start,
                stop: Vec::new(),
                doubted: true,
            };
        }
        for name in &gone {
            self.forget(datacenter, name);
        }
        ListChange {
            start,
            stop: gone,
            doubted: false,
        }
    }

    /// Takes the registrations of one service.
    pub(super) fn health(
        &mut self,
        datacenter: usize,
        service: &str,
        entries: &[HealthEntry],
        settings: &Settings,
        confirmed: bool,
        now: Instant,
    ) -> Verdict {
        let Ok(host) = mapping::host(service, settings) else {
            return Verdict::Believe;
        };
        let mut warnings = Warnings::new();
        let registrations: Vec<Registration> = entries
            .iter()
            .filter_map(|entry| mapping::registration(entry, settings, &mut warnings))
            .collect();
        let next = Known {
            host: host.clone(),
            registrations,
            warnings,
        };
        let present = self.present();
        // A service that left the list meanwhile stays away.
        let Some(slot) = self
            .datacenters
            .get_mut(datacenter)
            .and_then(|known| known.services.get_mut(service))
        else {
            return Verdict::Believe;
        };
        if let Some(before) = slot {
            let lost = before.healthy().saturating_sub(next.healthy());
            let emptied = !before.registrations.is_empty() && entries.is_empty();
            if emptied && !confirmed {
                return Verdict::Confirm;
            }
            if self.losses.judge(lost, present, confirmed, now) == Verdict::Confirm {
                return Verdict::Confirm;
            }
        }
        *slot = Some(next);
        self.names
            .entry(host.clone())
            .or_default()
            .insert(service.to_owned());
        self.rebuild(&host);
        Verdict::Believe
    }

    fn forget(&mut self, datacenter: usize, service: &str) {
        let Some(known) = self.datacenters.get_mut(datacenter) else {
            return;
        };
        if let Some(Some(gone)) = known.services.remove(service) {
            self.rebuild(&gone.host);
        }
    }

    /// Healthy instances now known.
    fn present(&self) -> usize {
        self.datacenters
            .iter()
            .flat_map(|datacenter| datacenter.services.values().flatten())
            .map(Known::healthy)
            .sum()
    }

    /// Makes the catalogue's entry of one host anew; what is equal keeps its `Arc`.
    fn rebuild(&mut self, host: &str) {
        let mut warnings = Warnings::new();
        let datacenters = &self.datacenters;
        if let Some(names) = self.names.get_mut(host) {
            names.retain(|name| {
                datacenters
                    .iter()
                    .any(|known| matches!(known.services.get(name), Some(Some(_))))
            });
            if names.len() > 1 {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                warnings.insert(format!("services {} share host {host}", names.join(" and ")));
            }
        }
        let names = self.names.get(host).into_iter().flatten();
        let registrations = datacenters.iter().flat_map(|known| {
            let of_host = names
                .clone()
                .filter_map(|name| known.services.get(name)?.as_ref());
            of_host.flat_map(|known| &known.registrations)
        });
        let built = mapping::service(host, registrations, &mut warnings);
        if self.names.get(host).is_some_and(BTreeSet::is_empty) {
            self.names.remove(host);
        }
        let Some((service, instances)) = built else {
            self.catalog.services.remove(host);
            self.host_warnings.remove(host);
            return;
        };
        let before = self.catalog.services.get(host);
        let state = ServiceState {
            service: match before {
                Some(before) if *before.service == service => Arc::clone(&before.service),
                _ => Arc::new(service),
            },
            instances: match before {
                Some(before) if *before.instances == instances => Arc::clone(&before.instances),
                _ => Arc::new(instances),
            },
            registry: self.registry.clone(),
        };
        self.catalog.services.insert(host.to_owned(), state);
        self.host_warnings.insert(host.to_owned(), warnings);
    }
}

impl Known {
    fn healthy(&self) -> usize {
        self.registrations
            .iter()
            .filter(|registration| registration.healthy)
            .count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    struct Script {
        view: View,
        settings: Settings,
        now: Instant,
    }

    impl Script {
        fn new(datacenters: usize) -> Script {
            Script {
                view: View::new("consul", datacenters),
                settings: Settings::default(),
                now: Instant::now(),
            }
        }

        fn list(&mut self, datacenter: usize, names: &[&str], confirmed: bool) -> ListChange {
            let services = names
                .iter()
                .map(|name| ((*name).to_owned(), serde::de::IgnoredAny))
                .collect();
            self.view
                .list(datacenter, &services, &self.settings, confirmed, self.now)
        }

        fn health(&mut self, datacenter: usize, service: &str, states: &[&str], confirmed: bool) -> Verdict {
            let entries: Vec<HealthEntry> = states
                .iter()
                .enumerate()
                .map(|(number, status)| {
                    serde_json::from_value(json!({
                        "Node": {"Address": format!("10.{datacenter}.0.{number}"), "Datacenter": format!("dc{datacenter}")},
                        "Service": {"ID": format!("{service}-{number}"), "Service": service, "Port": 80},
                        "Checks": [{"Status": status}],
                    }))
                    .unwrap()
                })
                .collect();
            self.view
                .health(datacenter, service, &entries, &self.settings, confirmed, self.now)
        }

        fn instances(&self, host: &str) -> Option<usize> {
            Some(self.view.catalog().services.get(host)?.instances.len())
        }
    }

    const OK: &str = "passing";
    const SICK: &str = "critical";

    #[test]
    fn it_is_synced_when_every_listed_service_was_read() {
        let mut script = Script::new(1);
        assert!(!script.view.unread().is_empty() && !script.view.begun());

        let change = script.list(0, &["consul", "a", "b_b", "c"], false);
        assert_eq!(change.start, ["a", "c"]);
        assert!(!script.view.unread().is_empty() && !script.view.begun());
        script.health(0, "a", &[OK], false);
        script.health(0, "c", &[OK], false);

        assert!(script.view.unread().is_empty() && script.view.begun());
        assert_eq!(script.view.warnings().len(), 1, "b_b cannot be a host");
    }

    #[test]
    fn a_sick_service_keeps_its_ports_and_loses_its_instances() {
        let mut script = Script::new(1);
        script.list(0, &["a", "b"], false);
        script.health(0, "a", &[OK], false);
        script.health(0, "b", &[OK, OK], false);

        assert_eq!(script.health(0, "a", &[SICK], false), Verdict::Believe);

        assert_eq!(script.instances("a.service.consul"), Some(0));
        assert_eq!(
            script.view.catalog().services["a.service.consul"]
                .service
                .ports
                .len(),
            1
        );
    }

    #[test]
    fn a_service_without_any_registration_needs_a_second_reading() {
        let mut script = Script::new(1);
        script.list(0, &["a", "b"], false);
        script.health(0, "a", &[OK], false);
        script.health(0, "b", &[OK, OK, OK], false);

        assert_eq!(script.health(0, "a", &[], false), Verdict::Confirm);
        assert_eq!(script.instances("a.service.consul"), Some(1));
        assert_eq!(script.health(0, "a", &[], true), Verdict::Believe);
        assert_eq!(script.instances("a.service.consul"), None);
    }

    #[test]
    fn more_than_half_gone_needs_a_second_reading_in_health_and_list_alike() {
        let mut script = Script::new(1);
        script.list(0, &["a", "b"], false);
        script.health(0, "a", &[OK], false);
        script.health(0, "b", &[OK, OK, OK], false);

        assert_eq!(
            script.health(0, "b", &[SICK, SICK, SICK], false),
            Verdict::Confirm
        );
        let change = script.list(0, &["a", "new"], false);
        assert_eq!(
            change,
            ListChange {
                start: vec!["new".into()],
                stop: vec![],
                doubted: true
            }
        );
        assert_eq!(script.instances("b.service.consul"), Some(3));

        let change = script.list(0, &["a", "new"], true);
        assert_eq!(
            change,
            ListChange {
                start: vec![],
                stop: vec!["b".into()],
                doubted: false
            }
        );
        assert_eq!(script.instances("b.service.consul"), None);
    }

    #[test]
    fn one_service_of_many_leaves_the_list_at_once() {
        let mut script = Script::new(1);
        script.list(0, &["a", "b", "c"], false);
        for service in ["a", "b", "c"] {
            script.health(0, service, &[OK], false);
        }

        let change = script.list(0, &["a", "b"], false);

        assert_eq!(change.stop, ["c"]);
        assert_eq!(script.instances("c.service.consul"), None);
        assert_eq!(
            script.health(0, "c", &[OK], false),
            Verdict::Believe,
            "an answer that comes late"
        );
        assert_eq!(script.instances("c.service.consul"), None);
    }

    #[test]
    fn datacenters_are_joined_and_one_can_lose_a_service_alone() {
        let mut script = Script::new(2);
        for datacenter in 0..2 {
            script.list(datacenter, &["a", "b"], false);
            script.health(datacenter, "a", &[OK], false);
            script.health(datacenter, "b", &[OK], false);
        }
        let localities: Vec<_> = script.view.catalog().services["a.service.consul"]
            .instances
            .iter()
            .map(|instance| instance.locality.clone())
            .collect();
        assert_eq!(localities, ["dc0", "dc1"]);

        script.list(1, &["b"], false);

        assert_eq!(script.instances("a.service.consul"), Some(1));
        assert_eq!(script.instances("b.service.consul"), Some(2));
    }

    #[test]
    fn names_that_differ_in_case_share_a_host_with_a_warning() {
        let mut script = Script::new(1);
        script.list(0, &["Web", "web", "x"], false);
        script.health(0, "Web", &[OK], false);
        script.health(0, "web", &[OK, OK], false);
        script.health(0, "x", &[OK, OK], false);

        assert_eq!(script.instances("web.service.consul"), Some(3));
        assert_eq!(
            script.view.warnings(),
            ["services Web and web share host web.service.consul"]
        );

        script.list(0, &["web", "x"], false);
        assert_eq!(script.instances("web.service.consul"), Some(2));
        assert!(script.view.warnings().is_empty());
    }

    #[test]
    fn an_equal_reading_keeps_the_arcs() {
        let mut script = Script::new(1);
        script.list(0, &["a"], false);
        script.health(0, "a", &[OK], false);
        let before = script.view.catalog().clone();

        script.health(0, "a", &[OK], false);

        let (old, new) = (
            &before.services["a.service.consul"],
            &script.view.catalog().services["a.service.consul"],
        );
        assert!(Arc::ptr_eq(&old.service, &new.service) && Arc::ptr_eq(&old.instances, &new.instances));
    }
}
