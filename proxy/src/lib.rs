//! The data plane: listeners, routes, clusters, telemetry.

pub mod admin;
pub mod balance;
pub mod control;
pub mod decide;
pub mod h1;
pub mod h2_rules;
pub mod path;
pub mod stats;
pub mod table;
