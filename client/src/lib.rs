//! Typed list, watch and CRUD against the config API.
//!
//! Readers hold a [`ConfigSource`], writers a [`ConfigStore`]; both are object safe, and both are implemented
//! over REST by [`HttpClient`] and in process by the API server, so that `serve` and separate roles run the same
//! code. [`Reflector`] keeps a whole, current copy of some kinds. [`token`] guards every control port alike.

pub mod backoff;
pub mod error;
pub mod http;
pub mod reflector;
pub mod source;
pub mod status;
pub mod token;
pub mod transfer;

pub use error::ClientError;
pub use http::HttpClient;
pub use reflector::{ConfigSnapshot, Reflector, ReflectorHandle};
pub use source::{ConfigSource, ConfigStore, Deleted, Listed, WatchEvent, Written};
pub use status::Status;
