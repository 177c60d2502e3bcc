//! Where a cluster's endpoints come from: written down, EDS or DNS.

use std::time::Duration;

use outrigger_xds::pb::envoy::config::cluster::v3::Cluster;
use outrigger_xds::pb::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, DiscoveryType, DnsLookupFamily,
};
use outrigger_xds::pb::envoy::config::core::v3::ConfigSource;
use outrigger_xds::pb::envoy::config::core::v3::config_source::ConfigSourceSpecifier;

use super::at::At;
use super::endpoint::{EndpointSpec, dns_targets, endpoints};
use crate::table::TableError;

/// Where a cluster's endpoints come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Discovery {
    /// Written in the cluster.
    Static(Vec<EndpointSpec>),
    /// Delivered by EDS under this name.
    Eds(String),
    /// Names to be resolved again and again.
    Dns {
        /// What to resolve.
        targets: Vec<DnsTarget>,
        /// How often, when the answer's time to live does not say. At least 5 s, the default.
        refresh: Duration,
        /// True when the answer's time to live counts, if longer.
        respect_ttl: bool,
        /// True for IPv4 addresses alone.
        v4_only: bool,
        /// True for IPv6 addresses alone.
        v6_only: bool,
    },
}

/// A name to be resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsTarget {
    /// Host name, or an IP address.
    pub host: String,
    /// Port on every address found.
    pub port: u16,
    /// Weight of every address found.
    pub weight: u32,
}

/// Shortest time between two resolutions of a name.
const SHORTEST_REFRESH: Duration = Duration::from_secs(5);

/// The discovery of a cluster.
#[allow(deprecated)] // where the older DNS fields stand is what control planes still write
pub(super) fn discovery(at: &At<'_>, message: &Cluster) -> Result<Discovery, TableError> {
    let kind = match &message.cluster_discovery_type {
        None => DiscoveryType::Static,
        Some(ClusterDiscoveryType::Type(kind)) => DiscoveryType::try_from(*kind).map_err(|_| {
            at.at("type")
                .error(format!("{kind} is not a known discovery type"))
        })?,
        Some(ClusterDiscoveryType::ClusterType(_)) => return Err(at.at("cluster_type").not_supported()),
    };
    let written = at.at("load_assignment");
    match (kind, &message.load_assignment) {
        (DiscoveryType::Static, Some(assignment)) => Ok(Discovery::Static(endpoints(&written, assignment)?)),
        (DiscoveryType::Static, None) => Ok(Discovery::Static(Vec::new())),
        (DiscoveryType::Eds, None) => {
            let at = at.at("eds_cluster_config");
            let config = message
                .eds_cluster_config
                .as_ref()
                .ok_or_else(|| at.error("is missing"))?;
            expect_ads(&at.at("eds_config"), config.eds_config.as_ref())?;
            let name = if config.service_name.is_empty() {
                &message.name
            } else {
                &config.service_name
            };
            Ok(Discovery::Eds(name.clone()))
        }
        (DiscoveryType::Eds, Some(_)) => Err(written.error("must not be set in an EDS cluster")),
        (DiscoveryType::StrictDns, Some(assignment)) => {
            let refresh = at
                .at("dns_refresh_rate")
                .duration(message.dns_refresh_rate.as_ref())?;
            let family = DnsLookupFamily::try_from(message.dns_lookup_family).map_err(|_| {
                at.at("dns_lookup_family")
                    .error(format!("{} is not a known family", message.dns_lookup_family))
            })?;
            Ok(Discovery::Dns {
                targets: dns_targets(&written, assignment)?,
                refresh: refresh.map_or(SHORTEST_REFRESH, |refresh| refresh.max(SHORTEST_REFRESH)),
                respect_ttl: message.respect_dns_ttl,
                v4_only: family == DnsLookupFamily::V4Only,
                v6_only: family == DnsLookupFamily::V6Only,
            })
        }
        (DiscoveryType::StrictDns, None) => {
            Err(written.error("is missing: a STRICT_DNS cluster needs names"))
        }
        (DiscoveryType::LogicalDns | DiscoveryType::OriginalDst, _) => {
            let found = kind.as_str_name();
            Err(at.at("type").error(format!(
                "{found} is not supported: expected STATIC, EDS or STRICT_DNS"
            )))
        }
    }
}

/// Checks that a resource is to come over the same stream.
pub(super) fn expect_ads(at: &At<'_>, source: Option<&ConfigSource>) -> Result<(), TableError> {
    match source.and_then(|source| source.config_source_specifier.as_ref()) {
        Some(ConfigSourceSpecifier::Ads(_) | ConfigSourceSpecifier::Self_(_)) => Ok(()),
        _ => Err(at.error("only ads is supported")),
    }
}
