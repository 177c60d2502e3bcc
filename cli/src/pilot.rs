//! What pilot says of the connected proxies, for the verbs that show it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use clap::Args;
use outrigger_api::host::ShortNames;
use outrigger_api::resource::{Resource, Spec};
use outrigger_api::service_ref::ServiceRef;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::connection::Connection;
use crate::failure::{Failure, chain};

/// Where pilot's pages are.
#[derive(Args, Clone, Debug)]
pub(crate) struct PilotArgs {
    /// Address of pilot's debug pages
    #[arg(
        long,
        env = "OUTRIGGER_PILOT",
        value_name = "URL",
        default_value = "http://127.0.0.1:15007"
    )]
    pilot: String,
}

/// A pilot that can be asked.
pub(crate) struct Pilot {
    address: String,
    client: reqwest::Client,
    token: Option<String>,
}

/// One connected proxy.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Proxy {
    /// Its node id.
    pub(crate) id: String,
    /// Version of the store that it runs, refused content aside; 0 before the first.
    pub(crate) acked_version: u64,
    /// Its own version.
    pub(crate) version: String,
    /// When it connected, RFC 3339.
    pub(crate) since: String,
    /// How far it is with each type.
    pub(crate) clusters: Sync,
    /// See `clusters`.
    pub(crate) listeners: Sync,
    /// See `clusters`.
    pub(crate) endpoints: Sync,
    /// How much of the endpoints it accepted, in percent.
    pub(crate) endpoint_percent: u8,
    /// See `clusters`.
    pub(crate) routes: Sync,
    /// What it refuses, while it does.
    pub(crate) refusals: Vec<Refusal>,
}

/// Whether what was sent was accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Sync {
    /// What was sent last is accepted.
    #[serde(rename = "SYNCED")]
    Synced,
    /// Something newer was sent than was accepted.
    #[serde(rename = "STALE")]
    Stale,
    /// Nothing was sent: the proxy did not ask.
    #[default]
    #[serde(rename = "NOT SENT")]
    NotSent,
    /// The proxy says no to a part of it.
    #[serde(rename = "REFUSED")]
    Refused,
}

impl fmt::Display for Sync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Sync::Synced => "SYNCED",
            Sync::Stale => "STALE",
            Sync::NotSent => "NOT SENT",
            Sync::Refused => "REFUSED",
        })
    }
}

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
    fn concerns(&self, subject: &Subject) -> bool {
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

impl Proxy {
    /// The name of the workload: the third part of the id `type~ip~name~domain`, or the id when it has another shape.
    pub(crate) fn name(&self) -> &str {
        self.id.split('~').nth(2).unwrap_or(&self.id)
    }

    /// Says that it does not run `version` yet.
    pub(crate) fn behind(&self, version: u64) -> String {
        format!(
            "{} runs version {}, not yet {version}",
            self.id, self.acked_version
        )
    }

    /// What it refuses of one object.
    pub(crate) fn refusals_of<'a>(&'a self, subject: &'a Subject) -> impl Iterator<Item = &'a Refusal> {
        let concerns = |refusal: &&Refusal| refusal.concerns(subject);
        self.refusals.iter().filter(concerns)
    }

    /// What it refuses of `version` or a later one.
    pub(crate) fn refusals_since(&self, version: u64) -> impl Iterator<Item = &Refusal> {
        let since = move |refusal: &&Refusal| refusal.generation >= version;
        self.refusals.iter().filter(since)
    }
}

/// One registry that pilot reads, as `/ready` tells of it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Registry {
    name: String,
    synced: bool,
    stale_seconds: Option<u64>,
    last_error: Option<String>,
}

impl Registry {
    /// What is wrong with it, if anything is.
    pub(crate) fn trouble(&self) -> Option<String> {
        let state = match (self.stale_seconds, self.synced) {
            (Some(seconds), true) => format!("stale {seconds} s"),
            (None, true) => return None,
            (_, false) => "not read yet".to_owned(),
        };
        let why = self.last_error.as_deref().unwrap_or("no reason is known");
        Some(format!("registry {}: {state}: {why}", self.name))
    }
}

