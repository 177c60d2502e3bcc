//! Statistics in Prometheus' text format, named and labelled the way Envoy does it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::scrape::Owner;
use super::{BOUNDS, Scrape, Summary, Value};

/// Metrics of one name.
#[derive(Debug)]
struct Family {
    kind: &'static str,
    lines: String,
}

/// The whole scrape. A histogram without a value is left out.
pub fn prometheus(scrape: &Scrape) -> String {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    for (owner, samples) in &scrape.0 {
        let (group, label) = match owner {
            Owner::Cluster(name) => ("cluster", format!("envoy_cluster_name=\"{}\"", escaped(name))),
            Owner::Http(prefix) => (
                "http",
                format!("envoy_http_conn_manager_prefix=\"{}\"", escaped(prefix)),
            ),
            Owner::Listener(address) => (
                "listener",
                format!("envoy_listener_address=\"{}\"", escaped(address)),
            ),
            Owner::Tcp(prefix) => ("tcp", format!("envoy_tcp_prefix=\"{}\"", escaped(prefix))),
            Owner::Process(prefix) => (*prefix, String::new()),
        };
        for sample in samples {
            let (name, class) = without_class(sample.name);
            let labels = match (class, &*label) {
                (Some(class), label) => format!("envoy_response_code_class=\"{class}\",{label}"),
                (None, label) => label.to_owned(),
            };
            let name = format!("envoy_{}_{}", group.replace('.', "_"), name.replace('.', "_"));
            let kind = match &sample.value {
                Value::Counter(_) => "counter",
                Value::Gauge(_) => "gauge",
                Value::Histogram(summary) if summary.count() == 0 => continue,
                Value::Histogram(_) => "histogram",
            };
            let family = families.entry(name.clone()).or_insert(Family {
                kind,
                lines: String::new(),
            });
            write_sample(&mut family.lines, &name, &labels, &sample.value);
        }
    }
    let mut text = String::new();
    for (name, family) in families {
        let _ = write!(text, "# TYPE {name} {}\n{}", family.kind, family.lines);
    }
    text
}

fn write_sample(text: &mut String, name: &str, labels: &str, value: &Value) {
    let braced = if labels.is_empty() {
        String::new()
    } else {
        format!("{{{labels}}}")
    };
    // Writing to a string cannot fail.
    let _ = match value {
        Value::Counter(count) => writeln!(text, "{name}{braced} {count}"),
        Value::Gauge(level) => writeln!(text, "{name}{braced} {level}"),
        Value::Histogram(summary) => {
            write_histogram(text, name, labels, summary);
            writeln!(
                text,
                "{name}_sum{braced} {}\n{name}_count{braced} {}",
                summary.sum_micros as f64 / 1000.0,
                summary.count()
            )
        }
    };
}

fn write_histogram(text: &mut String, name: &str, labels: &str, summary: &Summary) {
    let comma = if labels.is_empty() { "" } else { "," };
    let mut sum = 0;
    let bounds = BOUNDS
        .iter()
        .map(|bound| bound.to_string())
        .chain(["+Inf".to_owned()]);
    for (count, bound) in summary.buckets.iter().zip(bounds) {
        sum += count;
        let _ = writeln!(text, "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {sum}");
    }
}

/// `upstream_rq_2xx` as `upstream_rq_xx` and `2`.
fn without_class(name: &'static str) -> (String, Option<char>) {
    if let Some(rest) = name.strip_suffix("xx")
        && let Some(class) = rest.chars().last().filter(char::is_ascii_digit)
    {
        return (format!("{}xx", &rest[..rest.len() - 1]), Some(class));
    }
    (name.to_owned(), None)
}

fn escaped(label: &str) -> String {
    label
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{ClusterStats, Sample};
    use super::*;

    #[test]
    fn names_labels_and_buckets_are_envoys() {
        let stats = ClusterStats::new(2);
        stats.shard(0).upstream_rq_total.add(3);
        stats.shard(1).answered(204, Duration::from_millis(7));
        let owner = Owner::Cluster("outbound|9080|v1|a\"b".into());
        let mut scrape = Scrape(vec![(owner, stats.samples())]);
        scrape.push(
            "server",
            vec![Sample {
                name: "live",
                value: Value::Gauge(1),
            }],
        );
        let text = prometheus(&scrape);
        for line in [
            "# TYPE envoy_cluster_upstream_rq_total counter",
            "envoy_cluster_upstream_rq_total{envoy_cluster_name=\"outbound|9080|v1|a\\\"b\"} 3",
            "envoy_cluster_upstream_rq_xx{envoy_response_code_class=\"2\",envoy_cluster_name=\"outbound|9080|v1|a\\\"b\"} 1",
            "envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name=\"outbound|9080|v1|a\\\"b\",le=\"5\"} 0",
            "envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name=\"outbound|9080|v1|a\\\"b\",le=\"10\"} 1",
            "envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name=\"outbound|9080|v1|a\\\"b\",le=\"+Inf\"} 1",
            "envoy_cluster_upstream_rq_time_sum{envoy_cluster_name=\"outbound|9080|v1|a\\\"b\"} 7",
            "envoy_server_live 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert_eq!(text.matches("# TYPE envoy_cluster_upstream_rq_xx ").count(), 1);
        assert!(
            !text.contains("upstream_cx_connect_ms"),
            "a histogram without a value is left out"
        );
    }
}
