//! The tour: the documented tasks, one after the other, each judged by the answers that a reader gets.

pub(crate) mod answers;
pub(crate) mod steps;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use tokio::process::Command;

use crate::demo::process::unsettled;
use crate::demo::screen::Screen;
use answers::{Answers, count};
use steps::{Expectation, Step, Verb};

/// One line of the report.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Line {
    /// Which generation of rules.
    pub(crate) generation: String,
    /// What was done.
    pub(crate) step: String,
    /// What had to come of it.
    pub(crate) expected: String,
    /// What came.
    pub(crate) seen: String,
    /// Whether that is the same.
    pub(crate) holds: bool,
}

/// What the tour needs to know of the mesh it walks through.
pub(crate) struct Ground<'a> {
    /// The page, as a browser asks for it.
    pub(crate) page: String,
    /// The config API server.
    pub(crate) server: String,
    /// Pilot's debug address.
    pub(crate) pilot: String,
    /// Client for pages: a new connection now and then, as readers make.
    pub(crate) client: &'a reqwest::Client,
    /// In place of the user's kubeconfig.
    pub(crate) kubeconfig: PathBuf,
}

/// Walks through `steps`; `generation` names them in the report.
pub(crate) async fn walk(
    ground: &Ground<'_>,
    screen: &Screen,
    generation: &str,
    steps: &[Step],
) -> Result<Vec<Line>> {
    let mut report = Vec::new();
    for step in steps {
        screen.begin(&format!("{generation}: {}", step.title));
        let mut printed = String::new();
        for (verb, file) in &step.commands {
            printed.push_str(&ground.operate(screen, *verb, file).await?);
        }
        ground.settle(screen).await?;
        for expectation in &step.expected {
            let line = ground.judge(generation, step, expectation, &printed).await;
            screen.line(&line);
            report.push(line);
        }
    }
    Ok(report)
}

/// Takes every rule of `files` away again, so that the next generation starts from none.
pub(crate) async fn clear(ground: &Ground<'_>, screen: &Screen, files: &[PathBuf]) -> Result<()> {
    for file in files {
        ground.operate(screen, Verb::Delete, file).await?;
    }
    ground.settle(screen).await
}

/// The files whose rules are still there when `steps` are through.
pub(crate) fn left_behind(steps: &[Step]) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for (verb, file) in steps.iter().flat_map(|step| &step.commands) {
        match verb {
            Verb::Create => files.push(file.clone()),
            Verb::Delete => files.retain(|known| known != file),
            Verb::Replace => {}
        }
    }
    files
}

impl Ground<'_> {
    /// Runs an operator's verb as a command of its own, printed, and gives what it said.
    pub(crate) async fn operate(&self, screen: &Screen, verb: Verb, file: &Path) -> Result<String> {
        let file = file.display().to_string();
        self.command(screen, &[verb.word(), "-f", &file]).await
    }

    /// Waits until every proxy runs what the store holds.
    pub(crate) async fn settle(&self, screen: &Screen) -> Result<()> {
        self.command(screen, &["wait", "--timeout", "20s"])
            .await
            .map(drop)
    }

    async fn command(&self, screen: &Screen, args: &[&str]) -> Result<String> {
        screen.command(&format!("outrigger {}", args.join(" ")));
        let program = std::env::current_exe().context("cannot find this program's own file")?;
        let output = unsettled(Command::new(program))
            .args(args)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("OUTRIGGER_SERVER", &self.server)
            .env("OUTRIGGER_PILOT", &self.pilot)
            .output()
            .await
            .context("cannot run a command of this program")?;
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        screen.said(&said);
        if !output.status.success() {
            bail!("`outrigger {}` failed: {}", args.join(" "), said.trim());
        }
        Ok(said)
    }

    async fn judge(&self, generation: &str, step: &Step, expectation: &Expectation, printed: &str) -> Line {
        let (seen, holds) = match expectation {
            Expectation::Warning(words) => {
                let warning = printed
                    .lines()
                    .find(|line| line.contains("Warning") && line.contains(words));
                (
                    warning.unwrap_or("no such warning").trim().to_owned(),
                    warning.is_some(),
                )
            }
            Expectation::Pages { user, .. } => {
                let answers: Answers = count(self.client, &self.page, *user, expectation.requests()).await;
                (answers.to_string(), expectation.holds(&answers))
            }
        };
        Line {
            generation: generation.to_owned(),
            step: step.title.clone(),
            expected: expectation.describe(),
            seen,
            holds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_created_and_not_deleted_is_left_behind() {
        let file = |name: &str| PathBuf::from(name);
        let step = |commands: &[(Verb, &str)]| Step {
            title: String::new(),
            commands: commands.iter().map(|(verb, name)| (*verb, file(name))).collect(),
            expected: Vec::new(),
        };

        let left = left_behind(&[
            step(&[(Verb::Create, "a"), (Verb::Create, "b")]),
            step(&[(Verb::Replace, "c"), (Verb::Delete, "b")]),
        ]);

        assert_eq!(left, [file("a")]);
    }
}
