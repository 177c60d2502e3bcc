//! An address of its own for every service, out of 127.128.0.0/9: stable, whatever else comes and goes.
//!
//! A host's preferred slot is a hash of its name, so that two control planes that never met agree on nearly
//! all addresses; a taken slot is passed over for the next. What was assigned once is never changed here:
//! keeping assignments across restarts is the caller's, who stores them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use outrigger_api::model::VIRTUAL_ADDRESSES;

/// Addresses that end in 0 or 255 are left out: some tools take them for a network or a broadcast.
const LAST_OCTETS: u32 = 254;

/// How many addresses there are to give: 2^15 blocks of 254.
pub const CAPACITY: u32 = (1 << (24 - VIRTUAL_ADDRESSES.1 as u32)) * LAST_OCTETS;

/// Assigns an address to every host that has none yet and returns all assignments, old and new.
///
/// `existing` comes back unchanged, also for hosts that are not listed any more: an address is not given to
/// somebody else while a connection may still know it. Hosts are served in sorted order, so that the result
/// does not depend on the order in which they were named. A host for which no address is left gets none.
pub fn allot<'a>(
    existing: &BTreeMap<String, Ipv4Addr>,
    hosts: impl IntoIterator<Item = &'a str>,
) -> BTreeMap<String, Ipv4Addr> {
    let mut assigned = existing.clone();
    let mut taken: BTreeSet<Ipv4Addr> = existing.values().copied().collect();
    let wanted: BTreeSet<&str> = hosts.into_iter().collect();
    for host in wanted {
        if assigned.contains_key(host) {
            continue;
        }
        if let Some(address) = free_address(host, &taken) {
            taken.insert(address);
            assigned.insert(host.to_owned(), address);
        }
    }
    assigned
}

fn free_address(host: &str, taken: &BTreeSet<Ipv4Addr>) -> Option<Ipv4Addr> {
    let preferred = (hash(host) % u64::from(CAPACITY)) as u32;
    (0..CAPACITY)
        .map(|step| address((preferred + step) % CAPACITY))
        .find(|address| !taken.contains(address))
}

/// The address of a slot, `0..CAPACITY`.
fn address(slot: u32) -> Ipv4Addr {
    let block = slot / LAST_OCTETS;
    let last = slot % LAST_OCTETS + 1;
    Ipv4Addr::from(u32::from(VIRTUAL_ADDRESSES.0) + (block << 8) + last)
}

/// FNV-1a with a final mix; it must never change, or addresses of a new store differ from an old one's.
fn hash(text: &str) -> u64 {
    let mut state: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in text.bytes() {
        state = (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    state ^= state >> 32;
    state = state.wrapping_mul(0xd6e8_feb8_6659_fd93);
    state ^ (state >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::{btree_map, btree_set};
    use proptest::prelude::*;

    fn good(address: &Ipv4Addr) -> bool {
        let [first, second, _, last] = address.octets();
        first == 127 && second >= 128 && last != 0 && last != 255
    }

    #[test]
    fn first_and_last_slot_are_the_ends_of_the_range() {
        assert_eq!(address(0), Ipv4Addr::new(127, 128, 0, 1));
        assert_eq!(address(253), Ipv4Addr::new(127, 128, 0, 254));
        assert_eq!(address(254), Ipv4Addr::new(127, 128, 1, 1));
        assert_eq!(address(CAPACITY - 1), Ipv4Addr::new(127, 255, 255, 254));
    }

    #[test]
    fn a_fresh_store_gives_the_same_address_on_every_machine() {
        let assigned = allot(
            &BTreeMap::new(),
            ["reviews.service.consul", "ratings.service.consul"],
        );

        // The hash is part of what stores hold; these values are its witness.
        let seen: Vec<String> = assigned
            .iter()
            .map(|(host, address)| format!("{host} {address}"))
            .collect();
        assert_eq!(
            seen,
            [
                "ratings.service.consul 127.176.124.3",
                "reviews.service.consul 127.245.236.117"
            ]
        );
    }

    #[test]
    fn a_taken_slot_is_passed_over() {
        let alone = allot(&BTreeMap::new(), ["reviews"]);
        let squatter = BTreeMap::from([("squatter".to_owned(), alone["reviews"])]);

        let both = allot(&squatter, ["reviews"]);

        assert_eq!(both["squatter"], alone["reviews"]);
        assert_ne!(both["reviews"], alone["reviews"]);
        assert!(good(&both["reviews"]));
    }

    proptest! {
        #[test]
        fn assignments_are_unique_in_range_and_never_change(
            first in btree_set("[a-z]{1,8}(\\.[a-z]{1,8}){0,2}", 0..60),
            second in btree_set("[a-z]{1,8}(\\.[a-z]{1,8}){0,2}", 0..60),
        ) {
            let before = allot(&BTreeMap::new(), first.iter().map(String::as_str));
            let after = allot(&before, second.iter().map(String::as_str));

            prop_assert!(before.iter().all(|(host, address)| after.get(host) == Some(address)));
            prop_assert!(first.union(&second).all(|host| after.contains_key(host)));
            prop_assert!(after.values().all(good));
            let unique: BTreeSet<_> = after.values().collect();
            prop_assert_eq!(unique.len(), after.len());
        }

        #[test]
        fn whatever_is_stored_already_stays(
            stored in btree_map("[a-z]{1,6}", any::<u32>().prop_map(Ipv4Addr::from), 0..30),
            hosts in proptest::collection::vec("[a-z]{1,6}", 0..30),
        ) {
            let after = allot(&stored, hosts.iter().map(String::as_str));

            prop_assert!(stored.iter().all(|(host, address)| after.get(host) == Some(address)));
        }

        #[test]
        fn order_and_repetition_of_hosts_do_not_matter(hosts in proptest::collection::vec("[a-z]{1,4}", 0..40)) {
            let mut shuffled = hosts.clone();
            shuffled.reverse();
            shuffled.extend(hosts.iter().cloned());

            prop_assert_eq!(
                allot(&BTreeMap::new(), hosts.iter().map(String::as_str)),
                allot(&BTreeMap::new(), shuffled.iter().map(String::as_str))
            );
        }
    }
}
