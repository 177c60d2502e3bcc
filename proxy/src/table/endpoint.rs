//! Endpoints of a cluster, and the wheel that makes choosing among them by weight cheap.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Identity of an endpoint within the process: stays while the same cluster keeps the same address spoken to in the
/// same way, and is never used again. Upstream pools are keyed by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointKey(u64);

/// One place that serves a cluster.
#[derive(Debug)]
pub struct Endpoint {
    /// Where it listens.
    pub address: SocketAddr,
    /// True when pilot has proof that a sidecar listens there: HTTP/2 whatever the application speaks.
    pub mesh_h2: bool,
    /// Its identity.
    pub key: EndpointKey,
    /// Requests in flight over all workers; survives updates as long as the address does.
    active: Arc<AtomicU32>,
}

impl Endpoint {
    /// A new endpoint; takes over the load count of `previous`, the endpoint at the same address before.
    pub fn new(address: SocketAddr, mesh_h2: bool, previous: Option<&Endpoint>) -> Endpoint {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Endpoint {
            address,
            mesh_h2,
            key: EndpointKey(NEXT.fetch_add(1, Ordering::Relaxed)),
            active: previous
                .map(|endpoint| Arc::clone(&endpoint.active))
                .unwrap_or_default(),
        }
    }

    /// Requests in flight to it.
    pub fn active(&self) -> u32 {
        self.active.load(Ordering::Relaxed)
    }

    /// Counts a request in flight until the guard is dropped.
    pub fn enter(&self) -> InFlight {
        self.active.fetch_add(1, Ordering::Relaxed);
        InFlight {
            active: Arc::clone(&self.active),
        }
    }
}

/// A request in flight to an endpoint.
#[derive(Debug)]
pub struct InFlight {
    active: Arc<AtomicU32>,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.active.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether an endpoint may be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It may.
    Healthy,
    /// Only in panic, when too few others are healthy.
    Unhealthy,
}

/// An endpoint's part in its cluster.
#[derive(Clone, Debug)]
pub struct Member {
    /// The endpoint.
    pub endpoint: Arc<Endpoint>,
    /// Its share of the requests, at least 1. Default 1.
    pub weight: u32,
    /// As pilot says.
    pub health: Health,
}

/// The endpoints of a cluster at one moment.
#[derive(Debug, Default)]
pub struct EndpointSet {
    members: Box<[Member]>,
    /// Positions in `members` that may be chosen.
    usable: Box<[u32]>,
    /// Running sums of the usable members' weights; empty when all are equal.
    cumulative: Box<[u32]>,
    total: u32,
    stride: u32,
    panic: bool,
}

impl EndpointSet {
    /// Below this percentage of healthy endpoints health is ignored (`spec/reliability.md` P24).
    pub const PANIC_THRESHOLD: u32 = 50;

    /// The set of these members; `panic_threshold` in percent, 0 = never ignore health.
    pub fn new(members: Vec<Member>, panic_threshold: u32) -> EndpointSet {
        let healthy = members
            .iter()
            .filter(|member| member.health == Health::Healthy)
            .count();
        let panic =
            healthy < members.len() && (healthy as u64) * 100 < members.len() as u64 * panic_threshold as u64;
        let usable: Box<[u32]> = members
            .iter()
            .zip(0u32..)
            .filter(|(member, _)| panic || member.health == Health::Healthy)
            .map(|(_, position)| position)
            .collect();
        let weights = reduced_weights(&members, &usable);
        let even = weights.iter().all(|weight| *weight == 1);
        let total = weights.iter().sum();
        let cumulative = if even {
            Box::default()
        } else {
            weights
                .iter()
                .scan(0, |sum, weight| {
                    *sum += weight;
                    Some(*sum)
                })
                .collect()
        };
        let stride = if even { 1 } else { golden_stride(total) };
        EndpointSet {
            members: members.into(),
            usable,
            cumulative,
            total,
            stride,
            panic,
        }
    }

    /// Every member, healthy or not.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// True when health is being ignored because too few are healthy.
    pub fn in_panic(&self) -> bool {
        self.panic
    }

    /// How many may be chosen.
    pub fn usable(&self) -> usize {
        self.usable.len()
    }

    /// The sum of the usable members' weights, divided by their greatest common divisor; 0 when there is none.
    pub fn total(&self) -> u32 {
        self.total
    }

    /// What to advance a position by so that one whole turn of `total` steps visits each member exactly as often as
    /// its weight says, with heavy members spread over the turn.
    pub fn stride(&self) -> u32 {
        self.stride
    }

