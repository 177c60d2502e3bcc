//! Our client's machine against our server's machine: connections break at any moment, verdicts come late, and still the
//! proxy ends with what the snapshot has.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use outrigger_xds::client::{Received, Subscription, Update};
use outrigger_xds::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use outrigger_xds::server::{Event, Output, Reply, Stream, Variant};
use outrigger_xds::{NodeInfo, Snapshot, TypeUrl};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

/// One step of a history of the pair.
#[derive(Debug, Clone)]
pub(crate) enum Turn {
    Publish(super::Plan),
    /// A request reaches the server.
    Request,
    /// A response reaches the client.
    Respond,
    /// The proxy takes over the oldest update that waits.
    Judge,
    /// The connection breaks and another is there at once.
    Break,
}

pub(crate) fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        2 => super::plan().prop_map(Turn::Publish),
        6 => Just(Turn::Request),
        6 => Just(Turn::Respond),
        6 => Just(Turn::Judge),
        1 => Just(Turn::Break),
    ]
}

pub(crate) struct Pair {
    server: Stream,
    client: Subscription,
    now: Duration,
    streams: u32,
    snapshot: Arc<Snapshot>,
    requests: VecDeque<DeltaDiscoveryRequest>,
    responses: VecDeque<Reply>,
    waiting: VecDeque<Update>,
    /// What the proxy runs: version by name.
    runs: BTreeMap<TypeUrl, BTreeMap<String, String>>,
}

impl Pair {
    pub(crate) fn new() -> Pair {
        let node = NodeInfo::from_id("sidecar~10.0.0.1~reviews-v1~").unwrap();
        let client = Subscription::new(&node)
            .with_all(TypeUrl::Cluster)
            .with_all(TypeUrl::Listener);
        let mut pair = Pair {
            server: Stream::new(Variant::Delta, "s0-", Duration::ZERO),
            client,
            now: Duration::ZERO,
            streams: 0,
            snapshot: Arc::default(),
            requests: VecDeque::new(),
            responses: VecDeque::new(),
            waiting: VecDeque::new(),
            runs: TypeUrl::ALL
                .into_iter()
                .map(|kind| (kind, BTreeMap::new()))
                .collect(),
        };
        pair.requests = pair.client.connected().into();
        pair
    }

    pub(crate) fn play(&mut self, turns: Vec<Turn>) -> Result<(), TestCaseError> {
        self.happen(Event::Snapshot(Arc::clone(&self.snapshot)))?;
        for (place, turn) in turns.into_iter().enumerate() {
            match turn {
                Turn::Publish(plan) => {
                    self.snapshot = Arc::new(super::snapshot(place as u64 + 1, &plan, true));
                    self.happen(Event::Snapshot(Arc::clone(&self.snapshot)))?;
                }
                Turn::Request => self.request()?,
                Turn::Respond => self.respond()?,
                Turn::Judge => self.judge(),
                Turn::Break => self.reconnect()?,
            }
        }
        self.settle()
    }

    fn request(&mut self) -> Result<(), TestCaseError> {
        match self.requests.pop_front() {
            Some(request) => self.happen(Event::Delta(Box::new(request))),
            None => Ok(()),
        }
    }

    fn respond(&mut self) -> Result<(), TestCaseError> {
        let Some(reply) = self.responses.pop_front() else {
            return Ok(());
        };
        match self.client.receive(reply.to_delta()) {
            Received::Update(update) => self.waiting.push_back(update),
            other => return Err(TestCaseError::fail(format!("{other:?}"))),
        }
        Ok(())
    }

    /// The proxy takes an update over, whichever connection it came by, and subscribes to what it names: here, a
    /// cluster `c1` needs the assignment `e1`, a listener `l1` the route `r1`.
    fn judge(&mut self) {
        let Some(update) = self.waiting.pop_front() else {
            return;
        };
        let runs = self.runs.entry(update.kind).or_default();
        // What is no longer subscribed to may still be under way.
        let names = self.client.names(update.kind);
        let wanted = |name: &str| update.kind.is_wholesale() || names.contains(name);
        for upsert in update.upserts.iter().filter(|upsert| wanted(&upsert.name)) {
            runs.insert(upsert.name.clone(), upsert.version.clone());
        }
        for name in &update.removed {
            runs.remove(name);
        }
        let named = match update.kind {
            TypeUrl::Cluster => Some((TypeUrl::Endpoint, "e")),
            TypeUrl::Listener => Some((TypeUrl::Route, "r")),
            _ => None,
        };
        if let Some((kind, letter)) = named {
            let names: BTreeSet<String> = runs
                .keys()
                .map(|name| format!("{letter}{}", &name[1..]))
                .collect();
            self.runs
                .entry(kind)
                .or_default()
                .retain(|name, _| names.contains(name));
            self.requests.extend(self.client.subscribe(kind, names));
        }
        self.requests.extend(self.client.judge(&update.ticket, &Ok(())));
    }

    fn reconnect(&mut self) -> Result<(), TestCaseError> {
        self.client.disconnected();
        self.requests = self.client.connected().into();
        self.responses.clear();
        self.streams += 1;
        self.server = Stream::new(Variant::Delta, &format!("s{}-", self.streams), self.now);
        self.happen(Event::Snapshot(Arc::clone(&self.snapshot)))
    }

    fn happen(&mut self, event: Event) -> Result<(), TestCaseError> {
        self.now += Duration::from_millis(1);
        for output in self.server.on(self.now, event) {
            match output {
                Output::Send(reply) => self.responses.push_back(reply),
                Output::Close(status) => return Err(TestCaseError::fail(format!("closed: {status}"))),
                Output::Node(_) | Output::Told(_) => {}
            }
        }
        Ok(())
    }

    fn settle(&mut self) -> Result<(), TestCaseError> {
        for _ in 0..5000 {
            self.request()?;
            self.respond()?;
            self.judge();
            if self.requests.is_empty() && self.responses.is_empty() && self.waiting.is_empty() {
                if self.server.wake().is_none() {
                    return self.check();
                }
                self.now += Duration::from_secs(5);
                self.happen(Event::Tick)?;
            }
        }
        Err(TestCaseError::fail("messages without end"))
    }

    fn check(&self) -> Result<(), TestCaseError> {
        prop_assert!(self.server.is_settled(), "{:?}", self.server);
        for kind in [
            TypeUrl::Cluster,
            TypeUrl::Listener,
            TypeUrl::Endpoint,
            TypeUrl::Route,
        ] {
            let wanted = self.snapshot.resources(kind).into_iter();
            let wanted = wanted.map(|resource| (resource.name().to_string(), resource.version().to_string()));
            let names = self.client.names(kind);
            let wanted: BTreeMap<String, String> = wanted
                .filter(|(name, _)| kind.is_wholesale() || names.contains(name))
                .collect();
            prop_assert_eq!(&self.runs[&kind], &wanted, "{}", kind.short());
        }
        Ok(())
    }
}
