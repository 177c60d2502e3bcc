//! What the admin pages look at.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use outrigger_xds::TypeUrl;

use crate::control::{Life, Records, State};
use crate::stats::{Sample, Scrape, Value};
use crate::table::Current;

/// Handles on the proxy's state; none of them is on a request's path.
#[derive(Clone, Debug)]
pub struct View {
    /// The table in force.
    pub current: Arc<Current>,
    /// Starting, live or draining.
    pub life: Arc<Life>,
    /// What was delivered.
    pub records: Arc<Records>,
    /// Workers of the process.
    pub workers: usize,
    /// The node id sent to the control plane; blank with a static configuration.
    pub node_id: String,
    /// When the process started.
    pub started: Instant,
    /// Lines of the access log that were dropped because writing could not keep up.
    pub dropped_lines: Arc<AtomicU64>,
}

impl View {
    /// Every statistic, those of the process included.
    pub(super) fn scrape(&self, unused: bool) -> Scrape {
        let table = self.current.load();
        let mut scrape = Scrape::of(&table, unused);
        let counter = |name, count| Sample {
            name,
            value: Value::Counter(count),
        };
        let gauge = |name, level: usize| Sample {
            name,
            value: Value::Gauge(i64::try_from(level).unwrap_or(i64::MAX)),
        };
        let live = usize::from(self.life.state() == State::Live);
        let mut server = vec![
            gauge("live", live),
            gauge(
                "uptime",
                usize::try_from(self.started.elapsed().as_secs()).unwrap_or(usize::MAX),
            ),
            gauge("concurrency", self.workers),
            counter("access_log_dropped", self.dropped_lines.load(Ordering::Relaxed)),
            gauge("table", usize::try_from(table.serial).unwrap_or(usize::MAX)),
        ];
        let resident = crate::pressure::resident().and_then(|bytes| usize::try_from(bytes).ok());
        server.extend(resident.map(|bytes| gauge("memory_physical_size", bytes)));
        scrape.push("server", server);
        if let Some(state) = self.records.connection_state() {
            scrape.push(
                "control_plane",
                vec![gauge("connected_state", usize::from(state.connected))],
            );
        }
        for (kind, prefix, active) in [
            (
                TypeUrl::Cluster,
                "cluster_manager",
                Some(("active_clusters", table.clusters().count())),
            ),
            (
                TypeUrl::Listener,
                "listener_manager",
                Some(("total_listeners_active", table.listeners().len())),
            ),
            (TypeUrl::Endpoint, "eds", None),
            (TypeUrl::Route, "rds", None),
        ] {
            let (accepted, refused) = self.records.counts(kind);
            let names = match kind {
                TypeUrl::Cluster => ("cds.update_success", "cds.update_rejected"),
                TypeUrl::Listener => ("lds.update_success", "lds.update_rejected"),
                _ => ("update_success", "update_rejected"),
            };
            let mut samples = vec![counter(names.0, accepted), counter(names.1, refused)];
            samples.extend(active.map(|(name, count)| gauge(name, count)));
            scrape.push(prefix, samples);
        }
        scrape
    }
}

/// A moment as RFC 3339.
pub(super) fn timestamp(at: SystemTime) -> String {
    let at = time::OffsetDateTime::from(at);
    at.format(&time::format_description::well_known::Rfc3339)
        .unwrap_or_default()
}
