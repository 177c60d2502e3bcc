//! The config API server: journal, store, history, Kubernetes-style REST surface.
//!
//! A write goes top to bottom through these modules: `rest` reads the request, `admission` judges the object, `writer`
//! decides it against the state of the moment, `journal` makes it durable, `view` shows it to readers and
//! wakes watchers, the caller is answered, and `store` keeps the indexed image of it. At the next start `recovery` reads
//! all of that back.
//!
//! Invariant: nothing is acknowledged or visible before the journal has it on disk.
//! Invariant: readers and watchers never wait for the disk.
//! Invariant: no sled and no HTTP type crosses this crate's edge.

mod admission;
mod directory;
mod follower;
mod history;
mod journal;
mod measures;
mod object;
mod recovery;
mod refusal;
mod rest;
mod server;
mod snapshot;
mod store;
#[cfg(test)]
mod testing;
mod view;
mod writer;

pub use admission::Advisor;
pub use directory::DirectoryError;
pub use recovery::{Engine, RecoveryError};
pub use rest::ServeError;
pub use server::{ApiServer, OpenError, Options};
pub use store::StoreError;
