//! One blocking query that is asked over and over: where it stands, and when it may be asked next. Pure.

use std::time::{Duration, Instant, SystemTime};

use super::error::Error;
use crate::backoff;

/// What came of one query.
#[derive(Debug)]
pub(super) enum Conclusion {
    /// The index did not move.
    Unchanged,
    /// The server began anew; ask once without an index.
    Restarted,
    /// A reading was taken; wait on this index next.
    Believed(Option<u64>),
    /// A reading was not believed; a second one is needed.
    Doubted,
    /// No reading.
    Failed(Error),
}

/// The state of one watch.
#[derive(Debug, Default)]
pub(super) struct Watch {
    index: Option<u64>,
    read_before: bool,
    failures: u32,
    failing: Option<Failing>,
    doubted_since: Option<Instant>,
    last_asked: Option<Instant>,
}

/// Since when a watch brings nothing, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failing {
    pub(super) since: SystemTime,
    pub(super) message: String,
}

impl Watch {
    /// The index to wait on; `None` asks for the present state.
    pub(super) fn index(&self) -> Option<u64> {
        self.index
    }

    /// Why this watch brings nothing, if so.
    pub(super) fn failing(&self) -> Option<&Failing> {
        self.failing.as_ref()
    }

    /// True while a reading waits to be confirmed: ask the leader then, not just any server.
    pub(super) fn is_doubted(&self) -> bool {
        self.doubted_since.is_some()
    }

    /// True when the next reading counts as the second one, which is believed. Never before `not_before`.
    pub(super) fn confirms(&self, now: Instant, not_before: Option<Instant>) -> bool {
        self.is_doubted() && not_before.is_none_or(|earliest| now >= earliest)
    }

    /// True when this conclusion shows that the server may have lost its memory.
    pub(super) fn shows_restart(&self, conclusion: &Conclusion) -> bool {
        match conclusion {
            Conclusion::Restarted => true,
            Conclusion::Failed(Error::Unreachable { .. } | Error::NoLeader { .. }) => self.read_before,
            _ => false,
        }
    }

    /// Takes what came of a query that was asked at `asked` (`clock` by the wall), now.
    pub(super) fn conclude(
        &mut self,
        conclusion: Conclusion,
        asked: Instant,
        clock: SystemTime,
        now: Instant,
    ) {
        self.last_asked = Some(asked);
        match conclusion {
            Conclusion::Failed(error) => {
                self.index = None;
                self.failures = self.failures.saturating_add(1);
                // Up to the moment a connection broke the watch was good; of a silent one nobody knows.
                let since = match &error {
                    Error::TimedOut { .. } => clock,
                    _ => clock + now.saturating_duration_since(asked),
                };
                let message = error.to_string();
                match &mut self.failing {
                    Some(failing) => failing.message = message,
                    None => self.failing = Some(Failing { since, message }),
                }
            }
            Conclusion::Unchanged => self.good(),
            Conclusion::Restarted => {
                self.good();
                self.index = None;
            }
            Conclusion::Believed(next) => {
                self.good();
                self.index = next;
                self.read_before = true;
                self.doubted_since = None;
            }
            Conclusion::Doubted => {
                self.good();
                self.index = None;
                self.doubted_since.get_or_insert(now);
            }
        }
    }

    fn good(&mut self) {
        self.failures = 0;
        self.failing = None;
    }

