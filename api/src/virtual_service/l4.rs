//! TLS and TCP routes of a VirtualService (`spec/traffic-v1alpha3.md` §1.2).

use super::check_gateways;
use super::destination::{Destination, check_weights, effective, read_required};
use crate::fields::{Fields, Message};
use crate::host;
use crate::model::Labels;
use crate::output::Object;
use crate::route_rule::read_weight;
use crate::subnet::{self, Subnet};

/// Connections under TLS, told apart by the name the caller asks for, and where they go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsRoute {
    /// Alternatives, at least one.
    pub matches: Vec<TlsMatch>,
    /// Where connections go, at least one.
    pub route: Vec<RouteDestination>,
}

impl Message for TlsRoute {
    fn read(fields: &Fields<'_>) -> TlsRoute {
        if fields.items("match").is_empty() {
            fields.problem_at("match", "TLS route must have at least one match condition");
        }
        TlsRoute {
            matches: fields.messages("match"),
            route: read_route(fields, "TLS"),
        }
    }

    fn write(&self, out: &mut Object) {
        out.messages("match", &self.matches);
        out.messages("route", &self.route);
    }
}

/// Other connections, and where they go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TcpRoute {
    /// Alternatives; empty for every connection.
    pub matches: Vec<TcpMatch>,
    /// Where connections go, at least one.
    pub route: Vec<RouteDestination>,
}

impl Message for TcpRoute {
    fn read(fields: &Fields<'_>) -> TcpRoute {
        TcpRoute {
            matches: fields.messages("match"),
            route: read_route(fields, "TCP"),
        }
    }

    fn write(&self, out: &mut Object) {
        out.messages("match", &self.matches);
        out.messages("route", &self.route);
    }
}

fn read_route(fields: &Fields<'_>, what: &str) -> Vec<RouteDestination> {
    let route: Vec<RouteDestination> = fields.messages("route");
    if fields.items("route").is_empty() {
        fields.problem_at(
            "route",
            format!("{what} route must have at least one destination"),
        );
    }
    check_weights(fields, route.iter().map(|entry| entry.weight));
    route
}

/// Conditions that a TLS connection must all fulfil.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsMatch {
    /// Names that the caller may ask for, at least one, each within a host of the virtual service.
    pub sni_hosts: Vec<String>,
    /// Conditions that TCP connections know too.
    pub tcp: TcpMatch,
}

impl Message for TlsMatch {
    fn read(fields: &Fields<'_>) -> TlsMatch {
        let items = fields.items("sniHosts");
        if items.is_empty() {
            fields.problem_at("sniHosts", "TLS match must have at least one SNI host");
        }
        for at in &items {
            if let Some(Err(error)) = at.text().map(host::check_wildcard) {
                at.problem(error);
            }
        }
        TlsMatch {
            sni_hosts: fields.texts("sniHosts"),
            tcp: TcpMatch::read(fields),
        }
    }

    fn write(&self, out: &mut Object) {
        out.texts("sniHosts", &self.sni_hosts);
        self.tcp.write(out);
    }
}

/// Conditions that a connection must all fulfil.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TcpMatch {
    /// Addresses called; empty for all.
    pub destination_subnets: Vec<Subnet>,
    /// Port called.
    pub port: Option<u16>,
    /// Addresses of the caller; absent for all.
    pub source_subnet: Option<Subnet>,
    /// Labels that the calling proxy must carry; without meaning at gateways.
    pub source_labels: Labels,
    /// Gateways that this match is for, in place of those of the virtual service.
    pub gateways: Vec<String>,
}

impl Message for TcpMatch {
    fn read(fields: &Fields<'_>) -> TcpMatch {
        check_gateways(fields);
        TcpMatch {
            destination_subnets: subnet::read_all(fields, "destinationSubnets"),
            port: fields.port("port"),
            source_subnet: fields.at("sourceSubnet").and_then(|at| subnet::read(&at)),
            source_labels: fields.labels("sourceLabels"),
            gateways: fields.texts("gateways"),
        }
    }

