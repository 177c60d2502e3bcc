//! A loopback network of a bar's own, claimed for as long as it runs.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context, Result};

/// Host and port that nothing else of a bar uses.
const CLAIM: (u8, u16) = (250, 19_999);

/// Holds the addresses `A.B.C.x`: another bar that wants them is told so before it starts anything. They are fixed
/// because the parts of a mesh must know each other's before they start.
pub struct Network {
    prefix: [u8; 3],
    _claim: TcpListener,
}

impl Network {
    /// Claims a network.
    ///
    /// # Errors
    /// Another run has it.
    pub fn claim(prefix: [u8; 3]) -> Result<Network> {
        let [a, b, c] = prefix;
        let (host, port) = CLAIM;
        let claim = TcpListener::bind((Ipv4Addr::new(a, b, c, host), port)).with_context(|| {
            format!(
                "the addresses {a}.{b}.{c}.x are in use: {a}.{b}.{c}.{host}:{port} is held, most likely by another run of \
                 this bar (`ss -ltnp` names it); wait for its end"
            )
        })?;
        Ok(Network {
            prefix,
            _claim: claim,
        })
    }

    /// One of its addresses.
    pub fn address(&self, last: u8) -> Ipv4Addr {
        let [a, b, c] = self.prefix;
        Ipv4Addr::new(a, b, c, last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_claimed_once_and_free_again_afterwards() {
        let first = Network::claim([127, 0, 49]).unwrap();
        assert_eq!(first.address(7), Ipv4Addr::new(127, 0, 49, 7));
        let refused = Network::claim([127, 0, 49]).err().map(|error| error.to_string());
        assert!(refused.is_some_and(|reason| reason.contains("127.0.49.250:19999")));

        drop(first);
        assert!(Network::claim([127, 0, 49]).is_ok());
    }
}
