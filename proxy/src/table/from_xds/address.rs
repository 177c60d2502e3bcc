//! Socket addresses in xDS.

use std::net::{IpAddr, SocketAddr};

use outrigger_xds::pb::envoy::config::core::v3::socket_address::{PortSpecifier, Protocol};
use outrigger_xds::pb::envoy::config::core::v3::{Address, address};

use super::at::{At, refuse};
use crate::table::TableError;

/// Host (address or name) and port of a TCP socket address.
pub(super) fn host_and_port<'m>(
    at: &At<'_>,
    message: Option<&'m Address>,
) -> Result<(&'m str, u16), TableError> {
    let Some(address::Address::SocketAddress(socket)) = message.and_then(|message| message.address.as_ref())
    else {
        return Err(at.error("a socket_address is expected: nothing else is supported"));
    };
    let at = at.at("socket_address");
    refuse!(at, socket, resolver_name, network_namespace_filepath);
    if socket.protocol != Protocol::Tcp as i32 {
        return Err(at.at("protocol").error("only TCP is supported"));
    }
    let port = match &socket.port_specifier {
        Some(PortSpecifier::PortValue(port)) => u16::try_from(*port).ok().filter(|port| *port > 0),
        Some(PortSpecifier::NamedPort(_)) => return Err(at.at("named_port").not_supported()),
        None => None,
    };
    let port = port.ok_or_else(|| {
        at.at("port_value")
            .error("a port between 1 and 65535 is expected")
    })?;
    if socket.address.is_empty() {
        return Err(at.at("address").error("must not be blank"));
    }
    Ok((&socket.address, port))
}

/// The same where only an IP address is allowed.
pub(super) fn ip_and_port(at: &At<'_>, message: Option<&Address>) -> Result<SocketAddr, TableError> {
    let (host, port) = host_and_port(at, message)?;
    let ip: IpAddr = host.parse().map_err(|_| {
        let at = at.at("socket_address");
        at.at("address")
            .error(format!("an IP address is expected, found {host:?}"))
    })?;
    Ok(SocketAddr::new(ip, port))
}
