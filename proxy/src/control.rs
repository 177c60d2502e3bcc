//! The control thread: takes configuration in, judges it, and puts whole tables in force.

pub mod bootstrap;
mod life;
mod ports;

pub use life::{Life, State};
pub use ports::{BindError, Ports};
