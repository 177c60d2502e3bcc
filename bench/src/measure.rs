//! One case of traffic: every proxy runs at once, idle but for its turns; each round gives each of them a turn, and
//! the order rotates from round to round.
//!
//! First the closed loop (CPU per request, requests per second, memory under load), then the open loop at one rate
//! for all: half of what the slowest of them did in the closed loop.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, bail};
use serde::Serialize;

use crate::accounting::{CpuTime, Memory};
use crate::args::Plan;
use crate::case::Case;
use crate::contender::{Instance, Proxy, Rig};
use crate::load::{self, Generator, Http2, Load, Outcome, Pace, Sockets};
use crate::spread::Spread;
use crate::{interrupt, mesh_table, say};

/// A 99th percentile of fewer requests is none.
const FEWEST: u64 = 100;

/// What was measured in one case.
#[derive(Debug, Serialize)]
pub(crate) struct CaseReport {
    /// The case.
    pub(crate) case: Case,
    /// Requests a second of the open loop; `None` when no proxy could be measured.
    pub(crate) rate: Option<f64>,
    /// One entry a proxy.
    pub(crate) entries: Vec<CaseEntry>,
}

/// One proxy in one case.
#[derive(Debug, Serialize)]
pub(crate) struct CaseEntry {
    /// The proxy.
    pub(crate) proxy: Proxy,
    /// What is different about it in this case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<&'static str>,
    /// The figures.
    #[serde(flatten)]
    pub(crate) result: CaseResult,
}

/// How it went.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CaseResult {
    /// Figures.
    Measured(Box<Figures>),
    /// It cannot do this, and does not claim to.
    Unable(String),
    /// It should have been measured, but could not be.
    Failed(String),
}

/// The figures of one proxy.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    /// CPU of the proxy's process per request in the closed loop, microseconds.
    pub(crate) cpu: Spread,
    /// Good answers a second in the closed loop.
    pub(crate) rate: Spread,
    /// Share of the closed loop in which the proxy was on the CPU, percent; well below 100 means that the load, not
    /// the proxy, set the rate.
    pub(crate) busy: Spread,
    /// Median latency in the open loop, microseconds.
    pub(crate) p50: Spread,
    /// 99th percentile of the latency in the open loop, microseconds.
    pub(crate) p99: Spread,
    /// CPU per request in the open loop, microseconds.
    pub(crate) open_cpu: Spread,
    /// Memory at the end of the last closed loop.
    pub(crate) loaded: Memory,
}

/// Measures a case.
pub(crate) fn case(case: Case, plan: &Plan, rig: &Rig<'_>) -> Result<CaseReport> {
    let host = mesh_table::measured_host();
    let body = load::body(case.body());
    match case {
        Case::H1Small | Case::H1Large => {
            let mut sockets = Sockets::http(&host, body)?;
            let backend = sockets.backend();
            Interleaved::start(case, plan, rig, &mut sockets, backend)?.measure()
        }
        Case::Tcp => {
            let mut sockets = Sockets::echo(body)?;
            let backend = sockets.backend();
            Interleaved::start(case, plan, rig, &mut sockets, backend)?.measure()
        }
        Case::H2c => {
            let mut http2 = Http2::new(&host, &body)?;
            let backend = http2.backend();
            Interleaved::start(case, plan, rig, &mut http2, backend)?.measure()
        }
    }
}

struct Interleaved<'a> {
    case: Case,
    plan: &'a Plan,
    generator: &'a mut dyn Generator,
    lanes: Vec<Lane>,
}

/// One proxy and its figures so far.
struct Lane {
    proxy: Proxy,
    state: State,
    closed: Vec<Sample>,
    open: Vec<Sample>,
}

enum State {
    Running(Box<Instance>),
    Unable(String),
    Failed(String),
}

struct Sample {
    outcome: Outcome,
    cpu: Duration,
    memory: Memory,
}

impl<'a> Interleaved<'a> {
    fn start(
        case: Case,
        plan: &'a Plan,
        rig: &Rig<'_>,
        generator: &'a mut dyn Generator,
        backend: SocketAddr,
    ) -> Result<Interleaved<'a>> {
        say(format_args!(
            "{}: {} rounds of {:?}, twice",
            case.title(),
            plan.rounds,
            plan.window
        ));
        let mut lanes = Vec::new();
        for proxy in plan.proxies.iter().copied() {
            interrupt::check()?;
            let state = match rig.unable(proxy, case) {
                Some(why) => State::Unable(why),
                None => match ready(proxy, case, rig, &mut *generator, backend) {
                    Ok(instance) => State::Running(Box::new(instance)),
                    Err(error) => State::Failed(format!("{error:#}")),
                },
            };
            lanes.push(Lane {
                proxy,
                state,
                closed: Vec::new(),
                open: Vec::new(),
            });
        }
        Ok(Interleaved {
            case,
            plan,
            generator,
            lanes,
        })
    }

    fn measure(mut self) -> Result<CaseReport> {
        self.rounds(Pace::Closed)?;
        let slowest = self
            .lanes
            .iter()
            .filter_map(Lane::closed_rate)
            .fold(f64::INFINITY, f64::min);
        let rate = slowest.is_finite().then(|| (slowest / 2.0).round());
        if let Some(rate) = rate {
            self.rounds(Pace::Open { rate })?;
        }
        let case = self.case;
        let entries = self.lanes.into_iter().map(|lane| lane.into_entry(case));
        Ok(CaseReport {
            case,
            rate,
            entries: entries.collect(),
        })
    }

    fn rounds(&mut self, pace: Pace) -> Result<()> {
        for round in 0..self.plan.rounds {
            let turn = round % self.lanes.len().max(1);
            let (later, first) = self.lanes.split_at_mut(turn);
            for lane in first.iter_mut().chain(later) {
                interrupt::check()?;
                lane.turn(pace, self.plan, self.generator)?;
            }
        }
        Ok(())
    }
}

