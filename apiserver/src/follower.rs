//! A place in the history of one kind that moves forward: the one way in which changes are followed, by a watch over
//! HTTP and in process alike.

use std::sync::Arc;
use std::time::Duration;

use outrigger_api::kind::Kind;
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use crate::history::{Event, TooOld};
use crate::view::View;

/// Changes that may wait for a follower; one that lags further behind is given up (`spec/reliability.md` P13).
pub(crate) const LAG: usize = 1_000;

/// Follows one kind.
#[derive(Debug)]
pub(crate) struct Follower {
    view: Arc<View>,
    kind: Kind,
    /// Everything up to here was handed out.
    at: u64,
    /// The newest version when following began: what came before is replayed at any pace, and does not count as lag.
    began: u64,
    /// Set when following was to begin at a version that cannot have come from this store.
    ahead: Option<Lapse>,
    wake: watch::Receiver<u64>,
}

/// When a quiet follower says how far it is.
pub(crate) fn bookmarks(every: Duration) -> Interval {
    let mut bookmarks = interval_at(Instant::now() + every, every);
    bookmarks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    bookmarks
}

/// Why following ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lapse {
    /// The history begins later than the place of the follower.
    TooOld { at: u64, horizon: u64 },
    /// The store has not come as far as the place of the follower: it was restored or begun anew since, and what the
    /// follower knows is another history.
    Ahead { at: u64, newest: u64 },
    /// The follower took changes more slowly than they were made.
    TooSlow { at: u64, waiting: usize },
}

impl Follower {
    /// Follows changes of a kind after a version.
    pub(crate) fn after(view: Arc<View>, kind: Kind, version: u64) -> Self {
        // Subscribed before the version is read, so that no change falls between.
        let wake = view.subscribe();
        let began = view.version();
        let ahead = (version > began).then_some(Lapse::Ahead {
            at: version,
            newest: began,
        });
        Follower {
            view,
            kind,
            at: version,
            began,
            ahead,
            wake,
        }
    }

    /// The next changes, at most `limit`; none when the follower is up to date.
    pub(crate) fn take(&mut self, limit: usize) -> Result<Vec<Arc<Event>>, Lapse> {
        if let Some(ahead) = self.ahead {
            return Err(ahead);
        }
        self.check_lag()?;
        self.wake.mark_unchanged();
        let at = self.at;
        let (events, complete_to) = self
            .view
            .changes(self.kind, at, limit)
            .map_err(|TooOld { horizon }| Lapse::TooOld { at, horizon })?;
        self.at = complete_to;
        Ok(events)
    }

    /// Fails once too many changes wait.
    pub(crate) fn check_lag(&self) -> Result<(), Lapse> {
        let waiting = self.view.count_changes(self.kind, self.at.max(self.began));
        if waiting > LAG {
            Err(Lapse::TooSlow { at: self.at, waiting })
        } else {
            Ok(())
        }
    }

    /// Waits until the version moved since the last [`Follower::take`]. May be dropped at any time.
    pub(crate) async fn changed(&mut self) {
        if self.wake.changed().await.is_err() {
            std::future::pending::<()>().await; // the view is gone; so is the server, which ends this task
        }
    }

    /// The version up to which everything was handed out.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::history::Now;
    use crate::object::Stored;
    use crate::testing::gateway;
    use crate::view::Published;

    fn view() -> Arc<View> {
        Arc::new(View::new(BTreeMap::new(), 0, std::iter::empty(), 0))
    }

    /// Makes changes of one gateway, from the version after the present one on.
    fn change(view: &View, times: usize) {
        for _ in 0..times {
            let version = view.version() + 1;
            let now = Now::Present(Arc::new(Stored::new(gateway("default", "g"), version)));
            let events = vec![Arc::new(Event::new(None, now))];
            view.publish(Published {
                events,
                version,
                ..Published::default()
            });
        }
    }

    #[test]
    fn a_follower_that_lags_is_given_up_and_one_that_replays_history_is_not() {
        let view = view();
        change(&view, LAG + 500);

        let mut late = Follower::after(Arc::clone(&view), Kind::Gateway, 0);
        let mut prompt = Follower::after(Arc::clone(&view), Kind::Gateway, view.version());
        change(&view, LAG);
        assert_eq!(
            late.take(10).map(|events| events.len()),
            Ok(10),
            "what was there before is no lag"
        );
        change(&view, 1);

        assert_eq!(
            late.take(10).unwrap_err(),
            Lapse::TooSlow {
                at: 10,
                waiting: LAG + 1
            }
        );
        assert!(prompt.take(10).is_err());
        assert!(
            Follower::after(Arc::clone(&view), Kind::RouteRule, 0)
                .take(10)
                .is_ok(),
            "other kinds do not count"
        );
    }

    #[test]
    fn a_place_that_the_store_has_not_reached_is_refused_also_when_the_store_comes_that_far() {
        let view = view();
        change(&view, 1);
        let mut follower = Follower::after(Arc::clone(&view), Kind::Gateway, 2);
        change(&view, 2);

        assert_eq!(follower.take(10).unwrap_err(), Lapse::Ahead { at: 2, newest: 1 });
        assert!(Follower::after(view, Kind::Gateway, 3).take(10).is_ok());
    }

    #[tokio::test]
    async fn a_change_between_taking_and_waiting_is_not_missed() {
        let view = view();
        let mut follower = Follower::after(Arc::clone(&view), Kind::Gateway, 0);
        assert!(follower.take(10).unwrap().is_empty());

        change(&view, 1);
        follower.changed().await;

        assert_eq!(follower.take(10).unwrap().len(), 1);
        assert_eq!(follower.at(), 1);
    }
}
