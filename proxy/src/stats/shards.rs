//! Shards: each worker counts in its own, a reader sums them.

use std::fmt;
use std::sync::OnceLock;

use super::{Histogram, Summary};

/// One shard for each worker, made at its first use.
pub struct Shards<S> {
    first: OnceLock<Box<S>>,
    others: Box<[OnceLock<Box<S>>]>,
}

impl<S: Default> Shards<S> {
    /// Shards for `workers` workers, at least one.
    pub fn new(workers: usize) -> Shards<S> {
        Shards {
            first: OnceLock::new(),
            others: (1..workers).map(|_| OnceLock::new()).collect(),
        }
    }

    /// The shard of worker number `worker`, counted from 0. Only that worker may count on it, or counts get lost.
    pub fn shard(&self, worker: usize) -> &S {
        let slot = worker.checked_sub(1).and_then(|other| self.others.get(other));
        slot.unwrap_or(&self.first).get_or_init(Box::default)
    }
}

impl<S: Shard> Shards<S> {
    /// True when some worker has a shard.
    pub fn used(&self) -> bool {
        self.first.get().is_some() || self.others.iter().any(|slot| slot.get().is_some())
    }

    /// Every statistic summed over the workers, in the order of their declaration; zeros for what nobody counted.
    pub fn samples(&self) -> Vec<Sample> {
        let mut samples = Vec::new();
        S::default().visit(&mut |name, reading| {
            let value = match reading {
                Reading::Counter(_) => Value::Counter(0),
                Reading::Gauge(_) => Value::Gauge(0),
                Reading::Histogram(_) => Value::Histogram(Box::default()),
            };
            samples.push(Sample { name, value });
        });
        for shard in std::iter::once(&self.first)
            .chain(&self.others)
            .filter_map(OnceLock::get)
        {
            let mut sums = samples.iter_mut();
            shard.visit(&mut |_, reading| {
                if let Some(sum) = sums.next() {
                    sum.value.add(reading);
                }
            });
        }
        samples
    }
}

impl<S> fmt::Debug for Shards<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shards({})", self.others.len() + 1)
    }
}

/// A group of statistics that one worker counts.
pub trait Shard: Default {
    /// Shows each statistic with its name, always in the same order.
    fn visit(&self, show: &mut dyn FnMut(&'static str, Reading<'_>));
}

/// A worker's value of a statistic.
#[derive(Debug)]
pub enum Reading<'s> {
    /// Rises.
    Counter(u64),
    /// Rises and falls.
    Gauge(i64),
    /// Durations.
    Histogram(&'s Histogram),
}

/// A statistic summed over the workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Envoy's name of it, without the prefix that says whose it is.
    pub name: &'static str,
    /// The sum.
    pub value: Value,
}

/// The value of a statistic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Rises.
    Counter(u64),
    /// Rises and falls.
    Gauge(i64),
    /// Durations.
    Histogram(Box<Summary>),
}

impl Value {
    fn add(&mut self, reading: Reading<'_>) {
        match (self, reading) {
            (Value::Counter(sum), Reading::Counter(part)) => *sum = sum.wrapping_add(part),
            (Value::Gauge(sum), Reading::Gauge(part)) => *sum += part,
            (Value::Histogram(sum), Reading::Histogram(part)) => sum.add(part),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ClusterShard, ClusterStats};
    use super::*;

    fn value(stats: &ClusterStats, name: &str) -> Value {
        let samples = stats.samples();
        samples
            .into_iter()
            .find(|sample| sample.name == name)
            .expect("a known name")
            .value
    }

    #[test]
    fn shards_are_summed() {
        let stats = ClusterStats::new(3);
        assert_eq!(value(&stats, "upstream_rq_total"), Value::Counter(0));
        for worker in 0..3 {
            let shard: &ClusterShard = stats.shard(worker);
            shard.upstream_rq_total.add(worker as u64 + 1);
            shard.upstream_cx_active.inc();
        }
        stats.shard(2).upstream_cx_active.dec();
        assert_eq!(value(&stats, "upstream_rq_total"), Value::Counter(6));
        assert_eq!(value(&stats, "upstream_cx_active"), Value::Gauge(2));
    }
}
