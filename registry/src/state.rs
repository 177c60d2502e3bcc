//! What an adapter delivers: its last good catalogue, how old it is and what went wrong since.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use outrigger_api::model::Catalog;
use serde::Serialize;
use tokio::sync::watch;

use crate::abort::AbortOnDrop;

/// `last_success` alone is told this often.
pub(crate) const REFRESH: Duration = Duration::from_secs(10);

/// One registry as it stands now. The catalogue survives every failure; the other fields say how far to
/// trust it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegistryState {
    /// Name that the operator knows: `static`, `consul`.
    pub name: String,
    /// The last good reading.
    pub catalog: Catalog,
    /// True once the whole registry was read at least once.
    pub synced: bool,
    /// True once any part of it was read: it answers, even where not everything can be read.
    pub begun: bool,
    /// What of it was not read yet since the start; empty once it is `synced`.
    pub unread: Vec<Part>,
    /// When that was last read that stands in for the unread parts: a catalogue saved before the restart.
    pub restored: Option<SystemTime>,
    /// Since when (a part of) the catalogue may be out of date; `None` while every reading works.
    pub stale_since: Option<SystemTime>,
    /// The newest failure, kept only while it lasts.
    pub last_error: Option<String>,
    /// When the registry was last read well. Refreshed at least every ten seconds of successful reading,
    /// or with the next answer of a registry that has nothing to say.
    pub last_success: Option<SystemTime>,
    /// What was skipped or changed while mapping, sorted: conflicting ports, odd names, bad tags.
    pub warnings: Vec<String>,
    /// What the registry says of itself, for debug pages (Consul: `lastContactMs`, `knownLeader` ...).
    pub facts: Vec<Fact>,
}

/// A part of a registry that was not read yet: a datacenter, a service, a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// As the operator knows it: `datacenter dc2`, `services/2.yaml`.
    pub name: String,
    /// The only host that it has instances of; `None` when it may declare any.
    pub host: Option<String>,
    /// The locality of all its instances; `None` when it holds its hosts whole.
    pub locality: Option<String>,
    /// Why it cannot be read; `None` while it was not tried to the end.
    pub error: Option<String>,
}

impl Part {
    /// A part that may declare any host, of which nothing else is known.
    pub fn all(name: impl Into<String>) -> Part {
        Part {
            name: name.into(),
            host: None,
            locality: None,
            error: None,
        }
    }
}

/// One thing a registry says of itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Fact {
    /// lowerCamelCase name, with the datacenter in front where there are several (`dc1.lastContactMs`).
    pub name: String,
    /// Its value as text.
    pub value: String,
}

impl RegistryState {
    /// The state of an adapter that has not read anything yet.
    pub fn unread(name: impl Into<String>) -> RegistryState {
        let name = name.into();
        RegistryState {
            unread: vec![Part::all(&name)],
            name,
            ..RegistryState::default()
        }
    }

    /// True when every part was read or tried to the end, and at least one could not be read.
    pub fn has_failed(&self) -> bool {
        !self.synced && !self.unread.is_empty() && self.unread.iter().all(|part| part.error.is_some())
    }

    /// True when some part was read, and what was not read is not merely under way.
    pub fn is_read_in_part(&self) -> bool {
        self.begun && self.has_failed()
    }

    /// True when listeners should hear of this state: more than the time of the last reading differs from
    /// `before`, or that time is old.
    pub(crate) fn is_news_after(&self, before: &RegistryState) -> bool {
        let age = match (before.last_success, self.last_success) {
            (Some(old), Some(new)) => new.duration_since(old).unwrap_or_default(),
            (None, None) => Duration::ZERO,
            _ => REFRESH,
        };
        age >= REFRESH
            || self.catalog != before.catalog
            || self.synced != before.synced
            || self.begun != before.begun
            || self.unread != before.unread
            || self.stale_since != before.stale_since
            || self.last_error != before.last_error
            || self.warnings != before.warnings
    }

    /// Tells the log what turned since `before`: a failure that begins, its end, the first whole reading.
    pub(crate) fn log_turn(&self, before: &RegistryState) {
        match (&before.last_error, &self.last_error) {
            (None, Some(error)) => {
                tracing::warn!(registry = self.name, "{error}; {}", self.consequence());
            }
            (Some(_), None) => tracing::info!(registry = self.name, "the registry is read well again"),
            _ => {}
        }
        if self.synced && !before.synced {
            let services = self.catalog.services.len();
            tracing::info!(registry = self.name, services, "the registry was read");
        }
    }

