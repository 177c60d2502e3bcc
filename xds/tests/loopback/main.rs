//! The shell server and the shell client over real sockets on loopback.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a step that fails ends its test"
)]

use std::collections::BTreeSet;
use std::time::Duration;

use outrigger_xds::client::{self, Backoff, Client, Subscription, Update};
use outrigger_xds::pb::envoy::config::core::v3::Node;
use outrigger_xds::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DiscoveryRequest,
    aggregated_discovery_service_client::AggregatedDiscoveryServiceClient,
};
use outrigger_xds::server::{Observed, Settings};
use outrigger_xds::{NodeInfo, TypeUrl};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

mod control;
use control::{Control, snapshot, within};

const NODE: &str = "sidecar~10.0.0.1~reviews-v1~";

fn client_of(control: &Control) -> Client {
    client_with(control, None)
}

fn client_with(control: &Control, token: Option<&str>) -> Client {
    let backoff = Backoff {
        first: Duration::from_millis(20),
        longest: Duration::from_millis(40),
        spread: Duration::from_millis(20),
    };
    let settings = client::Settings {
        backoff,
        token: token.map(str::to_owned),
        ..client::Settings::new(control.address().to_string())
    };
    let subscription = Subscription::new(&NodeInfo::from_id(NODE).unwrap()).with_all(TypeUrl::Cluster);
    client::connect(settings, subscription).unwrap()
}

async fn next(client: &mut Client) -> Update {
    within("the next update", client.next())
        .await
        .expect("the client runs")
}

fn names(update: &Update) -> Vec<&str> {
    update.upserts.iter().map(|upsert| upsert.name.as_str()).collect()
}

#[tokio::test]
async fn an_update_reaches_the_client_and_its_acceptance_the_observer() {
    let control = Control::start(Settings::default()).await;
    control.publish(snapshot(1, &["a=1", "b=1"]));
    let mut client = client_of(&control);

    let first = next(&mut client).await;
    assert_eq!(
        (first.kind, names(&first), &first.upserts[0].value[..]),
        (TypeUrl::Cluster, vec!["a", "b"], &b"1"[..])
    );
    client.handle().judge(first.ticket, Ok(())).await;
    control
        .saw(
            "the ACK",
            |event| matches!(event, Observed::Acked(push) if push.generation == 1),
        )
        .await;

    control.publish(snapshot(2, &["a=1", "b=2", "c=1"]));
    let second = next(&mut client).await;
    assert_eq!(names(&second), ["b", "c"]);
    client.handle().judge(second.ticket, Ok(())).await;
    control
        .saw(
            "the ACK",
            |event| matches!(event, Observed::Acked(push) if push.generation == 2),
        )
        .await;
    control
        .saw("that nothing is left", |event| {
            *event == Observed::Settled { generation: 2 }
        })
        .await;

    control.publish(snapshot(3, &["a=1"]));
    let third = next(&mut client).await;
    assert_eq!(
        (names(&third).len(), third.removed.as_slice()),
        (0, &["b".to_owned(), "c".to_owned()][..])
    );
    assert!(client.state().borrow().connected);
}

#[tokio::test]
async fn a_refusal_reaches_the_observer_with_its_reason_and_is_not_repeated() {
    let control = Control::start(Settings::default()).await;
    control.publish(snapshot(1, &["a=1"]));
    let mut client = client_of(&control);

    let first = next(&mut client).await;
    client
        .handle()
        .judge(first.ticket, Err("cluster a: no such policy".into()))
        .await;
    let refused = control
        .saw("the NACK", |event| matches!(event, Observed::Nacked { .. }))
        .await;

    let Observed::Nacked { message, refused, .. } = refused else {
        unreachable!()
    };
    assert_eq!(
        (message.as_str(), &*refused[0]),
        ("cluster a: no such policy", "a")
    );
    control.publish(snapshot(2, &["a=1", "b=1"]));
    assert_eq!(names(&next(&mut client).await), ["b"]);
}

#[tokio::test]
async fn named_subscriptions_are_added_on_a_running_stream() {
    let control = Control::start(Settings::default()).await;
    control.publish(snapshot(1, &[]));
    let mut client = client_of(&control);
    let first = next(&mut client).await;
    client.handle().judge(first.ticket, Ok(())).await;

    client
        .handle()
        .subscribe(TypeUrl::Endpoint, BTreeSet::from(["a".to_owned()]))
        .await;

    let update = next(&mut client).await;
    assert_eq!((update.kind, names(&update)), (TypeUrl::Endpoint, vec!["a"]));
}

