//! How long to wait after a failure: at least a second, at most three, never two alike.

use std::time::Duration;

/// No registry is asked more often than this, whatever happens (`spec/reliability.md` P7).
pub(crate) const SHORTEST: Duration = Duration::from_secs(1);

/// The wait before attempt number `failures + 1`. `chance` in `0.0..1.0` spreads many watchers apart.
///
/// The ceiling is three seconds, so that a registry that comes back is seen within five (P8).
pub(crate) fn after(failures: u32, chance: f64) -> Duration {
    let spread = match failures {
        0 | 1 => 0.5,
        2 => 1.0,
        _ => 2.0,
    };
    SHORTEST + Duration::from_secs_f64(spread * chance.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_stay_between_one_and_three_seconds() {
        for failures in [0, 1, 2, 3, 100, u32::MAX] {
            for chance in [-1.0, 0.0, 0.3, 0.999, 2.0] {
                let wait = after(failures, chance);
                assert!(wait >= SHORTEST && wait <= Duration::from_secs(3), "{wait:?}");
            }
        }
        assert!(after(1, 0.9) < after(5, 0.9));
    }
}
