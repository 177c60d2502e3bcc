//! ServiceEntry: a service that no registry lists (`spec/traffic-v1alpha3.md` §4).

use std::collections::{BTreeMap, BTreeSet};

use crate::choice::Choice;
use crate::export_to::ExportTo;
use crate::fields::{At, Fields, Message, port};
use crate::gateway::{protocol_name, read_protocol};
use crate::host;
use crate::model::{Labels, Protocol};
use crate::output::Object;
use crate::subnet::{self, Subnet};

/// A service, by hand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceEntry {
    /// Hosts, at least one; wildcards allowed, `*` alone is not.
    pub hosts: Vec<String>,
    /// Virtual addresses; blocks only with resolution NONE or STATIC.
    pub addresses: Vec<Subnet>,
    /// Ports, at least one; numbers and names are unique.
    pub ports: Vec<EntryPort>,
    /// Whether the service is part of the mesh.
    pub location: Location,
    /// How endpoints are found.
    pub resolution: EntryResolution,
    /// Endpoints; none with resolution NONE.
    pub endpoints: Vec<Endpoint>,
    /// Who sees the object; absent for the mesh's default.
    pub export_to: Option<ExportTo>,
    /// Names that the service's certificates may carry.
    pub subject_alt_names: Vec<String>,
}

/// A port of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryPort {
    /// Number, 1 to 65535.
    pub number: u16,
    /// What is spoken.
    pub protocol: Protocol,
    /// Name, a DNS label.
    pub name: String,
}

/// Whether a service is part of the mesh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Location {
    /// Somebody else's.
    #[default]
    MeshExternal,
    /// Ours: mutual TLS and policy on the server's side.
    MeshInternal,
}

impl Choice for Location {
    const VALUES: &'static [(i64, &'static str, Location)] = &[
        (0, "MESH_EXTERNAL", Location::MeshExternal),
        (1, "MESH_INTERNAL", Location::MeshInternal),
    ];
}

/// How endpoints are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntryResolution {
    /// The caller's own address is used.
    #[default]
    None,
    /// They are listed here.
    Static,
    /// By DNS: of the endpoints when there are some, else of the host.
    Dns,
}

impl Choice for EntryResolution {
    const VALUES: &'static [(i64, &'static str, EntryResolution)] = &[
        (0, "NONE", EntryResolution::None),
        (1, "STATIC", EntryResolution::Static),
        (2, "DNS", EntryResolution::Dns),
    ];
}

/// Where a service runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// An address; with DNS also a name; with STATIC also `unix:///path`.
    pub address: String,
    /// Port by name of the service's port; ports that are missing have the service's number.
    pub ports: BTreeMap<String, u16>,
    /// Labels of the instance.
    pub labels: Labels,
    /// Network of the instance; empty for the default one.
    pub network: String,
    /// `region/zone/subzone`; empty when unknown.
    pub locality: String,
    /// Load-balancing weight; 0 when not given, which counts as 1.
    pub weight: u32,
}

/// Beginning of an endpoint address that is a socket in the file system.
const UNIX: &str = "unix://";

impl Message for ServiceEntry {
    fn read(fields: &Fields<'_>) -> ServiceEntry {
        let entry = ServiceEntry {
            hosts: fields.texts("hosts"),
            addresses: subnet::read_all(fields, "addresses"),
            ports: fields.messages("ports"),
            location: fields.choice("location").unwrap_or_default(),
            resolution: fields.choice("resolution").unwrap_or_default(),
            endpoints: fields.messages("endpoints"),
            export_to: ExportTo::read(fields),
            subject_alt_names: fields.texts("subjectAltNames"),
        };
        check_hosts(fields);
        check_ports(fields);
        check_resolution(fields, &entry);
        check_endpoints(fields, &entry);
        entry
    }

