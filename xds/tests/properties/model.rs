//! A model of a proxy: it applies what it is sent, subscribes to what that names, and checks that nothing it holds ever
//! names a cluster that it does not have.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use outrigger_xds::pb::envoy::config::core::v3::Node;
use outrigger_xds::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use outrigger_xds::pb::google::rpc::Status;
use outrigger_xds::server::{Event, Output, Reply, Stream, Variant};
use outrigger_xds::{Resource, Snapshot, TypeUrl};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

/// The content that the client refuses.
pub(crate) const BAD: u8 = 9;

pub(crate) struct Model {
    variant: Variant,
    stream: Stream,
    streams: u32,
    now: Duration,
    snapshot: Arc<Snapshot>,
    kinds: BTreeMap<TypeUrl, Kind>,
    inbox: VecDeque<Reply>,
    outbox: VecDeque<Event>,
    /// Types with a message that the server waits on.
    open: BTreeSet<TypeUrl>,
    /// Clusters that were in a refused message: a route may name them before the client has them.
    excused: BTreeSet<String>,
    reconnected: bool,
    history: Vec<String>,
}

#[derive(Default)]
struct Kind {
    held: BTreeMap<String, Arc<Resource>>,
    names: BTreeSet<String>,
    nonce: String,
    opened: bool,
}

impl Model {
    pub(crate) fn new(variant: Variant) -> Model {
        let kinds = [
            TypeUrl::Cluster,
            TypeUrl::Endpoint,
            TypeUrl::Listener,
            TypeUrl::Route,
        ];
        let mut model = Model {
            variant,
            stream: Stream::new(variant, "s0-", Duration::ZERO),
            streams: 0,
            now: Duration::ZERO,
            snapshot: Arc::default(),
            kinds: kinds.into_iter().map(|kind| (kind, Kind::default())).collect(),
            inbox: VecDeque::new(),
            outbox: VecDeque::new(),
            open: BTreeSet::new(),
            excused: BTreeSet::new(),
            reconnected: false,
            history: Vec::new(),
        };
        model.open_wildcards();
        model
    }

    /// What happened, a line per event, for failures.
    pub(crate) fn history(&self) -> String {
        self.history.join("\n")
    }

    pub(crate) fn publish(&mut self, snapshot: Snapshot) -> Result<(), TestCaseError> {
        self.snapshot = Arc::new(snapshot);
        self.happen(Event::Snapshot(Arc::clone(&self.snapshot)))
    }

    /// The next request reaches the server.
    pub(crate) fn reach(&mut self) -> Result<(), TestCaseError> {
        match self.outbox.pop_front() {
            Some(event) => self.happen(event),
            None => Ok(()),
        }
    }

    /// The client takes the next message and answers it.
    pub(crate) fn take(&mut self, subscribe_first: bool) -> Result<(), TestCaseError> {
        let Some(reply) = self.inbox.pop_front() else {
            return Ok(());
        };
        self.history.push(format!("  client takes {}", reply.nonce));
        let kind = TypeUrl::from_url(&reply.type_url).unwrap();
        self.kind(kind).nonce = reply.nonce.clone();
        if reply.resources.iter().any(is_bad) {
            if kind == TypeUrl::Cluster {
                self.excused
                    .extend(reply.resources.iter().map(|resource| resource.name().to_string()));
            }
            self.answer(kind, &reply.nonce, true);
            return Ok(());
        }
        self.apply(kind, &reply);
        self.check_clusters(&reply)?;
        if subscribe_first {
            self.resubscribe(kind);
        }
        self.answer(kind, &reply.nonce, false);
        if !subscribe_first {
            self.resubscribe(kind);
        }
        Ok(())
    }

    /// The connection breaks; what was under way is lost, what the client holds is not.
    pub(crate) fn reconnect(&mut self) -> Result<(), TestCaseError> {
        self.streams += 1;
        self.reconnected = true;
        self.stream = Stream::new(self.variant, &format!("s{}-", self.streams), self.now);
        self.inbox.clear();
        self.outbox.clear();
        self.open.clear();
        for kind in self.kinds.values_mut() {
            (kind.opened, kind.nonce) = (false, String::new());
        }
        self.open_wildcards();
        for kind in [TypeUrl::Endpoint, TypeUrl::Route] {
            self.subscribe(kind, self.kinds[&kind].names.clone());
        }
        let snapshot = Arc::clone(&self.snapshot);
        self.happen(Event::Snapshot(snapshot))
    }

    /// Everything under way arrives. Only after a reconnect may time be needed.
    pub(crate) fn settle(&mut self) -> Result<(), TestCaseError> {
        for _ in 0..5000 {
            if self.outbox.is_empty() && self.inbox.is_empty() {
                if self.stream.is_settled() || self.stream.wake().is_none() || !self.reconnected {
                    return Ok(());
                }
                self.now += Duration::from_secs(5);
                self.happen(Event::Tick)?;
            }
            self.reach()?;
            self.take(false)?;
        }
        Err(TestCaseError::fail("messages without end"))
    }

