//! Free ports on loopback.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use anyhow::{Context, Result};

/// A port of 127.0.0.1 that nobody listens on.
pub(crate) fn free() -> Result<SocketAddr> {
    free_at(Ipv4Addr::LOCALHOST)
}

/// A port of an address that nobody listens on.
pub(crate) fn free_at(address: Ipv4Addr) -> Result<SocketAddr> {
    TcpListener::bind((address, 0))
        .and_then(|listener| listener.local_addr())
        .with_context(|| format!("there is no free port on {address}"))
}
