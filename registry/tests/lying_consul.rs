//! A Consul that lies in every way that was ever seen: endpoints stay, their age is shown, and the truth heals.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking, its helpers too"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use outrigger_registry::consul::{ConsulRegistry, Settings, Token};
use outrigger_registry::{RegistryHandle, RegistryState};
use outrigger_testkit::scripted_http::{Asked, Reply, ScriptedServer, answer};

const LIMIT: Duration = Duration::from_secs(20);

/// How the server behaves now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Honest,
    Null,
    Html,
    Garbage,
    CutOff,
    Error500,
    NoLeader,
    NoIndex,
    Hang,
    HangUp,
    /// Every index is smaller than the one before.
    Backwards,
    /// Well-formed, and most of it missing.
    Forgetful,
}

/// What the scripted Consul knows: services with the addresses of their instances.
struct World {
    services: BTreeMap<String, Vec<String>>,
    index: u64,
    mood: Mood,
    asked: Vec<(Instant, Asked)>,
}

#[derive(Clone)]
struct Liar(Arc<Mutex<World>>);

impl Liar {
    fn new(services: &[(&str, usize)]) -> Liar {
        let services = services
            .iter()
            .map(|(name, count)| {
                let addresses = (1..=*count).map(|number| format!("10.0.0.{number}")).collect();
                ((*name).to_owned(), addresses)
            })
            .collect();
        Liar(Arc::new(Mutex::new(World {
            services,
            index: 100,
            mood: Mood::Honest,
            asked: Vec::new(),
        })))
    }

    async fn serve(&self) -> ScriptedServer {
        let world = self.clone();
        ScriptedServer::start(move |asked| world.reply(asked))
            .await
            .unwrap()
    }

    fn change(&self, change: impl FnOnce(&mut World)) {
        let mut world = self.0.lock().unwrap();
        world.index += 1;
        change(&mut world);
    }

    fn mood(&self, mood: Mood) {
        self.0.lock().unwrap().mood = mood;
    }

    fn asked(&self) -> Vec<(Instant, Asked)> {
        self.0.lock().unwrap().asked.clone()
    }

    fn reply(&self, asked: &Asked) -> Reply {
        let mut world = self.0.lock().unwrap();
        world.asked.push((Instant::now(), asked.clone()));
        let forgetful = world.mood == Mood::Forgetful;
        let body = match asked.path().strip_prefix("/v1/health/service/") {
            None => services_body(&world, forgetful),
            Some(name) => health_body(&world, name, forgetful),
        };
        if world.mood == Mood::Backwards {
            world.index = world.index.saturating_sub(10).max(1);
        }
        let index = world.index.to_string();
        let json = |body: &str| {
            answer(
                "200 OK",
                &[
                    ("Content-Type", "application/json"),
                    ("X-Consul-Index", &index),
                    ("X-Consul-KnownLeader", "true"),
                    ("X-Consul-LastContact", "3"),
                ],
                body,
            )
        };
        match world.mood {
            Mood::Honest | Mood::Forgetful | Mood::Backwards => {
                // A blocking query whose index is the present one waits a little; the client asks again.
                let waits = asked.query("index") == Some(index.as_str());
                let wait = if waits {
                    Duration::from_millis(200)
                } else {
                    Duration::ZERO
                };
                Reply::Send(wait, json(&body))
            }
            Mood::Null => Reply::Send(Duration::ZERO, json("null").replacen(&index, "999999")),
            Mood::Html => Reply::Send(
                Duration::ZERO,
                answer(
                    "200 OK",
                    &[("Content-Type", "text/html")],
                    "<html><title>Welcome</title></html>",
                ),
            ),
            Mood::Garbage => Reply::Send(
                Duration::ZERO,
                b"\x16\x03\x01\x02\x00\x01\x00 what?\r\n\r\n".to_vec(),
            ),
            Mood::CutOff => {
                let whole = json(&body).replacen(&index, "999999");
                Reply::SendAndClose(whole[..whole.len() - 5].to_vec())
            }
            Mood::Error500 => Reply::Send(
                Duration::ZERO,
                answer(
                    "500 Internal Server Error",
                    &[],
                    "rpc error: No path to datacenter",
                ),
            ),
            Mood::NoLeader => {
                let nothing = if asked.path().starts_with("/v1/health/") {
                    "[]"
                } else {
                    "{}"
                };
                let headers = [("X-Consul-Index", "999999"), ("X-Consul-KnownLeader", "false")];
                Reply::Send(Duration::ZERO, answer("200 OK", &headers, nothing))
            }
            Mood::NoIndex => Reply::Send(Duration::ZERO, answer("200 OK", &[], "[]")),
            Mood::Hang => Reply::Hang,
            Mood::HangUp => Reply::SendAndClose(Vec::new()),
        }
    }
}

