//! One timer a connection, set again only when it must ring earlier than it would.
//!
//! A request starts and ends several time limits. Moving a timer for each of them costs more than the limits are worth,
//! so the timer is left where it is when the new limit is later: it rings early, sees that it is not time yet and sets
//! itself to the true moment. With a 15 s route timeout that is one spurious wake-up in 15 s.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// The limit was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Elapsed;

/// The timer of a connection.
#[derive(Debug, Default)]
pub(crate) struct Deadline {
    /// Made when first needed.
    sleep: Option<Pin<Box<Sleep>>>,
    /// When it rings; `None` when it has rung.
    armed: Option<Instant>,
}

impl Deadline {
    /// Ready when `due` has come; `None` never comes.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, due: Option<Instant>) -> Poll<()> {
        let Some(due) = due else { return Poll::Pending };
        if self.armed.is_none_or(|armed| armed > due) {
            self.arm(due);
        }
        loop {
            let Some(sleep) = &mut self.sleep else {
                return Poll::Pending;
            };
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if Instant::now() >= due {
                self.armed = None;
                return Poll::Ready(());
            }
            self.arm(due);
        }
    }

    /// `work`, unless `due` comes first.
    pub(crate) async fn within<T>(
        &mut self,
        due: Option<Instant>,
        mut work: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Result<T, Elapsed> {
        poll_fn(|cx| match work(cx) {
            Poll::Ready(value) => Poll::Ready(Ok(value)),
            Poll::Pending => self.poll(cx, due).map(|()| Err(Elapsed)),
        })
        .await
    }

    fn arm(&mut self, due: Instant) {
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().reset(due),
            None => self.sleep = Some(Box::pin(tokio::time::sleep_until(due))),
        }
        self.armed = Some(due);
    }
}

/// The moment `limit` from `start`; `None` is never.
pub(crate) fn after(start: Instant, limit: Option<Duration>) -> Option<Instant> {
    start.checked_add(limit?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_later_limit_is_kept_to_although_the_timer_was_set_for_an_earlier_one() {
        let start = Instant::now();
        let mut deadline = Deadline::default();
        let short = after(start, Some(Duration::from_secs(1)));
        let ready = deadline.within(short, |_| Poll::Ready(7)).await;
        assert_eq!(ready, Ok(7));
        let polled = poll_fn(|cx| Poll::Ready(deadline.poll(cx, short).is_pending())).await;
        assert!(polled, "it is not time yet");

        let long = after(start, Some(Duration::from_secs(60)));
        let outcome = deadline.within(long, |_| Poll::<()>::Pending).await;

        assert_eq!(outcome, Err(Elapsed));
        assert_eq!(start.elapsed().as_secs(), 60);
    }

    #[tokio::test(start_paused = true)]
    async fn an_earlier_limit_moves_the_timer() {
        let start = Instant::now();
        let mut deadline = Deadline::default();
        let hour = after(start, Some(Duration::from_secs(3600)));
        let waits = poll_fn(|cx| Poll::Ready(deadline.poll(cx, hour).is_pending())).await;
        assert!(waits, "an hour has not passed");

        let outcome = deadline
            .within(after(start, Some(Duration::from_secs(2))), |_| {
                Poll::<()>::Pending
            })
            .await;

        assert_eq!(outcome, Err(Elapsed));
        assert_eq!(start.elapsed().as_secs(), 2);
    }
}
