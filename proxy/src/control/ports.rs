//! What the control thread asks of the workers: sockets on addresses.

mod owner;

use std::fmt;
use std::io;
use std::net::SocketAddr;

/// Listening sockets, by address. The control thread calls it in this order, so that no connection is accepted for a
/// listener which the table in force does not have: `bind`, swap the table, `open`; at the end of a listener's life
/// swap, then `close`.
pub trait Ports: Send {
    /// Binds `address` and lets the kernel queue connections; nobody accepts yet. Binding an address that is bound
    /// already does nothing.
    fn bind(&mut self, address: SocketAddr) -> Result<(), BindError>;

    /// Lets the workers accept on a bound address; each looks up the listener in the newest table for every connection.
    /// Opening an open address does nothing.
    fn open(&mut self, address: SocketAddr);

    /// Stops accepting on `address`, closes its socket and drains its connections.
    fn close(&mut self, address: SocketAddr);
}

/// An address that cannot be bound, and who has it.
#[derive(Debug)]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// Who listens there, as `nginx (pid 4711)`, when that can be found out.
    pub owner: Option<String>,
    /// What the system said.
    pub source: io::Error,
}

impl BindError {
    /// The error for `address`; for a busy address the owner is looked up.
    pub fn new(address: SocketAddr, source: io::Error) -> BindError {
        let busy = source.kind() == io::ErrorKind::AddrInUse;
        BindError {
            address,
            owner: busy.then(|| owner::of(address)).flatten(),
            source,
        }
    }

    /// The sentence, with `remedy` as the next step when somebody else is known to hold the address.
    pub fn told(&self, remedy: &str) -> String {
        let what = format!("cannot listen on {}: {}", self.address, self.source);
        match &self.owner {
            Some(owner) => format!("{what}; it is held by {owner}: {remedy}"),
            None => what,
        }
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told("stop it or use another port"))
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_port_names_its_owner() {
        let first = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = first.local_addr().expect("an address");
        let busy = std::net::TcpListener::bind(address).expect_err("the port is taken");
        let error = BindError::new(address, busy);
        let pid = format!("(pid {})", std::process::id());
        assert!(error.to_string().contains(&pid), "{error}");
    }
}
