//! Resource kinds and the service model of the Outrigger mesh; pure, without I/O.

pub mod model;