impl Pilot {
    /// A client for the pilot that the flags name.
    pub(crate) fn new(args: &PilotArgs, connection: &Connection) -> Result<Pilot, Failure> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(10))
            .build()
            .map_err(|error| Failure::one(format!("cannot make an HTTP client: {}", chain(&error))))?;
        let token = connection.token()?.map(|token| token.header_value());
        Ok(Pilot {
            address: args.pilot.trim_end_matches('/').to_owned(),
            client,
            token,
        })
    }

    /// Where it is.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Every connected proxy, by id.
    pub(crate) async fn proxies(&self) -> Result<Vec<Proxy>, Failure> {
        let answer = self
            .ask("/debug/syncz")
            .await?
            .error_for_status()
            .map_err(|error| self.unreachable(&error))?;
        let entries: Vec<Entry> = self.read(answer).await?;
        Ok(entries.into_iter().map(Proxy::from).collect())
    }

    /// The registries that it reads, in declared order.
    pub(crate) async fn registries(&self) -> Result<Vec<Registry>, Failure> {
        // A pilot that is not ready says so by its status, with the same body.
        let ready: Ready = self.read(self.ask("/ready").await?).await?;
        Ok(ready.registries)
    }

    /// What pilot found about each object at its last publication, by key: left out, shadowed, without destination.
    pub(crate) async fn findings(&self) -> Result<BTreeMap<String, Vec<String>>, Failure> {
        let answer = self
            .ask("/debug/push_status")
            .await?
            .error_for_status()
            .map_err(|error| self.unreachable(&error))?;
        if answer.content_length() == Some(0) {
            // Nothing has been published yet.
            return Ok(BTreeMap::new());
        }
        let status: PushStatus = self.read(answer).await?;
        Ok(status.by_object())
    }

    async fn ask(&self, page: &str) -> Result<reqwest::Response, Failure> {
        let mut request = self.client.get(format!("{}{page}", self.address));
        if let Some(token) = &self.token {
            request = request.header("authorization", token);
        }
        request.send().await.map_err(|error| self.unreachable(&error))
    }

    async fn read<T: DeserializeOwned>(&self, answer: reqwest::Response) -> Result<T, Failure> {
        answer.json().await.map_err(|error| {
            Failure::one(format!(
                "the answer of {} is not pilot's: {}",
                self.address,
                chain(&error)
            ))
        })
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        Failure::one(format!(
            "cannot reach pilot at {}: {}; is `outrigger serve` running? (--pilot sets the address)",
            self.address,
            chain(error)
        ))
    }
}

/// `/ready`, as far as it is read here.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Ready {
    registries: Vec<Registry>,
}

/// `/debug/push_status`, as far as it is read here: findings by metric, then by object.
#[derive(Default, Deserialize)]
#[serde(default)]
struct PushStatus {
    #[serde(rename = "ProxyStatus")]
    topics: BTreeMap<String, BTreeMap<String, FindingEntry>>,
}

/// One finding.
#[derive(Default, Deserialize)]
#[serde(default)]
struct FindingEntry {
    message: String,
}

impl PushStatus {
    fn by_object(self) -> BTreeMap<String, Vec<String>> {
        let mut objects: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (key, finding) in self.topics.into_values().flatten() {
            objects.entry(key).or_default().push(finding.message);
        }
        objects
    }
}

/// One entry of `/debug/syncz`, as far as it is read here.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    proxy: String,
    proxy_version: String,
    since: String,
    generation: Option<u64>,
    endpoint_percent: u8,
    types: BTreeMap<String, TypeEntry>,
}

/// How far the proxy is with one type.
#[derive(Default, Deserialize)]
#[serde(default)]
struct TypeEntry {
    status: Sync,
    refused: BTreeMap<String, RefusedEntry>,
}

/// What it says against one resource.
#[derive(Default, Deserialize)]
#[serde(default)]
struct RefusedEntry {
    message: String,
    generation: u64,
    since: u64,
}

