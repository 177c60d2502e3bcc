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
        RegistryState {
            name: name.into(),
            ..RegistryState::default()
        }
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
            (false, true) => "nothing is served from it until that is mended",
            (false, false) => "what could be read may wait until that is mended",
        }
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
        assert_eq!(
            state.consequence(),
            "nothing is served from it until that is mended"
        );

        state.synced = true;
        assert_eq!(state.consequence(), "the last good state is kept");
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
