//! Accepting connections: one loop a listening socket, and which worker gets what it accepts.
//!
//! A lone worker accepts for itself. Where there are several, a thread of its own accepts and gives each connection to
//! the worker that has the fewest, through a bounded queue.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener as Socket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Connections of one listener (`spec/reliability.md` §3).
pub(crate) const PER_LISTENER: usize = 4_000;
/// Connections of the process.
const PER_PROCESS: usize = 8_000;
/// What an accept loop waits after an error that is ours, such as no free file descriptor.
const PAUSE: Duration = Duration::from_millis(100);
/// Accepted connections that may wait for a worker.
pub(crate) const HANDOVER: usize = 1_024;

/// Where accept loops are started and stopped from another thread.
#[derive(Clone, Debug)]
pub(crate) struct Acceptors {
    orders: mpsc::UnboundedSender<Order>,
}

/// What the control thread wants. As many as its listeners change, so the queue needs no bound of its own.
#[derive(Debug)]
pub(crate) enum Order {
    /// Accept on this socket.
    Start(SocketAddr, Arc<Socket>),
    /// Accept what already waits and no more.
    Stop(SocketAddr),
}

impl Acceptors {
    /// A handle, and the orders that [`run`] carries out.
    pub(crate) fn new() -> (Acceptors, mpsc::UnboundedReceiver<Order>) {
        let (orders, received) = mpsc::unbounded_channel();
        (Acceptors { orders }, received)
    }

    /// Starts to accept on `socket`, known by `address`.
    pub(crate) fn start(&self, address: SocketAddr, socket: Arc<Socket>) {
        // A closed queue means that the process ends; there is nobody left to accept.
        let _ = self.orders.send(Order::Start(address, socket));
    }

    /// Stops accepting on `address`.
    pub(crate) fn stop(&self, address: SocketAddr) {
        let _ = self.orders.send(Order::Stop(address));
    }
}

/// An accepted connection.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) stream: Socketed,
    /// Address of the listener, which is its key in the table.
    pub(crate) listener: SocketAddr,
    pub(crate) peer: SocketAddr,
    pub(crate) seat: Seat,
}

impl Accepted {
    /// Takes the socket off this runtime, for another thread.
    pub(crate) fn movable(self) -> io::Result<Accepted> {
        let stream = match self.stream {
            Socketed::Here(stream) => Socketed::Moved(stream.into_std()?),
            moved => moved,
        };
        Ok(Accepted { stream, ..self })
    }
}

/// The socket of an accepted connection: of the runtime that accepted it, or between two.
#[derive(Debug)]
pub(crate) enum Socketed {
    Here(TcpStream),
    Moved(std::net::TcpStream),
}

impl Socketed {
    /// The stream on the runtime that calls.
    pub(crate) fn stream(self) -> io::Result<TcpStream> {
        match self {
            Socketed::Here(stream) => Ok(stream),
            Socketed::Moved(stream) => TcpStream::from_std(stream),
        }
    }
}

/// How many connections are open: of a listener, and of the process.
#[derive(Debug, Default)]
pub(crate) struct Seats {
    process: Arc<AtomicUsize>,
    process_limit: usize,
}

impl Seats {
    /// As many as the limits of the specification, and under half of the file descriptors the process may have.
    pub(crate) fn new() -> Seats {
        let descriptors = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let half = descriptors.map_or(usize::MAX, |limit| {
            usize::try_from(limit / 2).unwrap_or(usize::MAX)
        });
        Seats {
            process: Arc::default(),
            process_limit: PER_PROCESS.min(half.saturating_sub(1)),
        }
    }

    /// Connections open now.
    pub(crate) fn taken(&self) -> usize {
        self.process.load(Ordering::Relaxed)
    }

    /// A seat for one more connection of the listener that counts in `listener`.
    pub(crate) fn take(&self, listener: &Arc<AtomicUsize>) -> Result<Seat, Full> {
        if listener.load(Ordering::Relaxed) >= PER_LISTENER {
            return Err(Full::Listener);
        }
        if self.process.load(Ordering::Relaxed) >= self.process_limit {
            return Err(Full::Process);
        }
        listener.fetch_add(1, Ordering::Relaxed);
        self.process.fetch_add(1, Ordering::Relaxed);
        Ok(Seat {
            listener: Arc::clone(listener),
            process: Arc::clone(&self.process),
            worker: None,
        })
    }
}

/// Why a connection is closed at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    Listener,
    Process,
}

/// The right of one connection to be open; free again when dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    listener: Arc<AtomicUsize>,
    process: Arc<AtomicUsize>,
    worker: Option<Arc<AtomicUsize>>,
}

