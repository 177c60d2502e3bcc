//! What the world is told of a Consul: the newest state, its warnings, and the log lines of its turns.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::watch;

use super::mapping;
use super::query::Key;
use super::settings::Settings;
use crate::state::{Fact, Part, REFRESH, RegistryState};

/// Warnings kept on the debug page, and remembered as logged.
const SHOWN: usize = 100;
const LOGGED: usize = 10_000;

/// Tells listeners and the log, each thing once.
pub(super) struct Report {
    sender: watch::Sender<Arc<RegistryState>>,
    logged: BTreeSet<String>,
}

impl Report {
    pub(super) fn new(sender: watch::Sender<Arc<RegistryState>>) -> Report {
        Report {
            sender,
            logged: BTreeSet::new(),
        }
    }

    /// Waits until nobody listens any more.
    pub(super) async fn unheard(&self) {
        self.sender.closed().await;
    }

    /// True when listeners should hear of a reading although it changed nothing.
    pub(super) fn is_due(&self, last_success: Option<SystemTime>) -> bool {
        match (self.sender.borrow().last_success, last_success) {
            (Some(told), Some(last)) => last.duration_since(told).unwrap_or_default() >= REFRESH,
            (told, last) => told != last,
        }
    }

    /// Makes `next` the state, if it says anything new.
    pub(super) fn tell(&mut self, next: RegistryState) {
        for warning in &next.warnings {
            if self.logged.len() < LOGGED && self.logged.insert(warning.clone()) {
                tracing::warn!(registry = next.name, "{warning}");
            }
        }
        self.sender.send_if_modified(|current| {
            let news = next.is_news_after(current);
            if news {
                next.log_turn(current);
                *current = Arc::new(next);
            }
            news
        });
    }
}

/// The warnings of a state: what mapping found, what is held up, and not too many of them.
pub(super) fn warnings<'a>(mut found: Vec<String>, doubted: impl Iterator<Item = &'a Key>) -> Vec<String> {
    found.extend(doubted.map(|key| match key {
        Key::List(_) => "a list of services that loses most instances waits for a second reading".to_owned(),
        Key::Health(_, service) => {
            format!("service {service}: a reading that loses most instances waits for a second one")
        }
    }));
    if found.len() > SHOWN {
        let more = found.len() - SHOWN;
        found.truncate(SHOWN);
        found.push(format!("{more} more warnings"));
    }
    found
}

/// A part that was not read yet, as the operator knows it. The instances of one datacenter of several are told by
/// their locality; with a single one all of them are meant.
pub(super) fn part(key: &Key, settings: &Settings, error: Option<String>) -> Part {
    let datacenter = settings.datacenters.get(key.datacenter());
    let place = match datacenter {
        Some(name) => format!("datacenter {name}"),
        None => "the agent's datacenter".to_owned(),
    };
    let (name, host) = match key {
        Key::List(_) => (place, None),
        Key::Health(_, service) => (
            format!("service {service} of {place}"),
            mapping::host(service, settings).ok(),
        ),
    };
    Part {
        name,
        host,
        locality: datacenter.filter(|_| settings.datacenters.len() > 1).cloned(),
        error,
    }
}

/// One fact.
pub(super) fn fact(name: impl Into<String>, value: impl Display) -> Fact {
    Fact {
        name: name.into(),
        value: value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn warnings_are_bounded_and_name_what_is_held_up() {
        let held = Key::Health(0, "a".into());
        assert_eq!(
            warnings(vec!["one".into()], std::iter::once(&held)),
            [
                "one",
                "service a: a reading that loses most instances waits for a second one"
            ]
        );

        let many = warnings(vec!["x".into(); 250], std::iter::empty());
        assert_eq!(
            (many.len(), many.last().map(String::as_str)),
            (101, Some("150 more warnings"))
        );
    }

    #[test]
    fn an_unread_part_is_named_and_bound_to_its_datacenter_where_there_are_several() {
        let several = Settings {
            datacenters: vec!["dc1".into(), "dc2".into()],
            ..Settings::default()
        };
        let service = part(&Key::Health(1, "a".into()), &several, None);
        assert_eq!(service.name, "service a of datacenter dc2");
        assert_eq!(
            (service.host.as_deref(), service.locality.as_deref()),
            (Some("a.service.consul"), Some("dc2"))
        );

        let all = part(&Key::List(0), &Settings::default(), Some("refused".into()));
        let expected = Part {
            error: Some("refused".into()),
            ..Part::all("the agent's datacenter")
        };
        assert_eq!(all, expected);
    }

    #[test]
    fn an_unchanged_registry_is_heard_of_every_ten_seconds() {
        let start = SystemTime::UNIX_EPOCH;
        let (sender, mut listener) = watch::channel(Arc::new(RegistryState::unread("consul")));
        let mut report = Report::new(sender);
        let state = |seconds| RegistryState {
            last_success: Some(start + Duration::from_secs(seconds)),
            ..RegistryState::unread("consul")
        };
        assert!(report.is_due(state(0).last_success));
        report.tell(state(0));
        assert!(listener.has_changed().unwrap());
        listener.mark_unchanged();

        report.tell(state(9));
        assert!(!report.is_due(state(9).last_success) && !listener.has_changed().unwrap());
        assert!(report.is_due(state(10).last_success));
        report.tell(state(10));
        assert!(listener.has_changed().unwrap());
    }
}
