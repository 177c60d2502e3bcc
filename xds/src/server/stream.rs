//! One ADS stream as a pure state machine: requests, snapshots and time in, messages and verdicts out.
//!
//! The rules are those of spec/pilot.md §6. In short: the first request names the node; a message is answered by the
//! request that carries its nonce, and until then no other of its type is sent; newer content replaces older that was
//! not sent yet; a refused content is not sent again until it changes; the types go out in the order of [`TypeUrl`],
//! and the two rules of make before break hold back what is too early.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tonic::Status;

use super::kind::{Held, KindState, Known, Wildcard};
use super::observer::Observed;
use super::reply::{Reply, Variant};
use crate::pb::envoy::config::core::v3::Node;
use crate::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use crate::pb::google::rpc;
use crate::per_type::PerType;
use crate::{NodeInfo, Snapshot, TypeUrl, Version};

/// How long content waits for the acceptance of clusters that were sent.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// Names that one client may subscribe to, per type.
pub const MAX_NAMES: usize = 50_000;
/// The longest name that a client may subscribe to, bytes: a DNS name, a port and the labels of a version fit many times.
pub const MAX_NAME: usize = 1024;
/// All names that one client may subscribe to, per type, bytes.
pub const MAX_NAME_BYTES: usize = 8 * 1024 * 1024;
/// How many smaller messages are tried, per type and snapshot, to find what is at fault in a refused one.
const MAX_TRIALS: u32 = 64;
/// The longest refusal kept, bytes.
const MAX_REASON: usize = 4096;

/// What happens to a stream.
#[derive(Debug, Clone)]
pub enum Event {
    /// A request of the state-of-the-world variant.
    Sotw(Box<DiscoveryRequest>),
    /// A request of the delta variant.
    Delta(Box<DeltaDiscoveryRequest>),
    /// What the client should have from now on.
    Snapshot(Arc<Snapshot>),
    /// Time has passed, see [`Stream::wake`].
    Tick,
}

/// What a stream wants done, in this order.
#[derive(Debug)]
pub enum Output {
    /// The first request named this node. Nothing is sent before a snapshot is given.
    Node(Box<NodeInfo>),
    /// Send this.
    Send(Reply),
    /// Tell the observer.
    Told(Observed),
    /// End the stream with this status. Nothing follows.
    Close(Status),
}

/// One stream of one client.
#[derive(Debug)]
pub struct Stream {
    pub(super) variant: Variant,
    pub(super) kinds: PerType<KindState>,
    pub(super) snapshot: Option<Arc<Snapshot>>,
    pub(super) started: Duration,
    pub(super) patience: Duration,
    pub(super) wake: Option<Duration>,
    nonce_prefix: String,
    sent: u64,
    has_node: bool,
    closed: bool,
}

/// A request of either variant, as far as subscriptions go.
struct Answer {
    nonce: String,
    refusal: Option<String>,
}

impl Stream {
    /// A stream that begins at `now`. Nonces are `nonce_prefix` and a number; the prefix should be unique to the
    /// stream, so that a nonce of an earlier stream is never taken for one of this.
    pub fn new(variant: Variant, nonce_prefix: &str, now: Duration) -> Stream {
        Stream {
            variant,
            kinds: PerType::default(),
            snapshot: None,
            started: now,
            patience: PATIENCE,
            wake: None,
            nonce_prefix: nonce_prefix.into(),
            sent: 0,
            has_node: false,
            closed: false,
        }
    }

    /// Takes an event in. `now` is the time on any clock that does not go back.
    pub fn on(&mut self, now: Duration, event: Event) -> Vec<Output> {
        let mut out = Vec::new();
        if self.closed {
            return out;
        }
        let done = match (event, self.variant) {
            (Event::Sotw(request), Variant::Sotw) => self.sotw(*request, &mut out),
            (Event::Delta(request), Variant::Delta) => self.delta(*request, &mut out),
            (Event::Sotw(_) | Event::Delta(_), _) => Err(Status::invalid_argument(
                "a request of the other variant on this stream",
            )),
            (Event::Snapshot(snapshot), _) => {
                self.take_snapshot(snapshot);
                Ok(())
            }
            (Event::Tick, _) => Ok(()),
        };
        match done {
            Ok(()) => self.advance(now, &mut out),
            Err(status) => {
                self.closed = true;
                self.wake = None;
                out.push(Output::Close(status));
            }
        }
        out
    }

