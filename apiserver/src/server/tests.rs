//! The server as a whole, in process.

use std::collections::BTreeMap;

use futures_util::StreamExt;
use futures_util::future::join_all;
use outrigger_api::kind::Kind;
use outrigger_client::{ClientError, ConfigSource, ConfigStore, WatchEvent};
use proptest::prelude::*;

use super::*;
use crate::testing::gateway;

fn note(resource: &Resource) -> String {
    resource.meta.annotations.get("note").cloned().unwrap_or_default()
}

fn noted(name: &str, note: &str) -> Resource {
    let mut resource = gateway("default", name);
    resource.meta.annotations.insert("note".into(), note.into());
    resource
}

fn key(name: &str) -> Key {
    Key::new(Kind::Gateway, "default", name)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_writers_on_one_object_lose_no_update() {
    const EACH: usize = 8;
    let directory = tempfile::tempdir().unwrap();
    let server = ApiServer::open(directory.path(), Options::default()).unwrap();
    server.create(&noted("g", "0")).await.unwrap();

    let writers = (0..16).map(|_| {
        let server = server.clone();
        tokio::spawn(async move {
            let mut written = 0;
            while written < EACH {
                let mut object = server.get(&key("g")).await.unwrap().unwrap().as_ref().clone();
                let count: usize = note(&object).parse().unwrap();
                object
                    .meta
                    .annotations
                    .insert("note".into(), (count + 1).to_string());
                match server.replace(&object).await {
                    Ok(_) => written += 1,
                    Err(error) => assert!(error.is_conflict(), "{error:?}"),
                }
            }
        })
    });
    join_all(writers)
        .await
        .into_iter()
        .for_each(|writer| writer.unwrap());

    let last = server.get(&key("g")).await.unwrap().unwrap();
    assert_eq!(note(&last), (16 * EACH).to_string());
    assert_eq!(server.version(), 16 * EACH as u64 + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_that_come_together_share_a_flush() {
    let directory = tempfile::tempdir().unwrap();
    let server = ApiServer::open(directory.path(), Options::default()).unwrap();

    let objects: Vec<Resource> = (0..200).map(|n| gateway("default", &format!("g{n}"))).collect();
    let written = join_all(objects.iter().map(|object| server.create(object))).await;

    assert!(written.iter().all(Result::is_ok));
    let flushes = server.inner.measures.flushes();
    assert!((1..=40).contains(&flushes), "{flushes} flushes for 200 writes");
}

#[tokio::test]
async fn a_second_server_on_the_directory_is_refused_until_the_first_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let first = ApiServer::open(directory.path(), Options::default()).unwrap();

    let refused = ApiServer::open(directory.path(), Options::default()).unwrap_err();
    drop(first);

    assert!(
        matches!(refused, OpenError::Directory(DirectoryError::Held { .. })),
        "{refused}"
    );
    assert!(ApiServer::open(directory.path(), Options::default()).is_ok());
}

#[tokio::test]
async fn a_watch_resumes_over_a_restart_without_gap_or_double() {
    let options = || Options {
        snapshot_every: 7,
        ..Options::default()
    };
    let directory = tempfile::tempdir().unwrap();
    let server = ApiServer::open(directory.path(), options()).unwrap();
    for n in 0..20 {
        server.create(&noted(&format!("g{n}"), "")).await.unwrap();
    }
    server.delete(&key("g3")).await.unwrap();
    drop(server);

    let server = ApiServer::open(directory.path(), options()).unwrap();
    let events: Vec<_> = server
        .watch(Kind::Gateway, 18)
        .take(3)
        .map(Result::unwrap)
        .collect()
        .await;

    assert_eq!(
        events
            .iter()
            .map(|event| event.version().unwrap())
            .collect::<Vec<_>>(),
        [19, 20, 21]
    );
    assert!(
        matches!(&events[2], WatchEvent::Deleted(object) if object.meta.name == "g3"),
        "{:?}",
        events[2]
    );
}

#[tokio::test]
async fn a_journal_that_grows_little_by_little_over_restarts_is_trimmed_behind_snapshots() {
    let directory = tempfile::tempdir().unwrap();
    let long = "x".repeat(4_000);
    for round in 0..12 {
        let options = Options {
            snapshot_bytes: 3 * 4_000,
            ..Options::default()
        };
        let server = ApiServer::open(directory.path(), options).unwrap();
        server.create(&noted(&format!("g{round}"), &long)).await.unwrap();
    }

    let server = ApiServer::open(directory.path(), Options::default()).unwrap();

    let (mut snapshots, mut journal) = (0, 0);
    for entry in std::fs::read_dir(directory.path()).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if name.starts_with("snapshot-") {
            snapshots += 1;
        } else if name.starts_with("journal-") {
            journal += entry.metadata().unwrap().len();
        }
    }
    assert_eq!(server.list(Kind::Gateway).await.unwrap().items.len(), 12);
    assert_eq!((server.version(), snapshots), (12, 2));
    assert!(journal < 8 * 4_000, "{journal} bytes of journal");
}

#[tokio::test]
async fn a_version_beyond_the_history_is_expired() {
    let directory = tempfile::tempdir().unwrap();
    let server = ApiServer::open(directory.path(), Options::default()).unwrap();
    server.create(&gateway("default", "g")).await.unwrap();
    let first = server.version();
    let large = noted("large", &"x".repeat(200_000));
    // Its coming and its going are a change each.
    for _ in 0..=crate::history::BYTES / 400_000 {
        server.create(&large).await.unwrap();
        server.delete(&large.key()).await.unwrap();
    }

    let oldest = server.watch(Kind::Gateway, first + 2).next().await.unwrap();
    let before = server.watch(Kind::Gateway, first).next().await.unwrap();

    assert_eq!(oldest.unwrap().version(), Some(first + 3));
    assert_eq!(before.unwrap_err(), ClientError::Expired { after: first });
}

#[tokio::test]
async fn a_version_that_the_store_has_not_reached_is_expired_in_process_too() {
    let directory = tempfile::tempdir().unwrap();
    let server = ApiServer::open(directory.path(), Options::default()).unwrap();
    server.create(&noted("a", "")).await.unwrap();
    let mut ahead = server.watch(Kind::Gateway, 999_999);
    server.create(&noted("b", "")).await.unwrap();

    let first = ahead.next().await;

    assert!(
        matches!(first, Some(Err(ClientError::Expired { after: 999_999 }))),
        "{first:?}"
    );
    assert!(ahead.next().await.is_none());
}

#[tokio::test]
async fn a_dry_run_shows_the_outcome_and_leaves_no_trace() {
    let directory = tempfile::tempdir().unwrap();
    let server = ApiServer::open(directory.path(), Options::default()).unwrap();

    let shown = server
        .inner
        .put(Put::Create, gateway("default", "g"), true)
        .await
        .unwrap()
        .stored;

    assert!(!shown.resource.meta.uid.is_empty() && shown.resource.meta.resource_version.is_none());
    assert_eq!(server.version(), 0);
    server.create(&gateway("default", "g")).await.unwrap();
    let refused = server
        .inner
        .put(Put::Create, gateway("default", "g"), true)
        .await
        .unwrap_err();
    assert_eq!(refused.code, 409);
    server
        .inner
        .delete(key("g"), Preconditions::default(), true)
        .await
        .unwrap();
    assert!(server.get(&key("g")).await.unwrap().is_some());
}

#[tokio::test]
async fn what_is_built_in_code_is_checked_like_what_is_sent() {
    let directory = tempfile::tempdir().unwrap();
    let server = ApiServer::open(directory.path(), Options::default()).unwrap();

    let mut object = gateway("default", "g");
    object.meta.name = "Not_A_Label".into();

    let refused = server.create(&object).await.unwrap_err();

    assert!(
        matches!(refused, ClientError::Status { code: 422, .. }),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_quarantined_value_is_reported_and_cleared_by_writing_it_anew() {
    let directory = tempfile::tempdir().unwrap();
    let name = "gateways.networking.istio.io/default/g";
    let damaged = bytes::Bytes::from_static(b"\x01damaged beyond repair");
    crate::snapshot::write(directory.path(), 5, [(name, damaged)].into_iter()).unwrap();
    let server = ApiServer::open(directory.path(), Options::default()).unwrap();

    assert_eq!(server.quarantined().len(), 1);
    assert!(
        server.quarantined()[0].starts_with(&format!("{name}: damaged: ")),
        "{:?}",
        server.quarantined()
    );
    let error = server.get(&key("g")).await.unwrap_err();
    assert!(
        matches!(error, ClientError::Status { code: 500, .. }),
        "{error:?}"
    );
    drop(server);
    let server = ApiServer::open(directory.path(), Options::default()).unwrap();
    assert_eq!(
        server.quarantined().len(),
        1,
        "it is still reported after a restart"
    );

    server.create(&gateway("default", "g")).await.unwrap();

    assert!(server.quarantined().is_empty());
    drop(server);
    let server = ApiServer::open(directory.path(), Options::default()).unwrap();
    assert!(server.quarantined().is_empty() && server.get(&key("g")).await.unwrap().is_some());
    assert_eq!(server.version(), 6);
}

#[derive(Clone, Debug)]
enum Step {
    Create(u8, u8),
    Replace(u8, u8),
    ReplaceStale(u8),
    Delete(u8),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..5u8, any::<u8>()).prop_map(|(name, note)| Step::Create(name, note)),
        4 => (0..5u8, any::<u8>()).prop_map(|(name, note)| Step::Replace(name, note)),
        1 => (0..5u8).prop_map(Step::ReplaceStale),
        2 => (0..5u8).prop_map(Step::Delete),
        1 => Just(Step::Reopen),
    ]
}

/// What a server must hold: note and version by name.
type Model = BTreeMap<String, (String, u64)>;

async fn held(server: &ApiServer) -> Model {
    let listed = server.list(Kind::Gateway).await.unwrap();
    let version = |object: &Resource| object.meta.resource_version.as_ref().unwrap().parse().unwrap();
    listed
        .items
        .iter()
        .map(|object| (object.meta.name.clone(), (note(object), version(object))))
        .collect()
}

async fn perform(server: &ApiServer, model: &mut Model, step: Step) {
    let before = server.version();
    let name = |n: u8| format!("g{n}");
    match step {
        Step::Create(n, text) => {
            let outcome = server.create(&noted(&name(n), &text.to_string())).await;
            assert_eq!(outcome.is_ok(), !model.contains_key(&name(n)));
            if outcome.is_ok() {
                model.insert(name(n), (text.to_string(), before + 1));
            }
        }
        Step::Replace(n, text) => {
            let mut object = noted(&name(n), &text.to_string());
            let current = model.get(&name(n)).cloned();
            object.meta.resource_version = Some(current.as_ref().map_or(1, |current| current.1).to_string());
            let outcome = server.replace(&object).await;
            assert_eq!(outcome.is_ok(), current.is_some());
            if let Some((old, version)) = current {
                let version = if old == text.to_string() {
                    version
                } else {
                    before + 1
                };
                model.insert(name(n), (text.to_string(), version));
            }
        }
        Step::ReplaceStale(n) => {
            let mut object = noted(&name(n), "stale");
            object.meta.resource_version = Some("999999".into());
            assert!(server.replace(&object).await.is_err());
        }
        Step::Delete(n) => {
            let outcome = server.delete(&key(&name(n))).await;
            assert_eq!(outcome.is_ok(), model.remove(&name(n)).is_some());
        }
        Step::Reopen => unreachable!("the caller reopens"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn any_history_with_restarts_leaves_what_a_plain_map_holds_and_a_watch_replays_it(
        steps in prop::collection::vec(step(), 1..60),
        in_memory: bool,
        many_snapshots: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let engine = if in_memory { Engine::Memory } else { Engine::Sled };
        let snapshot_every = if many_snapshots { 7 } else { 10_000 };
        let options = || Options { engine, snapshot_every, ..Options::default() };
        let directory = tempfile::tempdir().unwrap();
        runtime.block_on(async {
            let mut model = Model::new();
            let mut server = ApiServer::open(directory.path(), options()).unwrap();
            for step in steps {
                if matches!(step, Step::Reopen) {
                    let version = server.version();
                    drop(server);
                    server = ApiServer::open(directory.path(), options()).unwrap();
                    assert_eq!(server.version(), version);
                } else {
                    perform(&server, &mut model, step).await;
                }
                assert_eq!(held(&server).await, model);
            }
            if !many_snapshots {
                assert_eq!(replayed(&server).await, model); // with snapshots the history may begin later
            }
        });
    }
}

/// The state that a watcher of the whole history ends up with. Versions must rise on the way.
async fn replayed(server: &ApiServer) -> Model {
    let mut model = Model::new();
    let mut last = 0;
    let mut events = server.watch(Kind::Gateway, 0);
    while last < server.version() {
        let event = events.next().await.unwrap().unwrap();
        let version = event.version().unwrap();
        assert!(version > last, "{version} after {last}");
        last = version;
        match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                model.insert(object.meta.name.clone(), (note(&object), version));
            }
            WatchEvent::Deleted(object) => {
                drop(model.remove(&object.meta.name).expect("only what is there goes"))
            }
            WatchEvent::Bookmark(_) => {}
        }
    }
    model
}
