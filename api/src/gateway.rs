//! Gateway: ports and hosts that a gateway opens (`spec/traffic-v1alpha3.md` §3).

mod server_tls;

use std::collections::BTreeSet;

pub use server_tls::{ServerTls, ServerTlsMode, TlsVersion};

use crate::fields::{At, Fields, Message};
use crate::host;
use crate::model::{Labels, Protocol};
use crate::output::Object;

/// Servers for the gateways that carry some labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gateway {
    /// Labels that the gateway's workload must carry; empty for all gateways.
    pub selector: Labels,
    /// What is opened, at least one.
    pub servers: Vec<Server>,
}

impl Message for Gateway {
    fn read(fields: &Fields<'_>) -> Gateway {
        let items = fields.items("servers");
        if items.is_empty() {
            fields.problem_at("servers", "gateway must have at least one server");
        }
        let mut names = BTreeSet::new();
        for port in items
            .iter()
            .filter_map(At::fields)
            .filter_map(|server| server.at("port")?.fields())
        {
            let name = port.text("name");
            if !name.is_empty() && !names.insert(name.clone()) {
                port.problem_at(
                    "name",
                    format!("port names in servers must be unique: duplicate name {name}"),
                );
            }
        }
        Gateway {
            selector: fields.labels("selector"),
            servers: fields.messages("servers"),
        }
    }

    fn write(&self, out: &mut Object) {
        out.labels("selector", &self.selector);
        out.messages("servers", &self.servers);
    }
}

/// One port, and the hosts that are served on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// The port.
    pub port: ServerPort,
    /// Hosts, `[namespace/]name`, at least one; see [`host::split_namespace`]. Names may be wildcards.
    pub hosts: Vec<String>,
    /// TLS on the port; absent for plain text.
    pub tls: Option<ServerTls>,
    /// Kept, without effect.
    pub bind: String,
    /// Kept, without effect.
    pub default_endpoint: String,
}

/// A port of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerPort {
    /// Number, 1 to 65535.
    pub number: u16,
    /// What is spoken.
    pub protocol: Protocol,
    /// Name, unique in the gateway.
    pub name: String,
}

impl Message for Server {
    fn read(fields: &Fields<'_>) -> Server {
        if !fields.has("port") {
            fields.problem_at("port", "server port is required");
        }
        let hosts = fields.items("hosts");
        if hosts.is_empty() {
            fields.problem_at("hosts", "server config must contain at least one host");
        }
        for at in &hosts {
            if let Some(text) = at.text() {
                check_host(at, text);
            }
        }
        let port: Option<ServerPort> = fields.message("port");
        if let Some(port) = &port {
            server_tls::check_protocol(fields, port.protocol);
        }
        Server {
            port: port.unwrap_or(ServerPort {
                number: 0,
                protocol: Protocol::Tcp,
                name: String::new(),
            }),
            hosts: fields.texts("hosts"),
            tls: fields.message("tls"),
            bind: fields.text("bind"),
            default_endpoint: fields.text("defaultEndpoint"),
        }
    }

    fn write(&self, out: &mut Object) {
        out.message("port", Some(&self.port));
        out.texts("hosts", &self.hosts);
        out.message("tls", self.tls.as_ref());
        out.text("bind", &self.bind);
        out.text("defaultEndpoint", &self.default_endpoint);
    }
}

impl Message for ServerPort {
    fn read(fields: &Fields<'_>) -> ServerPort {
        let name = fields.text("name");
        if name.is_empty() {
            fields.problem_at("name", "port name must be set");
        }
        if !fields.has("number") {
            fields.problem_at("number", "port number is required, 1..65535");
        }
        ServerPort {
            number: fields.port("number").unwrap_or(0),
            protocol: read_protocol(fields, "invalid protocol"),
            name,
        }
    }

    fn write(&self, out: &mut Object) {
        out.value("number", self.number);
        out.value("protocol", protocol_name(self.protocol));
        out.text("name", &self.name);
    }
}

