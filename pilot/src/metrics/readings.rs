//! How far each registry was read, and how old that is, as numbers.

use std::time::Duration;

use super::{Page, escaped};

/// How far a registry was read, and how old that is.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// Its name.
    pub registry: String,
    /// It was read whole since the start.
    pub synced: bool,
    /// Parts that were not read since the start.
    pub unread: u64,
    /// How long readings have failed.
    pub stale: Duration,
    /// How old that is which was saved before the restart and stands in.
    pub restored: Option<Duration>,
}

/// Writes the families of all `registries`.
pub(super) fn write(page: &mut Page, registries: &[Reading]) {
    let mut family = |name: &str, help: &str, value: &dyn Fn(&Reading) -> Option<u64>| {
        page.family(name, "gauge", help);
        for reading in registries {
            let labels = format!("{{registry=\"{}\"}}", escaped(&reading.registry));
            if let Some(value) = value(reading) {
                page.line(name, &labels, value);
            }
        }
    };
    family(
        "pilot_registry_synced",
        "1 when the registry was read whole since the start",
        &|reading| Some(u64::from(reading.synced)),
    );
    family(
        "pilot_registry_unread_parts",
        "files, datacenters or services of the registry that were not read since the start",
        &|reading| Some(reading.unread),
    );
    family(
        "pilot_registry_stale_seconds",
        "seconds since readings of the registry began to fail",
        &|reading| Some(reading.stale.as_secs()),
    );
    family(
        "pilot_registry_restored_seconds",
        "age of what was saved before the restart, while it stands in for what was not read",
        &|reading| reading.restored.map(|age| age.as_secs()),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_has_an_age_of_what_was_restored_only_while_that_stands_in() {
        let consul = Reading {
            registry: "consul".into(),
            unread: 1,
            stale: Duration::from_secs(7),
            restored: Some(Duration::from_secs(90)),
            ..Reading::default()
        };
        let file = Reading {
            registry: "static".into(),
            synced: true,
            ..Reading::default()
        };
        let mut page = Page::default();

        write(&mut page, &[consul, file]);

        let lines: Vec<&str> = page.0.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            lines,
            [
                "pilot_registry_synced{registry=\"consul\"} 0",
                "pilot_registry_synced{registry=\"static\"} 1",
                "pilot_registry_unread_parts{registry=\"consul\"} 1",
                "pilot_registry_unread_parts{registry=\"static\"} 0",
                "pilot_registry_stale_seconds{registry=\"consul\"} 7",
                "pilot_registry_stale_seconds{registry=\"static\"} 0",
                "pilot_registry_restored_seconds{registry=\"consul\"} 90",
            ]
        );
    }
}