    /// The client holds what the snapshot has, refused content aside.
    pub(crate) fn check_against(&mut self, snapshot: &Snapshot) -> Result<(), TestCaseError> {
        let mut anything_bad = false;
        for kind in [
            TypeUrl::Cluster,
            TypeUrl::Listener,
            TypeUrl::Endpoint,
            TypeUrl::Route,
        ] {
            let client = &self.kinds[&kind];
            for resource in snapshot.resources(kind) {
                let name = resource.name().to_string();
                let wanted = kind.is_wholesale() || client.names.contains(&name);
                let bad = is_bad(resource);
                anything_bad |= bad;
                if wanted && !bad {
                    let held = client.held.get(&name).map(content);
                    prop_assert_eq!(held, Some(content(resource)), "{} {}", kind.short(), name);
                }
            }
        }
        if !anything_bad {
            for (kind, client) in &self.kinds {
                for name in client.held.keys() {
                    let exists = snapshot.get(*kind, name).is_some() || *kind == TypeUrl::Endpoint;
                    // In the state-of-the-world variant nothing says that a route is gone.
                    let silent = self.variant == Variant::Sotw && *kind == TypeUrl::Route;
                    prop_assert!(exists || silent, "{} {} should be gone", kind.short(), name);
                }
            }
            prop_assert!(self.stream.is_settled(), "{:?}", self.stream);
        }
        Ok(())
    }

    fn happen(&mut self, event: Event) -> Result<(), TestCaseError> {
        self.now += Duration::from_millis(1);
        self.history.push(describe(&event));
        let mut next = Some(event);
        while let Some(event) = next.take() {
            for output in self.stream.on(self.now, event) {
                match output {
                    Output::Node(_) => next = Some(Event::Snapshot(Arc::clone(&self.snapshot))),
                    Output::Send(reply) => {
                        self.history.push(format!("  {reply:?}"));
                        let kind = TypeUrl::from_url(&reply.type_url).unwrap();
                        prop_assert!(self.open.insert(kind), "two messages of {} at once", kind);
                        self.inbox.push_back(reply);
                    }
                    Output::Told(outrigger_xds::server::Observed::Acked(push)) => {
                        prop_assert!(self.open.remove(&push.kind));
                    }
                    Output::Told(outrigger_xds::server::Observed::Nacked { push, .. }) => {
                        prop_assert!(self.open.remove(&push.kind));
                    }
                    Output::Told(_) => {}
                    Output::Close(status) => return Err(TestCaseError::fail(format!("closed: {status}"))),
                }
            }
        }
        Ok(())
    }

    fn apply(&mut self, kind: TypeUrl, reply: &Reply) {
        let whole = self.variant == Variant::Sotw && kind.is_wholesale();
        let state = self.kind(kind);
        if whole {
            state.held.clear();
        }
        for resource in &reply.resources {
            let name = resource.name().to_string();
            if kind.is_wholesale() || state.names.contains(&name) {
                state.held.insert(name, Arc::clone(resource));
            }
        }
        for name in &reply.removed {
            state.held.remove(&**name);
        }
        for resource in reply.resources.iter().filter(|_| kind == TypeUrl::Cluster) {
            self.excused.remove(&**resource.name());
        }
    }

    /// No listener or route that the client holds names a cluster that it lacks.
    fn check_clusters(&self, reply: &Reply) -> Result<(), TestCaseError> {
        let clusters = &self.kinds[&TypeUrl::Cluster].held;
        for kind in [TypeUrl::Listener, TypeUrl::Route] {
            for (name, resource) in &self.kinds[&kind].held {
                for cluster in resource.references().of_type(TypeUrl::Cluster) {
                    let fine = clusters.contains_key(&**cluster) || self.excused.contains(&**cluster);
                    prop_assert!(fine, "{} {name} names {cluster} after {reply:?}", kind.short());
                }
            }
        }
        Ok(())
    }

    fn open_wildcards(&mut self) {
        for kind in [TypeUrl::Cluster, TypeUrl::Listener] {
            self.kind(kind).opened = true;
            let event = match self.variant {
                Variant::Sotw => Event::Sotw(Box::new(self.sotw(kind))),
                Variant::Delta => {
                    let held = &self.kinds[&kind].held;
                    let versions = held
                        .iter()
                        .map(|(name, resource)| (name.clone(), resource.version().to_string()));
                    Event::Delta(Box::new(DeltaDiscoveryRequest {
                        node: node(),
                        type_url: kind.url().into(),
                        initial_resource_versions: versions.collect(),
                        ..DeltaDiscoveryRequest::default()
                    }))
                }
            };
            self.outbox.push_back(event);
        }
    }

