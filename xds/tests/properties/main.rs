//! Properties of the ADS server's state machine under random histories, checked by a model of a client.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::panic,
    reason = "a step that fails ends its test"
)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use outrigger_xds::pb::envoy::config::core::v3::Node;
use outrigger_xds::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use outrigger_xds::pb::google::rpc::Status;
use outrigger_xds::server::{Event, Observed, Output, Stream, Variant};
use outrigger_xds::{LayerBuilder, References, Resource, Snapshot, TypeUrl};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

mod model;
mod pair;
use model::{BAD, Model};

/// What a snapshot holds: content by cluster, and for listeners and routes content and the clusters they may name.
#[derive(Debug, Clone)]
struct Plan {
    clusters: Vec<(u8, u8)>,
    listeners: Vec<(u8, u8, Vec<u8>)>,
    routes: Vec<(u8, u8, Vec<u8>)>,
    endpoints: u8,
}

/// One step of a history.
#[derive(Debug, Clone)]
enum Act {
    /// Everything changes at once.
    Publish(Plan),
    /// The client takes the next message and judges it; it subscribes before or after its verdict.
    Take { subscribe_first: bool },
    /// The next request reaches the server.
    Reach,
    /// The connection breaks and comes back (delta only).
    Reconnect,
}

fn plan() -> impl Strategy<Value = Plan> {
    // Content 9 is what the client refuses.
    let content = prop_oneof![9 => 1..4_u8, 1 => Just(9_u8)];
    let users = |content| btree_map(0..3_u8, (content, vec(0..5_u8, 0..3)), 0..3);
    let flat = |map: std::collections::BTreeMap<u8, (u8, Vec<u8>)>| {
        map.into_iter()
            .map(|(name, (content, clusters))| (name, content, clusters))
            .collect()
    };
    (
        btree_map(0..5_u8, content.clone(), 0..5),
        users(content.clone()),
        users(content),
        1..3_u8,
    )
        .prop_map(move |(clusters, listeners, routes, endpoints)| Plan {
            clusters: clusters.into_iter().collect(),
            listeners: flat(listeners),
            routes: flat(routes),
            endpoints,
        })
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        2 => plan().prop_map(Act::Publish),
        6 => any::<bool>().prop_map(|subscribe_first| Act::Take { subscribe_first }),
        6 => Just(Act::Reach),
        1 => Just(Act::Reconnect),
    ]
}

/// A snapshot in which every name that is referred to exists. `good` turns refused content into accepted one.
fn snapshot(generation: u64, plan: &Plan, good: bool) -> Snapshot {
    let mut layer = LayerBuilder::new(None);
    let mut put = |kind, name: String, content: u8, references: References| {
        let content = if good && content == BAD { 8 } else { content };
        // The names are part of the content, as in real resources.
        let bytes = format!("{content} {references:?}");
        layer.insert(Arc::new(Resource::from_bytes(
            kind,
            &name,
            bytes.as_bytes(),
            references,
        )));
    };
    let clusters: BTreeSet<u8> = plan.clusters.iter().map(|(name, _)| *name).collect();
    let named = |names: &[u8]| -> Vec<String> {
        names
            .iter()
            .filter(|name| clusters.contains(*name))
            .map(|name| format!("c{name}"))
            .collect()
    };
    for (name, content) in &plan.clusters {
        put(
            TypeUrl::Cluster,
            format!("c{name}"),
            *content,
            References::endpoints([format!("e{name}")]),
        );
        put(
            TypeUrl::Endpoint,
            format!("e{name}"),
            plan.endpoints,
            References::none(),
        );
    }
    for (name, content, users) in &plan.routes {
        put(
            TypeUrl::Route,
            format!("r{name}"),
            *content,
            References::clusters(named(users)),
        );
    }
    let routes: BTreeSet<u8> = plan.routes.iter().map(|(name, ..)| *name).collect();
    for (name, content, users) in &plan.listeners {
        let used = users
            .iter()
            .filter(|route| routes.contains(*route))
            .map(|route| format!("r{route}"));
        let references = References::clusters(named(users)).and_routes(used);
        put(TypeUrl::Listener, format!("l{name}"), *content, references);
    }
    Snapshot::new(generation, vec![layer.build()])
}

fn play(variant: Variant, acts: Vec<Act>, good: bool) -> Result<(), TestCaseError> {
    let mut model = Model::new(variant);
    let outcome = play_with(&mut model, variant, acts, good);
    outcome.map_err(|error| TestCaseError::fail(format!("{error}\n{}", model.history())))
}

