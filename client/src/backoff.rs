//! How long to wait before trying again: doubling, with jitter, bounded.

use std::time::Duration;

/// A series of waits. Each is drawn between half and the whole of a step that doubles from `first` to `longest`, so
/// that many clients of one lost server come back spread out.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    step: Duration,
}

impl Backoff {
    /// A series that begins at `first` and never waits longer than `longest`.
    pub fn new(first: Duration, longest: Duration) -> Self {
        Backoff {
            first,
            longest,
            step: first,
        }
    }

    /// The next wait.
    pub fn wait(&mut self) -> Duration {
        let step = self.step.min(self.longest);
        self.step = step.saturating_mul(2);
        step.mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    /// Begins anew, after a success.
    pub fn reset(&mut self) {
        self.step = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_start_anew_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));

        let waits: Vec<Duration> = (0..10).map(|_| backoff.wait()).collect();
        backoff.reset();

        assert!(waits[0] >= Duration::from_millis(50) && waits[0] <= Duration::from_millis(100));
        assert!(waits[3] >= Duration::from_millis(400) && waits[3] <= Duration::from_millis(800));
        assert!(
            waits[4..]
                .iter()
                .all(|wait| *wait >= Duration::from_millis(500) && *wait <= Duration::from_secs(1))
        );
        assert!(backoff.wait() <= Duration::from_millis(100));
    }
}
