//! The promises about speed, each with its figure of this run and its bar.

use std::fmt;

use serde::Serialize;

use super::Report;
use crate::case::Case;
use crate::contender::Proxy;
use crate::convergence::DEBOUNCE;
use crate::measure::{CaseResult, Figures};
use crate::startup::Started;

/// CPU per request of HTTP/1.1 with 200 bytes, by peer: ours is at most this part of theirs.
const CPU_BARS: [(Proxy, f64); 2] = [(Proxy::Envoy, 0.5), (Proxy::Haproxy, 1.15)];
/// Idle memory with the whole table, MiB.
const MEMORY_BAR: f64 = 14.0;
/// Start to first answer, ours by HAProxy's.
const START_BAR: f64 = 1.0;
/// With many clients, convergence may take the debounce and this many times what it takes with one.
const CROWD_BAR: f64 = 5.0;

/// A promise and what became of it.
#[derive(Debug, Serialize)]
pub(super) struct Promise {
    what: String,
    figure: Option<f64>,
    /// `None` where the bar itself comes from a figure that is not there.
    bar: Option<f64>,
    unit: &'static str,
    pub(super) verdict: Verdict,
}

/// What became of a promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Verdict {
    /// The figure is within the bar.
    Holds,
    /// It is not.
    Missed,
    /// There is no figure in this run.
    NotMeasured,
}

impl Promise {
    fn new(what: impl Into<String>, figure: Option<f64>, bar: Option<f64>, unit: &'static str) -> Promise {
        let verdict = match figure.zip(bar) {
            None => Verdict::NotMeasured,
            Some((figure, bar)) if figure <= bar => Verdict::Holds,
            Some(_) => Verdict::Missed,
        };
        Promise {
            what: what.into(),
            figure,
            bar,
            unit,
            verdict,
        }
    }
}

impl fmt::Display for Promise {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = self.unit;
        out.write_str(&self.what)?;
        if let Some(figure) = self.figure {
            write!(out, " {figure:.2}{unit}")?;
        }
        if let Some(bar) = self.bar {
            write!(out, " (bar {bar:.2}{unit})")?;
        }
        out.write_str(match self.verdict {
            Verdict::Holds => " holds",
            Verdict::Missed => " MISSED",
            Verdict::NotMeasured => " not measured",
        })
    }
}

/// Every promise, judged by this run.
pub(super) fn judge(report: &Report) -> Vec<Promise> {
    let mut promises = Vec::new();
    let ours = figures(report, Proxy::Outrigger);
    for (peer, bar) in CPU_BARS {
        let ratio = ours
            .zip(figures(report, peer))
            .map(|(ours, theirs)| ours.cpu.ratio(&theirs.cpu));
        promises.push(Promise::new(
            format!("h1 200 B CPU ours/{}", peer.title()),
            ratio,
            Some(bar),
            "",
        ));
    }
    let settled = report.start.as_ref().map_or(60.0, |start| start.settled_after);
    let memory =
        started(report, Proxy::Outrigger).map(|started| started.idle.rss as f64 / f64::from(1 << 20));
    let what = format!("idle RSS with 300 clusters, {settled} s after the start");
    promises.push(Promise::new(what, memory, Some(MEMORY_BAR), " MiB"));
    let start = started(report, Proxy::Outrigger)
        .zip(started(report, Proxy::Haproxy))
        .map(|(ours, theirs)| ours.first_answer.ratio(&theirs.first_answer));
    promises.push(Promise::new(
        "start to first answer ours/haproxy",
        start,
        Some(START_BAR),
        "",
    ));
    let convergence = report.pilot.as_ref().and_then(|pilot| pilot.result.as_ref().ok());
    let debounce = DEBOUNCE.as_secs_f64() * 1e3;
    let bar = convergence.map(|found| debounce + CROWD_BAR * found.one.last.p99());
    let last = convergence.map(|found| found.many.last.p99());
    promises.push(Promise::new(
        "rule to the last of 100 clients, p99",
        last,
        bar,
        " ms",
    ));
    promises
}

fn figures(report: &Report, proxy: Proxy) -> Option<&Figures> {
    let case = report.cases.iter().find(|report| report.case == Case::H1Small)?;
    let entry = case.entries.iter().find(|entry| entry.proxy == proxy)?;
    match &entry.result {
        CaseResult::Measured(figures) => Some(figures),
        CaseResult::Unable(_) | CaseResult::Failed(_) => None,
    }
}

fn started(report: &Report, proxy: Proxy) -> Option<&Started> {
    let entry = report
        .start
        .as_ref()?
        .entries
        .iter()
        .find(|entry| entry.proxy == proxy)?;
    entry.result.as_ref().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_says_its_figure_its_bar_and_what_became_of_it() {
        let said = |figure| Promise::new("h1 200 B CPU ours/envoy", figure, Some(0.5), "").to_string();

        assert_eq!(said(Some(0.43)), "h1 200 B CPU ours/envoy 0.43 (bar 0.50) holds");
        assert_eq!(said(Some(0.51)), "h1 200 B CPU ours/envoy 0.51 (bar 0.50) MISSED");
        assert_eq!(said(None), "h1 200 B CPU ours/envoy (bar 0.50) not measured");
        assert_eq!(
            Promise::new("x", Some(f64::NAN), Some(0.5), "").verdict,
            Verdict::Missed
        );
    }
}
