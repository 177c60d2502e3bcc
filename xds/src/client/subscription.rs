//! What a client asked for and what it holds, as a pure state machine over delta requests and responses.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::pb::envoy::config::core::v3::Node;
use crate::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use crate::pb::google::rpc::Status;
use crate::per_type::PerType;
use crate::{NodeInfo, TypeUrl};

/// The version told to the server for a resource whose acceptance was still open when the connection was lost.
/// It matches nothing, so the server sends the resource again, or its removal.
const UNDECIDED: &str = "undecided";

/// Responses of one type that may wait for a verdict at the same time. Our server leaves one open.
const MAX_PENDING: usize = 8;

/// The longest reason sent in a NACK, bytes.
const MAX_REASON: usize = 4096;

/// `INVALID_ARGUMENT`, the code of a NACK.
const INVALID_ARGUMENT: i32 = 3;

/// One response, as the proxy sees it. It must be judged, see [`Subscription::judge`]. Names that the proxy has given up
/// since it arrived may still be in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    /// The type of everything in it.
    pub kind: TypeUrl,
    /// Resources that are new or changed, or sent again unchanged.
    pub upserts: Vec<Upsert>,
    /// Names of resources that are gone, or that never were.
    pub removed: Vec<String>,
    /// The server's version of its state, for people.
    pub version: String,
    /// What the verdict is about.
    pub ticket: Ticket,
}

/// One resource of an [`Update`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upsert {
    /// The name.
    pub name: String,
    /// The version, to be compared for equality only.
    pub version: String,
    /// The encoded message; its type is that of the update.
    pub value: Bytes,
}

/// Which response a verdict is about. One of an earlier connection is told apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Ticket {
    epoch: u64,
    kind: TypeUrl,
    nonce: String,
}

/// What the proxy makes of an update: accepted, or refused whole with a reason that a person can act on.
pub type Verdict = Result<(), String>;

/// What [`Subscription::receive`] makes of a response.
#[derive(Debug, Clone, PartialEq)]
pub enum Received {
    /// For the proxy to judge.
    Update(Update),
    /// The response itself is broken; this is the NACK to send, and why.
    Refused {
        /// The NACK.
        request: Box<DeltaDiscoveryRequest>,
        /// The reason in it.
        reason: String,
    },
    /// Nothing that the client asked for, and nothing to answer; why.
    Ignored(String),
}

/// Subscriptions and accepted versions of one client.
#[derive(Debug, Clone)]
pub struct Subscription {
    node: Node,
    kinds: PerType<KindState>,
    epoch: u64,
    connected: bool,
    node_sent: bool,
}

#[derive(Debug, Clone, Default)]
struct KindState {
    wildcard: bool,
    names: BTreeSet<String>,
    /// Version by name of what the proxy accepted.
    held: BTreeMap<String, String>,
    pending: Vec<Pending>,
    /// Whether this connection has seen a request of this type.
    opened: bool,
}

#[derive(Debug, Clone)]
struct Pending {
    nonce: String,
    versions: Vec<(String, String)>,
    removed: Vec<String>,
}

impl Subscription {
    /// A client that subscribes to nothing yet.
    pub fn new(node: &NodeInfo) -> Subscription {
        Subscription {
            node: node.to_proto(),
            kinds: PerType::default(),
            epoch: 0,
            connected: false,
            node_sent: false,
        }
    }

    /// Asks for everything of a type (clusters and listeners have such a request) from the next connection on.
    #[must_use]
    pub fn with_all(mut self, kind: TypeUrl) -> Subscription {
        self.kinds[kind].wildcard = true;
        self
    }

    /// A connection is there: gives the first requests, in the order in which they must be sent. Each names what is
    /// subscribed and the versions held, so that the server sends only what differs.
    pub fn connected(&mut self) -> Vec<DeltaDiscoveryRequest> {
        self.epoch += 1;
        self.connected = true;
        self.node_sent = false;
        TypeUrl::ALL
            .into_iter()
            .filter_map(|kind| self.first_request(kind))
            .collect()
    }

