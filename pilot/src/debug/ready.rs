//! `/ready`: whether proxies are served, and what the answer rests on.

use std::time::SystemTime;

use outrigger_registry::state::RegistryState;
use serde::Serialize;

use super::Moment;

/// The page. Its status is 200 when ready, else 503.
#[derive(Debug, Serialize)]
pub struct Ready {
    /// Whether proxies are taken in.
    pub ready: bool,
    /// What is waited for; absent when ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<String>,
    /// How the control ports are guarded: `loopback`, `token` or `anonymous`.
    pub access: String,
    /// Version of the configuration that is given out.
    pub generation: u64,
    /// Connected proxies.
    pub proxies: usize,
    /// The registries, in declared order.
    pub registries: Vec<Registry>,
}

/// One registry.
#[derive(Debug, Serialize)]
pub struct Registry {
    name: String,
    /// Whether it was read at least once.
    synced: bool,
    /// How much of it was read, in words: `read`, `read in part`, `restored, read 70 s ago`.
    reading: String,
    services: usize,
    /// What of it was not read since the start, and why: files, datacenters, services.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unread: Vec<String>,
    /// When that was read, before the restart, which stands in for it; absent when nothing does.
    #[serde(skip_serializing_if = "Option::is_none")]
    restored_from: Option<Moment>,
    /// The same as an age.
    #[serde(skip_serializing_if = "Option::is_none")]
    restored_seconds: Option<u64>,
    /// Since when it may be out of date; absent while every reading works.
    #[serde(skip_serializing_if = "Option::is_none")]
    stale_since: Option<Moment>,
    /// The same as an age.
    #[serde(skip_serializing_if = "Option::is_none")]
    stale_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_success: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// Parts of a registry that are named when they were not read.
pub const UNREAD_SHOWN: usize = 20;

/// What a registry says of itself, at `now`.
pub fn registry(state: &RegistryState, now: SystemTime) -> Registry {
    Registry {
        name: state.name.clone(),
        synced: state.synced,
        reading: state.reading(now),
        services: state.catalog.services.len(),
        unread: state.unread_parts(UNREAD_SHOWN),
        restored_from: state.restored.map(Moment),
        restored_seconds: state.restored_for(now).map(|age| age.as_secs()),
        stale_since: state.stale_since.map(Moment),
        stale_seconds: state.stale_for(now).map(|age| age.as_secs()),
        last_success: state.last_success.map(Moment),
        last_error: state.last_error.clone(),
        warnings: state.warnings.clone(),
    }
}
