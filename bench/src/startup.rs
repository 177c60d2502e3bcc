//! Start-up: from the start of the process to the first good answer; and memory some time after it.
//!
//! Each proxy is started several times, in rotating order; then one of each runs until its memory is read.

use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use crate::accounting::Memory;
use crate::args::Plan;
use crate::case::Case;
use crate::contender::{Instance, Proxy, Rig};
use crate::load::{self, Sockets};
use crate::spread::Spread;
use crate::{interrupt, mesh_table, say};

/// Start-up of every proxy.
#[derive(Debug, Serialize)]
pub(crate) struct Start {
    /// How long after its start a proxy's idle memory was read, seconds.
    pub(crate) settled_after: f64,
    /// One entry a proxy.
    pub(crate) entries: Vec<StartEntry>,
}

/// Start-up of one proxy.
#[derive(Debug, Serialize)]
pub(crate) struct StartEntry {
    /// The proxy.
    pub(crate) proxy: Proxy,
    /// Milliseconds to the first good answer, and memory; or what went wrong.
    pub(crate) result: Result<Started, String>,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Started {
    /// Milliseconds from the start of the process to the first good answer.
    pub(crate) first_answer: Spread,
    /// After one answer and some idle time.
    pub(crate) idle: Memory,
}

/// Measures start-up of every proxy.
pub(crate) fn measure(plan: &Plan, rig: &Rig<'_>) -> Result<Start> {
    say(format_args!("start-up: {} starts of each proxy", plan.starts));
    let mut sockets = Sockets::http(&mesh_table::measured_host(), load::body(Case::H1Small.body()))?;
    let mut times: Vec<(Proxy, Result<Vec<f64>, String>)> = plan
        .proxies
        .iter()
        .map(|proxy| (*proxy, Ok(Vec::new())))
        .collect();
    for round in 0..plan.starts {
        let turn = round % times.len().max(1);
        let (later, first) = times.split_at_mut(turn);
        for (proxy, figures) in first.iter_mut().chain(later) {
            let Ok(so_far) = figures else { continue };
            interrupt::check()?;
            match start(*proxy, rig, &mut sockets, round) {
                Ok((_, time)) => so_far.push(time.as_secs_f64() * 1e3),
                Err(error) => *figures = Err(format!("{error:#}")),
            }
        }
    }
    say(format_args!("idle memory: {:?} after the start", plan.settle));
    let idle = idle(plan, rig, &mut sockets)?;
    let entries = times.into_iter().zip(idle).map(|((proxy, figures), idle)| {
        let result = figures.and_then(|figures| {
            let first_answer = Spread::of(figures).ok_or("it was never started")?;
            Ok(Started {
                first_answer,
                idle: idle?,
            })
        });
        StartEntry { proxy, result }
    });
    Ok(Start {
        settled_after: plan.settle.as_secs_f64(),
        entries: entries.collect(),
    })
}

fn start(proxy: Proxy, rig: &Rig<'_>, sockets: &mut Sockets, number: usize) -> Result<(Instance, Duration)> {
    let mut instance = rig.start(proxy, Case::H1Small, sockets.backend(), number)?;
    let time = instance.first_answer(sockets)?;
    Ok((instance, time))
}

fn idle(plan: &Plan, rig: &Rig<'_>, sockets: &mut Sockets) -> Result<Vec<Result<Memory, String>>> {
    let running: Vec<Result<Instance, String>> = plan
        .proxies
        .iter()
        .map(|proxy| match start(*proxy, rig, sockets, plan.starts) {
            Ok((instance, _)) => Ok(instance),
            Err(error) => Err(format!("{error:#}")),
        })
        .collect();
    interrupt::pause(plan.settle)?;
    Ok(running
        .into_iter()
        .map(|instance| {
            let mut instance = instance?;
            instance
                .process
                .must_be_running()
                .map_err(|error| format!("{error:#}"))?;
            Memory::of(instance.process.pid()).map_err(|error| format!("{error:#}"))
        })
        .collect())
}
