//! Consul: services and their health by blocking queries, and the agent's register and deregister.
//!
//! One watch on the list of services per datacenter, one on the health of every service. Each file is one
//! step of the way: `settings` → `client` (bytes over HTTP) → `answer` (what do these bytes mean) →
//! `mapping` (a registration in the model's words) → `view` (what is known, and whether to believe it) →
//! `watch` and `query` (what is asked next, and when) → `watcher` (the loop) → `report` (what the world is
//! told). Everything but `client`, `watcher` and `report` is pure.

mod agent;
mod answer;
mod client;
mod error;
mod mapping;
mod query;
mod report;
mod settings;
mod view;
mod watch;
mod watcher;
mod wire;

use std::sync::Arc;

use tokio::sync::watch::channel;

pub use agent::{Agent, Check, CheckKind, CheckStatus, ServiceRegistration};
pub use error::Error;
pub use settings::{Settings, Tls, Token};

use crate::abort::AbortOnDrop;
use crate::state::{RegistryHandle, RegistryState};

/// Services from one Consul, of one or several datacenters.
#[derive(Debug)]
pub struct ConsulRegistry;

impl ConsulRegistry {
    /// Follows the Consul of `settings`. Must be called inside a tokio runtime.
    ///
    /// A Consul that cannot be reached is an error in the state, not here: the registry waits for it.
    ///
    /// # Errors
    /// The address is no URL, or a TLS file cannot be read.
    pub fn start(settings: Settings) -> Result<RegistryHandle, Error> {
        let client = client::Client::new(&settings.address, settings.token.clone(), &settings.tls)?;
        let (sender, receiver) = channel(Arc::new(RegistryState::unread(&settings.name)));
        let watcher = watcher::Watcher::new(settings, client, sender);
        let task = tokio::spawn(watcher.run());
        Ok(RegistryHandle::new(receiver, AbortOnDrop::new(task)))
    }
}
