//! The last good catalogue of a registry, kept on disk across a restart of pilot.
//!
//! A pilot that starts while a registry is away knows less than the proxies that are running, and must not take
//! from them what it has not read. So each registry's catalogue is saved when it changes, and stands in for what
//! was not read yet since the start: all of it, or a datacenter, a service or a file of it. The first real
//! reading replaces it.

mod file;
mod fill;
mod standing;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use outrigger_api::model::Catalog;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::abort::AbortOnDrop;
use crate::state::{RegistryHandle, RegistryState};
use file::Source;
use standing::Standing;

/// A file is written at most this often.
const SPACING: Duration = Duration::from_secs(5);

/// The time of the last reading is written down at most this often while the catalogue stays as it is.
const STAMPING: Duration = Duration::from_secs(60);

/// A catalogue of before the restart.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Saved {
    catalog: Catalog,
    /// When all of it had been read.
    read_at: SystemTime,
}

/// Follows `registry` and keeps its last good catalogue in `directory`, in a file with its name; gives a registry
/// in which the catalogue of before the restart stands in for what was not read yet.
///
/// `origin` is where the registry reads from: what was saved of another place is not used. A file that cannot be
/// read or written is a warning, never an error. Must be called inside a tokio runtime.
pub fn keep(registry: RegistryHandle, directory: &Path, origin: &str) -> RegistryHandle {
    let state = registry.current();
    let path = directory.join(format!("{}.catalogue", state.name));
    let source = Source {
        registry: state.name.clone(),
        origin: origin.to_owned(),
    };
    let saved = match file::read(&path, &source) {
        Ok(saved) => saved,
        Err(problem) => {
            tracing::warn!(registry = state.name, file = %path.display(), "{problem}; it is as if nothing had been saved");
            None
        }
    };
    if let Some(saved) = &saved {
        let (services, age) = (saved.catalog.services.len(), age(saved.read_at));
        tracing::info!(
            registry = state.name,
            services,
            seconds = age.as_secs(),
            "what was read before the restart stands in until the registry is read"
        );
    }
    let saver = Saver {
        path,
        source,
        written: saved.clone(),
        failing: false,
    };
    let mut standing = Standing::new(saved);
    let (sender, receiver) = watch::channel(standing.see(&state, Instant::now()));
    let saving = AbortOnDrop::new(tokio::spawn(saver.run(receiver.clone())));
    let following = tokio::spawn(follow(registry, sender, standing, saving));
    RegistryHandle::new(receiver, AbortOnDrop::new(following))
}

fn age(since: SystemTime) -> Duration {
    SystemTime::now().duration_since(since).unwrap_or_default()
}

async fn follow(
    registry: RegistryHandle,
    sender: watch::Sender<Arc<RegistryState>>,
    mut standing: Standing,
    _saving: AbortOnDrop,
) {
    let mut states = registry.state.clone();
    loop {
        let state = states.borrow_and_update().clone();
        sender.send_replace(standing.see(&state, Instant::now()));
        tokio::select! {
            changed = states.changed() => if changed.is_err() {
                // Its last state stays. Nobody is told that the sender is gone before the handle is.
                return sender.closed().await;
            },
            () = standing.doubt_ends() => {}
        }
    }
}

/// Writes the file.
struct Saver {
    path: PathBuf,
    source: Source,
    /// What is in the file.
    written: Option<Saved>,
    failing: bool,
}

/// What is to be done about a state.
#[derive(Debug, PartialEq, Eq)]
enum Task {
    Nothing,
    Write(Saved),
    /// Only the time is newer.
    Stamp(SystemTime),
}

impl Saver {
    async fn run(mut self, mut states: watch::Receiver<Arc<RegistryState>>) {
        loop {
            let task = self.task(&states.borrow_and_update().clone(), SystemTime::now());
            if task != Task::Nothing {
                self.carry_out(task).await;
                tokio::time::sleep(SPACING).await;
            }
            // What changed meanwhile is there at once, as its newest state.
            if states.changed().await.is_err() {
                return;
            }
        }
    }

    fn task(&self, state: &RegistryState, now: SystemTime) -> Task {
        // While a first reading is under way nothing of it is worth more than what was saved.
        if !(state.synced || state.is_read_in_part()) {
            return Task::Nothing;
        }
        // Of a registry that was read in part, and never whole, the parts were read by now.
        let read_at = state.restored.or(state.last_success).unwrap_or(now);
        match &self.written {
            Some(written) if written.catalog.diff(&state.catalog).is_empty() => {
                let later = read_at.duration_since(written.read_at).unwrap_or_default();
                if later >= STAMPING {
                    Task::Stamp(read_at)
                } else {
                    Task::Nothing
                }
            }
            _ => Task::Write(Saved {
                catalog: state.catalog.clone(),
                read_at,
            }),
        }
    }

    async fn carry_out(&mut self, task: Task) {
        let (path, source, before) = (self.path.clone(), self.source.clone(), self.written.clone());
        let working = tokio::task::spawn_blocking(move || match (task, before) {
            (Task::Write(saved), _) => file::write(&path, &source, &saved).map(|()| Some(saved)),
            (Task::Stamp(read_at), Some(before)) => {
                file::stamp(&path, read_at).map(|()| Some(Saved { read_at, ..before }))
            }
            (Task::Stamp(_) | Task::Nothing, before) => Ok(before),
        });
        let outcome = working.await.map_err(std::io::Error::other).and_then(|done| done);
        match outcome {
            Ok(written) => {
                self.failing = false;
                self.written = written;
            }
            Err(error) => {
                if !self.failing {
                    let (registry, file) = (&self.source.registry, self.path.display());
                    tracing::warn!(
                        registry,
                        %file,
                        "what was read cannot be saved: {error}; a restart while the registry is away would \
                         start without it; make the directory writable"
                    );
                }
                self.failing = true;
                // Whatever is there now, the next change is written whole.
                self.written = None;
            }
        }
    }
}

#[cfg(test)]
mod tests;
