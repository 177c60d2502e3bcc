//! A pilot that starts while a registry, or a part of one, cannot be read.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use outrigger_registry::consul::{ConsulRegistry, Settings};
use outrigger_registry::{RegistryHandle, RegistryState, StaticRegistry, saved};
use outrigger_xds::TypeUrl;
use outrigger_xds::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use prost::Message;
use serde_json::Value;
use tokio::sync::watch;

use super::mesh::{Mesh, Proxy, get, services, within};
use super::{PRODUCTPAGE, REVIEWS};

const LONG: Duration = Duration::from_secs(600);
const ORIGIN: &str = "http://127.0.0.1:1";

/// Leaves in `folder` what a pilot keeps that had read the catalogue of the bookinfo from Consul.
async fn run_before(folder: &Path) {
    let mut catalog = super::bookinfo();
    for state in catalog.services.values_mut() {
        state.registry = "consul".into();
    }
    let state = RegistryState {
        name: "consul".into(),
        catalog,
        synced: true,
        begun: true,
        last_success: Some(SystemTime::now() - Duration::from_secs(100)),
        ..RegistryState::default()
    };
    let (_sender, receiver) = watch::channel(Arc::new(state));
    let _kept = saved::keep(RegistryHandle::fed(receiver), folder, ORIGIN);
    within("the saved catalogue", async {
        while !folder.join("consul.catalogue").exists() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// A Consul that nobody serves.
fn dead_consul() -> RegistryHandle {
    let settings = Settings {
        address: ORIGIN.into(),
        ..Settings::default()
    };
    ConsulRegistry::start(settings).unwrap()
}

fn static_services(files: &Path) -> RegistryHandle {
    StaticRegistry::start("static", files)
}

fn hosts(page: &Value) -> Vec<&str> {
    let entries = page.as_array().into_iter().flatten();
    entries.filter_map(|entry| entry["hostname"].as_str()).collect()
}

#[tokio::test]
async fn a_dead_registry_is_given_out_as_it_was_before_the_restart_and_that_is_said_with_its_age() {
    let folder = tempfile::tempdir().unwrap();
    let files = tempfile::tempdir().unwrap();
    std::fs::write(
        files.path().join("1.yaml"),
        "- {host: ratings.mesh, ports: [{port: 80}]}\n",
    )
    .unwrap();
    run_before(folder.path()).await;

    let registries = vec![
        static_services(files.path()),
        saved::keep(dead_consul(), folder.path(), ORIGIN),
    ];
    let mesh = Mesh::reading(registries, LONG).await;
    let mut proxy = Proxy::connect(&mesh, PRODUCTPAGE, &[("HTTP_PROXY_PORT", "15002")], "");

    let key = (TypeUrl::Endpoint, REVIEWS.to_owned());
    let held = proxy
        .until("the endpoints of reviews", |held| held.contains_key(&key))
        .await;
    let endpoints = ClusterLoadAssignment::decode(held[&key].as_slice()).unwrap();
    let count: usize = endpoints
        .endpoints
        .iter()
        .map(|group| group.lb_endpoints.len())
        .sum();
    assert_eq!(count, 2);

    let ready = mesh.page("/ready").await;
    assert_eq!(ready["registries"][0]["reading"], "read");
    let consul = &ready["registries"][1];
    assert_eq!(consul["synced"], false);
    assert!(consul["restored_seconds"].as_u64().unwrap() >= 100, "{consul}");
    let reading = consul["reading"].as_str().unwrap();
    assert!(reading.starts_with("restored, read 1"), "{reading}");
    assert!(
        consul["last_error"]
            .as_str()
            .unwrap()
            .contains("cannot be reached")
    );

    let page = mesh.page("/debug/registryz").await;
    assert_eq!(
        hosts(&page),
        [
            "productpage.service.consul",
            "ratings.mesh",
            "reviews.service.consul"
        ]
    );
    assert!(
        page[0]["reading"]
            .as_str()
            .unwrap()
            .starts_with("restored, read ")
    );
    assert!(page[1]["reading"].is_null());
    let (_, metrics) = get(mesh.http, "/metrics", None).await;
    assert!(
        metrics.contains("pilot_registry_restored_seconds{registry=\"consul\"} 1"),
        "{metrics}"
    );
    mesh.stop().await.unwrap();
}

#[tokio::test]
async fn the_first_real_reading_takes_the_place_of_what_was_restored() {
    let folder = tempfile::tempdir().unwrap();
    run_before(folder.path()).await;
    let mut state = RegistryState::unread("consul");
    state.unread[0].error = Some("connection refused".into());
    let (consul, receiver) = watch::channel(Arc::new(state));
    let kept = saved::keep(RegistryHandle::fed(receiver), folder.path(), ORIGIN);
    let mesh = Mesh::reading(vec![kept], LONG).await;
    mesh.page_until("/debug/registryz", |page| hosts(page).len() == 2)
        .await;

    consul.send_replace(Arc::new(RegistryState {
        name: "consul".into(),
        catalog: services(&[("reviews.service.consul", &[("127.0.0.5", "v1")])]),
        synced: true,
        begun: true,
        ..RegistryState::default()
    }));

    mesh.page_until("/debug/registryz", |page| {
        hosts(page) == ["reviews.service.consul"] && page[0]["reading"].is_null()
    })
    .await;
    mesh.stop().await.unwrap();
}

#[tokio::test]
async fn one_broken_file_of_a_folder_is_named_and_after_the_grace_the_others_are_given_out() {
    let files = tempfile::tempdir().unwrap();
    let good = "- {host: ratings.mesh, ports: [{port: 80}]}\n";
    std::fs::write(files.path().join("1.yaml"), good).unwrap();
    std::fs::write(files.path().join("2.yaml"), "- {host: broken, prts: []}\n").unwrap();

    let waiting = Mesh::reading(vec![static_services(files.path())], LONG).await;
    within("the reason", async {
        loop {
            let (status, body) = get(waiting.http, "/ready", None).await;
            assert_eq!(status, 503, "before the grace has passed: {body}");
            if body.contains("registry static has not been read yet") && body.contains("2.yaml:1:") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    waiting.stop().await.unwrap();

    let mesh = Mesh::reading(vec![static_services(files.path())], Duration::ZERO).await;
    mesh.ready().await;
    let ready = mesh.page("/ready").await;
    let registry = &ready["registries"][0];
    assert_eq!(registry["reading"], "read in part");
    let unread = registry["unread"][0].as_str().unwrap();
    assert!(unread.contains("2.yaml: ") && unread.contains("prts"), "{unread}");
    let page = mesh.page("/debug/registryz").await;
    assert_eq!(hosts(&page), ["ratings.mesh"]);
    assert_eq!(page[0]["reading"], "read in part");

    std::fs::write(
        files.path().join("2.yaml"),
        "- {host: mended, ports: [{port: 80}]}\n",
    )
    .unwrap();
    mesh.page_until("/debug/registryz", |page| {
        hosts(page) == ["mended", "ratings.mesh"] && page[0]["reading"].is_null()
    })
    .await;
    mesh.stop().await.unwrap();
}
