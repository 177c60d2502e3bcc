//! A listener: where connections are accepted, and what happens to them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{RouteTable, Target};
use crate::stats::{HttpStats, ListenerStats, TcpStats};

/// A listening address and what it does.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Its xDS name.
    pub name: Arc<str>,
    /// Where it accepts; unique in a table.
    pub address: SocketAddr,
    /// Which side of the application it stands on.
    pub direction: Direction,
    /// True when only connections from the host itself are served; others are closed at once.
    pub own_host_only: bool,
    /// What it does with a connection.
    pub kind: ListenerKind,
    /// Connection counters, kept across updates of the same address.
    pub stats: Arc<ListenerStats>,
}

/// Which side of the application a listener stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Between the network and the application of this sidecar.
    Inbound,
    /// Between the application and the mesh.
    Outbound,
    /// At the edge: xDS says `UNSPECIFIED`.
    Gateway,
}

/// What a listener does with a connection.
#[derive(Clone, Debug)]
pub enum ListenerKind {
    /// Reads HTTP requests and routes each.
    Http(HttpListener),
    /// Forwards bytes.
    Tcp(TcpListener),
}

/// An HTTP connection manager.
#[derive(Clone, Debug)]
pub struct HttpListener {
    /// Where requests go.
    pub routes: Arc<RouteTable>,
    /// Prefix of its counters: `http.<prefix>.downstream_rq_total`.
    pub stat_prefix: Arc<str>,
    /// Counters, kept across updates and shared by listeners of one prefix.
    pub stats: Arc<HttpStats>,
    /// Which HTTP is read.
    pub codec: Codec,
    /// True at an edge: the peer's address is the client's, and forwarding headers of strangers do not count.
    pub use_remote_address: bool,
    /// True when each request is written to the access log.
    pub access_log: bool,
    /// True when `Upgrade: websocket` is let through.
    pub websocket: bool,
    /// True when HTTP/1.0 is accepted.
    pub accept_http_10: bool,
    /// `server` header of answers; `None` passes the upstream's through. Default `outrigger`.
    pub server_name: Option<Arc<str>>,
    /// A downstream connection without a request in flight is closed after this; `None` is never. Default 1 h.
    pub idle_timeout: Option<Duration>,
    /// A stream without a byte in either direction is reset after this; `None` is never. Default 5 min.
    pub stream_idle_timeout: Option<Duration>,
    /// For the whole of a request to arrive; `None` is without limit, the default.
    pub request_timeout: Option<Duration>,
    /// For the head of a request to arrive; `None` is without limit. Default 10 s (`spec/reliability.md` §3).
    pub request_headers_timeout: Option<Duration>,
    /// Size of a request head in bytes. Default 60 KiB.
    pub max_request_headers: usize,
    /// Number of request headers. Default 100.
    pub max_headers: usize,
}

impl HttpListener {
    /// A connection manager with every default.
    pub fn new(
        routes: Arc<RouteTable>,
        stat_prefix: impl Into<Arc<str>>,
        stats: Arc<HttpStats>,
    ) -> HttpListener {
        HttpListener {
            routes,
            stat_prefix: stat_prefix.into(),
            stats,
            codec: Codec::Auto,
            use_remote_address: false,
            access_log: false,
            websocket: false,
            accept_http_10: false,
            server_name: Some("outrigger".into()),
            idle_timeout: Some(Duration::from_secs(3600)),
            stream_idle_timeout: Some(Duration::from_secs(300)),
            request_timeout: None,
            request_headers_timeout: Some(Duration::from_secs(10)),
            max_request_headers: 60 * 1024,
            max_headers: 100,
        }
    }
}

/// Which HTTP a listener reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// By the connection's first bytes.
    Auto,
    /// HTTP/1 only.
    Http1,
    /// HTTP/2 only.
    Http2,
}

/// A TCP proxy.
#[derive(Clone, Debug)]
pub struct TcpListener {
    /// Where connections go.
    pub target: Target,
    /// Prefix of its counters: `tcp.<prefix>.downstream_cx_total`.
    pub stat_prefix: Arc<str>,
    /// Counters, kept across updates.
    pub stats: Arc<TcpStats>,
    /// A connection without a byte in either direction is closed after this; `None` is never. Default 1 h.
    pub idle_timeout: Option<Duration>,
    /// Connection attempts, one endpoint each, before the client is closed. Default 1.
    pub max_connect_attempts: u32,
    /// True when each connection is written to the access log.
    pub access_log: bool,
}

impl TcpListener {
    /// A TCP proxy with every default.
    pub fn new(target: Target, stat_prefix: impl Into<Arc<str>>, stats: Arc<TcpStats>) -> TcpListener {
        TcpListener {
            target,
            stat_prefix: stat_prefix.into(),
            stats,
            idle_timeout: Some(Duration::from_secs(3600)),
            max_connect_attempts: 1,
            access_log: false,
        }
    }
}
