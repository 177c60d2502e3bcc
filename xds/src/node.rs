//! Who is at the other end of a stream: the node id `type~ip~id~domain` and its metadata (spec/pilot.md §4).

use std::fmt;
use std::net::IpAddr;

use serde_json::{Map, Value as Json};

use crate::pb::envoy::config::core::v3::{Locality, Node, node::UserAgentVersionType};
use crate::value::{json_to_struct, struct_to_json};

/// What a proxy does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Beside one workload.
    Sidecar,
    /// A gateway.
    Router,
    /// A gateway of generation 1.0 and earlier.
    Ingress,
}

impl Role {
    /// The word in a node id.
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Sidecar => "sidecar",
            Role::Router => "router",
            Role::Ingress => "ingress",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// Why a node was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    /// The first message had no node at all.
    #[error("the first request of a stream names no node; set node.id to type~ip~id~domain")]
    Missing,
    /// Not four parts.
    #[error("missing parts in the service node {id:?}: found {found}, want 4 as in type~ip~id~domain")]
    Parts {
        /// The id as sent.
        id: String,
        /// How many parts it has.
        found: usize,
    },
    /// An unknown role.
    #[error("service node {id:?}: invalid node type {found:?}, want sidecar, router or ingress")]
    Role {
        /// The id as sent.
        id: String,
        /// The word found.
        found: String,
    },
    /// A sidecar whose address does not parse.
    #[error("service node {id:?}: {found:?} is not an IP address, which a sidecar needs")]
    Address {
        /// The id as sent.
        id: String,
        /// The text found.
        found: String,
    },
    /// No workload name.
    #[error("service node {id:?}: the third part, the workload's id, is empty")]
    Workload {
        /// The id as sent.
        id: String,
    },
    /// Longer than [`MAX_ID`].
    #[error("the service node is {found} bytes long, the limit is {MAX_ID}")]
    TooLong {
        /// Length found, bytes.
        found: usize,
    },
}

/// The longest node id accepted, bytes.
pub const MAX_ID: usize = 1024;

/// A proxy as it presents itself.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeInfo {
    /// What it does.
    pub role: Role,
    /// Its address; always there for sidecars, `None` for a gateway whose second part is no address.
    pub address: Option<IpAddr>,
    /// The workload's id: the third part. Never empty.
    pub workload: String,
    /// The DNS domain of the workload; may be empty.
    pub domain: String,
    /// Envoy's `--service-cluster`; may be empty.
    pub cluster: String,
    /// Region, zone and sub-zone; empty where unknown.
    pub locality: Locality,
    /// Metadata, keys as sent.
    pub metadata: Map<String, Json>,
    /// `envoy`, `outrigger`, `gRPC ...`; empty when not sent.
    pub user_agent_name: String,
    /// The version, as text; empty when not sent.
    pub user_agent_version: String,
    /// The id, verbatim.
    id: String,
}

impl NodeInfo {
    /// A node from the parts of its id, with nothing else set.
    ///
    /// # Errors
    /// When the id is not `type~ip~id~domain`, see [`NodeError`].
    pub fn from_id(id: &str) -> Result<NodeInfo, NodeError> {
        if id.is_empty() {
            return Err(NodeError::Missing);
        }
        if id.len() > MAX_ID {
            return Err(NodeError::TooLong { found: id.len() });
        }
        let parts: Vec<&str> = id.split('~').collect();
        let [role, address, workload, domain] = parts[..] else {
            return Err(NodeError::Parts {
                id: id.into(),
                found: parts.len(),
            });
        };
        let role = match role {
            "sidecar" => Role::Sidecar,
            "router" => Role::Router,
            "ingress" => Role::Ingress,
            other => {
                return Err(NodeError::Role {
                    id: id.into(),
                    found: other.into(),
                });
            }
        };
        let parsed: Option<IpAddr> = address.parse().ok();
        if role == Role::Sidecar && parsed.is_none() {
            return Err(NodeError::Address {
                id: id.into(),
                found: address.into(),
            });
        }
        if workload.is_empty() {
            return Err(NodeError::Workload { id: id.into() });
        }
        Ok(NodeInfo {
            role,
            address: parsed,
            workload: workload.into(),
            domain: domain.into(),
            cluster: String::new(),
            locality: Locality::default(),
            metadata: Map::new(),
            user_agent_name: String::new(),
            user_agent_version: String::new(),
            id: id.into(),
        })
    }

