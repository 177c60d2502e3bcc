//! What a tour has left behind: whoever still listens on the addresses that were its own.

use std::net::Ipv4Addr;

use anyhow::{Context, Result, bail};

/// An error when somebody listens on an address that begins with these three bytes.
pub(crate) fn must_be_none(network: [u8; 3]) -> Result<()> {
    let table = std::fs::read_to_string("/proc/net/tcp").context("cannot see who listens")?;
    let left: Vec<String> = listening(&table)
        .filter(|(address, _)| address.octets().starts_with(&network))
        .map(|(address, port)| format!("{address}:{port}"))
        .collect();
    if !left.is_empty() {
        bail!(
            "the tour has ended, and somebody still listens on {}",
            left.join(", ")
        );
    }
    Ok(())
}

/// The listening sockets of `/proc/net/tcp`, whose addresses are words in the machine's byte order.
fn listening(table: &str) -> impl Iterator<Item = (Ipv4Addr, u16)> + '_ {
    table.lines().skip(1).filter_map(|line| {
        let mut columns = line.split_ascii_whitespace().skip(1);
        let (address, port) = columns.next()?.split_once(':')?;
        let state = columns.nth(1)?;
        let address = Ipv4Addr::from(u32::from_str_radix(address, 16).ok()?.to_ne_bytes());
        let port = u16::from_str_radix(port, 16).ok()?;
        (state == "0A").then_some((address, port))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_that_listens_is_seen_and_gone_when_it_is_closed() {
        let socket = std::net::TcpListener::bind("127.0.19.7:0").unwrap();

        let error = must_be_none([127, 0, 19]).unwrap_err().to_string();
        assert!(
            error.contains(&socket.local_addr().unwrap().to_string()),
            "{error}"
        );
        drop(socket);
        must_be_none([127, 0, 19]).unwrap();
    }
}
