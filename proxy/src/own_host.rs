//! Who calls from the workload's own host: its application, its operator, and nobody of the network.

use std::net::IpAddr;

/// True when `peer` is on the host that a connection came in on: by loopback, or by the connection's own address, which
/// is asked for only where it matters. What Envoy calls `SAME_IP_OR_LOOPBACK`.
pub(crate) fn calls_from_here(peer: IpAddr, own: impl FnOnce() -> Option<IpAddr>) -> bool {
    let peer = peer.to_canonical();
    peer.is_loopback() || own().is_some_and(|own| own.to_canonical() == peer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_and_the_connections_own_address_are_here_and_any_other_is_not() {
        let ip = |text: &str| -> IpAddr { text.parse().expect("an address") };
        let own = || Some(ip("10.0.0.7"));

        for here in [
            "127.0.0.1",
            "127.9.0.1",
            "::1",
            "::ffff:127.0.0.1",
            "10.0.0.7",
            "::ffff:10.0.0.7",
        ] {
            assert!(calls_from_here(ip(here), own), "{here}");
        }
        for elsewhere in ["10.0.0.8", "fe80::1", "192.168.0.1"] {
            assert!(!calls_from_here(ip(elsewhere), own), "{elsewhere}");
        }
        assert!(!calls_from_here(ip("10.0.0.7"), || None));
    }
}
