//! The sample application that meshes are shown on: a page about a book, made from four services.
//!
//! `productpage` asks `details` and `reviews`; `reviews` v2 and v3 ask `ratings`. Each is one process without any
//! knowledge of the mesh: it calls its neighbours by name and honours `HTTP_PROXY`, as most programs do.
//!
//! Reading order: [`role`] (which service a process is), [`serve`] (its life), then one module a service.

pub mod details;
pub mod neighbour;
pub mod productpage;
pub mod ratings;
pub mod reviews;
pub mod role;
pub mod rules;
mod serve;

pub use role::{Role, Version};
pub use serve::{ServeError, Settings, serve};
