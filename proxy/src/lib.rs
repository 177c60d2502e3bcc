//! The data plane: listeners, routes, clusters, telemetry.

pub mod balance;
pub mod control;
pub mod decide;
pub mod stats;
pub mod table;
