//! Latencies in log-linear buckets: 64 to each power of two, so that a figure is at most 1.6 % off.

use std::time::Duration;

/// Buckets to each power of two, as a power of two.
const FINE: u32 = 6;
/// Values of 2^42 ns (73 minutes) and more share the last bucket.
const LARGEST: u32 = 42;
const BUCKETS: usize = ((LARGEST - FINE + 1) << FINE) as usize;

/// How often each latency was seen.
#[derive(Clone)]
pub(crate) struct Histogram {
    counts: Box<[u32]>,
    total: u64,
}

impl Histogram {
    /// Nothing seen yet.
    pub(crate) fn new() -> Histogram {
        Histogram {
            counts: vec![0; BUCKETS].into(),
            total: 0,
        }
    }

    /// Counts one latency.
    pub(crate) fn record(&mut self, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        if let Some(count) = self.counts.get_mut(bucket(nanos)) {
            *count = count.saturating_add(1);
            self.total += 1;
        }
    }

    /// How many were counted.
    pub(crate) fn len(&self) -> u64 {
        self.total
    }

    /// The latency that `share` (0 to 1) of all stayed within; `None` when there are none.
    pub(crate) fn quantile(&self, share: f64) -> Option<Duration> {
        let rank = ((self.total as f64 * share).ceil() as u64).clamp(1, self.total.max(1));
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= rank {
                return Some(Duration::from_nanos(upper(index)));
            }
        }
        None
    }
}

impl std::fmt::Debug for Histogram {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Histogram")
            .field("total", &self.total)
            .finish_non_exhaustive()
    }
}

fn bucket(nanos: u64) -> usize {
    let nanos = nanos.min((1 << LARGEST) - 1);
    let magnitude = (u64::BITS - nanos.leading_zeros()).saturating_sub(FINE + 1);
    // Below 2^(FINE+1) each value has its own bucket; above, each power of two has 2^FINE of them.
    ((u64::from(magnitude) << FINE) + (nanos >> magnitude)) as usize
}

/// The largest value of a bucket.
fn upper(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let magnitude = (bucket >> FINE).saturating_sub(1);
    let step = bucket - (magnitude << FINE);
    ((step + 1) << magnitude) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_a_bucket_at_most_1_6_percent_wide() {
        let mut values: Vec<u64> = (0..100_000).collect();
        values.extend((0..u64::BITS).flat_map(|bit| [(1 << bit) - 1, 1 << bit, (1u64 << bit) + 1]));
        for value in values.into_iter().filter(|value| *value < 1 << LARGEST) {
            let upper = upper(bucket(value));
            assert!(upper >= value && upper - value <= value / 64, "{value}: {upper}");
        }
        assert_eq!(bucket(u64::MAX), bucket((1 << LARGEST) - 1));
        assert!(bucket(u64::MAX) < BUCKETS);
    }

    #[test]
    fn quantiles_are_those_of_the_sorted_list() {
        let mut histogram = Histogram::new();
        for micros in 1..=1000 {
            histogram.record(Duration::from_micros(micros));
        }

        let near = |share: f64, micros: f64| {
            let found = histogram.quantile(share).unwrap().as_secs_f64() * 1e6;
            assert!(
                (found / micros - 1.0).abs() < 0.017,
                "{share}: {found} against {micros}"
            );
        };
        near(0.5, 500.0);
        near(0.99, 990.0);
        near(1.0, 1000.0);
        assert_eq!(histogram.len(), 1000);
        assert_eq!(Histogram::new().quantile(0.5), None);
    }
}
