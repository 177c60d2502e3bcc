//! What pilot says of the connected proxies, for the verbs that show it.

use std::fmt;
use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::connection::Connection;
use crate::failure::{Failure, chain};

/// Where pilot's pages are.
#[derive(Args, Clone, Debug)]
pub(crate) struct PilotArgs {
    /// Address of pilot's debug pages
    #[arg(
        long,
        env = "OUTRIGGER_PILOT",
        value_name = "URL",
        default_value = "http://127.0.0.1:15007"
    )]
    pilot: String,
}

/// A pilot that can be asked.
pub(crate) struct Pilot {
    address: String,
    client: reqwest::Client,
    token: Option<String>,
}

/// One connected proxy.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Proxy {
    /// Its node id.
    pub(crate) id: String,
    /// Version of the store that it runs entirely; 0 before the first.
    pub(crate) acked_version: u64,
    /// Its own version.
    pub(crate) version: String,
    /// How far it is with each type.
    pub(crate) clusters: Sync,
    /// See `clusters`.
    pub(crate) listeners: Sync,
    /// See `clusters`.
    pub(crate) endpoints: Sync,
    /// See `clusters`.
    pub(crate) routes: Sync,
    /// What it refuses and why, while it does.
    pub(crate) refusal: Option<String>,
    /// The version of the store that was refused.
    #[serde(skip)]
    refused_version: u64,
}

/// Whether what was sent was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Sync {
    /// What was sent last is accepted.
    #[serde(rename = "SYNCED")]
    Synced,
    /// Something newer was sent than was accepted.
    #[serde(rename = "STALE")]
    Stale,
    /// Nothing was sent: the proxy did not ask.
    #[serde(rename = "NOT SENT")]
    NotSent,
}

impl fmt::Display for Sync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Sync::Synced => "SYNCED",
            Sync::Stale => "STALE",
            Sync::NotSent => "NOT SENT",
        })
    }
}

impl Proxy {
    /// Says that it does not run all of `version` yet, and why if that is known.
    pub(crate) fn behind(&self, version: u64) -> String {
        if self.acked_version >= version {
            let refusal = self.refusal.as_deref().unwrap_or("a part of it");
            return format!("{} runs version {}, but refused {refusal}", self.id, self.acked_version);
        }
        let why = self
            .refusal
            .as_ref()
            .map(|refusal| format!("; it refused {refusal}"))
            .unwrap_or_default();
        format!(
            "{} runs version {}, not yet {version}{why}",
            self.id, self.acked_version
        )
    }

    /// What it refuses of `version` or a later one.
    pub(crate) fn refusal_since(&self, version: u64) -> Option<String> {
        let refusal = self
            .refusal
            .as_ref()
            .filter(|_| self.refused_version >= version)?;
        Some(format!("{}: {refusal}", self.id))
    }
}

impl Pilot {
    /// A client for the pilot that the flags name.
    pub(crate) fn new(args: &PilotArgs, connection: &Connection) -> Result<Pilot, Failure> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(10))
            .build()
            .map_err(|error| Failure::one(format!("cannot make an HTTP client: {}", chain(&error))))?;
        let token = connection.token()?.map(|token| token.header_value());
        Ok(Pilot {
            address: args.pilot.trim_end_matches('/').to_owned(),
            client,
            token,
        })
    }

    /// Where it is.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Every connected proxy, by id.
    pub(crate) async fn proxies(&self) -> Result<Vec<Proxy>, Failure> {
        let mut request = self.client.get(format!("{}/debug/syncz", self.address));
        if let Some(token) = &self.token {
            request = request.header("authorization", token);
        }
        let answer = request
            .send()
            .await
            .and_then(reqwest::Response::error_for_status)
            .map_err(|error| {
                Failure::one(format!(
                    "cannot reach pilot at {}: {}; is `outrigger serve` running? (--pilot sets the address)",
                    self.address,
                    chain(&error)
                ))
            })?;
        let entries: Vec<Entry> = answer.json().await.map_err(|error| {
            Failure::one(format!(
                "the answer of {} is not pilot's: {}",
                self.address,
                chain(&error)
            ))
        })?;
        Ok(entries.into_iter().map(Proxy::from).collect())
    }
}

/// One entry of `/debug/syncz`, as far as it is read here.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    proxy: String,
    proxy_version: String,
    generation: Option<u64>,
    cluster_sent: String,
    cluster_acked: String,
    listener_sent: String,
    listener_acked: String,
    endpoint_sent: String,
    endpoint_acked: String,
    route_sent: String,
    route_acked: String,
    last_nack: Option<Nack>,
}

/// The newest refusal.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Nack {
    r#type: String,
    resources: Vec<String>,
    message: String,
    generation: u64,
    standing: bool,
}

impl From<Entry> for Proxy {
    fn from(entry: Entry) -> Proxy {
        let compare = |sent: &str, acked: &str| match (sent, acked) {
            ("", _) => Sync::NotSent,
            (sent, acked) if sent == acked => Sync::Synced,
            _ => Sync::Stale,
        };
        let nack = entry.last_nack.filter(|nack| nack.standing);
        Proxy {
            acked_version: entry.generation.unwrap_or_default(),
            clusters: compare(&entry.cluster_sent, &entry.cluster_acked),
            listeners: compare(&entry.listener_sent, &entry.listener_acked),
            endpoints: compare(&entry.endpoint_sent, &entry.endpoint_acked),
            routes: compare(&entry.route_sent, &entry.route_acked),
            refused_version: nack.as_ref().map(|nack| nack.generation).unwrap_or_default(),
            refusal: nack
                .map(|nack| format!("{} {}: {}", nack.r#type, nack.resources.join(", "), nack.message)),
            id: entry.proxy,
            version: entry.proxy_version,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(text: &str) -> Proxy {
        Proxy::from(serde_json::from_str::<Entry>(text).unwrap())
    }

    #[test]
    fn equal_nonces_are_synced_and_nothing_sent_is_said() {
        let proxy = proxy(r#"{"proxy": "a", "cluster_sent": "1", "cluster_acked": "1", "route_sent": "2"}"#);

        assert_eq!(
            [proxy.clusters, proxy.routes, proxy.listeners],
            [Sync::Synced, Sync::Stale, Sync::NotSent]
        );
    }

    #[test]
    fn a_refusal_counts_for_the_versions_up_to_the_refused_one() {
        let proxy = proxy(
            r#"{"proxy": "a", "generation": 6, "last_nack":
                {"type": "Route", "resources": ["r"], "message": "bad", "generation": 7, "standing": true}}"#,
        );

        assert_eq!(proxy.refusal_since(7).as_deref(), Some("a: Route r: bad"));
        assert_eq!(proxy.refusal_since(8), None);
        assert!(
            proxy
                .behind(7)
                .contains("runs version 6, not yet 7; it refused Route r: bad")
        );
    }
}
