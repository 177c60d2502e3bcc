//! Watches over HTTP: order, resumption, selection, and how they end.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use outrigger_api::document::parse_body;
use outrigger_apiserver::Options;
use outrigger_client::ConfigStore;
use outrigger_client::token::Access;
use reqwest::Response;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::harness::{GATEWAYS, LATE, Served, gateway};

/// A watch in progress.
struct Watch {
    response: Response,
    pending: Vec<u8>,
}

impl Watch {
    async fn open(served: &Served, path: &str) -> Watch {
        let response = served
            .http
            .get(format!("{}{path}", served.base))
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200, "{path}");
        Watch {
            response,
            pending: Vec::new(),
        }
    }

    /// The next event, or `None` at the end of the answer.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.pending.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let chunk = tokio::time::timeout(LATE, self.response.chunk())
                .await
                .expect("no event came");
            match chunk.unwrap() {
                Some(chunk) => self.pending.extend_from_slice(&chunk),
                None => return None,
            }
        }
    }

    /// `ADDED a@3` for the next so many events.
    async fn told(&mut self, count: usize) -> Vec<String> {
        let mut told = Vec::new();
        for _ in 0..count {
            let event = self.next().await.expect("the watch ended");
            let meta = &event["object"]["metadata"];
            let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
            told.push(format!(
                "{} {}@{}",
                text(&event["type"]),
                text(&meta["name"]),
                text(&meta["resourceVersion"])
            ));
        }
        told
    }
}

#[tokio::test]
async fn a_watch_begins_with_what_is_there_and_tells_every_change_in_order() {
    let served = Served::start().await;
    let mut object = served.create("a", &[]).await;
    let mut watch = Watch::open(&served, &format!("{GATEWAYS}?watch=true")).await;
    assert_eq!(watch.told(1).await, ["ADDED a@1"]);

    served.create("b", &[]).await;
    object["metadata"]["labels"] = json!({"x": "y"});
    served.call("PUT", &format!("{GATEWAYS}/a"), Some(object)).await;
    served.call("DELETE", &format!("{GATEWAYS}/b"), None).await;

    assert_eq!(watch.told(3).await, ["ADDED b@2", "MODIFIED a@3", "DELETED b@4"]);
    let mut resumed = Watch::open(&served, &format!("{GATEWAYS}?watch=true&resourceVersion=2")).await;
    assert_eq!(resumed.told(2).await, ["MODIFIED a@3", "DELETED b@4"]);
}

#[tokio::test]
async fn the_legacy_prefix_watches_a_kind_a_namespace_or_one_object() {
    let served = Served::start().await;
    served.create("a", &[]).await;
    served.create("b", &[]).await;
    let base = "/apis/networking.istio.io/v1alpha3/watch";

    let mut everywhere = Watch::open(&served, &format!("{base}/gateways")).await;
    let mut here = Watch::open(
        &served,
        &format!("{base}/namespaces/default/gateways?resourceVersion=1"),
    )
    .await;
    let mut one = Watch::open(&served, &format!("{base}/namespaces/default/gateways/b")).await;
    let mut elsewhere = Watch::open(
        &served,
        &format!("{base}/namespaces/other/gateways?timeoutSeconds=0"),
    )
    .await;

    assert_eq!(everywhere.told(2).await, ["ADDED a@1", "ADDED b@2"]);
    assert_eq!(here.told(1).await, ["ADDED b@2"]);
    assert_eq!(one.told(1).await, ["ADDED b@2"]);
    assert_eq!(elsewhere.next().await, None);
}

