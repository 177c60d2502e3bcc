//! The ADS server: hands each connected proxy the snapshot that is meant for it.
//!
//! [`Stream`] is the whole protocol of one client as a pure state machine, for both variants. `order` holds its
//! rules of make before break, `push` composes its messages, `kind` is its memory of one type.

mod kind;
pub mod observer;
mod order;
mod push;
pub mod reply;
pub mod stream;

pub use observer::{Caller, Connection, Observed, Observer, Push, Snapshots};
pub use reply::{Reply, Variant};
pub use stream::{Event, Output, Stream};
