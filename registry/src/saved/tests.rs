//! What stands in after a restart, until when, and what is written down.

use super::*;
use std::sync::Arc;

use outrigger_api::model::{Instance, Labels, Protocol, Resolution, Service, ServicePort, ServiceState};

use crate::StaticRegistry;
use crate::state::Part;

const WAIT: Duration = Duration::from_secs(20);

/// A service with one HTTP port and these instances, `(address, locality)`.
pub(super) fn service(host: &str, port: u16, instances: &[(&str, &str)]) -> ServiceState {
    let instances = instances.iter().map(|(address, locality)| Instance {
        address: (*address).to_owned(),
        port,
        service_port: port,
        labels: Labels::default(),
        weight: 1,
        locality: (*locality).to_owned(),
        service_account: "default".into(),
        workload_id: String::new(),
    });
    ServiceState {
        service: Arc::new(Service {
            host: host.to_owned(),
            address: None,
            ports: vec![ServicePort {
                name: "http".into(),
                port,
                protocol: Protocol::Http,
            }],
            external: false,
            resolution: Resolution::Endpoints,
            namespace: "default".into(),
        }),
        instances: Arc::new(instances.collect()),
        registry: "consul".into(),
    }
}

pub(super) fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn catalog(hosts: &[&str]) -> Catalog {
    let services = hosts
        .iter()
        .map(|host| ((*host).to_owned(), service(host, 80, &[("10.0.0.1", "dc1")])));
    Catalog {
        services: services.collect(),
    }
}

pub(super) fn whole(hosts: &[&str], read_at: SystemTime) -> RegistryState {
    RegistryState {
        name: "consul".into(),
        catalog: catalog(hosts),
        synced: true,
        begun: true,
        last_success: Some(read_at),
        ..RegistryState::default()
    }
}

pub(super) fn dead() -> RegistryState {
    let mut state = RegistryState::unread("consul");
    state.last_error = Some("connection refused".into());
    for part in &mut state.unread {
        part.error = Some("connection refused".into());
    }
    state
}

pub(super) fn hosts(state: &RegistryState) -> Vec<&str> {
    state.catalog.services.keys().map(String::as_str).collect()
}

async fn until(
    registry: &RegistryHandle,
    what: impl FnMut(&Arc<RegistryState>) -> bool,
) -> Arc<RegistryState> {
    let mut state = registry.state.clone();
    let seen = tokio::time::timeout(WAIT, state.wait_for(what)).await;
    seen.expect("seen in time").unwrap().clone()
}

fn saver(written: Option<Saved>) -> Saver {
    Saver {
        path: PathBuf::from("/nowhere/consul.catalogue"),
        source: Source {
            registry: "consul".into(),
            origin: "here".into(),
        },
        written,
        failing: false,
    }
}

/// Keeps a registry that says `state` until its catalogue is in the file.
async fn save(folder: &Path, state: RegistryState) {
    let (_sender, receiver) = watch::channel(Arc::new(state));
    save_of(RegistryHandle::fed(receiver), folder).await;
}

