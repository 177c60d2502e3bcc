//! What one file of the static registry says: YAML in, services out, pure. The format is described one level up.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use outrigger_api::model::{Instance, Labels, Protocol, Resolution, Service, ServicePort, ServiceState};
use outrigger_api::problem::Problem;
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::yaml;
use crate::dns_name;

/// The services of the file `origin`, or the first thing that is wrong with it. `registry` is the name that
/// the services carry.
///
/// # Errors
/// The text is not YAML, or not what this page describes; the problem names line and column.
pub fn parse(origin: &str, text: &str, registry: &str) -> Result<Vec<ServiceState>, Box<Problem>> {
    services(text, registry).map_err(|mut problem| {
        problem.origin = origin.to_owned();
        problem
    })
}

fn services(text: &str, registry: &str) -> Result<Vec<ServiceState>, Box<Problem>> {
    if text
        .lines()
        .all(|line| line.trim_start().starts_with('#') || line.trim().is_empty())
    {
        return Err(yaml::whole(
            "the file is empty; expected a list of services, write [] for none",
        ));
    }
    let written: Vec<WrittenService> = yaml::read(text)?;
    let mut hosts: BTreeMap<String, u64> = BTreeMap::new();
    let mut services = Vec::with_capacity(written.len());
    for service in &written {
        let state = service.resolve(registry)?;
        let line = service.host.referenced.line();
        if let Some(first) = hosts.insert(state.service.host.clone(), line) {
            return Err(yaml::at(
                &service.host,
                format!("host {} is declared already in line {first}", state.service.host),
            ));
        }
        services.push(state);
    }
    Ok(services)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct WrittenService {
    host: Spanned<String>,
    address: Option<Spanned<String>>,
    namespace: Option<Spanned<String>>,
    #[serde(default)]
    external: bool,
    ports: Spanned<Vec<WrittenPort>>,
    #[serde(default)]
    instances: Vec<WrittenInstance>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenPort {
    name: Option<Spanned<String>>,
    port: Spanned<String>,
    protocol: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct WrittenInstance {
    address: Spanned<String>,
    port: Option<Spanned<String>>,
    ports: Option<BTreeMap<String, Spanned<String>>>,
    #[serde(default)]
    labels: BTreeMap<String, Spanned<String>>,
    service_account: Option<String>,
    #[serde(default)]
    locality: String,
    weight: Option<Spanned<String>>,
    #[serde(default = "yes")]
    healthy: bool,
    #[serde(default)]
    id: String,
}

fn yes() -> bool {
    true
}

impl WrittenService {
    fn resolve(&self, registry: &str) -> Result<ServiceState, Box<Problem>> {
        let host = self.host()?;
        let address = match &self.address {
            None => None,
            Some(text) => Some(text.value.parse::<IpAddr>().map_err(|_| {
                yaml::at(
                    text,
                    format!("address {:?} of {host} is not an IP address", text.value),
                )
            })?),
        };
        let namespace = match &self.namespace {
            None => "default".to_owned(),
            Some(text) if dns_name::is_label(&text.value) => text.value.clone(),
            Some(text) => {
                return Err(yaml::at(
                    text,
                    format!(
                        "namespace {:?} is not a DNS label (a-z, 0-9, -, at most 63)",
                        text.value
                    ),
                ));
            }
        };
        let ports = self.ports(&host)?;
        let mut instances = Vec::new();
        let mut resolution = Resolution::Endpoints;
        for written in &self.instances {
            let found = written.resolve(&host, &ports)?;
            if found
                .iter()
                .any(|instance| instance.address.parse::<IpAddr>().is_err())
            {
                resolution = Resolution::Dns;
            }
            if written.healthy {
                instances.extend(found);
            }
        }
        instances.sort();
        instances.dedup();
        Ok(ServiceState {
            service: Arc::new(Service {
                host,
                address,
                ports,
                external: self.external,
                resolution,
                namespace,
            }),
            instances: Arc::new(instances),
            registry: registry.to_owned(),
        })
    }

    fn host(&self) -> Result<String, Box<Problem>> {
        let text = self.host.value.trim_end_matches('.');
        let name = match text.strip_prefix("*.") {
            Some(rest) if self.external => rest,
            Some(_) => {
                return Err(yaml::at(
                    &self.host,
                    format!("host {text:?} is a wildcard, which only an external service may have"),
                ));
            }
            None => text,
        };
        match dns_name::lowered(name) {
            Some(_) => Ok(text.to_ascii_lowercase()),
            None => Err(yaml::at(
                &self.host,
                format!("host {text:?} is not a DNS name (labels of a-z, 0-9 and - joined by dots)"),
            )),
        }
    }

    fn ports(&self, host: &str) -> Result<Vec<ServicePort>, Box<Problem>> {
        let written = &self.ports.value;
        if written.is_empty() {
            return Err(yaml::at(
                &self.ports,
                format!("{host} has no port; expected at least one"),
            ));
        }
        let mut ports: Vec<ServicePort> = Vec::with_capacity(written.len());
        for entry in written {
            let port = port_number(&entry.port)?;
            let protocol = entry.protocol()?;
            let name = match &entry.name {
                Some(name) => name.value.clone(),
                None if written.len() == 1 => String::new(),
                None => {
                    return Err(yaml::at(
                        &entry.port,
                        format!("port {port} of {host} has no name; a service with several ports names each"),
                    ));
                }
            };
            if let Some(twin) = ports.iter().find(|other| other.port == port) {
                return Err(yaml::at(
                    &entry.port,
                    format!("port {port} of {host} is declared already as {:?}", twin.name),
                ));
            }
            if let Some(twin) = ports.iter().find(|other| other.name == name) {
                return Err(yaml::at(
                    &entry.port,
                    format!("ports {} and {port} of {host} are both named {name:?}", twin.port),
                ));
            }
            ports.push(ServicePort { name, port, protocol });
        }
        ports.sort_by_key(|port| port.port);
        Ok(ports)
    }
}

impl WrittenPort {
    /// As written; else by the name (`http-web` is http); else TCP.
    fn protocol(&self) -> Result<Protocol, Box<Problem>> {
        if let Some(text) = &self.protocol {
            return text
                .value
                .parse()
                .map_err(|unknown| yaml::at(text, format!("{unknown}")));
        }
        let name = self.name.as_ref().map_or("", |name| name.value.as_str());
        let first = name.split_once('-').map_or(name, |(first, _)| first);
        let both = name.starts_with("grpc-web").then_some(Protocol::GrpcWeb);
        Ok(both.or_else(|| first.parse().ok()).unwrap_or(Protocol::Tcp))
    }
}

impl WrittenInstance {
    fn resolve(&self, host: &str, ports: &[ServicePort]) -> Result<Vec<Instance>, Box<Problem>> {
        let address = self.address()?;
        let labels = self.labels()?;
        let weight = match &self.weight {
            None => 1,
            Some(weight) => weight.value.parse::<u32>().ok().filter(|weight| *weight > 0).ok_or_else(|| {
                yaml::at(
                    weight,
                    format!(
                        "weight {} is out of range, expected 1 to {}; healthy: false takes an instance out",
                        weight.value,
                        u32::MAX
                    ),
                )
            })?,
        };
        let instances = self
            .ports(host, ports)?
            .into_iter()
            .map(|(service_port, port)| Instance {
                address: address.clone(),
                port,
                service_port,
                labels: labels.clone(),
                weight,
                locality: self.locality.clone(),
                service_account: self
                    .service_account
                    .clone()
                    .unwrap_or_else(|| "default".to_owned()),
                workload_id: self.id.clone(),
            });
        Ok(instances.collect())
    }

    fn address(&self) -> Result<String, Box<Problem>> {
        let text = &self.address.value;
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(ip.to_string());
        }
        // 10.0.0.300 is a mistyped address, not a name: no top-level domain is a number.
        let numeric = text
            .rsplit('.')
            .next()
            .is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
        match dns_name::lowered(text) {
            Some(name) if !numeric => Ok(name.into_owned()),
            _ => Err(yaml::at(
                &self.address,
                format!("instance address {text:?} is neither an IP address nor a DNS name"),
            )),
        }
    }

    fn labels(&self) -> Result<Labels, Box<Problem>> {
        for (key, value) in &self.labels {
            if !dns_name::is_instance_label(key, &value.value) {
                return Err(yaml::at(
                    value,
                    format!(
                        "label {key:?}: {:?} has other characters than a-z, A-Z, 0-9 and -_./",
                        value.value
                    ),
                ));
            }
        }
        Ok(self
            .labels
            .iter()
            .map(|(key, value)| (key.clone(), value.value.clone()))
            .collect())
    }

    /// Pairs of service port and the port to connect to.
    fn ports(&self, host: &str, ports: &[ServicePort]) -> Result<Vec<(u16, u16)>, Box<Problem>> {
        match (&self.port, &self.ports) {
            (Some(port), Some(_)) => Err(yaml::at(port, "an instance has either port or ports, not both")),
            (Some(port), None) => match ports {
                [only] => Ok(vec![(only.port, port_number(port)?)]),
                several => {
                    let entries: Vec<String> = several
                        .iter()
                        .map(|port| format!("{}: {}", port.name, port.port))
                        .collect();
                    Err(yaml::at(
                        port,
                        format!(
                            "{host} has {} ports; write ports: {{{}}} in place of port, with those that this instance \
                             serves",
                            several.len(),
                            entries.join(", ")
                        ),
                    ))
                }
            },
            (None, None) => Ok(ports.iter().map(|port| (port.port, port.port)).collect()),
            (None, Some(map)) => {
                let mut pairs: BTreeMap<u16, u16> = BTreeMap::new();
                for (key, target) in map {
                    let service_port = ports
                        .iter()
                        .find(|port| port.name == *key || port.port.to_string() == *key)
                        .ok_or_else(|| {
                            yaml::at(
                                target,
                                format!("{host} has no port {key:?}, neither name nor number"),
                            )
                        })?;
                    if pairs.insert(service_port.port, port_number(target)?).is_some() {
                        return Err(yaml::at(
                            target,
                            format!(
                                "port {} of {host} is given twice, by name and by number",
                                service_port.port
                            ),
                        ));
                    }
                }
                Ok(pairs.into_iter().collect())
            }
        }
    }
}

/// Numbers are read as text, so that the message can show what stood there.
fn port_number(number: &Spanned<String>) -> Result<u16, Box<Problem>> {
    number
        .value
        .parse::<u16>()
        .ok()
        .filter(|port| *port != 0)
        .ok_or_else(|| {
            yaml::at(
                number,
                format!("port {} is out of range, expected 1 to 65535", number.value),
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const REVIEWS: &str = "\
- host: Reviews.Example
  address: 10.20.0.1
  ports:
  - { name: http, port: 9080, protocol: HTTP }
  - { name: tcp-admin, port: 9090 }
  instances:
  - address: 10.0.0.8
    ports: { http: 19080, 9090: 19090 }
    labels: { version: v2, replica: 1 }
    serviceAccount: reviews
    locality: eu/a
    weight: 3
    id: reviews-v2
  - address: 10.0.0.7
  - address: 10.0.0.9
    healthy: false
";

    #[test]
    fn every_field_reaches_the_model() {
        let services = parse("f", REVIEWS, "static").unwrap();

        let [state] = services.as_slice() else {
            panic!("one service")
        };
        assert_eq!(state.service.host, "reviews.example");
        assert_eq!(state.service.address, Some("10.20.0.1".parse().unwrap()));
        assert_eq!(
            state.service.ports,
            [
                ServicePort {
                    name: "http".into(),
                    port: 9080,
                    protocol: Protocol::Http
                },
                ServicePort {
                    name: "tcp-admin".into(),
                    port: 9090,
                    protocol: Protocol::Tcp
                },
            ]
        );
        assert_eq!(state.service.resolution, Resolution::Endpoints);
        let seen: Vec<_> = state
            .instances
            .iter()
            .map(|instance| {
                format!(
                    "{}:{}>{} {}",
                    instance.address, instance.port, instance.service_port, instance.labels
                )
            })
            .collect();
        assert_eq!(
            seen,
            [
                "10.0.0.7:9080>9080 ",
                "10.0.0.7:9090>9090 ",
                "10.0.0.8:19080>9080 replica=1,version=v2",
                "10.0.0.8:19090>9090 replica=1,version=v2",
            ]
        );
        let last = state.instances.last().unwrap();
        assert_eq!((last.weight, last.locality.as_str()), (3, "eu/a"));
        assert_eq!(
            (last.service_account.as_str(), last.workload_id.as_str()),
            ("reviews", "reviews-v2")
        );
    }

    #[test]
    fn the_example_of_the_guide_is_a_good_file() {
        let guide = include_str!("../../../docs/services-file.md");
        let (_, rest) = guide.split_once("```yaml\n").unwrap();
        let (example, _) = rest.split_once("```").unwrap();

        let services = parse("guide", example, "static").unwrap();

        let seen: Vec<_> = services
            .iter()
            .map(|state| (state.service.host.as_str(), state.instances.len()))
            .collect();
        assert_eq!(
            seen,
            [("reviews.mesh", 2), ("orders.mesh", 2), ("db.example.com", 1)]
        );
    }

    #[test]
    fn a_named_address_is_left_to_the_proxies_to_resolve() {
        let text = "- host: db.example\n  external: true\n  ports: [{port: 3306, protocol: mysql}]\n  instances: [{address: DB1.example}]\n";

        let services = parse("f", text, "static").unwrap();

        assert_eq!(services[0].service.resolution, Resolution::Dns);
        assert!(services[0].service.external);
        assert_eq!(services[0].instances[0].address, "db1.example");
    }

    #[test]
    fn an_empty_list_is_no_service_and_an_empty_file_is_a_mistake() {
        assert_eq!(parse("f", "[]\n", "static"), Ok(vec![]));
        assert_eq!(
            parse("s.yaml", "# nothing\n", "static").unwrap_err().to_string(),
            "s.yaml: the file is empty; expected a list of services, write [] for none"
        );
    }

    #[test]
    fn every_mistake_has_its_place_and_its_sentence() {
        let service = |rest: &str| format!("- host: a.example\n{rest}");
        for (text, expected) in [
            (
                "- host: a b\n  ports: [{port: 1}]\n".to_owned(),
                "f:1:9: host \"a b\" is not a DNS name (labels of a-z, 0-9 and - joined by dots)",
            ),
            (
                "- host: '*.a'\n  ports: [{port: 1}]\n".to_owned(),
                "f:1:9: host \"*.a\" is a wildcard, which only an external service may have",
            ),
            (
                "- host: a\n  ports: [{port: 1}]\n- host: A\n  ports: [{port: 1}]\n".to_owned(),
                "f:3:9: host a is declared already in line 1",
            ),
            (
                service("  ports: []\n"),
                "f:2:10: a.example has no port; expected at least one",
            ),
            (
                service("  ports: [{port: 70000}]\n"),
                "f:2:18: port 70000 is out of range, expected 1 to 65535",
            ),
            (
                service("  ports: [{port: 1, protocol: smtp}]\n"),
                "f:2:31: protocol \"smtp\" is not one of http, http2, https, grpc, grpc-web, tcp, tls, mongo, redis, mysql, udp",
            ),
            (
                service("  ports: [{port: 1, name: a}, {port: 2}]\n"),
                "f:2:38: port 2 of a.example has no name; a service with several ports names each",
            ),
            (
                service("  ports: [{port: 1, name: a}, {port: 2, name: a}]\n"),
                "f:2:38: ports 1 and 2 of a.example are both named \"a\"",
            ),
            (
                service("  address: 1.2.3\n  ports: [{port: 1}]\n"),
                "f:2:12: address \"1.2.3\" of a.example is not an IP address",
            ),
            (
                service("  ports: [{port: 1}]\n  instances: [{address: 10.0.0.300}]\n"),
                "f:3:25: instance address \"10.0.0.300\" is neither an IP address nor a DNS name",
            ),
            (
                service("  ports: [{port: 1}]\n  instances: [{address: 10.0.0.3, weight: 0}]\n"),
                "f:3:43: weight 0 is out of range, expected 1 to 4294967295; healthy: false takes an instance out",
            ),
            (
                service(
                    "  ports: [{port: 9080, name: http}, {port: 9090, name: b}]\n  instances: [{address: 10.0.0.3, port: 9080}]\n",
                ),
                "f:3:41: a.example has 2 ports; write ports: {http: 9080, b: 9090} in place of port, with those that this instance serves",
            ),
            (
                service("  ports: [{port: 1}]\n  instances: [{address: 10.0.0.3, ports: {web: 2}}]\n"),
                "f:3:48: a.example has no port \"web\", neither name nor number",
            ),
            (
                service("  ports: [{port: 1}]\n  instances: [{address: 10.0.0.3, labels: {v: 'a b'}}]\n"),
                "f:3:47: label \"v\": \"a b\" has other characters than a-z, A-Z, 0-9 and -_./",
            ),
        ] {
            assert_eq!(
                parse("f", &text, "static").unwrap_err().to_string(),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn what_yaml_itself_refuses_has_a_place_too() {
        for (text, place, part) in [
            ("- host: a\n  ports: [{prt: 1}]\n", "f:2:12: ", "prt"),
            (
                "- host: a\n  ports: [{port: x}]\n",
                "f:2:18: ",
                "port x is out of range",
            ),
            ("- host: [\n", "f:", "f:"),
            ("host: a\n", "f:1:", "f:"),
            ("- ports: [{port: 1}]\n", "f:1:", "host"),
        ] {
            let message = parse("f", text, "static").unwrap_err().to_string();
            assert!(
                message.starts_with(place) && message.contains(part),
                "{text:?} gave {message:?}"
            );
            assert!(!message.contains('\n'), "one line: {message:?}");
        }
    }
}
