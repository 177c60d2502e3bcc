//! A connected proxy as it describes itself: what stands in the node id, and the settings in its metadata.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use outrigger_api::model::{Labels, Protocol};
use outrigger_xds::NodeInfo;
use serde_json::Value;

use crate::dialect::Dialect;

/// What kind of proxy it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Beside one application.
    Sidecar,
    /// A gateway.
    Router,
}

impl Role {
    /// The word in the node id.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Sidecar => "sidecar",
            Role::Router => "router",
        }
    }
}

/// One port on which a sidecar takes requests for its application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inbound {
    /// The port that the registry advertises, bound on the node's address.
    pub port: u16,
    /// Where the application listens.
    pub app: SocketAddr,
    /// What is spoken; when the node does not say, the registry's word counts.
    pub protocol: Option<Protocol>,
}

/// One service port that an application reaches under an address of its own choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// The service's host, or a short form of it.
    pub host: String,
    /// The service port.
    pub port: u16,
    /// Where the sidecar listens for it.
    pub bind: SocketAddr,
}

/// A proxy's description of itself, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The node id as sent: `sidecar~127.0.0.3~reviews-v1~service.consul`.
    pub id: String,
    /// Sidecar or gateway.
    pub role: Role,
    /// The address that the workload owns; its listeners bind it.
    pub ip: IpAddr,
    /// The platform's name for the workload.
    pub workload: String,
    /// The workload's DNS domain, for short names; may be empty.
    pub domain: String,
    /// Which data plane it is.
    pub dialect: Dialect,
    /// Version text of the data plane, for display.
    pub version: String,
    /// Namespace of the workload; `default` unless told (`NAMESPACE`).
    pub namespace: String,
    /// Labels told by the node (`LABELS`); they override those of the registry.
    pub labels: Labels,
    /// What it takes for its application (`INBOUND`), by port.
    pub inbound: BTreeMap<u16, Inbound>,
    /// Port of the explicit HTTP proxy (`HTTP_PROXY_PORT`).
    pub http_proxy_port: Option<u16>,
    /// True when it binds the virtual addresses of services (`OUTBOUND_VIRTUAL`, default on).
    pub virtual_listeners: bool,
    /// Service ports on addresses of the user's choice (`OUTBOUND`).
    pub upstreams: Vec<Upstream>,
    /// False when it was told to speak HTTP/1.1 to its peers (`MESH_PROTOCOL=http1`, for debugging).
    pub mesh_h2: bool,
}

/// A metadata value does not have its form. The stream is refused with this.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("node metadata {key}={value:?}: {expected}")]
pub struct NodeError {
    /// The metadata key.
    pub key: &'static str,
    /// The part of the value that is wrong.
    pub value: String,
    /// What was expected.
    pub expected: &'static str,
}

impl Node {
    /// Reads the settings that a node's metadata holds.
    ///
    /// # Errors
    /// When a setting is there but does not have its form.
    pub fn of(info: &NodeInfo) -> Result<Node, NodeError> {
        let setting = |key| info.setting(key).map(|value| value.trim().to_owned());
        let list = |key| setting(key).unwrap_or_default();
        Ok(Node {
            id: info.id().to_owned(),
            role: match info.role {
                outrigger_xds::Role::Sidecar => Role::Sidecar,
                outrigger_xds::Role::Router | outrigger_xds::Role::Ingress => Role::Router,
            },
            ip: info.address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            workload: info.workload.clone(),
            domain: info.domain.clone(),
            dialect: Dialect::of(&info.user_agent_name),
            version: info.user_agent_version.clone(),
            namespace: setting("NAMESPACE").unwrap_or_else(|| "default".into()),
            labels: labels(info)?,
            inbound: entries(&list("INBOUND"))
                .map(|entry| inbound(entry).map(|inbound| (inbound.port, inbound)))
                .collect::<Result<_, _>>()?,
            http_proxy_port: setting("HTTP_PROXY_PORT")
                .map(|port| proxy_port(&port))
                .transpose()?,
            virtual_listeners: virtual_listeners(setting("OUTBOUND_VIRTUAL").as_deref().unwrap_or("on"))?,
            upstreams: entries(&list("OUTBOUND"))
                .map(upstream)
                .collect::<Result<_, _>>()?,
            mesh_h2: mesh_h2(setting("MESH_PROTOCOL").as_deref().unwrap_or("h2"))?,
        })
    }
}

