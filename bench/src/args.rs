//! The command line, and the plan that it amounts to.

use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Parser, ValueEnum};
use serde::Serialize;

use crate::case::Case;
use crate::contender::Proxy;

/// Measure Outrigger's proxy beside Envoy, HAProxy and nginx, and pilot's convergence
#[derive(Parser, Debug)]
#[command(
    name = "cargo xtask bench",
    after_help = "Examples:
  cargo xtask bench                       everything, about 8 minutes
  cargo xtask bench --short               fewer and shorter rounds, about 3 minutes
  cargo xtask bench --only h1-200 --peers envoy
  cargo xtask bench -o json > run.json"
)]
pub(crate) struct Args {
    /// Fewer and shorter rounds: figures to look at, not to quote
    #[arg(long)]
    short: bool,
    /// Only these parts
    #[arg(long, value_name = "PART", value_enum, value_delimiter = ',')]
    only: Vec<Section>,
    /// The proxies that run beside ours
    #[arg(
        long,
        value_name = "LIST",
        value_enum,
        value_delimiter = ',',
        default_value = "envoy,haproxy,nginx"
    )]
    peers: Vec<Proxy>,
    /// Leave our own proxy out
    #[arg(long)]
    without_ours: bool,
    /// Rounds of each measurement; their median is reported [default: 5, short: 3]
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// Length of one measured window, seconds [default: 2, short: 1]
    #[arg(long, value_name = "S")]
    seconds: Option<f64>,
    /// How long after its start a proxy's idle memory is read [default: 60s, short: 5s]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    settle: Option<Duration>,
    /// Leave pilot's convergence out
    #[arg(long)]
    no_pilot: bool,
    /// Exit with 1 when a mark is missed too, not only when something could not be measured
    #[arg(long)]
    pub(crate) gate: bool,
    /// Form of the report
    #[arg(short, long, value_enum, default_value = "text")]
    pub(crate) output: Output,
}

/// The form of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Tables for people.
    Text,
    /// One JSON object, every round in it.
    Json,
}

/// A part of the bench.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Section {
    /// Time from start to the first good answer, and memory some time later.
    Start,
    /// HTTP/1.1, answers of 200 bytes.
    #[value(name = "h1-200")]
    H1Small,
    /// HTTP/1.1, answers of 16 KiB.
    #[value(name = "h1-16k")]
    H1Large,
    /// HTTP/2 without TLS, answers of 200 bytes.
    H2c,
    /// Plain TCP, 200 bytes there and back.
    Tcp,
    /// Time from a rule's acknowledgement to the last client that holds it.
    Pilot,
}

/// What will be measured, and how much of it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Plan {
    #[serde(skip)]
    sections: Vec<Section>,
    /// In the order of the report, ours first.
    pub(crate) proxies: Vec<Proxy>,
    /// Rounds of each measurement.
    pub(crate) rounds: usize,
    /// Length of one measured window, seconds.
    #[serde(serialize_with = "as_seconds")]
    pub(crate) window: Duration,
    /// Load before each window that is not counted, seconds.
    #[serde(serialize_with = "as_seconds")]
    pub(crate) warmup: Duration,
    /// How long after its start a proxy's idle memory is read, seconds.
    #[serde(serialize_with = "as_seconds")]
    pub(crate) settle: Duration,
    /// Starts of each proxy.
    pub(crate) starts: usize,
    /// Requests in flight in the closed loop, and the most at the fixed rate.
    pub(crate) connections: usize,
    /// Rules stored for each number of clients.
    pub(crate) changes: usize,
    /// Clients of pilot in the crowded part.
    pub(crate) clients: usize,
}

impl Args {
    /// What these words amount to.
    pub(crate) fn plan(&self) -> Result<Plan> {
        let pick = |long: usize, short: usize| if self.short { short } else { long };
        let rounds = self.rounds.unwrap_or(pick(5, 3));
        let seconds = self.seconds.unwrap_or(pick(2, 1) as f64);
        if rounds == 0 {
            bail!("--rounds is 0, expected at least 1");
        }
        if !(0.1..=600.0).contains(&seconds) {
            bail!("--seconds is {seconds}, expected 0.1 to 600");
        }
        let sections = match self.only.as_slice() {
            [] => Section::value_variants(),
            chosen => chosen,
        };
        let sections = sections
            .iter()
            .copied()
            .filter(|section| *section != Section::Pilot || !self.no_pilot);
        let proxies = Proxy::value_variants()
            .iter()
            .copied()
            .filter(|proxy| match proxy {
                Proxy::Outrigger => !self.without_ours,
                peer => self.peers.contains(peer),
            });
        Ok(Plan {
            sections: sections.collect(),
            proxies: proxies.collect(),
            rounds,
            window: Duration::from_secs_f64(seconds),
            warmup: Duration::from_secs_f64((seconds / 4.0).clamp(0.1, 1.0)),
            settle: self.settle.unwrap_or(Duration::from_secs(pick(60, 5) as u64)),
            starts: pick(9, 5),
            connections: 32,
            changes: 50,
            clients: 100,
        })
    }
}

impl Plan {
    /// Whether a part is wanted.
    pub(crate) fn has(&self, section: Section) -> bool {
        self.sections.contains(&section)
    }

    /// The cases of traffic that are wanted.
    pub(crate) fn cases(&self) -> impl Iterator<Item = Case> {
        [
            (Section::H1Small, Case::H1Small),
            (Section::H1Large, Case::H1Large),
            (Section::H2c, Case::H2c),
            (Section::Tcp, Case::Tcp),
        ]
        .into_iter()
        .filter(|(section, _)| self.has(*section))
        .map(|(_, case)| case)
        .collect::<Vec<_>>()
        .into_iter()
    }
}

fn as_seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

/// A duration such as `60s`, `0.5s` or `250ms`.
fn duration(text: &str) -> Result<Duration, String> {
    let (number, scale) = match text.strip_suffix("ms") {
        Some(number) => (number, 0.001),
        None => (text.strip_suffix('s').unwrap_or_default(), 1.0),
    };
    let value: Option<f64> = number.parse().ok();
    value
        .and_then(|value| Duration::try_from_secs_f64(value * scale).ok())
        .ok_or_else(|| format!("{text:?} is not a duration such as 60s or 250ms"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn plan(words: &[&str]) -> Result<Plan> {
        Args::parse_from([&["bench"], words].concat()).plan()
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Args::command().debug_assert();
    }

    #[test]
    fn everything_is_measured_unless_parts_are_named() {
        let all = plan(&[]).unwrap();
        assert_eq!(all.cases().count(), 4);
        assert!(all.has(Section::Start) && all.has(Section::Pilot));
        assert_eq!(all.proxies, Proxy::value_variants());

        let some = plan(&["--only", "h1-200,pilot", "--no-pilot", "--peers", "haproxy"]).unwrap();
        assert_eq!(some.cases().collect::<Vec<_>>(), [Case::H1Small]);
        assert!(!some.has(Section::Start) && !some.has(Section::Pilot));
        assert_eq!(some.proxies, [Proxy::Outrigger, Proxy::Haproxy]);
    }

    #[test]
    fn a_length_of_nothing_is_refused() {
        assert!(plan(&["--rounds", "0"]).is_err());
        assert!(plan(&["--seconds", "0"]).is_err());
        assert!(plan(&["--seconds", "NaN"]).is_err());
    }

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("60s"), Ok(Duration::from_secs(60)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        for bad in ["60", "s", "-1s", "1m", "NaNs"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