#[tokio::test]
async fn a_client_comes_back_with_its_versions_and_gets_only_what_differs() {
    let mut control = Control::start(Settings::default()).await;
    control.publish(snapshot(1, &["a=1", "b=1", "c=1"]));
    let mut client = client_of(&control);
    let first = next(&mut client).await;
    client.handle().judge(first.ticket, Ok(())).await;
    control
        .saw("the ACK", |event| matches!(event, Observed::Acked(_)))
        .await;

    control.stop().await;
    let mut state = client.state();
    within("the loss", state.wait_for(|state| !state.connected))
        .await
        .unwrap();
    assert!(client.state().borrow().last_error.is_some());
    control.publish(snapshot(2, &["a=1", "b=2"]));
    control.restart().await;

    let update = next(&mut client).await;
    assert_eq!(names(&update), ["b"]);
    within("the connection", state.wait_for(|state| state.connected))
        .await
        .unwrap();
    client.handle().judge(update.ticket, Ok(())).await;
    // Nobody speaks of listeners or routes here, so the removal waits for its five seconds.
    assert_eq!(next(&mut client).await.removed, ["c"]);
}

#[tokio::test]
async fn a_client_keeps_trying_until_the_server_is_there() {
    let mut control = Control::start(Settings::default()).await;
    control.stop().await;
    control.publish(snapshot(1, &["a=1"]));
    let mut client = client_of(&control);
    let mut state = client.state();
    within("two failures", state.wait_for(|state| state.failures >= 2))
        .await
        .unwrap();
    let error = client.state().borrow().last_error.clone().unwrap();
    assert!(
        error.starts_with(&format!("cannot reach {}: ", control.address())),
        "{error}"
    );

    control.restart().await;

    assert_eq!(names(&next(&mut client).await), ["a"]);
}

#[tokio::test]
async fn a_caller_without_the_token_is_refused_and_told_why() {
    let control = Control::start_with_token(Settings::default(), "s3cret").await;
    control.publish(snapshot(1, &["a=1"]));

    let stranger = client_with(&control, Some("wrong"));
    let mut state = stranger.state();
    let refused = within("the refusal", state.wait_for(|state| state.last_error.is_some()))
        .await
        .unwrap()
        .clone();
    assert!(refused.last_error.unwrap().contains("Unauthenticated"));

    let mut member = client_with(&control, Some("s3cret"));
    assert_eq!(names(&next(&mut member).await), ["a"]);
}

#[tokio::test]
async fn an_observer_is_told_when_its_client_goes() {
    let control = Control::start(Settings::default()).await;
    control.publish(snapshot(1, &["a=1"]));
    let mut client = client_of(&control);
    next(&mut client).await;

    drop(client);

    control
        .saw("the end", |event| matches!(event, Observed::Closed { .. }))
        .await;
    control.observers_gone().await;
}

/// A client by hand, which can leave responses unread.
async fn by_hand(control: &Control) -> AggregatedDiscoveryServiceClient<tonic::transport::Channel> {
    AggregatedDiscoveryServiceClient::connect(format!("http://{}", control.address()))
        .await
        .unwrap()
}