    fn write(&self, out: &mut Object) {
        out.texts("hosts", &self.hosts);
        out.texts("addresses", &self.addresses);
        out.messages("ports", &self.ports);
        out.choice(
            "location",
            Some(self.location).filter(|location| *location != Location::MeshExternal),
        );
        out.choice(
            "resolution",
            Some(self.resolution).filter(|resolution| *resolution != EntryResolution::None),
        );
        out.messages("endpoints", &self.endpoints);
        ExportTo::write(self.export_to, out);
        out.texts("subjectAltNames", &self.subject_alt_names);
    }
}

fn check_hosts(fields: &Fields<'_>) {
    let hosts = fields.items("hosts");
    if hosts.is_empty() {
        fields.problem_at("hosts", "service entry must have at least one host");
    }
    for at in &hosts {
        match at.text() {
            Some("*") => at.problem("invalid host *"),
            Some(text) => {
                if let Err(error) = host::check_wildcard(text) {
                    at.problem(error);
                }
            }
            None => {}
        }
    }
}

fn check_ports(fields: &Fields<'_>) {
    let ports = fields.items("ports");
    if ports.is_empty() {
        fields.problem_at("ports", "service entry must have at least one port");
    }
    let (mut names, mut numbers) = (BTreeSet::new(), BTreeSet::new());
    for port in ports.iter().filter_map(At::fields) {
        let name = port.text("name");
        if !name.is_empty() && !names.insert(name.clone()) {
            port.problem_at(
                "name",
                format!("service entry port name {name:?} already defined"),
            );
        }
        if let Some(number) = port.at("number").and_then(|at| at.integer())
            && !numbers.insert(number)
        {
            port.problem_at("number", format!("service entry port {number} already defined"));
        }
    }
}

fn check_resolution(fields: &Fields<'_>, entry: &ServiceEntry) {
    let endpoints = fields.items("endpoints").len();
    match entry.resolution {
        EntryResolution::None if endpoints > 0 => {
            fields.problem_at(
                "endpoints",
                "no endpoints should be provided for resolution type none",
            );
        }
        EntryResolution::Static if endpoints == 0 => {
            fields.problem_at(
                "endpoints",
                "endpoints must be provided if service entry resolution mode is static",
            );
        }
        EntryResolution::Dns if endpoints == 0 => {
            for at in fields.items("hosts") {
                if at.text().is_some_and(|host| host.starts_with('*')) {
                    at.problem("hosts must be FQDN if no endpoints are provided for resolution mode DNS");
                }
            }
        }
        _ => {}
    }
    if entry.resolution == EntryResolution::Dns {
        for at in fields.items("addresses") {
            if at.text().is_some_and(|address| address.contains('/')) {
                at.problem("CIDR addresses are allowed only for NONE/STATIC resolution types");
            }
        }
    }
    let named =
        |protocol: Protocol| protocol.is_http() || matches!(protocol, Protocol::Https | Protocol::Tls);
    if entry.hosts.len() > 1
        && entry.resolution != EntryResolution::None
        && entry.ports.iter().any(|port| !named(port.protocol))
    {
        fields.problem_at("hosts", "multiple hosts provided with non-HTTP, non-TLS ports");
    }
}

fn check_endpoints(fields: &Fields<'_>, entry: &ServiceEntry) {
    let names: BTreeSet<&str> = entry.ports.iter().map(|port| port.name.as_str()).collect();
    for endpoint in fields.items("endpoints").iter().filter_map(At::fields) {
        check_address(&endpoint, entry);
        for (name, at) in endpoint.entries("ports") {
            if !names.contains(name) {
                at.problem(format!(
                    "endpoint port {name} is not defined by the service entry"
                ));
            }
        }
    }
}

