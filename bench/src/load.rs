//! Load and backends, in one thread on the bench's own core.
//!
//! Client connections and backend connections are served by the same loop, which never sleeps while it measures: a
//! proxy then pays neither for waking a client nor for waking a backend, and a slow proxy does not pay more of that
//! than a fast one. [`sockets`] does HTTP/1.1 and TCP on epoll with prepared bytes, [`http2`] does HTTP/2 on the h2
//! crate. [`pace`] says when requests are due, [`tally`] counts what came of them, [`answer`] checks every answer.

mod answer;
mod histogram;
mod http2;
mod pace;
mod served;
mod sockets;
mod tally;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;

pub(crate) use histogram::Histogram;
pub(crate) use http2::Http2;
pub(crate) use pace::Pace;
pub(crate) use sockets::Sockets;
pub(crate) use tally::Outcome;

/// How long one attempt at a first answer may take.
const ATTEMPT: Duration = Duration::from_secs(1);
/// After the measured window, how long answers that are due may still take.
const GRACE: Duration = Duration::from_secs(2);

/// What to ask a proxy for, and how often.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// Where the proxy listens.
    pub(crate) target: SocketAddr,
    /// Requests in flight: all the time in a closed loop, at most at a fixed rate.
    pub(crate) in_flight: usize,
    /// When requests are made.
    pub(crate) pace: Pace,
    /// Load before the window.
    pub(crate) warmup: Duration,
    /// Length of the window.
    pub(crate) window: Duration,
}

/// Makes load, and serves the backends meanwhile.
pub(crate) trait Generator {
    /// Asks `target` for the first time, again and again until it answers well; gives the moment of that answer.
    /// `alive` is called between attempts; its error ends them, and so does the deadline.
    fn first_answer(
        &mut self,
        target: SocketAddr,
        deadline: Instant,
        alive: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Instant>;

    /// Makes load; `edge` is called as the window opens and as it closes.
    fn run(&mut self, load: &Load, edge: &mut dyn FnMut() -> Result<()>) -> Result<Outcome>;
}

/// The body of every answer of a given length: letters that repeat, so that a shifted or cut body shows.
pub(crate) fn body(length: usize) -> Arc<[u8]> {
    (b'a'..=b'z').cycle().take(length).collect()
}