/// Changes the index header of a finished answer.
trait WithIndex {
    fn replacen(&self, index: &str, other: &str) -> Vec<u8>;
}

impl WithIndex for Vec<u8> {
    fn replacen(&self, index: &str, other: &str) -> Vec<u8> {
        let text = String::from_utf8_lossy(self);
        text.replacen(
            &format!("X-Consul-Index: {index}"),
            &format!("X-Consul-Index: {other}"),
            1,
        )
        .into_bytes()
    }
}

fn services_body(world: &World, forgetful: bool) -> String {
    let kept = if forgetful { 1 } else { usize::MAX };
    let names: Vec<String> = world
        .services
        .keys()
        .take(kept)
        .map(|name| format!("\"{name}\":[]"))
        .collect();
    format!("{{\"consul\":[],{}}}", names.join(",")).replace(",}", "}")
}

fn health_body(world: &World, name: &str, forgetful: bool) -> String {
    let addresses = world.services.get(name).cloned().unwrap_or_default();
    let kept = if forgetful {
        addresses.len() / 4
    } else {
        addresses.len()
    };
    let entries: Vec<String> = addresses
        .iter()
        .take(kept)
        .map(|address| {
            format!(
                r#"{{"Node":{{"Node":"n","Address":"10.9.9.9","Datacenter":"dc1","Meta":null}},
                     "Service":{{"ID":"{name}-{address}","Service":"{name}","Tags":["version|v1"],"Address":"{address}",
                                "Port":9080,"Meta":{{}},"Weights":{{"Passing":1,"Warning":1}}}},
                     "Checks":[{{"CheckID":"serfHealth","Status":"passing"}}]}}"#
            )
        })
        .collect();
    format!("[{}]", entries.join(","))
}

fn settings(server: &ScriptedServer) -> Settings {
    Settings {
        address: format!("http://{}", server.address),
        wait: Duration::from_secs(1),
        restart_grace: Duration::from_secs(1),
        ..Settings::default()
    }
}

async fn until(
    handle: &RegistryHandle,
    what: &str,
    seen: impl FnMut(&Arc<RegistryState>) -> bool,
) -> Arc<RegistryState> {
    let mut receiver = handle.state.clone();
    let state = tokio::time::timeout(LIMIT, receiver.wait_for(seen)).await;
    match state {
        Ok(state) => state.unwrap().clone(),
        Err(_) => panic!(
            "{what} was not seen in {LIMIT:?}; the state is {:?}",
            handle.current()
        ),
    }
}

fn count(state: &RegistryState, service: &str) -> usize {
    let host = format!("{service}.service.consul");
    state
        .catalog
        .services
        .get(&host)
        .map_or(0, |state| state.instances.len())
}

async fn survives(mood: Mood, expected: &str) {
    let liar = Liar::new(&[("a", 3), ("b", 1)]);
    let server = liar.serve().await;
    let registry = ConsulRegistry::start(settings(&server)).unwrap();
    let good = until(&registry, "the first reading", |state| state.synced).await;
    assert_eq!(
        (count(&good, "a"), count(&good, "b"), good.stale_since),
        (3, 1, None)
    );

    liar.mood(mood);
    let stale = until(&registry, "the lie", |state| state.last_error.is_some()).await;
    let error = stale.last_error.clone().unwrap();
    assert!(error.contains(expected), "{mood:?}: {error}");
    assert!(stale.stale_since.is_some());
    // It is asked again and again before it repents; a silent one gets four seconds.
    let before = liar.asked().len();
    let start = Instant::now();
    while liar.asked().len() < before + 4 && start.elapsed() < Duration::from_secs(4) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let during = registry.current();
    assert_eq!((count(&during, "a"), count(&during, "b")), (3, 1), "{mood:?}");
    assert!(during.stale_since.is_some(), "{mood:?}");
    assert!(
        during.stale_since <= stale.stale_since,
        "age counts from the first failure"
    );

    liar.mood(Mood::Honest);
    liar.change(|world| world.services.get_mut("a").unwrap().push("10.0.0.77".into()));
    let healed = until(&registry, "the truth", |state| {
        count(state, "a") == 4 && state.last_error.is_none()
    })
    .await;
    assert_eq!((count(&healed, "b"), healed.stale_since), (1, None));
}

/// All lies at once, each on a server of its own: most of the time of each is waiting.
#[tokio::test]
async fn no_lie_takes_endpoints_away_and_the_truth_heals() {
    let lies = [
        (Mood::Null, "null"),
        (Mood::Html, "is this the address of a consul agent?"),
        (Mood::Garbage, "cannot be reached"),
        (Mood::CutOff, "cannot be reached"),
        (Mood::Error500, "consul answered 500 to /v1/"),
        (Mood::NoLeader, "consul knows no leader"),
        (Mood::NoIndex, "X-Consul-Index is missing"),
        (Mood::HangUp, "cannot be reached"),
        (Mood::Hang, "did not answer within"),
    ];
    let mut running = tokio::task::JoinSet::new();
    for (mood, expected) in lies {
        running.spawn(survives(mood, expected));
    }
    running.join_all().await;
}