fn entries(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|entry| !entry.is_empty())
}

fn inbound(entry: &str) -> Result<Inbound, NodeError> {
    let wrong = || NodeError {
        key: "INBOUND",
        value: entry.to_owned(),
        expected: "expected PORT=APP_ADDRESS:PORT[/PROTOCOL], for example 9080=127.0.0.1:19080/http",
    };
    let (port, app) = entry.split_once('=').ok_or_else(wrong)?;
    let (app, protocol) = match app.split_once('/') {
        None => (app, None),
        Some((app, protocol)) => (app, Some(protocol.parse().map_err(|_| wrong())?)),
    };
    Ok(Inbound {
        port: number(port).ok_or_else(wrong)?,
        app: address(app).ok_or_else(wrong)?,
        protocol,
    })
}

fn upstream(entry: &str) -> Result<Upstream, NodeError> {
    let wrong = || NodeError {
        key: "OUTBOUND",
        value: entry.to_owned(),
        expected: "expected HOST:PORT=BIND_IP:PORT, for example mysql.service.consul:3306=127.0.0.1:3306",
    };
    let (service, bind) = entry.split_once('=').ok_or_else(wrong)?;
    let (host, port) = service
        .rsplit_once(':')
        .filter(|(host, _)| !host.is_empty())
        .ok_or_else(wrong)?;
    Ok(Upstream {
        host: host.to_ascii_lowercase(),
        port: number(port).ok_or_else(wrong)?,
        bind: address(bind).ok_or_else(wrong)?,
    })
}

fn address(text: &str) -> Option<SocketAddr> {
    text.trim()
        .parse()
        .ok()
        .filter(|address: &SocketAddr| address.port() != 0)
}

fn number(text: &str) -> Option<u16> {
    text.trim().parse().ok().filter(|&port| port != 0)
}

fn proxy_port(text: &str) -> Result<u16, NodeError> {
    number(text).ok_or_else(|| NodeError {
        key: "HTTP_PROXY_PORT",
        value: text.to_owned(),
        expected: "expected a port, 1 to 65535",
    })
}

fn virtual_listeners(text: &str) -> Result<bool, NodeError> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        other => Err(NodeError {
            key: "OUTBOUND_VIRTUAL",
            value: other.to_owned(),
            expected: "expected on or off",
        }),
    }
}

fn mesh_h2(text: &str) -> Result<bool, NodeError> {
    match text {
        "h2" => Ok(true),
        "http1" => Ok(false),
        other => Err(NodeError {
            key: "MESH_PROTOCOL",
            value: other.to_owned(),
            expected: "expected h2 or http1",
        }),
    }
}

