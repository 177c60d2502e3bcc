//! `/debug/push_status`: what pilot found at its last publication.

use std::collections::BTreeMap;

use serde::Deserialize;

/// `/debug/push_status`, as far as it is read here: findings by metric, then by object.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct PushStatus {
    #[serde(rename = "ProxyStatus")]
    topics: BTreeMap<String, BTreeMap<String, FindingEntry>>,
}

/// One finding.
#[derive(Default, Deserialize)]
#[serde(default)]
struct FindingEntry {
    message: String,
}

impl PushStatus {
    /// The messages about each object, by its key.
    pub(super) fn by_object(self) -> BTreeMap<String, Vec<String>> {
        let mut objects: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (key, finding) in self.topics.into_values().flatten() {
            objects.entry(key).or_default().push(finding.message);
        }
        objects
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pilot_found_is_gathered_by_object() {
        let status: PushStatus = serde_json::from_str(
            r#"{"ProxyStatus": {
                "pilot_shadowed_routes": {"route-rule/default/a": {"proxy": "", "message": "never reached"}},
                "pilot_total_rejected_configs": {"route-rule/default/a": {"message": "left out"}}}}"#,
        )
        .unwrap();

        assert_eq!(
            status.by_object()["route-rule/default/a"],
            ["never reached", "left out"]
        );
    }
}