impl Seat {
    /// It counts among the connections of this worker as well.
    pub(crate) fn count_at(&mut self, worker: &Arc<AtomicUsize>) {
        worker.fetch_add(1, Ordering::Relaxed);
        self.worker = Some(Arc::clone(worker));
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.listener.fetch_sub(1, Ordering::Relaxed);
        self.process.fetch_sub(1, Ordering::Relaxed);
        if let Some(worker) = &self.worker {
            worker.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Who takes accepted connections, and hears of those that could not be.
pub(crate) trait Host {
    /// Serves `accepted`, or hands it on.
    fn take(&self, accepted: Accepted);
    /// A connection of `listener` was closed at once.
    fn full(&self, listener: SocketAddr, full: Full);
    /// Accepting failed.
    fn failed(&self, listener: SocketAddr, error: &io::Error);
}

/// Carries out orders until their sender is gone. Runs on the thread that accepts, inside its local task set.
pub(crate) async fn run<H: Host + Clone + 'static>(
    mut orders: mpsc::UnboundedReceiver<Order>,
    seats: Arc<Seats>,
    host: H,
) {
    let mut loops: HashMap<SocketAddr, JoinHandle<()>> = HashMap::new();
    let mut listeners: HashMap<SocketAddr, Arc<TcpListener>> = HashMap::new();
    let mut counts: HashMap<SocketAddr, Arc<AtomicUsize>> = HashMap::new();
    while let Some(order) = orders.recv().await {
        match order {
            Order::Start(address, socket) => match socket.try_clone().and_then(TcpListener::from_std) {
                Ok(listener) => {
                    let listener = Arc::new(listener);
                    counts.retain(|address, count| {
                        loops.contains_key(address) || count.load(Ordering::Relaxed) > 0
                    });
                    let door = Door {
                        address,
                        seats: Arc::clone(&seats),
                        count: Arc::clone(counts.entry(address).or_default()),
                        host: host.clone(),
                    };
                    listeners.insert(address, Arc::clone(&listener));
                    let accepting = tokio::task::spawn_local(accept(listener, door));
                    if let Some(previous) = loops.insert(address, accepting) {
                        previous.abort();
                    }
                }
                Err(error) => host.failed(address, &error),
            },
            Order::Stop(address) => {
                if let Some(accepting) = loops.remove(&address) {
                    accepting.abort();
                }
                if let Some(listener) = listeners.remove(&address) {
                    // Those that the kernel has already let in would be reset with the socket.
                    let door = Door {
                        address,
                        seats: Arc::clone(&seats),
                        count: Arc::clone(counts.entry(address).or_default()),
                        host: host.clone(),
                    };
                    drain(&listener, &door);
                }
            }
        }
    }
    for accepting in loops.into_values() {
        accepting.abort();
    }
}

/// One listening socket's way in.
struct Door<H> {
    address: SocketAddr,
    seats: Arc<Seats>,
    count: Arc<AtomicUsize>,
    host: H,
}

impl<H: Host> Door<H> {
    fn enter(&self, stream: TcpStream, peer: SocketAddr) {
        match self.seats.take(&self.count) {
            Ok(seat) => {
                self.host.take(Accepted {
                    stream: Socketed::Here(stream),
                    listener: self.address,
                    peer,
                    seat,
                });
            }
            Err(full) => self.host.full(self.address, full),
        }
    }
}

/// Accepts until aborted. A peer that went away again is its own affair; anything else is told and followed by a
/// pause, so that a lack of file descriptors cannot make the loop spin.
async fn accept<H: Host>(listener: Arc<TcpListener>, door: Door<H>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => door.enter(stream, peer),
            Err(error) if peer_went_away(&error) => {}
            Err(error) => {
                door.host.failed(door.address, &error);
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Accepts what waits.
fn drain<H: Host>(listener: &TcpListener, door: &Door<H>) {
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    while let std::task::Poll::Ready(Ok((stream, peer))) = listener.poll_accept(&mut cx) {
        door.enter(stream, peer);
    }
}

fn peer_went_away(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_has_as_many_seats_as_its_limit_and_a_dropped_one_is_free_again() {
        let seats = Seats {
            process: Arc::default(),
            process_limit: PER_LISTENER + 1,
        };
        let (one, other) = (Arc::default(), Arc::default());
        let mut taken: Vec<Seat> = (0..PER_LISTENER)
            .map(|_| seats.take(&one).expect("a seat"))
            .collect();
        assert_eq!(seats.take(&one).expect_err("full"), Full::Listener);
        let last = seats.take(&other).expect("the other listener has seats");
        assert_eq!(seats.take(&other).expect_err("full"), Full::Process);
        taken.pop();
        drop(last);
        assert!(seats.take(&one).is_ok());
        assert_eq!(seats.taken(), PER_LISTENER - 1);
    }
}