fn check_address(endpoint: &Fields<'_>, entry: &ServiceEntry) {
    let address = endpoint.text("address");
    if let Some(path) = address.strip_prefix(UNIX) {
        if entry.resolution != EntryResolution::Static {
            endpoint.problem_at("address", "unix endpoints are allowed only for STATIC resolution");
        }
        if entry.ports.len() != 1 || endpoint.has("ports") {
            endpoint.problem_at(
                "address",
                "unix endpoint requires exactly one port of the service entry and no ports of its own",
            );
        }
        if path.is_empty() || path.contains('\0') {
            endpoint.problem_at(
                "address",
                format!("invalid unix socket {address:?}, expected unix:///path"),
            );
        }
        return;
    }
    match entry.resolution {
        EntryResolution::None => {}
        EntryResolution::Static if !host::is_address(&address) => endpoint.problem_at(
            "address",
            format!("invalid endpoint address {address:?}, expected an IP address or unix:///path"),
        ),
        EntryResolution::Dns if !host::is_address(&address) && host::check_fqdn(&address).is_err() => {
            endpoint.problem_at(
                "address",
                format!("endpoint address {address:?} is not a valid FQDN or an IP address"),
            );
        }
        EntryResolution::Static | EntryResolution::Dns => {}
    }
}

impl Message for EntryPort {
    fn read(fields: &Fields<'_>) -> EntryPort {
        let name = fields.text("name");
        if !host::is_label(&name) {
            fields.problem_at("name", format!("port name {name:?} must be a valid label"));
        }
        if !fields.has("number") {
            fields.problem_at("number", "port number is required, 1..65535");
        }
        EntryPort {
            number: fields.port("number").unwrap_or(0),
            protocol: read_protocol(fields, "unsupported protocol"),
            name,
        }
    }

    fn write(&self, out: &mut Object) {
        out.value("number", self.number);
        out.value("protocol", protocol_name(self.protocol));
        out.text("name", &self.name);
    }
}

impl Message for Endpoint {
    fn read(fields: &Fields<'_>) -> Endpoint {
        Endpoint {
            address: fields.text("address"),
            ports: fields
                .entries("ports")
                .into_iter()
                .filter_map(|(name, at)| Some((name.to_owned(), port(&at)?)))
                .collect(),
            labels: fields.labels("labels"),
            network: fields.text("network"),
            locality: fields.text("locality"),
            weight: fields.integer("weight").unwrap_or(0),
        }
    }

    fn write(&self, out: &mut Object) {
        out.text("address", &self.address);
        if !self.ports.is_empty() {
            let ports = self
                .ports
                .iter()
                .map(|(name, port)| (name.clone(), (*port).into()))
                .collect();
            out.value("ports", serde_json::Value::Object(ports));
        }
        out.labels("labels", &self.labels);
        out.text("network", &self.network);
        out.text("locality", &self.locality);
        out.integer("weight", self.weight);
    }
}

#[cfg(test)]
mod tests {
    use crate::kind::Kind;
    use crate::trial::check;

    const PORT: &str = "ports: [{number: 80, name: http, protocol: HTTP}]";

    fn check_entry(cases: &[(&str, &[&str])]) {
        for (entry, expected) in cases {
            check(
                Kind::ServiceEntry,
                &[(&format!("{{{}}}", entry.replace("PORT", PORT)), expected)],
            );
        }
    }

    #[test]
    fn hosts_ports_and_addresses_are_checked() {
        check_entry(&[
            (
                "hosts: ['*.a.b', c.d], PORT, location: MESH_INTERNAL, exportTo: ['.'], subjectAltNames: [x]",
                &[],
            ),
            (
                "hosts: [a.b], addresses: [10.0.0.0/8], ports: [{number: 1, name: a, protocol: TCP}, {number: 2, name: b, protocol: grpc-web}]",
                &[],
            ),
            (
                "location: MESH",
                &[
                    "spec.hosts: service entry must have at least one host",
                    "spec.ports: service entry must have at least one port",
                    "spec.location: must be one of MESH_EXTERNAL, MESH_INTERNAL, found the text \"MESH\"",
                ],
            ),
            (
                "hosts: ['*', a_b], PORT",
                &[
                    "spec.hosts[0]: invalid host *",
                    "spec.hosts[1]: domain name \"a_b\" is invalid: label \"a_b\" must be 1 to 63 lower case letters, digits or '-', with a letter or digit at both ends",
                ],
            ),
            (
                "hosts: [a.b], addresses: [x], ports: [{number: 1, name: a, protocol: TCP}, {number: 1, name: a, protocol: UDP}, {name: A_b, protocol: TCP}]",
                &[
                    "spec.addresses[0]: x is not a valid IP",
                    "spec.ports[1].number: service entry port 1 already defined",
                    "spec.ports[1].name: service entry port name \"a\" already defined",
                    "spec.ports[1].protocol: unsupported protocol \"UDP\", expected one of HTTP, HTTPS, GRPC, GRPC-WEB, HTTP2, MONGO, TCP, TLS, REDIS, MYSQL",
                    "spec.ports[2].number: port number is required, 1..65535",
                    "spec.ports[2].name: port name \"A_b\" must be a valid label",
                ],
            ),
        ]);
    }

