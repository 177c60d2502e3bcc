//! What came of the requests of a run, and where in time its window lies.

use std::time::{Duration, Instant};

use super::{GRACE, Histogram, Load};

/// What came of a run.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// Good answers within the window.
    pub(crate) done: u64,
    /// The window as it was, between the two calls of `edge`.
    pub(crate) window: Duration,
    /// Latencies of the requests that were due within the window, from the moment at which they were due.
    pub(crate) latencies: Histogram,
    /// Requests that failed, at any time of the run.
    pub(crate) errors: u64,
    /// What was wrong with the first that failed.
    pub(crate) first_error: Option<String>,
}

/// What to do at a moment of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Go on.
    On,
    /// The window opens or closes now.
    Edge,
    /// Nothing more is waited for.
    Over,
}

/// Counts, and knows the time.
#[derive(Debug)]
pub(crate) struct Tally {
    opens: Instant,
    closes: Instant,
    opened: Option<Instant>,
    closed: Option<Instant>,
    outcome: Outcome,
}

impl Tally {
    /// A run that starts now.
    pub(crate) fn new(load: &Load, start: Instant) -> Tally {
        let opens = start + load.warmup;
        Tally {
            opens,
            closes: opens + load.window,
            opened: None,
            closed: None,
            outcome: Outcome {
                done: 0,
                window: Duration::ZERO,
                latencies: Histogram::new(),
                errors: 0,
                first_error: None,
            },
        }
    }

    /// What to do now, with this many requests in flight.
    pub(crate) fn step(&mut self, now: Instant, in_flight: usize) -> Step {
        if self.opened.is_none() && now >= self.opens {
            self.opened = Some(now);
            return Step::Edge;
        }
        if self.opened.is_some() && self.closed.is_none() && now >= self.closes {
            self.closed = Some(now);
            return Step::Edge;
        }
        match self.closed {
            Some(_) if in_flight == 0 => Step::Over,
            Some(closed) if now > closed + GRACE => {
                self.error_many(
                    in_flight as u64,
                    &format!("no answer {GRACE:?} after the end of the load"),
                );
                Step::Over
            }
            _ => Step::On,
        }
    }

    /// Whether requests are still made.
    pub(crate) fn asks(&self) -> bool {
        self.closed.is_none()
    }

    /// Counts a good answer to a request that was due at `due`.
    pub(crate) fn done(&mut self, due: Instant, now: Instant) {
        let Some(opened) = self.opened else { return };
        if self.closed.is_none() {
            self.outcome.done += 1;
        }
        if due >= opened && self.closed.is_none_or(|closed| due < closed) {
            self.outcome.latencies.record(now.saturating_duration_since(due));
        }
    }

    /// Counts a failure; gives how many there are by now.
    pub(crate) fn error(&mut self, what: &str) -> u64 {
        self.error_many(1, what);
        self.outcome.errors
    }

    fn error_many(&mut self, count: u64, what: &str) {
        self.outcome.errors += count;
        self.outcome.first_error.get_or_insert_with(|| what.to_owned());
    }

    /// What came of it all.
    pub(crate) fn finish(mut self) -> Outcome {
        if let (Some(opened), Some(closed)) = (self.opened, self.closed) {
            self.outcome.window = closed - opened;
        }
        self.outcome
    }
}

#[cfg(test)]
mod tests {
    use super::super::Pace;
    use super::*;

    fn tally(start: Instant) -> Tally {
        let load = Load {
            target: ([127, 0, 0, 1], 1).into(),
            in_flight: 1,
            pace: Pace::Closed,
            warmup: Duration::from_secs(1),
            window: Duration::from_secs(10),
        };
        Tally::new(&load, start)
    }

    #[test]
    fn only_the_window_counts() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut tally = tally(start);

        tally.done(start, at(0));
        assert_eq!(tally.step(at(0), 1), Step::On);
        assert_eq!(tally.step(at(1), 1), Step::Edge);
        tally.done(start, at(2)); // due before the window: an answer of the window, but no latency
        tally.done(at(3), at(4));
        assert_eq!(tally.step(at(11), 1), Step::Edge);
        assert!(!tally.asks());
        tally.done(at(10), at(12)); // due within the window: a latency, but no answer of it
        assert_eq!(tally.step(at(12), 0), Step::Over);

        let outcome = tally.finish();
        assert_eq!((outcome.done, outcome.latencies.len(), outcome.errors), (2, 2, 0));
        assert_eq!(outcome.window, Duration::from_secs(10));
    }

    #[test]
    fn requests_without_an_answer_are_errors() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut tally = tally(start);
        tally.step(at(1), 3);
        tally.step(at(11), 3);

        assert_eq!(tally.step(at(12), 3), Step::On);
        assert_eq!(tally.step(at(14), 3), Step::Over);

        let outcome = tally.finish();
        assert_eq!(outcome.errors, 3);
        assert!(outcome.first_error.unwrap().contains("no answer"));
    }
}
