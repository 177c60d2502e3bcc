//! The server itself, in process: opened on a directory, it reads and writes objects like any
//! [`ConfigStore`](outrigger_client::ConfigStore).

mod in_process;

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use outrigger_api::document::{self, Parsed};
use outrigger_api::kind::Kind;
use outrigger_api::problem::Problem;
use outrigger_api::resource::{Key, Resource};
use outrigger_client::status::Status;

use crate::admission::{Admission, Advisor, left_dangling, sentence};
use crate::directory::{Directory, DirectoryError};
use crate::measures::Measures;
use crate::object::Stored;
use crate::recovery::{self, Engine, RecoveryError};
use crate::refusal;
use crate::view::View;
use crate::writer::decide::Preconditions;
use crate::writer::{Done, Settings, Wanted, Write, Writer};

/// How a server is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Where the indexed state is kept; sled by default.
    pub engine: Engine,
    /// Changes after which a snapshot is written and older journal files removed; 10,000 by default.
    pub snapshot_every: u64,
    /// Bytes of new values after which one is written, however few the changes, because a start reads the journal since
    /// the older of two snapshots whole; 64 MiB by default.
    pub snapshot_bytes: u64,
    /// Time between the bookmarks of a watch that asked for them; a minute by default.
    pub bookmark_every: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            engine: Engine::Sled,
            snapshot_every: 10_000,
            snapshot_bytes: 64 << 20,
            bookmark_every: Duration::from_secs(60),
        }
    }
}

/// The config API server on one data directory.
///
/// Cheap to clone; all clones are the same server. When the last one is dropped, everything is flushed and the
/// directory is released. Every valid DNS label is a namespace: there are no namespace objects that would have to
/// exist first, so `default` and `istio-system` are simply there.
#[derive(Clone)]
pub struct ApiServer {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) view: Arc<View>,
    pub(crate) measures: Arc<Measures>,
    pub(crate) bookmark_every: Duration,
    writer: Writer,
    admission: Admission,
}

/// The server cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory cannot be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// What is in it cannot be read.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    /// The system gives no thread.
    #[error("cannot start the writer's thread: {0}")]
    Thread(std::io::Error),
}

impl ApiServer {
    /// Opens a data directory, which is made when it is missing: reads snapshot and journal, repairs what it can, and says
    /// in the log what it found. Blocks while it reads: about a second for 10,000 objects.
    ///
    /// # Errors
    /// When another process has the directory open, it cannot be written to, or its files cannot be read at all.
    pub fn open(directory: &Path, options: Options) -> Result<ApiServer, OpenError> {
        let directory = Directory::hold(directory)?;
        let recovered = recovery::recover(&directory, options.engine)?;
        let objects = recovered.truth.len();
        let view = View::new(
            recovered.truth,
            recovered.version,
            recovered.past.into_iter(),
            recovered.horizon,
        );
        let view = Arc::new(view);
        let measures = Arc::new(Measures::default());
        let settings = Settings {
            snapshot_every: options.snapshot_every.max(1),
            snapshot_bytes: options.snapshot_bytes.max(1),
            engine: options.engine,
        };
        tracing::info!(
            directory = %directory.path().display(),
            objects,
            version = recovered.version,
            quarantined = view.quarantine().len(),
            "config store open"
        );
        let writer = Writer::start(
            directory,
            recovered.journal,
            recovered.store,
            recovered.since_snapshot,
            Arc::clone(&view),
            Arc::clone(&measures),
            settings,
        );
        let writer = writer.map_err(OpenError::Thread)?;
        let inner = Inner {
            view,
            measures,
            bookmark_every: options.bookmark_every,
            writer,
            admission: Admission::default(),
        };
        Ok(ApiServer {
            inner: Arc::new(inner),
        })
    }

    /// Who comments on written objects from now on.
    pub fn set_advisor(&self, advisor: Arc<dyn Advisor>) {
        self.inner.admission.set_advisor(advisor);
    }

