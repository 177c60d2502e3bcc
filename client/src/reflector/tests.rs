//! The reflector against sources that end, lag and forget.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt};
use outrigger_api::document::{Options, parse_body};
use tokio::sync::broadcast;

use super::*;

/// A source that answers from a script: lists in turn, and watches from a channel.
struct Scripted {
    lists: Mutex<VecDeque<Result<Listed, ClientError>>>,
    listed: AtomicUsize,
    events: broadcast::Sender<Result<WatchEvent, ClientError>>,
    resumed_after: Mutex<Vec<u64>>,
}

impl Scripted {
    fn new(lists: impl IntoIterator<Item = Result<Listed, ClientError>>) -> Arc<Self> {
        Arc::new(Scripted {
            lists: Mutex::new(lists.into_iter().collect()),
            listed: AtomicUsize::new(0),
            events: broadcast::channel(64).0,
            resumed_after: Mutex::default(),
        })
    }

    async fn watched(&self, times: usize) {
        within_time(|| self.resumed_after.lock().unwrap().len() >= times).await;
    }
}

impl ConfigSource for Scripted {
    fn list(&self, _: Kind) -> BoxFuture<'_, Result<Listed, ClientError>> {
        self.listed.fetch_add(1, Ordering::SeqCst);
        let next = self.lists.lock().unwrap().pop_front();
        Box::pin(async move { next.unwrap_or_else(|| Err(lost())) })
    }

    fn watch(&self, _: Kind, after: u64) -> BoxStream<'static, Result<WatchEvent, ClientError>> {
        self.resumed_after.lock().unwrap().push(after);
        let events = self.events.subscribe();
        stream::unfold(events, |mut events| async move {
            Some((events.recv().await.ok()?, events))
        })
        .boxed()
    }

    fn get<'a>(&'a self, _: &'a Key) -> BoxFuture<'a, Result<Option<Arc<Resource>>, ClientError>> {
        Box::pin(async { Ok(None) })
    }
}

fn lost() -> ClientError {
    ClientError::Unreachable {
        address: "scripted".into(),
        reason: "lost".into(),
    }
}

fn object(name: &str, version: u64) -> Arc<Resource> {
    let json = format!(
        r#"{{"apiVersion":"networking.istio.io/v1alpha3","kind":"Gateway",
            "metadata":{{"name":"{name}","namespace":"default","uid":"u","resourceVersion":"{version}"}},
            "spec":{{"selector":{{"a":"b"}},
                "servers":[{{"hosts":["*"],"port":{{"number":80,"name":"http","protocol":"HTTP"}}}}]}}}}"#
    );
    Arc::new(parse_body(json.as_bytes(), &Options::default()).unwrap().resource)
}

fn listed(version: u64, objects: &[(&str, u64)]) -> Result<Listed, ClientError> {
    Ok(Listed {
        items: objects
            .iter()
            .map(|(name, version)| object(name, *version))
            .collect(),
        version,
    })
}

fn state(snapshot: &ConfigSnapshot) -> String {
    let objects = snapshot.objects.iter().map(|(key, object)| {
        format!(
            "{}@{}",
            key.name,
            object.meta.resource_version.as_deref().unwrap_or("")
        )
    });
    objects.collect::<Vec<_>>().join(" ")
}

async fn becomes(receiver: &mut watch::Receiver<Arc<ConfigSnapshot>>, expected: &str) -> Arc<ConfigSnapshot> {
    let waited = tokio::time::timeout(Duration::from_secs(20), async {
        receiver
            .wait_for(|snapshot| snapshot.synced && state(snapshot) == expected)
            .await
            .unwrap()
            .clone()
    });
    match waited.await {
        Ok(snapshot) => snapshot,
        Err(_) => panic!("still {:?}, expected {expected:?}", state(&receiver.borrow())),
    }
}

async fn within_time(done: impl Fn() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(20), async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(1)).await; // the clock is paused and advances when all wait
        }
    });
    assert!(waited.await.is_ok(), "waited too long");
}

#[tokio::test(start_paused = true)]
async fn lists_first_then_follows_every_change() {
    let source = Scripted::new([listed(5, &[("a", 3), ("b", 5)])]);
    let (mut snapshots, _handle) = Reflector::start(source.clone(), &[Kind::Gateway]);
    becomes(&mut snapshots, "a@3 b@5").await;
    source.watched(1).await;

    source.events.send(Ok(WatchEvent::Added(object("c", 6)))).unwrap();
    source
        .events
        .send(Ok(WatchEvent::Modified(object("a", 7))))
        .unwrap();
    source
        .events
        .send(Ok(WatchEvent::Deleted(object("b", 8))))
        .unwrap();

    assert_eq!(becomes(&mut snapshots, "a@7 c@6").await.version, 8);
}

