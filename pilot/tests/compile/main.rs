//! Compilation from rules and services to the resources that proxies take.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // all of this is test code; clippy sees only the #[test] functions as such

mod advice;
mod first_generation;
mod gateways;
mod incremental;
mod properties;
mod scenario;
mod second_generation;
mod shown;
mod tcp;