    fn write(&self, out: &mut Object) {
        out.texts("destinationSubnets", &self.destination_subnets);
        out.opt("port", self.port);
        out.opt(
            "sourceSubnet",
            self.source_subnet.map(|subnet| subnet.to_string()),
        );
        out.labels("sourceLabels", &self.source_labels);
        out.texts("gateways", &self.gateways);
    }
}

/// One place that connections may go to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteDestination {
    /// The place.
    pub destination: Destination,
    /// Percent as written, 0 when left out; see [`RouteDestination::weighted`] for what it means.
    pub weight: u32,
}

impl RouteDestination {
    /// The destinations of a route with the percent each of them takes: a single one takes all.
    pub fn weighted(route: &[RouteDestination]) -> impl Iterator<Item = (&Destination, u32)> {
        route
            .iter()
            .map(|entry| (&entry.destination, effective(entry.weight, route.len())))
    }
}

impl Message for RouteDestination {
    fn read(fields: &Fields<'_>) -> RouteDestination {
        RouteDestination {
            destination: read_required(fields),
            weight: read_weight(fields),
        }
    }

    fn write(&self, out: &mut Object) {
        out.message("destination", Some(&self.destination));
        out.integer("weight", self.weight);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Kind;
    use crate::resource::Spec;
    use crate::trial::{accepted, check};

    #[test]
    fn tls_and_tcp_routes_are_checked() {
        check(
            Kind::VirtualService,
            &[
                (
                    "{hosts: ['*.b.c'], gateways: [gw], tls: [{match: [{sniHosts: [a.b.c, '*.d.b.c'], port: 443, destinationSubnets: [10.0.0.0/8], sourceSubnet: 10.0.0.1, sourceLabels: {a: b}, gateways: [gw]}], route: [{destination: {host: a.b}}]}]}",
                    &[],
                ),
                (
                    "{hosts: [a.b], tcp: [{route: [{destination: {host: a.b}, weight: 50}, {destination: {host: c.d}, weight: 50}]}]}",
                    &[],
                ),
                (
                    "{hosts: [a.b], tls: [{}], tcp: [{}]}",
                    &[
                        "spec.tls[0].match: TLS route must have at least one match condition",
                        "spec.tls[0].route: TLS route must have at least one destination",
                        "spec.tcp[0].route: TCP route must have at least one destination",
                    ],
                ),
                (
                    "{hosts: [a.b], tls: [{match: [{}, {sniHosts: [c.d, a_b]}], route: [{destination: {host: a.b}}]}]}",
                    &[
                        "spec.tls[0].match[0].sniHosts: TLS match must have at least one SNI host",
                        "spec.tls[0].match[1].sniHosts[0]: SNI host \"c.d\" is not a compatible subset of any of the virtual service hosts: [a.b]",
                        "spec.tls[0].match[1].sniHosts[1]: domain name \"a_b\" is invalid: label \"a_b\" must be 1 to 63 lower case letters, digits or '-', with a letter or digit at both ends",
                    ],
                ),
                (
                    "{hosts: [a.b], tcp: [{match: [{destinationSubnets: [x], port: 65536, sourceSubnet: 1.2.3.4/40, gateways: ['']}], route: [{destination: {host: a.b}, weight: 1}, {destination: {host: a.b}, weight: 1}]}]}",
                    &[
                        "spec.tcp[0].match[0].destinationSubnets[0]: x is not a valid IP",
                        "spec.tcp[0].match[0].port: port number 65536 must be in the range 1..65535",
                        "spec.tcp[0].match[0].sourceSubnet: 1.2.3.4/40 is not a valid CIDR block",
                        "spec.tcp[0].match[0].gateways[0]: config namespace and gateway name cannot be empty",
                        "spec.tcp[0].route: total destination weight 2 != 100",
                    ],
                ),
            ],
        );
    }

    #[test]
    fn a_single_destination_takes_every_connection() {
        let spec = "{hosts: [a.b], tcp: [{route: [{destination: {host: a.b}, weight: 3}]}]}";
        let Spec::VirtualService(service) = accepted(Kind::VirtualService, spec).spec else {
            panic!("{spec}")
        };
        let percents: Vec<u32> = RouteDestination::weighted(&service.tcp[0].route)
            .map(|(_, percent)| percent)
            .collect();
        assert_eq!(percents, [100]);
    }
}
