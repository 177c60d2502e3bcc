//! VirtualService: how requests to hosts are routed (`spec/traffic-v1alpha3.md` §1).

mod destination;
mod fault;
mod http;
mod l4;

pub use destination::Destination;
pub use fault::{Abort, Delay, Fault};
pub use http::{HttpAction, HttpMatch, HttpRoute, HttpRouteDestination, Retries};
pub use l4::{RouteDestination, TcpMatch, TcpRoute, TlsMatch, TlsRoute};

use crate::document::node::shortened;
use crate::export_to::ExportTo;
use crate::fields::{At, Fields, Message};
use crate::host::{self, Patterns};
use crate::output::Object;

/// Routes for the callers of hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VirtualService {
    /// Hosts as callers address them: names (short ones too), wildcards, addresses. At least one, none twice.
    pub hosts: Vec<String>,
    /// Gateways, `name` or `namespace/name`, that use the routes; `mesh` stands for all sidecars. Empty for
    /// `mesh` alone, see [`VirtualService::binds_to_mesh`].
    pub gateways: Vec<String>,
    /// Routes of HTTP ports, first match wins.
    pub http: Vec<HttpRoute>,
    /// Routes of TLS ports that are not terminated, by SNI.
    pub tls: Vec<TlsRoute>,
    /// Routes of other ports.
    pub tcp: Vec<TcpRoute>,
    /// Who sees the object; absent for the mesh's default.
    pub export_to: Option<ExportTo>,
}

/// The reserved gateway name that stands for all sidecars.
pub const MESH_GATEWAY: &str = "mesh";

impl VirtualService {
    /// True when sidecars use the routes.
    pub fn binds_to_mesh(&self) -> bool {
        self.gateways.is_empty() || self.gateways.iter().any(|gateway| gateway == MESH_GATEWAY)
    }
}

impl Message for VirtualService {
    fn read(fields: &Fields<'_>) -> VirtualService {
        let service = VirtualService {
            hosts: fields.texts("hosts"),
            gateways: fields.texts("gateways"),
            http: fields.messages("http"),
            tls: fields.messages("tls"),
            tcp: fields.messages("tcp"),
            export_to: ExportTo::read(fields),
        };
        check_gateways(fields);
        check_hosts(fields, service.binds_to_mesh());
        if fields.items("http").is_empty() && fields.items("tls").is_empty() && fields.items("tcp").is_empty()
        {
            fields.problem("http, tcp or tls must be provided in virtual service");
        }
        check_sni_hosts(fields, &service.hosts);
        service
    }

    fn write(&self, out: &mut Object) {
        out.texts("hosts", &self.hosts);
        out.texts("gateways", &self.gateways);
        out.messages("http", &self.http);
        out.messages("tls", &self.tls);
        out.messages("tcp", &self.tcp);
        ExportTo::write(self.export_to, out);
    }
}

fn check_hosts(fields: &Fields<'_>, mesh: bool) {
    let items = fields.items("hosts");
    if items.is_empty() {
        fields.problem_at("hosts", "virtual service must have at least one host");
    }
    let mut earlier = Patterns::default();
    for at in &items {
        let Some(text) = at.text() else { continue };
        match host::check_wildcard(text) {
            Ok(()) => {}
            Err(_) if host::is_address(text) => {}
            Err(error) => {
                at.problem(error);
                continue;
            }
        }
        if text == "*" && mesh {
            at.problem("wildcard host * is not allowed for virtual services bound to the mesh gateway");
        }
        if let Some(other) = earlier.overlapping(text) {
            at.problem(format!("duplicate hosts in virtual service: {other} & {text}"));
        }
        earlier.insert(text);
    }
}

/// Checks the gateway names of a virtual service or of one of its matches.
fn check_gateways(fields: &Fields<'_>) {
    for at in fields.items("gateways") {
        if let Some(text) = at.text() {
            check_gateway(&at, text);
        }
    }
}

fn check_gateway(at: &At<'_>, text: &str) {
    let (namespace, name) = host::split_namespace(text);
    if name.is_empty() || namespace == Some("") {
        at.problem("config namespace and gateway name cannot be empty");
    } else if namespace.is_some_and(|namespace| !host::is_label(namespace)) {
        at.problem(format!("invalid value for namespace: {text:?}"));
    } else if let Err(error) = host::check_fqdn(name) {
        at.problem(format!("invalid value for gateway name: {error}"));
    }
}

