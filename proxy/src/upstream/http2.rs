//! HTTP/2 connections of a worker, by endpoint, each shared by many requests.
//!
//! A few connections carry everything to an endpoint: another is opened when all have many streams in flight, and each
//! is renewed after a while, at a different age than its neighbours, so that load finds its way to new endpoints.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{FutureExt, LocalBoxFuture, Shared};
use h2::PingPong;
use h2::client::{Builder, SendRequest};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::connect::{Berth, ConnectError, connect};
use super::keep_alive::{self, State};
use crate::table::{ClusterId, ClusterInfo, Endpoint, EndpointKey, Table};
use crate::window::{MESH, SHARED_BY};
use crate::worker::Worker;

/// Connections to an endpoint.
const MOST: usize = 16;
/// Age at which a connection is renewed; the actual age differs by up to a fifth.
const AGE: Duration = Duration::from_secs(30 * 60);
/// Streams that may be opened before the other end has said how many: a number that nobody says, so that any other
/// shows that its settings have come.
const UNSETTLED: usize = 99;

/// A connection that carries many streams.
#[derive(Debug)]
pub(crate) struct Link {
    send: SendRequest<Bytes>,
    in_flight: Cell<u32>,
    ended: Cell<bool>,
    retire_at: Instant,
    last_used: Cell<Instant>,
}

/// The use of a link by one request.
#[derive(Debug)]
pub(crate) struct Slot {
    link: Rc<Link>,
}

impl Slot {
    fn new(link: &Rc<Link>, now: Instant) -> Slot {
        link.in_flight.set(link.in_flight.get() + 1);
        link.last_used.set(now);
        Slot {
            link: Rc::clone(link),
        }
    }

    /// What a request is sent with.
    pub(crate) fn sender(&self) -> SendRequest<Bytes> {
        self.link.send.clone()
    }

    /// No request is sent on this link any more: it has said so, or failed.
    pub(crate) fn give_up(&self) {
        self.link.ended.set(true);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.link.in_flight.set(self.link.in_flight.get() - 1);
    }
}

type Opening = Shared<LocalBoxFuture<'static, Result<Rc<Link>, Rc<ConnectError>>>>;

/// What there is to one endpoint.
struct Links {
    cluster: ClusterId,
    idle_timeout: Option<Duration>,
    open: Vec<Rc<Link>>,
    opening: Option<Opening>,
}

/// The HTTP/2 connections of a worker.
#[derive(Default)]
pub(crate) struct Mesh {
    by_endpoint: RefCell<HashMap<EndpointKey, Links>>,
}

/// A place for a request, now or soon.
enum Found {
    Slot(Slot),
    Soon(Opening),
}

impl Mesh {
    /// A place for one request to `endpoint`.
    pub(crate) async fn slot(
        worker: &Rc<Worker>,
        cluster: ClusterId,
        info: &Arc<ClusterInfo>,
        endpoint: &Arc<Endpoint>,
        now: Instant,
    ) -> Result<Slot, Rc<ConnectError>> {
        match worker.mesh.find(worker, cluster, info, endpoint, now) {
            Found::Slot(slot) => Ok(slot),
            Found::Soon(opening) => opening.await.map(|link| Slot::new(&link, now)),
        }
    }

    fn find(
        &self,
        worker: &Rc<Worker>,
        cluster: ClusterId,
        info: &Arc<ClusterInfo>,
        endpoint: &Arc<Endpoint>,
        now: Instant,
    ) -> Found {
        let mut by_endpoint = self.by_endpoint.borrow_mut();
        let links = by_endpoint.entry(endpoint.key).or_insert_with(|| Links {
            cluster,
            idle_timeout: info.idle_timeout,
            open: Vec::new(),
            opening: None,
        });
        links
            .open
            .retain(|link| !link.ended.get() && now < link.retire_at);
        let best = links.open.iter().min_by_key(|link| link.in_flight.get());
        let slot = best.map(|link| (link.in_flight.get() < SHARED_BY, Slot::new(link, now)));
        match slot {
            Some((true, slot)) => Found::Slot(slot),
            Some((false, slot)) => {
                if links.opening.is_none() && links.open.len() < MOST {
                    links.opening = Some(open(worker, info, endpoint));
                }
                Found::Slot(slot)
            }
            None => Found::Soon(
                links
                    .opening
                    .get_or_insert_with(|| open(worker, info, endpoint))
                    .clone(),
            ),
        }
    }

