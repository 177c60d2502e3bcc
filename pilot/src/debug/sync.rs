//! `/debug/syncz`: how far every connected proxy is, and what it refused. `proxy-status` prints it.

use std::collections::BTreeMap;
use std::sync::Arc;

use outrigger_xds::TypeUrl;
use outrigger_xds::server::{KindStatus, Push, SyncState};
use serde::Serialize;

use super::Moment;
use crate::fleet::ProxyView;
use crate::fleet::progress::Nack;

/// One proxy. The nonce fields are those of the reference: equal ones mean `SYNCED`, an empty `sent` means
/// `NOT SENT`, anything else `STALE`.
#[derive(Debug, Serialize)]
pub struct Entry {
    /// Node id.
    proxy: String,
    /// Version of the data plane.
    proxy_version: String,
    /// The same, under the name that older tools read.
    istio_version: String,
    /// `outrigger` or `envoy`.
    dialect: &'static str,
    /// Where it connected from.
    address: String,
    /// When it connected.
    since: Moment,
    cluster_sent: String,
    cluster_acked: String,
    listener_sent: String,
    listener_acked: String,
    route_sent: String,
    route_acked: String,
    endpoint_sent: String,
    endpoint_acked: String,
    /// 100 when the endpoints last sent were accepted, 0 before.
    endpoint_percent: u8,
    /// The version of the configuration that the proxy runs entirely, refused content aside; 0 before the first.
    /// An object of resourceVersion N is in force there when this is at least N and nothing of it is refused.
    generation: u64,
    /// The version that it is offered.
    offered_generation: u64,
    /// `SYNCED`, `STALE`, `NOT SENT` or `REFUSED`, with what is refused, by type.
    types: BTreeMap<&'static str, TypeEntry>,
    /// The newest refusal, `null` if there was none.
    last_nack: Option<NackEntry>,
}

#[derive(Debug, Serialize)]
struct TypeEntry {
    status: &'static str,
    sent_generation: Option<u64>,
    acked_generation: Option<u64>,
    /// By resource: what the proxy says against its present content.
    refused: BTreeMap<String, RefusedEntry>,
}

#[derive(Debug, Serialize)]
struct RefusedEntry {
    message: String,
    generation: u64,
    /// The generation with which the refusal began.
    since: u64,
}

#[derive(Debug, Serialize)]
struct NackEntry {
    #[serde(rename = "type")]
    kind: &'static str,
    resources: Vec<String>,
    message: String,
    generation: u64,
    time: Moment,
    /// True while some content is refused.
    standing: bool,
}

/// The page, by node id.
pub fn syncz(proxies: &BTreeMap<String, ProxyView>) -> Vec<Entry> {
    proxies.values().map(entry).collect()
}

fn entry(proxy: &ProxyView) -> Entry {
    let progress = &proxy.progress;
    let kind = |kind| progress.stream.kind(kind);
    let (cluster, listener) = (kind(TypeUrl::Cluster), kind(TypeUrl::Listener));
    let (route, endpoint) = (kind(TypeUrl::Route), kind(TypeUrl::Endpoint));
    let up_to_date = endpoint.sent.is_some() && nonce(&endpoint.sent) == nonce(&endpoint.acked);
    Entry {
        proxy: proxy.node.id.clone(),
        proxy_version: proxy.node.version.clone(),
        istio_version: proxy.node.version.clone(),
        dialect: proxy.node.dialect.as_str(),
        address: proxy.address.clone(),
        since: Moment(proxy.since),
        cluster_sent: nonce(&cluster.sent),
        cluster_acked: nonce(&cluster.acked),
        listener_sent: nonce(&listener.sent),
        listener_acked: nonce(&listener.acked),
        route_sent: nonce(&route.sent),
        route_acked: nonce(&route.acked),
        endpoint_sent: nonce(&endpoint.sent),
        endpoint_acked: nonce(&endpoint.acked),
        endpoint_percent: if up_to_date { 100 } else { 0 },
        generation: progress.generation.unwrap_or(0),
        offered_generation: proxy.resources.generation(),
        types: progress
            .stream
            .kinds()
            .map(|(kind, status)| (kind.short(), type_entry(status)))
            .collect(),
        last_nack: progress
            .last_nack
            .as_ref()
            .map(|nack| nack_entry(nack, progress.refuses())),
    }
}

fn nonce(push: &Option<Arc<Push>>) -> String {
    push.as_ref().map(|push| push.nonce.clone()).unwrap_or_default()
}

fn type_entry(status: &KindStatus) -> TypeEntry {
    TypeEntry {
        status: match status.sync() {
            SyncState::NotSent => "NOT SENT",
            SyncState::Synced => "SYNCED",
            SyncState::Stale => "STALE",
            SyncState::Refused => "REFUSED",
        },
        sent_generation: status.sent.as_ref().map(|push| push.generation),
        acked_generation: status.acked_generation(),
        refused: status
            .refused
            .iter()
            .map(|(name, refusal)| {
                let entry = RefusedEntry {
                    message: without_name(&refusal.message, name).to_owned(),
                    generation: refusal.generation,
                    since: refusal.since,
                };
                (name.to_string(), entry)
            })
            .collect(),
    }
}

/// A proxy's reason without the name that the page gives already.
fn without_name<'m>(message: &'m str, name: &str) -> &'m str {
    let rest = message
        .strip_prefix(name)
        .and_then(|rest| rest.strip_prefix(": "));
    rest.unwrap_or(message)
}

fn nack_entry(nack: &Nack, standing: bool) -> NackEntry {
    NackEntry {
        kind: nack.kind.short(),
        resources: nack.names.clone(),
        message: nack.message.clone(),
        generation: nack.generation,
        time: Moment(nack.at),
        standing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_does_not_repeat_the_name_that_it_stands_under() {
        let reason = "127.155.10.254_9080: address: cannot listen";

        assert_eq!(
            without_name(reason, "127.155.10.254_9080"),
            "address: cannot listen"
        );
        assert_eq!(without_name(reason, "127.155"), reason);
        assert_eq!(without_name("no such policy", "a"), "no such policy");
    }
}
