//! A reference to a service in rules of the first generation (`spec/traffic-v1alpha2.md` §0.1).

use crate::fields::{Fields, Message};
use crate::host::{self, ShortNames};
use crate::model::Labels;
use crate::output::Object;
use crate::subnet::Subnet;

/// Names a service either by the parts of its name or by the host as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceRef {
    /// Which service.
    pub target: ServiceTarget,
    /// Versions of it; empty for all.
    pub labels: Labels,
}

/// The two ways to name a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceTarget {
    /// By name, completed by the rule's namespace and the platform's domain.
    Named {
        /// Short name, a DNS label.
        name: String,
        /// Second part of the host; absent for the rule's namespace.
        namespace: Option<String>,
        /// Rest of the host; absent for the platform's.
        domain: Option<String>,
    },
    /// By host: a name, a wildcard, an address or a block of addresses.
    Host(String),
}

/// The domain of services on Kubernetes.
const PLATFORM_DOMAIN: &str = "svc.cluster.local";

impl ServiceRef {
    /// A reference to a host.
    pub fn host(host: impl Into<String>) -> ServiceRef {
        ServiceRef {
            target: ServiceTarget::Host(host.into()),
            labels: Labels::default(),
        }
    }

    /// The host that a rule in `namespace` means: the first of [`ServiceRef::candidates`].
    pub fn resolve(&self, namespace: &str, short_names: &ShortNames) -> String {
        self.candidates(namespace, short_names).swap_remove(0)
    }

    /// The hosts that a rule in `namespace` may mean, one per registry, by precedence; at least one.
    ///
    /// An explicit host or one with namespace or domain is the only candidate.
    pub fn candidates(&self, namespace: &str, short_names: &ShortNames) -> Vec<String> {
        match &self.target {
            ServiceTarget::Host(host) => vec![host.clone()],
            ServiceTarget::Named {
                name,
                namespace: None,
                domain: None,
            } => short_names.candidates(name, namespace),
            ServiceTarget::Named {
                name,
                namespace: own,
                domain,
            } => {
                let namespace = own.as_deref().unwrap_or(namespace);
                let domain = domain.as_deref().unwrap_or(PLATFORM_DOMAIN);
                let host = [name, namespace, domain];
                vec![
                    host.into_iter()
                        .filter(|part| !part.is_empty())
                        .collect::<Vec<_>>()
                        .join("."),
                ]
            }
        }
    }
}

impl Message for ServiceRef {
    fn read(fields: &Fields<'_>) -> ServiceRef {
        let name = fields.text("name");
        let namespace = Some(fields.text("namespace")).filter(|text| !text.is_empty());
        let domain = Some(fields.text("domain")).filter(|text| !text.is_empty());
        let service = fields.text("service");
        let labels = fields.labels("labels");
        match (name.is_empty(), service.is_empty()) {
            (true, true) if fields.is_broken("name") || fields.is_broken("service") => {}
            (true, true) => fields.problem("name or service is mandatory for a service reference"),
            (false, false) => fields.problem("specify either name or service, not both"),
            (false, true) if !host::is_label(&name) => {
                fields.problem_at("name", format!("name {name:?} must be a valid label"));
            }
            (true, false) => check_service(fields, &service, namespace.is_some(), domain.is_some()),
            (false, true) => {}
        }
        if let Some(text) = namespace.as_ref().filter(|text| !host::is_label(text)) {
            fields.problem_at("namespace", format!("namespace {text:?} must be a valid label"));
        }
        if let Some(Err(error)) = domain.as_deref().map(host::check_fqdn) {
            fields.problem_at("domain", error);
        }
        let target = if service.is_empty() {
            ServiceTarget::Named {
                name,
                namespace,
                domain,
            }
        } else {
            ServiceTarget::Host(service)
        };
        ServiceRef { target, labels }
    }

    fn write(&self, out: &mut Object) {
        match &self.target {
            ServiceTarget::Named {
                name,
                namespace,
                domain,
            } => {
                out.text("name", name);
                out.opt("namespace", namespace.as_deref());
                out.opt("domain", domain.as_deref());
            }
            ServiceTarget::Host(host) => out.text("service", host),
        }
        out.labels("labels", &self.labels);
    }
}

fn check_service(fields: &Fields<'_>, service: &str, namespace: bool, domain: bool) {
    if namespace {
        fields.problem_at("namespace", "namespace is not valid when service is provided");
    }
    if domain {
        fields.problem_at("domain", "domain is not valid when service is provided");
    }
    if let Err(error) = check_host(service) {
        fields.problem_at("service", error);
    }
}

/// Checks a host of the first generation: a block of addresses when it has a `/`, else a name or wildcard.
pub(crate) fn check_host(text: &str) -> Result<(), String> {
    if text.contains('/') {
        text.parse::<Subnet>()
            .map(|_| ())
            .map_err(|error| error.to_string())
    } else {
        host::check_egress(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str, namespace: Option<&str>, domain: Option<&str>) -> ServiceRef {
        ServiceRef {
            target: ServiceTarget::Named {
                name: name.into(),
                namespace: namespace.map(str::to_owned),
                domain: domain.map(str::to_owned),
            },
            labels: Labels::default(),
        }
    }

    #[test]
    fn references_resolve_by_template_unless_they_say_more() {
        let consul = ShortNames {
            template: vec!["{name}.service.consul".into()],
        };
        for (reference, expected) in [
            (named("reviews", None, None), "reviews.service.consul"),
            (
                named("reviews", Some("shop"), None),
                "reviews.shop.svc.cluster.local",
            ),
            (
                named("reviews", None, Some("svc.example")),
                "reviews.default.svc.example",
            ),
            (
                named("reviews", Some("shop"), Some("svc.example")),
                "reviews.shop.svc.example",
            ),
            (ServiceRef::host("reviews"), "reviews"),
            (ServiceRef::host("*.foo.com"), "*.foo.com"),
        ] {
            assert_eq!(reference.resolve("default", &consul), expected);
        }
    }
}
