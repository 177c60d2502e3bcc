//! Pilot's HTTP surface: `/ready`, `/version`, `/metrics` and the pages of `/debug`, on the HTTP and the monitoring
//! port alike.

use std::collections::BTreeMap;
use std::time::SystemTime;

use axum::Router;
use axum::extract::{Query, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{StatusCode, header};
use outrigger_client::token::Access;
use outrigger_registry::aggregate::AggregateState;
use serde::Serialize;
use serde_json::json;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinError;

use crate::debug::ready::{Ready, registry};
use crate::debug::{endpoints, proxies, push_status, services, sync};
use crate::finding::Topic;
use crate::fleet::Fleet;
use crate::metrics::{Gauges, Metrics, Reading};
use crate::snapshot::Snapshot;

/// What the pages show.
#[derive(Clone)]
pub(crate) struct Pages {
    pub(crate) fleet: Fleet,
    pub(crate) metrics: Metrics,
    pub(crate) registries: watch::Receiver<Arc<AggregateState>>,
    pub(crate) access: Access,
}

/// All pages. Health checks, which platforms make without a token, get `/ready` and `/version`; everything else is
/// guarded like the other control ports.
pub(crate) fn router(pages: Pages) -> Router {
    let guarded = Router::new()
        .route("/metrics", get(metrics))
        .route("/debug/registryz", get(registryz))
        .route("/debug/endpointz", get(endpointz))
        .route("/debug/configz", get(configz))
        .route("/debug/adsz", get(adsz))
        .route("/debug/syncz", get(syncz))
        .route("/debug/push_status", get(push_status_page))
        .route("/debug/config_dump", get(config_dump))
        .route_layer(from_fn_with_state(pages.access.clone(), guard));
    let open = Router::new()
        .route("/ready", get(ready))
        .route("/version", get(version));
    open.merge(guarded).fallback(unknown).with_state(pages)
}

type Parameters = Query<BTreeMap<String, String>>;

async fn guard(State(access): State<Access>, request: Request, next: Next) -> Response {
    let authorization = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    if access.admits(authorization) {
        return next.run(request).await;
    }
    let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
    let message = "this port wants the mesh token: send it as `Authorization: Bearer TOKEN`\n";
    (StatusCode::UNAUTHORIZED, challenge, message).into_response()
}

async fn unknown(request: Request) -> Response {
    let message = format!(
        "no page {}; there are /ready, /version, /metrics and /debug/{{registryz,endpointz,configz,adsz,syncz,\
         push_status,config_dump}}\n",
        request.uri().path()
    );
    (StatusCode::NOT_FOUND, message).into_response()
}

async fn ready(State(pages): State<Pages>) -> Response {
    let waiting_for = pages.fleet.waiting_for();
    let now = SystemTime::now();
    let page = Ready {
        ready: waiting_for.is_none(),
        waiting_for,
        access: pages.access.to_string(),
        generation: pages.fleet.snapshot().map_or(0, |snapshot| snapshot.generation),
        proxies: pages.fleet.proxies().len(),
        registries: pages
            .registries
            .borrow()
            .registries
            .iter()
            .map(|state| registry(state, now))
            .collect(),
    };
    let status = if page.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, json_page(&page)).into_response()
}

async fn version() -> Response {
    json_page(&json!({ "name": "outrigger-pilot", "version": env!("CARGO_PKG_VERSION") }))
}

async fn metrics(State(pages): State<Pages>) -> Response {
    let content_type = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    let page = aside(move || pages.metrics.page(&gauges(&pages))).await;
    page.map_or_else(failed, |page| (content_type, page).into_response())
}

async fn registryz(State(pages): State<Pages>) -> Response {
    let readings = services::readings(&pages.registries.borrow().registries, SystemTime::now());
    with_snapshot(&pages, |snapshot| {
        json_page(&services::registryz(
            &snapshot.catalog,
            &snapshot.addresses,
            &readings,
        ))
    })
}

async fn endpointz(State(pages): State<Pages>, Query(parameters): Parameters) -> Response {
    with_snapshot(&pages, |snapshot| {
        match parameters.get("brief").map(String::as_str) {
            None | Some("0" | "false") => {
                json_page(&endpoints::endpointz(&snapshot.catalog, &snapshot.peers))
            }
            Some(_) => endpoints::brief(&snapshot.catalog).into_response(),
        }
    })
}