    /// When [`Event::Tick`] is due, on the clock of [`Stream::on`]; `None` if nothing waits for time.
    pub fn wake(&self) -> Option<Duration> {
        self.wake
    }

    /// Whether the client has named its node.
    pub fn has_node(&self) -> bool {
        self.has_node
    }

    /// Whether every subscription has what the snapshot holds, refused content aside.
    pub fn is_settled(&self) -> bool {
        self.kinds.values().all(|state| {
            state.outstanding.is_none() && state.dirty.is_empty() && state.suspects.is_empty() && !state.owed
        })
    }

    /// The generation of the snapshot, when every subscription has what it holds, see [`Stream::is_settled`].
    pub fn settled(&self) -> Option<u64> {
        let generation = self.snapshot.as_ref().map(|snapshot| snapshot.generation())?;
        self.is_settled().then_some(generation)
    }

    fn sotw(&mut self, request: DiscoveryRequest, out: &mut Vec<Output>) -> Result<(), Status> {
        self.meet(request.node.as_ref(), out)?;
        let answer = Answer::new(request.response_nonce, request.error_detail);
        let Some(kind) = served(&request.type_url)? else {
            if answer.nonce.is_empty() {
                self.send_nothing(request.type_url, Vec::new(), out);
            }
            return Ok(());
        };
        let last_nonce = self.kinds[kind].last_nonce.clone();
        let fresh = answer.nonce.is_empty() || last_nonce.is_none();
        if !fresh && last_nonce.as_ref() != Some(&answer.nonce) {
            return Ok(());
        }
        let refused = answer.refusal.is_some();
        let first_echo = self.answer(kind, answer, out);

        let mut names: BTreeSet<Arc<str>> = request
            .resource_names
            .iter()
            .map(|name| Arc::from(&**name))
            .collect();
        check_names(kind, &BTreeSet::new(), names.iter().map(|name| &**name))?;
        let state = &mut self.kinds[kind];
        let star = kind.is_wholesale() && names.remove("*");
        let before = state.wildcard;
        state.wildcard = match (star, names.is_empty()) {
            (true, _) => Wildcard::Asked,
            (false, true) if kind.is_wholesale() && !state.subscribed => Wildcard::Implied,
            (false, true) if before == Wildcard::Implied => Wildcard::Implied,
            (false, _) => Wildcard::Off,
        };
        let grown =
            state.wildcard.is_on() && !before.is_on() || names.iter().any(|name| !state.names.contains(name));
        let same = state.wildcard == before && names == state.names;
        state.subscribed = true;
        state.names = names;
        state.forget_unwanted();
        // The first echo of a nonce is its verdict; a second one that changes nothing asks for everything again.
        let asks_again = !first_echo && same && !refused;
        if fresh || grown || asks_again {
            self.owe_everything(kind);
        }
        Ok(())
    }

    fn delta(&mut self, request: DeltaDiscoveryRequest, out: &mut Vec<Output>) -> Result<(), Status> {
        self.meet(request.node.as_ref(), out)?;
        let answer = Answer::new(request.response_nonce, request.error_detail);
        let Some(kind) = served(&request.type_url)? else {
            if answer.nonce.is_empty() {
                let names = request
                    .resource_names_subscribe
                    .into_iter()
                    .map(Arc::from)
                    .collect();
                self.send_nothing(request.type_url, names, out);
            }
            return Ok(());
        };
        self.answer(kind, answer, out);
        check_names(
            kind,
            &self.kinds[kind].names,
            request.resource_names_subscribe.iter().map(String::as_str),
        )?;
        check_names(
            kind,
            &BTreeSet::new(),
            request.initial_resource_versions.keys().map(String::as_str),
        )?;
        self.unsubscribe(kind, &request.resource_names_unsubscribe);
        self.subscribe(
            kind,
            request.resource_names_subscribe,
            request.initial_resource_versions.into_iter().collect(),
        );
        Ok(())
    }

