//! `/debug/push_status`: what the last publication found.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Moment;
use crate::finding::{Event, Finding, by_topic};

/// The page, with the field names of the reference.
#[derive(Debug, Serialize)]
pub struct PushStatus {
    /// By metric, then by object.
    #[serde(rename = "ProxyStatus")]
    proxy_status: BTreeMap<&'static str, BTreeMap<String, Event>>,
    /// When the publication began.
    #[serde(rename = "Start")]
    start: Moment,
    /// When it was done.
    #[serde(rename = "End")]
    end: Moment,
    /// The version of the configuration that was published.
    generation: u64,
}

/// The page of a publication.
pub fn push_status(findings: &[Finding], start: Moment, end: Moment, generation: u64) -> PushStatus {
    PushStatus {
        proxy_status: by_topic(findings),
        start,
        end,
        generation,
    }
}
