//! Waits until changes pause, so that one publication takes in all that came together.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Changes are taken in after this pause.
pub(crate) const QUIET: Duration = Duration::from_millis(10);

/// They are taken in after this time at the latest, however many follow.
pub(crate) const MOST: Duration = Duration::from_millis(100);

/// Something that changes now and then.
pub(crate) trait Changing {
    /// Resolves at the next change. May be dropped at any time without losing one.
    fn next(&mut self) -> impl Future<Output = ()> + Send;
}

/// Returns [`QUIET`] after the last change, [`MOST`] after the call at the latest. Called when a first change has
/// come.
pub(crate) async fn settle(changing: &mut impl Changing) {
    let latest = Instant::now() + MOST;
    loop {
        let quiet = (Instant::now() + QUIET).min(latest);
        tokio::select! {
            biased;
            () = sleep_until(quiet) => return,
            () = changing.next() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::sleep;

    /// Changes after each of these pauses, then never.
    struct After(Vec<Duration>);

    impl Changing for After {
        async fn next(&mut self) {
            match self.0.pop() {
                Some(pause) => sleep(pause).await,
                None => std::future::pending().await,
            }
        }
    }

    async fn settled(pauses: &[u64]) -> Duration {
        let began = Instant::now();
        settle(&mut After(
            pauses.iter().copied().map(Duration::from_millis).collect(),
        ))
        .await;
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn one_change_waits_for_the_pause() {
        assert_eq!(settled(&[]).await, QUIET);
    }

    #[tokio::test(start_paused = true)]
    async fn changes_that_come_together_are_taken_in_together() {
        assert_eq!(settled(&[5, 5, 5]).await, Duration::from_millis(15) + QUIET);
    }

    #[tokio::test(start_paused = true)]
    async fn changes_without_end_are_taken_in_after_the_longest_wait() {
        assert_eq!(settled(&[3; 1000]).await, MOST);
    }
}
