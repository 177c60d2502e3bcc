//! `/ready`: the registries that pilot reads.

use serde::Deserialize;

/// One registry that pilot reads, as `/ready` tells of it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Registry {
    name: String,
    synced: bool,
    reading: String,
    unread: Vec<String>,
    stale_seconds: Option<u64>,
    last_error: Option<String>,
}

impl Registry {
    /// What is wrong with it, if anything is.
    pub(crate) fn trouble(&self) -> Option<String> {
        let state = match (self.stale_seconds, self.synced) {
            (Some(seconds), true) => format!("stale {seconds} s"),
            (None, true) => return None,
            (_, false) if self.reading.is_empty() => "not read yet".to_owned(),
            (_, false) => self.reading.clone(),
        };
        let unread = || Some(self.unread.join("; ")).filter(|unread| !unread.is_empty());
        let why = self
            .last_error
            .clone()
            .or_else(unread)
            .unwrap_or_else(|| "no reason is known".to_owned());
        Some(format!("registry {}: {state}: {why}", self.name))
    }
}

/// `/ready`, as far as it is read here.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Ready {
    pub(super) registries: Vec<Registry>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_that_cannot_be_read_is_told_with_its_age() {
        let stale: Registry = serde_json::from_str(
            r#"{"name": "static", "synced": true, "stale_seconds": 12, "last_error": "no such file"}"#,
        )
        .unwrap();
        let good: Registry = serde_json::from_str(r#"{"name": "static", "synced": true}"#).unwrap();

        assert_eq!(
            stale.trouble().as_deref(),
            Some("registry static: stale 12 s: no such file")
        );
        assert_eq!(good.trouble(), None);
        let restored: Registry = serde_json::from_str(
            r#"{"name": "consul", "synced": false, "reading": "restored, read 70 s ago", "last_error": "refused"}"#,
        )
        .unwrap();
        assert_eq!(
            restored.trouble().as_deref(),
            Some("registry consul: restored, read 70 s ago: refused")
        );
    }
}
