//! What a control plane gives to the ADS server, and what the server tells it about every stream.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::watch;
use tonic::Status;

use crate::{NodeInfo, Snapshot, TypeUrl};

/// Who opened a stream, as far as the connection shows.
#[derive(Clone, Default)]
pub struct Caller {
    /// The peer's address, when it is known.
    pub address: Option<SocketAddr>,
    /// The `authorization` metadata, verbatim (`Bearer ...`). Never printed.
    pub authorization: Option<String>,
}

impl fmt::Debug for Caller {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authorization = self.authorization.as_ref().map(|_| "redacted");
        out.debug_struct("Caller")
            .field("address", &self.address)
            .field("authorization", &authorization)
            .finish()
    }
}

/// Where the ADS server finds what to send. Called from many streams at once; must not block for long.
pub trait Snapshots: Send + Sync + 'static {
    /// Decides whether this caller may open a stream at all, before a byte of it is read.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` or `PERMISSION_DENIED`; the caller sees code and message.
    fn admit(&self, caller: &Caller) -> Result<(), Status>;

    /// Takes a proxy in, once the first request has named its node. Called once per stream.
    ///
    /// # Errors
    /// Any status; the stream ends with it.
    fn connect(&self, caller: &Caller, node: NodeInfo) -> Result<Connection, Status>;
}

/// A proxy that was taken in.
pub struct Connection {
    /// What it should have, now and after every change. When the sender is dropped the stream ends with
    /// `UNAVAILABLE`, so the client comes back.
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    /// Is told what happens on the stream, in order. Dropped when the stream ends, however it ends.
    pub observer: Box<dyn Observer>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Connection")
            .field("snapshots", &self.snapshots)
            .finish_non_exhaustive()
    }
}

/// Is told what happens on one stream. Must not block.
pub trait Observer: Send + 'static {
    /// Something happened.
    fn observe(&mut self, event: &Observed);
}

/// What happens on a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observed {
    /// A message went out.
    Sent(Arc<Push>),
    /// The client accepted a message.
    Acked(Arc<Push>),
    /// The client refused a message.
    Nacked {
        /// The message.
        push: Arc<Push>,
        /// The client's reason.
        message: String,
        /// The names whose content is now known to be refused: it is not sent again until it changes. Empty while
        /// a message of several resources is being taken apart to find the one at fault.
        refused: Vec<Arc<str>>,
    },
    /// Content that had been refused is no longer wanted: the refusal is over.
    Withdrawn {
        /// The type.
        kind: TypeUrl,
        /// The names.
        names: Vec<Arc<str>>,
    },
    /// Everything that the client subscribed to is answered: it has what the snapshot of this generation holds,
    /// refused content aside. Told each time it becomes so.
    Settled {
        /// The generation.
        generation: u64,
    },
    /// The stream ends. Nothing follows.
    Closed {
        /// Why, for a log line.
        reason: String,
    },
}

/// One message to a client, as far as its content changes what the client has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// The type.
    pub kind: TypeUrl,
    /// The nonce, unique within the process.
    pub nonce: String,
    /// The generation of the snapshot that it was made from.
    pub generation: u64,
    /// What stands in `version_info` or `system_version_info`.
    pub version: String,
    /// The names sent in a new version, or again. In a state-of-the-world message of clusters or listeners,
    /// the other ones travel along unchanged and are not listed.
    pub changed: Vec<Arc<str>>,
    /// The names taken away.
    pub removed: Vec<Arc<str>>,
}