    /// The connection is gone. Verdicts still open are void; what they are about is asked for again.
    pub fn disconnected(&mut self) {
        self.connected = false;
        for state in self.kinds.values_mut() {
            state.opened = false;
            for pending in state.pending.drain(..) {
                let names = pending
                    .versions
                    .into_iter()
                    .map(|(name, _)| name)
                    .chain(pending.removed);
                for name in names.filter(|name| state.wildcard || state.names.contains(name)) {
                    state.held.insert(name, UNDECIDED.into());
                }
            }
        }
    }

    /// Sets the names subscribed to, beside a wildcard. Gives the request to send, if one is needed now.
    pub fn subscribe(&mut self, kind: TypeUrl, names: BTreeSet<String>) -> Option<DeltaDiscoveryRequest> {
        let connected = self.connected;
        let state = &mut self.kinds[kind];
        let added: Vec<String> = names.difference(&state.names).cloned().collect();
        let dropped: Vec<String> = state.names.difference(&names).cloned().collect();
        state.names = names;
        if !state.wildcard {
            for name in &dropped {
                state.held.remove(name);
            }
        }
        if !connected || added.is_empty() && dropped.is_empty() {
            return None;
        }
        if !state.opened {
            return self.first_request(kind);
        }
        Some(self.with_node(DeltaDiscoveryRequest {
            type_url: kind.url().into(),
            resource_names_subscribe: added,
            resource_names_unsubscribe: dropped,
            ..DeltaDiscoveryRequest::default()
        }))
    }

    /// Asks for resources once more, of a type of which everything is subscribed: they were refused, and would be
    /// accepted now. Gives the request to send; none without a connection, for the next one asks by itself.
    pub fn again(&mut self, kind: TypeUrl, names: Vec<String>) -> Option<DeltaDiscoveryRequest> {
        let state = &self.kinds[kind];
        if !self.connected || !state.opened || !state.wildcard || names.is_empty() {
            return None;
        }
        Some(self.with_node(DeltaDiscoveryRequest {
            type_url: kind.url().into(),
            resource_names_subscribe: names,
            ..DeltaDiscoveryRequest::default()
        }))
    }

    /// Takes a response in.
    pub fn receive(&mut self, response: DeltaDiscoveryResponse) -> Received {
        let Some(kind) = TypeUrl::from_url(&response.type_url) else {
            return Received::Ignored(format!("a response of unknown type {:?}", response.type_url));
        };
        let epoch = self.epoch;
        let state = &mut self.kinds[kind];
        if !state.opened {
            return Received::Ignored(format!("a response of type {kind}, which nobody asked for"));
        }
        let (nonce, version) = (response.nonce.clone(), response.system_version_info.clone());
        match read_update(state, kind, response) {
            Ok((upserts, removed)) => {
                let versions = upserts
                    .iter()
                    .map(|upsert| (upsert.name.clone(), upsert.version.clone()))
                    .collect();
                state.pending.push(Pending {
                    nonce: nonce.clone(),
                    versions,
                    removed: removed.clone(),
                });
                let ticket = Ticket { epoch, kind, nonce };
                Received::Update(Update {
                    kind,
                    upserts,
                    removed,
                    version,
                    ticket,
                })
            }
            Err(reason) => {
                let request = Box::new(self.verdict_request(kind, nonce, Some(&reason)));
                Received::Refused { request, reason }
            }
        }
    }

    /// Takes the proxy's verdict on an update and gives the request to send. `None` when the update came over an
    /// earlier connection, or was judged before.
    pub fn judge(&mut self, ticket: &Ticket, verdict: &Verdict) -> Option<DeltaDiscoveryRequest> {
        if ticket.epoch != self.epoch || !self.connected {
            return None;
        }
        let state = &mut self.kinds[ticket.kind];
        let place = state
            .pending
            .iter()
            .position(|pending| pending.nonce == ticket.nonce)?;
        let pending = state.pending.remove(place);
        if verdict.is_ok() {
            for (name, version) in pending.versions {
                if state.wildcard || state.names.contains(&name) {
                    state.held.insert(name, version);
                }
            }
            for name in &pending.removed {
                state.held.remove(name);
            }
        }
        let reason = verdict.as_ref().err().map(String::as_str);
        Some(self.verdict_request(ticket.kind, pending.nonce, reason))
    }

    /// The names subscribed to, beside a wildcard.
    pub fn names(&self, kind: TypeUrl) -> &BTreeSet<String> {
        &self.kinds[kind].names
    }

