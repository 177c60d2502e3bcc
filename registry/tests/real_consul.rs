//! A real Consul: what it says is what the mesh sees, within two seconds, through restarts, tokens and TLS.
//!
//! Needs the peer: `cargo xtask peers consul`, then `cargo test -p outrigger-registry --features peers`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking, its helpers too"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use outrigger_api::model::{Protocol, Resolution};
use outrigger_registry::consul::{
    Agent, Check, CheckKind, CheckStatus, ConsulRegistry, ServiceRegistration, Settings, Tls, Token,
};
use outrigger_registry::{RegistryHandle, RegistryState};
use outrigger_testkit::consul::{Consul, Options};
use serde_json::json;

const LIMIT: Duration = Duration::from_secs(30);

/// A change of the registry is in the catalogue by then.
const SOON: Duration = Duration::from_secs(2);

fn settings(consul: &Consul) -> Settings {
    Settings {
        address: consul.address(),
        ..Settings::default()
    }
}

fn agent(consul: &Consul) -> Agent {
    Agent::new(&consul.address(), Token::None, &Tls::default()).unwrap()
}

fn instance(id: &str, name: &str, address: &str, tags: &[&str]) -> ServiceRegistration {
    ServiceRegistration {
        id: id.into(),
        name: name.into(),
        address: address.into(),
        port: 9080,
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        ..ServiceRegistration::default()
    }
}

async fn until_within(
    limit: Duration,
    handle: &RegistryHandle,
    what: &str,
    seen: impl FnMut(&Arc<RegistryState>) -> bool,
) -> Arc<RegistryState> {
    let mut receiver = handle.state.clone();
    let state = tokio::time::timeout(limit, receiver.wait_for(seen)).await;
    match state {
        Ok(state) => state.unwrap().clone(),
        Err(_) => panic!(
            "{what} was not seen within {limit:?}; the state is {:?}",
            handle.current()
        ),
    }
}

async fn until(
    handle: &RegistryHandle,
    what: &str,
    seen: impl FnMut(&Arc<RegistryState>) -> bool,
) -> Arc<RegistryState> {
    until_within(LIMIT, handle, what, seen).await
}