    /// How long to wait before the next query. `chance` in `0.0..1.0` spreads retries.
    pub(super) fn delay(&self, now: Instant, chance: f64) -> Duration {
        if self.failures > 0 {
            return backoff::after(self.failures, chance);
        }
        if self.is_doubted() {
            return backoff::SHORTEST;
        }
        match self.last_asked {
            None => Duration::ZERO,
            Some(asked) => (asked + backoff::SHORTEST).saturating_duration_since(now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOCK: SystemTime = SystemTime::UNIX_EPOCH;

    fn timed_out() -> Conclusion {
        Conclusion::Failed(Error::TimedOut {
            address: "http://a".into(),
            after: Duration::from_secs(35),
        })
    }

    fn unreachable() -> Conclusion {
        Conclusion::Failed(Error::Unreachable {
            address: "http://a".into(),
            reason: "refused".into(),
        })
    }

    #[test]
    fn the_first_query_goes_at_once_and_later_ones_once_a_second() {
        let start = Instant::now();
        let mut watch = Watch::default();
        assert_eq!(watch.delay(start, 0.5), Duration::ZERO);

        let soon = start + Duration::from_millis(300);
        watch.conclude(Conclusion::Believed(Some(7)), start, CLOCK, soon);
        assert_eq!(
            (watch.index(), watch.delay(soon, 0.5)),
            (Some(7), Duration::from_millis(700))
        );

        let late = start + Duration::from_secs(30);
        watch.conclude(Conclusion::Unchanged, start, CLOCK, late);
        assert_eq!((watch.index(), watch.delay(late, 0.5)), (Some(7), Duration::ZERO));
    }

    #[test]
    fn a_failure_forgets_the_index_backs_off_and_is_dated_by_its_kind() {
        let start = Instant::now();
        let later = start + Duration::from_secs(35);
        for (failure, since) in [
            (timed_out(), CLOCK),
            (unreachable(), CLOCK + Duration::from_secs(35)),
        ] {
            let mut watch = Watch::default();
            watch.conclude(Conclusion::Believed(Some(7)), start, CLOCK, start);

            watch.conclude(failure, start, CLOCK, later);

            assert_eq!(watch.index(), None);
            assert_eq!(watch.failing().unwrap().since, since);
            assert!(watch.delay(later, 0.0) >= Duration::from_secs(1));

            let first = watch.failing().unwrap().since;
            watch.conclude(unreachable(), later, CLOCK + Duration::from_secs(99), later);
            assert_eq!(
                watch.failing().unwrap().since,
                first,
                "age counts from the first failure"
            );
            watch.conclude(Conclusion::Believed(Some(8)), later, CLOCK, later);
            assert_eq!(watch.failing(), None);
        }
    }

    #[test]
    fn a_restart_asks_again_without_an_index_and_at_most_once_a_second() {
        let start = Instant::now();
        let mut watch = Watch::default();
        watch.conclude(Conclusion::Believed(Some(7)), start, CLOCK, start);

        watch.conclude(Conclusion::Restarted, start, CLOCK, start);

        assert_eq!(
            (watch.index(), watch.delay(start, 0.0)),
            (None, Duration::from_secs(1))
        );
    }

    #[test]
    fn a_doubted_reading_is_confirmed_by_the_next_but_not_before_a_grace_ends() {
        let start = Instant::now();
        let mut watch = Watch::default();
        watch.conclude(Conclusion::Believed(Some(7)), start, CLOCK, start);
        assert!(!watch.confirms(start, None));

        watch.conclude(Conclusion::Doubted, start, CLOCK, start);
        assert_eq!(
            (watch.index(), watch.delay(start, 0.9)),
            (None, Duration::from_secs(1))
        );
        assert!(watch.confirms(start, None));
        let grace = start + Duration::from_secs(10);
        assert!(!watch.confirms(start + Duration::from_secs(9), Some(grace)));
        assert!(watch.confirms(grace, Some(grace)));

        watch.conclude(unreachable(), start, CLOCK, start);
        assert!(watch.confirms(start, None), "a failure in between is no reading");
        watch.conclude(Conclusion::Believed(Some(9)), start, CLOCK, start);
        assert!(!watch.confirms(start, None));
    }

    #[test]
    fn only_a_server_that_was_read_before_can_have_restarted() {
        let start = Instant::now();
        let mut watch = Watch::default();
        assert!(!watch.shows_restart(&unreachable()));
        watch.conclude(Conclusion::Believed(Some(7)), start, CLOCK, start);
        assert!(watch.shows_restart(&unreachable()));
        assert!(watch.shows_restart(&Conclusion::Restarted));
        assert!(!watch.shows_restart(&timed_out()));
    }
}
