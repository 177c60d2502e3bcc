//! The ADS server: hands each connected proxy the snapshot that is meant for it.
//!
//! [`Stream`] is the whole protocol of one client as a pure state machine, for both variants. `order` holds its
//! rules of make before break, `push` composes its messages, `kind` is its memory of one type. [`AdsService`] and
//! [`serve`] tie it to the network: `task` is the life of one stream, `body` hands the shared bytes to HTTP/2.

mod body;
mod kind;
mod listen;
pub mod observer;
mod order;
mod pace;
mod push;
pub mod reply;
mod service;
mod settings;
pub mod status;
pub mod stream;
mod task;

pub use listen::serve;
pub use observer::{Caller, Connection, Observed, Observer, Push, Snapshots};
pub use reply::{Reply, Variant};
pub use service::AdsService;
pub use settings::Settings;
pub use status::{KindStatus, Refusal, StreamStatus, SyncState};
pub use stream::{Event, Output, Stream};
