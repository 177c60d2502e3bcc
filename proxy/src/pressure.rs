//! How much of its memory the process uses, and what it gives up when that becomes too much (`spec/reliability.md` P24).

use std::time::Duration;

use tokio::sync::watch;

/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// Percentages of the budget at which the levels begin.
const LEVELS: [(u64, Pressure); 3] = [
    (95, Pressure::Refuse),
    (92, Pressure::NoKeepAlive),
    (85, Pressure::ShortIdle),
];
/// Percentage points that memory must fall below a level's beginning before it ends, so that it does not flutter.
const BACK: u64 = 3;

/// What is given up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Pressure {
    /// Nothing.
    #[default]
    None,
    /// Idle connections are closed soon.
    ShortIdle,
    /// Connections are closed after their answer.
    NoKeepAlive,
    /// Requests are answered 503.
    Refuse,
}

impl Pressure {
    /// How long a connection may be idle where `limit` is usual.
    pub(crate) fn idle(self, limit: Option<Duration>) -> Option<Duration> {
        const SHORT: Duration = Duration::from_secs(1);
        match self {
            Pressure::None => limit,
            _ => Some(limit.map_or(SHORT, |limit| limit.min(SHORT))),
        }
    }
}

/// The level for `used` bytes of a budget, coming from `before`.
fn level(used: u64, budget: u64, before: Pressure) -> Pressure {
    let reached = |percent: u64| u128::from(used) * 100 >= u128::from(budget) * u128::from(percent);
    let holds = |(percent, pressure): &(u64, Pressure)| {
        let begins = if before >= *pressure {
            percent - BACK
        } else {
            *percent
        };
        reached(begins)
    };
    LEVELS
        .iter()
        .find(|level| holds(level))
        .map_or(Pressure::None, |(_, pressure)| *pressure)
}

/// Looks at the memory of the process and says when the level changes, until nobody listens.
pub(crate) async fn measure(levels: watch::Sender<Pressure>, budget: u64) {
    while !levels.is_closed() {
        if let Some(used) = resident() {
            let before = *levels.borrow();
            let now = level(used, budget, before);
            if now != before {
                tracing::warn!(level = ?now, used, budget, "the use of memory has reached another level");
                levels.send_replace(now);
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Resident memory of the process in bytes.
pub(crate) fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_begin_at_their_percentage_and_end_a_little_below() {
        let of = |used, before| level(used, 100, before);
        assert_eq!(of(84, Pressure::None), Pressure::None);
        assert_eq!(of(85, Pressure::None), Pressure::ShortIdle);
        assert_eq!(of(92, Pressure::ShortIdle), Pressure::NoKeepAlive);
        assert_eq!(of(95, Pressure::None), Pressure::Refuse);
        assert_eq!(of(93, Pressure::Refuse), Pressure::Refuse);
        assert_eq!(of(91, Pressure::Refuse), Pressure::NoKeepAlive);
        assert_eq!(of(83, Pressure::ShortIdle), Pressure::ShortIdle);
        assert_eq!(of(81, Pressure::ShortIdle), Pressure::None);
    }

    #[test]
    fn idle_times_are_shortened_and_never_lengthened() {
        let (short, long) = (Duration::from_millis(10), Duration::from_secs(3600));
        assert_eq!(Pressure::None.idle(Some(long)), Some(long));
        assert_eq!(Pressure::ShortIdle.idle(Some(long)), Some(Duration::from_secs(1)));
        assert_eq!(Pressure::Refuse.idle(Some(short)), Some(short));
        assert_eq!(Pressure::ShortIdle.idle(None), Some(Duration::from_secs(1)));
    }

    #[test]
    fn the_memory_of_this_process_is_known() {
        assert!(resident().is_some_and(|bytes| bytes > 100_000));
    }
}
