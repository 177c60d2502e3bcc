//! Requests in flight to a cluster, counted against its limit.

use std::sync::atomic::Ordering;

use crate::stats::ClusterShard;
use crate::table::ClusterInfo;

/// A request in flight; it ends when dropped.
#[derive(Debug)]
pub(crate) struct InFlight<'t> {
    info: &'t ClusterInfo,
    shard: &'t ClusterShard,
}

impl<'t> InFlight<'t> {
    /// One more request; `None` when the cluster has as many as it may.
    pub(crate) fn enter(info: &'t ClusterInfo, shard: &'t ClusterShard) -> Option<InFlight<'t>> {
        let requests = &info.load.requests;
        if requests.fetch_add(1, Ordering::Relaxed) >= info.limits.requests {
            requests.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        shard.upstream_rq_active.inc();
        Some(InFlight { info, shard })
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.info.load.requests.fetch_sub(1, Ordering::Relaxed);
        self.shard.upstream_rq_active.dec();
    }
}
