//! How long to wait before the next attempt to connect.

use std::time::Duration;

/// Waits that double from `first` to `longest`, each up to a quarter longer by chance. After a connection that
/// worked, the first wait is anything up to `spread`, so that the clients of a restarted server do not come at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backoff {
    /// The first wait after a failed attempt; 1 s unless set.
    pub first: Duration,
    /// No wait is longer than this and a quarter; 15 s unless set.
    pub longest: Duration,
    /// The range of the first wait after a connection that worked; 5 s unless set (spec/reliability.md P5).
    pub spread: Duration,
}

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(15),
            spread: Duration::from_secs(5),
        }
    }
}

/// What was tried since the last connection that worked.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    failures: u32,
    lost: bool,
}

impl Attempts {
    /// A connection worked: the server answered over it.
    pub(super) fn worked(&mut self) {
        *self = Attempts {
            failures: 0,
            lost: true,
        };
    }

    /// The attempts that failed since a connection worked.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// The wait before the next attempt. `chance` is from 0 (inclusive) to 1.
    pub(super) fn next_wait(&mut self, backoff: &Backoff, chance: f64) -> Duration {
        let chance = chance.clamp(0.0, 1.0);
        if std::mem::take(&mut self.lost) {
            return backoff.spread.mul_f64(chance);
        }
        let doubled = backoff.first.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        doubled.min(backoff.longest).mul_f64(1.0 + chance / 4.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let mut attempts = Attempts::default();

        let waits: Vec<u64> = (0..6)
            .map(|_| attempts.next_wait(&Backoff::default(), 0.0).as_secs())
            .collect();

        assert_eq!(waits, [1, 2, 4, 8, 15, 15]);
        assert_eq!(attempts.failures(), 6);
    }

    #[test]
    fn chance_adds_up_to_a_quarter() {
        let wait = Attempts::default().next_wait(&Backoff::default(), 1.0);

        assert_eq!(wait, Duration::from_millis(1250));
    }

    #[test]
    fn a_lost_connection_is_tried_again_somewhere_in_the_spread() {
        let mut attempts = Attempts::default();
        attempts.next_wait(&Backoff::default(), 0.0);
        attempts.worked();

        assert_eq!(
            attempts.next_wait(&Backoff::default(), 0.5),
            Duration::from_millis(2500)
        );
        assert_eq!(
            attempts.next_wait(&Backoff::default(), 0.0),
            Duration::from_secs(1)
        );
    }

    #[test]
    fn a_very_long_series_does_not_overflow() {
        let mut attempts = Attempts {
            failures: u32::MAX,
            lost: false,
        };

        assert_eq!(attempts.next_wait(&Backoff::default(), 0.0).as_secs(), 15);
    }
}
