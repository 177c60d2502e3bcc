//! A pilot on real sockets: rules and registries in, configuration out, and what it says of itself.

#![allow(clippy::unwrap_used, clippy::panic)] // all of this is test code; clippy sees only the test functions as such

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use outrigger_api::kind::Kind;
use outrigger_api::service_address::ServiceAddress;
use outrigger_client::ConfigStore;
use outrigger_client::token::{Access, MeshToken};
use outrigger_pilot::{Advice, Pilot, Settings, Sources};
use outrigger_registry::{AggregateState, RegistryState};
use outrigger_xds::TypeUrl;
use outrigger_xds::client::ConnectionState;
use outrigger_xds::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use prost::Message;
use serde_json::Value;

mod incomplete;
mod mesh;
#[cfg(feature = "peers")]
mod stock_envoy;
mod store;

use mesh::{Held, Mesh, Proxy, get, parse, read, services, within};
use store::Store;

const REVIEWS: &str = "outbound|9080||reviews.service.consul";
const V1: &str = "outbound|9080|version=v1|reviews.service.consul";
const PRODUCTPAGE: &str = "sidecar~127.0.0.3~productpage-v1~service.consul";

fn rule(version: &str) -> String {
    format!(
        "
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {{name: reviews}}
spec:
  destination: {{name: reviews}}
  route: [{{labels: {{version: {version}}}}}]
"
    )
}

fn bookinfo() -> outrigger_api::model::Catalog {
    services(&[
        ("productpage.service.consul", &[("127.0.0.3", "v1")]),
        (
            "reviews.service.consul",
            &[("127.0.0.5", "v1"), ("127.0.0.6", "v2")],
        ),
    ])
}

fn routes_to(held: &Held, version: &str) -> bool {
    let bytes = held.get(&(TypeUrl::Route, REVIEWS.to_owned()));
    let wanted = format!("outbound|9080|{version}|reviews.service.consul");
    bytes.is_some_and(|bytes| {
        bytes
            .windows(wanted.len())
            .any(|window| window == wanted.as_bytes())
    })
}

fn entry<'a>(page: &'a Value, proxy: &str) -> Option<&'a Value> {
    page.as_array()?.iter().find(|entry| entry["proxy"] == proxy)
}

#[tokio::test]
async fn a_rule_reaches_a_proxy_and_its_generation_is_shown() {
    let mesh = Mesh::start(bookinfo()).await;
    mesh.ready().await;
    let mut proxy = Proxy::connect(&mesh, PRODUCTPAGE, &[("INBOUND", "9080=127.0.0.1:19080")], "");
    proxy.until("the default route", |held| routes_to(held, "")).await;

    let version = mesh.apply(&rule("v1")).await;

    let held = proxy
        .until("the rule's route", |held| routes_to(held, "version=v1"))
        .await;
    assert!(
        held.contains_key(&(TypeUrl::Endpoint, V1.to_owned())),
        "make before break"
    );
    assert!(
        held.keys()
            .any(|(kind, name)| *kind == TypeUrl::Listener && name == "127.0.0.3_9080")
    );
    let page = mesh
        .page_until("/debug/syncz", |page| {
            entry(page, PRODUCTPAGE).is_some_and(|entry| entry["generation"].as_u64() >= Some(version))
        })
        .await;
    let entry = entry(&page, PRODUCTPAGE).unwrap();
    for kind in ["cluster", "listener", "route", "endpoint"] {
        let (sent, acked) = (&entry[format!("{kind}_sent")], &entry[format!("{kind}_acked")]);
        assert!(
            sent.as_str().is_some_and(|nonce| !nonce.is_empty()) && sent == acked,
            "{kind}: {page}"
        );
    }
    assert_eq!(
        (&entry["dialect"], &entry["endpoint_percent"]),
        (&Value::from("outrigger"), &Value::from(100))
    );
    assert_eq!(entry["last_nack"], Value::Null);
    mesh.stop().await.unwrap();
}