    /// What a failure means for the services.
    fn consequence(&self) -> &'static str {
        match (self.synced, self.catalog.services.is_empty()) {
            (true, _) => "the last good state is kept",
            (false, true) => "nothing of it has been read since the start",
            (false, false) => "a part of it has not been read since the start",
        }
    }

    /// How old that is which stands in for what was not read since the start; `None` when nothing does.
    pub fn restored_for(&self, now: SystemTime) -> Option<Duration> {
        let read_at = self.restored?;
        Some(now.duration_since(read_at).unwrap_or_default())
    }

    /// How much of it was read, in words: `read`, `restored, read 70 s ago`.
    pub fn reading(&self, now: SystemTime) -> String {
        let restored = self
            .restored_for(now)
            .map(|age| format!("restored, read {} s ago", age.as_secs()));
        match (self.synced, self.begun, restored) {
            (true, ..) => "read".to_owned(),
            (false, false, None) => "not read yet".to_owned(),
            (false, true, None) => "read in part".to_owned(),
            (false, false, Some(restored)) => restored,
            (false, true, Some(restored)) => format!("read in part, the rest {restored}"),
        }
    }

    /// The parts that were not read yet, each with why; at most `most`, then how many more.
    pub fn unread_parts(&self, most: usize) -> Vec<String> {
        let mut shown: Vec<String> = self
            .unread
            .iter()
            .take(most)
            .map(|part| match &part.error {
                Some(error) => format!("{}: {error}", part.name),
                None => format!("{}: not read yet", part.name),
            })
            .collect();
        if let Some(more) = self.unread.len().checked_sub(most).filter(|more| *more > 0) {
            shown.push(format!("{more} more parts"));
        }
        shown
    }

    /// How long the catalogue has been out of date; `None` while it is fresh.
    pub fn stale_for(&self, now: SystemTime) -> Option<Duration> {
        let since = self.stale_since?;
        Some(now.duration_since(since).unwrap_or_default())
    }
}

/// A running adapter. Dropping it stops the adapter.
#[derive(Debug)]
pub struct RegistryHandle {
    /// The newest state; changes wake the receiver.
    pub state: watch::Receiver<Arc<RegistryState>>,
    _task: AbortOnDrop,
}

impl RegistryHandle {
    /// Ties a state to the task that keeps it.
    pub(crate) fn new(state: watch::Receiver<Arc<RegistryState>>, task: AbortOnDrop) -> RegistryHandle {
        RegistryHandle { state, _task: task }
    }

    /// A registry that somebody else feeds, for embedding a source of one's own: nothing runs, the sender
    /// decides.
    pub fn fed(state: watch::Receiver<Arc<RegistryState>>) -> RegistryHandle {
        RegistryHandle::new(state, AbortOnDrop::nothing())
    }

    /// The newest state.
    pub fn current(&self) -> Arc<RegistryState> {
        self.state.borrow().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_before_the_first_good_reading_promises_no_last_good_state() {
        let mut state = RegistryState::unread("static");
        assert_eq!(state.consequence(), "nothing of it has been read since the start");

        state.synced = true;
        assert_eq!(state.consequence(), "the last good state is kept");
    }

    #[test]
    fn how_much_was_read_is_said_with_the_age_of_what_stands_in() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(100);
        let mut state = RegistryState::unread("consul");
        assert_eq!(state.reading(now), "not read yet");
        state.restored = Some(now - Duration::from_secs(30));
        assert_eq!(state.reading(now), "restored, read 30 s ago");
        state.begun = true;
        assert_eq!(
            state.reading(now),
            "read in part, the rest restored, read 30 s ago"
        );
        state.restored = None;
        assert_eq!(state.reading(now), "read in part");
        state.synced = true;
        assert_eq!(state.reading(now), "read");
    }

    #[test]
    fn a_registry_is_read_in_part_when_nothing_is_under_way_and_something_failed() {
        let failed = |error: Option<&str>| Part {
            error: error.map(str::to_owned),
            ..Part::all("datacenter dc2")
        };
        let state = |begun, unread| RegistryState {
            begun,
            unread,
            ..RegistryState::unread("consul")
        };

        assert!(state(true, vec![failed(Some("refused"))]).is_read_in_part());
        assert!(!state(true, vec![failed(Some("refused")), failed(None)]).is_read_in_part());
        assert!(!state(false, vec![failed(Some("refused"))]).is_read_in_part());
        assert_eq!(
            state(true, vec![failed(Some("refused")), failed(None), failed(None)]).unread_parts(2),
            [
                "datacenter dc2: refused",
                "datacenter dc2: not read yet",
                "1 more parts"
            ]
        );
    }

    #[test]
    fn age_is_counted_from_the_first_failure_and_never_negative() {
        let since = SystemTime::UNIX_EPOCH + Duration::from_secs(100);
        let state = RegistryState {
            stale_since: Some(since),
            ..RegistryState::unread("consul")
        };

        assert_eq!(
            state.stale_for(since + Duration::from_secs(7)),
            Some(Duration::from_secs(7))
        );
        assert_eq!(
            state.stale_for(since - Duration::from_secs(7)),
            Some(Duration::ZERO)
        );
        assert_eq!(RegistryState::unread("consul").stale_for(since), None);
    }
}
