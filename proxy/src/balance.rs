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

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::table::{ClusterInfo, Health, Member, Names};

    fn cluster(policy: Policy, weights: &[u32]) -> Cluster {
        let member = |(weight, port): (&u32, u16)| {
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            Member {
                endpoint: Arc::new(Endpoint::new(address, false, None)),
                weight: *weight,
                health: Health::Healthy,
            }
        };
        let members = weights.iter().zip(1..).map(member).collect();
        let info = ClusterInfo {
            policy,
            ..ClusterInfo::new("c", 1)
        };
        let endpoints = Arc::new(EndpointSet::new(members, EndpointSet::PANIC_THRESHOLD));
        Cluster {
            id: Names::default().slot("c"),
            info: Arc::new(info),
            endpoints,
        }
    }

    fn counts(cluster: &Cluster, picks: usize) -> Vec<usize> {
        let mut balancer = Balancer::new(fastrand::Rng::with_seed(3));
        let mut counts = vec![0; cluster.endpoints.members().len()];
        for _ in 0..picks {
            let endpoint = balancer.pick(cluster).expect("an endpoint");
            counts[usize::from(endpoint.address.port()) - 1] += 1;
        }
        counts
    }

    #[test]
    fn round_robin_is_exact_over_whole_turns() {
        assert_eq!(
            counts(&cluster(Policy::RoundRobin, &[1, 1, 1]), 300),
            [100, 100, 100]
        );
        assert_eq!(counts(&cluster(Policy::RoundRobin, &[90, 10]), 1000), [900, 100]);
        assert_eq!(counts(&cluster(Policy::RoundRobin, &[5]), 10), [10]);
    }

    #[test]
    fn round_robin_spreads_heavy_endpoints_over_the_turn() {
        let cluster = cluster(Policy::RoundRobin, &[50, 50, 1]);
        let mut balancer = Balancer::new(fastrand::Rng::with_seed(3));
        let picks: Vec<u16> = (0..101)
            .filter_map(|_| balancer.pick(&cluster))
            .map(|e| e.address.port())
            .collect();
        let longest = picks.chunk_by(|a, b| a == b).map(<[u16]>::len).max();
        assert!(longest <= Some(3), "{picks:?}");
    }

    #[test]
    fn random_follows_the_weights() {
        let counts = counts(&cluster(Policy::Random, &[3, 1]), 40_000);
        assert!(counts[0].abs_diff(30_000) < 350, "{counts:?}");
    }

    #[test]
    fn least_request_prefers_the_idle() {
        let cluster = cluster(Policy::LeastRequest, &[1, 1]);
        let busy = &cluster.endpoints.members()[0].endpoint;
        let guards: Vec<_> = (0..5).map(|_| busy.enter()).collect();
        assert_eq!(counts(&cluster, 100), [0, 100]);
        drop(guards);
        let even = counts(&cluster, 1000);
        assert!(even[0] > 400 && even[1] > 400, "{even:?}");
    }

    #[test]
    fn an_empty_cluster_has_nobody() {
        let mut balancer = Balancer::new(fastrand::Rng::with_seed(3));
        for policy in [Policy::RoundRobin, Policy::Random, Policy::LeastRequest] {
            assert!(balancer.pick(&cluster(policy, &[])).is_none());
        }
    }
}