fn play_with(model: &mut Model, variant: Variant, acts: Vec<Act>, good: bool) -> Result<(), TestCaseError> {
    let mut generation = 1;
    let mut last = snapshot(
        1,
        &Plan {
            clusters: vec![],
            listeners: vec![],
            routes: vec![],
            endpoints: 1,
        },
        good,
    );
    model.publish(last.clone())?;
    for act in acts {
        match act {
            Act::Publish(plan) => {
                generation += 1;
                last = snapshot(generation, &plan, good);
                model.publish(last.clone())?;
            }
            Act::Take { subscribe_first } => model.take(subscribe_first)?,
            Act::Reach => model.reach()?,
            Act::Reconnect if variant == Variant::Delta => model.reconnect()?,
            Act::Reconnect => {}
        }
    }
    model.settle()?;
    model.check_against(&last)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn a_client_that_accepts_everything_converges_and_never_lacks_a_cluster(acts in vec(act(), 0..60)) {
        play(Variant::Delta, acts.clone(), true)?;
        play(Variant::Sotw, acts, true)?;
    }

    #[test]
    fn a_client_that_refuses_some_content_gets_all_the_rest(acts in vec(act(), 0..60)) {
        play(Variant::Delta, acts.clone(), false)?;
        play(Variant::Sotw, acts, false)?;
    }

    #[test]
    fn our_client_and_our_server_agree_whatever_breaks_between_them(turns in vec(pair::turn(), 0..100)) {
        pair::Pair::new().play(turns)?;
    }

    #[test]
    fn senseless_requests_never_panic_and_never_get_two_messages_of_a_type_at_once(
        sotw in any::<bool>(),
        events in vec(senseless(), 0..80),
    ) {
        let variant = if sotw { Variant::Sotw } else { Variant::Delta };
        let mut stream = Stream::new(variant, "n", Duration::ZERO);
        let mut open: BTreeSet<TypeUrl> = BTreeSet::new();
        let mut now = Duration::ZERO;
        for senseless in events {
            now += Duration::from_millis(300);
            for output in stream.on(now, senseless.event(variant)) {
                match output {
                    Output::Told(Observed::Sent(push)) => {
                        prop_assert!(open.insert(push.kind), "two messages of {} at once", push.kind);
                    }
                    Output::Told(Observed::Acked(push) | Observed::Nacked { push, .. }) => {
                        prop_assert!(open.remove(&push.kind));
                    }
                    Output::Node(_) | Output::Send(_) | Output::Told(_) | Output::Close(_) => {}
                }
            }
        }
    }
}

/// An event that no client with its wits would cause.
#[derive(Debug, Clone)]
enum Senseless {
    Ask {
        kind: usize,
        names: Vec<String>,
        gone: Vec<String>,
        nonce: String,
        refuses: bool,
        node: bool,
    },
    Publish(Plan),
    Wait,
}

fn senseless() -> impl Strategy<Value = Senseless> {
    let names = || vec("[*acer][0-4]?|", 0..4);
    let nonce = prop_oneof![
        Just(String::new()),
        (0..30_u8).prop_map(|number| format!("n{number}"))
    ];
    let ask = (
        0..7_usize,
        names(),
        names(),
        nonce,
        any::<bool>(),
        prop::bool::weighted(0.9),
    )
        .prop_map(|(kind, names, gone, nonce, refuses, node)| Senseless::Ask {
            kind,
            names,
            gone,
            nonce,
            refuses,
            node,
        });
    prop_oneof![8 => ask, 2 => plan().prop_map(Senseless::Publish), 1 => Just(Senseless::Wait)]
}

impl Senseless {
    fn event(self, variant: Variant) -> Event {
        let (kind, names, gone, nonce, refuses, node) = match self {
            Senseless::Publish(plan) => return Event::Snapshot(Arc::new(snapshot(1, &plan, false))),
            Senseless::Wait => return Event::Tick,
            Senseless::Ask {
                kind,
                names,
                gone,
                nonce,
                refuses,
                node,
            } => (kind, names, gone, nonce, refuses, node),
        };
        let type_url = TypeUrl::ALL
            .get(kind)
            .map_or("type.googleapis.com/nothing", |kind| kind.url())
            .to_owned();
        let node = node.then(|| Node {
            id: "router~~edge~".into(),
            ..Node::default()
        });
        let error_detail = refuses.then(Status::default);
        match variant {
            Variant::Sotw => Event::Sotw(Box::new(DiscoveryRequest {
                type_url,
                node,
                resource_names: names,
                response_nonce: nonce,
                error_detail,
                ..DiscoveryRequest::default()
            })),
            Variant::Delta => Event::Delta(Box::new(DeltaDiscoveryRequest {
                type_url,
                node,
                initial_resource_versions: gone.iter().map(|name| (name.clone(), "?".into())).collect(),
                resource_names_subscribe: names,
                resource_names_unsubscribe: gone,
                response_nonce: nonce,
                error_detail,
                ..DeltaDiscoveryRequest::default()
            })),
        }
    }
}