#[tokio::test(start_paused = true)]
async fn a_lost_source_keeps_the_last_state_and_is_resumed_without_a_new_list() {
    let source = Scripted::new([listed(5, &[("a", 3)])]);
    let (mut snapshots, _handle) = Reflector::start(source.clone(), &[Kind::Gateway]);
    source.watched(1).await;
    source.events.send(Ok(WatchEvent::Bookmark(9))).unwrap();

    source.events.send(Err(lost())).unwrap();
    source.watched(2).await;
    source
        .events
        .send(Ok(WatchEvent::Added(object("b", 10))))
        .unwrap();

    becomes(&mut snapshots, "a@3 b@10").await;
    assert_eq!(*source.resumed_after.lock().unwrap(), [5, 9]);
    assert_eq!(source.listed.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn an_expired_watch_lists_anew_and_what_went_meanwhile_is_gone() {
    let source = Scripted::new([
        listed(5, &[("a", 3), ("b", 4)]),
        listed(20, &[("b", 4), ("c", 11)]),
    ]);
    let (mut snapshots, _handle) = Reflector::start(source.clone(), &[Kind::Gateway]);
    source.watched(1).await;

    source
        .events
        .send(Err(ClientError::Expired { after: 5 }))
        .unwrap();

    assert_eq!(becomes(&mut snapshots, "b@4 c@11").await.version, 20);
    source.watched(2).await;
    assert_eq!(*source.resumed_after.lock().unwrap(), [5, 20]);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_was_begun_anew_is_taken_over_with_its_lower_version() {
    let source = Scripted::new([listed(500, &[("a", 300), ("b", 400)]), listed(2, &[("c", 2)])]);
    let (mut snapshots, _handle) = Reflector::start(source.clone(), &[Kind::Gateway]);
    source.watched(1).await;

    source
        .events
        .send(Err(ClientError::Expired { after: 500 }))
        .unwrap();

    assert_eq!(becomes(&mut snapshots, "c@2").await.version, 2);
    source.watched(2).await;
    assert_eq!(*source.resumed_after.lock().unwrap(), [500, 2]);
}

#[tokio::test(start_paused = true)]
async fn it_is_synced_only_when_every_kind_was_listed() {
    let source = Scripted::new([Err(lost()), Err(lost()), listed(5, &[]), listed(6, &[])]);
    let (mut snapshots, _handle) = Reflector::start(source.clone(), &[Kind::Gateway, Kind::RouteRule]);
    assert!(!snapshots.borrow_and_update().synced);

    becomes(&mut snapshots, "").await;

    assert_eq!(source.listed.load(Ordering::SeqCst), 4);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_handle_ends_the_watches() {
    let source = Scripted::new([listed(5, &[])]);
    let (_snapshots, handle) = Reflector::start(source.clone(), &[Kind::Gateway]);
    source.watched(1).await;
    within_time(|| source.events.receiver_count() == 1).await;

    drop(handle);

    within_time(|| source.events.receiver_count() == 0).await;
}

#[test]
fn a_version_is_published_only_once_every_kind_is_known_up_to_it() {
    let mut complete = Complete::of(&[Kind::Gateway, Kind::RouteRule]);
    complete.advance(&Found::Whole(Kind::Gateway, listed(5, &[]).unwrap()));
    assert_eq!((complete.synced(), complete.version()), (false, 0));
    complete.advance(&Found::Whole(Kind::RouteRule, listed(7, &[]).unwrap()));
    assert_eq!((complete.synced(), complete.version()), (true, 5));

    complete.advance(&Found::Change(Kind::Gateway, WatchEvent::Added(object("a", 10))));
    assert_eq!(complete.version(), 7, "RouteRules 8 to 10 may still come");
    complete.advance(&Found::Change(Kind::RouteRule, WatchEvent::Bookmark(10)));

    assert_eq!(complete.version(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_version_that_moves_without_a_change_is_published_too() {
    let source = Scripted::new([listed(5, &[("a", 3)])]);
    let (mut snapshots, _handle) = Reflector::start(source.clone(), &[Kind::Gateway]);
    source.watched(1).await;
    within_time(|| source.events.receiver_count() == 1).await;

    source.events.send(Ok(WatchEvent::Bookmark(9))).unwrap();

    let moved = snapshots.wait_for(|snapshot| snapshot.version == 9);
    let moved = tokio::time::timeout(Duration::from_secs(20), moved)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(state(&moved), "a@3");
}
