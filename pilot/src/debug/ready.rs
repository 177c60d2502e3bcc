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
    services: usize,
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

/// What a registry says of itself, at `now`.
pub fn registry(state: &RegistryState, now: SystemTime) -> Registry {
    Registry {
        name: state.name.clone(),
        synced: state.synced,
        services: state.catalog.services.len(),
        stale_since: state.stale_since.map(Moment),
        stale_seconds: state.stale_for(now).map(|age| age.as_secs()),
        last_success: state.last_success.map(Moment),
        last_error: state.last_error.clone(),
        warnings: state.warnings.clone(),
    }
}
