//! The service model: what every registry delivers and pilot compiles, without a trace of any platform.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Labels of an instance or a subset: keys and values match `[-A-Za-z0-9_./]*`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Labels(pub BTreeMap<String, String>);

impl Labels {
    /// True when every pair of `self` is also in `other`. Empty labels are a subset of everything.
    pub fn is_subset_of(&self, other: &Labels) -> bool {
        self.0.iter().all(|(key, value)| other.0.get(key) == Some(value))
    }

    /// The value under `key`.
    pub fn value(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// True when there is no label at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Labels {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Labels(
            pairs
                .into_iter()
                .map(|(key, value)| (key.into(), value.into()))
                .collect(),
        )
    }
}

/// `k=v,k2=v2`, sorted by key; a key alone when its value is empty (`spec/traffic-v1alpha2.md` §1.10).
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, (key, value)) in self.0.iter().enumerate() {
            let comma = if position == 0 { "" } else { "," };
            if value.is_empty() {
                write!(f, "{comma}{key}")?;
            } else {
                write!(f, "{comma}{key}={value}")?;
            }
        }
        Ok(())
    }
}

/// What is spoken on a service port (`spec/pilot.md` §1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// HTTP/1.1, upgradable.
    Http,
    /// HTTP/2 without TLS.
    Http2,
    /// HTTP under TLS that the mesh does not terminate.
    Https,
    /// gRPC over HTTP/2.
    Grpc,
    /// gRPC-Web over HTTP/1.1 or HTTP/2.
    GrpcWeb,
    /// Opaque bytes.
    Tcp,
    /// TLS routed by SNI.
    Tls,
    /// MongoDB wire protocol; proxied as TCP.
    Mongo,
    /// Redis wire protocol; proxied as TCP.
    Redis,
    /// MySQL wire protocol; proxied as TCP.
    Mysql,
    /// Datagrams; never proxied.
    Udp,
}

impl Protocol {
    /// HTTP, HTTP/2, gRPC and gRPC-Web: ports that have routes.
    pub fn is_http(self) -> bool {
        matches!(
            self,
            Protocol::Http | Protocol::Http2 | Protocol::Grpc | Protocol::GrpcWeb
        )
    }

    /// Protocols whose upstream speaks HTTP/2.
    pub fn is_http2(self) -> bool {
        matches!(self, Protocol::Http2 | Protocol::Grpc | Protocol::GrpcWeb)
    }

    /// The standard name, lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::Http => "http",
            Protocol::Http2 => "http2",
            Protocol::Https => "https",
            Protocol::Grpc => "grpc",
            Protocol::GrpcWeb => "grpc-web",
            Protocol::Tcp => "tcp",
            Protocol::Tls => "tls",
            Protocol::Mongo => "mongo",
            Protocol::Redis => "redis",
            Protocol::Mysql => "mysql",
            Protocol::Udp => "udp",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no protocol that the mesh knows; callers treat the port as TCP and warn.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "protocol {0:?} is not one of http, http2, https, grpc, grpc-web, tcp, tls, mongo, redis, mysql, udp"
)]
pub struct UnknownProtocol(pub String);

impl FromStr for Protocol {
    type Err = UnknownProtocol;

    fn from_str(text: &str) -> Result<Self, UnknownProtocol> {
        Ok(match text.to_ascii_lowercase().as_str() {
            "http" => Protocol::Http,
            "http2" => Protocol::Http2,
            "https" => Protocol::Https,
            "grpc" => Protocol::Grpc,
            "grpc-web" => Protocol::GrpcWeb,
            "tcp" => Protocol::Tcp,
            "tls" => Protocol::Tls,
            "mongo" => Protocol::Mongo,
            "redis" => Protocol::Redis,
            "mysql" => Protocol::Mysql,
            "udp" => Protocol::Udp,
            _ => return Err(UnknownProtocol(text.to_owned())),
        })
    }
}

/// How the addresses behind a host are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resolution {
    /// Endpoints are listed by the registry and balanced by the proxy (EDS).
    #[default]
    Endpoints,
    /// The host name is resolved by the proxy (STRICT_DNS).
    Dns,
    /// The connection goes where the application already sent it (ORIGINAL_DST).
    Passthrough,
}

/// One port that a service offers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ServicePort {
    /// Name, unique in the service; may be empty only when it is the single port.
    pub name: String,
    /// Number that callers use, 1 to 65535.
    pub port: u16,
    /// What is spoken on it.
    pub protocol: Protocol,
}

/// A named destination: what a Host header, an SNI or a rule's `host` names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Fully qualified host, lower case; a wildcard only for external services.
    pub host: String,
    /// Address given by the registry, if any. Virtual addresses of the mesh are kept apart.
    pub address: Option<IpAddr>,
    /// At least one port, sorted by number.
    pub ports: Vec<ServicePort>,
    /// True when the service is not part of the mesh (no sidecar, no mutual TLS).
    pub external: bool,
    /// How endpoints are found.
    pub resolution: Resolution,
    /// Namespace attribute; `default` off Kubernetes.
    pub namespace: String,
}

impl Service {
    /// The port with this number.
    pub fn port(&self, number: u16) -> Option<&ServicePort> {
        self.ports.iter().find(|port| port.port == number)
    }
}