    /// The accepted versions, by name.
    pub fn versions(&self, kind: TypeUrl) -> &BTreeMap<String, String> {
        &self.kinds[kind].held
    }

    fn first_request(&mut self, kind: TypeUrl) -> Option<DeltaDiscoveryRequest> {
        let state = &mut self.kinds[kind];
        if !state.wildcard && state.names.is_empty() {
            return None;
        }
        state.opened = true;
        let mut subscribe: Vec<String> = state.names.iter().cloned().collect();
        if state.wildcard && !subscribe.is_empty() {
            subscribe.push("*".into());
        }
        let initial_resource_versions = state.held.clone().into_iter().collect();
        Some(self.with_node(DeltaDiscoveryRequest {
            type_url: kind.url().into(),
            resource_names_subscribe: subscribe,
            initial_resource_versions,
            ..DeltaDiscoveryRequest::default()
        }))
    }

    fn verdict_request(
        &mut self,
        kind: TypeUrl,
        nonce: String,
        refusal: Option<&str>,
    ) -> DeltaDiscoveryRequest {
        let error_detail = refusal.map(|reason| Status {
            code: INVALID_ARGUMENT,
            message: shortened(reason).into(),
            details: Vec::new(),
        });
        self.with_node(DeltaDiscoveryRequest {
            type_url: kind.url().into(),
            response_nonce: nonce,
            error_detail,
            ..DeltaDiscoveryRequest::default()
        })
    }

    /// The first request of a connection carries the node.
    fn with_node(&mut self, request: DeltaDiscoveryRequest) -> DeltaDiscoveryRequest {
        if std::mem::replace(&mut self.node_sent, true) {
            return request;
        }
        DeltaDiscoveryRequest {
            node: Some(self.node.clone()),
            ..request
        }
    }
}

/// The resources and removals of a response, or what is wrong with it.
fn read_update(
    state: &KindState,
    kind: TypeUrl,
    response: DeltaDiscoveryResponse,
) -> Result<(Vec<Upsert>, Vec<String>), String> {
    if response.nonce.is_empty() {
        return Err("the response has no nonce".into());
    }
    if state.pending.len() >= MAX_PENDING {
        return Err(format!(
            "{MAX_PENDING} responses of this type wait for a verdict already"
        ));
    }
    let wanted = |name: &str| state.wildcard || state.names.contains(name);
    let mut seen = BTreeSet::new();
    let mut upserts = Vec::with_capacity(response.resources.len());
    for resource in response.resources {
        if resource.name.is_empty() {
            return Err("a resource has no name".into());
        }
        if !seen.insert(resource.name.clone()) {
            return Err(format!("resource {:?} is there twice", resource.name));
        }
        // A resource without a body is a heartbeat: the one held stays valid.
        let Some(any) = resource.resource else { continue };
        if any.type_url != kind.url() {
            return Err(format!(
                "resource {:?} is of type {:?}, want {kind}",
                resource.name, any.type_url
            ));
        }
        // A name dropped a moment ago may still be on its way.
        if wanted(&resource.name) {
            upserts.push(Upsert {
                name: resource.name,
                version: resource.version,
                value: any.value.into(),
            });
        }
    }
    let removed = response.removed_resources;
    if let Some(name) = removed.iter().find(|name| seen.contains(*name)) {
        return Err(format!("resource {name:?} is both sent and removed"));
    }
    Ok((upserts, removed.into_iter().filter(|name| wanted(name)).collect()))
}

