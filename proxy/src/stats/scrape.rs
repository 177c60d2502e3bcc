//! A scrape: every statistic of a table, summed over the workers, with whose it is.

use std::sync::Arc;

use super::{Sample, Shard, Shards, Value};
use crate::table::{Cluster, Health, ListenerKind, Table};

/// Whose statistics these are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// A cluster by name.
    Cluster(Arc<str>),
    /// HTTP connection managers by stat prefix.
    Http(Arc<str>),
    /// A listening address, with its colons as `_`.
    Listener(Arc<str>),
    /// TCP proxies by stat prefix.
    Tcp(Arc<str>),
    /// The process itself; the text is the prefix, such as `server`.
    Process(&'static str),
}

impl Owner {
    /// The text before the statistic's name: `cluster.reviews.`.
    pub fn prefix(&self) -> String {
        match self {
            Owner::Cluster(name) => format!("cluster.{name}."),
            Owner::Http(prefix) => format!("http.{prefix}."),
            Owner::Listener(address) => format!("listener.{address}."),
            Owner::Tcp(prefix) => format!("tcp.{prefix}."),
            Owner::Process(prefix) => format!("{prefix}."),
        }
    }
}

/// Statistics with their owners, sorted by owner.
#[derive(Debug)]
pub struct Scrape(pub Vec<(Owner, Vec<Sample>)>);

impl Scrape {
    /// Sums everything that `table` counts. A cluster, prefix or address that nothing has used yet shows zeros when
    /// `unused`, else it is left out but for the size of a cluster.
    pub fn of(table: &Table, unused: bool) -> Scrape {
        let mut owners = Vec::new();
        for cluster in table.clusters() {
            let mut samples = samples(&cluster.info.stats, unused);
            samples.extend(membership(cluster));
            owners.push((Owner::Cluster(Arc::clone(&cluster.info.name)), samples));
        }
        for listener in table.listeners() {
            let address = listener.address.to_string().replace(':', "_").into();
            owners.push((Owner::Listener(address), samples(&listener.stats, unused)));
            owners.push(match &listener.kind {
                ListenerKind::Http(http) => (
                    Owner::Http(Arc::clone(&http.stat_prefix)),
                    samples(&http.stats, unused),
                ),
                ListenerKind::Tcp(tcp) => (
                    Owner::Tcp(Arc::clone(&tcp.stat_prefix)),
                    samples(&tcp.stats, unused),
                ),
            });
        }
        owners.sort_by(|(one, _), (other, _)| one.cmp(other));
        // Listeners of one prefix share their counters, which count once.
        owners.dedup_by(|(one, _), (other, _)| one == other);
        Scrape(owners)
    }

    /// Adds statistics of the process.
    pub fn push(&mut self, prefix: &'static str, samples: Vec<Sample>) {
        self.0.push((Owner::Process(prefix), samples));
    }
}

fn samples<S: Shard>(stats: &Shards<S>, unused: bool) -> Vec<Sample> {
    if unused || stats.used() {
        stats.samples()
    } else {
        Vec::new()
    }
}

fn membership(cluster: &Cluster) -> [Sample; 2] {
    let members = cluster.endpoints.members();
    let healthy = members
        .iter()
        .filter(|member| member.health == Health::Healthy)
        .count();
    let gauge = |name, count: usize| Sample {
        name,
        value: Value::Gauge(i64::try_from(count).unwrap_or(i64::MAX)),
    };
    [
        gauge("membership_total", members.len()),
        gauge("membership_healthy", healthy),
    ]
}
