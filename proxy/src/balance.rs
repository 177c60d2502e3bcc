//! Balancing: which endpoint of a cluster serves a request.

use std::sync::Arc;

use crate::table::{Cluster, Endpoint, EndpointSet, Policy};

/// A worker's own state for choosing endpoints; nothing in it is shared.
#[derive(Debug)]
pub struct Balancer {
    draw: fastrand::Rng,
    /// Position of the wheel of each cluster, by slot.
    positions: Vec<u32>,
}

impl Balancer {
    /// A balancer that draws from `draw`; workers use different seeds so that they do not walk in step.
    pub fn new(draw: fastrand::Rng) -> Balancer {
        Balancer {
            draw,
            positions: Vec::new(),
        }
    }

    /// The endpoint for the next request to `cluster`; `None` when it has none that may be used: 503 with the flag
    /// `UH`. Allocates only when the table has grown.
    pub fn pick<'c>(&mut self, cluster: &'c Cluster) -> Option<&'c Arc<Endpoint>> {
        let set = &*cluster.endpoints;
        match set.total() {
            0 => None,
            1 => set.at(0),
            total => match cluster.info.policy {
                Policy::RoundRobin => set.at(self.turn(cluster.id.index(), set)),
                Policy::Random => set.at(self.draw.u32(..total)),
                Policy::LeastRequest => self.least(set),
            },
        }
    }

    /// The random source, for a caller that needs a draw on the same worker.
    pub fn draw(&mut self) -> &mut fastrand::Rng {
        &mut self.draw
    }

    /// Where the wheel stands now; moves it on.
    fn turn(&mut self, slot: usize, set: &EndpointSet) -> u32 {
        while self.positions.len() <= slot {
            let start = self.draw.u32(..);
            self.positions.push(start);
        }
        let Some(position) = self.positions.get_mut(slot) else {
            return 0;
        };
        let point = *position % set.total();
        *position = (point + set.stride()) % set.total();
        point
    }

    /// The less loaded of two different endpoints.
    fn least<'c>(&mut self, set: &'c EndpointSet) -> Option<&'c Arc<Endpoint>> {
        let total = set.total();
        let first_point = self.draw.u32(..total);
        let first = set.at(first_point)?;
        let mut second = set.at((first_point + 1 + self.draw.u32(..total - 1)) % total)?;
        if Arc::ptr_eq(first, second) {
            second = set.at(self.draw.u32(..total))?;
        }
        Some(if second.active() < first.active() {
            second
        } else {
            first
        })
    }
}
