//! The rule that keeps a lying registry from emptying the mesh (`spec/reliability.md` P7).
//!
//! A reading in which more than half of all instances are gone is not believed until a second reading says
//! the same. Losses that arrive in pieces (one answer per service) are added up over a short window, so that
//! a registry that forgets its services one by one is held up as well.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Losses within this time count as one.
const WINDOW: Duration = Duration::from_secs(2);

/// Losses remembered at most; older ones are forgotten first.
const REMEMBERED: usize = 1024;

/// What to do with a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Take it.
    Believe,
    /// Keep what is known and read again.
    Confirm,
}

/// Remembers recent losses of one registry.
#[derive(Debug, Default)]
pub struct Losses {
    recent: VecDeque<(Instant, usize)>,
}

impl Losses {
    /// Judges a reading by which `lost` of the `present` instances would go, `now`.
    ///
    /// `confirmed` is true when this is a second reading. A believed loss is remembered.
    pub fn judge(&mut self, lost: usize, present: usize, confirmed: bool, now: Instant) -> Verdict {
        while let Some((at, _)) = self.recent.front() {
            if now.saturating_duration_since(*at) <= WINDOW && self.recent.len() < REMEMBERED {
                break;
            }
            self.recent.pop_front();
        }
        if lost == 0 {
            return Verdict::Believe;
        }
        let before: usize = self.recent.iter().map(|(_, count)| count).sum();
        if !confirmed && (before + lost) * 2 > before + present {
            return Verdict::Confirm;
        }
        self.recent.push_back((now, lost));
        Verdict::Believe
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_may_go_at_once_and_more_than_half_needs_a_second_reading() {
        let now = Instant::now();
        for (lost, present, confirmed, expected) in [
            (0, 0, false, Verdict::Believe),
            (0, 6, false, Verdict::Believe),
            (3, 6, false, Verdict::Believe),
            (4, 6, false, Verdict::Confirm),
            (1, 1, false, Verdict::Confirm),
            (4, 6, true, Verdict::Believe),
        ] {
            let verdict = Losses::default().judge(lost, present, confirmed, now);
            assert_eq!(verdict, expected, "{lost} of {present}, confirmed {confirmed}");
        }
    }

    #[test]
    fn losses_in_pieces_add_up_and_are_forgotten_after_the_window() {
        let start = Instant::now();
        let mut losses = Losses::default();
        let mut present = 6;
        for _ in 0..3 {
            assert_eq!(losses.judge(1, present, false, start), Verdict::Believe);
            present -= 1;
        }

        assert_eq!(losses.judge(1, present, false, start), Verdict::Confirm);
        assert_eq!(
            losses.judge(1, present, false, start + WINDOW + Duration::from_millis(1)),
            Verdict::Believe,
            "one of three, the earlier losses are history"
        );
    }
}