    fn subscribe(&mut self, kind: TypeUrl, names: Vec<String>, declared: BTreeMap<String, String>) {
        let snapshot = self.snapshot.clone();
        let state = &mut self.kinds[kind];
        let first = !std::mem::replace(&mut state.subscribed, true);
        let before = state.wildcard;
        if first && names.is_empty() && kind.is_wholesale() {
            state.wildcard = Wildcard::Implied;
        }
        state.owed |= first && (state.wildcard.is_on() || !names.is_empty());
        for name in names {
            if name == "*" && kind.is_wholesale() {
                state.wildcard = Wildcard::Asked;
                continue;
            }
            let name: Arc<str> = name.into();
            state.names.insert(Arc::clone(&name));
            if state.wildcard.is_on() {
                // Everything comes to this client unasked, so it names one because it wants that anew: what made it
                // refuse, such as an address that was taken, is over.
                state.forgive(&name);
            }
            if first && declared.contains_key(&*name) {
                state.touch(name);
            } else {
                state.force(name);
            }
        }
        if state.wildcard.is_on() && !before.is_on() {
            state.owed = true;
            for resource in snapshot.iter().flat_map(|snapshot| snapshot.resources(kind)) {
                state.touch(Arc::clone(resource.name()));
            }
        }
        if first {
            for (name, version) in declared {
                if state.wants(&name) {
                    let name: Arc<str> = name.into();
                    let held = Held::Declared(Version::parse(&version));
                    state.known.insert(
                        Arc::clone(&name),
                        Known {
                            held,
                            ..Known::default()
                        },
                    );
                    state.touch(name);
                }
            }
        }
    }

    fn unsubscribe(&mut self, kind: TypeUrl, names: &[String]) {
        let state = &mut self.kinds[kind];
        for name in names {
            if name == "*" && kind.is_wholesale() {
                state.wildcard = Wildcard::Off;
            } else if state.names.remove(name.as_str()) && state.wildcard.is_on() {
                // The client may have dropped it, although the wildcard still covers it.
                state.force(name.as_str().into());
            }
        }
        state.forget_unwanted();
    }

    /// Takes the verdict on the outstanding message, if this is one. Returns whether it was.
    fn answer(&mut self, kind: TypeUrl, answer: Answer, out: &mut Vec<Output>) -> bool {
        let state = &mut self.kinds[kind];
        let waits_for = state
            .outstanding
            .as_ref()
            .map(|outstanding| &outstanding.push.nonce);
        if waits_for != Some(&answer.nonce) {
            return false;
        }
        match answer.refusal {
            Some(message) => self.refuse(kind, message, out),
            None => {
                if let Some(push) = state.accept() {
                    out.push(Output::Told(Observed::Acked(push)));
                }
            }
        }
        true
    }

    fn owe_everything(&mut self, kind: TypeUrl) {
        let snapshot = self.snapshot.clone();
        let state = &mut self.kinds[kind];
        let names: Vec<Arc<str>> = state.names.iter().cloned().collect();
        state.owed = state.wildcard.is_on() || !names.is_empty();
        for name in names {
            if kind.is_wholesale() {
                state.touch(name);
            } else {
                state.force(name);
            }
        }
        if state.wildcard.is_on() {
            for resource in snapshot.iter().flat_map(|snapshot| snapshot.resources(kind)) {
                state.touch(Arc::clone(resource.name()));
            }
        }
    }

