//! The threads that serve: workers, and with several of them one that accepts for all.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_local;

use crate::accept::{self, Accepted, Acceptors, Full, HANDOVER, Host, Order, Seats};
use crate::access_log::{AccessLog, Style, Target};
use crate::connection;
use crate::control::Life;
use crate::listen::Sockets;
use crate::pressure::{self, Pressure};
use crate::table::Current;
use crate::worker::{self, Worker, WorkerSettings};

/// How the data plane is run.
#[derive(Clone, Debug)]
pub struct PlaneSettings {
    /// Threads that serve, at least 1; 1 is the default, and right for a sidecar.
    pub workers: usize,
    /// Whether other sidecars are spoken to in HTTP/2. Default true; false shows the traffic to a sniffer.
    pub mesh_http2: bool,
    /// Memory that the process should stay within, in bytes; near it, it gives up idle connections, then keep-alive, then
    /// requests. `None` is without limit. Default 256 MiB.
    pub memory_budget: Option<u64>,
    /// Where the access log goes. Default nowhere.
    pub access_log: Target,
    /// How its lines are written. Default text.
    pub log_style: Style,
}

impl Default for PlaneSettings {
    fn default() -> Self {
        PlaneSettings {
            workers: 1,
            mesh_http2: true,
            memory_budget: Some(256 * 1024 * 1024),
            access_log: Target::Off,
            log_style: Style::Text,
        }
    }
}

/// The running threads.
#[derive(Debug)]
pub struct Plane {
    threads: Vec<JoinHandle<()>>,
    stop: watch::Sender<bool>,
    seats: Arc<Seats>,
    log: AccessLog,
}

impl Plane {
    /// Starts the threads; they serve nothing until the sockets returned are bound and opened.
    ///
    /// # Errors
    /// When the access log cannot be opened, or a thread or its runtime not be started.
    pub fn start(
        settings: &PlaneSettings,
        current: &Arc<Current>,
        life: &Arc<Life>,
    ) -> io::Result<(Plane, Sockets)> {
        let log = AccessLog::start(&settings.access_log, settings.log_style)?;
        let (stop, stopped) = watch::channel(false);
        let (acceptors, orders) = Acceptors::new();
        let seats = Arc::new(Seats::new());
        let mut plane = Plane {
            threads: Vec::new(),
            stop,
            seats: Arc::clone(&seats),
            log,
        };

        let count = settings.workers.max(1);
        let (levels, felt) = watch::channel(Pressure::None);
        let mut measuring = settings.memory_budget.map(|budget| (levels, budget));
        let mut orders = Some(orders);
        let mut lanes = Vec::new();
        for index in 0..count {
            let (lane, handed) = Lane::new();
            lanes.push(lane);
            let seat = Desk {
                index,
                settings: WorkerSettings {
                    mesh_http2: settings.mesh_http2,
                },
                current: Arc::clone(current),
                life: Arc::clone(life),
                log: plane.log.sink(),
                levels: felt.clone(),
                measuring: measuring.take(),
                orders: if count == 1 { orders.take() } else { None },
                handed,
                seats: Arc::clone(&seats),
            };
            plane.thread(&format!("worker-{index}"), stopped.clone(), move || seat.work())?;
        }
        if let Some(orders) = orders {
            let current = Arc::clone(current);
            let accepting = move || accept::run(orders, seats, Rc::new(HandOver { lanes, current }));
            plane.thread("accept", stopped, accepting)?;
        }
        Ok((plane, Sockets::new(acceptors)))
    }

    /// Connections open now.
    pub fn connections(&self) -> usize {
        self.seats.taken()
    }

    /// Lines of the access log that were dropped so far because writing could not keep up.
    pub fn dropped_lines(&self) -> Arc<AtomicU64> {
        self.log.dropped()
    }

    /// Ends the threads: waits for the open connections to end, at most until `deadline`, and cuts the rest off.
    /// Returns how many were cut. The caller has set the process's life to draining and closed the sockets.
    pub fn finish(self, deadline: Instant) -> usize {
        while self.seats.taken() > 0 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        let cut = self.seats.taken();
        self.stop.send_replace(true);
        for thread in self.threads {
            // A worker that panicked has nothing more to finish.
            let _ = thread.join();
        }
        self.log.finish();
        cut
    }

    /// Starts a thread that runs `work` until the plane is stopped.
    fn thread<F: Future<Output = ()> + 'static>(
        &mut self,
        name: &str,
        mut stopped: watch::Receiver<bool>,
        work: impl FnOnce() -> F + Send + 'static,
    ) -> io::Result<()> {
        let (started, start) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            // A runtime stays with the thread that made it, so it is made here, and the caller waits to hear.
            let built = Builder::new_current_thread()
                .enable_io()
                .enable_time()
                .build_local(LocalOptions::default());
            let runtime = match built {
                Ok(runtime) => runtime,
                Err(error) => return drop(started.send(Err(error))),
            };
            // The caller waits for this and for nothing else.
            let _ = started.send(Ok(()));
            runtime.block_on(async move {
                let mut work = spawn_local(work());
                tokio::select! {
                    // The sender is dropped only with the plane, which stops as well.
                    _ = stopped.wait_for(|stop| *stop) => {}
                    _ = &mut work => {}
                }
                work.abort();
            });
        })?;
        self.threads.push(thread);
        // The sender is dropped unsent only when the thread has died.
        start
            .recv()
            .unwrap_or_else(|_| Err(io::Error::other("the thread ended at once")))
    }
}

