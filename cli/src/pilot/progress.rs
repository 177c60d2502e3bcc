//! `/debug/syncz`: how far each connected proxy is.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::refusal::{Refusal, Subject};

/// One connected proxy.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Proxy {
    /// Its node id.
    pub(crate) id: String,
    /// Version of the store that it runs, refused content aside; 0 before the first.
    pub(crate) acked_version: u64,
    /// Its own version.
    pub(crate) version: String,
    /// When it connected, RFC 3339.
    pub(crate) since: String,
    /// How far it is with each type.
    pub(crate) clusters: Sync,
    /// See `clusters`.
    pub(crate) listeners: Sync,
    /// See `clusters`.
    pub(crate) endpoints: Sync,
    /// How much of the endpoints it accepted, in percent.
    pub(crate) endpoint_percent: u8,
    /// See `clusters`.
    pub(crate) routes: Sync,
    /// What it refuses, while it does.
    pub(crate) refusals: Vec<Refusal>,
}

/// Whether what was sent was accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Sync {
    /// What was sent last is accepted.
    #[serde(rename = "SYNCED")]
    Synced,
    /// Something newer was sent than was accepted.
    #[serde(rename = "STALE")]
    Stale,
    /// Nothing was sent: the proxy did not ask.
    #[default]
    #[serde(rename = "NOT SENT")]
    NotSent,
    /// The proxy says no to a part of it.
    #[serde(rename = "REFUSED")]
    Refused,
}

impl fmt::Display for Sync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Sync::Synced => "SYNCED",
            Sync::Stale => "STALE",
            Sync::NotSent => "NOT SENT",
            Sync::Refused => "REFUSED",
        })
    }
}

impl Proxy {
    /// One that runs `version` and refuses nothing.
    #[cfg(test)]
    pub(crate) fn connected(id: &str, version: u64) -> Proxy {
        Proxy::from(Entry {
            proxy: id.to_owned(),
            generation: Some(version),
            ..Entry::default()
        })
    }

    /// The name of the workload: the third part of the id `type~ip~name~domain`, or the id when it has another shape.
    pub(crate) fn name(&self) -> &str {
        self.id.split('~').nth(2).unwrap_or(&self.id)
    }

    /// True for a gateway: the first part of its id says `router`.
    pub(crate) fn is_router(&self) -> bool {
        self.id.split('~').next() == Some("router")
    }

    /// Says that it does not run `version` yet.
    pub(crate) fn behind(&self, version: u64) -> String {
        format!(
            "{} runs version {}, not yet {version}",
            self.id, self.acked_version
        )
    }

    /// What it refuses of one object.
    pub(crate) fn refusals_of<'a>(&'a self, subject: &'a Subject) -> impl Iterator<Item = &'a Refusal> {
        let concerns = |refusal: &&Refusal| refusal.concerns(subject);
        self.refusals.iter().filter(concerns)
    }

    /// What it refuses of `version` or a later one.
    pub(crate) fn refusals_since(&self, version: u64) -> impl Iterator<Item = &Refusal> {
        let since = move |refusal: &&Refusal| refusal.generation >= version;
        self.refusals.iter().filter(since)
    }
}

/// One entry of `/debug/syncz`, as far as it is read here.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Entry {
    proxy: String,
    proxy_version: String,
    since: String,
    generation: Option<u64>,
    endpoint_percent: u8,
    types: BTreeMap<String, TypeEntry>,
}

/// How far the proxy is with one type.
#[derive(Default, Deserialize)]
#[serde(default)]
struct TypeEntry {
    status: Sync,
    refused: BTreeMap<String, RefusedEntry>,
}

/// What it says against one resource.
#[derive(Default, Deserialize)]
#[serde(default)]
struct RefusedEntry {
    message: String,
    generation: u64,
    since: u64,
}

impl From<Entry> for Proxy {
    fn from(entry: Entry) -> Proxy {
        let status = |name: &str| {
            entry
                .types
                .get(name)
                .map(|entry| entry.status)
                .unwrap_or_default()
        };
        let (clusters, listeners) = (status("cds"), status("lds"));
        let (endpoints, routes) = (status("eds"), status("rds"));
        let refusals = entry.types.into_iter().flat_map(|(name, of_type)| {
            let refused = of_type.refused.into_iter();
            refused.map(move |(resource, refused)| Refusal {
                r#type: name.clone(),
                resource,
                message: refused.message,
                generation: refused.generation,
                since: refused.since,
            })
        });
        Proxy {
            acked_version: entry.generation.unwrap_or_default(),
            clusters,
            listeners,
            endpoints,
            endpoint_percent: entry.endpoint_percent,
            routes,
            refusals: refusals.collect(),
            id: entry.proxy,
            version: entry.proxy_version,
            since: entry.since,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy() -> Proxy {
        Proxy::from(
            serde_json::from_str::<Entry>(
                r#"{"proxy": "sidecar~127.0.0.1~web~mesh", "generation": 8, "types": {
                    "cds": {"status": "SYNCED"},
                    "rds": {"status": "REFUSED", "refused":
                        {"outbound|80||reviews.mesh": {"message": "bad", "generation": 7, "since": 7}}}}}"#,
            )
            .unwrap(),
        )
    }

    #[test]
    fn each_type_has_the_state_that_pilot_gives_it() {
        let proxy = proxy();

        assert_eq!(
            [proxy.clusters, proxy.routes, proxy.listeners],
            [Sync::Synced, Sync::Refused, Sync::NotSent]
        );
        assert_eq!(proxy.name(), "web");
    }
}
