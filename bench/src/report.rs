//! What was found: tables for people, JSON for programs, and one line for each promise.

mod machine;
mod promise;
mod table;

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::args::{Output, Plan};
use crate::convergence::Pilot;
use crate::measure::{CaseReport, CaseResult};
use crate::startup::Start;
use machine::Machine;
use promise::{Promise, Verdict};

/// A run of the bench.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    machine: Machine,
    plan: Plan,
    /// Start-up and idle memory.
    pub(crate) start: Option<Start>,
    /// The cases of traffic.
    pub(crate) cases: Vec<CaseReport>,
    /// Convergence.
    pub(crate) pilot: Option<Pilot>,
    promises: Vec<Promise>,
    /// What should have been measured and could not be.
    failures: Vec<String>,
}

impl Report {
    /// An empty report of a run by this plan.
    pub(crate) fn new(plan: &Plan) -> Report {
        Report {
            machine: Machine::this_one(),
            plan: plan.clone(),
            start: None,
            cases: Vec::new(),
            pilot: None,
            promises: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// Judges the promises, once everything is measured.
    pub(crate) fn conclude(&mut self) {
        self.failures = self.find_failures();
        self.promises = promise::judge(self);
    }

    fn find_failures(&self) -> Vec<String> {
        let mut failures = Vec::new();
        for entry in self.start.iter().flat_map(|start| &start.entries) {
            if let Err(why) = &entry.result {
                failures.push(format!("start of {}: {why}", entry.proxy.title()));
            }
        }
        for report in &self.cases {
            for entry in &report.entries {
                if let CaseResult::Failed(why) = &entry.result {
                    failures.push(format!(
                        "{} through {}: {why}",
                        report.case.title(),
                        entry.proxy.title()
                    ));
                }
            }
        }
        if let Some(Err(why)) = self.pilot.as_ref().map(|pilot| &pilot.result) {
            failures.push(format!("pilot: {why}"));
        }
        failures
    }

    /// Prints the report to standard output.
    pub(crate) fn print(&self, output: Output) -> Result<()> {
        let text = match output {
            Output::Json => {
                serde_json::to_string_pretty(self).context("cannot write the report as JSON")? + "\n"
            }
            Output::Text => self.text(),
        };
        std::io::stdout()
            .write_all(text.as_bytes())
            .context("cannot print the report")
    }

    fn text(&self) -> String {
        let mut text = format!("{}\n", self.machine);
        text.push_str(&format!(
            "{} rounds of {} s each, {} requests in flight; median (least to most); ratios are ours by the peer's, \
             medians over rounds\n",
            self.plan.rounds,
            self.plan.window.as_secs_f64(),
            self.plan.connections
        ));
        for table in table::all(self) {
            text.push('\n');
            text.push_str(&table);
        }
        text.push('\n');
        for promise in &self.promises {
            text.push_str(&format!("{promise}\n"));
        }
        for failure in &self.failures {
            text.push_str(&format!("could not be measured: {failure}\n"));
        }
        text
    }

    /// Success when everything could be measured and, where `gate` is set, no mark is missed.
    pub(crate) fn exit_code(&self, gate: bool) -> ExitCode {
        let missed = self
            .promises
            .iter()
            .any(|promise| promise.verdict == Verdict::Missed);
        if self.failures.is_empty() && !(gate && missed) {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}
