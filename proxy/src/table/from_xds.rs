//! From xDS to the table: each resource is checked on its own and becomes a plain value, or an error that names the
//! resource and the field.
//!
//! What the proxy does not do is refused rather than ignored, because a configuration that is half in force is worse
//! than the last good one. Fields that only tune Envoy's inside (buffer sizes, HTTP/2 windows, `SO_REUSEPORT`) and
//! those that ask for what the proxy does anyway (path normalisation) are accepted.

mod address;
mod at;
mod cluster;
mod discovery;
mod endpoint;
mod filter;
mod http;
mod listener;
mod matcher;
mod route;

pub use cluster::{ClusterSpec, cluster};
pub use discovery::{Discovery, DnsTarget};
pub use endpoint::{AssignmentSpec, EndpointSpec, assignment};
pub use listener::{ListenerSpec, listener};
pub use route::routes;

#[cfg(test)]
mod hostile;
