//! Starting the demo's processes, waiting until they are ready, and stopping them again: each by its own pid.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::demo::plan::{Process, Program};

/// How long a process may take to become ready.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// How long a process may take to stop after TERM.
const STOP_WITHIN: Duration = Duration::from_secs(8);

/// A process that runs.
pub(crate) struct Running {
    name: String,
    ready: String,
    log: PathBuf,
    child: Child,
}

impl Running {
    /// Starts `process` with its output in `folder`. It leads a process group of its own, so that a Ctrl-C on the
    /// terminal reaches the demo alone, which then stops everything in order.
    pub(crate) fn start(process: &Process, folder: &Path) -> Result<Running> {
        let program = match &process.program {
            Program::Outrigger => std::env::current_exe().context("cannot find this program's own file")?,
            Program::Other(path) => path.clone(),
        };
        let log = folder.join(format!("{}.log", process.name));
        let output = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let errors = output
            .try_clone()
            .with_context(|| format!("cannot write {}", log.display()))?;
        let child = unsettled(Command::new(&program))
            .args(&process.args)
            .envs(process.env.iter().map(|(name, value)| (name, value)))
            .env_remove("http_proxy")
            .env_remove("NO_PROXY")
            .env_remove("no_proxy")
            .env(crate::roles::PARENT, std::process::id().to_string())
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}: {}", process.name, program.display()))?;
        Ok(Running {
            name: process.name.clone(),
            ready: process.ready.clone(),
            log,
            child,
        })
    }

    /// What it is called.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its process id, while it runs.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits until the process says that it is ready; its last words are in the error when it ends instead.
    pub(crate) async fn wait_until_ready(&mut self, client: &reqwest::Client) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended with {status}{}", self.name, self.last_words());
            }
            let seen = match client
                .get(&self.ready)
                .timeout(Duration::from_secs(2))
                .send()
                .await
            {
                // Somebody else may answer there while the process fails to.
                Ok(answer) if answer.status().is_success() => return self.must_be_running(),
                Ok(answer) => format!(
                    "{}: {}",
                    answer.status(),
                    answer.text().await.unwrap_or_default().trim()
                ),
                Err(error) => crate::failure::chain(&error),
            };
            if Instant::now() >= deadline {
                let words = self.last_words();
                bail!(
                    "{} is not ready after {} s: {seen}{words}",
                    self.name,
                    READY_WITHIN.as_secs()
                );
            }
            sleep(Duration::from_millis(25)).await;
        }
    }

    /// An error when the process has ended by itself.
    pub(crate) fn must_be_running(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(anyhow!("{} ended with {status}{}", self.name, self.last_words())),
        }
    }

    /// Asks the process to stop, and kills it when it does not.
    pub(crate) async fn stop(mut self) -> Result<()> {
        let Some(pid) = self
            .child
            .id()
            .and_then(|pid| rustix::process::Pid::from_raw(pid.cast_signed()))
        else {
            return Ok(());
        };
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
        if timeout(STOP_WITHIN, self.child.wait()).await.is_err() {
            self.child
                .kill()
                .await
                .with_context(|| format!("cannot stop {}", self.name))?;
            bail!(
                "{} did not stop within {} s and was killed",
                self.name,
                STOP_WITHIN.as_secs()
            );
        }
        Ok(())
    }

    fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(8).collect();
        let mut words = format!("; the end of {}:", self.log.display());
        for line in lines.into_iter().rev() {
            words.push_str("\n    ");
            words.push_str(line);
        }
        words
    }
}

/// The command without this environment's settings for the program, which are meant for another mesh: only how it
/// logs is left.
pub(crate) fn unsettled(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        let name_text = name.to_string_lossy();
        if name_text.starts_with("OUTRIGGER_") && !name_text.starts_with("OUTRIGGER_LOG") {
            command.env_remove(&name);
        }
    }
    command
}

/// Stops all of them, the last one started first; everything that went wrong on the way is told.
pub(crate) async fn stop_all(running: Vec<Running>) -> Result<()> {
    let mut problems = Vec::new();
    for process in running.into_iter().rev() {
        if let Err(error) = process.stop().await {
            problems.push(error.to_string());
        }
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(anyhow!(problems.join("; ")))
    }
}
