//! Waiting for a connection, when a cluster has as many as it may.

use std::cell::Cell;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;

use crate::table::ClusterInfo;

/// How long to wait before looking again: connections that another worker gives up are not told of.
const LOOK: Duration = Duration::from_millis(20);

/// Those of a worker that wait.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    count: Cell<usize>,
    freed: Notify,
}

impl Waiting {
    /// A place among those that wait for a connection to the cluster; `None` when there are as many as may be.
    pub(crate) fn enter<'w>(&'w self, info: &'w ClusterInfo) -> Option<Place<'w>> {
        if info.load.pending.fetch_add(1, Ordering::Relaxed) >= info.limits.pending {
            info.load.pending.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        self.count.set(self.count.get() + 1);
        Some(Place { waiting: self, info })
    }

    /// A connection is idle or gone: the one that has waited longest may look.
    pub(crate) fn freed(&self) {
        if self.count.get() > 0 {
            self.freed.notify_one();
        }
    }

    /// True when an idle connection to the cluster would be missed by another worker and by nobody here.
    pub(crate) fn others_lack(&self, info: &ClusterInfo) -> bool {
        self.count.get() == 0 && info.load.pending.load(Ordering::Relaxed) > 0
    }
}

/// One that waits; given up when dropped.
#[derive(Debug)]
pub(crate) struct Place<'w> {
    waiting: &'w Waiting,
    info: &'w ClusterInfo,
}

impl Place<'_> {
    /// Ends when it is worth looking again.
    pub(crate) async fn look_again(&self) {
        // Either way it is time to look.
        let _ = timeout(LOOK, self.waiting.freed.notified()).await;
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.waiting.count.set(self.waiting.count.get() - 1);
        self.info.load.pending.fetch_sub(1, Ordering::Relaxed);
    }
}
