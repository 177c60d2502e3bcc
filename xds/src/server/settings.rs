//! The limits of the ADS server.

use std::time::Duration;

/// Limits and times of the server, per stream unless said otherwise. The defaults are those of
/// spec/reliability.md §3 and P38.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Largest request, bytes; 4 MiB.
    pub max_request: usize,
    /// Largest response, bytes; 64 MiB. A larger one ends the stream.
    pub max_reply: usize,
    /// How long a client may leave what is sent unread before its connection is cut; 30 s.
    pub stall: Duration,
    /// Responses that may wait to be read; 8. While there is no room, no request is read either.
    pub queue: usize,
    /// HTTP/2 ping on a connection, and how long its answer may take; 15 s each.
    pub keepalive: Duration,
    /// Age at which a stream is ended, up to a tenth later by chance, so that clients spread over several servers;
    /// not set, for one server has nowhere to send them.
    pub max_age: Option<Duration>,
    /// New streams per second, over the whole server, once the burst is used up; 10.
    pub streams_per_second: f64,
    /// New streams that are taken at once, over the whole server; 100.
    pub burst: u32,
    /// Connections open at the same time, over the whole server; 4,000. More wait to be accepted.
    pub connections: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            max_request: 4 * 1024 * 1024,
            max_reply: 64 * 1024 * 1024,
            stall: Duration::from_secs(30),
            queue: 8,
            keepalive: Duration::from_secs(15),
            max_age: None,
            streams_per_second: 10.0,
            burst: 100,
            connections: 4000,
        }
    }
}
