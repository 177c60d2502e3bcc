//! What a proxy refuses, and which stored object that holds back.

use std::fmt;

use outrigger_api::host::ShortNames;
use outrigger_api::resource::{Resource, Spec};
use outrigger_api::service_ref::ServiceRef;
use serde::Serialize;

/// One resource whose present content a proxy does not take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Refusal {
    /// `cds`, `lds`, `eds` or `rds`.
    pub(crate) r#type: String,
    /// Name of the resource.
    pub(crate) resource: String,
    /// What the proxy says.
    pub(crate) message: String,
    /// Version of the store from which that content was made.
    pub(crate) generation: u64,
    /// Version of the store with which the refusal began.
    pub(crate) since: u64,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.r#type, self.resource, self.message)
    }
}

impl Refusal {
    /// True when it keeps `subject` from being in force, as far as that shows. The object with which the refusal
    /// began is to blame. A resource that names a host holds back all that speaks of this host; routes that many
    /// hosts share hold back whatever was written since.
    pub(super) fn concerns(&self, subject: &Subject) -> bool {
        self.since == subject.version
            || match self.host() {
                Some(host) => {
                    self.generation >= subject.version && subject.hosts.iter().any(|named| names(named, host))
                }
                None => self.r#type == "rds" && self.since <= subject.version,
            }
    }

    /// The host in the name of the resource, such as `outbound|9080||reviews.mesh`.
    fn host(&self) -> Option<&str> {
        let (_, host) = self.resource.rsplit_once('|')?;
        (!host.is_empty()).then_some(host)
    }
}

/// True when `named` is this host, or short for it.
fn names(named: &str, host: &str) -> bool {
    let rest = host.strip_prefix(named);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', ':']))
}

/// A stored object, as far as a refusal can be about it.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    /// Its resourceVersion.
    pub(crate) version: u64,
    /// The hosts that it speaks of; a short name stands for every host that begins with it.
    hosts: Vec<String>,
}

impl Subject {
    /// What `resource` speaks of.
    pub(crate) fn of(resource: &Resource) -> Subject {
        let meta = &resource.meta;
        let named = |service: &ServiceRef| vec![service.resolve(&meta.namespace, &ShortNames::default())];
        let version = meta.resource_version.as_ref();
        Subject {
            version: version
                .and_then(|version| version.parse().ok())
                .unwrap_or_default(),
            hosts: match &resource.spec {
                Spec::RouteRule(rule) => named(&rule.destination),
                Spec::DestinationPolicy(policy) => named(&policy.destination),
                Spec::EgressRule(rule) => vec![rule.host.clone()],
                Spec::VirtualService(service) => service.hosts.clone(),
                Spec::DestinationRule(rule) => vec![rule.host.clone()],
                Spec::ServiceEntry(entry) => entry.hosts.clone(),
                Spec::ServiceAddress(address) => vec![address.host.clone()],
                // Its listeners are named by port, which several gateways share.
                Spec::Gateway(_) => Vec::new(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use outrigger_api::document::{Options, parse_body};

    use super::*;

    fn subject(host: &str, version: u64) -> Subject {
        let text = format!(
            "{{apiVersion: config.istio.io/v1alpha2, kind: RouteRule, metadata: {{name: a, resourceVersion: \"{version}\"}}, \
             spec: {{destination: {{name: {host}}}}}}}"
        );
        Subject::of(&parse_body(text.as_bytes(), &Options::default()).unwrap().resource)
    }

    #[test]
    fn shared_routes_hold_back_what_was_written_since_the_refusal_began() {
        let refusal = |kind: &str| Refusal {
            r#type: kind.to_owned(),
            resource: "http_proxy".to_owned(),
            message: "bad".to_owned(),
            generation: 9,
            since: 7,
        };
        let held = |kind, version| refusal(kind).concerns(&subject("reviews", version));

        assert!(held("rds", 7), "the culprit");
        assert!(held("rds", 9), "an innocent that came later");
        assert!(!held("rds", 6), "what was in force before");
        assert!(
            held("lds", 7) && !held("lds", 9),
            "a listener says nothing of later rules"
        );
    }

    #[test]
    fn a_refusal_is_blamed_on_what_made_the_refused_version_or_has_its_host() {
        let refusal = Refusal {
            r#type: "rds".to_owned(),
            resource: "outbound|80||reviews.mesh".to_owned(),
            message: "bad".to_owned(),
            generation: 7,
            since: 7,
        };
        let blamed = |host: &str, version| refusal.concerns(&subject(host, version));

        assert!(blamed("ratings", 7), "the very version");
        assert!(blamed("reviews", 5), "the host of an older object");
        assert!(!blamed("ratings", 5), "another host");
        assert!(!blamed("review", 5), "a part of a label is another host");
        assert!(!blamed("reviews", 8), "the refused content was made before");
    }
}
