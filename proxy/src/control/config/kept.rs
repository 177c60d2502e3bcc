//! Counters that outlive updates of what they count for.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::stats::{ClusterStats, HttpStats, ListenerStats, Shard, Shards, TcpStats};

/// Counters by name. What nothing in use holds any more is forgotten by [`Kept::prune`].
#[derive(Debug)]
pub(super) struct Kept {
    workers: usize,
    clusters: HashMap<Arc<str>, Arc<ClusterStats>>,
    http: HashMap<Arc<str>, Arc<HttpStats>>,
    tcp: HashMap<Arc<str>, Arc<TcpStats>>,
    listeners: HashMap<SocketAddr, Arc<ListenerStats>>,
}

impl Kept {
    /// Nothing yet; counters will have a shard for each of `workers` workers.
    pub(super) fn new(workers: usize) -> Kept {
        Kept {
            workers,
            clusters: HashMap::new(),
            http: HashMap::new(),
            tcp: HashMap::new(),
            listeners: HashMap::new(),
        }
    }

    /// The counters of a cluster.
    pub(super) fn cluster(&mut self, name: &Arc<str>) -> Arc<ClusterStats> {
        get(&mut self.clusters, name, self.workers)
    }

    /// The counters of a prefix of HTTP connection managers.
    pub(super) fn http(&mut self, prefix: &Arc<str>) -> Arc<HttpStats> {
        get(&mut self.http, prefix, self.workers)
    }

    /// The counters of a prefix of TCP proxies.
    pub(super) fn tcp(&mut self, prefix: &Arc<str>) -> Arc<TcpStats> {
        get(&mut self.tcp, prefix, self.workers)
    }

    /// The counters of a listening address.
    pub(super) fn listener(&mut self, address: &SocketAddr) -> Arc<ListenerStats> {
        get(&mut self.listeners, address, self.workers)
    }

    /// Forgets what nothing else holds.
    pub(super) fn prune(&mut self) {
        self.clusters.retain(|_, stats| Arc::strong_count(stats) > 1);
        self.http.retain(|_, stats| Arc::strong_count(stats) > 1);
        self.tcp.retain(|_, stats| Arc::strong_count(stats) > 1);
        self.listeners.retain(|_, stats| Arc::strong_count(stats) > 1);
    }
}

fn get<K: Clone + Eq + std::hash::Hash, S: Shard>(
    map: &mut HashMap<K, Arc<Shards<S>>>,
    key: &K,
    workers: usize,
) -> Arc<Shards<S>> {
    Arc::clone(
        map.entry(key.clone())
            .or_insert_with(|| Arc::new(Shards::new(workers))),
    )
}
