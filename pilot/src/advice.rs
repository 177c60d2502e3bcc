//! What pilot has to say about a rule when it is written: does it name hosts and versions that run, does another rule
//! leave it without effect, and does every kind of proxy understand it?

mod rivals;
mod stock_envoy;

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

use outrigger_api::destination_policy::DestinationPolicy;
use outrigger_api::destination_rule::DestinationRule;
use outrigger_api::model::Labels;
use outrigger_api::resource::{Resource, Spec};
use outrigger_api::route_rule::RouteRule;
use outrigger_api::virtual_service::VirtualService;

use crate::compile::destination_hosts;
use crate::snapshot::Snapshot;
use crate::snapshot::rules::typed;

/// Gives advice from the newest published snapshot. Clones share it; before the first publication it says nothing.
#[derive(Clone, Debug, Default)]
pub struct Advice {
    snapshot: Arc<RwLock<Option<Arc<Snapshot>>>>,
}

impl Advice {
    /// Sentences for the person who writes `resource`; none when all is well.
    pub fn advise(&self, resource: &Resource) -> Vec<String> {
        let snapshot = self
            .snapshot
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        snapshot
            .map(|snapshot| advise(&snapshot, resource))
            .unwrap_or_default()
    }

    /// From now on this is what advice is based on.
    pub(crate) fn renew(&self, snapshot: Arc<Snapshot>) {
        *self.snapshot.write().unwrap_or_else(PoisonError::into_inner) = Some(snapshot);
    }
}

/// Sentences about what `resource` names and `snapshot` does not have. Each is said once.
pub fn advise(snapshot: &Snapshot, resource: &Resource) -> Vec<String> {
    let mut adviser = Adviser {
        snapshot,
        namespace: &resource.meta.namespace,
        said: BTreeSet::new(),
        advice: Vec::new(),
    };
    match &resource.spec {
        Spec::RouteRule(spec) => adviser.route_rule(spec),
        Spec::DestinationPolicy(spec) => adviser.destination_policy(spec),
        Spec::VirtualService(spec) => adviser.virtual_service(spec),
        Spec::DestinationRule(spec) => adviser.destination_rule(spec),
        Spec::EgressRule(_) | Spec::Gateway(_) | Spec::ServiceEntry(_) | Spec::ServiceAddress(_) => {}
    }
    rivals::advise(snapshot, resource)
        .into_iter()
        .for_each(|sentence| adviser.say(sentence));
    stock_envoy::advise(resource)
        .into_iter()
        .for_each(|sentence| adviser.say(sentence));
    adviser.advice
}

struct Adviser<'a> {
    snapshot: &'a Snapshot,
    namespace: &'a str,
    said: BTreeSet<String>,
    advice: Vec<String>,
}

impl Adviser<'_> {
    fn route_rule(&mut self, spec: &RouteRule) {
        let names = self.snapshot.rules.names();
        let host = names.service(&spec.destination, self.namespace);
        self.host(&host);
        for entry in &spec.route {
            let (target, labels) = names.route_target(entry, &host, self.namespace);
            self.host(&target);
            self.labels(&target, &labels);
        }
        if let Some(source) = spec
            .condition
            .as_ref()
            .and_then(|condition| condition.source.as_ref())
        {
            let caller = names.service(source, self.namespace);
            if !caller.starts_with("istio-ingress") {
                self.host(&caller);
            }
        }
    }

    fn destination_policy(&mut self, spec: &DestinationPolicy) {
        let host = self
            .snapshot
            .rules
            .names()
            .service(&spec.destination, self.namespace);
        let labels = &spec.destination.labels;
        self.host(&host);
        if labels.is_empty() {
            return;
        }
        let named = self.snapshot.rules.label_sets(&host).any(|known| known == labels);
        let subset = typed::<DestinationRule>(self.snapshot.rules.destination_rules(&host))
            .any(|(_, rule)| rule.subsets.iter().any(|subset| subset.labels == *labels));
        if !named && !subset {
            self.say(format!(
                "no route rule sends requests to {labels} of {host}, so the policy has no effect yet"
            ));
        }
    }

    fn virtual_service(&mut self, spec: &VirtualService) {
        for host in destination_hosts(spec) {
            let host = self.snapshot.rules.names().host(host, self.namespace);
            self.host(&host);
        }
    }

    fn destination_rule(&mut self, spec: &DestinationRule) {
        let host = self.snapshot.rules.names().host(&spec.host, self.namespace);
        if host.starts_with('*') {
            return;
        }
        self.host(&host);
        for subset in &spec.subsets {
            self.labels(&host, &subset.labels);
        }
    }

    fn host(&mut self, host: &str) {
        if !self.snapshot.catalog.services.contains_key(host) {
            self.say(format!("no registry knows {host}"));
        }
    }

    fn labels(&mut self, host: &str, labels: &Labels) {
        let Some(state) = self.snapshot.catalog.services.get(host) else {
            return;
        };
        if !state
            .instances
            .iter()
            .any(|instance| labels.is_subset_of(&instance.labels))
        {
            self.say(format!("no instance of {host} has labels {labels}"));
        }
    }

    fn say(&mut self, sentence: String) {
        if self.said.insert(sentence.clone()) {
            self.advice.push(sentence);
        }
    }
}
