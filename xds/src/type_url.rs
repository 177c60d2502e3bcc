//! The resource types that travel over ADS, in the order in which they are pushed.

use std::fmt;

/// The prefix of every type URL of Envoy's API.
const PREFIX: &str = "type.googleapis.com/";

/// A resource type. The order of the variants is the order of a push, make before break:
/// clusters, their endpoints, listeners, their routes, then what hangs on those.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TypeUrl {
    /// `envoy.config.cluster.v3.Cluster` (CDS).
    Cluster,
    /// `envoy.config.endpoint.v3.ClusterLoadAssignment` (EDS).
    Endpoint,
    /// `envoy.config.listener.v3.Listener` (LDS).
    Listener,
    /// `envoy.config.route.v3.RouteConfiguration` (RDS).
    Route,
    /// `envoy.config.route.v3.VirtualHost` (VHDS, delta only).
    VirtualHost,
    /// `envoy.extensions.transport_sockets.tls.v3.Secret` (SDS).
    Secret,
}

impl TypeUrl {
    /// Every type, in push order.
    pub const ALL: [TypeUrl; 6] = [
        TypeUrl::Cluster,
        TypeUrl::Endpoint,
        TypeUrl::Listener,
        TypeUrl::Route,
        TypeUrl::VirtualHost,
        TypeUrl::Secret,
    ];

    /// The number of types: the length of a table indexed by [`TypeUrl::index`].
    pub const COUNT: usize = Self::ALL.len();

    /// The place of this type in [`TypeUrl::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The whole URL, as it stands in `type_url` fields.
    pub const fn url(self) -> &'static str {
        match self {
            TypeUrl::Cluster => "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            TypeUrl::Endpoint => "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
            TypeUrl::Listener => "type.googleapis.com/envoy.config.listener.v3.Listener",
            TypeUrl::Route => "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
            TypeUrl::VirtualHost => "type.googleapis.com/envoy.config.route.v3.VirtualHost",
            TypeUrl::Secret => "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
        }
    }

    /// The full name of the message, without the URL's prefix.
    pub fn message(self) -> &'static str {
        self.url().strip_prefix(PREFIX).unwrap_or_default()
    }

    /// The three-letter name of its discovery service in lower case: `cds`, `eds`, `lds`, `rds`, `vhds`, `sds`.
    pub const fn short(self) -> &'static str {
        match self {
            TypeUrl::Cluster => "cds",
            TypeUrl::Endpoint => "eds",
            TypeUrl::Listener => "lds",
            TypeUrl::Route => "rds",
            TypeUrl::VirtualHost => "vhds",
            TypeUrl::Secret => "sds",
        }
    }

    /// The type with this URL, if it is one that we serve.
    pub fn from_url(url: &str) -> Option<TypeUrl> {
        Self::ALL.into_iter().find(|kind| kind.url() == url)
    }

    /// The type with this short name (`cds`, `eds` ...).
    pub fn from_short(short: &str) -> Option<TypeUrl> {
        Self::ALL.into_iter().find(|kind| kind.short() == short)
    }

    /// Whether a first request without names asks for everything (LDS and CDS), and whether a state-of-the-world
    /// response of this type is the whole state, so that what is missing from it is deleted.
    pub const fn is_wholesale(self) -> bool {
        matches!(self, TypeUrl::Cluster | TypeUrl::Listener)
    }
}

impl fmt::Display for TypeUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.url())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb;
    use prost::Name;

    #[test]
    fn urls_agree_with_the_generated_types() {
        assert_eq!(
            TypeUrl::Cluster.message(),
            pb::envoy::config::cluster::v3::Cluster::full_name()
        );
        assert_eq!(
            TypeUrl::Listener.message(),
            pb::envoy::config::listener::v3::Listener::full_name()
        );
        assert_eq!(
            TypeUrl::Route.message(),
            pb::envoy::config::route::v3::RouteConfiguration::full_name()
        );
        assert_eq!(
            TypeUrl::VirtualHost.message(),
            pb::envoy::config::route::v3::VirtualHost::full_name()
        );
        let assignment = pb::envoy::config::endpoint::v3::ClusterLoadAssignment::full_name();
        assert_eq!(TypeUrl::Endpoint.message(), assignment);
        let secret = pb::envoy::extensions::transport_sockets::tls::v3::Secret::full_name();
        assert_eq!(TypeUrl::Secret.message(), secret);
    }

    #[test]
    fn every_type_is_found_by_its_url_and_its_short_name() {
        for (place, kind) in TypeUrl::ALL.into_iter().enumerate() {
            assert_eq!(kind.index(), place);
            assert_eq!(TypeUrl::from_url(kind.url()), Some(kind));
            assert_eq!(TypeUrl::from_short(kind.short()), Some(kind));
        }
        assert_eq!(TypeUrl::from_url("envoy.config.cluster.v3.Cluster"), None);
    }
}
