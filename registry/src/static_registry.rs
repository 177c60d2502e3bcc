//! The static registry: services that somebody wrote down in a file or a directory, followed while it runs.
//!
//! A file that cannot be read or understood keeps what it said before, with the error and its age beside it;
//! other files of the directory go on. A file that is deleted takes its services along.
//!
//! A file is a list of services, in YAML or JSON (`spec/registries.md` §7; for its users `docs/services-file.md`):
//!
//! ```yaml
//! - host: reviews.example            # required; lower-cased
//!   address: 10.20.0.1               # optional address of the service itself
//!   namespace: default               # default: default
//!   external: false                  # true: no sidecar behind it; only then may the host be *.example
//!   ports:                           # at least one
//!   - { name: http, port: 9080, protocol: http }   # protocol: by the name's first part, else tcp
//!   instances:
//!   - address: 10.0.0.7              # IP, or a name that the proxies resolve
//!     port: 9081                     # for a service with one port; default: the service's port
//!     # ports: { http: 9081 }        # instead of port: by name or number of the service's ports
//!     labels: { version: v1 }
//!     serviceAccount: default        # default: default
//!     locality: region/zone/subzone
//!     weight: 1                      # at least 1
//!     healthy: true                  # false takes it out
//!     id: reviews-v1                 # the workload's name, as its sidecar gives it
//! ```

mod changes;
mod document;
mod files;
mod yaml;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use outrigger_api::model::{Catalog, ServiceState};
use tokio::sync::watch;

pub use document::parse;

use crate::abort::AbortOnDrop;
use crate::state::{Part, RegistryHandle, RegistryState};
use crate::vanish::{Losses, Verdict};
use changes::Changes;

/// A second reading of a file that lost most of its instances comes after this.
const CONFIRM_AFTER: Duration = Duration::from_secs(1);

/// Services from files.
#[derive(Debug)]
pub struct StaticRegistry;

impl StaticRegistry {
    /// Reads `path`, a file or a directory of `.yaml`, `.yml` and `.json` files, and follows it.
    ///
    /// The first reading is done before this returns. A path that does not exist yet is an error in the
    /// state, not here: the registry waits for it. Must be called inside a tokio runtime.
    pub fn start(name: impl Into<String>, path: impl Into<PathBuf>) -> RegistryHandle {
        let mut reader = Reader::new(name.into(), path.into());
        let mut changes = Changes::of(&reader.path);
        let unread = reader.state.clone();
        let first = reader.read(&mut changes, Instant::now(), SystemTime::now());
        first.state.log_turn(&unread);
        let (sender, receiver) = watch::channel(Arc::new(first.state));
        let task = tokio::spawn(follow(reader, changes, sender, first.confirm));
        RegistryHandle::new(receiver, AbortOnDrop::new(task))
    }
}

async fn follow(
    mut reader: Reader,
    mut changes: Changes,
    sender: watch::Sender<Arc<RegistryState>>,
    mut confirm: bool,
) {
    loop {
        if confirm {
            tokio::time::sleep(CONFIRM_AFTER).await;
        } else {
            changes.next().await;
        }
        let reading = reader.read(&mut changes, Instant::now(), SystemTime::now());
        confirm = reading.confirm;
        sender.send_if_modified(|current| {
            let changed = reading.state.is_news_after(current);
            if changed {
                reading.state.log_turn(current);
                *current = Arc::new(reading.state);
            }
            changed
        });
    }
}

/// What was read of each file, and the last good services of each.
struct Reader {
    name: String,
    path: PathBuf,
    good: BTreeMap<PathBuf, KnownFile>,
    state: RegistryState,
    losses: Losses,
    suspicious: bool,
}

struct KnownFile {
    text: String,
    services: Vec<ServiceState>,
    /// It was understood at least once.
    read: bool,
    problem: Option<String>,
}

struct Reading {
    state: RegistryState,
    /// The reading was not believed yet: read again.
    confirm: bool,
}

impl Reader {
    fn new(name: String, path: PathBuf) -> Reader {
        Reader {
            state: RegistryState::unread(&name),
            name,
            path,
            good: BTreeMap::new(),
            losses: Losses::default(),
            suspicious: false,
        }
    }

    fn read(&mut self, changes: &mut Changes, now: Instant, clock: SystemTime) -> Reading {
        let mut errors = Vec::new();
        let mut unread = Vec::new();
        match files::list(&self.path) {
            Err(error) => {
                let path = self.path.display();
                let error = format!("{path}: {error}; the registry waits for a file or a directory there");
                unread.push(unread_part(&self.path, &error));
                errors.push(error);
            }
            Ok(files) => {
                self.forget_all_but(&files);
                for file in files {
                    let Some(error) = self.read_file(&file, changes) else {
                        continue;
                    };
                    if !self.good.get(&file).is_some_and(|known| known.read) {
                        unread.push(unread_part(&file, &error));
                    }
                    errors.push(error);
                }
            }
        }
        let (catalog, warnings) = self.catalog();
        let verdict = self.judge(&catalog, now);
        self.log_shrinkage(verdict, &catalog);
        self.suspicious = verdict == Verdict::Confirm;
        if verdict == Verdict::Believe {
            self.state.catalog = catalog;
            self.state.warnings = warnings;
        }
        self.state.synced |= unread.is_empty();
        self.state.begun |= self.state.synced || self.good.values().any(|known| known.read);
        self.state.unread = if self.state.synced { Vec::new() } else { unread };
        if errors.is_empty() {
            self.state.stale_since = None;
            self.state.last_error = None;
            self.state.last_success = Some(clock);
        } else {
            self.state.stale_since.get_or_insert(clock);
            self.state.last_error = Some(errors.join("; "));
        }
        Reading {
            state: self.state.clone(),
            confirm: self.suspicious,
        }
    }