fn shortened(reason: &str) -> &str {
    let mut end = reason.len().min(MAX_REASON);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    &reason[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb::envoy::service::discovery::v3::Resource;
    use crate::pb::google::protobuf::Any;

    const KIND: TypeUrl = TypeUrl::Cluster;

    fn subscription() -> Subscription {
        let node = NodeInfo::from_id("sidecar~10.0.0.1~reviews-v1~").unwrap();
        Subscription::new(&node).with_all(TypeUrl::Cluster)
    }

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).into()).collect()
    }

    fn response(nonce: &str, resources: &[(&str, &str)], removed: &[&str]) -> DeltaDiscoveryResponse {
        let resource = |(name, version): &(&str, &str)| Resource {
            name: (*name).into(),
            version: (*version).into(),
            resource: Some(Any {
                type_url: KIND.url().into(),
                value: b"bytes".to_vec(),
            }),
            ..Resource::default()
        };
        DeltaDiscoveryResponse {
            type_url: KIND.url().into(),
            nonce: nonce.into(),
            resources: resources.iter().map(resource).collect(),
            removed_resources: removed.iter().map(|name| (*name).into()).collect(),
            ..DeltaDiscoveryResponse::default()
        }
    }

    fn update(subscription: &mut Subscription, response: DeltaDiscoveryResponse) -> Update {
        match subscription.receive(response) {
            Received::Update(update) => update,
            other => panic!("wanted an update, got {other:?}"),
        }
    }

    fn refusal(subscription: &mut Subscription, response: DeltaDiscoveryResponse) -> String {
        match subscription.receive(response) {
            Received::Refused { request, reason } => {
                assert_eq!(request.error_detail.unwrap().message, reason);
                reason
            }
            other => panic!("wanted a refusal, got {other:?}"),
        }
    }

    #[test]
    fn the_first_request_names_the_node_and_asks_for_everything() {
        let requests = subscription().connected();

        assert_eq!(requests.len(), 1);
        assert_eq!(
            requests[0].node.as_ref().unwrap().id,
            "sidecar~10.0.0.1~reviews-v1~"
        );
        assert_eq!(requests[0].type_url, KIND.url());
        assert!(requests[0].resource_names_subscribe.is_empty());
    }

    #[test]
    fn names_beside_a_wildcard_need_the_star() {
        let mut subscription = subscription();
        subscription.subscribe(KIND, names(&["on-demand"]));

        assert_eq!(
            subscription.connected()[0].resource_names_subscribe,
            ["on-demand", "*"]
        );
    }

    #[test]
    fn an_accepted_update_is_acknowledged_and_its_versions_are_told_at_the_next_connection() {
        let mut subscription = subscription();
        subscription.connected();
        let update = update(&mut subscription, response("n1", &[("a", "1"), ("b", "1")], &[]));

        let ack = subscription.judge(&update.ticket, &Ok(())).unwrap();
        subscription.disconnected();
        let again = subscription.connected();

        assert_eq!(
            (ack.response_nonce.as_str(), ack.error_detail, ack.node),
            ("n1", None, None)
        );
        let told = &again[0].initial_resource_versions;
        assert_eq!(
            (told["a"].as_str(), told["b"].as_str(), told.len()),
            ("1", "1", 2)
        );
        assert!(again[0].node.is_some());
    }

    #[test]
    fn a_refused_update_leaves_the_old_versions() {
        let mut subscription = subscription();
        subscription.connected();
        let first = update(&mut subscription, response("n1", &[("a", "1")], &[]));
        subscription.judge(&first.ticket, &Ok(()));
        let second = update(&mut subscription, response("n2", &[("a", "2")], &[]));

        let nack = subscription
            .judge(&second.ticket, &Err("no such filter".into()))
            .unwrap();

        let detail = nack.error_detail.unwrap();
        assert_eq!(
            (nack.response_nonce.as_str(), detail.code, detail.message.as_str()),
            ("n2", 3, "no such filter")
        );
        assert_eq!(subscription.versions(KIND)["a"], "1");
    }

    #[test]
    fn a_verdict_counts_once_and_only_on_its_own_connection() {
        let mut subscription = subscription();
        subscription.connected();
        let first = update(&mut subscription, response("n1", &[("a", "1")], &[]));
        assert!(subscription.judge(&first.ticket, &Ok(())).is_some());
        assert!(subscription.judge(&first.ticket, &Ok(())).is_none());

        let second = update(&mut subscription, response("n2", &[("a", "2")], &[]));
        subscription.disconnected();
        subscription.connected();
        assert!(subscription.judge(&second.ticket, &Ok(())).is_none());
    }

    #[test]
    fn what_was_open_at_a_disconnect_is_told_as_undecided() {
        let mut subscription = subscription();
        subscription.connected();
        let first = update(&mut subscription, response("n1", &[("a", "1"), ("b", "1")], &[]));
        subscription.judge(&first.ticket, &Ok(()));
        update(&mut subscription, response("n2", &[("c", "1")], &["b"]));

        subscription.disconnected();
        let again = subscription.connected();

        let told = &again[0].initial_resource_versions;
        assert_eq!(
            (told["a"].as_str(), told["b"].as_str(), told["c"].as_str()),
            ("1", UNDECIDED, UNDECIDED)
        );
    }

    #[test]
    fn new_and_dropped_names_make_one_request() {
        let mut subscription = subscription();
        assert!(
            subscription
                .subscribe(TypeUrl::Endpoint, names(&["a", "b"]))
                .is_none()
        );
        let requests = subscription.connected();
        assert_eq!(requests[1].resource_names_subscribe, ["a", "b"]);

        let request = subscription
            .subscribe(TypeUrl::Endpoint, names(&["b", "c"]))
            .unwrap();

        assert_eq!(request.resource_names_subscribe, ["c"]);
        assert_eq!(request.resource_names_unsubscribe, ["a"]);
        assert!(
            subscription
                .subscribe(TypeUrl::Endpoint, names(&["b", "c"]))
                .is_none()
        );
    }

    #[test]
    fn the_first_names_of_a_type_open_it_on_a_running_connection() {
        let mut subscription = subscription();
        subscription.connected();

        let request = subscription.subscribe(TypeUrl::Route, names(&["r"])).unwrap();

        assert_eq!(request.resource_names_subscribe, ["r"]);
        assert!(request.node.is_none());
    }

    #[test]
    fn what_would_be_accepted_now_is_asked_for_again_by_its_name() {
        let mut subscription = subscription();
        assert!(subscription.again(KIND, vec!["a".into()]).is_none());
        subscription.connected();
        let refused = update(&mut subscription, response("n1", &[("a", "1")], &[]));
        subscription.judge(&refused.ticket, &Err("its address is taken".into()));

        let request = subscription.again(KIND, vec!["a".into()]).unwrap();

        assert_eq!(request.resource_names_subscribe, ["a"]);
        assert!(request.response_nonce.is_empty() && request.error_detail.is_none());
        let update = update(&mut subscription, response("n2", &[("a", "1")], &[]));
        subscription.judge(&update.ticket, &Ok(()));
        assert_eq!(subscription.versions(KIND)["a"], "1");
        assert!(subscription.again(TypeUrl::Route, vec!["r".into()]).is_none());
    }

    #[test]
    fn broken_responses_are_refused_with_a_reason() {
        let mut subscription = subscription();
        subscription.connected();

        let twice = refusal(&mut subscription, response("n", &[("a", "1"), ("a", "2")], &[]));
        let both = refusal(&mut subscription, response("n", &[("a", "1")], &["a"]));
        let unnamed = refusal(&mut subscription, response("n", &[("", "1")], &[]));
        let mut other = response("n", &[("a", "1")], &[]);
        other.resources[0].resource.as_mut().unwrap().type_url = TypeUrl::Route.url().into();
        let other = refusal(&mut subscription, other);

        assert_eq!(twice, "resource \"a\" is there twice");
        assert_eq!(both, "resource \"a\" is both sent and removed");
        assert_eq!(unnamed, "a resource has no name");
        assert!(other.contains("RouteConfiguration"), "{other}");
    }

    #[test]
    fn responses_that_pile_up_without_a_verdict_are_refused() {
        let mut subscription = subscription();
        subscription.connected();
        for number in 0..MAX_PENDING {
            update(
                &mut subscription,
                response(&format!("n{number}"), &[("a", "1")], &[]),
            );
        }

        let reason = refusal(&mut subscription, response("late", &[("a", "1")], &[]));

        assert!(reason.contains("wait for a verdict"), "{reason}");
    }

    #[test]
    fn a_type_that_nobody_asked_for_is_ignored() {
        let mut subscription = subscription();
        subscription.connected();
        let mut stray = response("n", &[], &[]);
        stray.type_url = TypeUrl::Secret.url().into();

        assert!(matches!(subscription.receive(stray), Received::Ignored(_)));
    }

    #[test]
    fn a_long_reason_is_cut_at_a_character() {
        let reason = "é".repeat(MAX_REASON);

        assert_eq!(shortened(&reason).len(), MAX_REASON);
        assert_eq!(shortened("short"), "short");
        assert!(shortened(&format!("x{reason}")).len() < MAX_REASON);
    }
}
