//! What is in force: clusters, listeners, and the server itself.

use std::fmt::Write as _;

use http::StatusCode;
use outrigger_xds::TypeUrl;
use serde_json::{Value, json};

use super::{Page, plain};
use crate::admin::View;
use crate::admin::view::timestamp;
use crate::control::State;
use crate::table::{Cluster, Health, ListenerKind, Policy};

/// `/clusters`.
pub(super) fn clusters(view: &View, as_json: bool) -> Page {
    let table = view.current.load();
    let mut clusters: Vec<_> = table.clusters().collect();
    clusters.sort_by(|one, other| one.info.name.cmp(&other.info.name));
    if as_json {
        let statuses: Vec<_> = clusters.iter().map(|cluster| cluster_json(cluster)).collect();
        return super::json(&json!({ "cluster_statuses": statuses }));
    }
    let mut text = String::new();
    for cluster in clusters {
        cluster_text(&mut text, cluster);
    }
    plain(StatusCode::OK, text)
}

fn cluster_text(text: &mut String, cluster: &Cluster) {
    let (name, limits) = (&cluster.info.name, &cluster.info.limits);
    // Writing to a string cannot fail.
    let mut line = |key: &str, value: &dyn std::fmt::Display| {
        let _ = writeln!(text, "{name}::{key}::{value}");
    };
    line("policy", &policy(cluster));
    line("default_priority::max_connections", &limits.connections);
    line("default_priority::max_pending_requests", &limits.pending);
    line("default_priority::max_requests", &limits.requests);
    for member in cluster.endpoints.members() {
        let address = member.endpoint.address;
        line(&format!("{address}::rq_active"), &member.endpoint.active());
        line(&format!("{address}::weight"), &member.weight);
        line(&format!("{address}::health_flags"), &health(member.health));
        line(
            &format!("{address}::mesh"),
            &if member.endpoint.mesh_h2 { "h2" } else { "-" },
        );
    }
}

fn cluster_json(cluster: &Cluster) -> Value {
    let hosts: Vec<_> = cluster
        .endpoints
        .members()
        .iter()
        .map(|member| {
            let address = member.endpoint.address;
            json!({
                "address": {"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}},
                "weight": member.weight,
                "health": health(member.health),
                "mesh_h2": member.endpoint.mesh_h2,
                "rq_active": member.endpoint.active(),
            })
        })
        .collect();
    json!({
        "name": &*cluster.info.name,
        "policy": policy(cluster),
        "in_panic": cluster.endpoints.in_panic(),
        "host_statuses": hosts,
    })
}

fn policy(cluster: &Cluster) -> &'static str {
    match cluster.info.policy {
        Policy::RoundRobin => "ROUND_ROBIN",
        Policy::Random => "RANDOM",
        Policy::LeastRequest => "LEAST_REQUEST",
    }
}

fn health(health: Health) -> &'static str {
    match health {
        Health::Healthy => "healthy",
        Health::Unhealthy => "unhealthy",
    }
}

/// `/listeners`; a listener that was refused stands there with the reason.
pub(super) fn listeners(view: &View, as_json: bool) -> Page {
    let table = view.current.load();
    let records = view.records.kind(TypeUrl::Listener).records;
    let refusal = |name: &str| {
        records
            .get(name)?
            .refusal
            .as_ref()
            .map(|(_, reason)| reason.clone())
    };
    if as_json {
        let statuses: Vec<_> = table
            .listeners()
            .iter()
            .map(|listener| {
                let address = listener.address;
                let (kind, routes) = match &listener.kind {
                    ListenerKind::Http(http) => ("http", Some(http.routes.name.to_string())),
                    ListenerKind::Tcp(_) => ("tcp", None),
                };
                json!({
                    "name": &*listener.name,
                    "local_address": {
                        "socket_address": {"address": address.ip().to_string(), "port_value": address.port()}
                    },
                    "kind": kind,
                    "route_config_name": routes,
                    "last_refusal": refusal(&listener.name),
                })
            })
            .collect();
        return super::json(&json!({ "listener_statuses": statuses }));
    }
    let mut text = String::new();
    for listener in table.listeners() {
        let _ = writeln!(text, "{}::{}", listener.name, listener.address);
    }
    for (name, record) in &records {
        if let Some((_, reason)) = &record.refusal {
            let _ = writeln!(text, "{name}::refused::{}", reason.escape_debug());
        }
    }
    plain(StatusCode::OK, text)
}

/// `/server_info`.
pub(super) fn server_info(view: &View) -> Value {
    let (state, reason) = match view.life.state() {
        State::Live => ("LIVE", None),
        State::Starting(reason) => ("INITIALIZING", Some(reason)),
        State::Draining => ("DRAINING", None),
    };
    let control_plane = view.records.connection_state().map(|state| {
        json!({
            "target": state.target,
            "connected": state.connected,
            "since": timestamp(state.since),
            "last_error": state.last_error,
            "failures": state.failures,
        })
    });
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "state": state,
        "reason": reason,
        "uptime_current_epoch": format!("{}s", view.started.elapsed().as_secs()),
        "table": view.current.serial(),
        "concurrency": view.workers,
        "node": {"id": view.node_id},
        "control_plane": control_plane,
    })
}
