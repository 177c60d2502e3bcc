//! `/config_dump`: every resource as it was delivered, in the frame of Envoy's own page.

use http::{StatusCode, Uri};
use outrigger_xds::TypeUrl;
use outrigger_xds::dump::{self, Entry};

use super::{Page, error, json, parameter, pattern};
use crate::admin::View;
use crate::admin::view::timestamp;

/// The types, by what `?resource=` calls them.
const KINDS: [(&str, TypeUrl); 4] = [
    ("clusters", TypeUrl::Cluster),
    ("endpoints", TypeUrl::Endpoint),
    ("listeners", TypeUrl::Listener),
    ("routes", TypeUrl::Route),
];

/// The last good version of each resource, with the reason when a newer one was refused; a resource that never was
/// good shows what was refused.
pub(super) fn config_dump(view: &View, uri: &Uri) -> Page {
    let wanted = parameter(uri, "resource");
    if let Some(wanted) = &wanted
        && !KINDS.iter().any(|(name, _)| name == wanted)
    {
        let message = format!("resource is clusters, endpoints, listeners or routes, found {wanted:?}");
        return error(StatusCode::BAD_REQUEST, &message);
    }
    let name = match parameter(uri, "name").map(|source| pattern(&source)).transpose() {
        Ok(name) => name,
        Err(reason) => return error(StatusCode::BAD_REQUEST, &reason),
    };
    let mut shown = Vec::new();
    for (called, kind) in KINDS {
        if wanted.as_ref().is_none_or(|wanted| wanted == called) {
            let records = view.records.kind(kind).records.into_iter();
            shown.extend(records.map(|(name, record)| (kind, name, record)));
        }
    }
    shown.retain(|(_, found, _)| name.as_ref().is_none_or(|name| name.is_match(found)));
    let texts = shown.iter().filter_map(|(kind, name, record)| {
        let refusal = record.refusal.as_ref();
        let delivered = record.good.as_ref().or(refusal.map(|(delivered, _)| delivered))?;
        Some((
            kind,
            name,
            delivered,
            timestamp(delivered.at),
            refusal.map_or("", |(_, reason)| reason),
        ))
    });
    let texts: Vec<_> = texts.collect();
    json(&dump::config_dump(texts.iter().map(
        |(kind, name, delivered, at, refused)| Entry {
            kind: **kind,
            name,
            version: &delivered.version,
            value: &delivered.value,
            last_updated: at,
            refused,
        },
    )))
}
