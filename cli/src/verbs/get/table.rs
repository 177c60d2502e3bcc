//! The tables of `get`, in the shapes of both generations of `istioctl`.

use std::collections::BTreeMap;
use std::time::SystemTime;

use outrigger_api::kind::Kind;
use outrigger_api::resource::{Resource, Spec};
use outrigger_api::virtual_service::MESH_GATEWAY;

use crate::pilot::{Proxy, Subject};

/// Which heading a kind is listed under. The order is the order on the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Layout {
    /// `GATEWAY NAME`.
    Gateway,
    /// `VIRTUAL-SERVICE NAME`.
    VirtualService,
    /// `DESTINATION-RULE NAME`.
    DestinationRule,
    /// `SERVICE-ENTRY NAME`.
    ServiceEntry,
    /// `NAME KIND NAMESPACE`, the first generation's.
    Plain,
    /// `HOST ADDRESS`.
    ServiceAddress,
}

impl Layout {
    /// The layout of a kind.
    pub(super) fn of(kind: Kind) -> Layout {
        match kind {
            Kind::Gateway => Layout::Gateway,
            Kind::VirtualService => Layout::VirtualService,
            Kind::DestinationRule => Layout::DestinationRule,
            Kind::ServiceEntry => Layout::ServiceEntry,
            Kind::ServiceAddress => Layout::ServiceAddress,
            Kind::RouteRule | Kind::DestinationPolicy | Kind::EgressRule => Layout::Plain,
        }
    }

    fn heading(self) -> &'static [&'static str] {
        match self {
            Layout::Gateway => &["GATEWAY NAME", "HOSTS", "NAMESPACE", "AGE"],
            Layout::VirtualService => &[
                "VIRTUAL-SERVICE NAME",
                "GATEWAYS",
                "HOSTS",
                "#HTTP",
                "#TCP",
                "NAMESPACE",
                "AGE",
            ],
            Layout::DestinationRule => &["DESTINATION-RULE NAME", "HOST", "SUBSETS", "NAMESPACE", "AGE"],
            Layout::ServiceEntry => &["SERVICE-ENTRY NAME", "HOSTS", "PORTS", "NAMESPACE", "AGE"],
            Layout::ServiceAddress => &["NAME", "HOST", "ADDRESS", "AGE"],
            Layout::Plain => &["NAME", "KIND", "NAMESPACE"],
        }
    }
}

/// What became of the objects, for `-o wide`.
#[derive(Clone, Debug, Default)]
pub(super) struct Distribution {
    /// Every connected proxy.
    pub(super) proxies: Vec<Proxy>,
    /// What pilot found, by key of the object.
    pub(super) findings: BTreeMap<String, Vec<String>>,
}

impl Distribution {
    /// Generation of the object, the proxies that run it, those that refuse it and why, and what pilot found.
    fn columns(&self, resource: &Resource) -> Vec<String> {
        let subject = Subject::of(resource);
        let (mut running, mut refused) = (Vec::new(), Vec::new());
        let proxies = self
            .proxies
            .iter()
            .filter(|proxy| concerns(&resource.spec, proxy));
        let all = proxies.clone().count();
        for proxy in proxies {
            let refusals: Vec<String> = proxy.refusals_of(&subject).map(ToString::to_string).collect();
            if !refusals.is_empty() {
                refused.push(format!("{}: {}", proxy.name(), refusals.join(", ")));
            } else if proxy.acked_version >= subject.version {
                running.push(proxy.name());
            }
        }
        let found = self.findings.get(&resource.key().to_string());
        let or_none = |text: String| if text.is_empty() { "-".to_owned() } else { text };
        let count = format!("{}/{all}", running.len());
        vec![
            resource.meta.generation.to_string(),
            format!("{count} {}", running.join(",")).trim_end().to_owned(),
            or_none(refused.join("; ")),
            or_none(found.map(|found| found.join("; ")).unwrap_or_default()),
        ]
    }
}

/// False for an object of the edge at a sidecar, and for one of the mesh at a gateway.
fn concerns(spec: &Spec, proxy: &Proxy) -> bool {
    match spec {
        Spec::Gateway(_) => proxy.is_router(),
        Spec::VirtualService(service) if proxy.is_router() => {
            service.gateways.iter().any(|gateway| gateway != MESH_GATEWAY)
        }
        Spec::VirtualService(service) => service.binds_to_mesh(),
        _ => true,
    }
}

