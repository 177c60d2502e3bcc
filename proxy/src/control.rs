//! The control thread: takes configuration in, judges it, and puts whole tables in force.

pub mod bootstrap;
mod config;
mod dns;
mod life;
mod ports;
mod records;
mod server;
mod thread;

pub use life::{Life, State};
pub use ports::{BindError, Ports};
pub use records::{Delivered, Kind, Record, Records};
pub use thread::{Control, Source, StartError};
