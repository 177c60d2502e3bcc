//! Processes of the product, each stopped by its own pid.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use outrigger_testkit::process;
use tokio::time::{Instant, sleep};

/// How long anything may take to become ready or to stop.
const PATIENCE: Duration = Duration::from_secs(20);

/// Time between two looks at something that is waited for.
const LOOK: Duration = Duration::from_millis(10);

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
    child: process::Process,
}

impl Process {
    /// Starts `outrigger ARGS`, which will listen on `address`; its output goes to `NAME.log` in `logs`, after what is
    /// there already.
    ///
    /// # Errors
    /// Somebody else listens there: whatever it answered would be taken for this process's own.
    pub fn start(name: &str, args: &[String], logs: &Path, address: SocketAddr) -> Result<Process> {
        must_be_free(name, address)?;
        let mut command = Command::new(outrigger()?);
        command.args(args);
        let child = process::Process::start(name, &mut command, &logs.join(format!("{name}.log")))?;
        Ok(Process {
            name: name.to_owned(),
            child,
        })
    }

    /// False once the process has ended by itself.
    pub fn is_running(&mut self) -> bool {
        self.child.ended().is_none()
    }

    /// Waits until `url` answers 200, and fails at once when the process has ended.
    pub async fn wait_until_ready(&mut self, client: &reqwest::Client, url: &str) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let seen = match client.get(url).timeout(Duration::from_secs(1)).send().await {
                Ok(answer) if answer.status().is_success() => None,
                Ok(answer) => Some(format!(
                    "{} {}",
                    answer.status(),
                    answer.text().await.unwrap_or_default()
                )),
                Err(error) => Some(error.to_string()),
            };
            // An answer of somebody else means nothing.
            if let Some(status) = self.child.ended() {
                bail!("{} ended with {status}: {}", self.name, self.child.output());
            }
            let Some(seen) = seen else { return Ok(()) };
            if Instant::now() > deadline {
                bail!("{} is not ready: {seen}; {}", self.name, self.child.output());
            }
            sleep(LOOK).await;
        }
    }

    /// Kills the process at once, as a crash would.
    pub fn kill(mut self) {
        self.child.kill();
    }

    /// Sends TERM and waits for a good end.
    pub async fn stop(mut self) -> Result<()> {
        self.child.signal(rustix::process::Signal::TERM)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.child.ended() {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!("{} ended with {status}: {}", self.name, self.child.output()),
                None if Instant::now() > deadline => {
                    bail!("{} did not stop within {} s", self.name, PATIENCE.as_secs())
                }
                None => sleep(LOOK).await,
            }
        }
    }
}

/// An error when somebody listens on `address` already, where `name` is to.
pub(crate) fn must_be_free(name: &str, address: SocketAddr) -> Result<()> {
    TcpListener::bind(address).map(drop).with_context(|| {
        format!("{name} cannot have {address}; a process of another run may hold it (`ss -ltnp` names it)")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_somebody_holds_is_named() {
        let holder = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = holder.local_addr().unwrap();

        let refused = Process::start("pilot", &[], Path::new("/nowhere"), address).err();

        let reason = refused.map(|error| error.to_string()).unwrap_or_default();
        assert!(
            reason.starts_with(&format!("pilot cannot have {address};")),
            "{reason}"
        );
    }
}