/// The table of objects of one layout, with a line feed at its end.
pub(super) fn render(layout: Layout, resources: &[&Resource], wide: Option<&Distribution>) -> String {
    let mut rows = vec![
        layout
            .heading()
            .iter()
            .map(|word| (*word).to_owned())
            .collect::<Vec<_>>(),
    ];
    if let (Some(first), Some(_)) = (rows.first_mut(), wide) {
        first.extend(["GENERATION", "RUNNING ON", "REFUSED BY", "PILOT FOUND"].map(str::to_owned));
    }
    for resource in resources {
        let mut row = cells(resource);
        if let Some(distribution) = wide {
            row.extend(distribution.columns(resource));
        }
        rows.push(row);
    }
    match layout {
        Layout::Plain => aligned(&rows, |width| (width / 8 + 1) * 8),
        _ => aligned(&rows, |width| (width + 3).max(10)),
    }
}

/// One object as a line, for a watch.
pub(super) fn line(resource: &Resource) -> String {
    cells(resource).join("   ")
}

fn cells(resource: &Resource) -> Vec<String> {
    let meta = &resource.meta;
    let age = age(meta.creation_timestamp.as_deref(), SystemTime::now());
    let name = meta.name.clone();
    let namespace = meta.namespace.clone();
    match &resource.spec {
        Spec::Gateway(gateway) => {
            let hosts: Vec<String> = gateway
                .servers
                .iter()
                .flat_map(|server| server.hosts.iter().map(ToString::to_string))
                .collect();
            vec![name, hosts.join(","), namespace, age]
        }
        Spec::VirtualService(service) => vec![
            name,
            service.gateways.join(","),
            service.hosts.join(","),
            format!("{:>5}", service.http.len()),
            format!("{:>4}", service.tcp.len()),
            namespace,
            age,
        ],
        Spec::DestinationRule(rule) => {
            let subsets: Vec<&str> = rule.subsets.iter().map(|subset| subset.name.as_str()).collect();
            vec![name, rule.host.clone(), subsets.join(","), namespace, age]
        }
        Spec::ServiceEntry(entry) => {
            let ports: Vec<String> = entry
                .ports
                .iter()
                .map(|port| format!("{}/{}", port.protocol.as_str().to_uppercase(), port.number))
                .collect();
            vec![name, entry.hosts.join(","), ports.join(","), namespace, age]
        }
        Spec::ServiceAddress(address) => vec![name, address.host.clone(), address.address.to_string(), age],
        Spec::RouteRule(_) | Spec::DestinationPolicy(_) | Spec::EgressRule(_) => {
            let kind = resource.kind();
            vec![
                name,
                format!("{}.{}.{}", kind.name(), kind.version(), kind.group()),
                namespace,
            ]
        }
    }
}

/// Pads each column to the width that `room` makes of its longest cell; the last column is not padded.
pub(crate) fn aligned(rows: &[Vec<String>], room: impl Fn(usize) -> usize) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            rows.iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
        })
        .map(|widest| room(widest.unwrap_or_default()))
        .collect();
    let mut text = String::new();
    for row in rows {
        for (position, (cell, width)) in row.iter().zip(&widths).enumerate() {
            if position + 1 == row.len() {
                text.push_str(cell);
            } else {
                text.push_str(&format!("{cell:<width$}"));
            }
        }
        text.push('\n');
    }
    text
}