/// A protocol of a port, in any case; `refusal` begins the message.
pub(crate) fn read_protocol(fields: &Fields<'_>, refusal: &str) -> Protocol {
    let written = fields.text("protocol");
    match written.parse() {
        Ok(protocol) if protocol != Protocol::Udp => protocol,
        _ => {
            fields.problem_at(
                "protocol",
                format!(
                    "{refusal} {written:?}, expected one of HTTP, HTTPS, GRPC, GRPC-WEB, HTTP2, MONGO, TCP, TLS, REDIS, MYSQL"
                ),
            );
            Protocol::Tcp
        }
    }
}

/// The name of a protocol in documents.
pub(crate) fn protocol_name(protocol: Protocol) -> String {
    protocol.as_str().to_ascii_uppercase()
}

fn check_host(at: &At<'_>, text: &str) {
    let (namespace, name) = host::split_namespace(text);
    if let Some(namespace) = namespace
        && !matches!(namespace, "*" | ".")
        && !host::is_label(namespace)
    {
        at.problem(format!(
            "invalid namespace value {namespace:?} in host, expected *, . or a DNS label"
        ));
    }
    if host::is_address(name) {
        return;
    }
    if let Err(error) = host::check_wildcard(name) {
        at.problem(error);
    } else if name != "*" && !name.contains('.') {
        at.problem(format!("short names (non FQDN) are not allowed, found {name:?}"));
    }
}

#[cfg(test)]
mod tests {
    use crate::kind::Kind;
    use crate::trial::check;

    #[test]
    fn servers_are_checked() {
        check(
            Kind::Gateway,
            &[
                (
                    "{selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: http}, hosts: ['*', ns/a.b, ./c.d, '*/*.e.f', 10.0.0.1], bind: 1.2.3.4, defaultEndpoint: '127.0.0.1:1'}]}",
                    &[],
                ),
                (
                    "{servers: [{port: {number: 27017, name: mongo, protocol: MONGO}, hosts: ['*']}]}",
                    &[],
                ),
                ("{}", &["spec.servers: gateway must have at least one server"]),
                (
                    "{servers: [{}]}",
                    &[
                        "spec.servers[0].hosts: server config must contain at least one host",
                        "spec.servers[0].port: server port is required",
                    ],
                ),
                (
                    "{servers: [{port: {}, hosts: [a.b]}]}",
                    &[
                        "spec.servers[0].port.name: port name must be set",
                        "spec.servers[0].port.number: port number is required, 1..65535",
                        "spec.servers[0].port.protocol: invalid protocol \"\", expected one of HTTP, HTTPS, GRPC, GRPC-WEB, HTTP2, MONGO, TCP, TLS, REDIS, MYSQL",
                    ],
                ),
                (
                    "{servers: [{port: {number: 0, name: a, protocol: UDP}, hosts: [a.b]}, {port: {number: 81, name: a, protocol: TCP}, hosts: [a.b]}]}",
                    &[
                        "spec.servers[0].port.number: port number 0 must be in the range 1..65535",
                        "spec.servers[0].port.protocol: invalid protocol \"UDP\", expected one of HTTP, HTTPS, GRPC, GRPC-WEB, HTTP2, MONGO, TCP, TLS, REDIS, MYSQL",
                        "spec.servers[1].port.name: port names in servers must be unique: duplicate name a",
                    ],
                ),
                (
                    "{servers: [{port: {number: 80, name: a, protocol: HTTP}, hosts: [short, a_b.c, N/a.b]}]}",
                    &[
                        "spec.servers[0].hosts[0]: short names (non FQDN) are not allowed, found \"short\"",
                        "spec.servers[0].hosts[1]: domain name \"a_b.c\" is invalid: label \"a_b\" must be 1 to 63 lower case letters, digits or '-', with a letter or digit at both ends",
                        "spec.servers[0].hosts[2]: invalid namespace value \"N\" in host, expected *, . or a DNS label",
                    ],
                ),
            ],
        );
    }
}