    /// The endpoint that owns `point`, which is below [`total`](EndpointSet::total).
    pub fn at(&self, point: u32) -> Option<&Arc<Endpoint>> {
        let slot = if self.cumulative.is_empty() {
            point as usize
        } else {
            self.cumulative.partition_point(|sum| *sum <= point)
        };
        let position = *self.usable.get(slot)?;
        self.members.get(position as usize).map(|member| &member.endpoint)
    }

    /// True when an endpoint of this identity is a member.
    pub fn contains(&self, key: EndpointKey) -> bool {
        self.members.iter().any(|member| member.endpoint.key == key)
    }

    /// The member at this address.
    pub fn find(&self, address: SocketAddr) -> Option<&Member> {
        self.members
            .iter()
            .find(|member| member.endpoint.address == address)
    }
}

/// Weights of the usable members divided by their greatest common divisor, and scaled down when their sum would not
/// fit into 31 bits.
fn reduced_weights(members: &[Member], usable: &[u32]) -> Vec<u32> {
    let of = |position: &u32| {
        members
            .get(*position as usize)
            .map_or(1, |member| member.weight.max(1))
    };
    let divisor = usable.iter().map(of).fold(0, gcd).max(1);
    let sum: u64 = usable
        .iter()
        .map(|position| u64::from(of(position) / divisor))
        .sum();
    let scale = (sum >> 30) as u32 + 1;
    usable
        .iter()
        .map(|position| (of(position) / divisor / scale).max(1))
        .collect()
}

/// A step near the golden section of `total` that shares no factor with it.
fn golden_stride(total: u32) -> u32 {
    let start = ((f64::from(total) * 0.618_033_988_749_895) as u32).max(1);
    (start..=total).find(|step| gcd(*step, total) == 1).unwrap_or(1)
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(port: u16, weight: u32, health: Health) -> Member {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        Member {
            endpoint: Arc::new(Endpoint::new(address, false, None)),
            weight,
            health,
        }
    }

    #[test]
    fn one_turn_visits_each_member_exactly_as_often_as_its_weight() {
        for weights in [
            vec![1, 1, 1],
            vec![90, 10],
            vec![3, 5, 7, 1],
            vec![1, 1000],
            vec![128],
        ] {
            let members = weights
                .iter()
                .zip(1..)
                .map(|(w, port)| member(port, *w, Health::Healthy))
                .collect();
            let set = EndpointSet::new(members, 50);
            let mut seen = vec![0u32; weights.len()];
            let mut point = 0;
            for _ in 0..set.total() {
                let endpoint = set.at(point).expect("below the total");
                seen[usize::from(endpoint.address.port()) - 1] += 1;
                point = (point + set.stride()) % set.total();
            }
            let divisor = weights.iter().copied().fold(0, gcd);
            let expected: Vec<u32> = weights.iter().map(|w| w / divisor).collect();
            assert_eq!(seen, expected, "{weights:?}");
        }
    }

    #[test]
    fn unhealthy_members_are_left_out_until_too_few_are_healthy() {
        let mixed = |sick: usize, threshold| {
            let members = (0..4)
                .map(|n| {
                    member(
                        n + 1,
                        1,
                        if (n as usize) < sick {
                            Health::Unhealthy
                        } else {
                            Health::Healthy
                        },
                    )
                })
                .collect();
            EndpointSet::new(members, threshold)
        };
        assert_eq!(mixed(1, 50).usable(), 3);
        assert_eq!(mixed(2, 50).usable(), 2);
        assert!(!mixed(2, 50).in_panic());
        assert_eq!(mixed(3, 50).usable(), 4);
        assert!(mixed(3, 50).in_panic());
        assert_eq!(mixed(4, 0).usable(), 0);
        assert_eq!(EndpointSet::new(Vec::new(), 50).usable(), 0);
        assert!(EndpointSet::default().at(0).is_none());
    }

    #[test]
    fn enormous_weights_do_not_overflow() {
        let members = (1..=9)
            .map(|n| member(n, u32::MAX - u32::from(n), Health::Healthy))
            .collect();
        let set = EndpointSet::new(members, 50);
        assert!(set.total() > 0 && set.at(set.total() - 1).is_some());
    }

    #[test]
    fn a_guard_counts_a_request_until_it_is_dropped_and_the_count_outlives_an_update() {
        let old = Endpoint::new(SocketAddr::from(([127, 0, 0, 1], 1)), false, None);
        let guard = old.enter();
        let new = Endpoint::new(old.address, true, Some(&old));
        assert_ne!(new.key, old.key);
        assert_eq!(new.active(), 1);
        drop(guard);
        assert_eq!(new.active(), 0);
    }
}