/// The same with one that runs.
async fn save_of(registry: RegistryHandle, folder: &Path) {
    let state = registry.current();
    let _registry = keep(registry, folder, "here");
    let source = Source {
        registry: state.name.clone(),
        origin: "here".into(),
    };
    let path = folder.join(format!("{}.catalogue", state.name));
    let written = || matches!(file::read(&path, &source), Ok(Some(saved)) if saved.catalog == state.catalog);
    tokio::time::timeout(WAIT, async {
        while !written() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("written in time");
}

#[tokio::test]
async fn a_dead_registry_stands_as_it_was_read_before_the_restart_until_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    save(folder.path(), whole(&["a", "b"], at(1000))).await;

    let (sender, receiver) = watch::channel(Arc::new(dead()));
    let registry = keep(RegistryHandle::fed(receiver), folder.path(), "here");
    let restored = registry.current();
    assert_eq!(hosts(&restored), ["a", "b"]);
    assert_eq!((restored.restored, restored.synced), (Some(at(1000)), false));
    assert_eq!(
        restored.reading(at(1030)),
        "restored, read 30 s ago",
        "with its age"
    );
    assert!(restored.last_error.is_some() && restored.has_failed());

    sender.send_replace(Arc::new(whole(&["b"], at(1040))));
    let read = until(&registry, |state| state.synced).await;
    assert_eq!((hosts(&read), read.restored), (vec!["b"], None));

    // Once read it is never replaced by what was saved.
    sender.send_replace(Arc::new(whole(&[], at(1050))));
    until(&registry, |state| state.catalog.services.is_empty()).await;
}

#[tokio::test]
async fn a_file_that_was_broken_meanwhile_keeps_its_services_and_the_others_are_as_they_are_now() {
    let (folder, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let write = |file: &str, text: &str| std::fs::write(files.path().join(file), text).unwrap();
    write(
        "1.yaml",
        "- {host: a, ports: [{port: 80}]}\n- {host: gone, ports: [{port: 80}]}\n",
    );
    write("2.yaml", "- {host: b, ports: [{port: 80}]}\n");
    save_of(StaticRegistry::start("static", files.path()), folder.path()).await;

    write("1.yaml", "- {host: a, ports: [{port: 81}]}\n");
    write("2.yaml", "- {");
    let registry = keep(
        StaticRegistry::start("static", files.path()),
        folder.path(),
        "here",
    );
    let state = registry.current();
    assert!(state.is_read_in_part() && state.restored.is_some());
    assert!(state.unread[0].name.ends_with("2.yaml"), "{:?}", state.unread);
    assert_eq!(state.catalog.services["a"].service.ports[0].port, 81);
    // Which file had declared `gone` is not known: it stays until all files can be read.
    assert_eq!(hosts(&state), ["a", "b", "gone"]);

    write("2.yaml", "- {host: b, ports: [{port: 82}]}\n");
    let whole = until(&registry, |state| state.synced).await;
    assert_eq!(hosts(&whole), ["a", "b"]);
    assert_eq!(whole.catalog.services["b"].service.ports[0].port, 82);
}

#[tokio::test]
async fn what_was_saved_of_another_place_or_is_damaged_is_as_if_absent() {
    let folder = tempfile::tempdir().unwrap();
    save(folder.path(), whole(&["a"], at(1000))).await;
    let start = |origin: &str| {
        let (_, receiver) = watch::channel(Arc::new(dead()));
        keep(RegistryHandle::fed(receiver), folder.path(), origin).current()
    };
    assert_eq!(hosts(&start("here")), ["a"]);

    assert_eq!(*start("elsewhere"), dead());

    std::fs::write(folder.path().join("consul.catalogue"), "outrigger-catalogue 1 0").unwrap();
    assert_eq!(*start("here"), dead());
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let taken = folder.path().join("registries");
    std::fs::write(&taken, "a file").unwrap();
    let (sender, receiver) = watch::channel(Arc::new(whole(&["a"], at(1000))));

    let registry = keep(RegistryHandle::fed(receiver), &taken, "here");
    sender.send_replace(Arc::new(whole(&["a", "b"], at(1001))));

    until(&registry, |state| hosts(state) == ["a", "b"]).await;
}

#[test]
fn what_changed_is_written_and_the_time_of_a_reading_once_a_minute() {
    let fresh = saver(None);
    let written = Saved {
        catalog: catalog(&["a"]),
        read_at: at(1000),
    };
    let kept = saver(Some(written.clone()));
    let task = |saver: &Saver, state: &RegistryState| saver.task(state, at(5000));

    assert_eq!(task(&fresh, &whole(&["a"], at(1000))), Task::Write(written));
    assert_eq!(task(&kept, &whole(&["a"], at(1059))), Task::Nothing);
    assert_eq!(task(&kept, &whole(&["a"], at(1060))), Task::Stamp(at(1060)));
    assert!(matches!(task(&kept, &whole(&["b"], at(1001))), Task::Write(_)));
}

#[test]
fn a_reading_that_is_under_way_or_fails_is_not_written_and_one_in_part_is() {
    let kept = saver(Some(Saved {
        catalog: catalog(&["a"]),
        read_at: at(1000),
    }));
    let under_way = RegistryState {
        begun: true,
        unread: vec![Part::all("datacenter dc2")],
        synced: false,
        ..whole(&["b"], at(1001))
    };
    let mut in_part = RegistryState {
        last_success: None,
        ..under_way.clone()
    };
    in_part.unread = dead().unread;

    assert_eq!(kept.task(&dead(), at(5000)), Task::Nothing);
    assert_eq!(kept.task(&under_way, at(5000)), Task::Nothing);
    assert_eq!(
        kept.task(&in_part, at(5000)),
        Task::Write(Saved {
            catalog: catalog(&["b"]),
            read_at: at(5000),
        })
    );
}
