//! The few protobuf shapes that every resource needs: addresses, and ADS as a source.

use outrigger_xds::pb::envoy::config::core::v3::address::Address as AddressKind;
use outrigger_xds::pb::envoy::config::core::v3::config_source::ConfigSourceSpecifier;
use outrigger_xds::pb::envoy::config::core::v3::socket_address::PortSpecifier;
use outrigger_xds::pb::envoy::config::core::v3::{
    Address, AggregatedConfigSource, ApiVersion, ConfigSource, SocketAddress,
};

/// An address and a port. `host` is an IP, or a name where the proxy resolves it.
pub(crate) fn socket_address(host: &str, port: u16) -> Address {
    Address {
        address: Some(AddressKind::SocketAddress(SocketAddress {
            address: host.to_owned(),
            port_specifier: Some(PortSpecifier::PortValue(u32::from(port))),
            ..SocketAddress::default()
        })),
    }
}

/// "Ask for it on the stream that this came by."
pub(crate) fn ads() -> ConfigSource {
    ConfigSource {
        resource_api_version: ApiVersion::V3 as i32,
        config_source_specifier: Some(ConfigSourceSpecifier::Ads(AggregatedConfigSource {})),
        ..ConfigSource::default()
    }
}