/// Each SNI host of a TLS route must be one of the hosts that the virtual service is about.
fn check_sni_hosts(fields: &Fields<'_>, hosts: &[String]) {
    let mut known = Patterns::default();
    for host in hosts.iter().filter(|host| host::check_wildcard(host).is_ok()) {
        known.insert(host);
    }
    for route in fields.items("tls").iter().filter_map(At::fields) {
        for matched in route.items("match").iter().filter_map(At::fields) {
            for at in matched.items("sniHosts") {
                let Some(sni) = at.text().filter(|sni| host::check_wildcard(sni).is_ok()) else {
                    continue;
                };
                if known.covering(sni).is_none() {
                    at.problem(format!(
                        "SNI host {sni:?} is not a compatible subset of any of the virtual service hosts: [{}]",
                        shortened(&hosts.iter().take(10).cloned().collect::<Vec<_>>().join(", "))
                    ));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::kind::Kind;
    use crate::resource::Spec;
    use crate::trial::{accepted, check};

    #[test]
    fn hosts_and_gateways_are_checked() {
        check(
            Kind::VirtualService,
            &[
                (
                    "{hosts: [reviews, a.b, 10.0.0.1, '*.c.d'], http: [{route: [{destination: {host: a.b}}]}], exportTo: ['.']}",
                    &[],
                ),
                (
                    "{hosts: ['*'], gateways: [gw, ns/gw, gw.example.com], http: [{route: [{destination: {host: a.b}}]}], export_to: ['*']}",
                    &[],
                ),
                (
                    "{}",
                    &[
                        "spec: http, tcp or tls must be provided in virtual service",
                        "spec.hosts: virtual service must have at least one host",
                    ],
                ),
                (
                    "{hosts: ['*', 'a_b'], http: [{route: [{destination: {host: a.b}}]}]}",
                    &[
                        "spec.hosts[0]: wildcard host * is not allowed for virtual services bound to the mesh gateway",
                        "spec.hosts[1]: domain name \"a_b\" is invalid: label \"a_b\" must be 1 to 63 lower case letters, digits or '-', with a letter or digit at both ends",
                    ],
                ),
                (
                    "{hosts: ['*'], gateways: [gw, mesh], http: [{route: [{destination: {host: a.b}}]}]}",
                    &[
                        "spec.hosts[0]: wildcard host * is not allowed for virtual services bound to the mesh gateway",
                    ],
                ),
                (
                    "{hosts: ['*.b.c', a.b.c], http: [{route: [{destination: {host: a.b}}]}]}",
                    &["spec.hosts[1]: duplicate hosts in virtual service: *.b.c & a.b.c"],
                ),
                (
                    "{hosts: [a.b], gateways: ['', ns/, /gw, N/gw, g_w], http: [{route: [{destination: {host: a.b}}]}]}",
                    &[
                        "spec.gateways[0]: config namespace and gateway name cannot be empty",
                        "spec.gateways[1]: config namespace and gateway name cannot be empty",
                        "spec.gateways[2]: config namespace and gateway name cannot be empty",
                        "spec.gateways[3]: invalid value for namespace: \"N/gw\"",
                        "spec.gateways[4]: invalid value for gateway name: domain name \"g_w\" is invalid: label \"g_w\" must be 1 to 63 lower case letters, digits or '-', with a letter or digit at both ends",
                    ],
                ),
                (
                    "{hosts: [a.b], http: [{route: [{destination: {host: a.b}}]}], exportTo: ['.', x]}",
                    &[
                        "spec.exportTo: exportTo should have only one entry (. or *) in the current release",
                        "spec.exportTo[1]: only . or * is allowed in the exportTo in the current release, found \"x\"",
                    ],
                ),
            ],
        );
    }

    #[test]
    fn the_mesh_is_bound_by_name_or_by_naming_nothing() {
        for (gateways, expected) in [("[]", true), ("[gw]", false), ("[gw, mesh]", true)] {
            let spec = format!(
                "{{hosts: [a.b], gateways: {gateways}, http: [{{route: [{{destination: {{host: a.b}}}}]}}]}}"
            );
            let Spec::VirtualService(service) = accepted(Kind::VirtualService, &spec).spec else {
                panic!("{spec}")
            };
            assert_eq!(service.binds_to_mesh(), expected, "{gateways}");
        }
    }
}
