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
/// For a request that must not be sent twice no connection is used that was idle for longer: the upstream may be closing
/// it at this very moment.
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
    /// The connection to this endpoint that was used last and is still good. With `checked` it was idle for a moment
    /// only, less than upstreams wait before they close, and the kernel has been asked whether it is open.
    pub(crate) fn take(&self, key: EndpointKey, now: Instant, checked: bool) -> Option<Box<Connection>> {
        let mut by_endpoint = self.by_endpoint.borrow_mut();
        let idle = by_endpoint.get_mut(&key)?;
        while let Some(connection) = idle.pop() {
            if connection.http.is_quiet() && !connection.is_stale(now) {
                if !checked {
                    return Some(connection);
                }
                if now.saturating_duration_since(connection.idle_since) > MOMENT {
                    // The others were idle for longer still, and are good for requests that may be repeated.
                    idle.push(connection);
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
