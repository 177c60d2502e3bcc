//! The next query of a watch: where it goes, what it waits for, how long it may take. Pure.

use std::time::Duration;

use super::settings::Settings;
use super::watch::Watch;

/// A read without an index may take this long.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// A blocking query may take this much longer than its wait and the server's jitter of a sixteenth.
const SLACK: Duration = Duration::from_secs(5);

/// When watches take turns, each turn is this long.
const TURN: Duration = Duration::from_secs(1);

/// Waits outside of this are brought inside; ten minutes are Consul's most.
const WAIT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(600));

/// What a watch watches, in which datacenter (by position). Lists sort before services.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    /// The list of services.
    List(usize),
    /// The health of one service.
    Health(usize, String),
}

impl Key {
    pub(super) fn datacenter(&self) -> usize {
        match self {
            Key::List(datacenter) | Key::Health(datacenter, _) => *datacenter,
        }
    }
}

/// What a query must wait for before it goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// Nothing: lists are few.
    Free,
    /// A place among the reads that answer at once.
    FirstReads,
    /// A place among the blocking queries.
    Blocking,
}

/// One query, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Query {
    service: Option<String>,
    pub(super) index: Option<u64>,
    pub(super) parameters: Vec<(&'static str, String)>,
    pub(super) timeout: Duration,
    pub(super) lane: Lane,
}

impl Query {
    /// What `watch` asks next. `turns` when there are more services than may be waited for at once.
    pub(super) fn next(
        key: &Key,
        watch: &Watch,
        datacenter: Option<&str>,
        settings: &Settings,
        turns: bool,
    ) -> Query {
        let service = match key {
            Key::List(_) => None,
            Key::Health(_, service) => Some(service.clone()),
        };
        let index = watch.index();
        let mut parameters = Vec::new();
        if let Some(name) = datacenter {
            parameters.push(("dc", name.to_owned()));
        }
        if let Some(namespace) = &settings.namespace {
            parameters.push(("ns", namespace.clone()));
        }
        let mut timeout = READ_TIMEOUT;
        if let Some(index) = index {
            let wait = match turns && service.is_some() {
                true => TURN,
                false => settings.wait.clamp(WAIT.0, WAIT.1),
            };
            parameters.push(("index", index.to_string()));
            parameters.push(("wait", format!("{}ms", wait.as_millis())));
            timeout = wait + wait / 16 + SLACK;
        }
        // Any server may answer, except when a doubted reading is to be confirmed: that is for the leader.
        if !watch.is_doubted() {
            parameters.push(("stale", String::new()));
        }
        let lane = match (&service, index) {
            (None, _) => Lane::Free,
            (Some(_), None) => Lane::FirstReads,
            (Some(_), Some(_)) => Lane::Blocking,
        };
        Query {
            service,
            index,
            parameters,
            timeout,
            lane,
        }
    }

    /// The segments of its path.
    pub(super) fn path(&self) -> Vec<&str> {
        match &self.service {
            None => vec!["v1", "catalog", "services"],
            Some(service) => vec!["v1", "health", "service", service],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consul::watch::Conclusion;
    use std::time::{Instant, SystemTime};

    fn at(conclusion: Option<Conclusion>) -> Watch {
        let mut watch = Watch::default();
        if let Some(conclusion) = conclusion {
            let now = Instant::now();
            watch.conclude(conclusion, now, SystemTime::UNIX_EPOCH, now);
        }
        watch
    }

    fn written(query: &Query) -> String {
        let parameters: Vec<String> = query
            .parameters
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        format!(
            "/{}?{} {}ms {:?}",
            query.path().join("/"),
            parameters.join("&"),
            query.timeout.as_millis(),
            query.lane
        )
    }

    #[test]
    fn queries_say_what_they_wait_for() {
        let list = Key::List(0);
        let health = Key::Health(0, "a".into());
        let settings = Settings::default();
        let spaced = Settings {
            namespace: Some("team".into()),
            wait: Duration::from_secs(3600),
            ..Settings::default()
        };
        for (key, conclusion, datacenter, settings, turns, expected) in [
            (
                &list,
                None,
                None,
                &settings,
                false,
                "/v1/catalog/services?stale= 10000ms Free",
            ),
            (
                &list,
                Some(Conclusion::Believed(Some(7))),
                Some("dc2"),
                &settings,
                true,
                "/v1/catalog/services?dc=dc2&index=7&wait=30000ms&stale= 36875ms Free",
            ),
            (
                &health,
                None,
                None,
                &settings,
                true,
                "/v1/health/service/a?stale= 10000ms FirstReads",
            ),
            (
                &health,
                Some(Conclusion::Believed(Some(7))),
                None,
                &settings,
                true,
                "/v1/health/service/a?index=7&wait=1000ms&stale= 6062ms Blocking",
            ),
            (
                &health,
                Some(Conclusion::Believed(Some(7))),
                None,
                &spaced,
                false,
                "/v1/health/service/a?ns=team&index=7&wait=600000ms&stale= 642500ms Blocking",
            ),
            (
                &health,
                Some(Conclusion::Doubted),
                None,
                &settings,
                false,
                "/v1/health/service/a? 10000ms FirstReads",
            ),
        ] {
            let query = Query::next(key, &at(conclusion), datacenter, settings, turns);
            assert_eq!(written(&query), expected);
        }
    }
}
