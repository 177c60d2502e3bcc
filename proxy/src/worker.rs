//! A worker: one thread that serves connections, with its own upstream connections, timers and counters.
//!
//! Nothing here is shared with another worker but the table in force and a few atomics, so nothing on the way of a
//! request takes a lock.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use slab::Slab;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::access_log::Sink;
use crate::balance::Balancer;
use crate::control::{Life, State};
use crate::deadline::Deadline;
use crate::pressure::Pressure;
use crate::request_id::RequestIds;
use crate::table::{Current, Reader, Table};
use crate::upstream::http1::Idle;
use crate::upstream::http2::Mesh;
use crate::upstream::waiting::Waiting;

/// How often idle upstream connections are looked at.
const SWEEP: Duration = Duration::from_secs(5);

/// Timers kept for requests to come.
const TIMERS: usize = 256;
/// Tables kept for the sake of listeners that are gone.
const DEPARTED: usize = 8;
/// For how long they are kept: until every idle connection of the listener has been woken.
const LINGER: Duration = Duration::from_secs(1);

/// What workers are told once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WorkerSettings {
    /// Whether other sidecars are spoken to in HTTP/2; off only to look at the traffic.
    pub(crate) mesh_http2: bool,
}

/// A worker's own state. Its thread's tasks share it.
pub(crate) struct Worker {
    /// Number of the worker, from 0: its shard of every counter.
    pub(crate) index: usize,
    pub(crate) settings: WorkerSettings,
    reader: RefCell<Reader>,
    pub(crate) balancer: RefCell<Balancer>,
    pub(crate) ids: RequestIds,
    /// Idle HTTP/1 connections to upstreams.
    pub(crate) idle: Idle,
    /// Requests that wait for an HTTP/1 connection.
    pub(crate) waiting: Waiting,
    /// HTTP/2 connections to upstreams.
    pub(crate) mesh: Mesh,
    pub(crate) log: Sink,
    /// Timers of requests that are over, set already: most likely earlier than the next request needs one, so that
    /// nothing has to be set at all.
    timers: RefCell<Vec<Deadline>>,
    draining: Cell<bool>,
    pressure: Cell<Pressure>,
    /// Serial number of the table seen last.
    serial: Cell<u64>,
    before: RefCell<Arc<Table>>,
    /// The last few tables that had listeners which are gone, oldest first.
    departed: RefCell<VecDeque<Arc<Table>>>,
    /// Told when a listener is gone, so that its idle connections are woken.
    listener_left: Notify,
    /// The tasks of the open connections, to be woken when they have to look up from their waiting.
    connections: RefCell<Slab<Option<Waker>>>,
    /// Told when upstream connections become idle, so that the sweep begins.
    kept: Notify,
}

impl Worker {
    /// Worker number `index`; `seed` makes its choices differ from those of others.
    pub(crate) fn new(
        index: usize,
        settings: WorkerSettings,
        current: &Arc<Current>,
        log: Sink,
        seed: u64,
    ) -> Rc<Worker> {
        let mut draw = fastrand::Rng::with_seed(seed);
        let mut reader = current.reader();
        let table = Arc::clone(reader.table());
        Rc::new(Worker {
            index,
            settings,
            reader: RefCell::new(reader),
            serial: Cell::new(table.serial),
            before: RefCell::new(table),
            departed: RefCell::default(),
            listener_left: Notify::new(),
            ids: RequestIds::new(draw.fork()),
            balancer: RefCell::new(Balancer::new(draw)),
            idle: Idle::default(),
            waiting: Waiting::default(),
            mesh: Mesh::default(),
            log,
            timers: RefCell::default(),
            draining: Cell::new(false),
            pressure: Cell::default(),
            connections: RefCell::default(),
            kept: Notify::new(),
        })
    }

    /// The newest table; a request keeps the one it started with.
    pub(crate) fn table(&self) -> Arc<Table> {
        let table = Arc::clone(self.reader.borrow_mut().table());
        if table.serial != self.serial.get() {
            self.serial.set(table.serial);
            self.look_for_departed(&table);
        }
        table
    }

    /// Serial number of the newest table.
    pub(crate) fn serial(&self) -> u64 {
        self.reader.borrow_mut().table().serial
    }

    /// Keeps the table before for a while when a listener is gone from `table`.
    fn look_for_departed(&self, table: &Arc<Table>) {
        let before = self.before.replace(Arc::clone(table));
        if before
            .listeners()
            .iter()
            .any(|listener| table.listener(listener.address).is_none())
        {
            let mut departed = self.departed.borrow_mut();
            if departed.len() == DEPARTED {
                departed.pop_front();
            }
            departed.push_back(before);
            self.listener_left.notify_one();
        }
    }

