//! Latencies in fixed buckets.

use std::time::Duration;

use super::Counter;

/// Upper bounds of the buckets in milliseconds, Envoy's own; a last bucket takes the rest.
pub const BOUNDS: [f64; 19] = [
    0.5,
    1.0,
    5.0,
    10.0,
    25.0,
    50.0,
    100.0,
    250.0,
    500.0,
    1000.0,
    2500.0,
    5000.0,
    10_000.0,
    30_000.0,
    60_000.0,
    300_000.0,
    600_000.0,
    1_800_000.0,
    3_600_000.0,
];

/// The same in microseconds.
const MICROS: [u64; 19] = [
    500,
    1_000,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    300_000_000,
    600_000_000,
    1_800_000_000,
    3_600_000_000,
];

/// A worker's part of a histogram.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [Counter; 20],
    sum_micros: Counter,
}

impl Histogram {
    /// Counts one duration.
    pub fn record(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let position = MICROS.partition_point(|bound| *bound < micros);
        if let Some(bucket) = self.buckets.get(position) {
            bucket.inc();
        }
        self.sum_micros.add(micros);
    }
}

/// A histogram summed over workers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Counts by bucket, the rest last; not running sums.
    pub buckets: [u64; 20],
    /// Sum of all durations in microseconds.
    pub sum_micros: u64,
}

impl Summary {
    /// Adds a worker's part.
    pub fn add(&mut self, part: &Histogram) {
        for (sum, bucket) in self.buckets.iter_mut().zip(&part.buckets) {
            *sum += bucket.get();
        }
        self.sum_micros = self.sum_micros.wrapping_add(part.sum_micros.get());
    }

    /// How many durations were counted.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The duration in milliseconds below which `part` (0-1) of the counts lie, by linear interpolation within its
    /// bucket; `None` before the first count.
    pub fn quantile(&self, part: f64) -> Option<f64> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let wanted = part * count as f64;
        let mut below = 0.0;
        let mut start = 0.0;
        for (bucket, bound) in self.buckets.iter().zip(BOUNDS) {
            let inside = *bucket as f64;
            if inside > 0.0 && below + inside >= wanted {
                return Some(start + (bound - start) * ((wanted - below) / inside).clamp(0.0, 1.0));
            }
            below += inside;
            start = bound;
        }
        Some(start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_land_in_the_bucket_whose_bound_is_not_below_them() {
        let histogram = Histogram::default();
        for micros in [0, 500, 501, 1_000, 9_999_999, 3_600_000_001] {
            histogram.record(Duration::from_micros(micros));
        }
        let mut summary = Summary::default();
        summary.add(&histogram);
        assert_eq!(summary.buckets[0], 2);
        assert_eq!(summary.buckets[1], 2);
        assert_eq!(summary.buckets[12], 1);
        assert_eq!(summary.buckets[19], 1);
        assert_eq!(summary.count(), 6);
    }

    #[test]
    fn the_two_lists_of_bounds_agree() {
        for (millis, micros) in BOUNDS.iter().zip(MICROS) {
            assert_eq!((millis * 1000.0) as u64, micros);
        }
    }

    #[test]
    fn quantiles_are_interpolated() {
        let mut summary = Summary::default();
        assert_eq!(summary.quantile(0.5), None);
        summary.buckets[6] = 100; // 50 to 100 ms
        assert_eq!(summary.quantile(0.5), Some(75.0));
        summary.buckets[19] = 1000;
        assert_eq!(summary.quantile(0.99), Some(3_600_000.0));
    }
}
