//! Scalars as protobuf's JSON writes them.

use outrigger_xds::pb::envoy::config::core::v3::socket_address::PortSpecifier;
use outrigger_xds::pb::envoy::config::core::v3::{self as core, address};
use outrigger_xds::pb::google::protobuf;
use serde::{Deserialize, Deserializer, de};

/// A duration such as `0.25s`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seconds(protobuf::Duration);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_seconds(&text).ok_or_else(|| {
            de::Error::custom(format!(
                "a duration in seconds such as 0.25s is expected, found {text:?}"
            ))
        })
    }
}

fn parse_seconds(text: &str) -> Option<Seconds> {
    let number = text.strip_suffix('s')?;
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || part.len() > 9 || !digits(whole) || !digits(part) {
        return None;
    }
    Some(Seconds(protobuf::Duration {
        seconds: whole.parse().ok()?,
        nanos: format!("{part:0<9}").parse().ok()?,
    }))
}

impl From<Seconds> for protobuf::Duration {
    fn from(seconds: Seconds) -> Self {
        seconds.0
    }
}

/// A wrapped number.
pub(super) fn number(value: Option<u32>) -> Option<protobuf::UInt32Value> {
    value.map(|value| protobuf::UInt32Value { value })
}

/// A wrapped truth value.
pub(super) fn truth(value: Option<bool>) -> Option<protobuf::BoolValue> {
    value.map(|value| protobuf::BoolValue { value })
}

/// A place of `socket_address`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Address {
    socket_address: SocketAddress,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SocketAddress {
    address: String,
    port_value: u32,
}

impl From<Address> for core::Address {
    fn from(address: Address) -> Self {
        let socket = core::SocketAddress {
            address: address.socket_address.address,
            port_specifier: Some(PortSpecifier::PortValue(address.socket_address.port_value)),
            ..Default::default()
        };
        core::Address {
            address: Some(address::Address::SocketAddress(socket)),
        }
    }
}

/// Where RDS and EDS resources come from: `{ads: {}}`.
pub(super) fn ads() -> Option<core::ConfigSource> {
    use core::config_source::ConfigSourceSpecifier;
    let ads = ConfigSourceSpecifier::Ads(core::AggregatedConfigSource::default());
    Some(core::ConfigSource {
        config_source_specifier: Some(ads),
        resource_api_version: core::ApiVersion::V3 as i32,
        ..Default::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_exactly() {
        let check = |text: &str, expected: Option<(i64, i32)>| {
            let found = parse_seconds(text).map(|Seconds(found)| (found.seconds, found.nanos));
            assert_eq!(found, expected, "{text}");
        };
        check("15s", Some((15, 0)));
        check("0.25s", Some((0, 250_000_000)));
        check("1.000000001s", Some((1, 1)));
        check("0s", Some((0, 0)));
        for bad in ["", "s", "1", "-1s", "1m", "1.0000000001s", ".5s", "1e3s"] {
            check(bad, None);
        }
    }
}