    /// The newest table that has a listener at `address`: the one before, for a request that comes in on a connection
    /// just when its listener is removed.
    pub(crate) fn table_for(&self, address: SocketAddr) -> Arc<Table> {
        let newest = self.table();
        if newest.listener(address).is_some() {
            return newest;
        }
        let departed = self.departed.borrow();
        departed
            .iter()
            .rev()
            .find(|table| table.listener(address).is_some())
            .cloned()
            .unwrap_or(newest)
    }

    /// True when a connection of the listener at `address` should end when it can.
    pub(crate) fn is_leaving(&self, address: SocketAddr) -> bool {
        self.draining.get() || self.reader.borrow_mut().table().listener(address).is_none()
    }

    /// True when the process takes no new work.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// What has to be given up for lack of memory.
    pub(crate) fn pressure(&self) -> Pressure {
        self.pressure.get()
    }

    /// Notes a connection; it is woken when its listener leaves or the process drains.
    pub(crate) fn enter(self: &Rc<Self>) -> Presence {
        let key = self.connections.borrow_mut().insert(None);
        Presence {
            worker: Rc::clone(self),
            key,
        }
    }

    /// A timer for one request.
    pub(crate) fn timer(&self) -> Deadline {
        self.timers.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes a timer back.
    pub(crate) fn keep_timer(&self, timer: Deadline) {
        let mut timers = self.timers.borrow_mut();
        if timers.len() < TIMERS {
            timers.push(timer);
        }
    }

    /// Something idle is kept from now on.
    pub(crate) fn note_idle(&self) {
        self.kept.notify_one();
    }

    /// Wakes every connection.
    fn wake_connections(&self) {
        let wakers: Vec<Waker> = self
            .connections
            .borrow()
            .iter()
            .filter_map(|(_, waker)| waker.clone())
            .collect();
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// A connection's entry in its worker.
pub(crate) struct Presence {
    worker: Rc<Worker>,
    key: usize,
}

impl Presence {
    /// Who to wake: the task of the connection. Once is enough, since a connection stays with its task.
    pub(crate) fn watch(&self, waker: &Waker) {
        if let Some(slot) = self.worker.connections.borrow_mut().get_mut(self.key)
            && slot.is_none()
        {
            *slot = Some(waker.clone());
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.worker.connections.borrow_mut().try_remove(self.key);
    }
}

/// Keeps a worker up to date until the process ends: lets go of old tables and of what led to removed endpoints, and
/// starts the drain.
pub(crate) async fn attend(worker: Rc<Worker>, current: Arc<Current>, life: Arc<Life>) {
    let mut changes = current.changes();
    let mut state = life.watch();
    loop {
        tokio::select! {
            changed = changes.changed() => {
                if changed.is_err() {
                    return;
                }
                let table = worker.table();
                worker.idle.sweep(&table, Instant::now());
                worker.mesh.sweep(&table, Instant::now());
            }
            draining = state.wait_for(|state| *state == State::Draining), if !worker.draining.get() => {
                if draining.is_err() {
                    return;
                }
                drop(draining);
                worker.draining.set(true);
                worker.wake_connections();
            }
        }
    }
}

/// Takes notice when memory becomes scarce, or is so no longer.
pub(crate) async fn feel(worker: Rc<Worker>, mut levels: watch::Receiver<Pressure>) {
    while levels.changed().await.is_ok() {
        worker.pressure.set(*levels.borrow_and_update());
        worker.wake_connections();
    }
}

/// Wakes idle connections when a listener is gone, so that those of it end, and forgets it a little later.
pub(crate) async fn see_off(worker: Rc<Worker>) {
    loop {
        worker.listener_left.notified().await;
        worker.wake_connections();
        while tokio::time::timeout(LINGER, worker.listener_left.notified())
            .await
            .is_ok()
        {
            worker.wake_connections();
        }
        worker.departed.borrow_mut().clear();
    }
}

/// Looks after idle upstream connections as long as there are any.
pub(crate) async fn sweep(worker: Rc<Worker>) {
    loop {
        worker.kept.notified().await;
        loop {
            tokio::time::sleep(SWEEP).await;
            let table = worker.table();
            let now = Instant::now();
            if worker.idle.sweep(&table, now) + worker.mesh.sweep(&table, now) == 0 {
                break;
            }
        }
    }
}
