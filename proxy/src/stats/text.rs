//! Statistics as text, a line each, the way Envoy's `/stats` writes them; and as JSON.

use std::fmt::Write as _;

use regex::Regex;
use serde_json::json;

use super::{Scrape, Summary, Value};

/// `name: value`, sorted by name; only names that `filter` matches somewhere.
pub fn text(scrape: &Scrape, filter: Option<&Regex>) -> String {
    let mut text = String::new();
    each(scrape, filter, |name, value| {
        let _ = match value {
            Value::Counter(count) => writeln!(text, "{name}: {count}"),
            Value::Gauge(level) => writeln!(text, "{name}: {level}"),
            Value::Histogram(summary) => writeln!(text, "{name}: {}", quantiles(summary)),
        };
    });
    text
}

/// `{"stats": [{"name": .., "value": ..}]}`; a histogram has its quantiles in milliseconds.
pub fn json(scrape: &Scrape, filter: Option<&Regex>) -> serde_json::Value {
    let mut stats = Vec::new();
    each(scrape, filter, |name, value| {
        stats.push(match value {
            Value::Counter(count) => json!({"name": name, "value": count}),
            Value::Gauge(level) => json!({"name": name, "value": level}),
            Value::Histogram(summary) => {
                let of = |part| summary.quantile(part);
                json!({"name": name, "count": summary.count(), "sum_ms": summary.sum_micros as f64 / 1000.0,
                       "p50": of(0.5), "p90": of(0.9), "p99": of(0.99), "p99.9": of(0.999)})
            }
        });
    });
    json!({ "stats": stats })
}

fn each<'s>(scrape: &'s Scrape, filter: Option<&Regex>, mut show: impl FnMut(&str, &'s Value)) {
    let mut lines = Vec::new();
    for (owner, samples) in &scrape.0 {
        let prefix = owner.prefix();
        lines.extend(
            samples
                .iter()
                .map(|sample| (format!("{prefix}{}", sample.name), &sample.value)),
        );
    }
    lines.retain(|(name, _)| filter.is_none_or(|filter| filter.is_match(name)));
    lines.sort_by(|(one, _), (other, _)| one.cmp(other));
    for (name, value) in &lines {
        show(name, value);
    }
}

fn quantiles(summary: &Summary) -> String {
    if summary.count() == 0 {
        return "No recorded values".to_owned();
    }
    let parts = [
        (50.0, 0.5),
        (75.0, 0.75),
        (90.0, 0.9),
        (95.0, 0.95),
        (99.0, 0.99),
        (99.9, 0.999),
        (100.0, 1.0),
    ];
    let quantile = |(percent, part)| format!("P{percent}({:.3})", summary.quantile(part).unwrap_or_default());
    parts.map(quantile).join(" ")
}
