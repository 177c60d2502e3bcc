//! The table: everything a worker needs to serve requests, as one immutable value.
//!
//! The control thread compiles it from xDS (or from a static file), swaps it in whole, and workers look for a newer one
//! between requests. Parts that did not change are the same `Arc` in the old and the new table, so an endpoint change
//! costs two small vectors. Nothing in here is mutable but counters.

mod cluster;
mod current;
mod endpoint;
pub mod from_xds;
mod host;
mod listener;
mod matcher;
mod name;
mod route;

pub use cluster::{Cluster, ClusterId, ClusterInfo, ClusterLoad, HttpVersion, Limits, Policy};
pub use current::{Current, Reader};
pub use endpoint::{Endpoint, EndpointKey, EndpointSet, Health, InFlight, Member};
pub use host::HostMap;
pub use listener::{Codec, Direction, HttpListener, Listener, ListenerKind, TcpListener};
pub use matcher::{AnyCase, HeaderField, HeaderMatch, Matcher, PathMatch, TextMatch};
pub use name::{Names, TableError};
pub use route::{Action, Route, RouteTable, Target, VirtualHost, Weighted};

use std::net::SocketAddr;
use std::sync::Arc;

/// One whole configuration of the data plane.
#[derive(Debug, Default)]
pub struct Table {
    /// Rises by one with every swap within a process; 0 is the empty table before any configuration.
    pub serial: u64,
    /// Sorted by address; one listener an address.
    listeners: Vec<Arc<Listener>>,
    /// By [`ClusterId`]. `None` is a cluster that a route names and nobody has delivered.
    clusters: Vec<Option<Arc<Cluster>>>,
}

impl Table {
    /// A table of these listeners and cluster slots. Two listeners on one address are an error that names both.
    pub fn new(
        serial: u64,
        mut listeners: Vec<Arc<Listener>>,
        clusters: Vec<Option<Arc<Cluster>>>,
    ) -> Result<Table, TableError> {
        listeners.sort_by_key(|listener| listener.address);
        for pair in listeners.windows(2) {
            if let [first, second] = pair
                && first.address == second.address
            {
                return Err(TableError::new(
                    &*second.name,
                    "address",
                    format!("{} is already taken by listener {}", second.address, first.name),
                ));
            }
        }
        Ok(Table {
            serial,
            listeners,
            clusters,
        })
    }

    /// The listener that accepts on `address`.
    pub fn listener(&self, address: SocketAddr) -> Option<&Arc<Listener>> {
        let position = self
            .listeners
            .binary_search_by_key(&address, |listener| listener.address)
            .ok()?;
        self.listeners.get(position)
    }

    /// All listeners, by address.
    pub fn listeners(&self) -> &[Arc<Listener>] {
        &self.listeners
    }

    /// The cluster in this slot; `None` is answered with 503 and the flag `NC`.
    pub fn cluster(&self, id: ClusterId) -> Option<&Arc<Cluster>> {
        self.clusters.get(id.index())?.as_ref()
    }

    /// All delivered clusters, by slot.
    pub fn clusters(&self) -> impl Iterator<Item = &Arc<Cluster>> {
        self.clusters.iter().flatten()
    }

    /// The number of slots, delivered or not: what a worker sizes its per-cluster state by.
    pub fn slots(&self) -> usize {
        self.clusters.len()
    }

    /// True when this exact endpoint (address and wire protocol) is still part of any cluster: a pool for a key that
    /// is gone drains.
    pub fn has_endpoint(&self, id: ClusterId, key: EndpointKey) -> bool {
        self.cluster(id)
            .is_some_and(|cluster| cluster.endpoints.contains(key))
    }
}