/// An index that only goes down is a server that began anew each time: endpoints stay, and news still comes.
#[tokio::test]
async fn indexes_that_go_backwards_keep_the_endpoints() {
    let liar = Liar::new(&[("a", 3), ("b", 1)]);
    let server = liar.serve().await;
    let registry = ConsulRegistry::start(settings(&server)).unwrap();
    until(&registry, "the first reading", |state| state.synced).await;
    let mut every_state = registry.state.clone();

    liar.change(|world| world.mood = Mood::Backwards);
    liar.change(|world| world.services.get_mut("a").unwrap().push("10.0.0.77".into()));
    until(&registry, "the news", |state| count(state, "a") == 4).await;
    let asked = liar.asked();
    let restarted = asked
        .iter()
        .rev()
        .take(8)
        .any(|(_, asked)| asked.query("index").is_none());
    assert!(
        restarted,
        "it asks once without an index after one that went backwards"
    );
    assert!(count(&every_state.borrow_and_update(), "b") == 1);
}

#[tokio::test]
async fn most_instances_missing_from_one_reading_are_not_believed() {
    let liar = Liar::new(&[("a", 8), ("b", 4)]);
    let server = liar.serve().await;
    let registry = ConsulRegistry::start(settings(&server)).unwrap();
    until(&registry, "the first reading", |state| state.synced).await;
    let lowest = Arc::new(AtomicUsize::new(12));
    let watching = {
        let (mut states, lowest) = (registry.state.clone(), Arc::clone(&lowest));
        tokio::spawn(async move {
            while states.changed().await.is_ok() {
                let state = states.borrow_and_update().clone();
                lowest.fetch_min(count(&state, "a") + count(&state, "b"), Ordering::SeqCst);
            }
        })
    };

    // One false reading of the list (which loses `b`, a third of all) and one of `a`, then the truth again
    // before the second.
    let before = liar.asked().len();
    liar.change(|world| world.mood = Mood::Forgetful);
    let start = Instant::now();
    let lied_to = |path: &str| {
        liar.asked()[before..]
            .iter()
            .any(|(_, asked)| asked.path() == path)
    };
    while !(lied_to("/v1/catalog/services") && lied_to("/v1/health/service/a")) {
        assert!(start.elapsed() < LIMIT, "both watches ask");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    liar.mood(Mood::Honest);
    liar.change(|world| world.services.get_mut("b").unwrap().push("10.0.0.77".into()));
    until(&registry, "the truth", |state| {
        count(state, "b") == 5 && count(state, "a") == 8
    })
    .await;

    let lowest = lowest.load(Ordering::SeqCst);
    assert!(
        lowest >= 8,
        "the eight of `a` were never given up, but {lowest} were left"
    );
    watching.abort();
}

#[tokio::test]
async fn a_loss_that_a_second_reading_confirms_is_believed() {
    let liar = Liar::new(&[("a", 8)]);
    let server = liar.serve().await;
    let registry = ConsulRegistry::start(settings(&server)).unwrap();
    until(&registry, "the first reading", |state| state.synced).await;

    let start = Instant::now();
    liar.change(|world| world.services.get_mut("a").unwrap().truncate(1));
    until(&registry, "the loss", |state| count(state, "a") == 1).await;

    assert!(
        start.elapsed() >= Duration::from_secs(1),
        "not before a second reading"
    );
    let second = liar
        .asked()
        .iter()
        .rev()
        .find(|(_, asked)| asked.path().ends_with("/a") && asked.query("index").is_none())
        .map(|(_, asked)| asked.clone())
        .expect("a second reading without an index");
    assert_eq!(second.query("stale"), None, "the leader is asked to confirm");
}

#[tokio::test]
async fn no_watch_asks_more_than_once_a_second_whatever_it_is_told() {
    let liar = Liar::new(&[("a", 2)]);
    let server = {
        let liar = liar.clone();
        // The index moves with every answer, so that nothing ever blocks; 0 now and then.
        ScriptedServer::start(move |asked| {
            let reply = liar.reply(asked);
            let mut world = liar.0.lock().unwrap();
            world.index = if world.index.is_multiple_of(3) {
                1
            } else {
                world.index + 1
            };
            reply
        })
        .await
        .unwrap()
    };
    let registry = ConsulRegistry::start(settings(&server)).unwrap();
    until(&registry, "the first reading", |state| state.synced).await;

    tokio::time::sleep(Duration::from_secs(4)).await;

    let asked = liar.asked();
    for path in ["/v1/catalog/services", "/v1/health/service/a"] {
        let times: Vec<Instant> = asked
            .iter()
            .filter(|(_, asked)| asked.path() == path)
            .map(|(at, _)| *at)
            .collect();
        assert!(times.len() >= 3, "{path} was asked {} times", times.len());
        for pair in times.windows(2) {
            assert!(
                pair[1] - pair[0] >= Duration::from_millis(950),
                "{path} was asked after {:?}",
                pair[1] - pair[0]
            );
        }
    }
    assert!(
        asked.iter().all(|(_, asked)| asked.query("index") != Some("0")),
        "never index 0"
    );
}

#[tokio::test]
async fn many_services_take_turns_on_few_connections() {
    let names: Vec<String> = (0..30).map(|number| format!("s{number}")).collect();
    let services: Vec<(&str, usize)> = names.iter().map(|name| (name.as_str(), 1)).collect();
    let liar = Liar::new(&services);
    let server = liar.serve().await;
    let mut few = settings(&server);
    few.max_watches = 6;
    few.wait = Duration::from_secs(60);
    let registry = ConsulRegistry::start(few).unwrap();
    until(&registry, "all services", |state| {
        state.synced && state.catalog.services.len() == 30
    })
    .await;

    for name in ["s0", "s17", "s29"] {
        liar.change(|world| world.services.get_mut(name).unwrap().push("10.0.0.77".into()));
        until(&registry, "a change of any of them", |state| {
            count(state, name) == 2
        })
        .await;
    }

    let waits: BTreeSet<String> = liar
        .asked()
        .iter()
        .filter(|(_, asked)| asked.path().starts_with("/v1/health/"))
        .filter_map(|(_, asked)| asked.query("wait").map(String::from))
        .collect();
    assert!(waits.contains("1000ms"), "turns are short: {waits:?}");
}

#[tokio::test]
async fn the_token_goes_into_its_header_and_is_read_anew_from_its_file() {
    let liar = Liar::new(&[("a", 1)]);
    let server = liar.serve().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "first-token\n").unwrap();
    let mut with_token = settings(&server);
    with_token.token = Token::File(file.clone());
    let registry = ConsulRegistry::start(with_token).unwrap();
    until(&registry, "the first reading", |state| state.synced).await;

    std::fs::write(&file, "second-token\n").unwrap();
    let start = Instant::now();
    while !liar
        .asked()
        .iter()
        .any(|(_, asked)| asked.header("X-Consul-Token") == Some("second-token"))
    {
        assert!(start.elapsed() < LIMIT, "the new token is used");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    for (_, asked) in liar.asked() {
        let token = asked.header("x-consul-token").map(String::from);
        assert!(
            matches!(token.as_deref(), Some("first-token" | "second-token")),
            "{token:?}"
        );
        assert!(!asked.target.contains("token"), "never in the address");
    }
}

#[tokio::test]
async fn every_datacenter_is_asked_and_one_that_fails_leaves_the_others_alone() {
    let liar = Liar::new(&[("a", 1)]);
    let server = {
        let liar = liar.clone();
        ScriptedServer::start(move |asked| match asked.query("dc") {
            Some("west") => Reply::Send(
                Duration::ZERO,
                answer("500 Internal Server Error", &[], "No path to datacenter"),
            ),
            _ => liar.reply(asked),
        })
        .await
        .unwrap()
    };
    let mut two = settings(&server);
    two.datacenters = vec!["east".into(), "west".into()];
    let registry = ConsulRegistry::start(two).unwrap();

    let state = until(&registry, "east", |state| {
        count(state, "a") == 1 && state.last_error.is_some()
    })
    .await;

    assert!(!state.synced, "west was never read");
    assert!(state.is_read_in_part(), "{:?}", state.unread);
    let unread: Vec<_> = state
        .unread
        .iter()
        .map(|part| (part.name.as_str(), part.locality.as_deref()))
        .collect();
    assert_eq!(unread, [("datacenter west", Some("west"))]);
    assert!(
        state
            .last_error
            .as_ref()
            .unwrap()
            .contains("No path to datacenter")
    );
    assert!(
        liar.asked()
            .iter()
            .all(|(_, asked)| asked.query("dc") == Some("east"))
    );
    assert!(
        state
            .facts
            .iter()
            .any(|fact| fact.name == "east.lastContactMs" && fact.value == "3"),
        "{:?}",
        state.facts
    );
}

#[tokio::test]
async fn dropping_the_handle_ends_the_questions() {
    let liar = Liar::new(&[("a", 1)]);
    let server = liar.serve().await;
    let registry = ConsulRegistry::start(settings(&server)).unwrap();
    until(&registry, "the first reading", |state| state.synced).await;

    drop(registry);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let after = liar.asked().len();
    tokio::time::sleep(Duration::from_millis(2500)).await;

    assert_eq!(liar.asked().len(), after);
}