    fn take_snapshot(&mut self, snapshot: Arc<Snapshot>) {
        let earlier = self.snapshot.take().unwrap_or_default();
        for kind in TypeUrl::ALL {
            let state = &mut self.kinds[kind];
            state.trials_left = MAX_TRIALS;
            let changed = snapshot.changed_since(&earlier, kind);
            for name in changed.into_iter().chain(std::mem::take(&mut state.postponed)) {
                if state.wants(&name) {
                    state.touch(name);
                }
            }
        }
        self.snapshot = Some(snapshot);
    }

    /// The first request must name a valid node; later ones need not.
    fn meet(&mut self, node: Option<&Node>, out: &mut Vec<Output>) -> Result<(), Status> {
        if self.has_node {
            return Ok(());
        }
        let info = NodeInfo::from_proto(node.unwrap_or(&Node::default()))
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        self.has_node = true;
        out.push(Output::Node(Box::new(info)));
        Ok(())
    }

    /// Answers a request for a type that nobody serves, so that the client stops waiting.
    fn send_nothing(&mut self, type_url: String, names: Vec<Arc<str>>, out: &mut Vec<Output>) {
        let generation = self.snapshot.as_ref().map_or(0, |snapshot| snapshot.generation());
        let (nonce, version) = self.next_nonce(generation);
        let removed = if self.variant == Variant::Delta {
            names
        } else {
            Vec::new()
        };
        out.push(Output::Send(Reply {
            variant: self.variant,
            type_url: Cow::Owned(type_url),
            version,
            nonce,
            resources: Vec::new(),
            removed,
        }));
    }

    /// A new nonce and the version that goes with it: the generation and the number of the message.
    pub(super) fn next_nonce(&mut self, generation: u64) -> (String, String) {
        self.sent += 1;
        (
            format!("{}{}", self.nonce_prefix, self.sent),
            format!("{generation}/{}", self.sent),
        )
    }
}

impl Answer {
    fn new(nonce: String, error: Option<rpc::Status>) -> Answer {
        let refusal = error.map(|status| {
            let mut message = status.message.to_string();
            let mut end = message.len().min(MAX_REASON);
            while !message.is_char_boundary(end) {
                end -= 1;
            }
            message.truncate(end);
            if message.is_empty() {
                format!("refused with code {} and no message", status.code)
            } else {
                message
            }
        });
        Answer { nonce, refusal }
    }
}

/// The type asked for; `None` for one that is well formed but not served.
fn served(type_url: &str) -> Result<Option<TypeUrl>, Status> {
    if type_url.is_empty() {
        return Err(Status::invalid_argument(
            "a request on an aggregated stream needs a type_url",
        ));
    }
    Ok(TypeUrl::from_url(type_url))
}

/// Refuses names that would take more memory than one client may have, beside the `known` ones.
fn check_names<'n>(
    kind: TypeUrl,
    known: &BTreeSet<Arc<str>>,
    names: impl ExactSizeIterator<Item = &'n str> + Clone,
) -> Result<(), Status> {
    let count = known.len().saturating_add(names.len());
    if count > MAX_NAMES {
        let message = format!("{count} names of type {kind} on one stream, the limit is {MAX_NAMES}");
        return Err(Status::resource_exhausted(message));
    }
    for name in names.clone() {
        if name.len() > MAX_NAME {
            let start: String = name.chars().take(60).collect();
            return Err(Status::invalid_argument(format!(
                "a name of type {kind} is {} bytes long, the limit is {MAX_NAME}: {start:?}...",
                name.len()
            )));
        }
    }
    // Fewer names than this cannot be too long together.
    if count > MAX_NAME_BYTES / MAX_NAME {
        let lengths = known.iter().map(|name| name.len());
        let total = lengths.chain(names.map(str::len)).sum::<usize>();
        if total > MAX_NAME_BYTES {
            let message = format!(
                "names of type {kind} take {total} bytes on one stream, the limit is {MAX_NAME_BYTES}"
            );
            return Err(Status::resource_exhausted(message));
        }
    }
    Ok(())
}
