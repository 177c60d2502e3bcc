//! Peers side by side: CPU per request, latency, memory, convergence.
//!
//! One run measures Outrigger's proxy beside Envoy, HAProxy and nginx, and how fast pilot carries a rule to its
//! proxies. `docs/benchmarks.md` says how and why; this file is its table of contents: [`startup`] first, then
//! [`measure`] for each case of traffic, then [`convergence`], then the [`report`].

mod accounting;
mod args;
mod case;
mod contender;
mod convergence;
mod cores;
mod interrupt;
mod load;
mod measure;
mod mesh_table;
mod ports;
mod process;
mod report;
mod spread;
mod startup;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use args::{Args, Section};
use report::Report;

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(report) => report.exit_code(args.gate),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<Report> {
    let plan = args.plan()?;
    interrupt::watch()?;
    let cores = cores::Cores::choose()?;
    cores.bench()?;
    let folder = tempfile::Builder::new().prefix("outrigger-bench-").tempdir()?;
    let rig = contender::Rig::new(&plan, cores, folder.path())?;

    let mut report = Report::new(&plan);
    if plan.has(Section::Start) {
        report.start = Some(startup::measure(&plan, &rig)?);
    }
    for case in plan.cases() {
        report.cases.push(measure::case(case, &plan, &rig)?);
    }
    if plan.has(Section::Pilot) {
        report.pilot = Some(convergence::measure(&plan, &rig));
    }
    report.conclude();
    report.print(args.output)?;
    Ok(report)
}

/// What is going on, for the person who waits; standard output is for the report.
fn say(words: impl std::fmt::Display) {
    eprintln!("{words}");
}
