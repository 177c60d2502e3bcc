//! What each round is like: how fast is written, and when the server is killed. Pure.

use std::time::Duration;

/// Tasks that write at once.
pub(super) const WRITERS: u32 = 10;
/// Writes a second in a calm round, all writers together.
const PER_SECOND: u32 = 200;

/// One kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Round {
    /// Killed under 200 writes a second.
    Calm,
    /// Killed under as many writes as the server takes, so that segments fill and snapshots fall due.
    Storm,
    /// Killed before it was ready: recovery itself is cut off.
    Recovery,
}

impl Round {
    /// The rounds in turn: of five, one is a storm and one cuts a recovery off that has a storm behind it.
    pub(super) fn of(number: u32) -> Round {
        match number % 5 {
            3 => Round::Storm,
            4 => Round::Recovery,
            _ => Round::Calm,
        }
    }

    /// Time from one write of a writer to its next.
    pub(super) fn pause(self) -> Duration {
        match self {
            Round::Storm => Duration::ZERO,
            Round::Calm | Round::Recovery => Duration::from_secs(1) * WRITERS / PER_SECOND,
        }
    }

    /// How long the server lives: from ready on, or, in a recovery, from its start on; `start` is how long the first
    /// one took.
    pub(super) fn life(self, random: &mut fastrand::Rng, start: Duration) -> Duration {
        match self {
            Round::Calm => Duration::from_millis(random.u64(60..650)),
            Round::Storm => Duration::from_millis(random.u64(1500..3000)),
            Round::Recovery => start.mul_f64(random.f64()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forty_rounds_have_every_kind_and_eight_cut_a_recovery_off() {
        let count = |kind| (1..=40).filter(|number| Round::of(*number) == kind).count();

        assert_eq!(
            [Round::Calm, Round::Storm, Round::Recovery].map(count),
            [24, 8, 8]
        );
        assert_eq!(
            (1..=8)
                .filter(|number| Round::of(*number) == Round::Recovery)
                .count(),
            1
        );
    }

    #[test]
    fn calm_writers_together_write_two_hundred_a_second() {
        assert_eq!(Round::Calm.pause(), Duration::from_millis(50));
    }

    #[test]
    fn a_recovery_is_cut_off_before_a_start_is_through() {
        let mut random = fastrand::Rng::with_seed(1);
        let start = Duration::from_millis(100);

        assert!((0..100).all(|_| Round::Recovery.life(&mut random, start) < start));
    }
}
