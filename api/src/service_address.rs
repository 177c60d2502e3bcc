//! ServiceAddress: the virtual address that is allotted to a service, so that it stays over restarts.

use std::net::Ipv4Addr;

use crate::fields::{Fields, Message};
use crate::host;
use crate::meta::{ObjectMeta, is_subdomain};
use crate::model::VIRTUAL_ADDRESSES;
use crate::output::Object;
use crate::resource::{Resource, Spec};
use crate::subnet::Subnet;

/// One service and its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAddress {
    /// Host of the service.
    pub host: String,
    /// Its address, in [`VIRTUAL_ADDRESSES`].
    pub address: Ipv4Addr,
}

impl ServiceAddress {
    /// The name of the object that keeps the address of `host`: the host itself where it is a valid name,
    /// else its letters and digits with a hash behind them, so that two hosts never share an object.
    pub fn object_name(host: &str) -> String {
        if is_subdomain(host) {
            return host.to_owned();
        }
        let readable: String = host
            .to_ascii_lowercase()
            .split(|sign: char| !sign.is_ascii_alphanumeric())
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join("-")
            .chars()
            .take(40)
            .collect();
        format!("x-{readable}-{:016x}", fnv(host)).replace("--", "-")
    }

    /// The object that keeps this address, in `namespace`.
    pub fn into_resource(self, namespace: &str) -> Resource {
        Resource {
            meta: ObjectMeta {
                name: ServiceAddress::object_name(&self.host),
                namespace: namespace.to_owned(),
                ..ObjectMeta::default()
            },
            spec: Spec::ServiceAddress(self),
        }
    }
}

impl Message for ServiceAddress {
    fn read(fields: &Fields<'_>) -> ServiceAddress {
        let host = fields.text("host");
        if let Err(error) = host::check_egress(&host) {
            fields.problem_at("host", error);
        }
        let written = fields.text("address");
        let (network, length) = VIRTUAL_ADDRESSES;
        let range = Subnet {
            address: network,
            prefix: Some(length),
        };
        let address = written.parse().ok().filter(|address| range.contains(*address));
        if address.is_none() {
            fields.problem_at(
                "address",
                format!("address must be an IPv4 address in {range}, found {written:?}"),
            );
        }
        ServiceAddress {
            host,
            address: address.unwrap_or(network),
        }
    }

    fn write(&self, out: &mut Object) {
        out.text("host", &self.host);
        out.value("address", self.address.to_string());
    }
}

/// FNV-1a, 64 bit: stable over versions, which a hasher of the standard library is not.
fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Kind;
    use crate::trial::check;

    #[test]
    fn every_host_has_a_valid_object_name_of_its_own() {
        assert_eq!(
            ServiceAddress::object_name("reviews.service.consul"),
            "reviews.service.consul"
        );
        let names = [
            "*.foo.com",
            "*-foo.com",
            "*",
            "Foo.com",
            "foo_com",
            &"a.".repeat(150),
        ]
        .map(ServiceAddress::object_name);
        for (position, name) in names.iter().enumerate() {
            assert!(is_subdomain(name), "{name}");
            assert!(!names[..position].contains(name), "{name}");
        }
    }

    #[test]
    fn addresses_lie_in_the_range_that_is_allotted() {
        check(
            Kind::ServiceAddress,
            &[
                ("{host: reviews.service.consul, address: 127.128.0.1}", &[]),
                (
                    "{host: a.b, address: 127.0.0.1}",
                    &["spec.address: address must be an IPv4 address in 127.128.0.0/9, found \"127.0.0.1\""],
                ),
                (
                    "{}",
                    &[
                        "spec.address: address must be an IPv4 address in 127.128.0.0/9, found \"\"",
                        "spec.host: empty domain name not allowed",
                    ],
                ),
            ],
        );
    }
}
