//! The data plane over real sockets: tables built by hand, backends in the test.

#![allow(
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking, its helpers included"
)]

mod rig;

mod change;
mod failures;
mod http1;
mod http2;
mod leaving;
mod limits;
mod proxying;
mod stalled;
mod tcp;
