//! The data plane: listeners, routes, clusters, telemetry.
//!
//! A request's way is `exchange.rs`; what it is decided by is the [`table`], an immutable value.

mod accept;
pub mod access_log;
pub mod admin;
mod answer;
pub mod balance;
mod buffer;
mod client;
mod connection;
pub mod control;
mod deadline;
pub mod decide;
mod exchange;
mod forwarding;
pub mod h1;
pub mod h2_rules;
mod http1;
mod http2;
mod in_flight;
pub mod listen;
mod message;
mod own_host;
pub mod path;
pub mod plane;
mod pressure;
mod relay;
mod reply;
mod report;
mod request;
mod request_id;
pub mod run;
pub mod stats;
pub mod table;
mod tcp;
mod tunnel;
mod upstream;
mod window;
mod worker;

pub use run::{Ended, Proxy, RunError, Settings, run};