    /// Reads a node as it stands in a request.
    ///
    /// # Errors
    /// When its id is not `type~ip~id~domain`, see [`NodeError`].
    pub fn from_proto(node: &Node) -> Result<NodeInfo, NodeError> {
        let mut info = Self::from_id(&node.id)?;
        info.cluster = node.cluster.clone();
        info.locality = node.locality.clone().unwrap_or_default();
        info.metadata = node.metadata.as_ref().map(struct_to_json).unwrap_or_default();
        info.user_agent_name = node.user_agent_name.clone();
        info.user_agent_version = user_agent_version(node);
        Ok(info)
    }

    /// The node as it stands in a request.
    pub fn to_proto(&self) -> Node {
        let version = (!self.user_agent_version.is_empty())
            .then(|| UserAgentVersionType::UserAgentVersion(self.user_agent_version.clone()));
        Node {
            id: self.id.clone(),
            cluster: self.cluster.clone(),
            metadata: Some(json_to_struct(&self.metadata)),
            locality: (self.locality != Locality::default()).then(|| self.locality.clone()),
            user_agent_name: self.user_agent_name.clone(),
            user_agent_version_type: version,
            ..Node::default()
        }
    }

    /// The id, verbatim: `type~ip~id~domain`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A metadata entry as text: strings as they are, numbers and booleans printed, anything else as `None`.
    /// An empty string counts as not set.
    pub fn setting(&self, key: &str) -> Option<String> {
        match self.metadata.get(key)? {
            Json::String(text) => (!text.is_empty()).then(|| text.clone()),
            Json::Number(number) => Some(number.to_string()),
            Json::Bool(flag) => Some(flag.to_string()),
            Json::Null | Json::Array(_) | Json::Object(_) => None,
        }
    }
}

impl fmt::Display for NodeInfo {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.id)
    }
}

fn user_agent_version(node: &Node) -> String {
    match &node.user_agent_version_type {
        None => String::new(),
        Some(UserAgentVersionType::UserAgentVersion(text)) => text.clone(),
        Some(UserAgentVersionType::UserAgentBuildVersion(build)) => {
            build.version.as_ref().map_or_else(String::new, |version| {
                format!(
                    "{}.{}.{}",
                    version.major_number, version.minor_number, version.patch
                )
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENTED: &str = "sidecar~10.150.0.5~demo-vm-1.default~default.svc.cluster.local";

    #[test]
    fn the_documented_id_falls_into_its_parts() {
        let node = NodeInfo::from_id(DOCUMENTED).unwrap();

        assert_eq!(node.role, Role::Sidecar);
        assert_eq!(node.address, Some("10.150.0.5".parse().unwrap()));
        assert_eq!(
            (node.workload.as_str(), node.domain.as_str()),
            ("demo-vm-1.default", "default.svc.cluster.local")
        );
        assert_eq!(node.id(), DOCUMENTED);
    }

    #[test]
    fn broken_ids_say_what_is_wrong() {
        let said = |id: &str| NodeInfo::from_id(id).unwrap_err().to_string();

        assert_eq!(
            said("sidecar~10.0.0.1~x"),
            "missing parts in the service node \"sidecar~10.0.0.1~x\": found 3, want 4 as in type~ip~id~domain"
        );
        assert!(said("a~b~c~d~e").contains("found 5"));
        assert!(said("pod~10.0.0.1~x~y").contains("invalid node type \"pod\""));
        assert!(said("sidecar~localhost~x~y").contains("\"localhost\" is not an IP address"));
        assert!(said("sidecar~10.0.0.1~~y").contains("the workload's id, is empty"));
        assert!(said("").contains("names no node"));
        assert!(said(&"x".repeat(2000)).contains("2000 bytes long"));
    }

    #[test]
    fn a_gateway_needs_no_address_and_a_domain_may_be_empty() {
        assert_eq!(NodeInfo::from_id("router~~edge~").unwrap().address, None);
        assert_eq!(NodeInfo::from_id("sidecar~::1~a~").unwrap().domain, "");
    }

    #[test]
    fn a_node_survives_the_way_through_a_request() {
        let mut node = NodeInfo::from_id(DOCUMENTED).unwrap();
        node.cluster = "demo".into();
        node.locality.zone = "z1".into();
        node.user_agent_name = "outrigger".into();
        node.user_agent_version = "0.1.0".into();
        node.metadata.insert("HTTP_PROXY_PORT".into(), Json::from(15002));
        node.metadata
            .insert("LABELS".into(), serde_json::json!({"app": "demo"}));

        let back = NodeInfo::from_proto(&node.to_proto()).unwrap();

        assert_eq!(back, node);
        assert_eq!(back.setting("HTTP_PROXY_PORT").as_deref(), Some("15002"));
        assert_eq!(back.setting("LABELS"), None);
        assert_eq!(back.setting("INBOUND"), None);
    }
}
