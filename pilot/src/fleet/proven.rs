//! Where one connected sidecar is proven to take HTTP, so that its peers may speak HTTP/2 to it. Pure.
//!
//! What a proxy says of itself is no proof: its port may turn out to be TCP, or be held by somebody else. The proof is
//! that pilot made an HTTP listener for the place and that the proxy runs it.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use outrigger_xds::TypeUrl;
use outrigger_xds::server::Observed;

use super::progress::Progress;
use crate::compile::own::Own;

/// The addresses of one proxy's listeners that are proven.
#[derive(Debug, Default)]
pub(super) struct Proven {
    addresses: BTreeSet<SocketAddr>,
}

impl Proven {
    /// The addresses.
    pub(super) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.addresses.iter().copied()
    }

    /// Takes in what the stream reports of a proxy that should have `own`. True when that proves more or less than
    /// before.
    pub(super) fn observe(&mut self, event: &Observed, own: &Own, progress: &Progress) -> bool {
        let listeners = own.http_inbound.iter();
        let addresses: BTreeSet<SocketAddr> = match event {
            Observed::Settled { .. } if progress.generation.is_some() => {
                let refused = progress.stream.kind(TypeUrl::Listener).refused;
                let running = listeners.filter(|(name, _)| !refused.contains_key(name.as_str()));
                running.map(|(_, address)| *address).collect()
            }
            Observed::Nacked { push, refused, .. } if push.kind == TypeUrl::Listener => {
                let known = listeners.filter(|(_, address)| self.addresses.contains(address));
                let running = known.filter(|(name, _)| !refused.iter().any(|refused| **refused == **name));
                running.map(|(_, address)| *address).collect()
            }
            _ => return false,
        };
        self.replace(addresses)
    }

    /// What is no HTTP listener any more in `own`, which is offered from now on, is proven no more. True when that is
    /// anything.
    pub(super) fn hold_to(&mut self, own: &Own) -> bool {
        let still: BTreeSet<SocketAddr> = own.http_inbound.values().copied().collect();
        self.replace(self.addresses.intersection(&still).copied().collect())
    }

    fn replace(&mut self, addresses: BTreeSet<SocketAddr>) -> bool {
        let differs = self.addresses != addresses;
        self.addresses = addresses;
        differs
    }
}
