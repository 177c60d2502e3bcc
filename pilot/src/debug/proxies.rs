//! `/debug/adsz`: the connected proxies with the resources that are meant for them.

use std::collections::BTreeMap;

use outrigger_xds::TypeUrl;
use serde::Serialize;

use super::Moment;
use crate::finding::Event;
use crate::finding::by_topic;
use crate::fleet::ProxyView;

/// One proxy.
#[derive(Debug, Serialize)]
pub struct Entry {
    /// Node id.
    proxy: String,
    /// `sidecar` or `router`.
    role: &'static str,
    /// `outrigger` or `envoy`.
    dialect: &'static str,
    /// Where it connected from.
    address: String,
    /// When it connected.
    since: Moment,
    /// Version of the configuration that it is offered.
    generation: u64,
    /// By type: names of its resources with their content versions.
    resources: BTreeMap<&'static str, BTreeMap<String, String>>,
    /// What compilation found for it alone, by metric.
    findings: BTreeMap<&'static str, BTreeMap<String, Event>>,
}

/// The page, by node id.
pub fn adsz(proxies: &BTreeMap<String, ProxyView>) -> Vec<Entry> {
    proxies.values().map(entry).collect()
}

fn entry(proxy: &ProxyView) -> Entry {
    let of_type = |kind: TypeUrl| {
        let resources = proxy.resources.resources(kind).into_iter();
        resources
            .map(|resource| (resource.name().to_string(), resource.version().to_string()))
            .collect()
    };
    Entry {
        proxy: proxy.node.id.clone(),
        role: proxy.node.role.as_str(),
        dialect: proxy.node.dialect.as_str(),
        address: proxy.address.clone(),
        since: Moment(proxy.since),
        generation: proxy.resources.generation(),
        resources: TypeUrl::ALL
            .into_iter()
            .map(|kind| (kind.short(), of_type(kind)))
            .filter(|(_, resources): &(_, BTreeMap<_, _>)| !resources.is_empty())
            .collect(),
        findings: by_topic(proxy.findings.iter()),
    }
}
