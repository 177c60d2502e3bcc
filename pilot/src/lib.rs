//! Compiles rules and endpoints into xDS, hands it to every connected proxy and remembers what each made of it.
//!
//! A rule's way, top to bottom: [`publish`] waits until there is enough to give out and changes have settled, and builds
//! a [`snapshot`] of what the config API and the registries say; [`compile`] turns it, purely, into what each [`class`]
//! of proxies and each [`node`] should have; the [`fleet`] offers that to the connected proxies and keeps what they
//! accept and refuse; [`http`] shows all of it. [`pilot::Pilot::bind`] ties it together. Every step logs the
//! `generation`, which is the store's version of the configuration.
//!
//! Invariant: compilation does no I/O, reads no clock, and gives equal results for equal inputs.
//! Invariant: a rule that cannot be used is left out with a [`finding`]; it breaks no other.

pub mod pilot;

mod enough;
pub mod publish;

pub mod snapshot;

pub mod class;
pub mod node;

pub mod compile;
pub mod dialect;
pub mod mesh;
pub mod names;
mod re2;

pub mod finding;

pub mod fleet;

pub mod addresses;
pub mod advice;

pub mod debug;
pub mod http;
pub mod metrics;

mod debounce;

pub use advice::Advice;
pub use pilot::{BindError, Bound, Pilot, Settings, Sources};
