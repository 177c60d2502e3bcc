//! Consul's JSON, as far as we read it. Absent and `null` mean the same to every Consul, so they do here.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

/// Answer of `/v1/catalog/services`: names with the tags of all instances, which we do not need.
pub(super) type Services = BTreeMap<String, IgnoredAny>;

/// One element of the answer of `/v1/health/service/NAME`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct HealthEntry {
    pub(super) node: Node,
    pub(super) service: AgentService,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(super) checks: Vec<HealthCheck>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Node {
    pub(super) address: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(super) datacenter: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(super) meta: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AgentService {
    #[serde(rename = "ID")]
    pub(super) id: String,
    pub(super) service: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(super) kind: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(super) tags: Vec<String>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(super) address: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(super) meta: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(super) port: i64,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(super) weights: Option<Weights>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Weights {
    pub(super) passing: i64,
    pub(super) warning: i64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct HealthCheck {
    pub(super) status: String,
}

fn null_is_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}
