//! Statistics: counters with Envoy's names, one shard a worker, summed when somebody asks.
//!
//! A shard is written by its worker alone, so counting is a plain load and store: no lock, no locked instruction, no
//! shared cache line. What belongs to a cluster or a listener hangs on it in the table and goes when it goes, which
//! bounds their number.

mod counter;
mod histogram;
mod names;
mod prometheus;
mod scrape;
mod shards;
mod text;

pub use counter::{Counter, Gauge};
pub use histogram::{BOUNDS, Histogram, Summary};
pub use names::{
    ClusterShard, ClusterStats, HttpShard, HttpStats, ListenerShard, ListenerStats, TcpShard, TcpStats,
};
pub use prometheus::prometheus;
pub use scrape::{Owner, Scrape};
pub use shards::{Reading, Sample, Shard, Shards, Value};
pub use text::{json, text};
