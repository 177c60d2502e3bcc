//! Consul's words in the model's: what a registration means (`spec/registries.md` §1.2), pure.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use outrigger_api::model::{Instance, Labels, Protocol, Resolution, Service, ServicePort};

use super::settings::Settings;
use super::wire::HealthEntry;
use crate::dns_name;

/// Tag, meta key of an instance and of a node that name the protocol.
const PROTOCOL: &str = "protocol";

/// One registered instance, healthy or not, in the model's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Registration {
    pub(super) instance: Instance,
    pub(super) protocol: Protocol,
    /// The protocol as it was written, which names the port.
    pub(super) protocol_text: String,
    pub(super) external: bool,
    pub(super) healthy: bool,
}

/// Things that were skipped or guessed, each one sentence.
pub(super) type Warnings = BTreeSet<String>;

/// The host of a service, or why it cannot have one.
pub(super) fn host(service: &str, settings: &Settings) -> Result<String, String> {
    let host = dns_name::lowered(service).map(|name| format!("{name}.service.{}", settings.domain));
    host.filter(|host| dns_name::is_name(host)).ok_or_else(|| {
        format!("service {service:?} is skipped: its name is not a DNS name (labels of a-z, 0-9 and -)")
    })
}

/// Services that never become hosts: the platform's own and the proxies of Consul's mesh.
pub(super) fn is_skipped(service: &str, settings: &Settings) -> bool {
    service.ends_with("-sidecar-proxy") || settings.skip_services.iter().any(|skipped| skipped == service)
}

/// What one element of a health answer means; `None` for what is not an instance of a service.
pub(super) fn registration(
    entry: &HealthEntry,
    settings: &Settings,
    warnings: &mut Warnings,
) -> Option<Registration> {
    let service = &entry.service;
    if !matches!(service.kind.as_str(), "" | "typical") {
        return None;
    }
    let place = format!("service {} instance {}", service.service, service.id);
    let Some(port) = u16::try_from(service.port).ok().filter(|port| *port != 0) else {
        warnings.insert(format!(
            "{place} is skipped: port {}, expected 1 to 65535",
            service.port
        ));
        return None;
    };
    let Some(address) = address(entry) else {
        warnings.insert(format!(
            "{place} is skipped: {:?} is neither an IP address nor a DNS name",
            raw_address(entry)
        ));
        return None;
    };
    let (labels, account_tag) = labels(entry, settings, warnings);
    let (protocol, protocol_text) = protocol(entry, settings, &place, warnings);
    let health = health(entry, settings);
    let account = service
        .meta
        .get("serviceaccount")
        .map(String::as_str)
        .or(account_tag.as_deref());
    Some(Registration {
        instance: Instance {
            address: address.into_owned(),
            port,
            service_port: port,
            labels,
            weight: weight(entry, health),
            locality: entry.node.datacenter.clone(),
            service_account: account
                .filter(|account| !account.is_empty())
                .unwrap_or("default")
                .to_owned(),
            workload_id: service.id.clone(),
        },
        protocol,
        protocol_text,
        external: is_external(entry),
        healthy: health != Health::Out,
    })
}

fn raw_address(entry: &HealthEntry) -> &str {
    match entry.service.address.as_str() {
        "" => &entry.node.address,
        address => address,
    }
}

fn address(entry: &HealthEntry) -> Option<Cow<'_, str>> {
    let text = raw_address(entry);
    if text.parse::<IpAddr>().is_ok() {
        return Some(Cow::Borrowed(text));
    }
    dns_name::lowered(text)
}

/// Non-empty meta `external`, of the instance or of its node.
fn is_external(entry: &HealthEntry) -> bool {
    [&entry.service.meta, &entry.node.meta]
        .iter()
        .any(|meta| meta.get("external").is_some_and(|value| !value.is_empty()))
}

/// Tags `key|value`; the account tag is returned beside them.
fn labels(entry: &HealthEntry, settings: &Settings, warnings: &mut Warnings) -> (Labels, Option<String>) {
    let mut labels = Labels::default();
    let mut account = None;
    for tag in &entry.service.tags {
        let Some((key, value)) = pair(tag, settings) else {
            warnings.insert(format!(
                "service {} has tag {tag:?}, which is not key|value and no label",
                entry.service.service
            ));
            continue;
        };
        if !dns_name::is_instance_label(key, value) {
            warnings.insert(format!(
                "service {} has tag {tag:?}, which is no label: other characters than a-z, A-Z, 0-9 and -_./",
                entry.service.service
            ));
            continue;
        }
        if key == "serviceaccount" {
            account = Some(value.to_owned());
        }
        labels.0.insert(key.to_owned(), value.to_owned());
    }
    (labels, account)
}