    #[test]
    fn endpoints_fit_their_resolution() {
        check_entry(&[
            (
                "hosts: [a.b], PORT, resolution: STATIC, addresses: [10.0.0.0/8], endpoints: [{address: 10.0.0.1, ports: {http: 8080}, labels: {version: v1}, network: n, locality: r/z, weight: 5}]",
                &[],
            ),
            (
                "hosts: [a.b], PORT, resolution: STATIC, endpoints: [{address: 'unix:///run/a.sock'}]",
                &[],
            ),
            (
                "hosts: ['*.a.b'], PORT, resolution: DNS, endpoints: [{address: c.d}, {address: 10.0.0.1}]",
                &[],
            ),
            (
                "hosts: [a.b], PORT, endpoints: [{address: 10.0.0.1}]",
                &["spec.endpoints: no endpoints should be provided for resolution type none"],
            ),
            (
                "hosts: [a.b], PORT, resolution: STATIC",
                &["spec.endpoints: endpoints must be provided if service entry resolution mode is static"],
            ),
            (
                "hosts: ['*.a.b'], PORT, resolution: DNS, addresses: [10.0.0.0/8]",
                &[
                    "spec.hosts[0]: hosts must be FQDN if no endpoints are provided for resolution mode DNS",
                    "spec.addresses[0]: CIDR addresses are allowed only for NONE/STATIC resolution types",
                ],
            ),
            (
                "hosts: [a.b, c.d], ports: [{number: 1, name: a, protocol: TCP}], resolution: DNS",
                &["spec.hosts: multiple hosts provided with non-HTTP, non-TLS ports"],
            ),
            (
                "hosts: [a.b, c.d], ports: [{number: 1, name: a, protocol: TLS}, {number: 2, name: b, protocol: HTTP2}], resolution: DNS",
                &[],
            ),
            (
                "hosts: [a.b], PORT, resolution: STATIC, endpoints: [{address: c.d, ports: {x: 1, http: 0}, labels: {a: ' '}}]",
                &[
                    "spec.endpoints[0].address: invalid endpoint address \"c.d\", expected an IP address or unix:///path",
                    "spec.endpoints[0].ports.x: endpoint port x is not defined by the service entry",
                    "spec.endpoints[0].ports.http: port number 0 must be in the range 1..65535",
                    "spec.endpoints[0].labels.a: invalid tag value: \" \"",
                ],
            ),
            (
                "hosts: [a.b], PORT, resolution: DNS, endpoints: [{address: a_b}]",
                &["spec.endpoints[0].address: endpoint address \"a_b\" is not a valid FQDN or an IP address"],
            ),
            (
                "hosts: [a.b], PORT, resolution: DNS, endpoints: [{address: 'unix:///x'}]",
                &["spec.endpoints[0].address: unix endpoints are allowed only for STATIC resolution"],
            ),
            (
                "hosts: [a.b], PORT, resolution: STATIC, endpoints: [{address: 'unix://', ports: {http: 1}}]",
                &[
                    "spec.endpoints[0].address: unix endpoint requires exactly one port of the service entry and no ports of its own",
                    "spec.endpoints[0].address: invalid unix socket \"unix://\", expected unix:///path",
                ],
            ),
        ]);
    }
}
