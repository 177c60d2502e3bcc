//! The life of one stream: feeds the state machine and carries its messages to the client.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tonic::{Code, Status, Streaming};

use super::body::{Item, Progress};
use super::listen::Peer;
use super::observer::{Caller, Connection, Observed, Observer};
use super::reply::{Reply, Variant};
use super::service::Shared;
use super::stream::{Event, Output, Stream};
use crate::{NodeInfo, Snapshot};

/// The longest wait of a new stream for its turn.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Why a stream ends: the status for the client, and whether the client still reads at all.
struct End {
    status: Status,
    stalled: bool,
}

impl From<Status> for End {
    fn from(status: Status) -> End {
        End {
            status,
            stalled: false,
        }
    }
}

/// One stream and all that it needs.
pub(super) struct StreamTask {
    shared: Arc<Shared>,
    machine: Stream,
    started: Instant,
    caller: Caller,
    peer: Option<Peer>,
    items: mpsc::Sender<Item>,
    progress: Arc<Progress>,
    taken_in: Option<TakenIn>,
    /// The generation that is settled now, and told.
    settled: Option<u64>,
}

/// A client that has named its node.
struct TakenIn {
    node: String,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    observer: Box<dyn Observer>,
}

impl StreamTask {
    pub(super) fn new(
        shared: Arc<Shared>,
        variant: Variant,
        caller: Caller,
        peer: Option<Peer>,
        items: mpsc::Sender<Item>,
        progress: Arc<Progress>,
    ) -> StreamTask {
        let nonce_prefix = format!("{:08x}-", fastrand::u32(..));
        let machine = Stream::new(variant, &nonce_prefix, Duration::ZERO);
        StreamTask {
            shared,
            machine,
            started: Instant::now(),
            caller,
            peer,
            items,
            progress,
            taken_in: None,
            settled: None,
        }
    }