    /// Version of the latest change of anything; 0 in a new directory.
    pub fn version(&self) -> u64 {
        self.inner.view.version()
    }

    /// Stored values that cannot be served, as `key: reason`. They stay until they are written anew or deleted.
    pub fn quarantined(&self) -> Vec<String> {
        let quarantine = self.inner.view.quarantine();
        quarantine
            .into_iter()
            .map(|(key, value)| format!("{key}: {}", value.reason))
            .collect()
    }
}

impl Inner {
    /// Admits and stores an object; gives it back as stored, with warnings.
    pub(crate) async fn put(&self, put: Put, resource: Resource, dry_run: bool) -> Result<Accepted, Status> {
        let (kind, name) = (resource.kind(), resource.meta.name.clone());
        let mut warnings = self
            .admission
            .admit(&resource, &self.view)
            .map_err(|problems| refusal::problems(kind, &name, &problems))?;
        if put == Put::Replace {
            let replaced = BTreeSet::from([resource.key()]);
            warnings.extend(left_dangling(&self.view, &replaced, Some(&resource)));
        }
        let what = match put {
            Put::Create => Wanted::Create(Box::new(resource)),
            Put::Replace => Wanted::Replace(Box::new(resource)),
        };
        match self.writer.write(Write { what, dry_run }).await {
            Ok(Done::Present(stored) | Done::Gone(stored)) => Ok(Accepted { stored, warnings }),
            Ok(Done::Cleared) => Err(refusal::unknown_path()), // only deletions clear
            Err(error) => Err(refusal::of_write(&error)),
        }
    }

    /// What the authors of others should know when these objects are deleted.
    pub(crate) fn before_deletion(&self, leaving: &BTreeSet<Key>) -> Vec<String> {
        left_dangling(&self.view, leaving, None)
    }

    pub(crate) async fn delete(
        &self,
        key: Key,
        wanted: Preconditions,
        dry_run: bool,
    ) -> Result<Done, Status> {
        let write = Write {
            what: Wanted::Delete(key, wanted),
            dry_run,
        };
        self.writer
            .write(write)
            .await
            .map_err(|error| refusal::of_write(&error))
    }

    /// False once the writer's thread has ended: nothing can be written any more.
    pub(crate) fn can_write(&self) -> bool {
        self.writer.is_alive()
    }

    /// One object; a value that cannot be served is told from none.
    pub(crate) fn get(&self, key: &Key) -> Result<Arc<Stored>, Status> {
        if let Some(stored) = self.view.get(key) {
            return Ok(stored);
        }
        match self.view.quarantined(key) {
            Some(reason) => Err(refusal::unreadable(key, &reason)),
            None => Err(refusal::not_found(key)),
        }
    }
}

/// How an object is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Put {
    Create,
    Replace,
}

/// An object that was put.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) stored: Arc<Stored>,
    pub(crate) warnings: Vec<String>,
}

/// Refuses a body that is longer than one object may be.
pub(crate) fn check_length(kind: Kind, name: &str, bytes: usize) -> Result<(), Status> {
    if bytes > document::MAX_BYTES {
        return Err(refusal::object_too_large(kind, name, bytes));
    }
    Ok(())
}

/// What the author of an object that was read should know, as far as it is `told`.
pub(crate) fn remarks(parsed: &Parsed, told: impl Fn(&Problem) -> bool) -> Vec<String> {
    let mut warnings: Vec<String> = parsed
        .warnings
        .iter()
        .filter(|warning| told(warning))
        .map(sentence)
        .collect();
    if let Some(alias) = &parsed.alias {
        warnings.push(format!(
            "apiVersion {alias} is stored as {}",
            parsed.resource.kind().api_version()
        ));
    }
    warnings
}

impl fmt::Debug for ApiServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiServer")
            .field("version", &self.version())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