fn addresses(state: &RegistryState, service: &str) -> Vec<String> {
    let host = format!("{service}.service.consul");
    let instances = state
        .catalog
        .services
        .get(&host)
        .map(|state| Arc::clone(&state.instances));
    instances
        .iter()
        .flat_map(|instances| instances.iter())
        .map(|instance| instance.address.clone())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn registrations_are_seen_within_two_seconds_and_tags_become_labels() {
    let consul = Consul::start().unwrap();
    let registry = ConsulRegistry::start(settings(&consul)).unwrap();
    let empty = until(&registry, "the first reading", |state| state.synced).await;
    assert!(
        empty.catalog.services.is_empty(),
        "consul itself is no service of the mesh"
    );
    let agent = agent(&consul);

    let mut v2 = instance("reviews-v2", "reviews", "127.0.1.4", &["version|v2", "plain"]);
    v2.meta = BTreeMap::from([("protocol".into(), "http2".into())]);
    v2.port = 9081;
    agent
        .register(&instance("reviews-v1", "reviews", "127.0.1.3", &["version|v1"]))
        .await
        .unwrap();
    until_within(SOON, &registry, "reviews v1", |state| {
        addresses(state, "reviews") == ["127.0.1.3"]
    })
    .await;
    agent.register(&v2).await.unwrap();
    agent
        .register(&instance("ratings-v1", "ratings", "127.0.1.6", &["version|v1"]))
        .await
        .unwrap();
    let state = until_within(SOON, &registry, "reviews v2 and ratings", |state| {
        addresses(state, "reviews").len() == 2 && addresses(state, "ratings").len() == 1
    })
    .await;

    let reviews = &state.catalog.services["reviews.service.consul"];
    let ports: Vec<_> = reviews
        .service
        .ports
        .iter()
        .map(|port| (port.name.as_str(), port.port, port.protocol))
        .collect();
    assert_eq!(
        ports,
        [("http", 9080, Protocol::Http), ("http2", 9081, Protocol::Http2)]
    );
    assert_eq!(reviews.service.resolution, Resolution::Endpoints);
    let labels: Vec<_> = reviews
        .instances
        .iter()
        .map(|instance| {
            format!(
                "{} {} {}",
                instance.workload_id, instance.labels, instance.locality
            )
        })
        .collect();
    assert_eq!(labels, ["reviews-v1 version=v1 dc1", "reviews-v2 version=v2 dc1"]);
    assert!(
        state.warnings.iter().any(|warning| warning.contains("\"plain\"")),
        "{:?}",
        state.warnings
    );
    assert!(
        state
            .facts
            .iter()
            .any(|fact| fact.name == "knownLeader" && fact.value == "true")
    );

    agent.deregister("reviews-v1").await.unwrap();
    until_within(SOON, &registry, "reviews v1 gone", |state| {
        addresses(state, "reviews") == ["127.0.1.4"]
    })
    .await;
    agent.deregister("reviews-v2").await.unwrap();
    agent.deregister("ratings-v1").await.unwrap();
    // More than half of everything is gone: that is believed only after a second reading, which each service may take
    // once a second, so two seconds are not promised here (P7).
    until(&registry, "the last instance gone", |state| {
        state.catalog.services.is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn critical_and_maintained_instances_are_removed_and_warning_ones_kept() {
    let consul = Consul::start().unwrap();
    let agent = agent(&consul);
    for (id, address) in [("a-1", "127.0.1.1"), ("a-2", "127.0.1.2"), ("a-3", "127.0.1.3")] {
        let mut registration = instance(id, "a", address, &[]);
        registration.check = Some(Check {
            kind: CheckKind::Ttl(Duration::from_secs(600)),
            initial: CheckStatus::Passing,
            deregister_after: None,
        });
        agent.register(&registration).await.unwrap();
    }
    let registry = ConsulRegistry::start(settings(&consul)).unwrap();
    until(&registry, "all three", |state| addresses(state, "a").len() == 3).await;

    agent
        .report("a-1", CheckStatus::Critical, "disk full")
        .await
        .unwrap();
    until_within(SOON, &registry, "a-1 out", |state| {
        addresses(state, "a") == ["127.0.1.2", "127.0.1.3"]
    })
    .await;
    agent
        .report("a-1", CheckStatus::Warning, "disk nearly full")
        .await
        .unwrap();
    until_within(SOON, &registry, "a-1 back", |state| {
        addresses(state, "a").len() == 3
    })
    .await;
    agent.maintenance("a-2", true, "new disk").await.unwrap();
    until_within(SOON, &registry, "a-2 out", |state| {
        addresses(state, "a") == ["127.0.1.1", "127.0.1.3"]
    })
    .await;
    agent.maintenance("a-2", false, "").await.unwrap();
    until_within(SOON, &registry, "a-2 back", |state| {
        addresses(state, "a").len() == 3
    })
    .await;

    for id in ["a-1", "a-2", "a-3"] {
        agent
            .report(id, CheckStatus::Critical, "all of them")
            .await
            .unwrap();
    }
    let sick = until(&registry, "all out", |state| addresses(state, "a").is_empty()).await;
    assert_eq!(
        sick.catalog.services["a.service.consul"].service.ports.len(),
        1,
        "the service stays"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_the_endpoints_and_heals_alone() {
    let mut consul = Consul::start().unwrap();
    let agent = agent(&consul);
    let registrations = [
        instance("a-1", "a", "127.0.1.1", &["version|v1"]),
        instance("b-1", "b", "127.0.1.2", &[]),
    ];
    for registration in &registrations {
        agent.register(registration).await.unwrap();
    }
    let registry = ConsulRegistry::start(settings(&consul)).unwrap();
    until(&registry, "both services", |state| {
        state.synced && state.catalog.services.len() == 2
    })
    .await;

    consul.stop();
    let down = until(&registry, "the failure", |state| state.stale_since.is_some()).await;
    assert_eq!((addresses(&down, "a").len(), addresses(&down, "b").len()), (1, 1));
    assert!(
        down.last_error.as_ref().unwrap().contains("cannot be reached"),
        "{:?}",
        down.last_error
    );

    consul.start_again().unwrap();
    // It forgot everything. Services that come back within the grace are never missed.
    for registration in &registrations {
        agent.register(registration).await.unwrap();
    }
    let back = Instant::now();
    let mut states = registry.state.clone();
    until_within(Duration::from_secs(5), &registry, "healing", |state| {
        state.stale_since.is_none()
    })
    .await;
    while back.elapsed() < Duration::from_secs(12) {
        let state = states.borrow_and_update().clone();
        assert_eq!(
            (addresses(&state, "a").len(), addresses(&state, "b").len()),
            (1, 1)
        );
        // Either a change or the end of the observation.
        let _ = tokio::time::timeout(Duration::from_millis(200), states.changed()).await;
    }

    agent
        .register(&instance("a-2", "a", "127.0.1.9", &[]))
        .await
        .unwrap();
    until_within(SOON, &registry, "news after the restart", |state| {
        addresses(state, "a").len() == 2
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_consul_is_waited_for() {
    let mut consul = Consul::start().unwrap();
    agent(&consul)
        .register(&instance("a-1", "a", "127.0.1.1", &[]))
        .await
        .unwrap();
    let mut short = settings(&consul);
    short.wait = Duration::from_secs(1);
    let registry = ConsulRegistry::start(short).unwrap();
    until(&registry, "the service", |state| addresses(state, "a").len() == 1).await;

    consul.process().pause().unwrap();
    let frozen = until(&registry, "the silence", |state| state.last_error.is_some()).await;
    assert!(
        frozen
            .last_error
            .as_ref()
            .unwrap()
            .contains("did not answer within"),
        "{:?}",
        frozen.last_error
    );
    assert_eq!(addresses(&frozen, "a").len(), 1);

    consul.process().resume().unwrap();
    until_within(Duration::from_secs(5), &registry, "healing", |state| {
        state.last_error.is_none()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_acls_a_token_is_needed_and_its_lack_is_told() {
    let consul = Consul::start_with(&Options {
        acl: true,
        ..Options::default()
    })
    .unwrap();
    let management = || Token::Value(consul.management_token().to_owned());
    let agent = Agent::new(&consul.address(), management(), &Tls::default()).unwrap();
    agent
        .register(&instance("a-1", "a", "127.0.1.1", &[]))
        .await
        .unwrap();
    let refused = self::agent(&consul)
        .register(&instance("b-1", "b", "127.0.1.2", &[]))
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("give a token with"), "{refused}");

    let policy = json!({
        "Name": "mesh",
        "Rules": r#"service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }"#,
    });
    consul.put("/v1/acl/policy", &policy).unwrap();
    let token = consul
        .put("/v1/acl/token", &json!({"Policies": [{"Name": "mesh"}]}))
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, format!("{}\n", token["SecretID"].as_str().unwrap())).unwrap();

    let mut with_token = settings(&consul);
    with_token.token = Token::File(file.clone());
    let registry = ConsulRegistry::start(with_token).unwrap();
    until(&registry, "the service", |state| addresses(state, "a").len() == 1).await;

    let anonymous = ConsulRegistry::start(settings(&consul)).unwrap();
    let mut wrong = settings(&consul);
    wrong.token = Token::Value("00000000-0000-4000-8000-000000000000".into());
    let wrong = ConsulRegistry::start(wrong).unwrap();
    let wrong = until(&wrong, "the refusal", |state| state.last_error.is_some()).await;
    assert!(
        wrong.last_error.as_ref().unwrap().contains("403"),
        "{:?}",
        wrong.last_error
    );
    let anonymous = until(&anonymous, "an answer", |state| {
        state.last_error.is_some() || state.synced
    })
    .await;
    assert!(
        anonymous.catalog.services.is_empty(),
        "the anonymous token sees nothing"
    );

    // A token that is not valid any more costs freshness, not endpoints.
    std::fs::write(&file, "00000000-0000-4000-8000-000000000000").unwrap();
    agent
        .register(&instance("c-1", "c", "127.0.1.3", &[]))
        .await
        .unwrap();
    let revoked = until(&registry, "the refusal", |state| state.last_error.is_some()).await;
    assert_eq!(addresses(&revoked, "a").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_with_a_client_certificate_works_and_without_is_refused() {
    let consul = Consul::start_with(&Options {
        tls: true,
        ..Options::default()
    })
    .unwrap();
    let full = Tls {
        ca_file: Some(consul.pem("ca")),
        cert_file: Some(consul.pem("client")),
        key_file: Some(consul.pem("client-key")),
    };
    let start = |tls: Tls| {
        let settings = Settings {
            address: consul.https_address(),
            tls,
            ..Settings::default()
        };
        ConsulRegistry::start(settings).unwrap()
    };
    let registry = start(full.clone());
    let agent = Agent::new(&consul.https_address(), Token::None, &full).unwrap();
    agent
        .register(&instance("a-1", "a", "127.0.1.1", &[]))
        .await
        .unwrap();
    until(&registry, "the service over TLS", |state| {
        addresses(state, "a").len() == 1
    })
    .await;

    let no_certificate = start(Tls {
        ca_file: full.ca_file.clone(),
        ..Tls::default()
    });
    let state = until(&no_certificate, "the refusal", |state| state.last_error.is_some()).await;
    assert!(
        state.last_error.as_ref().unwrap().contains("cannot be reached"),
        "{:?}",
        state.last_error
    );
    let unknown_authority = start(Tls {
        ca_file: Some(consul.pem("client")),
        ..full
    });
    let state = until(&unknown_authority, "the refusal", |state| {
        state.last_error.is_some()
    })
    .await;
    assert!(
        state.last_error.as_ref().unwrap().contains("certificate"),
        "{:?}",
        state.last_error
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn several_datacenters_are_joined_and_a_lost_one_keeps_its_instances() {
    let east = Consul::start_with(&Options {
        datacenter: Some("east".into()),
        ..Options::default()
    })
    .unwrap();
    let mut west = Consul::start_with(&Options {
        datacenter: Some("west".into()),
        join: Some(east.wan()),
        ..Options::default()
    })
    .unwrap();
    agent(&east)
        .register(&instance("a-east", "a", "127.0.1.1", &[]))
        .await
        .unwrap();
    agent(&west)
        .register(&instance("a-west", "a", "127.0.1.2", &[]))
        .await
        .unwrap();
    let mut both = settings(&east);
    both.datacenters = vec!["east".into(), "west".into()];
    both.wait = Duration::from_secs(2);
    let registry = ConsulRegistry::start(both).unwrap();

    let state = until(&registry, "both", |state| {
        addresses(state, "a").len() == 2 && state.synced
    })
    .await;
    let localities: Vec<_> = state.catalog.services["a.service.consul"]
        .instances
        .iter()
        .map(|instance| instance.locality.as_str())
        .collect();
    assert_eq!(localities, ["east", "west"]);

    west.stop();
    let lost = until(&registry, "the loss", |state| state.last_error.is_some()).await;
    assert_eq!(addresses(&lost, "a").len(), 2);
    agent(&east)
        .register(&instance("a-east-2", "a", "127.0.1.3", &[]))
        .await
        .unwrap();
    until_within(SOON, &registry, "news of the other", |state| {
        addresses(state, "a").len() == 3
    })
    .await;
}

/// The size at which earlier meshes wore Consul out: more services than connections, so watches take turns.
#[tokio::test(flavor = "multi_thread")]
async fn three_hundred_services_share_few_connections() {
    let consul = Consul::start().unwrap();
    for number in 0..300 {
        let registration = json!({
            "Node": "elsewhere", "Address": "127.0.2.1", "SkipNodeUpdate": number > 0,
            "Service": {"ID": format!("s{number}-1"), "Service": format!("s{number}"), "Port": 9080},
        });
        consul.put("/v1/catalog/register", &registration).unwrap();
    }
    let start = Instant::now();
    let registry = ConsulRegistry::start(settings(&consul)).unwrap();
    let state = until(&registry, "all of them", |state| state.synced).await;
    assert_eq!(state.catalog.services.len(), 300);
    println!("300 services were read in {:?}", start.elapsed());

    for number in [0, 150, 299] {
        let name = format!("s{number}");
        let registration = json!({
            "Node": "elsewhere", "Address": "127.0.2.1", "SkipNodeUpdate": true,
            "Service": {"ID": format!("{name}-2"), "Service": name, "Port": 9080, "Address": "127.0.2.2"},
        });
        consul.put("/v1/catalog/register", &registration).unwrap();
        let start = Instant::now();
        // Three turns of a second, and what a busy machine adds.
        until_within(Duration::from_secs(6), &registry, "a change", |state| {
            addresses(state, &name).len() == 2
        })
        .await;
        println!("a change of {name} was seen after {:?}", start.elapsed());
    }
    let error = registry.current().last_error.clone().unwrap_or_default();
    assert!(
        !error.contains("429"),
        "consul had to refuse connections: {error}"
    );
}