/// A JSON object of texts, as an object or as its text, or `k=v,k2=v2`.
fn labels(info: &NodeInfo) -> Result<Labels, NodeError> {
    let wrong = |value: String| NodeError {
        key: "LABELS",
        value,
        expected: "expected KEY=VALUE pairs separated by commas, or a JSON object whose values are texts",
    };
    let object = |value: Value| serde_json::from_value(value.clone()).map_err(|_| wrong(value.to_string()));
    if let Some(value @ Value::Object(_)) = info.metadata.get("LABELS") {
        return object(value.clone());
    }
    let text = info.setting("LABELS").unwrap_or_default();
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(&text)
            .map_err(|_| wrong(text))
            .and_then(object);
    }
    let pairs = entries(&text).map(|pair| match pair.split_once('=').unwrap_or((pair, "")) {
        ("", _) => Err(wrong(pair.to_owned())),
        (key, value) => Ok((key.to_owned(), value.to_owned())),
    });
    pairs.collect::<Result<BTreeMap<_, _>, _>>().map(Labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(id: &str, metadata: &[(&str, &str)]) -> Result<Node, NodeError> {
        let mut info = NodeInfo::from_id(id).unwrap();
        info.metadata = metadata
            .iter()
            .map(|(k, v)| ((*k).to_owned(), Value::from(*v)))
            .collect();
        Node::of(&info)
    }

    #[test]
    fn a_node_without_metadata_has_the_documented_defaults() {
        let node = parse("sidecar~127.0.0.3~reviews-v1~service.consul", &[]).unwrap();

        assert_eq!(node.role, Role::Sidecar);
        assert_eq!(node.ip, IpAddr::from([127, 0, 0, 3]));
        assert_eq!(
            (node.workload.as_str(), node.domain.as_str()),
            ("reviews-v1", "service.consul")
        );
        assert_eq!(node.namespace, "default");
        assert!(node.virtual_listeners && node.mesh_h2);
        assert!(node.inbound.is_empty() && node.upstreams.is_empty() && node.http_proxy_port.is_none());
    }

    #[test]
    fn every_metadata_key_is_read() {
        let node = parse(
            "sidecar~127.0.0.3~reviews-v1~",
            &[
                ("INBOUND", "9080=127.0.0.1:19080/http, 3306=127.0.0.1:13306"),
                ("HTTP_PROXY_PORT", "15002"),
                ("OUTBOUND_VIRTUAL", "off"),
                ("OUTBOUND", "Mysql.service.consul:3306=127.0.0.3:3306"),
                ("LABELS", r#"{"app":"reviews"}"#),
                ("MESH_PROTOCOL", "http1"),
                ("NAMESPACE", "shop"),
            ],
        )
        .unwrap();

        assert_eq!(node.inbound[&9080].app, "127.0.0.1:19080".parse().unwrap());
        assert_eq!(node.inbound[&9080].protocol, Some(Protocol::Http));
        assert_eq!(node.inbound[&3306].protocol, None);
        assert_eq!(node.http_proxy_port, Some(15002));
        assert_eq!(node.upstreams[0].host, "mysql.service.consul");
        assert_eq!(node.labels.value("app"), Some("reviews"));
        assert!(!node.virtual_listeners && !node.mesh_h2);
        assert_eq!(node.namespace, "shop");
    }

    #[test]
    fn labels_may_be_pairs_or_an_object() {
        let node = parse(
            "router~127.0.0.1~gw~",
            &[("LABELS", "istio=ingressgateway,canary")],
        )
        .unwrap();
        assert_eq!(node.labels.to_string(), "canary,istio=ingressgateway");

        let mut info = NodeInfo::from_id("router~~gw~").unwrap();
        info.metadata
            .insert("LABELS".into(), serde_json::json!({"istio": "ingressgateway"}));
        let node = Node::of(&info).unwrap();
        assert_eq!(node.labels.to_string(), "istio=ingressgateway");
        assert!(node.ip.is_unspecified());
    }

    #[test]
    fn what_is_wrong_is_said_with_what_was_expected() {
        let message = |id, metadata: &[_]| parse(id, metadata).unwrap_err().to_string();

        for (key, value) in [
            ("INBOUND", "9080"),
            ("INBOUND", "0=127.0.0.1:1"),
            ("INBOUND", "1=127.0.0.1:1/smoke"),
            ("OUTBOUND", "a=127.0.0.1:1"),
            ("HTTP_PROXY_PORT", "70000"),
            ("OUTBOUND_VIRTUAL", "yes"),
            ("MESH_PROTOCOL", "h3"),
            ("LABELS", "{]"),
            ("LABELS", "=v"),
        ] {
            let message = message("sidecar~1.2.3.4~x~", &[(key, value)]);
            assert!(message.starts_with(&format!("node metadata {key}=")), "{message}");
            assert!(message.contains("expected"), "{message}");
        }
    }
}
