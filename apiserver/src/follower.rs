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
    /// The follower took changes more slowly than they were made.
    TooSlow { at: u64, waiting: usize },
}

impl Follower {
    /// Follows changes of a kind after a version.
    pub(crate) fn after(view: Arc<View>, kind: Kind, version: u64) -> Self {
        // Subscribed before the version is read, so that no change falls between.
        let wake = view.subscribe(kind);
        let began = view.version();
        Follower {
            view,
            kind,
            at: version,
            began,
            wake,
        }
    }

    /// The next changes, at most `limit`; none when the follower is up to date.
    pub(crate) fn take(&mut self, limit: usize) -> Result<Vec<Arc<Event>>, Lapse> {
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

    /// Waits until something of the kind changed since the last [`Follower::take`]. May be dropped at any time.
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