#[tokio::test]
async fn a_refusal_is_shown_with_its_reason_and_blocks_no_other_proxy() {
    let mesh = Mesh::start(bookinfo()).await;
    mesh.ready().await;
    let other = "sidecar~127.0.0.9~other~service.consul";
    let mut fussy = Proxy::connect(&mesh, PRODUCTPAGE, &[], "version=v1");
    let mut willing = Proxy::connect(&mesh, other, &[], "");
    fussy.until("the default route", |held| routes_to(held, "")).await;
    willing
        .until("the default route", |held| routes_to(held, ""))
        .await;

    let version = mesh.apply(&rule("v1")).await;

    willing
        .until("the rule's route", |held| routes_to(held, "version=v1"))
        .await;
    let page = mesh
        .page_until("/debug/syncz", |page| {
            entry(page, PRODUCTPAGE).is_some_and(|entry| !entry["last_nack"].is_null())
        })
        .await;
    let entry = entry(&page, PRODUCTPAGE).unwrap();
    let nack = &entry["last_nack"];
    assert_eq!(nack["type"], "cds");
    assert_eq!(nack["resources"], serde_json::json!([V1]));
    assert_eq!(nack["message"], format!("{V1} is not to my taste"));
    assert!(nack["generation"].as_u64() >= Some(version), "{nack}");
    assert_eq!(nack["standing"], true);
    assert_eq!(entry["types"]["cds"]["status"], "REFUSED");
    assert!(
        entry["types"]["cds"]["refused"][V1]["message"].is_string(),
        "{entry}"
    );
    let (_, metrics) = get(mesh.monitoring, "/metrics", None).await;
    assert!(metrics.contains("pilot_xds_cds_reject 1\n"), "{metrics}");

    mesh.apply(&rule("v2")).await;
    fussy
        .until("the next rule's route", |held| routes_to(held, "version=v2"))
        .await;
    mesh.page_until("/debug/syncz", |page| {
        page.as_array()
            .unwrap()
            .iter()
            .any(|entry| entry["last_nack"]["standing"] == false)
    })
    .await;
    mesh.stop().await.unwrap();
}

#[tokio::test]
async fn a_change_of_endpoints_sends_endpoints_alone() {
    let mesh = Mesh::start(bookinfo()).await;
    mesh.ready().await;
    let mut proxy = Proxy::connect(&mesh, PRODUCTPAGE, &[], "");
    let before = proxy.until("the default route", |held| routes_to(held, "")).await;
    mesh.page_until("/debug/syncz", |page| {
        entry(page, PRODUCTPAGE).is_some_and(|entry| entry["generation"].as_u64() > Some(0))
    })
    .await;
    let nonces = |page: &Value| {
        let entry = entry(page, PRODUCTPAGE).unwrap();
        ["cluster_sent", "listener_sent", "route_sent"].map(|key| entry[key].clone())
    };
    let earlier = nonces(&mesh.page("/debug/syncz").await);

    mesh.catalog(services(&[
        ("productpage.service.consul", &[("127.0.0.3", "v1")]),
        ("reviews.service.consul", &[("127.0.0.6", "v2")]),
    ]));

    let key = (TypeUrl::Endpoint, REVIEWS.to_owned());
    let after = proxy
        .until("the new endpoints", |held| held.get(&key) != before.get(&key))
        .await;
    let assignment = ClusterLoadAssignment::decode(after[&key].as_slice()).unwrap();
    assert_eq!(assignment.endpoints[0].lb_endpoints.len(), 1);
    assert_eq!(nonces(&mesh.page("/debug/syncz").await), earlier);
    mesh.stop().await.unwrap();
}

/// Which endpoints of reviews are marked as sidecars.
fn marks(held: &Held) -> Option<Vec<bool>> {
    let bytes = held.get(&(TypeUrl::Endpoint, REVIEWS.to_owned()))?;
    let assignment = ClusterLoadAssignment::decode(bytes.as_slice()).unwrap();
    let endpoints = assignment
        .endpoints
        .into_iter()
        .flat_map(|locality| locality.lb_endpoints);
    Some(endpoints.map(|endpoint| endpoint.metadata.is_some()).collect())
}

#[tokio::test]
async fn a_sidecar_that_does_not_run_its_listener_is_not_marked() {
    let mesh = Mesh::start(bookinfo()).await;
    mesh.ready().await;
    let mut caller = Proxy::connect(&mesh, PRODUCTPAGE, &[], "");
    let inbound = [("INBOUND", "9080=127.0.0.1:19080/http")];
    let v1 = "sidecar~127.0.0.5~reviews-v1~service.consul";
    let v2 = "sidecar~127.0.0.6~reviews-v2~service.consul";

    let _refusing = Proxy::connect(&mesh, v2, &inbound, "127.0.0.6_9080");
    mesh.page_until("/debug/syncz", |page| {
        let entries = page.as_array().unwrap();
        let refusing = entries.iter().find(|entry| entry["proxy"] == v2);
        refusing.is_some_and(|entry| entry.to_string().contains("not to my taste"))
    })
    .await;
    let _willing = Proxy::connect(&mesh, v1, &inbound, "");

    caller
        .until("a mark of the other one", |held| {
            let marks = marks(held);
            assert_ne!(marks.as_ref().map(|marks| marks[1]), Some(true), "{marks:?}");
            marks == Some(vec![true, false])
        })
        .await;
    mesh.stop().await.unwrap();
}