/// What a worker's thread starts with.
struct Desk {
    index: usize,
    settings: WorkerSettings,
    current: Arc<Current>,
    life: Arc<Life>,
    log: crate::access_log::Sink,
    levels: watch::Receiver<Pressure>,
    /// The worker looks at the memory of the process, for all.
    measuring: Option<(watch::Sender<Pressure>, u64)>,
    /// The worker accepts for itself.
    orders: Option<mpsc::UnboundedReceiver<Order>>,
    /// Connections that were accepted for it.
    handed: mpsc::Receiver<Accepted>,
    seats: Arc<Seats>,
}

impl Desk {
    async fn work(self) {
        let Desk {
            index,
            settings,
            current,
            life,
            log,
            levels,
            measuring,
            orders,
            mut handed,
            seats,
        } = self;
        let worker = Worker::new(index, settings, &current, log, fastrand::u64(..));
        spawn_local(worker::attend(Rc::clone(&worker), current, life));
        spawn_local(worker::see_off(Rc::clone(&worker)));
        spawn_local(worker::sweep(Rc::clone(&worker)));
        spawn_local(worker::feel(Rc::clone(&worker), levels));
        if let Some((levels, budget)) = measuring {
            spawn_local(pressure::measure(levels, budget));
        }
        let logging = Rc::clone(&worker);
        spawn_local(async move { logging.log.attend().await });
        match orders {
            Some(orders) => accept::run(orders, seats, worker).await,
            None => {
                while let Some(accepted) = handed.recv().await {
                    spawn_local(connection::serve(Rc::clone(&worker), accepted));
                }
            }
        }
        std::future::pending::<()>().await;
    }
}

/// A lone worker takes what it accepts.
impl Host for Rc<Worker> {
    fn take(&self, accepted: Accepted) {
        spawn_local(connection::serve(Rc::clone(self), accepted));
    }

    fn full(&self, listener: SocketAddr, full: Full) {
        count_full(&self.table(), listener, self.index, full);
    }

    fn failed(&self, listener: SocketAddr, error: &io::Error) {
        count_failed(&self.table(), listener, self.index, error);
    }
}

/// A worker's queue of connections, as seen by the thread that accepts.
#[derive(Debug)]
struct Lane {
    queue: mpsc::Sender<Accepted>,
    /// Connections of this worker, those in the queue included.
    load: Arc<AtomicUsize>,
}

impl Lane {
    fn new() -> (Lane, mpsc::Receiver<Accepted>) {
        let (queue, handed) = mpsc::channel(HANDOVER);
        (
            Lane {
                queue,
                load: Arc::default(),
            },
            handed,
        )
    }
}

/// Hands connections to the worker that has the fewest.
#[derive(Debug)]
struct HandOver {
    lanes: Vec<Lane>,
    current: Arc<Current>,
}

impl Host for Rc<HandOver> {
    fn take(&self, mut accepted: Accepted) {
        let Some(lane) = self
            .lanes
            .iter()
            .min_by_key(|lane| lane.load.load(Ordering::Relaxed))
        else {
            return;
        };
        accepted.seat.count_at(&lane.load);
        let listener = accepted.listener;
        let handed = match accepted.movable() {
            // A full queue closes the connection: its worker is hopelessly behind.
            Ok(accepted) => lane.queue.try_send(accepted).is_ok(),
            Err(_) => return,
        };
        if !handed {
            self.full(listener, Full::Process);
        }
    }

    fn full(&self, listener: SocketAddr, full: Full) {
        count_full(&self.current.load(), listener, 0, full);
    }

    fn failed(&self, listener: SocketAddr, error: &io::Error) {
        count_failed(&self.current.load(), listener, 0, error);
    }
}

/// These counters are written by whoever accepts, and by nobody else.
fn count_full(table: &crate::table::Table, listener: SocketAddr, worker: usize, full: Full) {
    if let Some(listener) = table.listener(listener) {
        let shard = listener.stats.shard(worker);
        match full {
            Full::Listener => shard.downstream_cx_overflow.inc(),
            Full::Process => shard.downstream_global_cx_overflow.inc(),
        }
    }
}

fn count_failed(table: &crate::table::Table, address: SocketAddr, worker: usize, error: &io::Error) {
    tracing::warn!(%address, %error, "cannot accept a connection; trying again in a moment");
    if let Some(listener) = table.listener(address) {
        listener.stats.shard(worker).downstream_accept_error.inc();
    }
}