    /// A file that is deleted takes its services along.
    fn forget_all_but(&mut self, files: &[PathBuf]) {
        let registry = &self.name;
        self.good.retain(|file, known| {
            let stays = files.contains(file);
            if !stays {
                let (file, services) = (file.display(), known.services.len());
                tracing::warn!(registry, %file, services, "the file is gone; its services go with it");
            }
            stays
        });
    }

    /// Losing most instances is told twice: when it is doubted, and when a second reading says the same.
    fn log_shrinkage(&self, verdict: Verdict, newer: &Catalog) {
        let (before, now) = (instances(&self.state.catalog), instances(newer));
        let registry = &self.name;
        match verdict {
            Verdict::Confirm if !self.suspicious => {
                tracing::warn!(
                    registry,
                    before,
                    now,
                    "most instances are gone; waiting for a second reading"
                );
            }
            Verdict::Believe if self.suspicious && now < before => {
                tracing::warn!(
                    registry,
                    before,
                    now,
                    "most instances are gone, as a second reading says too"
                );
            }
            Verdict::Believe if self.suspicious => {
                tracing::info!(
                    registry,
                    before,
                    now,
                    "the instances that were missed are there again"
                );
            }
            Verdict::Believe | Verdict::Confirm => {}
        }
    }

    /// Reads one file again if it changed and is whole; returns what is wrong with it.
    fn read_file(&mut self, file: &Path, changes: &mut Changes) -> Option<String> {
        let name = file.display().to_string();
        let text = match files::text(file) {
            Ok(text) => text,
            Err(error) => return Some(format!("{name}: {error}")),
        };
        if let Some(known) = self.good.get(file)
            && known.text == text
        {
            return known.problem.clone();
        }
        if changes.is_unfinished(file) {
            let waited_for = || format!("{name}: somebody writes it; it is read when it is closed");
            return match self.good.get(file) {
                Some(known) => known.problem.clone(),
                // A start knows nothing better; later, a new file is there once it is whole.
                None => (!self.state.synced).then(waited_for),
            };
        }
        let (kept, read_before) = self
            .good
            .remove(file)
            .map(|known| (known.services, known.read))
            .unwrap_or_default();
        let (services, problem) = match document::parse(&name, &text, &self.name) {
            Ok(services) => (share(kept, services), None),
            Err(problem) => {
                let message = problem.to_string();
                if self.state.last_error.is_some() {
                    // The first failure is logged as the turn of the whole registry.
                    let consequence = match kept.is_empty() {
                        true => "nothing is served from this file until that is mended",
                        false => "the last good state of this file is kept",
                    };
                    tracing::warn!(registry = self.name, "{message}; {consequence}");
                }
                (kept, Some(message))
            }
        };
        let known = KnownFile {
            text,
            services,
            read: read_before || problem.is_none(),
            problem,
        };
        let problem = known.problem.clone();
        self.good.insert(file.to_owned(), known);
        problem
    }

    /// All files joined; of a host that two files declare, the first file's is kept.
    fn catalog(&self) -> (Catalog, Vec<String>) {
        let mut catalog = Catalog::default();
        let mut owner: BTreeMap<&str, &Path> = BTreeMap::new();
        let mut warnings = Vec::new();
        for (file, known) in &self.good {
            for state in &known.services {
                let host = &state.service.host;
                if let Some(first) = owner.get(host.as_str()) {
                    warnings.push(format!(
                        "{}: host {host} is declared already in {}; the first is used",
                        file.display(),
                        first.display()
                    ));
                    continue;
                }
                owner.insert(host, file);
                catalog.services.insert(host.clone(), state.clone());
            }
        }
        warnings.sort();
        (catalog, warnings)
    }

    fn judge(&mut self, newer: &Catalog, now: Instant) -> Verdict {
        let present = instances(&self.state.catalog);
        let lost: usize = self
            .state
            .catalog
            .services
            .iter()
            .map(|(host, old)| {
                let left = newer.services.get(host).map_or(0, |state| state.instances.len());
                old.instances.len().saturating_sub(left)
            })
            .sum();
        self.losses.judge(lost, present, self.suspicious, now)
    }
}

/// A file, or the place of all files, that was never understood.
fn unread_part(path: &Path, error: &str) -> Part {
    Part {
        error: Some(error.to_owned()),
        ..Part::all(path.display().to_string())
    }
}

/// How many instances a catalogue has.
fn instances(catalog: &Catalog) -> usize {
    catalog.services.values().map(|state| state.instances.len()).sum()
}

/// Keeps the `Arc`s of what is equal, so that a rewritten file wakes nobody.
fn share(old: Vec<ServiceState>, mut new: Vec<ServiceState>) -> Vec<ServiceState> {
    let old: BTreeMap<&str, &ServiceState> = old
        .iter()
        .map(|state| (state.service.host.as_str(), state))
        .collect();
    for state in &mut new {
        let Some(known) = old.get(state.service.host.as_str()) else {
            continue;
        };
        if known.service == state.service {
            state.service = Arc::clone(&known.service);
        }
        if known.instances == state.instances {
            state.instances = Arc::clone(&known.instances);
        }
    }
    new
}

#[cfg(test)]
mod tests;
