//! EgressRule: an outside host that may be called (`spec/traffic-v1alpha2.md` §4).

use std::collections::BTreeSet;

use crate::fields::{Fields, Message};
use crate::model::Protocol;
use crate::output::Object;
use crate::service_ref::check_host;
use crate::subnet::Subnet;

/// Opens the way to hosts outside of the mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EgressRule {
    /// The host (a wildcard may stand at its left), an IPv4 address or a block of them.
    pub host: String,
    /// Ports that may be called, at least one.
    pub ports: Vec<EgressPort>,
}

/// A port of an outside host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EgressPort {
    /// Number, 1 to 65535, once per rule.
    pub port: u16,
    /// One of HTTP, HTTPS, HTTP2, GRPC, TCP, MONGO.
    pub protocol: Protocol,
}

/// What may be spoken, by its name in documents.
const PROTOCOLS: [(&str, Protocol); 6] = [
    ("HTTP", Protocol::Http),
    ("HTTPS", Protocol::Https),
    ("HTTP2", Protocol::Http2),
    ("GRPC", Protocol::Grpc),
    ("TCP", Protocol::Tcp),
    ("MONGO", Protocol::Mongo),
];

impl Message for EgressRule {
    fn read(fields: &Fields<'_>) -> EgressRule {
        let host = read_host(fields);
        let ports: Vec<EgressPort> = fields.messages("ports");
        if fields.items("ports").is_empty() {
            fields.problem_at("ports", "egress rule must have a ports list");
        }
        let mut seen = BTreeSet::new();
        for (at, port) in fields.items("ports").iter().zip(&ports) {
            if port.port != 0 && !seen.insert(port.port) {
                at.problem(format!("duplicate port: {}", port.port));
            }
        }
        check_families(fields, &host, &ports);
        if fields.flag("useEgressProxy") {
            fields.problem_at(
                "useEgressProxy",
                "directing traffic through egress proxy is not implemented yet",
            );
        }
        EgressRule { host, ports }
    }

    fn write(&self, out: &mut Object) {
        let mut destination = Object::default();
        destination.text("service", &self.host);
        out.value("destination", destination.finish());
        out.messages("ports", &self.ports);
    }
}

fn read_host(fields: &Fields<'_>) -> String {
    let Some(at) = fields.at("destination") else {
        fields.problem_at(
            "destination",
            "destination of egress rule must have destination field",
        );
        return String::new();
    };
    let Some(destination) = at.fields() else {
        return String::new();
    };
    for name in ["name", "namespace", "domain", "labels"] {
        if destination.has(name) {
            destination.problem_at(
                name,
                format!("destination of egress rule must not have {name} field"),
            );
        }
    }
    let host = destination.text("service");
    if host.is_empty() && !destination.is_broken("service") {
        destination.problem_at("service", "destination of egress rule must have service field");
    } else if !host.is_empty()
        && let Err(error) = check_host(&host)
    {
        destination.problem_at("service", error);
    }
    destination.finish();
    host
}

/// Blocks of addresses have no host names, so HTTP cannot be told apart there; TCP on the other hand has no
/// names, so it needs addresses.
fn check_families(fields: &Fields<'_>, host: &str, ports: &[EgressPort]) {
    let addresses = host.parse::<Subnet>().is_ok();
    for (at, port) in fields.items("ports").iter().zip(ports) {
        let tcp = matches!(port.protocol, Protocol::Tcp | Protocol::Mongo);
        if host.contains('/') && !tcp {
            at.problem("only TCP and MONGO ports may be called at a CIDR block");
        } else if tcp && !addresses && !host.contains('/') && !host.is_empty() {
            at.problem(format!(
                "{} ports need an IP address or a CIDR block as destination, found {host:?}",
                protocol_name(port.protocol)
            ));
        }
    }
}

