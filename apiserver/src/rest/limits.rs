//! How much may be in flight at once; what is beyond gets 429 instead of slowing the rest down
//! (`spec/reliability.md` §3).

use std::sync::Arc;

use outrigger_client::status::Status;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::refusal;

/// Connections of the surface.
const CONNECTIONS: usize = 4_000;
/// Reads in flight.
const READS: usize = 400;
/// Writes in flight.
const WRITES: usize = 200;
/// Watches open.
const WATCHERS: usize = 1_000;
/// Request bodies held at once, in KiB: a fifth of the writes at their largest.
const BODIES_KIB: u32 = 128 << 10;

/// Places in each class. Health checks need none, and watches do not compete with reads.
#[derive(Debug)]
pub(super) struct Limits {
    connections: Arc<Semaphore>,
    reads: Arc<Semaphore>,
    writes: Arc<Semaphore>,
    watchers: Arc<Semaphore>,
    bodies: Arc<Semaphore>,
}

impl Default for Limits {
    fn default() -> Self {
        let places = |count| Arc::new(Semaphore::new(count));
        Limits {
            connections: places(CONNECTIONS),
            reads: places(READS),
            writes: places(WRITES),
            watchers: places(WATCHERS),
            bodies: places(BODIES_KIB as usize),
        }
    }
}

impl Limits {
    pub(super) fn connection(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.connections).try_acquire_owned().ok()
    }

    pub(super) fn read(&self) -> Result<OwnedSemaphorePermit, Status> {
        place(&self.reads, 1, "reads")
    }

    pub(super) fn write(&self) -> Result<OwnedSemaphorePermit, Status> {
        place(&self.writes, 1, "writes")
    }

    pub(super) fn watcher(&self) -> Result<OwnedSemaphorePermit, Status> {
        place(&self.watchers, 1, "watches")
    }

    /// Room for that many more bytes of a request's body.
    pub(super) fn body(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Status> {
        place(
            &self.bodies,
            u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX),
            "bytes of request bodies",
        )
    }
}

fn place(places: &Arc<Semaphore>, count: u32, what: &str) -> Result<OwnedSemaphorePermit, Status> {
    Arc::clone(places)
        .try_acquire_many_owned(count)
        .map_err(|_| refusal::too_many(what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beyond_the_limit_is_refused_until_a_place_is_free() {
        let limits = Limits::default();
        let mut places: Vec<_> = (0..WRITES).map(|_| limits.write().unwrap()).collect();

        let refused = limits.write().unwrap_err();
        places.pop();

        assert_eq!((refused.code, refused.details.retry_after_seconds), (429, 1));
        assert!(limits.write().is_ok());
        assert!(limits.read().is_ok() && limits.watcher().is_ok() && limits.connection().is_some());
    }
}
