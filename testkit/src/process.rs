//! A child process that never outlives its owner, with its output in a file that failures quote.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// How much of the output a failure quotes.
const QUOTED_LINES: usize = 30;

/// How long between two looks at something that is waited for.
const LOOK: Duration = Duration::from_millis(20);

/// A running child. Dropping it kills it and waits for its end.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with no input and its whole output in `log`.
    ///
    /// # Errors
    /// The program cannot be started or the file not be written.
    pub fn start(name: &str, command: &mut Command, log: &Path) -> Result<Process> {
        let output = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("the log {} of {name} cannot be written", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("{name} cannot be started as {}", command.get_program().display()))?;
        Ok(Process {
            name: name.to_owned(),
            child,
            log: log.to_owned(),
        })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// The process ended already.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        if let Some(status) = self.ended() {
            bail!("{} ended already with {status}", self.name);
        }
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.context("the process id is out of range")?, signal)?;
        Ok(())
    }

    /// Freezes it; its connections stay open and silent.
    ///
    /// # Errors
    /// The process ended already.
    pub fn pause(&mut self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Goes on after [`Process::pause`].
    ///
    /// # Errors
    /// The process ended already.
    pub fn resume(&mut self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Kills it without a warning and waits for its end.
    pub fn kill(&mut self) {
        // It may have ended by itself; then there is nothing to kill, and waiting returns at once.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The end of its output.
    pub fn output(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let skipped = text.lines().count().saturating_sub(QUOTED_LINES);
        text.lines().skip(skipped).collect::<Vec<_>>().join("\n")
    }

    /// Looks until `ready` gives something; an error of it is the reason why not yet.
    ///
    /// # Errors
    /// The process ended, or `deadline` passed; both quote the output.
    pub fn until<T>(
        &mut self,
        deadline: Duration,
        what: &str,
        mut ready: impl FnMut() -> Result<T>,
    ) -> Result<T> {
        let start = Instant::now();
        loop {
            let reason = match ready() {
                Ok(value) => return Ok(value),
                Err(reason) => reason,
            };
            if let Some(status) = self.ended() {
                bail!(
                    "{} ended with {status} before {what}; its output ends:\n{}",
                    self.name,
                    self.output()
                );
            }
            if start.elapsed() > deadline {
                bail!(
                    "{} did not reach {what} within {deadline:?}: {reason:#}; its output ends:\n{}",
                    self.name,
                    self.output()
                );
            }
            std::thread::sleep(LOOK);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(folder: &Path, script: &str) -> Process {
        Process::start("sh", Command::new("sh").args(["-c", script]), &folder.join("log")).unwrap()
    }

    #[test]
    fn a_dropped_process_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let process = shell(folder.path(), "sleep 600");
        let place = PathBuf::from(format!("/proc/{}", process.id()));
        assert!(place.exists());

        drop(process);

        assert!(!place.exists());
    }

    #[test]
    fn an_early_end_is_told_with_the_output() {
        let folder = tempfile::tempdir().unwrap();
        let mut process = shell(folder.path(), "echo no such port; exit 3");

        let failure = process
            .until(Duration::from_secs(10), "an answer", || -> Result<()> {
                bail!("not yet")
            })
            .unwrap_err()
            .to_string();

        assert!(
            failure.contains("exit status: 3") && failure.contains("no such port"),
            "{failure}"
        );
    }
}
