//! Compiles rules and endpoints into xDS, hands it to every connected proxy and remembers what each made of it.
//!
//! Start at [`snapshot`] (what compilation reads), go on to [`compile`] (the pure part) and [`fleet`] (who is
//! connected).

pub mod snapshot;

pub mod class;
pub mod node;

pub mod compile;
pub mod dialect;
pub mod mesh;
pub mod names;

pub mod finding;