impl From<Entry> for Proxy {
    fn from(entry: Entry) -> Proxy {
        let status = |name: &str| {
            entry
                .types
                .get(name)
                .map(|entry| entry.status)
                .unwrap_or_default()
        };
        let (clusters, listeners) = (status("cds"), status("lds"));
        let (endpoints, routes) = (status("eds"), status("rds"));
        let refusals = entry.types.into_iter().flat_map(|(name, of_type)| {
            let refused = of_type.refused.into_iter();
            refused.map(move |(resource, refused)| Refusal {
                r#type: name.clone(),
                resource,
                message: refused.message,
                generation: refused.generation,
                since: refused.since,
            })
        });
        Proxy {
            acked_version: entry.generation.unwrap_or_default(),
            clusters,
            listeners,
            endpoints,
            endpoint_percent: entry.endpoint_percent,
            routes,
            refusals: refusals.collect(),
            id: entry.proxy,
            version: entry.proxy_version,
            since: entry.since,
        }
    }
}

#[cfg(test)]
mod tests {
    use outrigger_api::document::{Options, parse_body};

    use super::*;

    fn proxy() -> Proxy {
        Proxy::from(
            serde_json::from_str::<Entry>(
                r#"{"proxy": "sidecar~127.0.0.1~web~mesh", "generation": 8, "types": {
                    "cds": {"status": "SYNCED"},
                    "rds": {"status": "REFUSED", "refused":
                        {"outbound|80||reviews.mesh": {"message": "bad", "generation": 7, "since": 7}}}}}"#,
            )
            .unwrap(),
        )
    }

    fn subject(host: &str, version: u64) -> Subject {
        let text = format!(
            "{{apiVersion: config.istio.io/v1alpha2, kind: RouteRule, metadata: {{name: a, resourceVersion: \"{version}\"}}, \
             spec: {{destination: {{name: {host}}}}}}}"
        );
        Subject::of(&parse_body(text.as_bytes(), &Options::default()).unwrap().resource)
    }

    #[test]
    fn each_type_has_the_state_that_pilot_gives_it() {
        let proxy = proxy();

        assert_eq!(
            [proxy.clusters, proxy.routes, proxy.listeners],
            [Sync::Synced, Sync::Refused, Sync::NotSent]
        );
        assert_eq!(proxy.name(), "web");
    }

    #[test]
    fn a_refusal_is_blamed_on_what_made_the_refused_version_or_has_its_host() {
        let proxy = proxy();
        let blamed = |host: &str, version| proxy.refusals_of(&subject(host, version)).count() == 1;

        assert!(blamed("ratings", 7), "the very version");
        assert!(blamed("reviews", 5), "the host of an older object");
        assert!(!blamed("ratings", 5), "another host");
        assert!(!blamed("review", 5), "a part of a label is another host");
        assert!(!blamed("reviews", 8), "the refused content was made before");
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
    fn what_pilot_found_is_gathered_by_object() {
        let status: PushStatus = serde_json::from_str(
            r#"{"ProxyStatus": {
                "pilot_shadowed_routes": {"route-rule/default/a": {"proxy": "", "message": "never reached"}},
                "pilot_total_rejected_configs": {"route-rule/default/a": {"message": "left out"}}}}"#,
        )
        .unwrap();

        assert_eq!(
            status.by_object()["route-rule/default/a"],
            ["never reached", "left out"]
        );
    }

    #[test]
    fn a_registry_that_cannot_be_read_is_told_with_its_age() {
        let stale: Registry = serde_json::from_str(
            r#"{"name": "static", "synced": true, "stale_seconds": 12, "last_error": "no such file"}"#,
        )
        .unwrap();
        let good: Registry = serde_json::from_str(r#"{"name": "static", "synced": true}"#).unwrap();

        assert_eq!(
            stale.trouble().as_deref(),
            Some("registry static: stale 12 s: no such file")
        );
        assert_eq!(good.trouble(), None);
    }
}