/// One running copy of a service on one of its ports.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Instance {
    /// Address to connect to: an IP, or a host name for [`Resolution::Dns`].
    pub address: String,
    /// Port to connect to.
    pub port: u16,
    /// Port of the service that this instance stands behind.
    pub service_port: u16,
    /// Labels; `version` separates subsets by convention.
    pub labels: Labels,
    /// Load-balancing weight, at least 1.
    pub weight: u32,
    /// `region/zone/subzone`, empty when unknown.
    pub locality: String,
    /// Service account for the workload's identity.
    pub service_account: String,
    /// The platform's name for the workload, empty when it has none.
    pub workload_id: String,
}

/// A service with everything that runs behind it, as one registry (or the aggregate) sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceState {
    /// The service itself.
    pub service: Arc<Service>,
    /// Healthy instances, sorted; may be empty.
    pub instances: Arc<Vec<Instance>>,
    /// Name of the registry that declared the service first.
    pub registry: String,
}

/// Everything known at one moment: keyed by host, so that order is stable and diffs are cheap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalog {
    /// Services by host.
    pub services: BTreeMap<String, ServiceState>,
}

/// What changed from one catalogue to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CatalogDiff {
    /// Hosts added, removed, or whose service (ports, address, resolution) changed: routes and listeners may change.
    pub services: Vec<String>,
    /// Hosts of which only the instances changed: an endpoints-only push is enough.
    pub endpoints: Vec<String>,
}

impl CatalogDiff {
    /// True when nothing changed.
    pub fn is_empty(&self) -> bool {
        self.services.is_empty() && self.endpoints.is_empty()
    }
}

impl Catalog {
    /// Compares two catalogues. `Arc`s that are shared are equal without a look inside.
    pub fn diff(&self, newer: &Catalog) -> CatalogDiff {
        let mut diff = CatalogDiff::default();
        for (host, old) in &self.services {
            match newer.services.get(host) {
                None => diff.services.push(host.clone()),
                Some(new) if !same(&old.service, &new.service) => diff.services.push(host.clone()),
                Some(new) if !same(&old.instances, &new.instances) => diff.endpoints.push(host.clone()),
                Some(_) => {}
            }
        }
        diff.services.extend(
            newer
                .services
                .keys()
                .filter(|host| !self.services.contains_key(*host))
                .cloned(),
        );
        diff.services.sort();
        diff
    }
}

fn same<T: PartialEq>(left: &Arc<T>, right: &Arc<T>) -> bool {
    Arc::ptr_eq(left, right) || left == right
}

/// The addresses that pilot allots to services in explicit mode: `127.128.0.0/9`, which every Linux lets any
/// user bind without a privilege, in a container as on a shared host.
pub const VIRTUAL_ADDRESSES: (Ipv4Addr, u8) = (Ipv4Addr::new(127, 128, 0, 0), 9);

#[cfg(test)]
mod tests {
    use super::*;

    fn state(ports: &[u16], instances: &[&str]) -> ServiceState {
        ServiceState {
            service: Arc::new(Service {
                host: "reviews".into(),
                address: None,
                ports: ports
                    .iter()
                    .map(|&port| ServicePort {
                        name: String::new(),
                        port,
                        protocol: Protocol::Http,
                    })
                    .collect(),
                external: false,
                resolution: Resolution::Endpoints,
                namespace: "default".into(),
            }),
            instances: Arc::new(
                instances
                    .iter()
                    .map(|&address| Instance {
                        address: address.into(),
                        port: 9080,
                        service_port: 9080,
                        labels: Labels::default(),
                        weight: 1,
                        locality: String::new(),
                        service_account: "default".into(),
                        workload_id: String::new(),
                    })
                    .collect(),
            ),
            registry: "static".into(),
        }
    }

    fn catalog(entries: &[(&str, ServiceState)]) -> Catalog {
        Catalog {
            services: entries
                .iter()
                .map(|(host, state)| ((*host).to_owned(), state.clone()))
                .collect(),
        }
    }

    #[test]
    fn an_instance_that_moves_is_an_endpoints_only_change() {
        let old = catalog(&[("reviews", state(&[9080], &["10.0.0.1"]))]);
        let new = catalog(&[("reviews", state(&[9080], &["10.0.0.2"]))]);

        let diff = old.diff(&new);

        assert_eq!(
            diff,
            CatalogDiff {
                services: vec![],
                endpoints: vec!["reviews".into()]
            }
        );
    }

    #[test]
    fn a_new_port_or_a_new_or_a_lost_host_is_a_service_change() {
        let old = catalog(&[("a", state(&[1], &[])), ("b", state(&[1], &[]))]);
        let new = catalog(&[("b", state(&[1, 2], &[])), ("c", state(&[1], &[]))]);

        assert_eq!(old.diff(&new).services, ["a", "b", "c"]);
    }

    #[test]
    fn empty_labels_select_everything_and_print_as_nothing() {
        let v1: Labels = [("version", "v1"), ("canary", "")].into_iter().collect();

        assert!(Labels::default().is_subset_of(&v1));
        assert!(!v1.is_subset_of(&Labels::default()));
        assert_eq!(v1.to_string(), "canary,version=v1");
    }
}