/// The first two parts of a tag; more parts are dropped.
fn pair<'a>(tag: &'a str, settings: &Settings) -> Option<(&'a str, &'a str)> {
    if let Some((key, rest)) = tag.split_once('|') {
        return Some((key, rest.split_once('|').map_or(rest, |(value, _)| value)));
    }
    tag.split_once('=').filter(|_| settings.equals_tags)
}

/// Order: service meta, tag, the other meta keys, node meta, the default.
fn protocol(
    entry: &HealthEntry,
    settings: &Settings,
    place: &str,
    warnings: &mut Warnings,
) -> (Protocol, String) {
    let meta = &entry.service.meta;
    let tag = || {
        let pairs = entry.service.tags.iter().filter_map(|tag| pair(tag, settings));
        pairs
            .filter(|(key, _)| *key == PROTOCOL)
            .map(|(_, value)| value)
            .next()
    };
    let text = |value: &'_ String| Some(value.clone()).filter(|value| !value.is_empty());
    let said = meta
        .get(PROTOCOL)
        .and_then(text)
        .or_else(|| tag().map(String::from).filter(|value| !value.is_empty()))
        .or_else(|| meta.get("istio.protocol").and_then(text))
        .or_else(|| meta.get("SERVICE_PROTOCOL").and_then(text))
        .or_else(|| entry.node.meta.get(PROTOCOL).and_then(text));
    let Some(said) = said else {
        return (settings.default_protocol, settings.default_protocol.to_string());
    };
    match said.parse::<Protocol>() {
        Ok(protocol) => (protocol, said.to_ascii_lowercase()),
        Err(unknown) => {
            warnings.insert(format!("{place}: {unknown}; the port is TCP"));
            let name = said.to_ascii_lowercase();
            let name = if dns_name::is_label(&name) {
                name
            } else {
                Protocol::Tcp.to_string()
            };
            (Protocol::Tcp, name)
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Health {
    Passing,
    Warning,
    Out,
}

/// The worst check counts. Maintenance is a critical check; a status we do not know is critical.
fn health(entry: &HealthEntry, settings: &Settings) -> Health {
    let mut health = Health::Passing;
    for check in &entry.checks {
        match check.status.as_str() {
            "passing" => {}
            "warning" if settings.keep_warning => health = Health::Warning,
            _ => return Health::Out,
        }
    }
    health
}

fn weight(entry: &HealthEntry, health: Health) -> u32 {
    let Some(weights) = entry.service.weights else {
        return 1;
    };
    let weight = if health == Health::Warning {
        weights.warning
    } else {
        weights.passing
    };
    u32::try_from(weight)
        .unwrap_or(if weight > 0 { u32::MAX } else { 1 })
        .max(1)
}

/// The service behind a host, and its healthy instances, from everything registered under it.
/// `None` when nothing is: a service has at least one port.
///
/// What it is follows from its healthy registrations, as long as there are any: one that is sick or forgotten does not
/// change it for the others. Ports come from unhealthy registrations too, so that a service whose instances are all
/// sick keeps its routes. Of two registrations that disagree about a port the first is kept, a healthy one before
/// others. A service is external when all its instances are.
pub(super) fn service<'a>(
    host: &str,
    registrations: impl IntoIterator<Item = &'a Registration>,
    warnings: &mut Warnings,
) -> Option<(Service, Vec<Instance>)> {
    let (healthy, sick): (Vec<_>, Vec<_>) = registrations
        .into_iter()
        .partition(|registration| registration.healthy);
    let mut ports: BTreeMap<u16, (Protocol, &str)> = BTreeMap::new();
    for registration in healthy.iter().chain(&sick) {
        let Registration {
            instance,
            protocol,
            protocol_text,
            ..
        } = registration;
        let first = *ports
            .entry(instance.service_port)
            .or_insert((*protocol, protocol_text));
        if first.0 != *protocol {
            warnings.insert(format!(
                "{host} port {} is {} for some instances and {protocol} for others; {} is used",
                instance.service_port, first.0, first.0
            ));
        }
    }
    if ports.is_empty() {
        return None;
    }
    let deciding = if healthy.is_empty() { &sick } else { &healthy };
    let externals = deciding
        .iter()
        .filter(|registration| registration.external)
        .count();
    let external = externals == deciding.len();
    if externals > 0 && !external {
        warnings.insert(format!(
            "{host} has external instances and others; the service is taken for one of the mesh"
        ));
    }
    let has_name = |registration: &&Registration| registration.instance.address.parse::<IpAddr>().is_err();
    let resolution = match (deciding.iter().any(has_name), external) {
        (true, _) => Resolution::Dns,
        (false, true) => Resolution::Passthrough,
        (false, false) => Resolution::Endpoints,
    };
    let mut instances: Vec<Instance> = healthy
        .iter()
        .map(|registration| registration.instance.clone())
        .collect();
    instances.sort();
    instances.dedup();
    let service = Service {
        host: host.to_owned(),
        address: None,
        ports: named_ports(&ports),
        external,
        resolution,
        namespace: "default".to_owned(),
    };
    Some((service, instances))
}

/// Ports are named by their protocol; a second port of one protocol gets its number behind it.
fn named_ports(ports: &BTreeMap<u16, (Protocol, &str)>) -> Vec<ServicePort> {
    let mut used = BTreeSet::new();
    ports
        .iter()
        .map(|(&port, &(protocol, text))| {
            let name = match used.insert(text) {
                true => text.to_owned(),
                false => format!("{text}-{port}"),
            };
            ServicePort { name, port, protocol }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// A plain instance with `changes` merged into its three parts.
    fn entry(changes: Value) -> HealthEntry {
        let mut whole = json!({
            "Node": {"Node": "n1", "Address": "10.0.0.1", "Datacenter": "dc1", "Meta": null},
            "Service": {"ID": "reviews-1", "Service": "reviews", "Tags": null, "Address": "", "Port": 9080,
                        "Meta": null, "Weights": {"Passing": 1, "Warning": 1}, "LocalServicePort": 8082},
            "Checks": [{"CheckID": "serfHealth", "Status": "passing"}],
        });
        for (part, fields) in changes.as_object().unwrap() {
            match fields {
                Value::Object(fields) => {
                    for (key, value) in fields {
                        whole[part][key] = value.clone();
                    }
                }
                other => whole[part] = other.clone(),
            }
        }
        serde_json::from_value(whole).unwrap()
    }

    fn mapped(changes: Value) -> (Option<Registration>, Vec<String>) {
        let mut warnings = Warnings::new();
        let registration = registration(&entry(changes), &Settings::default(), &mut warnings);
        (registration, warnings.into_iter().collect())
    }

    fn good(changes: Value) -> Registration {
        let (registration, warnings) = mapped(changes);
        assert_eq!(warnings, [""; 0]);
        registration.expect("an instance")
    }

    #[test]
    fn hosts_are_lowered_or_skipped() {
        let settings = Settings::default();
        assert_eq!(
            host("Reviews", &settings).as_deref(),
            Ok("reviews.service.consul")
        );
        assert_eq!(host("a.b", &settings).as_deref(), Ok("a.b.service.consul"));
        assert!(
            host("my_service", &settings)
                .unwrap_err()
                .contains("\"my_service\" is skipped")
        );
    }

    #[test]
    fn the_platform_and_foreign_proxies_are_skipped() {
        for (name, skipped) in [
            ("consul", true),
            ("nomad-client", true),
            ("web-sidecar-proxy", true),
            ("web", false),
        ] {
            assert_eq!(is_skipped(name, &Settings::default()), skipped, "{name}");
        }
        assert_eq!(
            mapped(json!({"Service": {"Kind": "connect-proxy"}})),
            (None, vec![])
        );
        assert_eq!(
            mapped(json!({"Service": {"Kind": "mesh-gateway"}})),
            (None, vec![])
        );
    }

    #[test]
    fn a_plain_registration_is_an_http_instance_at_its_node() {
        let registration = good(json!({}));

        assert_eq!(
            registration,
            Registration {
                instance: Instance {
                    address: "10.0.0.1".into(),
                    port: 9080,
                    service_port: 9080,
                    labels: Labels::default(),
                    weight: 1,
                    locality: "dc1".into(),
                    service_account: "default".into(),
                    workload_id: "reviews-1".into(),
                },
                protocol: Protocol::Http,
                protocol_text: "http".into(),
                external: false,
                healthy: true,
            }
        );
    }

    #[test]
    fn the_service_address_goes_before_the_nodes() {
        assert_eq!(
            good(json!({"Service": {"Address": "172.28.0.9"}}))
                .instance
                .address,
            "172.28.0.9"
        );
        assert_eq!(
            good(json!({"Service": {"Address": "DB.example"}}))
                .instance
                .address,
            "db.example"
        );
    }

    #[test]
    fn tags_become_labels() {
        for (tags, equals, labels, warned) in [
            (json!(["version|v1", "app|x"]), false, "app=x,version=v1", 0),
            (json!(["version|v1|extra"]), false, "version=v1", 0),
            (json!(["canary|"]), false, "canary", 0),
            (json!(["plain", "|v1", "a b|c"]), false, "", 3),
            (json!(["version=v1"]), false, "", 1),
            (json!(["version=v1", "a|b"]), true, "a=b,version=v1", 0),
        ] {
            let settings = Settings {
                equals_tags: equals,
                ..Settings::default()
            };
            let mut warnings = Warnings::new();
            let mapped = registration(
                &entry(json!({"Service": {"Tags": tags}})),
                &settings,
                &mut warnings,
            );
            assert_eq!(mapped.unwrap().instance.labels.to_string(), labels, "{tags}");
            assert_eq!(warnings.len(), warned, "{tags}: {warnings:?}");
        }
    }

    #[test]
    fn the_protocol_is_looked_for_in_order() {
        for (changes, protocol, name) in [
            (json!({}), Protocol::Http, "http"),
            (
                json!({"Node": {"Meta": {"protocol": "tcp"}}}),
                Protocol::Tcp,
                "tcp",
            ),
            (
                json!({"Node": {"Meta": {"protocol": "tcp"}}, "Service": {"Meta": {"istio.protocol": "grpc"}}}),
                Protocol::Grpc,
                "grpc",
            ),
            (
                json!({"Service": {"Meta": {"SERVICE_PROTOCOL": "mongo"}}}),
                Protocol::Mongo,
                "mongo",
            ),
            (
                json!({"Service": {"Meta": {"istio.protocol": "grpc"}, "Tags": ["protocol|http2"]}}),
                Protocol::Http2,
                "http2",
            ),
            (
                json!({"Service": {"Meta": {"protocol": "TCP"}, "Tags": ["protocol|http2"]}}),
                Protocol::Tcp,
                "tcp",
            ),
            (
                json!({"Service": {"Meta": {"protocol": ""}}}),
                Protocol::Http,
                "http",
            ),
        ] {
            let registration = good(changes.clone());
            assert_eq!(registration.protocol, protocol, "{changes}");
            assert_eq!(registration.protocol_text, name, "{changes}");
        }
    }

    #[test]
    fn an_unknown_protocol_is_tcp_with_a_warning() {
        let (registration, warnings) = mapped(json!({"Service": {"Meta": {"protocol": "thrift"}}}));

        let registration = registration.unwrap();
        assert_eq!(
            (registration.protocol, registration.protocol_text.as_str()),
            (Protocol::Tcp, "thrift")
        );
        assert!(
            warnings[0].contains("protocol \"thrift\" is not one of"),
            "{warnings:?}"
        );
    }

    #[test]
    fn the_worst_check_decides_and_weights_follow_health() {
        let checks = |statuses: &[&str]| -> Value {
            statuses
                .iter()
                .map(|status| json!({"CheckID": "c", "Status": status}))
                .collect()
        };
        let weights = json!({"Weights": {"Passing": 10, "Warning": 2}});
        for (statuses, healthy, weight) in [
            (vec![], true, 10),
            (vec!["passing", "passing"], true, 10),
            (vec!["passing", "warning"], true, 2),
            (vec!["critical", "passing"], false, 10),
            (vec!["maintenance"], false, 10),
        ] {
            let registration = good(json!({"Service": weights, "Checks": checks(&statuses)}));
            assert_eq!(registration.healthy, healthy, "{statuses:?}");
            assert_eq!(registration.instance.weight, weight, "{statuses:?}");
        }
        let strict = Settings {
            keep_warning: false,
            ..Settings::default()
        };
        let warning = entry(json!({"Checks": checks(&["warning"])}));
        assert!(
            !registration(&warning, &strict, &mut Warnings::new())
                .unwrap()
                .healthy
        );
        let zero = good(json!({"Service": {"Weights": {"Passing": 0, "Warning": -1}}}));
        assert_eq!(zero.instance.weight, 1);
    }

    #[test]
    fn accounts_and_externals_are_read() {
        assert_eq!(
            good(json!({"Service": {"Meta": {"serviceaccount": "books"}}}))
                .instance
                .service_account,
            "books"
        );
        assert_eq!(
            good(json!({"Service": {"Tags": ["serviceaccount|books"]}}))
                .instance
                .service_account,
            "books"
        );
        assert!(good(json!({"Service": {"Meta": {"external": "true"}}})).external);
        assert!(good(json!({"Node": {"Meta": {"external": "1"}}})).external);
        assert!(!good(json!({"Service": {"Meta": {"external": ""}}})).external);
    }

    #[test]
    fn what_cannot_be_called_is_skipped_with_a_warning() {
        for (changes, expected) in [
            (
                json!({"Service": {"Port": 0}}),
                "service reviews instance reviews-1 is skipped: port 0, expected 1 to 65535",
            ),
            (
                json!({"Service": {"Port": 70000}}),
                "service reviews instance reviews-1 is skipped: port 70000, expected 1 to 65535",
            ),
            (
                json!({"Service": {"Address": "a b"}}),
                "service reviews instance reviews-1 is skipped: \"a b\" is neither an IP address nor a DNS name",
            ),
        ] {
            assert_eq!(mapped(changes), (None, vec![expected.to_owned()]));
        }
    }

    #[test]
    fn ports_are_the_union_and_the_first_protocol_stays() {
        let one = good(json!({}));
        let other = good(json!({"Service": {"Port": 9081, "ID": "reviews-2"}}));
        let quarrel = good(
            json!({"Service": {"Meta": {"protocol": "tcp"}, "ID": "reviews-3"}, "Checks": [{"Status": "critical"}]}),
        );
        let mut warnings = Warnings::new();

        let (service, instances) =
            service("reviews.service.consul", [&one, &other, &quarrel], &mut warnings).unwrap();

        let ports: Vec<_> = service
            .ports
            .iter()
            .map(|port| format!("{} {} {}", port.name, port.port, port.protocol))
            .collect();
        assert_eq!(ports, ["http 9080 http", "http-9081 9081 http"]);
        assert_eq!(instances.len(), 2, "the critical one is left out");
        assert_eq!(
            warnings.into_iter().collect::<Vec<_>>(),
            ["reviews.service.consul port 9080 is http for some instances and tcp for others; http is used"]
        );
    }

    #[test]
    fn resolution_follows_addresses_and_externals() {
        for (changes, resolution, external) in [
            (json!({}), Resolution::Endpoints, false),
            (
                json!({"Service": {"Address": "db.example"}}),
                Resolution::Dns,
                false,
            ),
            (
                json!({"Service": {"Meta": {"external": "yes"}}}),
                Resolution::Passthrough,
                true,
            ),
            (
                json!({"Service": {"Meta": {"external": "yes"}, "Address": "db.example"}}),
                Resolution::Dns,
                true,
            ),
        ] {
            let registration = good(changes.clone());
            let (service, _) = service("a.service.consul", [&registration], &mut Warnings::new()).unwrap();
            assert_eq!(
                (service.resolution, service.external),
                (resolution, external),
                "{changes}"
            );
        }
        assert!(service("a.service.consul", [], &mut Warnings::new()).is_none());
    }

    #[test]
    fn a_sick_registration_changes_nothing_for_the_healthy_ones() {
        let sick = |changes: Value| {
            let mut registration = good(changes);
            registration.healthy = false;
            registration
        };
        let healthy = good(json!({"Service": {"Meta": {"protocol": "http"}}}));
        let odd = [
            sick(json!({"Service": {"Meta": {"external": "yes"}}})),
            sick(json!({"Service": {"Address": "old.example"}})),
        ];
        let mut warnings = Warnings::new();

        let (whole, instances) = service("reviews", odd.iter().chain([&healthy]), &mut warnings).unwrap();
        let (lost, none) = service("reviews", &odd, &mut Warnings::new()).unwrap();

        assert_eq!((whole.resolution, whole.external), (Resolution::Endpoints, false));
        assert_eq!(instances, [healthy.instance]);
        assert_eq!(whole.ports[0].protocol, Protocol::Http, "the healthy one decides");
        assert_eq!((lost.resolution, none.len()), (Resolution::Dns, 0));
    }

    #[test]
    fn a_service_with_external_instances_and_others_is_one_of_the_mesh() {
        let mixed = [
            good(json!({"Service": {"Meta": {"external": "yes"}}})),
            good(json!({"Service": {"Address": "10.0.0.2"}})),
        ];
        let mut warnings = Warnings::new();

        let (service, instances) = service("reviews", &mixed, &mut warnings).unwrap();

        assert_eq!(
            (service.resolution, service.external, instances.len()),
            (Resolution::Endpoints, false, 2)
        );
        assert!(
            warnings.iter().any(|warning| warning.contains("external")),
            "{warnings:?}"
        );
    }
}