    pub(super) async fn run<M: 'static>(mut self, mut requests: Streaming<M>, event: fn(Box<M>) -> Event) {
        let end = match wait_for_turn(&self.shared).await {
            Ok(()) => self.converse(&mut requests, event).await,
            Err(end) => end,
        };
        let node = self
            .taken_in
            .as_ref()
            .map(|taken| taken.node.clone())
            .unwrap_or_default();
        let reason = format!("{:?}: {}", end.status.code(), end.status.message());
        match self.taken_in {
            // Clients come back again and again until there is something to give out; why there is not is logged once.
            None if end.status.code() == Code::Unavailable => {
                tracing::debug!(target: "xds", address = ?self.caller.address, %reason, "stream refused");
            }
            None => tracing::info!(target: "xds", address = ?self.caller.address, %reason, "stream refused"),
            Some(_) => {
                tracing::info!(target: "xds", %node, address = ?self.caller.address, %reason, "stream ended");
            }
        }
        if let Some(taken) = &mut self.taken_in {
            taken.observer.observe(&Observed::Closed { reason });
        }
        if end.stalled {
            if let Some(peer) = &self.peer {
                peer.cut();
            }
            return;
        }
        // A client that reads takes the end of its stream; one that does not loses its connection.
        let sent = tokio::time::timeout(self.shared.settings.stall, self.items.send(Item::End(end.status)));
        if sent.await.is_err()
            && let Some(peer) = &self.peer
        {
            peer.cut();
        }
    }

    /// Talks until there is a reason to end.
    async fn converse<M: 'static>(&mut self, requests: &mut Streaming<M>, event: fn(Box<M>) -> Event) -> End {
        let mut closing = self.shared.closing.subscribe();
        let old_age = self
            .shared
            .settings
            .max_age
            .map(|age| self.started + age.mul_f64(1.0 + fastrand::f64() / 10.0));
        loop {
            let wake = self.machine.wake().map(|at| self.started + at);
            let stalled = self.progress.deadline(self.shared.settings.stall);
            let happened = tokio::select! {
                request = requests.message() => match request {
                    Ok(Some(request)) => event(Box::new(request)),
                    Ok(None) => return Status::ok("the client is done").into(),
                    Err(status) => return status.into(),
                },
                snapshot = next_snapshot(&mut self.taken_in) => match snapshot {
                    Some(snapshot) => Event::Snapshot(snapshot),
                    None => return Status::unavailable("the server is stopping").into(),
                },
                () = at(wake) => Event::Tick,
                () = at(stalled) => match self.stall() {
                    Some(end) => return end,
                    None => continue,
                },
                () = at(old_age) => return Status::unavailable("the stream is old, open another").into(),
                () = self.items.closed() => return Status::cancelled("the client is gone").into(),
                _ = closing.wait_for(|closing| *closing) => {
                    return Status::unavailable("the server is stopping").into();
                }
            };
            if let Err(end) = self.handle(happened).await {
                return end;
            }
        }
    }

    /// Feeds the machine an event, and the snapshot that a new node brings, and does what it wants done.
    async fn handle(&mut self, event: Event) -> Result<(), End> {
        let mut next = Some(event);
        while let Some(event) = next.take() {
            for output in self.machine.on(self.started.elapsed(), event) {
                match output {
                    Output::Node(node) => next = Some(Event::Snapshot(self.take_in(*node)?)),
                    Output::Send(reply) => self.send(reply).await?,
                    Output::Told(observed) => self.tell(&observed),
                    Output::Close(status) => return Err(status.into()),
                }
            }
        }
        self.tell_settled();
        Ok(())
    }

    /// Tells the observer when nothing is left to send or to be answered.
    fn tell_settled(&mut self) {
        let settled = self.machine.settled();
        if std::mem::replace(&mut self.settled, settled) != settled
            && let Some(generation) = settled
        {
            self.tell(&Observed::Settled { generation });
        }
    }

    fn take_in(&mut self, node: NodeInfo) -> Result<Arc<Snapshot>, Status> {
        let name = node.id().to_owned();
        let agent = node.user_agent_name.clone();
        let Connection {
            mut snapshots,
            observer,
        } = self.shared.snapshots.connect(&self.caller, node)?;
        tracing::info!(target: "xds", node = %name, address = ?self.caller.address, %agent, "stream opened");
        let first = Arc::clone(&snapshots.borrow_and_update());
        self.taken_in = Some(TakenIn {
            node: name,
            snapshots,
            observer,
        });
        Ok(first)
    }

    fn tell(&mut self, observed: &Observed) {
        let Some(taken) = &mut self.taken_in else { return };
        if let Observed::Nacked { push, message, .. } = observed {
            let (kind, generation) = (push.kind.short(), push.generation);
            tracing::warn!(target: "xds", node = %taken.node, kind, generation, %message, "refused");
        }
        taken.observer.observe(observed);
    }

    /// Queues a message, and waits for room as long as the client reads at all.
    async fn send(&mut self, reply: Reply) -> Result<(), End> {
        let (len, limit) = (reply.encoded_len(), self.shared.settings.max_reply);
        if len > limit {
            let message = format!(
                "a response of {len} bytes of type {}, the limit is {limit}",
                reply.type_url
            );
            return Err(Status::resource_exhausted(message).into());
        }
        loop {
            let stalled = self.progress.deadline(self.shared.settings.stall);
            tokio::select! {
                permit = self.items.reserve() => {
                    let permit = permit.map_err(|_| Status::cancelled("the client is gone"))?;
                    self.progress.queued();
                    permit.send(Item::Reply(reply));
                    return Ok(());
                }
                () = at(stalled) => if let Some(end) = self.stall() { return Err(end) },
            }
        }
    }

    /// The verdict on a client that seemed to stall; `None` if it has read something meanwhile.
    fn stall(&self) -> Option<End> {
        let stall = self.shared.settings.stall;
        let deadline = self.progress.deadline(stall)?;
        (Instant::now() >= deadline).then(|| End {
            status: Status::aborted(format!("the client has read nothing for {stall:?}")),
            stalled: true,
        })
    }
}

async fn wait_for_turn(shared: &Shared) -> Result<(), End> {
    match shared.pace.wait(Instant::now(), LONGEST_WAIT) {
        Some(wait) if wait.is_zero() => Ok(()),
        Some(wait) => {
            tokio::time::sleep(wait).await;
            Ok(())
        }
        None => Err(Status::unavailable("too many new streams at once, come back later").into()),
    }
}

/// The next snapshot for a client that was taken in; waits for ever before. `None` when there will be no more.
async fn next_snapshot(taken_in: &mut Option<TakenIn>) -> Option<Arc<Snapshot>> {
    let Some(taken) = taken_in else {
        return std::future::pending().await;
    };
    taken.snapshots.changed().await.ok()?;
    Some(Arc::clone(&taken.snapshots.borrow_and_update()))
}

/// Resolves at a moment, or never.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
