//! Whether the client is connected, since when, and what went wrong last.

use std::time::SystemTime;

/// The state of the connection, as shown by `/ready` and status pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionState {
    /// `host:port` of the server.
    pub target: String,
    /// Whether a stream is open and the server has answered on it.
    pub connected: bool,
    /// When `connected` last changed; before the first connection, when the client was started.
    pub since: SystemTime,
    /// Why the last attempt or connection ended; `None` before the first trouble. Kept while connected.
    pub last_error: Option<String>,
    /// Attempts that failed since a connection last worked.
    pub failures: u32,
}

impl ConnectionState {
    pub(super) fn new(target: &str) -> ConnectionState {
        ConnectionState {
            target: target.into(),
            connected: false,
            since: SystemTime::now(),
            last_error: None,
            failures: 0,
        }
    }

    pub(super) fn up(&mut self) {
        *self = ConnectionState {
            connected: true,
            since: SystemTime::now(),
            failures: 0,
            ..self.clone()
        };
    }

    pub(super) fn down(&mut self, error: String, failures: u32) {
        if self.connected {
            self.since = SystemTime::now();
        }
        self.connected = false;
        self.last_error = Some(error);
        self.failures = failures;
    }
}
