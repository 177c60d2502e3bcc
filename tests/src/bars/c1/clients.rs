//! The clients of a round: writers that create, replace and delete, and one watcher, until the server is gone.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use futures_util::StreamExt;
use outrigger_api::kind::Kind;
use outrigger_client::{ClientError, ConfigSource, ConfigStore, HttpClient, WatchEvent};
use tokio::task::JoinSet;

use super::ledger::{Attempt, Findings, Ledger, Objects};
use super::object::object;
use super::round::{Round, WRITERS};
use super::versions::Versions;

/// Objects that each writer works on.
const OBJECTS: u32 = 12;

/// What all rounds together know.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) ledger: Ledger,
    pub(super) versions: Versions,
    pub(super) findings: Findings,
    /// Errors that no kill explains.
    pub(super) refused: u32,
}

/// The clients of one round.
pub(super) struct Clients {
    tasks: JoinSet<()>,
    killed: Arc<AtomicBool>,
}

impl Clients {
    /// Starts them on a server that holds `held`; the watcher begins after version `from`.
    pub(super) fn start(
        config: &HttpClient,
        book: &Arc<Mutex<Book>>,
        round: Round,
        (held, from): (&Objects, u64),
        random: &mut fastrand::Rng,
    ) -> Clients {
        let killed = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for number in 0..WRITERS {
            let writer = Writer {
                number,
                config: config.clone(),
                book: Arc::clone(book),
                killed: Arc::clone(&killed),
            };
            tasks.spawn(writer.write(round, held.clone(), random.fork()));
        }
        tasks.spawn(watch(config.clone(), Arc::clone(book), from));
        Clients { tasks, killed }
    }

    /// From now on the server may be gone.
    pub(super) fn expect_a_kill(&self) {
        self.killed.store(true, Ordering::Release);
    }

    /// Waits until all have noticed that it is.
    pub(super) async fn finish(mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

/// The book, even when a task panicked over it.
pub(super) fn open(book: &Mutex<Book>) -> MutexGuard<'_, Book> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Writer {
    number: u32,
    config: HttpClient,
    book: Arc<Mutex<Book>>,
    killed: Arc<AtomicBool>,
}

impl Writer {
    async fn write(self, round: Round, held: Objects, mut random: fastrand::Rng) {
        let mut known: BTreeMap<String, Option<String>> = BTreeMap::new();
        for object in 0..OBJECTS {
            let name = format!("w{}-{object}", self.number);
            let version = held
                .get(&name)
                .and_then(|held| held.meta.resource_version.clone());
            known.insert(name, version);
        }
        loop {
            let began = Instant::now();
            let name = format!("w{}-{}", self.number, random.u32(..OBJECTS));
            let version = known.get(&name).cloned().flatten();
            match self.change(&name, version, &mut random).await {
                Ok(version) => known.insert(name, version),
                Err(error) => return self.ends_with(&name, &error),
            };
            tokio::time::sleep(round.pause().saturating_sub(began.elapsed())).await;
        }
    }

    /// One write to the object `name`, which is at `version`; gives its new version.
    async fn change(
        &self,
        name: &str,
        version: Option<String>,
        random: &mut fastrand::Rng,
    ) -> Result<Option<String>, ClientError> {
        let mut resource = object(name, random.i32(1..i32::MAX));
        let sent = if version.is_some() && random.u8(..10) == 0 {
            Attempt::Delete
        } else {
            Attempt::Put(Box::new(resource.clone()))
        };
        open(&self.book).ledger.trying(name, sent.clone());
        resource.meta.resource_version = version.clone();
        let now = match (sent, version) {
            (Attempt::Delete, _) => self.config.delete(&resource.key()).await?.held,
            (Attempt::Put(_), None) => Some(self.config.create(&resource).await?.resource),
            (Attempt::Put(_), Some(_)) => Some(self.config.replace(&resource).await?.resource),
        };
        let mut book = open(&self.book);
        let found = book.ledger.acknowledged(name, now.clone());
        book.findings.add(found);
        if let Some(now) = &now {
            book.versions.stored(now);
        }
        Ok(now.and_then(|now| now.meta.resource_version.clone()))
    }

    fn ends_with(&self, name: &str, error: &ClientError) {
        if !is_the_kill(error, self.killed.load(Ordering::Acquire)) {
            println!("{name}: the server answered a write with an error: {error}");
            open(&self.book).refused += 1;
        }
    }
}

/// No answer, or half of one, is what a killed server gives; any whole answer that is an error is none of that. Nobody
/// else writes these objects, so that no conflict is expected either.
fn is_the_kill(error: &ClientError, killed: bool) -> bool {
    killed && matches!(error, ClientError::Unreachable { .. })
}

/// Notes the version of every change, those before this server's start included as far as it still knows them.
async fn watch(config: HttpClient, book: Arc<Mutex<Book>>, from: u64) {
    let mut events = config.watch(Kind::RouteRule, from);
    while let Some(event) = events.next().await {
        let mut book = open(&book);
        match event {
            Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)) => book.versions.stored(&object),
            Ok(WatchEvent::Deleted(object)) => book.versions.deleted(&object),
            Ok(WatchEvent::Bookmark(_)) => {}
            // A version out of reach is no fault: what is kept is bounded. Any other end is the server's.
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_missing_answer_is_explained_by_the_kill() {
        let unreachable = ClientError::Unreachable {
            address: "a".into(),
            reason: "connection refused".into(),
        };
        let status = |code| ClientError::Status {
            code,
            reason: "x".into(),
            message: "x".into(),
            causes: Vec::new(),
        };

        assert!(is_the_kill(&unreachable, true));
        assert!(!is_the_kill(&unreachable, false));
        for code in [400, 404, 409, 429, 500, 503] {
            assert!(!is_the_kill(&status(code), true));
        }
    }
}