#[tokio::test]
async fn a_connected_sidecar_is_the_proof_for_its_mark() {
    let mesh = Mesh::start(bookinfo()).await;
    mesh.ready().await;
    let mut caller = Proxy::connect(&mesh, PRODUCTPAGE, &[], "");
    caller
        .until("unmarked endpoints", |held| {
            marks(held) == Some(vec![false, false])
        })
        .await;

    let callee = "sidecar~127.0.0.6~reviews-v2~service.consul";
    let callee = Proxy::connect(&mesh, callee, &[("INBOUND", "9080=127.0.0.1:19080/http")], "");
    caller
        .until("a mark", |held| marks(held) == Some(vec![false, true]))
        .await;

    drop(callee);
    caller
        .until("the mark's end", |held| marks(held) == Some(vec![false, false]))
        .await;
    mesh.stop().await.unwrap();
}

#[tokio::test]
async fn virtual_addresses_are_stored_and_stay_over_a_restart() {
    let store = Arc::new(Store::default());
    let minute = Duration::from_secs(60);
    let mesh = Mesh::start_with(read(bookinfo()), Access::Loopback, minute, store.clone()).await;
    let with_address = |page: &Value| {
        page.as_array()
            .unwrap()
            .iter()
            .all(|entry| entry["virtualAddress"].is_string())
    };
    let before = mesh.page_until("/debug/registryz", with_address).await;
    assert_eq!(before.as_array().unwrap().len(), 2);
    assert_eq!(store.objects(Kind::ServiceAddress).len(), 2);
    mesh.stop().await.unwrap();

    let more = services(&[("a.service.consul", &[]), ("reviews.service.consul", &[])]);
    let mesh = Mesh::start_with(read(more), Access::Loopback, minute, store.clone()).await;
    let after = mesh.page_until("/debug/registryz", with_address).await;

    let address = |page: &Value| {
        let mut services = page.as_array().unwrap().iter();
        services
            .find(|entry| entry["hostname"] == "reviews.service.consul")
            .unwrap()["virtualAddress"]
            .clone()
    };
    assert_eq!(address(&before), address(&after));
    assert_eq!(store.objects(Kind::ServiceAddress).len(), 3);
    mesh.stop().await.unwrap();
}

#[tokio::test]
async fn two_hosts_that_were_stored_with_one_address_get_one_each() {
    let store = Arc::new(Store::default());
    for host in ["productpage.service.consul", "reviews.service.consul"] {
        let address = ServiceAddress {
            host: host.into(),
            address: Ipv4Addr::new(127, 128, 7, 7),
        };
        store.create(&address.into_resource("default")).await.unwrap();
    }

    let mesh = Mesh::start_with(read(bookinfo()), Access::Loopback, Duration::from_secs(60), store).await;

    let page = mesh
        .page_until("/debug/registryz", |page| {
            page.as_array()
                .unwrap()
                .iter()
                .all(|entry| entry["virtualAddress"].is_string())
        })
        .await;
    let addresses: Vec<&Value> = page
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| &entry["virtualAddress"])
        .collect();
    assert_eq!(addresses[0], "127.128.7.7");
    assert_ne!(addresses[1], "127.128.7.7");
    mesh.stop().await.unwrap();
}

#[tokio::test]
async fn a_way_in_keeps_its_name_while_the_registry_lets_go_of_the_workload() {
    let mesh = Mesh::start(bookinfo()).await;
    mesh.ready().await;
    let mut proxy = Proxy::connect(&mesh, PRODUCTPAGE, &[("INBOUND", "9080=127.0.0.1:19080")], "");
    let way_in = (
        TypeUrl::Cluster,
        "inbound|9080|http|productpage.service.consul".to_owned(),
    );
    let before = proxy.until("its way in", |held| held.contains_key(&way_in)).await;

    mesh.catalog(services(&[
        ("productpage.service.consul", &[]),
        ("reviews.service.consul", &[]),
    ]));

    let whole = (
        TypeUrl::Endpoint,
        "outbound|9080||productpage.service.consul".to_owned(),
    );
    let after = proxy
        .until("the empty endpoints", |held| {
            held.get(&whole) != before.get(&whole)
        })
        .await;
    assert_eq!(after.get(&way_in), before.get(&way_in));
    mesh.stop().await.unwrap();
}