#[tokio::test]
async fn objects_come_into_and_go_out_of_the_sight_of_a_selector() {
    let served = Served::start().await;
    let mut object = served.create("a", &[("colour", "red")]).await;
    let mut watch = Watch::open(
        &served,
        &format!("{GATEWAYS}?watch=1&labelSelector=colour%3Dblue"),
    )
    .await;

    for colour in ["blue", "blue", "red"] {
        object["metadata"]["labels"]["colour"] = json!(colour);
        object["metadata"]["annotations"] = json!({"seen": object["metadata"]["resourceVersion"]});
        object = served
            .call("PUT", &format!("{GATEWAYS}/a"), Some(object))
            .await
            .json();
    }

    assert_eq!(watch.told(3).await, ["ADDED a@2", "MODIFIED a@3", "DELETED a@4"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watchers_that_drop_and_resume_replay_exactly_the_list() {
    const WRITES: usize = 150;
    let served = std::sync::Arc::new(Served::start().await);
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let served = served.clone();
            tokio::spawn(async move {
                for n in 0..WRITES {
                    let name = format!("w{writer}-{}", n % 7);
                    if n / 7 % 2 == 0 {
                        served.create(&name, &[]).await;
                    } else {
                        served.call("DELETE", &format!("{GATEWAYS}/{name}"), None).await;
                    }
                }
            })
        })
        .collect();
    let last = 4 * WRITES as u64;

    let watchers = (0..5).map(|watcher: usize| {
        let served = served.clone();
        tokio::spawn(async move {
            let (mut state, mut version) = (BTreeMap::new(), 0u64);
            while version < last {
                let start = format!("{GATEWAYS}?watch=1&resourceVersion={version}");
                // Version 0 means "with what is there"; a fresh watcher takes that as its list.
                let mut watch = Watch::open(&served, &start).await;
                for _ in 0..(watcher * 13 + 5) {
                    if version == last {
                        break;
                    }
                    let event = watch.next().await.expect("the watch ended");
                    apply(&mut state, &mut version, &event);
                }
            }
            state
        })
    });
    let watchers: Vec<_> = watchers.collect();
    for writer in writers {
        writer.await.unwrap();
    }

    let list = served.get(GATEWAYS).await.json();
    let expected: BTreeMap<String, String> = list["items"].as_array().unwrap().iter().map(named).collect();
    for watcher in watchers {
        let state = tokio::time::timeout(LATE, watcher)
            .await
            .expect("a watcher is not done")
            .unwrap();
        assert_eq!(state, expected);
    }
}

fn named(object: &Value) -> (String, String) {
    let text = |name: &str| object["metadata"][name].as_str().unwrap().to_owned();
    (text("name"), text("resourceVersion"))
}

/// Takes one event in. Once the first state is told, versions must rise.
fn apply(state: &mut BTreeMap<String, String>, version: &mut u64, event: &Value) {
    let (name, at) = named(&event["object"]);
    let at_number: u64 = at.parse().unwrap();
    match event["type"].as_str().unwrap() {
        "DELETED" => {
            assert!(at_number > *version, "{at_number} after {version}");
            assert!(state.remove(&name).is_some(), "{name} was not there");
        }
        "ADDED" => {
            let before = state.insert(name.clone(), at);
            assert!(before.is_none(), "{name} was there already");
        }
        other => panic!("unexpected {other}: {event}"),
    }
    *version = (*version).max(at_number);
}

#[tokio::test]
async fn bookmarks_come_when_they_are_allowed_and_tell_the_version_of_everything() {
    let options = Options {
        bookmark_every: Duration::from_millis(50),
        ..Options::default()
    };
    let served = Served::with(options, Access::Loopback).await;
    served.create("a", &[]).await;
    let routes = "/apis/config.istio.io/v1alpha2/routerules";

    let mut watch = Watch::open(&served, &format!("{routes}?watch=1&allowWatchBookmarks=true")).await;
    let bookmark = watch.next().await.unwrap();

    let expected = json!({"type": "BOOKMARK", "object": {"kind": "RouteRule", "apiVersion": "config.istio.io/v1alpha2",
        "metadata": {"resourceVersion": "1", "creationTimestamp": null}}});
    assert_eq!(bookmark, expected);
    let mut silent = Watch::open(&served, &format!("{routes}?watch=1&timeoutSeconds=1")).await;
    assert_eq!(
        silent.next().await,
        None,
        "without permission no bookmark comes before the end"
    );
}

/// A watcher with little room for what comes, which does not read yet.
async fn unread_watch(served: &Served) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 << 10).unwrap();
    let address = served.base.trim_start_matches("http://").parse().unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    let head = format!("GET {GATEWAYS}?watch=1 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut first = [0; 1];
    stream.read_exact(&mut first).await.unwrap(); // so that the watch has begun
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_that_reads_too_slowly_is_told_so_and_delays_nobody() {
    const CHANGES: usize = 1_400;
    let served = Served::start().await;
    let mut slow = unread_watch(&served).await;
    let ballast = "x".repeat(20_000);
    let changes = (0..CHANGES).map(|n| {
        let mut object = gateway(&format!("g{n}"));
        object["metadata"]["annotations"] = json!({"ballast": ballast});
        let object = parse_body(object.to_string().as_bytes(), &Default::default())
            .unwrap()
            .resource;
        let server = &served.server;
        async move { server.create(&object).await.unwrap() }
    });
    let changes = stream::iter(changes).buffer_unordered(50).count();
    assert_eq!(
        tokio::time::timeout(LATE, changes)
            .await
            .expect("writes are held up"),
        CHANGES
    );

    let mut text = String::new();
    tokio::time::timeout(LATE, slow.read_to_string(&mut text))
        .await
        .expect("the watch does not end")
        .unwrap();
    let told = text.matches("\"type\":\"ADDED\"").count();
    assert!(told < CHANGES - 1_000, "{told} changes came");
    let (_, end) = text
        .split_once("{\"type\":\"ERROR\",\"object\":")
        .expect("the watch ended without a word");
    assert!(
        end.contains("\"code\":410") && end.contains("the watcher is too slow: "),
        "{end}"
    );
    let metrics = served.get("/metrics").await.text;
    assert!(
        metrics.contains("outrigger_apiserver_slow_watchers_total 1"),
        "{metrics}"
    );
    assert!(metrics.contains("outrigger_apiserver_watchers 0"), "{metrics}");
}

#[tokio::test]
async fn a_streaming_list_is_refused_and_so_is_a_version_that_the_store_has_not_reached() {
    let served = Served::start().await;
    served.create("a", &[]).await;

    let refused = served
        .get(&format!("{GATEWAYS}?watch=1&sendInitialEvents=true"))
        .await;
    let mut ahead = Watch::open(&served, &format!("{GATEWAYS}?watch=1&resourceVersion=999999")).await;
    served.create("b", &[]).await;

    assert!(
        refused
            .is_failure(422, "Invalid")
            .contains("WatchList feature gate")
    );
    let told = ahead.next().await.unwrap();
    assert_eq!(told["type"], "ERROR");
    assert_eq!(
        (&told["object"]["code"], &told["object"]["reason"]),
        (&json!(410), &json!("Expired"))
    );
    assert_eq!(
        told["object"]["message"],
        "resource version 999999 is not of this store, which is at 1: list again"
    );
    assert_eq!(ahead.next().await, None);
}

#[tokio::test]
async fn stopping_the_server_ends_watches_at_once_and_cleanly() {
    let served = Served::start().await;
    let mut watch = Watch::open(&served, &format!("{GATEWAYS}?watch=1")).await;
    let began = std::time::Instant::now();

    served.stop().await;

    assert_eq!(watch.next().await, None);
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

#[tokio::test]
async fn the_reflector_follows_a_served_store_over_http() {
    use outrigger_api::kind::Kind;
    let served = Served::start().await;
    served.create("a", &[]).await;
    let source = std::sync::Arc::new(served.client());
    let (mut snapshots, _handle) = outrigger_client::Reflector::start(source, &Kind::ALL);

    served.create("b", &[]).await;
    served.call("DELETE", &format!("{GATEWAYS}/a"), None).await;

    let followed = snapshots.wait_for(|snapshot| {
        snapshot.synced && snapshot.objects.keys().map(|key| key.name.as_str()).eq(["b"])
    });
    let followed = tokio::time::timeout(LATE, followed)
        .await
        .expect("never in step")
        .unwrap();
    assert_eq!(followed.version, 3);
}

#[tokio::test]
async fn a_reflector_lists_again_when_the_store_was_begun_anew() {
    use outrigger_api::kind::Kind;
    let served = Served::start().await;
    for name in ["a", "b", "c"] {
        served.create(name, &[]).await;
    }
    let source = std::sync::Arc::new(served.client());
    let (mut snapshots, _handle) = outrigger_client::Reflector::start(source, &[Kind::Gateway]);
    let whole = snapshots.wait_for(|snapshot| snapshot.version == 3);
    drop(
        tokio::time::timeout(LATE, whole)
            .await
            .expect("never listed")
            .unwrap(),
    );

    let served = served.begun_anew().await;
    served.create("d", &[]).await;

    let followed = snapshots.wait_for(|snapshot| {
        snapshot.version == 1 && snapshot.objects.keys().map(|key| key.name.as_str()).eq(["d"])
    });
    drop(
        tokio::time::timeout(LATE, followed)
            .await
            .expect("never in step with the new store")
            .unwrap(),
    );
}