async fn configz(State(pages): State<Pages>) -> Response {
    with_snapshot(&pages, |snapshot| {
        json_page(
            &snapshot
                .objects()
                .map(|object| object.to_json())
                .collect::<Vec<_>>(),
        )
    })
}

async fn adsz(State(pages): State<Pages>, Query(parameters): Parameters) -> Response {
    if parameters.contains_key("push") {
        let message =
            "push is not needed: every change is pushed by itself, and what proxies have is not sent again\n";
        return (StatusCode::BAD_REQUEST, message).into_response();
    }
    json_page(&proxies::adsz(&pages.fleet.proxies()))
}

async fn syncz(State(pages): State<Pages>) -> Response {
    json_page(&sync::syncz(&pages.fleet.proxies()))
}

/// An empty body before the first publication.
async fn push_status_page(State(pages): State<Pages>) -> Response {
    match pages.fleet.publication() {
        None => StatusCode::OK.into_response(),
        Some((generation, start, end)) => {
            let findings = aside(move || pages.fleet.findings()).await;
            findings.map_or_else(failed, |findings| {
                json_page(&push_status::push_status(&findings, start, end, generation))
            })
        }
    }
}

async fn config_dump(State(pages): State<Pages>, Query(parameters): Parameters) -> Response {
    let Some(id) = parameters.get("proxyID").filter(|id| !id.is_empty()) else {
        let message = "say which proxy: /debug/config_dump?proxyID=ID, with an id from /debug/syncz\n";
        return (StatusCode::BAD_REQUEST, message).into_response();
    };
    let proxies = pages.fleet.proxies();
    // A workload's id alone will do when it is clear.
    let of_workload = || {
        let mut found = proxies.values().filter(|proxy| proxy.node.workload == *id);
        found.next().filter(|_| found.next().is_none())
    };
    let Some(proxy) = proxies.get(id).or_else(of_workload) else {
        return (
            StatusCode::NOT_FOUND,
            format!("no proxy {id:?} is connected; see /debug/syncz\n"),
        )
            .into_response();
    };
    let mut dump = outrigger_xds::dump::snapshot(&proxy.resources);
    if let Some(page) = dump.as_object_mut() {
        page.insert("proxy".into(), proxy.node.id.as_str().into());
        page.insert("generation".into(), proxy.resources.generation().into());
    }
    json_page(&dump)
}

/// Runs `work`, which may compile, away from the threads that serve streams.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, JoinError> {
    tokio::task::spawn_blocking(work).await
}

fn failed(error: JoinError) -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response()
}

fn with_snapshot(pages: &Pages, page: impl FnOnce(&Snapshot) -> Response) -> Response {
    match pages.fleet.snapshot() {
        Some(snapshot) => page(&snapshot),
        None => {
            let why = pages.fleet.waiting_for().unwrap_or_default();
            (
                StatusCode::SERVICE_UNAVAILABLE,
                format!("nothing to show yet: {why}\n"),
            )
                .into_response()
        }
    }
}

fn json_page(page: &impl Serialize) -> Response {
    match serde_json::to_vec_pretty(page) {
        Ok(mut body) => {
            body.push(b'\n');
            ([(header::CONTENT_TYPE, "application/json")], body).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

fn gauges(pages: &Pages) -> Gauges {
    let (fleet, now) = (&pages.fleet, SystemTime::now());
    let registries = pages
        .registries
        .borrow()
        .registries
        .iter()
        .map(|state| Reading {
            registry: state.name.clone(),
            synced: state.synced,
            unread: count(state.unread.len()),
            stale: state.stale_for(now).unwrap_or_default(),
            restored: state.restored_for(now),
        })
        .collect();
    let mut gauges = Gauges {
        registries,
        ..Gauges::default()
    };
    for proxy in fleet.proxies().values() {
        *gauges.proxies.entry(proxy.node.version.clone()).or_default() += 1;
    }
    if let Some(snapshot) = fleet.snapshot() {
        gauges.services = count(snapshot.catalog.services.len());
        gauges.generation = snapshot.generation;
        gauges.virtual_services = count(snapshot.rules.routing_rules());
    }
    let findings = fleet.findings();
    for topic in Topic::ALL {
        let found = findings.iter().filter(|finding| finding.topic == topic).count();
        gauges.findings.insert(topic.name(), count(found));
    }
    gauges
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