fn node() -> Option<Node> {
    Some(Node {
        id: NODE.into(),
        ..Node::default()
    })
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_while_another_goes_on() {
    let control = Control::start(Settings {
        stall: Duration::from_millis(300),
        ..Settings::default()
    })
    .await;
    let big = format!("a={}", "x".repeat(4 * 1024 * 1024));
    control.publish(snapshot(1, &[&big]));
    let mut lazy = by_hand(&control).await;
    let (requests, receiver) = mpsc::channel(4);
    let first = DeltaDiscoveryRequest {
        node: node(),
        type_url: TypeUrl::Cluster.url().into(),
        ..Default::default()
    };
    requests.send(first).await.unwrap();

    // The stream is opened and never read, so the message of 4 MiB fills its window of 64 KiB and stops.
    let unread = lazy
        .delta_aggregated_resources(ReceiverStream::new(receiver))
        .await
        .unwrap();

    let closed = control
        .saw("the cut", |event| matches!(event, Observed::Closed { .. }))
        .await;
    let Observed::Closed { reason } = closed else {
        unreachable!()
    };
    assert_eq!(reason, "Aborted: the client has read nothing for 300ms");
    control.observers_gone().await;
    let mut unread = unread.into_inner();
    assert!(within("the connection's end", unread.message()).await.is_err());

    let mut other = client_of(&control);
    assert_eq!(next(&mut other).await.upserts[0].value.len(), 4 * 1024 * 1024);
}

#[tokio::test]
async fn a_slow_client_that_reads_a_little_now_and_then_is_not_cut() {
    let control = Control::start(Settings {
        stall: Duration::from_secs(3),
        ..Settings::default()
    })
    .await;
    let resources: Vec<String> = (0..64)
        .map(|number| format!("c{number:02}={}", "x".repeat(60_000)))
        .collect();
    control.publish(snapshot(
        1,
        &resources.iter().map(String::as_str).collect::<Vec<_>>(),
    ));
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{}", control.address()))
        .unwrap()
        .initial_stream_window_size(64 * 1024)
        .connect()
        .await
        .unwrap();
    let (requests, receiver) = mpsc::channel(4);
    let mut client = AggregatedDiscoveryServiceClient::new(channel).max_decoding_message_size(64 << 20);
    let first = DiscoveryRequest {
        node: node(),
        type_url: TypeUrl::Cluster.url().into(),
        ..Default::default()
    };
    requests.send(first).await.unwrap();

    let mut stream = client
        .stream_aggregated_resources(ReceiverStream::new(receiver))
        .await
        .unwrap()
        .into_inner();
    // The slowness itself: shorter than what is allowed.
    tokio::time::sleep(Duration::from_millis(500)).await;

    let response = within("the whole response", stream.message())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(response.resources.len(), 64);
}

/// How a stream ends that begins with `request`.
async fn ending(settings: Settings, request: DiscoveryRequest) -> tonic::Status {
    let control = Control::start(settings).await;
    control.publish(snapshot(1, &["a=1"]));
    let mut client = by_hand(&control).await;
    let (requests, receiver) = mpsc::channel(4);
    requests.send(request).await.unwrap();
    let mut stream = client
        .stream_aggregated_resources(ReceiverStream::new(receiver))
        .await
        .unwrap()
        .into_inner();
    within("the end", stream.message()).await.unwrap_err()
}

#[tokio::test]
async fn a_request_above_the_limit_ends_its_stream() {
    let settings = Settings {
        max_request: 1024,
        ..Settings::default()
    };
    let request = DiscoveryRequest {
        version_info: "x".repeat(2000),
        node: node(),
        ..Default::default()
    };

    let status = ending(settings, request).await;

    assert_eq!(status.code(), tonic::Code::OutOfRange, "{status:?}");
}

#[tokio::test]
async fn a_stream_without_a_node_ends_with_a_reason() {
    let request = DiscoveryRequest {
        type_url: TypeUrl::Cluster.url().into(),
        ..Default::default()
    };

    let status = ending(Settings::default(), request).await;

    assert_eq!(status.code(), tonic::Code::InvalidArgument);
    assert!(status.message().contains("names no node"), "{status:?}");
}

#[tokio::test]
async fn a_name_that_is_too_long_to_keep_ends_its_stream_and_is_shown_in_part() {
    let request = DiscoveryRequest {
        type_url: TypeUrl::Endpoint.url().into(),
        resource_names: vec!["a".into(), "long".repeat(1000)],
        node: node(),
        ..Default::default()
    };

    let status = ending(Settings::default(), request).await;

    assert_eq!(status.code(), tonic::Code::InvalidArgument);
    let message = status.message();
    assert!(message.contains("4000 bytes") && message.len() < 200, "{message}");
}

#[tokio::test]
async fn names_that_are_too_many_bytes_together_end_their_stream() {
    let request = DiscoveryRequest {
        type_url: TypeUrl::Endpoint.url().into(),
        resource_names: (0..9_000).map(|number| format!("{number:01000}")).collect(),
        node: node(),
        ..Default::default()
    };
    let settings = Settings {
        max_request: 16 * 1024 * 1024,
        ..Settings::default()
    };

    let status = ending(settings, request).await;

    assert_eq!(status.code(), tonic::Code::ResourceExhausted, "{status:?}");
    assert!(status.message().contains("9000000 bytes"), "{}", status.message());
}

#[tokio::test]
async fn a_stream_ends_at_its_age_and_the_client_opens_another() {
    let control = Control::start(Settings {
        max_age: Some(Duration::from_millis(100)),
        ..Settings::default()
    })
    .await;
    control.publish(snapshot(1, &["a=1"]));
    let mut client = client_of(&control);
    let first = next(&mut client).await;
    client.handle().judge(first.ticket, Ok(())).await;

    let second = next(&mut client).await;

    assert!(second.upserts.is_empty(), "{second:?}");
    assert!(control.opened() >= 2);
}

#[tokio::test]
async fn one_hundred_clients_share_a_change() {
    let control = Control::start(Settings::default()).await;
    control.publish(snapshot(1, &["a=1", "b=1"]));
    let mut clients: Vec<Client> = (0..100).map(|_| client_of(&control)).collect();
    for client in &mut clients {
        let update = next(client).await;
        client.handle().judge(update.ticket, Ok(())).await;
    }

    control.publish(snapshot(2, &["a=1", "b=2"]));

    for client in &mut clients {
        assert_eq!(names(&next(client).await), ["b"]);
    }
}
