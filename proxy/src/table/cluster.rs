//! A cluster: a named set of endpoints and how to reach them.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use super::EndpointSet;
use crate::stats::ClusterStats;

/// Slot of a cluster in the table. Valid for the table whose routes it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClusterId(pub(super) u32);

impl ClusterId {
    /// Position in a vector with one entry a slot.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A cluster with its endpoints of the moment.
#[derive(Debug)]
pub struct Cluster {
    /// Its slot.
    pub id: ClusterId,
    /// What does not change when endpoints do; shared between the tables.
    pub info: Arc<ClusterInfo>,
    /// Who serves it.
    pub endpoints: Arc<EndpointSet>,
}

/// How a cluster is balanced and spoken to.
#[derive(Debug)]
pub struct ClusterInfo {
    /// `outbound|9080|v1|reviews.service.consul`.
    pub name: Arc<str>,
    /// Load balancing.
    pub policy: Policy,
    /// For the TCP handshake with an endpoint. Default 5 s, as Envoy has it.
    pub connect_timeout: Duration,
    /// What the application speaks. An endpoint marked as a sidecar is spoken to in HTTP/2 whatever this says.
    pub http: HttpVersion,
    /// Idle upstream connections are closed after this; `None` is never. Default 1 h.
    pub idle_timeout: Option<Duration>,
    /// Circuit breakers.
    pub limits: Limits,
    /// What the circuit breakers count, for the whole process; kept across updates.
    pub load: Arc<ClusterLoad>,
    /// Counters, kept across updates.
    pub stats: Arc<ClusterStats>,
}

impl ClusterInfo {
    /// A cluster with every default, named `name`, with counters for `workers` workers.
    pub fn new(name: impl Into<Arc<str>>, workers: usize) -> ClusterInfo {
        ClusterInfo {
            name: name.into(),
            policy: Policy::RoundRobin,
            connect_timeout: Duration::from_secs(5),
            http: HttpVersion::Http1,
            idle_timeout: Some(Duration::from_secs(3600)),
            limits: Limits::default(),
            load: Arc::default(),
            stats: Arc::new(ClusterStats::new(workers)),
        }
    }
}

/// How an endpoint is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// In turn, by weight.
    RoundRobin,
    /// By chance, by weight.
    Random,
    /// The one with fewer requests in flight of two chosen by chance.
    LeastRequest,
}

/// What an upstream application speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpVersion {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 with prior knowledge.
    Http2,
}

/// Circuit breakers of a cluster (`spec/reliability.md` §3); beyond one of them the answer is 503 with the flag `UO`.
/// A request waits for an HTTP/1 connection for as long as opening one may take, and so many of them at once. There is no
/// limit on retries: sent again, and twice at most, is only what no upstream has taken, or what may be repeated and was
/// lost with a connection that had served before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Upstream connections.
    pub connections: u32,
    /// Requests waiting for an HTTP/1 connection.
    pub pending: u32,
    /// Requests in flight.
    pub requests: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections: 1024,
            pending: 1024,
            requests: 1024,
        }
    }
}

/// What is in flight towards a cluster, over all workers.
#[derive(Debug, Default)]
pub struct ClusterLoad {
    /// Open upstream connections.
    pub connections: AtomicU32,
    /// Requests waiting for an HTTP/1 connection.
    pub pending: AtomicU32,
    /// Requests in flight.
    pub requests: AtomicU32,
}
