//! Idle HTTP/1 connections of a worker, by endpoint, ready to be used again.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::connect::Berth;
use crate::http1::Http1;
use crate::table::{ClusterId, EndpointKey, Table};

/// Idle connections kept for an endpoint: as many as a cluster may have.
const KEPT: usize = 1024;
/// For a request that must not be sent twice no connection is used that was idle for longer, unless the upstream said for
/// how long it keeps one: it may be closing it at this very moment.
const MOMENT: Duration = Duration::from_secs(1);
/// A connection is not used again so shortly before the upstream said it would close it.
const MARGIN: Duration = Duration::from_millis(500);

/// An upstream connection between its requests, or during one.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) http: Http1,
    pub(crate) berth: Berth,
    pub(crate) cluster: ClusterId,
    pub(crate) key: EndpointKey,
    /// Requests sent on it.
    pub(crate) requests: u32,
    /// For how long the upstream said that it keeps a quiet connection.
    pub(crate) kept_for: Option<Duration>,
    idle_since: Instant,
}

impl Connection {
    /// A connection without requests yet.
    pub(crate) fn new(
        http: Http1,
        berth: Berth,
        cluster: ClusterId,
        key: EndpointKey,
        now: Instant,
    ) -> Connection {
        Connection {
            http,
            berth,
            cluster,
            key,
            requests: 0,
            kept_for: None,
            idle_since: now,
        }
    }

    /// True when it may be idle no longer.
    fn is_stale(&self, now: Instant) -> bool {
        let limit = match (self.berth.info().idle_timeout, self.kept_for) {
            (Some(ours), Some(theirs)) => Some(ours.min(theirs.saturating_sub(MARGIN))),
            (ours, theirs) => ours.or(theirs.map(|theirs| theirs.saturating_sub(MARGIN))),
        };
        limit.is_some_and(|limit| now.saturating_duration_since(self.idle_since) >= limit)
    }
}

/// The idle connections of a worker.
#[derive(Debug, Default)]
pub(crate) struct Idle {
    #[allow(
        clippy::vec_box,
        reason = "giving a connection to a request and back moves a pointer"
    )]
    by_endpoint: RefCell<HashMap<EndpointKey, Vec<Box<Connection>>>>,
}

impl Idle {
    /// The connection to this endpoint that was used last and is still good. With `checked` it was idle for less than
    /// the upstream said it keeps one, or for a moment only where it said nothing, and the kernel has been asked whether
    /// it is open. When all have been idle for too long, the oldest makes room for the one that will be opened: requests
    /// that come seldom must not leave a connection each.
    pub(crate) fn take(&self, key: EndpointKey, now: Instant, checked: bool) -> Option<Box<Connection>> {
        let mut by_endpoint = self.by_endpoint.borrow_mut();
        let idle = by_endpoint.get_mut(&key)?;
        while let Some(connection) = idle.pop() {
            if connection.http.is_quiet() && !connection.is_stale(now) {
                if !checked {
                    return Some(connection);
                }
                let promised = connection.kept_for.is_some();
                if !promised && now.saturating_duration_since(connection.idle_since) > MOMENT {
                    // The others were idle for longer still, and are good for requests that may be repeated.
                    idle.push(connection);
                    idle.remove(0);
                    return None;
                }
                if connection.http.is_open() {
                    return Some(connection);
                }
            }
        }
        None
    }

    /// Keeps a connection that is ready for another request.
    pub(crate) fn put(&self, mut connection: Box<Connection>, now: Instant) {
        connection.idle_since = now;
        let mut by_endpoint = self.by_endpoint.borrow_mut();
        let idle = by_endpoint.entry(connection.key).or_default();
        if idle.len() < KEPT {
            idle.push(connection);
        }
    }

    /// Drops connections that were closed by the other end, have been idle too long, or lead to endpoints that are
    /// gone. Returns how many are left.
    pub(crate) fn sweep(&self, table: &Table, now: Instant) -> usize {
        let mut left = 0;
        self.by_endpoint.borrow_mut().retain(|key, idle| {
            idle.retain(|connection| {
                let stale = connection.is_stale(now);
                if stale {
                    let stats = &connection.berth.info().stats;
                    stats
                        .shard(connection.berth.worker())
                        .upstream_cx_idle_timeout
                        .inc();
                }
                !stale && connection.http.is_quiet() && table.has_endpoint(connection.cluster, *key)
            });
            left += idle.len();
            !idle.is_empty()
        });
        left
    }

    /// Drops one idle connection of the cluster, to make room for one to another endpoint of it.
    pub(crate) fn evict(&self, cluster: ClusterId) -> bool {
        let mut by_endpoint = self.by_endpoint.borrow_mut();
        let found = by_endpoint.values_mut().find(|idle| {
            idle.first()
                .is_some_and(|connection| connection.cluster == cluster)
        });
        found.map(|idle| idle.remove(0)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::table::{ClusterInfo, Endpoint, Names};

    const SECOND: Duration = Duration::from_secs(1);

    /// Idle connections of one endpoint, kept since `start`, with what the upstream said about each.
    async fn kept(said: &[Option<Duration>], start: Instant) -> (Idle, EndpointKey, Vec<TcpStream>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address: SocketAddr = listener.local_addr().expect("an address");
        let endpoint = Endpoint::new(address, false, None);
        let info = Arc::new(ClusterInfo::new("c", 1));
        let cluster = Names::default().slot("c");
        let (idle, mut others) = (Idle::default(), Vec::new());
        for said in said {
            let stream = TcpStream::connect(address).await.expect("a connection");
            let (other, _) = listener.accept().await.expect("a connection");
            others.push(other);
            let berth = Berth::take(&info, 0).expect("a place");
            let mut connection = Connection::new(Http1::new(stream), berth, cluster, endpoint.key, start);
            connection.kept_for = *said;
            idle.put(Box::new(connection), start);
        }
        (idle, endpoint.key, others)
    }

    fn left(idle: &Idle) -> usize {
        idle.by_endpoint.borrow().values().map(Vec::len).sum()
    }

    #[tokio::test]
    async fn requests_that_must_not_be_repeated_and_come_seldom_leave_no_heap_of_connections() {
        let start = Instant::now();
        let (idle, key, _others) = kept(&[None, None, None], start).await;

        assert!(idle.take(key, start + SECOND / 2, true).is_some());
        assert_eq!(left(&idle), 2);
        assert!(idle.take(key, start + 2 * SECOND, true).is_none());
        assert_eq!(
            left(&idle),
            1,
            "the one that is opened takes the place of another"
        );
        assert!(
            idle.take(key, start + 2 * SECOND, false).is_some(),
            "good enough for others"
        );
    }

    #[tokio::test]
    async fn an_upstream_that_says_how_long_it_keeps_connections_is_believed() {
        let start = Instant::now();
        let (idle, key, others) = kept(&[Some(5 * SECOND); 3], start).await;

        assert!(idle.take(key, start + 4 * SECOND, true).is_some());
        drop(others);
        assert!(
            idle.take(key, start + 4 * SECOND, true).is_none(),
            "those are closed already"
        );
        let (idle, key, _others) = kept(&[Some(5 * SECOND)], start).await;
        assert!(
            idle.take(key, start + 5 * SECOND, true).is_none(),
            "it is about to be closed"
        );
        assert_eq!(left(&idle), 0);
    }
}
