//! A destination of the second generation: host, subset and port.

use crate::fields::{Fields, Message};
use crate::host;
use crate::output::Object;

/// Where requests go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Destination {
    /// Host of the service; a short name is completed in the rule's namespace.
    pub host: String,
    /// Subset that a DestinationRule of the host defines; empty for all instances.
    pub subset: String,
    /// Port of the service; absent for its only one, else the port the caller used.
    pub port: Option<u16>,
}

impl Message for Destination {
    fn read(fields: &Fields<'_>) -> Destination {
        let host = fields.text("host");
        if host == "*" {
            fields.problem_at("host", "invalid destintation host *");
        } else if host.is_empty() && !fields.is_broken("host") {
            fields.problem_at("host", "destination host is required");
        } else if !host.is_empty()
            && let Err(error) = host::check_wildcard(&host)
        {
            fields.problem_at("host", error);
        }
        let subset = fields.text("subset");
        if !subset.is_empty() && !host::is_label(&subset) {
            fields.problem_at(
                "subset",
                format!("subset name is invalid: {subset:?} must be a DNS label"),
            );
        }
        Destination {
            host,
            subset,
            port: read_port(fields),
        }
    }

    fn write(&self, out: &mut Object) {
        out.text("host", &self.host);
        out.text("subset", &self.subset);
        if let Some(number) = self.port {
            let mut port = Object::default();
            port.value("number", number);
            out.value("port", port.finish());
        }
    }
}

fn read_port(fields: &Fields<'_>) -> Option<u16> {
    let port = fields.at("port")?.fields()?;
    if port.has("name") {
        let name = port.text("name");
        port.problem_at(
            "name",
            format!("port.name {name} is no longer supported for destination, use port.number"),
        );
    } else if !port.has("number") {
        port.problem_at("number", "port number is required, 1..65535");
    }
    let number = port.port("number");
    port.finish();
    number
}

/// The destination of a route entry or mirror; `None` is told as missing.
pub(super) fn read_required(fields: &Fields<'_>) -> Destination {
    if !fields.has("destination") {
        fields.problem_at("destination", "destination is required");
    }
    fields.message("destination").unwrap_or_default()
}

/// Weights must add up to 100 when there is more than one.
pub(super) fn check_weights(fields: &Fields<'_>, weights: impl ExactSizeIterator<Item = u32>) {
    let several = weights.len() > 1;
    let total: u32 = weights.sum();
    if several && total != 100 {
        fields.problem_at("route", format!("total destination weight {total} != 100"));
    }
}

/// The percent that each of several entries takes: a single one takes all, entries without weight nothing.
pub(super) fn effective(written: u32, entries: usize) -> u32 {
    if entries == 1 { 100 } else { written }
}

#[cfg(test)]
mod tests {
    use crate::kind::Kind;
    use crate::trial::check;

    #[test]
    fn destinations_are_checked() {
        check(
            Kind::VirtualService,
            &[
                (
                    "{hosts: [a.b], http: [{route: [{destination: {host: a, subset: v1, port: {number: 80}}}]}]}",
                    &[],
                ),
                (
                    "{hosts: [a.b], http: [{route: [{}, {destination: {}}]}]}",
                    &[
                        "spec.http[0].route: total destination weight 0 != 100",
                        "spec.http[0].route[0].destination: destination is required",
                        "spec.http[0].route[1].destination.host: destination host is required",
                    ],
                ),
                (
                    "{hosts: [a.b], http: [{route: [{destination: {host: '*', subset: V1, port: {name: http}}}]}]}",
                    &[
                        "spec.http[0].route[0].destination.host: invalid destintation host *",
                        "spec.http[0].route[0].destination.subset: subset name is invalid: \"V1\" must be a DNS label",
                        "spec.http[0].route[0].destination.port.name: port.name http is no longer supported for destination, use port.number",
                    ],
                ),
                (
                    "{hosts: [a.b], http: [{route: [{destination: {host: a_b, port: {}}}]}]}",
                    &[
                        "spec.http[0].route[0].destination.host: domain name \"a_b\" is invalid: label \"a_b\" must be 1 to 63 lower case letters, digits or '-', with a letter or digit at both ends",
                        "spec.http[0].route[0].destination.port.number: port number is required, 1..65535",
                    ],
                ),
                (
                    "{hosts: [a.b], http: [{route: [{destination: {host: a.b, port: {number: 70000}}}]}]}",
                    &[
                        "spec.http[0].route[0].destination.port.number: port number 70000 must be in the range 1..65535",
                    ],
                ),
            ],
        );
    }
}
