//! The one thread that writes. It owns journal and store, decides every write in one order, and makes many
//! writers share one flush: whatever arrives while the disk is busy goes into the next batch together.
//!
//! For each batch: decide → journal record → flush → visible to readers → acknowledged → applied to the store.

pub(crate) mod decide;
mod keeping;
mod round;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use outrigger_api::resource::{Key, Resource};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::directory::Directory;
use crate::journal::Journal;
use crate::measures::Measures;
use crate::object::Stored;
use crate::recovery::Since;
use crate::view::View;
use decide::{Preconditions, Refusal};
use keeping::Keeping;
use round::Round;

/// Writes that may wait for the writer; more callers wait for their turn to enter the queue.
const QUEUE: usize = 1_024;
/// Writes in one batch.
const BATCH: usize = 256;
/// Bytes of journal in one batch.
const BATCH_BYTES: usize = 8 << 20;
/// Quiet time after which the store is flushed too, so that it holds a second copy of nearly everything.
const QUIET: Duration = Duration::from_millis(20);

/// A write that is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) what: Wanted,
    /// Decide everything, store nothing.
    pub(crate) dry_run: bool,
}

/// What is wanted.
#[derive(Clone, Debug)]
pub(crate) enum Wanted {
    /// A new object. An empty name is completed from `generate_name`.
    Create(Box<Resource>),
    /// Another state of an object.
    Replace(Box<Resource>),
    /// An object gone.
    Delete(Key, Preconditions),
}

/// A write that was done, or would have been without `dry_run`.
#[derive(Clone, Debug)]
pub(crate) enum Done {
    /// The object as it is now, changed or not. In a dry run of a create its version is empty.
    Present(Arc<Stored>),
    /// The object as it was last.
    Gone(Arc<Stored>),
    /// An unreadable value is gone.
    Cleared,
}

/// Why a write was not done.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum WriteError {
    /// The state does not allow it; the caller may look again and decide anew.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The disk did not take it.
    #[error("{0}")]
    Unavailable(String),
    /// The server is going away.
    #[error("the api server is stopping")]
    Stopping,
}

pub(crate) enum Command {
    Write(Write, Reply),
    /// The snapshot thread is done: the version up to which the journal is not needed, or why there is no snapshot.
    SnapshotDone(std::io::Result<u64>),
    Stop,
}

/// Where the answer to a write goes, and the write's place in the queue until then.
pub(crate) struct Reply {
    sender: oneshot::Sender<Result<Done, WriteError>>,
    _place: OwnedSemaphorePermit,
}

impl Reply {
    /// Nobody may be waiting any more; the write is done nevertheless.
    fn give(self, outcome: Result<Done, WriteError>) {
        let _ = self.sender.send(outcome);
    }
}

/// Hands writes to the writer thread. Dropping it stops the thread and waits until everything is flushed.
#[derive(Debug)]
pub(crate) struct Writer {
    commands: SyncSender<Command>,
    /// As many as the queue is long, so that entering it never blocks.
    places: Arc<Semaphore>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread.
    pub(crate) fn start(
        directory: Directory,
        journal: Journal,
        store: Option<Box<dyn crate::store::Store>>,
        since_snapshot: Since,
        view: Arc<View>,
        measures: Arc<Measures>,
        settings: Settings,
    ) -> std::io::Result<Self> {
        let (commands, arriving) = sync_channel(QUEUE + 2);
        let keeping = Keeping::new(
            directory,
            store,
            since_snapshot,
            commands.clone(),
            Arc::clone(&view),
            &settings,
        );
        let desk = Desk {
            arriving,
            journal,
            keeping,
            view,
            measures,
        };
        let thread = thread::Builder::new()
            .name("apiserver-writer".into())
            .spawn(move || desk.run())?;
        Ok(Writer {
            commands,
            places: Arc::new(Semaphore::new(QUEUE)),
            thread: Some(thread),
        })
    }

    /// False once the thread has ended.
    pub(crate) fn is_alive(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Does a write; an answer means that the disk has it. When the future is dropped, the write may still be done.
    pub(crate) async fn write(&self, write: Write) -> Result<Done, WriteError> {
        let place = Arc::clone(&self.places)
            .acquire_owned()
            .await
            .map_err(|_| WriteError::Stopping)?;
        let (sender, answered) = oneshot::channel();
        match self.commands.try_send(Command::Write(
            write,
            Reply {
                sender,
                _place: place,
            },
        )) {
            Ok(()) => answered.await.unwrap_or(Err(WriteError::Stopping)),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => Err(WriteError::Stopping),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.commands.send(Command::Stop); // fails only when the thread has ended already
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // a panic of the thread was printed by its hook
        }
    }
}

/// How the writer keeps house; tests choose small numbers.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Changes after which a snapshot is written.
    pub(crate) snapshot_every: u64,
    /// Bytes of new values after which one is written, however few the changes.
    pub(crate) snapshot_bytes: u64,
    pub(crate) engine: crate::recovery::Engine,
}

/// The writer thread's belongings.
struct Desk {
    arriving: Receiver<Command>,
    journal: Journal,
    keeping: Keeping,
    view: Arc<View>,
    measures: Arc<Measures>,
}

impl Desk {
    fn run(mut self) {
        self.keeping.snapshot_when_due(&mut self.journal);
        loop {
            let first = if self.keeping.is_unflushed() {
                self.arriving.recv_timeout(QUIET)
            } else {
                self.arriving.recv().map_err(RecvTimeoutError::from)
            };
            let go_on = match first {
                Ok(command) => self.batch(command),
                Err(RecvTimeoutError::Timeout) => {
                    self.keeping.flush();
                    true
                }
                Err(RecvTimeoutError::Disconnected) => false,
            };
            if !go_on {
                break;
            }
        }
        self.keeping.close();
    }

    /// Does the first command and what else has arrived; false when the thread is to stop.
    fn batch(&mut self, first: Command) -> bool {
        let mut round = Round::new(Arc::clone(&self.view));
        let mut next = Some(first);
        let mut go_on = true;
        while let Some(command) = next {
            match command {
                Command::Write(write, reply) => round.decide(write, reply),
                Command::SnapshotDone(outcome) => self.keeping.snapshot_done(outcome, &mut self.journal),
                Command::Stop => go_on = false,
            }
            let full = round.len() >= BATCH || round.framed.len() >= BATCH_BYTES;
            next = if full || !go_on {
                None
            } else {
                self.arriving.try_recv().ok()
            };
        }
        self.commit(round);
        go_on
    }

    fn commit(&mut self, round: Round) {
        let Round {
            framed,
            published,
            replies,
            batch,
            first,
            ..
        } = round;
        if framed.is_empty() {
            replies
                .into_iter()
                .for_each(|(reply, outcome)| reply.give(outcome));
            return;
        }
        let appended = self.journal.append(first, &framed);
        self.measures.journal(&self.journal, appended.as_ref().err());
        if let Err(error) = appended {
            tracing::error!(%error, writes = replies.len(), "writes refused");
            // Later decisions of the round stood on earlier ones, so none of them holds.
            for (reply, _) in replies {
                reply.give(Err(WriteError::Unavailable(error.to_string())));
            }
            return;
        }
        tracing::debug!(
            from = first,
            to = batch.applied,
            writes = batch.changes.len(),
            "stored"
        );
        published.log();
        self.view.publish(published);
        replies
            .into_iter()
            .for_each(|(reply, outcome)| reply.give(outcome));
        self.keeping.apply(&batch, &mut self.journal);
    }
}
