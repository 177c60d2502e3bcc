//! When requests are due: as soon as an answer is there, or at moments that do not depend on answers.

use std::time::{Duration, Instant};

/// When requests are made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pace {
    /// The next one as soon as an answer is there.
    Closed,
    /// At random moments, this many a second on average, whether or not the proxy keeps up.
    Open {
        /// Requests a second.
        rate: f64,
    },
}

/// The moments of an open loop: a Poisson process, the same one for every proxy.
#[derive(Debug)]
pub(crate) struct Arrivals {
    next: Instant,
    mean: f64,
    chance: fastrand::Rng,
}

impl Arrivals {
    /// Arrivals from `start` on, `rate` a second.
    pub(crate) fn new(start: Instant, rate: f64) -> Arrivals {
        Arrivals {
            next: start,
            mean: rate.recip(),
            chance: fastrand::Rng::with_seed(0x6f75_7472),
        }
    }

    /// The next arrival, if its moment has come.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Instant> {
        if self.next > now {
            return None;
        }
        let due = self.next;
        let gap = -self.mean * (1.0 - self.chance.f64()).ln();
        self.next += Duration::from_secs_f64(gap.clamp(0.0, 60.0));
        Some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_keep_the_rate_and_are_the_same_every_time() {
        let start = Instant::now();
        let moments = || {
            let mut arrivals = Arrivals::new(start, 1000.0);
            std::iter::from_fn(move || arrivals.due(start + Duration::from_secs(20))).collect::<Vec<_>>()
        };

        let first = moments();

        assert!((19_000..21_000).contains(&first.len()), "{}", first.len());
        assert!(first.is_sorted());
        assert_eq!(first, moments());
    }

    #[test]
    fn nothing_is_due_before_its_moment() {
        let start = Instant::now() + Duration::from_secs(5);

        assert_eq!(Arrivals::new(start, 10.0).due(Instant::now()), None);
    }
}
