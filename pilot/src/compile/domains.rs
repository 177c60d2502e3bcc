//! Which domains lead to which virtual host where one RouteConfiguration serves many hosts.
//!
//! A proxy refuses a RouteConfiguration in which one domain stands twice, so every domain is given away once:
//! full hosts first, then short forms and addresses, in the order of the hosts.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::finding::{Finding, Topic};
use crate::names;

/// What wants domains: a virtual host's name, its host and port, and its virtual address.
pub(crate) struct Wanted<'a> {
    /// Host, full.
    pub(crate) host: &'a str,
    /// Service port.
    pub(crate) port: u16,
    /// True when it also answers to the names without a port.
    pub(crate) bare: bool,
    /// The addresses of the service, virtual or of its own.
    pub(crate) addresses: Vec<IpAddr>,
}

/// The domains of the one virtual host behind a listener that serves a single service port. The listener has
/// decided already, so whatever host the request names is the right one (`*`).
pub(crate) fn alone(wanted: &Wanted<'_>, domain: &str) -> Vec<String> {
    let mut domains = full(wanted);
    domains.extend(short(wanted, domain));
    domains.push("*".to_owned());
    domains
}

/// Domains for each of `wanted`, in its order, no domain twice.
pub(crate) fn together(wanted: &[Wanted<'_>], domain: &str) -> (Vec<Vec<String>>, Vec<Finding>) {
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    let mut given: Vec<Vec<String>> = vec![Vec::new(); wanted.len()];
    let mut findings = Vec::new();
    for shortened in [false, true] {
        for (position, (entry, given)) in wanted.iter().zip(&mut given).enumerate() {
            for name in if shortened {
                short(entry, domain)
            } else {
                full(entry)
            } {
                match taken.get(&name).and_then(|&winner| wanted.get(winner)) {
                    None => {
                        taken.insert(name.clone(), position);
                        given.push(name);
                    }
                    Some(winner) if winner.host == entry.host => {}
                    Some(winner) => findings.push(Finding::new(
                        Topic::PilotVserviceDupDomain,
                        &name,
                        format!(
                            "leads to {}, not to {}: name the latter in full",
                            winner.host, entry.host
                        ),
                    )),
                }
            }
        }
    }
    (given, findings)
}

fn full(wanted: &Wanted<'_>) -> Vec<String> {
    forms(wanted, wanted.host)
}

fn short(wanted: &Wanted<'_>, domain: &str) -> Vec<String> {
    let shortened = names::short_forms(wanted.host, domain);
    let addresses = wanted.addresses.iter().map(|address| match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    });
    shortened
        .into_iter()
        .chain(addresses)
        .flat_map(|name| forms(wanted, &name))
        .collect()
}

fn forms(wanted: &Wanted<'_>, name: &str) -> Vec<String> {
    let [bare, with_port] = names::with_port(name, wanted.port);
    if wanted.bare {
        vec![bare, with_port]
    } else {
        vec![with_port]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted<'a>(host: &'a str, address: Option<&str>) -> Wanted<'a> {
        Wanted {
            host,
            port: 80,
            bare: true,
            addresses: address.iter().map(|text| text.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn a_host_alone_answers_to_every_name() {
        assert_eq!(
            alone(&wanted("a.service.consul", Some("127.128.0.1")), "service.consul"),
            [
                "a.service.consul",
                "a.service.consul:80",
                "a.service",
                "a.service:80",
                "a",
                "a:80",
                "127.128.0.1",
                "127.128.0.1:80",
                "*"
            ]
        );
    }

    #[test]
    fn a_full_host_wins_over_another_hosts_short_form() {
        let (domains, findings) = together(&[wanted("a.consul", None), wanted("a", None)], "consul");

        assert_eq!(domains, [vec!["a.consul", "a.consul:80"], vec!["a", "a:80"]]);
        assert_eq!(findings.len(), 2);
        assert_eq!(
            findings[0].message,
            "leads to a, not to a.consul: name the latter in full"
        );
    }

    #[test]
    fn only_one_port_of_a_host_answers_to_the_bare_name() {
        let second = Wanted {
            port: 81,
            bare: false,
            ..wanted("a", None)
        };

        let (domains, findings) = together(&[wanted("a", None), second], "");

        assert_eq!(domains, [vec!["a", "a:80"], vec!["a:81"]]);
        assert!(findings.is_empty());
    }
}
