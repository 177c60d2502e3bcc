//! Opening a connection to an endpoint, counted and bounded.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::table::{ClusterInfo, Endpoint};
use crate::worker::Worker;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// The cluster has as many connections as it may.
    #[error("all of its {limit} connections are in use")]
    Overflow {
        /// The cluster's limit.
        limit: u32,
    },
    /// Nothing answered in time.
    #[error("no answer within {} ms", .after.as_millis())]
    Timeout {
        /// The cluster's connect timeout.
        after: std::time::Duration,
    },
    /// The kernel or the other host said no.
    #[error("{0}")]
    Failed(io::Error),
}

/// A connection's place in the counts of its cluster; given up when dropped.
#[derive(Debug)]
pub(crate) struct Berth {
    info: Arc<ClusterInfo>,
    worker: usize,
}

impl Berth {
    /// A place for one more connection, if the cluster may have it.
    pub(crate) fn take(info: &Arc<ClusterInfo>, worker: usize) -> Result<Berth, ConnectError> {
        let shard = info.stats.shard(worker);
        let limit = info.limits.connections;
        if info.load.connections.fetch_add(1, Ordering::Relaxed) >= limit {
            info.load.connections.fetch_sub(1, Ordering::Relaxed);
            shard.upstream_cx_overflow.inc();
            return Err(ConnectError::Overflow { limit });
        }
        shard.upstream_cx_active.inc();
        shard.upstream_cx_total.inc();
        Ok(Berth {
            info: Arc::clone(info),
            worker,
        })
    }

    /// The worker that counts it.
    pub(crate) fn worker(&self) -> usize {
        self.worker
    }

    /// The cluster.
    pub(crate) fn info(&self) -> &Arc<ClusterInfo> {
        &self.info
    }
}

impl Drop for Berth {
    fn drop(&mut self) {
        self.info.load.connections.fetch_sub(1, Ordering::Relaxed);
        let shard = self.info.stats.shard(self.worker);
        shard.upstream_cx_active.dec();
        shard.upstream_cx_destroy.inc();
    }
}

/// Connects to `endpoint` within the cluster's time.
pub(crate) async fn connect(
    worker: &Worker,
    info: &Arc<ClusterInfo>,
    endpoint: &Endpoint,
) -> Result<(TcpStream, Berth), ConnectError> {
    let berth = Berth::take(info, worker.index)?;
    let shard = info.stats.shard(worker.index);
    let start = Instant::now();
    let connected = timeout(info.connect_timeout, TcpStream::connect(endpoint.address)).await;
    match connected {
        Ok(Ok(stream)) => {
            shard.upstream_cx_connect_ms.record(start.elapsed());
            // Without it small messages wait for acknowledgements; a socket that refuses it works all the same.
            let _ = stream.set_nodelay(true);
            Ok((stream, berth))
        }
        Ok(Err(error)) => {
            shard.upstream_cx_connect_fail.inc();
            Err(ConnectError::Failed(error))
        }
        Err(_) => {
            shard.upstream_cx_connect_fail.inc();
            shard.upstream_cx_connect_timeout.inc();
            Err(ConnectError::Timeout {
                after: info.connect_timeout,
            })
        }
    }
}