#[tokio::test]
async fn a_store_that_cannot_be_written_stops_nothing_and_is_tried_again() {
    let store = Arc::new(Store::default());
    store.broken.store(true, Ordering::Relaxed);
    let minute = Duration::from_secs(60);
    let mesh = Mesh::start_with(read(bookinfo()), Access::Loopback, minute, store.clone()).await;
    mesh.ready().await;
    let mut proxy = Proxy::connect(&mesh, PRODUCTPAGE, &[("HTTP_PROXY_PORT", "15002")], "");
    proxy
        .until("the proxy's routes", |held| {
            held.contains_key(&(TypeUrl::Route, "http_proxy".to_owned()))
        })
        .await;

    store.broken.store(false, Ordering::Relaxed);

    proxy
        .until("listeners on virtual addresses", |held| routes_to(held, ""))
        .await;
    mesh.stop().await.unwrap();
}

#[tokio::test]
async fn nothing_is_given_out_before_a_registry_was_read() {
    let unread = RegistryState {
        name: "consul".into(),
        last_error: Some("connection refused".into()),
        ..RegistryState::default()
    };
    let state = AggregateState {
        registries: vec![unread],
        ..AggregateState::default()
    };
    let mesh = Mesh::start_with(state, Access::Loopback, Duration::ZERO, Arc::default()).await;
    let mut proxy = Proxy::connect(&mesh, PRODUCTPAGE, &[], "");

    let ready = within("the reason", async {
        loop {
            let (status, body) = get(mesh.monitoring, "/ready", None).await;
            assert_eq!(status, 503);
            if body.contains("read yet: connection refused") {
                return body;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert!(ready.contains("registry consul has not been read yet"), "{ready}");
    assert!(proxy.held.borrow().is_empty());

    mesh.catalog(bookinfo());
    proxy.until("the default route", |held| routes_to(held, "")).await;
    assert_eq!(get(mesh.monitoring, "/ready", None).await.0, 200);
    mesh.stop().await.unwrap();
}

#[tokio::test]
async fn every_page_is_valid_and_unknown_ones_say_what_there_is() {
    let mesh = Mesh::start(bookinfo()).await;
    mesh.ready().await;
    mesh.apply(&rule("v7")).await;
    let mut proxy = Proxy::connect(&mesh, PRODUCTPAGE, &[("INBOUND", "9080=127.0.0.1:19080")], "");
    proxy
        .until("the rule's route", |held| routes_to(held, "version=v7"))
        .await;

    for path in [
        "/version",
        "/debug/endpointz",
        "/debug/configz",
        "/debug/adsz",
        "/debug/syncz",
    ] {
        let page = mesh.page(path).await;
        assert!(!page.as_array().is_some_and(Vec::is_empty), "{path}: {page}");
    }
    let found = mesh.page("/debug/push_status").await;
    let missing = "outbound|9080|version=v7|reviews.service.consul";
    assert!(
        found["ProxyStatus"]["pilot_eds_no_instances"][missing]["message"].is_string(),
        "{found}"
    );
    let dump = mesh.page("/debug/config_dump?proxyID=productpage-v1").await;
    assert!(
        dump.to_string()
            .contains("inbound|9080|http|productpage.service.consul"),
        "{dump}"
    );
    let brief = get(mesh.http, "/debug/endpointz?brief=1", None).await.1;
    assert!(
        brief.contains("reviews.service.consul:http TCP 127.0.0.6:9080 version=v2"),
        "{brief}"
    );
    assert_eq!(get(mesh.http, "/debug/config_dump", None).await.0, 400);
    assert_eq!(get(mesh.http, "/debug/config_dump?proxyID=x", None).await.0, 404);
    assert_eq!(get(mesh.http, "/debug/adsz?push=1", None).await.0, 400);
    let (status, message) = get(mesh.http, "/debug/nothing", None).await;
    assert_eq!(status, 404);
    assert!(message.contains("/debug/{registryz,"), "{message}");
    mesh.stop().await.unwrap();
}

#[tokio::test]
async fn mistakes_in_rules_are_shown_before_any_proxy_connects() {
    let mesh = Mesh::start(bookinfo()).await;
    mesh.ready().await;

    mesh.apply(
        "
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews.service.consul]
  http: [{route: [{destination: {host: reviews.service.consul, subset: v9}}]}]
",
    )
    .await;
    mesh.apply(
        "
apiVersion: networking.istio.io/v1alpha3
kind: Gateway
metadata: {name: edge}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]
---
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata: {name: at-the-edge}
spec:
  hosts: ['*']
  gateways: [edge]
  http: [{route: [{destination: {host: reviews.service.consul, subset: v8}}]}]
",
    )
    .await;

    for (rule, subset) in [("reviews", "subset v9"), ("at-the-edge", "subset v8")] {
        mesh.page_until("/debug/push_status", |page| {
            let missing = &page["ProxyStatus"]["pilot_destination_missing"];
            missing[format!("virtual-service/default/{rule}")]["message"]
                .as_str()
                .is_some_and(|message| message.contains(subset))
        })
        .await;
    }
    let _sidecar = Proxy::connect(&mesh, PRODUCTPAGE, &[], "");
    mesh.page_until("/debug/syncz", |page| !page.as_array().unwrap().is_empty())
        .await;
    let page = mesh.page("/debug/push_status").await;
    let missing = &page["ProxyStatus"]["pilot_destination_missing"];
    assert!(
        missing["virtual-service/default/at-the-edge"].is_object(),
        "a sidecar says nothing of gateways: {missing}"
    );
    mesh.stop().await.unwrap();
}

#[tokio::test]
async fn a_token_guards_pages_and_streams_but_not_health_checks() {
    let token = MeshToken::new("test", "0123456789abcdef").unwrap();
    let access = Access::Token(token);
    let mesh = Mesh::start_with(read(bookinfo()), access, Duration::from_secs(60), Arc::default()).await;
    within("/ready", async {
        while get(mesh.http, "/ready", None).await.0 != 200 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;

    assert_eq!(get(mesh.http, "/debug/configz", None).await.0, 401);
    assert_eq!(get(mesh.http, "/metrics", Some("wrong-wrong-wrong")).await.0, 401);
    assert_eq!(
        get(mesh.http, "/debug/configz", Some("0123456789abcdef")).await.0,
        200
    );
    let mut proxy = Proxy::connect(&mesh, PRODUCTPAGE, &[], "");
    let refused = |state: &ConnectionState| {
        state
            .last_error
            .as_ref()
            .is_some_and(|why| why.contains("mesh token"))
    };
    within("the refusal", proxy.state.wait_for(refused))
        .await
        .unwrap();
    assert!(proxy.held.borrow().is_empty());
    let page: Value =
        serde_json::from_str(&get(mesh.http, "/debug/syncz", Some("0123456789abcdef")).await.1).unwrap();
    assert_eq!(page, serde_json::json!([]));
    mesh.stop().await.unwrap();
}

#[tokio::test]
async fn advice_names_hosts_and_versions_that_do_not_run() {
    let mesh = Mesh::start(bookinfo()).await;
    let resource = |yaml: &str| parse(yaml).swap_remove(0);
    assert!(mesh.advice.advise(&resource(&rule("v1"))).is_empty());
    mesh.ready().await;

    within("advice", async {
        while mesh.advice.advise(&resource(&rule("v7"))).is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;

    assert_eq!(mesh.advice.advise(&resource(&rule("v1"))), Vec::<String>::new());
    assert_eq!(
        mesh.advice.advise(&resource(&rule("v7"))),
        ["no instance of reviews.service.consul has labels version=v7"]
    );
    let policy = "
apiVersion: config.istio.io/v1alpha2
kind: DestinationPolicy
metadata: {name: p}
spec: {destination: {name: reviews, labels: {version: v2}}, loadBalancing: {name: RANDOM}}
";
    assert_eq!(
        mesh.advice.advise(&resource(policy)),
        [
            "no route rule sends requests to version=v2 of reviews.service.consul, so the policy has no effect yet"
        ]
    );
    assert_eq!(
        mesh.advice
            .advise(&resource(&rule("v1").replace("reviews}", "nowhere}"))),
        ["no registry knows nowhere.service.consul"]
    );
    mesh.stop().await.unwrap();
}

#[tokio::test]
async fn a_busy_port_and_an_open_one_are_refused_by_name() {
    let mesh = Mesh::start(bookinfo()).await;
    let sources = || Sources {
        config: mesh.store.clone(),
        store: None,
        registries: mesh.registries.subscribe(),
        advice: Advice::default(),
    };
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    let loopback = Settings {
        xds: free,
        http: free,
        monitoring: free,
        ..Settings::default()
    };

    let busy = Settings {
        http: mesh.http,
        ..loopback.clone()
    };
    let message = Pilot::bind(busy, sources()).await.err().unwrap().to_string();
    assert!(
        message.starts_with(&format!("cannot listen on {} for debug pages: ", mesh.http)),
        "{message}"
    );

    let open = Settings {
        xds: SocketAddr::from(([0, 0, 0, 0], 0)),
        ..loopback
    };
    let message = Pilot::bind(open, sources()).await.err().unwrap().to_string();
    assert!(message.contains("--token-file"), "{message}");
    mesh.stop().await.unwrap();
}