impl Message for EgressPort {
    fn read(fields: &Fields<'_>) -> EgressPort {
        if !fields.has("port") {
            fields.problem_at("port", "port is required, 1..65535");
        }
        let written = fields.text("protocol");
        let protocol = PROTOCOLS
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(&written));
        if protocol.is_none() {
            let names = PROTOCOLS.map(|(name, _)| name).join(", ");
            fields.problem_at(
                "protocol",
                format!("egress rule support is available only for the following protocols: {names}, found {written:?}"),
            );
        }
        EgressPort {
            port: fields.port("port").unwrap_or(0),
            // Refused above; as HTTP it brings no further problem about the family.
            protocol: protocol.map_or(Protocol::Http, |(_, protocol)| *protocol),
        }
    }

    fn write(&self, out: &mut Object) {
        out.value("port", self.port);
        out.value("protocol", protocol_name(self.protocol));
    }
}

fn protocol_name(protocol: Protocol) -> &'static str {
    PROTOCOLS
        .iter()
        .find(|(_, known)| *known == protocol)
        .map_or("TCP", |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use crate::kind::Kind;
    use crate::trial::check;

    #[test]
    fn egress_rules_are_checked() {
        check(
            Kind::EgressRule,
            &[
                (
                    "{destination: {service: '*.foo.com'}, ports: [{port: 80, protocol: http}, {port: 443, protocol: HTTPS}]}",
                    &[],
                ),
                (
                    "{destination: {service: 10.1.0.0/16}, ports: [{port: 27017, protocol: mongo}], useEgressProxy: false}",
                    &[],
                ),
                (
                    "{destination: {service: 10.1.0.1}, ports: [{port: 80, protocol: grpc}, {port: 81, protocol: TCP}]}",
                    &[],
                ),
                (
                    "{ports: [{port: 80, protocol: HTTP}]}",
                    &["spec.destination: destination of egress rule must have destination field"],
                ),
                (
                    "{destination: {name: a, namespace: b, domain: c, labels: {d: e}}, ports: [{port: 80, protocol: HTTP}]}",
                    &[
                        "spec.destination.service: destination of egress rule must have service field",
                        "spec.destination.name: destination of egress rule must not have name field",
                        "spec.destination.namespace: destination of egress rule must not have namespace field",
                        "spec.destination.domain: destination of egress rule must not have domain field",
                        "spec.destination.labels: destination of egress rule must not have labels field",
                    ],
                ),
                (
                    "{destination: {service: a.b}}",
                    &["spec.ports: egress rule must have a ports list"],
                ),
                (
                    "{destination: {service: a.b}, ports: []}",
                    &["spec.ports: egress rule must have a ports list"],
                ),
                (
                    "{destination: {service: a.b}, ports: [{port: 80, protocol: HTTP}, {port: 80, protocol: HTTP2}]}",
                    &["spec.ports[1]: duplicate port: 80"],
                ),
                (
                    "{destination: {service: a.b}, ports: [{port: 0, protocol: HTTP}, {port: 65536, protocol: HTTP}, {protocol: HTTP}]}",
                    &[
                        "spec.ports[0].port: port number 0 must be in the range 1..65535",
                        "spec.ports[1].port: port number 65536 must be in the range 1..65535",
                        "spec.ports[2].port: port is required, 1..65535",
                    ],
                ),
                (
                    "{destination: {service: a.b}, ports: [{port: 80, protocol: UDP}]}",
                    &[
                        "spec.ports[0].protocol: egress rule support is available only for the following protocols: HTTP, HTTPS, HTTP2, GRPC, TCP, MONGO, found \"UDP\"",
                    ],
                ),
                (
                    "{destination: {service: 10.0.0.0/8}, ports: [{port: 80, protocol: HTTP}]}",
                    &["spec.ports[0]: only TCP and MONGO ports may be called at a CIDR block"],
                ),
                (
                    "{destination: {service: a.b}, ports: [{port: 80, protocol: TCP}]}",
                    &[
                        "spec.ports[0]: TCP ports need an IP address or a CIDR block as destination, found \"a.b\"",
                    ],
                ),
                (
                    "{destination: {service: 10.0.0.0/33}, ports: [{port: 80, protocol: TCP}]}",
                    &["spec.destination.service: 10.0.0.0/33 is not a valid CIDR block"],
                ),
                (
                    "{destination: {service: a.b}, ports: [{port: 80, protocol: HTTP}], use_egress_proxy: true}",
                    &["spec.useEgressProxy: directing traffic through egress proxy is not implemented yet"],
                ),
            ],
        );
    }
}
