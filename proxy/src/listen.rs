//! Listening sockets: one for each address of the table, owned by the control thread, accepted on elsewhere.
//!
//! `SO_REUSEPORT` is never set: with it two proxies could share a port without knowing, and closing one of several
//! sockets resets the connections that wait in its queue.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use socket2::{Domain, Protocol, Socket, Type};

use crate::accept::Acceptors;
use crate::control::{BindError, Ports};

/// Connections that may wait to be accepted; the kernel lowers it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Opens a listening socket on `address`; port 0 lets the kernel choose.
///
/// # Errors
/// [`BindError`], which names the owner of a busy port.
pub fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    try_bind(address).map_err(|source| BindError::new(address, source))
}

fn try_bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// The listening sockets of the process, driven by the control thread. Dropping it stops accepting everywhere.
#[derive(Debug)]
pub struct Sockets {
    bound: BTreeMap<SocketAddr, Bound>,
    acceptors: Acceptors,
}

#[derive(Debug)]
struct Bound {
    socket: Arc<TcpListener>,
    accepting: bool,
}

impl Sockets {
    /// No sockets yet; `acceptors` accept on those to come.
    pub(crate) fn new(acceptors: Acceptors) -> Sockets {
        Sockets {
            bound: BTreeMap::new(),
            acceptors,
        }
    }

    /// Takes over sockets that are bound already, each known by its own address, as a test does.
    ///
    /// # Errors
    /// The kernel's, when a socket has no address.
    pub fn adopt(&mut self, sockets: Vec<TcpListener>) -> io::Result<()> {
        for socket in sockets {
            socket.set_nonblocking(true)?;
            let bound = Bound {
                socket: Arc::new(socket),
                accepting: false,
            };
            self.bound.insert(bound.socket.local_addr()?, bound);
        }
        Ok(())
    }
}

impl Drop for Sockets {
    fn drop(&mut self) {
        for address in std::mem::take(&mut self.bound).into_keys() {
            self.acceptors.stop(address);
        }
    }
}

impl Ports for Sockets {
    fn bind(&mut self, address: SocketAddr) -> Result<(), BindError> {
        if let Entry::Vacant(place) = self.bound.entry(address) {
            let socket = Arc::new(bind(address)?);
            place.insert(Bound {
                socket,
                accepting: false,
            });
        }
        Ok(())
    }

    fn open(&mut self, address: SocketAddr) {
        if let Some(bound) = self.bound.get_mut(&address)
            && !bound.accepting
        {
            bound.accepting = true;
            self.acceptors.start(address, Arc::clone(&bound.socket));
        }
    }

    fn close(&mut self, address: SocketAddr) {
        if self.bound.remove(&address).is_some_and(|bound| bound.accepting) {
            self.acceptors.stop(address);
        }
    }
}
