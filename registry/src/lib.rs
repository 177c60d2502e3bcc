//! Registry adapters: from what a platform says runs, to the catalogue of services and instances.
//!
//! Reading order: [`state`] is what every adapter delivers, [`static_registry`] and [`consul`] are the
//! adapters, [`saved`] keeps what they read across a restart, [`aggregate`] joins them, [`vanish`] is the rule that
//! keeps a lying registry from emptying the mesh, [`virtual_address`] gives every service an address of its own.

pub mod state;

pub mod consul;
pub mod static_registry;

pub mod aggregate;
pub mod saved;
pub mod vanish;
pub mod virtual_address;

mod abort;
mod backoff;
mod dns_name;

pub use aggregate::{Aggregate, AggregateState};
pub use consul::ConsulRegistry;
pub use state::{RegistryHandle, RegistryState};
pub use static_registry::StaticRegistry;
