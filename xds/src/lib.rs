//! Envoy v3 types behind one door, and the ADS server and client as pure state machines.
//!
//! Nothing above this crate names `envoy-types`: it uses [`pb`], [`TypeUrl`], [`pack`] and [`unpack`].
//! Reading order: [`resource`] and [`snapshot`] are what a control plane makes, [`server`] hands it out,
//! [`client`] takes it in, [`dump`] shows it to people, [`script`] proves the server without sockets.
//!
//! Invariant: the crate knows resources by type, name and bytes; it does not know what a rule is.

/// The generated protobuf types of Envoy v3, as modules named like the proto packages.
pub use envoy_types::pb;

pub mod any;
pub mod client;
pub mod dump;
pub mod node;
mod per_type;
pub mod references;
pub mod resource;
pub mod script;
pub mod server;
pub mod snapshot;
pub mod type_url;
pub mod value;
mod wire;

pub use any::{UnpackError, pack, unpack};
pub use node::{NodeError, NodeInfo, Role};
pub use references::References;
pub use resource::{Resource, Version};
pub use snapshot::{Layer, LayerBuilder, Snapshot};
pub use type_url::TypeUrl;