/// How long ago, in the short form that `kubectl` prints.
fn age(created: Option<&str>, now: SystemTime) -> String {
    let parsed = created.and_then(|text| {
        time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).ok()
    });
    let Some(created) = parsed else {
        return "<unknown>".to_owned();
    };
    let elapsed = now
        .duration_since(SystemTime::from(created))
        .unwrap_or_default()
        .as_secs();
    let (minute, hour, day, year) = (60, 3600, 86_400, 365 * 86_400);
    let two = |count: u64, unit: &str, rest: u64, smaller: &str| match rest {
        0 => format!("{count}{unit}"),
        rest => format!("{count}{unit}{rest}{smaller}"),
    };
    match elapsed {
        seconds if seconds < 2 * minute => format!("{seconds}s"),
        seconds if seconds < 10 * minute => two(seconds / minute, "m", seconds % minute, "s"),
        seconds if seconds < 3 * hour => format!("{}m", seconds / minute),
        seconds if seconds < 8 * hour => two(seconds / hour, "h", seconds % hour / minute, "m"),
        seconds if seconds < 2 * day => format!("{}h", seconds / hour),
        seconds if seconds < 8 * day => two(seconds / day, "d", seconds % day / hour, "h"),
        seconds if seconds < 2 * year => format!("{}d", seconds / day),
        seconds if seconds < 8 * year => two(seconds / year, "y", seconds % year / day, "d"),
        seconds => format!("{}y", seconds / year),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use outrigger_api::document::{Options, parse_body};

    use super::*;

    fn resource(text: &str) -> Resource {
        parse_body(text.as_bytes(), &Options::default()).unwrap().resource
    }

    #[test]
    fn the_first_generation_stands_on_tab_stops() {
        let rule = resource(
            "{apiVersion: config.istio.io/v1alpha2, kind: RouteRule, metadata: {name: reviews-default}, \
             spec: {destination: {name: reviews}}}",
        );

        let table = render(Layout::Plain, &[&rule], None);

        assert_eq!(
            table,
            "NAME            KIND                                    NAMESPACE\n\
             reviews-default RouteRule.v1alpha2.config.istio.io      default\n"
        );
    }

    #[test]
    fn the_second_generation_counts_its_routes() {
        let service = resource(
            "{apiVersion: networking.istio.io/v1alpha3, kind: VirtualService, metadata: {name: reviews}, \
             spec: {hosts: [reviews.mesh], http: [{route: [{destination: {host: reviews.mesh}}]}]}}",
        );

        let table = render(Layout::VirtualService, &[&service], None);

        let mut lines = table.lines();
        assert!(
            lines
                .next()
                .unwrap()
                .starts_with("VIRTUAL-SERVICE NAME   GATEWAYS"),
            "{table}"
        );
        assert!(
            lines.next().unwrap().contains("    1        0      default"),
            "{table}"
        );
    }

    #[test]
    fn what_pilot_found_about_a_rule_stands_in_its_row() {
        let rule = resource(
            "{apiVersion: config.istio.io/v1alpha2, kind: RouteRule, metadata: {name: a}, \
             spec: {destination: {name: reviews}}}",
        );
        let findings = BTreeMap::from([(
            "route-rule/default/a".to_owned(),
            vec!["never reached".to_owned()],
        )]);
        let distribution = Distribution {
            findings,
            ..Distribution::default()
        };

        let table = render(Layout::Plain, &[&rule], Some(&distribution));

        assert!(table.lines().next().unwrap().ends_with("PILOT FOUND"), "{table}");
        assert!(
            table.lines().nth(1).unwrap().ends_with("never reached"),
            "{table}"
        );
    }

    #[test]
    fn only_proxies_that_an_object_can_concern_are_counted() {
        let proxies = |ids: &[&str]| -> Vec<Proxy> { ids.iter().map(|id| Proxy::connected(id, 9)).collect() };
        let distribution = Distribution {
            proxies: proxies(&["sidecar~10.0.0.1~web~mesh", "router~10.0.0.2~edge~mesh"]),
            ..Distribution::default()
        };
        let counted = |kind: &str, spec: &str| {
            let text = format!(
                "{{apiVersion: networking.istio.io/v1alpha3, kind: {kind}, metadata: {{name: a, resourceVersion: \"7\"}}, spec: {spec}}}"
            );
            distribution.columns(&resource(&text)).remove(1)
        };
        let route = "http: [{route: [{destination: {host: a.mesh}}]}]";

        let servers = "servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]";
        assert_eq!(
            counted("Gateway", &format!("{{selector: {{a: b}}, {servers}}}")),
            "1/1 edge"
        );
        let virtual_service =
            |more: &str| counted("VirtualService", &format!("{{hosts: [a.mesh], {more}{route}}}"));
        assert_eq!(virtual_service(""), "1/1 web");
        assert_eq!(virtual_service("gateways: [edge], "), "1/1 edge");
        assert_eq!(virtual_service("gateways: [edge, mesh], "), "2/2 web,edge");
        assert_eq!(counted("DestinationRule", "{host: a.mesh}"), "2/2 web,edge");
    }

    #[test]
    fn ages_are_told_as_kubectl_tells_them() {
        let now = SystemTime::from(time::OffsetDateTime::UNIX_EPOCH) + Duration::from_secs(10 * 365 * 86_400);
        let at = |seconds: u64| {
            let created = time::OffsetDateTime::from(now - Duration::from_secs(seconds));
            age(
                Some(
                    &created
                        .format(&time::format_description::well_known::Rfc3339)
                        .unwrap(),
                ),
                now,
            )
        };

        assert_eq!(
            [at(5), at(300), at(310), at(7200), at(10_800), at(90_000)],
            ["5s", "5m", "5m10s", "120m", "3h", "25h"]
        );
        assert_eq!(age(None, now), "<unknown>");
    }
}
