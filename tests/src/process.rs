//! Processes of the product, each stopped by its own pid.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

/// How long anything may take to become ready or to stop.
const PATIENCE: Duration = Duration::from_secs(20);

/// The product's release binary in the target folder that this program was built into: what users run, whatever
/// the profile of the bar itself.
pub fn outrigger() -> Result<PathBuf> {
    let own = std::env::current_exe().context("cannot find this program's own file")?;
    let built = own
        .ancestors()
        .skip(1)
        .take(3)
        .map(|folder| folder.join("release/outrigger"));
    match built.into_iter().find(|binary| binary.is_file()) {
        Some(binary) => Ok(binary),
        None => bail!(
            "there is no release/outrigger near {}; run `cargo build --release`",
            own.display()
        ),
    }
}

/// A process that runs until it is stopped, killed or dropped.
pub struct Process {
    name: String,
    log: PathBuf,
    child: Child,
}

impl Process {
    /// Starts `outrigger ARGS`; its output goes to `NAME.log` in `logs`, after what is there already.
    pub fn start(name: &str, args: &[String], logs: &Path) -> Result<Process> {
        let log = logs.join(format!("{name}.log"));
        let output = std::fs::OpenOptions::new().create(true).append(true).open(&log)?;
        let child = Command::new(outrigger()?)
            .args(args)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Process {
            name: name.to_owned(),
            log,
            child,
        })
    }

    /// False once the process has ended by itself.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Waits until `url` answers 200.
    pub async fn wait_until_ready(&mut self, client: &reqwest::Client, url: &str) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended with {status}: {}", self.name, self.last_words());
            }
            let seen = match client.get(url).timeout(Duration::from_secs(1)).send().await {
                Ok(answer) if answer.status().is_success() => return Ok(()),
                Ok(answer) => format!("{} {}", answer.status(), answer.text().await.unwrap_or_default()),
                Err(error) => error.to_string(),
            };
            if Instant::now() > deadline {
                bail!("{} is not ready: {seen}; {}", self.name, self.last_words());
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Kills the process at once, as a crash would.
    pub async fn kill(mut self) -> Result<()> {
        self.child
            .kill()
            .await
            .with_context(|| format!("cannot kill {}", self.name))
    }

    /// Sends TERM and waits for a good end.
    pub async fn stop(mut self) -> Result<()> {
        let pid = self
            .child
            .id()
            .and_then(|pid| rustix::process::Pid::from_raw(pid.cast_signed()));
        let Some(pid) = pid else {
            bail!("{} had ended already: {}", self.name, self.last_words())
        };
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        match timeout(PATIENCE, self.child.wait()).await {
            Ok(status) if status.as_ref().is_ok_and(std::process::ExitStatus::success) => Ok(()),
            Ok(status) => bail!("{} ended with {status:?}: {}", self.name, self.last_words()),
            Err(_) => bail!("{} did not stop within {} s", self.name, PATIENCE.as_secs()),
        }
    }

    fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(12).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n    ")
    }
}
