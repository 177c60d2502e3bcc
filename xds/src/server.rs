//! The ADS server: hands each connected proxy the snapshot that is meant for it.

pub mod observer;

pub use observer::{Caller, Connection, Observed, Observer, Push, Snapshots};
