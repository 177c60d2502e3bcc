//! The ADS client (delta variant): keeps a proxy's subscriptions and what it holds over any number of connections.
//!
//! [`Subscription`] is the pure part: `connected` gives the first requests, `receive` turns a response into an
//! [`Update`], `judge` turns the proxy's verdict into the ACK or NACK. [`connect`] is the shell: it dials, reconnects
//! for ever with back-off, and carries updates and verdicts over bounded channels.

mod backoff;
mod shell;
mod state;
pub mod subscription;

pub use backoff::Backoff;
pub use shell::{Client, Handle, Resolver, Settings, connect};
pub use state::ConnectionState;
pub use subscription::{Received, Subscription, Ticket, Update, Upsert, Verdict};