    /// Lets go of connections that ended, were idle too long, or lead to endpoints that are gone; what is in flight on
    /// them ends in peace. Returns how many are left.
    pub(crate) fn sweep(&self, table: &Table, now: Instant) -> usize {
        let mut left = 0;
        self.by_endpoint.borrow_mut().retain(|key, links| {
            let known = table.has_endpoint(links.cluster, *key);
            let limit = links.idle_timeout;
            links.open.retain(|link| {
                let idle = now.saturating_duration_since(link.last_used.get());
                let quiet = link.in_flight.get() == 0 && limit.is_some_and(|limit| idle >= limit);
                known && !quiet && !link.ended.get() && now < link.retire_at
            });
            left += links.open.len();
            !links.open.is_empty() || links.opening.is_some()
        });
        left
    }
}

/// Starts to open a connection; it goes on even when nobody waits for it any longer.
fn open(worker: &Rc<Worker>, info: &Arc<ClusterInfo>, endpoint: &Arc<Endpoint>) -> Opening {
    let work = establish(Rc::clone(worker), Arc::clone(info), Arc::clone(endpoint));
    let opening = work.boxed_local().shared();
    tokio::task::spawn_local(opening.clone());
    opening
}

async fn establish(
    worker: Rc<Worker>,
    info: Arc<ClusterInfo>,
    endpoint: Arc<Endpoint>,
) -> Result<Rc<Link>, Rc<ConnectError>> {
    let made = shake_hands(&worker, &info, &endpoint).await.map_err(Rc::new);
    let mut by_endpoint = worker.mesh.by_endpoint.borrow_mut();
    if let Some(links) = by_endpoint.get_mut(&endpoint.key) {
        links.opening = None;
        if let Ok(link) = &made {
            links.open.push(Rc::clone(link));
        }
    }
    made
}

async fn shake_hands(
    worker: &Rc<Worker>,
    info: &Arc<ClusterInfo>,
    endpoint: &Endpoint,
) -> Result<Rc<Link>, ConnectError> {
    let (stream, berth) = connect(worker, info, endpoint).await?;
    let mut builder = Builder::new();
    builder
        .initial_window_size(MESH.stream)
        .initial_connection_window_size(MESH.connection)
        .max_send_buffer_size(64 * 1024)
        .max_header_list_size(60 * 1024)
        .max_concurrent_reset_streams(20)
        .initial_max_send_streams(UNSETTLED)
        .enable_push(false);
    let (send, mut connection) = builder.handshake::<_, Bytes>(stream).await.map_err(not_http2)?;
    if endpoint.mesh_h2 {
        // What a sidecar can do is in its settings, which come at once; one that sends none is no sidecar.
        let settled = poll_fn(|cx| match Pin::new(&mut connection).poll(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(not_http2(error))),
            Poll::Ready(Ok(())) => {
                Poll::Ready(Err(ConnectError::Failed(io::ErrorKind::ConnectionAborted.into())))
            }
            Poll::Pending if send.current_max_send_streams() != UNSETTLED => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        });
        let after = info.connect_timeout;
        timeout(after, settled)
            .await
            .unwrap_or(Err(ConnectError::Timeout { after }))?;
    }
    info.stats.shard(worker.index).upstream_cx_http2_total.inc();
    let now = Instant::now();
    let jitter = worker.balancer.borrow_mut().draw().u32(0..400);
    let link = Rc::new(Link {
        send,
        in_flight: Cell::new(0),
        ended: Cell::new(false),
        retire_at: now + AGE * (800 + jitter) / 1000,
        last_used: Cell::new(now),
    });
    let pings = connection.ping_pong();
    let driving = tokio::task::spawn_local(drive(connection, Rc::downgrade(&link), berth));
    if let Some(pings) = pings {
        tokio::task::spawn_local(watch(pings, Rc::downgrade(&link), driving));
    }
    Ok(link)
}

fn not_http2(error: h2::Error) -> ConnectError {
    ConnectError::Failed(
        error
            .into_io()
            .unwrap_or_else(|| io::ErrorKind::ConnectionAborted.into()),
    )
}

/// Reads and writes the connection until it ends, which it does when nobody can use it any longer.
async fn drive(
    connection: h2::client::Connection<tokio::net::TcpStream, Bytes>,
    link: Weak<Link>,
    berth: Berth,
) {
    if let Err(error) = connection.await {
        tracing::debug!(cluster = %berth.info().name, %error, "an HTTP/2 connection to an upstream failed");
    }
    if let Some(link) = link.upgrade() {
        link.ended.set(true);
    }
}

/// Ends the connection when the other end answers no more; what is in flight on it is lost at once then.
async fn watch(pings: PingPong, link: Weak<Link>, driving: JoinHandle<()>) {
    let state = || match link.upgrade() {
        _ if driving.is_finished() => State::Over,
        Some(link) if link.in_flight.get() > 0 => State::Busy,
        Some(_) => State::Quiet,
        None => State::Over,
    };
    if keep_alive::is_lost(pings, state).await {
        if let Some(link) = link.upgrade() {
            link.ended.set(true);
        }
        driving.abort();
    }
}