fn ready(
    proxy: Proxy,
    case: Case,
    rig: &Rig<'_>,
    generator: &mut dyn Generator,
    backend: SocketAddr,
) -> Result<Instance> {
    let mut instance = rig.start(proxy, case, backend, 0)?;
    instance.first_answer(generator)?;
    Ok(instance)
}

impl Lane {
    fn turn(&mut self, pace: Pace, plan: &Plan, generator: &mut dyn Generator) -> Result<()> {
        let State::Running(instance) = &mut self.state else {
            return Ok(());
        };
        let load = Load {
            target: instance.target,
            in_flight: plan.connections,
            pace,
            warmup: plan.warmup,
            window: plan.window,
        };
        match sample(instance, &load, generator) {
            Ok(sample) if pace == Pace::Closed => self.closed.push(sample),
            Ok(sample) => self.open.push(sample),
            Err(error) => {
                // Where the bench itself was told to stop, nothing is wrong with the proxy.
                interrupt::check()?;
                self.state = State::Failed(format!("{error:#}"));
            }
        }
        Ok(())
    }

    fn closed_rate(&self) -> Option<f64> {
        if !matches!(self.state, State::Running(_)) {
            return None;
        }
        Spread::of(self.closed.iter().map(Sample::rate)).map(|rates| rates.median())
    }

    fn into_entry(self, case: Case) -> CaseEntry {
        let Lane {
            proxy,
            state,
            closed,
            open,
        } = self;
        let result = match state {
            State::Unable(why) => CaseResult::Unable(why),
            State::Failed(why) => CaseResult::Failed(why),
            State::Running(_) => figures(&closed, &open).map_or_else(
                || CaseResult::Failed("there is no figure".to_owned()),
                |figures| CaseResult::Measured(Box::new(figures)),
            ),
        };
        CaseEntry {
            proxy,
            note: proxy.note(case),
            result,
        }
    }
}

fn figures(closed: &[Sample], open: &[Sample]) -> Option<Figures> {
    let latency = |share: f64| {
        let all = open.iter().map(|sample| sample.outcome.latencies.quantile(share));
        let micros: Option<Vec<f64>> = all.map(|latency| Some(latency?.as_secs_f64() * 1e6)).collect();
        Spread::of(micros?)
    };
    Some(Figures {
        cpu: Spread::of(closed.iter().map(Sample::cpu_per_request))?,
        rate: Spread::of(closed.iter().map(Sample::rate))?,
        busy: Spread::of(closed.iter().map(Sample::busy))?,
        p50: latency(0.5)?,
        p99: latency(0.99)?,
        open_cpu: Spread::of(open.iter().map(Sample::cpu_per_request))?,
        loaded: closed.last()?.memory,
    })
}

fn sample(instance: &mut Instance, load: &Load, generator: &mut dyn Generator) -> Result<Sample> {
    let pid = instance.process.pid();
    let mut edges = Vec::with_capacity(2);
    let outcome = generator.run(load, &mut || {
        edges.push(CpuTime::of(pid)?);
        Ok(())
    });
    let outcome = outcome.map_err(|error| match instance.process.must_be_running() {
        Ok(()) => error,
        Err(ended) => ended,
    })?;
    if let Some(first) = &outcome.first_error {
        bail!("{} of the requests failed, the first: {first}", outcome.errors);
    }
    let [before, after] = edges.as_slice() else {
        bail!("the load was over before its window was")
    };
    if outcome.done == 0 {
        bail!("no request was answered within {:?}", load.window);
    }
    if outcome.latencies.len() < FEWEST {
        let (few, window) = (outcome.latencies.len(), load.window);
        bail!(
            "{few} requests within {window:?} are too few for a 99th percentile; --seconds sets the window"
        );
    }
    Ok(Sample {
        outcome,
        cpu: after.since(before),
        memory: Memory::of(pid)?,
    })
}

impl Sample {
    fn cpu_per_request(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.outcome.done as f64
    }

    fn rate(&self) -> f64 {
        self.outcome.done as f64 / self.outcome.window.as_secs_f64()
    }

    fn busy(&self) -> f64 {
        self.cpu.as_secs_f64() / self.outcome.window.as_secs_f64() * 100.0
    }
}