    /// Subscribes to what the accepted resources of a type name.
    fn resubscribe(&mut self, kind: TypeUrl) {
        let named = match kind {
            TypeUrl::Cluster => TypeUrl::Endpoint,
            TypeUrl::Listener => TypeUrl::Route,
            _ => return,
        };
        let held = self.kinds[&kind].held.values();
        let names = held
            .flat_map(|resource| resource.references().of_type(named))
            .map(|name| name.to_string());
        let names: BTreeSet<String> = names.collect();
        if names != self.kinds[&named].names {
            self.subscribe(named, names);
        }
    }

    fn subscribe(&mut self, kind: TypeUrl, names: BTreeSet<String>) {
        let first = !self.kinds[&kind].opened;
        let state = self.kind(kind);
        let old = std::mem::replace(&mut state.names, names);
        let names = &state.names;
        state.held.retain(|name, _| names.contains(name));
        let added = if first {
            names.clone()
        } else {
            names.difference(&old).cloned().collect()
        };
        let gone = if first {
            BTreeSet::new()
        } else {
            old.difference(names).cloned().collect()
        };
        if first && added.is_empty() {
            return;
        }
        state.opened = true;
        let versions = state
            .held
            .iter()
            .map(|(name, resource)| (name.clone(), resource.version().to_string()));
        let versions = if first {
            versions.collect()
        } else {
            Default::default()
        };
        let event = match self.variant {
            Variant::Sotw => Event::Sotw(Box::new(self.sotw(kind))),
            Variant::Delta => Event::Delta(Box::new(DeltaDiscoveryRequest {
                node: node(),
                type_url: kind.url().into(),
                initial_resource_versions: versions,
                resource_names_subscribe: added.into_iter().collect(),
                resource_names_unsubscribe: gone.into_iter().collect(),
                ..DeltaDiscoveryRequest::default()
            })),
        };
        self.outbox.push_back(event);
    }

    fn answer(&mut self, kind: TypeUrl, nonce: &str, refuses: bool) {
        let error_detail = refuses.then(|| Status {
            message: "bad content".into(),
            ..Status::default()
        });
        let event = match self.variant {
            Variant::Sotw => Event::Sotw(Box::new(DiscoveryRequest {
                error_detail,
                ..self.sotw(kind)
            })),
            Variant::Delta => Event::Delta(Box::new(DeltaDiscoveryRequest {
                type_url: kind.url().into(),
                response_nonce: nonce.into(),
                error_detail,
                ..DeltaDiscoveryRequest::default()
            })),
        };
        self.outbox.push_back(event);
    }

    fn sotw(&self, kind: TypeUrl) -> DiscoveryRequest {
        let state = &self.kinds[&kind];
        DiscoveryRequest {
            node: node(),
            type_url: kind.url().into(),
            resource_names: state.names.iter().cloned().collect(),
            response_nonce: state.nonce.clone(),
            ..DiscoveryRequest::default()
        }
    }

    fn kind(&mut self, kind: TypeUrl) -> &mut Kind {
        self.kinds.get_mut(&kind).unwrap()
    }
}

fn describe(event: &Event) -> String {
    match event {
        Event::Sotw(request) => {
            let short = TypeUrl::from_url(&request.type_url).map_or("?", |kind| kind.short());
            let refuses = request.error_detail.is_some();
            format!(
                "> {short} {:?} nonce {} refuses {refuses}",
                request.resource_names, request.response_nonce
            )
        }
        Event::Delta(request) => {
            let short = TypeUrl::from_url(&request.type_url).map_or("?", |kind| kind.short());
            let refuses = request.error_detail.is_some();
            format!(
                "> {short} +{:?} -{:?} have {:?} nonce {} refuses {refuses}",
                request.resource_names_subscribe,
                request.resource_names_unsubscribe,
                request.initial_resource_versions,
                request.response_nonce
            )
        }
        Event::Snapshot(snapshot) => {
            let all = TypeUrl::ALL.into_iter().flat_map(|kind| snapshot.resources(kind));
            let line = |resource: &Arc<Resource>| {
                let names = resource.references().of_type(TypeUrl::Cluster).join(",");
                format!("{}={}>{names}", resource.name(), &content(resource)[..1])
            };
            format!(
                "= {} {}",
                snapshot.generation(),
                all.map(line).collect::<Vec<_>>().join(" ")
            )
        }
        Event::Tick => "tick".into(),
    }
}

fn node() -> Option<Node> {
    Some(Node {
        id: "sidecar~10.0.0.1~reviews-v1~".into(),
        ..Node::default()
    })
}

fn is_bad(resource: &Arc<Resource>) -> bool {
    content(resource).starts_with(&format!("{BAD} "))
}

fn content(resource: &Arc<Resource>) -> String {
    String::from_utf8_lossy(&resource.value()).into_owned()
}
