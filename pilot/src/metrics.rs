//! Pilot's own numbers, at `/metrics` in Prometheus text under the names of `spec/pilot.md` §9.

mod readings;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use outrigger_xds::TypeUrl;

pub use readings::Reading;

/// The numbers. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    inner: Arc<Mutex<Numbers>>,
}

#[derive(Debug, Default)]
struct Numbers {
    pushes: BTreeMap<&'static str, u64>,
    rejects: BTreeMap<&'static str, u64>,
    push_errors: u64,
    convergence: Seconds,
    publication: Seconds,
}

/// What is measured when the page is asked for.
#[derive(Clone, Debug, Default)]
pub struct Gauges {
    /// Connected proxies by version of the data plane.
    pub proxies: BTreeMap<String, u64>,
    /// Services in the catalogue.
    pub services: u64,
    /// VirtualServices and RouteRules.
    pub virtual_services: u64,
    /// Version of the configuration that is given out.
    pub generation: u64,
    /// Findings by metric.
    pub findings: BTreeMap<&'static str, u64>,
    /// How far each registry was read.
    pub registries: Vec<Reading>,
}

impl Metrics {
    /// A message went out.
    pub fn pushed(&self, kind: TypeUrl) {
        self.count(|numbers| *numbers.pushes.entry(kind.short()).or_default() += 1);
    }

    /// A publication failed.
    pub fn publication_failed(&self) {
        self.count(|numbers| numbers.push_errors += 1);
    }

    /// A proxy refused a message.
    pub fn rejected(&self, kind: TypeUrl) {
        self.count(|numbers| *numbers.rejects.entry(kind.short()).or_default() += 1);
    }

    /// A proxy runs what it was offered this long ago.
    pub fn converged(&self, after: Duration) {
        self.count(|numbers| numbers.convergence.observe(after));
    }

    /// A publication took this long.
    pub fn published(&self, took: Duration) {
        self.count(|numbers| numbers.publication.observe(took));
    }

    /// The page.
    pub fn page(&self, gauges: &Gauges) -> String {
        let numbers = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let mut page = Page::default();
        page.family(
            "pilot_xds",
            "gauge",
            "connected proxies by version of the data plane",
        );
        for (version, count) in &gauges.proxies {
            page.line(
                "pilot_xds",
                &format!("{{version=\"{}\"}}", escaped(version)),
                count,
            );
        }
        page.family("pilot_xds_pushes", "counter", "messages sent by type");
        for (kind, count) in &numbers.pushes {
            page.line("pilot_xds_pushes", &format!("{{type=\"{kind}\"}}"), count);
        }
        page.single(
            "pilot_xds_push_errors",
            "counter",
            "publications that failed",
            numbers.push_errors,
        );
        for (kind, count) in &numbers.rejects {
            let name = format!("pilot_xds_{kind}_reject");
            page.single(
                &name,
                "counter",
                "messages of the type that a proxy refused",
                count,
            );
        }
        let rejects: u64 = numbers.rejects.values().sum();
        page.single(
            "pilot_total_xds_rejects",
            "counter",
            "messages that a proxy refused",
            rejects,
        );
        let name = "pilot_proxy_convergence_time";
        page.histogram(
            name,
            "seconds from an offer until the proxy runs it",
            &numbers.convergence,
        );
        let name = "pilot_publication_time";
        page.histogram(
            name,
            "seconds to compile a snapshot for all proxies",
            &numbers.publication,
        );
        page.single(
            "pilot_services",
            "gauge",
            "services in the catalogue",
            gauges.services,
        );
        page.single(
            "pilot_virt_services",
            "gauge",
            "virtual services and route rules",
            gauges.virtual_services,
        );
        page.single(
            "pilot_generation",
            "gauge",
            "version of the configuration given out",
            gauges.generation,
        );
        readings::write(&mut page, &gauges.registries);
        for (name, count) in &gauges.findings {
            page.single(
                name,
                "gauge",
                "findings of this kind at /debug/push_status",
                count,
            );
        }
        page.0
    }

    fn count(&self, change: impl FnOnce(&mut Numbers)) {
        change(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Upper bounds in milliseconds.
const BOUNDS: [u64; 12] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000, 30_000];

/// A histogram of times.
#[derive(Debug, Default)]
struct Seconds {
    /// How many were at most the bound, each counted once, in its smallest.
    within: [u64; BOUNDS.len()],
    count: u64,
    sum: Duration,
}

impl Seconds {
    fn observe(&mut self, time: Duration) {
        let bound = BOUNDS
            .iter()
            .position(|bound| time <= Duration::from_millis(*bound));
        if let Some(bucket) = bound.and_then(|bound| self.within.get_mut(bound)) {
            *bucket += 1;
        }
        self.count += 1;
        self.sum = self.sum.saturating_add(time);
    }
}

/// The page being written. Writing to a `String` cannot fail.
#[derive(Default)]
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn line(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: impl std::fmt::Display) {
        self.family(name, kind, help);
        self.line(name, "", value);
    }

    fn histogram(&mut self, name: &str, help: &str, times: &Seconds) {
        self.family(name, "histogram", help);
        let mut so_far = 0;
        for (bound, within) in BOUNDS.iter().zip(times.within) {
            so_far += within;
            let seconds = Duration::from_millis(*bound).as_secs_f64();
            self.line(
                &format!("{name}_bucket"),
                &format!("{{le=\"{seconds}\"}}"),
                so_far,
            );
        }
        self.line(&format!("{name}_bucket"), "{le=\"+Inf\"}", times.count);
        self.line(&format!("{name}_sum"), "", times.sum.as_secs_f64());
        self.line(&format!("{name}_count"), "", times.count);
    }
}

fn escaped(label: &str) -> String {
    label
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_the_documented_names() {
        let metrics = Metrics::default();
        metrics.pushed(TypeUrl::Route);
        metrics.pushed(TypeUrl::Route);
        metrics.rejected(TypeUrl::Cluster);
        metrics.converged(Duration::from_millis(7));
        metrics.converged(Duration::from_secs(60));
        let gauges = Gauges {
            proxies: BTreeMap::from([("1.\"40".to_owned(), 2)]),
            services: 4,
            findings: BTreeMap::from([("pilot_no_ip", 1)]),
            ..Gauges::default()
        };

        let page = metrics.page(&gauges);

        for line in [
            "pilot_xds{version=\"1.\\\"40\"} 2",
            "pilot_xds_pushes{type=\"rds\"} 2",
            "pilot_xds_push_errors 0",
            "pilot_xds_cds_reject 1",
            "pilot_total_xds_rejects 1",
            "pilot_proxy_convergence_time_bucket{le=\"0.005\"} 0",
            "pilot_proxy_convergence_time_bucket{le=\"0.01\"} 1",
            "pilot_proxy_convergence_time_bucket{le=\"30\"} 1",
            "pilot_proxy_convergence_time_bucket{le=\"+Inf\"} 2",
            "pilot_proxy_convergence_time_count 2",
            "pilot_services 4",
            "pilot_no_ip 1",
        ] {
            assert!(page.lines().any(|found| found == line), "{line} in\n{page}");
        }
    }
}
