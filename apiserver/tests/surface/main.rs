//! The REST surface over real sockets, as clients meet it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::panic,
    reason = "the whole crate is a test; its helpers fail the test that called them"
)]

mod harness;

mod access;
mod crud;
mod lists;
mod overload;
mod refusals;
mod watches;
