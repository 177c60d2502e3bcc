//! Spreads new streams over time, so that all clients of a restarted server do not cost it everything at once.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Lets a burst through at once and then one stream per interval.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    burst: u32,
    /// When the stream after all those let in so far would be due without a burst.
    due: Mutex<Instant>,
}

impl Pace {
    pub(super) fn new(per_second: f64, burst: u32) -> Pace {
        let interval = Duration::try_from_secs_f64(1.0 / per_second).unwrap_or(Duration::ZERO);
        Pace {
            interval,
            burst,
            due: Mutex::new(Instant::now()),
        }
    }

    /// How long the next stream must wait. `None` if that is longer than `longest`; then it takes no place.
    pub(super) fn wait(&self, now: Instant, longest: Duration) -> Option<Duration> {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (*due).max(now);
        let wait = (place - now).saturating_sub(self.interval.saturating_mul(self.burst.saturating_sub(1)));
        if wait > longest {
            return None;
        }
        *due = place + self.interval;
        Some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_secs(30);

    #[test]
    fn a_burst_goes_at_once_and_the_rest_one_by_one() {
        let pace = Pace::new(10.0, 3);
        let now = Instant::now();

        let waits: Vec<u128> = (0..5)
            .filter_map(|_| pace.wait(now, LONGEST))
            .map(|wait| wait.as_millis())
            .collect();

        assert_eq!(waits, [0, 0, 0, 100, 200]);
    }

    #[test]
    fn quiet_time_gives_the_burst_back() {
        let pace = Pace::new(10.0, 2);
        let now = Instant::now();
        for _ in 0..4 {
            pace.wait(now, LONGEST);
        }

        let later = now + Duration::from_secs(10);

        assert_eq!(pace.wait(later, LONGEST), Some(Duration::ZERO));
        assert_eq!(pace.wait(later, LONGEST), Some(Duration::ZERO));
        assert_eq!(pace.wait(later, LONGEST), Some(Duration::from_millis(100)));
    }

    #[test]
    fn a_wait_that_is_too_long_takes_no_place() {
        let pace = Pace::new(1.0, 1);
        let now = Instant::now();
        pace.wait(now, LONGEST);

        assert_eq!(pace.wait(now, Duration::ZERO), None);
        assert_eq!(pace.wait(now, LONGEST), Some(Duration::from_secs(1)));
    }
}
