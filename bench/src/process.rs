//! A process that is measured: started on its core, stopped by its pid on every way out.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::cores::Cores;

/// How long a process may take to stop after TERM before it is killed.
const PATIENCE: Duration = Duration::from_secs(3);

/// What to start.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    /// For messages and the name of the log.
    pub(crate) name: String,
    /// The program.
    pub(crate) program: PathBuf,
    /// Its arguments.
    pub(crate) args: Vec<OsString>,
}

/// A process that runs. Dropping it stops it.
#[derive(Debug)]
pub(crate) struct Running {
    name: String,
    log: PathBuf,
    child: Child,
    started: Instant,
}

impl Running {
    /// Starts a process on the measured core; what it prints goes to a file in `folder`.
    pub(crate) fn start(launch: &Launch, cores: Cores, folder: &Path) -> Result<Running> {
        let log = folder.join(format!("{}.log", launch.name));
        let output = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let errors = output.try_clone()?;
        let mut command = Command::new(&launch.program);
        command
            .args(&launch.args)
            .current_dir(folder)
            // Its last words are shown when it fails; a backtrace would push the reason out.
            .env_remove("RUST_BACKTRACE")
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors);
        let (child, started) = cores.on_measured(move || {
            let started = Instant::now();
            (command.spawn(), started)
        })?;
        let child = child.with_context(|| format!("cannot start {}", launch.program.display()))?;
        Ok(Running {
            name: launch.name.clone(),
            log,
            child,
            started,
        })
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The moment at which it was started.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// An error, with its last words, when it has ended by itself.
    pub(crate) fn must_be_running(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended with {status}{}", self.name, self.last_words()),
        }
    }

    /// The end of what it printed, for messages; empty when it printed nothing.
    pub(crate) fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(8).collect();
        lines.into_iter().rev().fold(String::new(), |mut words, line| {
            words.push_str("\n    ");
            words.push_str(line);
            words
        })
    }

    fn stop(&mut self) -> Option<ExitStatus> {
        if let Ok(Some(status)) = self.child.try_wait() {
            return Some(status);
        }
        if let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) {
            // It can only fail where the process is gone already.
            let _ = kill_process(pid, Signal::TERM);
        }
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        self.child.kill().ok();
        self.child.wait().ok()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}
