//! Counters of the server, as `/metrics` shows them.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::journal::{Journal, JournalError};
use crate::view::View;

/// Everything counted, and the journal's last word on its health.
#[derive(Debug)]
pub(crate) struct Measures {
    registry: Registry,
    requests: Family<Call, Counter>,
    durations: Family<Verb, Histogram, fn() -> Histogram>,
    /// Watches open now.
    pub(crate) watchers: Gauge,
    /// Watches closed because they were too slow.
    pub(crate) slow_watchers: Counter,
    flushes: Gauge,
    bytes: Gauge,
    version: Gauge,
    quarantined: Gauge,
    objects: Family<OfKind, Gauge>,
    journal_trouble: Mutex<Option<String>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Call {
    verb: &'static str,
    code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Verb {
    verb: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfKind {
    kind: &'static str,
}

impl Default for Measures {
    fn default() -> Self {
        let histogram: fn() -> Histogram = || Histogram::new([0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0]);
        let mut measures = Measures {
            registry: Registry::with_prefix("outrigger_apiserver"),
            requests: Family::default(),
            durations: Family::new_with_constructor(histogram),
            watchers: Gauge::default(),
            slow_watchers: Counter::default(),
            flushes: Gauge::default(),
            bytes: Gauge::default(),
            version: Gauge::default(),
            quarantined: Gauge::default(),
            objects: Family::default(),
            journal_trouble: Mutex::default(),
        };
        let registry = &mut measures.registry;
        registry.register("requests", "Requests answered", measures.requests.clone());
        registry.register(
            "request_seconds",
            "Time to the head of the answer",
            measures.durations.clone(),
        );
        registry.register("watchers", "Watches open now", measures.watchers.clone());
        registry.register(
            "slow_watchers",
            "Watches closed for being too slow",
            measures.slow_watchers.clone(),
        );
        registry.register(
            "journal_flushes",
            "Batches flushed since the start",
            measures.flushes.clone(),
        );
        registry.register(
            "journal_bytes",
            "Bytes of journal written since the start",
            measures.bytes.clone(),
        );
        registry.register(
            "version",
            "Highest resource version given out",
            measures.version.clone(),
        );
        registry.register(
            "quarantined",
            "Stored values that cannot be served",
            measures.quarantined.clone(),
        );
        registry.register("objects", "Objects stored", measures.objects.clone());
        measures
    }
}

impl Measures {
    pub(crate) fn request(&self, verb: &'static str, code: u16, took: Duration) {
        self.requests.get_or_create(&Call { verb, code }).inc();
        self.durations
            .get_or_create(&Verb { verb })
            .observe(took.as_secs_f64());
    }

    /// Takes over the journal's figures, and whether its last write failed.
    pub(crate) fn journal(&self, journal: &Journal, error: Option<&JournalError>) {
        self.flushes
            .set(i64::try_from(journal.flushes).unwrap_or(i64::MAX));
        self.bytes.set(i64::try_from(journal.bytes).unwrap_or(i64::MAX));
        *self
            .journal_trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = error.map(ToString::to_string);
    }

    /// Batches flushed since the start.
    #[cfg(test)]
    pub(crate) fn flushes(&self) -> i64 {
        self.flushes.get()
    }

    /// Why the last write of the journal failed; `None` when it did not.
    pub(crate) fn journal_trouble(&self) -> Option<String> {
        self.journal_trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The Prometheus text format.
    pub(crate) fn text(&self, view: &View) -> String {
        self.version
            .set(i64::try_from(view.version()).unwrap_or(i64::MAX));
        self.quarantined
            .set(i64::try_from(view.quarantine().len()).unwrap_or(i64::MAX));
        for (kind, count) in view.counts() {
            let gauge = self.objects.get_or_create(&OfKind { kind: kind.name() });
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        let mut text = String::new();
        match encode(&mut text, &self.registry) {
            Ok(()) => text,
            Err(_) => String::new(), // writing to a String does not fail
        }
    }
}
