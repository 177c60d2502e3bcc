//! IPv4 addresses and blocks of them, as matches and address lists write them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use crate::fields::{At, Fields};

/// An IPv4 address (`10.0.0.1`) or block (`10.0.0.0/8`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subnet {
    /// The address as written; the bits behind the prefix are kept.
    pub address: Ipv4Addr,
    /// Length of the block's prefix, 0 to 32; absent for a single address.
    pub prefix: Option<u8>,
}

impl Subnet {
    /// Prefix length, 32 for a single address.
    pub fn length(self) -> u8 {
        self.prefix.unwrap_or(32)
    }

    /// True when the address lies in the block.
    pub fn contains(self, address: Ipv4Addr) -> bool {
        let mask = match self.length() {
            0 => 0,
            length => u32::MAX << (32 - u32::from(length.min(32))),
        };
        u32::from(self.address) & mask == u32::from(address) & mask
    }
}

/// Why a text is neither an address nor a block.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubnetError {
    /// With a `/`, but not a block of addresses.
    #[error("{0} is not a valid CIDR block")]
    Block(String),
    /// Not an address.
    #[error("{0} is not a valid IP")]
    Address(String),
    /// An address of another family.
    #[error("{0} is not a valid IPv4 address")]
    Family(String),
}

impl FromStr for Subnet {
    type Err = SubnetError;

    fn from_str(text: &str) -> Result<Subnet, SubnetError> {
        let shown = || crate::document::node::shortened(text);
        let Some((address, prefix)) = text.split_once('/') else {
            return match text.parse() {
                Ok(IpAddr::V4(address)) => Ok(Subnet {
                    address,
                    prefix: None,
                }),
                Ok(IpAddr::V6(_)) => Err(SubnetError::Family(shown())),
                Err(_) => Err(SubnetError::Address(shown())),
            };
        };
        let digits = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit());
        let length: Option<u8> = prefix.parse().ok().filter(|_| digits);
        match (address.parse(), length) {
            (Ok(IpAddr::V4(address)), Some(length @ 0..=32)) => Ok(Subnet {
                address,
                prefix: Some(length),
            }),
            (Ok(IpAddr::V6(_)), Some(0..=128)) => Err(SubnetError::Family(shown())),
            _ => Err(SubnetError::Block(shown())),
        }
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix {
            Some(prefix) => write!(f, "{}/{prefix}", self.address),
            None => self.address.fmt(f),
        }
    }
}

/// One address or block.
pub(crate) fn read(at: &At<'_>) -> Option<Subnet> {
    match at.text()?.parse() {
        Ok(subnet) => Some(subnet),
        Err(error) => {
            at.problem(error.to_string());
            None
        }
    }
}

/// A list of addresses and blocks.
pub(crate) fn read_all(fields: &Fields<'_>, name: &'static str) -> Vec<Subnet> {
    fields.items(name).iter().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_blocks_are_told_from_other_texts() {
        for (text, expected) in [
            ("10.0.0.1", Ok("10.0.0.1")),
            ("10.0.0.0/8", Ok("10.0.0.0/8")),
            ("0.0.0.0/0", Ok("0.0.0.0/0")),
            ("10.0.0.0/33", Err("10.0.0.0/33 is not a valid CIDR block")),
            ("10.0.0/8", Err("10.0.0/8 is not a valid CIDR block")),
            ("10.0.0.0/+8", Err("10.0.0.0/+8 is not a valid CIDR block")),
            ("foo", Err("foo is not a valid IP")),
            ("::1", Err("::1 is not a valid IPv4 address")),
            ("::/0", Err("::/0 is not a valid IPv4 address")),
        ] {
            let read = text.parse::<Subnet>().map(|subnet| subnet.to_string());
            assert_eq!(
                read.as_deref().map_err(|error| error.to_string()),
                expected.map_err(str::to_owned),
                "{text}"
            );
        }
    }

    #[test]
    fn a_block_contains_its_addresses_only() {
        let block: Subnet = "10.1.0.0/16".parse().unwrap();
        assert!(block.contains(Ipv4Addr::new(10, 1, 2, 3)));
        assert!(!block.contains(Ipv4Addr::new(10, 2, 2, 3)));
        assert!(
            "0.0.0.0/0"
                .parse::<Subnet>()
                .unwrap()
                .contains(Ipv4Addr::BROADCAST)
        );
        assert!(
            !"10.0.0.1"
                .parse::<Subnet>()
                .unwrap()
                .contains(Ipv4Addr::new(10, 0, 0, 2))
        );
    }
}
