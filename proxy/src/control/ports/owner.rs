//! Who listens on an address: the socket's inode from `/proc/net/tcp`, then the process that has it open.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// `name (pid n)` of the process that listens on `address` or on all addresses of its port; `None` when it cannot be
/// seen from here.
pub(super) fn of(address: SocketAddr) -> Option<String> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"].iter().find_map(|file| {
        let table = fs::read_to_string(file).ok()?;
        table.lines().skip(1).find_map(|line| listening(line, address))
    })?;
    let wanted = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?;
    processes.flatten().find_map(|process| {
        let pid: u32 = process.file_name().to_str()?.parse().ok()?;
        let files = fs::read_dir(process.path().join("fd")).ok()?;
        let has =
            |file: fs::DirEntry| fs::read_link(file.path()).is_ok_and(|link| link.as_os_str() == &*wanted);
        if !files.flatten().any(has) {
            return None;
        }
        let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
        Some(format!("{} (pid {pid})", name.trim()))
    })
}

/// The inode of a line of `/proc/net/tcp` when it is a listening socket that stands in the way of `address`.
fn listening(line: &str, address: SocketAddr) -> Option<u64> {
    let mut columns = line.split_ascii_whitespace();
    let local = columns.nth(1)?;
    let state = columns.nth(1)?;
    let inode = columns.nth(5)?;
    let (ip, port) = local.split_once(':')?;
    let ip = ip_of(ip)?;
    let same = ip == address.ip() || ip.is_unspecified() || address.ip().is_unspecified();
    let listens = state == "0A" && u16::from_str_radix(port, 16).ok()? == address.port();
    (listens && same).then(|| inode.parse().ok()).flatten()
}

/// An address as the kernel writes it: 32-bit words in the machine's byte order.
fn ip_of(hex: &str) -> Option<IpAddr> {
    let words = hex.as_bytes().chunks(8).map(|word| {
        let word = std::str::from_utf8(word).ok()?;
        u32::from_str_radix(word, 16).ok().map(u32::to_ne_bytes)
    });
    let bytes = words.collect::<Option<Vec<_>>>()?.concat();
    if let Ok(v4) = <[u8; 4]>::try_from(&*bytes) {
        return Some(Ipv4Addr::from(v4).into());
    }
    let v6 = Ipv6Addr::from(<[u8; 16]>::try_from(&*bytes).ok()?);
    Some(v6.to_ipv4_mapped().map_or(v6.into(), IpAddr::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_kernel_is_read() {
        let line = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0 0 4242 1 0 100 0 0 10 0";
        let check = |address: &str, expected| {
            assert_eq!(
                listening(line, address.parse().expect("an address")),
                expected,
                "{address}"
            );
        };
        check("127.0.0.1:8080", Some(4242));
        check("0.0.0.0:8080", Some(4242));
        check("127.0.0.2:8080", None);
        check("127.0.0.1:8081", None);
        assert_eq!(
            listening("garbage", "127.0.0.1:1".parse().expect("an address")),
            None
        );
    }
}
