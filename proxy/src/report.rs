//! What is told about a request when it is over: its counters and its line in the access log.

use std::net::SocketAddr;
use std::time::Duration;

use http::{StatusCode, Version};
use tokio::time::Instant;

use crate::access_log::{Entry, Headless};
use crate::exchange::{Session, http_listener};
use crate::reply::{Flag, Reply};
use crate::request::Request;
use crate::stats::{ClusterShard, HttpShard};
use crate::table::{ClusterInfo, HttpListener};
use crate::tunnel::Moved;
use crate::worker::Worker;

/// A request's story so far. Borrowed from the table that the request started with.
#[derive(Debug)]
pub(crate) struct Report<'t> {
    pub(crate) started: Instant,
    listener: &'t HttpListener,
    shard: &'t HttpShard,
    cluster: Option<(&'t ClusterInfo, &'t ClusterShard)>,
    pub(crate) route: &'t str,
    pub(crate) upstream: Option<SocketAddr>,
    /// When the whole request was sent upstream.
    pub(crate) asked: Option<Instant>,
    /// From then to the head of the answer.
    pub(crate) waited: Option<Duration>,
    pub(crate) status: Option<StatusCode>,
    pub(crate) flag: Flag,
    /// Bytes of body from the client.
    pub(crate) received: u64,
    /// Bytes of body to the client.
    pub(crate) sent: u64,
}

impl<'t> Report<'t> {
    /// A request has come in.
    pub(crate) fn start(worker: &Worker, listener: &'t HttpListener, now: Instant) -> Report<'t> {
        let shard = listener.stats.shard(worker.index);
        shard.downstream_rq_total.inc();
        shard.downstream_rq_active.inc();
        Report {
            started: now,
            listener,
            shard,
            cluster: None,
            route: "",
            upstream: None,
            asked: None,
            waited: None,
            status: None,
            flag: Flag::None,
            received: 0,
            sent: 0,
        }
    }

    /// It goes to this cluster.
    pub(crate) fn goes_to(&mut self, info: &'t ClusterInfo, worker: &Worker) {
        self.cluster = Some((info, info.stats.shard(worker.index)));
    }

    /// It was sent to an upstream.
    pub(crate) fn sent_upstream(&self) {
        if let Some((_, shard)) = self.cluster {
            shard.upstream_rq_total.inc();
        }
    }

    /// It is sent once more.
    pub(crate) fn retry(&self) {
        if let Some((_, shard)) = self.cluster {
            shard.upstream_rq_retry.inc();
        }
    }

    /// Its route answers it.
    pub(crate) fn direct_response(&self) {
        self.shard.rq_direct_response.inc();
    }

    /// Its connection was changed into a tunnel that carried so many bytes each way.
    pub(crate) fn tunnelled(&mut self, moved: Moved) {
        self.shard.downstream_cx_upgrades_total.inc();
        self.received += moved.up;
        self.sent += moved.down;
    }

    /// The upstream in words: `10.0.0.1:9080 of cluster outbound|9080||reviews`.
    pub(crate) fn place(&self) -> String {
        let cluster = self.cluster.map_or("?", |(info, _)| &info.name);
        match self.upstream {
            Some(upstream) => format!("{upstream} of cluster {cluster}"),
            None => format!("cluster {cluster}"),
        }
    }

    /// The upstream's own answer has begun.
    pub(crate) fn answered(&mut self, status: StatusCode, now: Instant) {
        self.status = Some(status);
        self.waited = Some(now.saturating_duration_since(self.asked.unwrap_or(self.started)));
    }

    /// It is over.
    pub(crate) fn finish(self, worker: &Worker, request: &Request, peer: SocketAddr, now: Instant) {
        let took = now.saturating_duration_since(self.started);
        if let Some(status) = self.status {
            self.shard.answered(status.as_u16(), took);
            if let Some((_, shard)) = self.cluster
                && self.waited.is_some()
            {
                shard.answered(
                    status.as_u16(),
                    now.saturating_duration_since(self.asked.unwrap_or(self.started)),
                );
            }
        }
        match self.flag {
            Flag::NoRoute => self.shard.no_route.inc(),
            Flag::NoCluster => self.shard.no_cluster.inc(),
            Flag::DownstreamGone => self.shard.downstream_rq_rx_reset.inc(),
            Flag::StreamIdle => self.shard.downstream_rq_idle_timeout.inc(),
            Flag::RequestTimeout => self.shard.downstream_rq_timeout.inc(),
            _ => {}
        }
        if let Some((_, shard)) = self.cluster {
            match self.flag {
                Flag::UpstreamTimeout => shard.upstream_rq_timeout.inc(),
                Flag::UpstreamClosed | Flag::UpstreamReset => shard.upstream_rq_rx_reset.inc(),
                Flag::UpstreamProtocolError => shard.upstream_cx_protocol_error.inc(),
                Flag::UpstreamConnectFailure => shard.upstream_rq_pending_failure_eject.inc(),
                Flag::UpstreamOverflow => shard.upstream_rq_pending_overflow.inc(),
                Flag::NoHealthyUpstream => shard.upstream_cx_none_healthy.inc(),
                Flag::DownstreamGone if self.waited.is_none() => shard.upstream_rq_cancelled.inc(),
                _ => {}
            }
        }
        if self.listener.access_log && worker.log.is_on() {
            worker.log.write(&Entry {
                request,
                peer,
                took,
                waited: self.waited,
                status: self.status.map_or(0, |status| status.as_u16()),
                flag: self.flag.letters(),
                received: self.received,
                sent: self.sent,
                upstream: self.upstream,
                cluster: self.cluster.map_or("", |(info, _)| &info.name),
                route: self.route,
            });
        }
    }
}

/// What came was refused before it was a request: it is counted and logged all the same. Without `reply` its stream was
/// reset.
pub(crate) fn refused(session: &Session, version: Version, reply: Option<&Reply>, sent: u64) {
    let (table, worker) = (session.table(), &session.worker);
    let Some((_, listener)) = http_listener(&table, session.address) else {
        return;
    };
    let shard = listener.stats.shard(worker.index);
    shard.downstream_rq_total.inc();
    let status = reply.map_or(0, |reply| reply.status.as_u16());
    if reply.is_some() {
        shard.answered(status, Duration::ZERO);
    }
    if listener.access_log && worker.log.is_on() {
        worker.log.write_headless(&Headless {
            peer: session.peer,
            took: Duration::ZERO,
            version: Some(version),
            status,
            flag: Flag::DownstreamProtocolError.letters(),
            received: 0,
            sent,
            upstream: None,
            cluster: "",
        });
    }
}

impl Drop for Report<'_> {
    /// The gauge falls even when the request's task is cut short.
    fn drop(&mut self) {
        self.shard.downstream_rq_active.dec();
    }
}
