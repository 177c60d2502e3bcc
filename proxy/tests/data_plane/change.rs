//! Configuration that changes under traffic, and the end of the process.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use outrigger_proxy::plane::PlaneSettings;

use crate::rig::{Backend, Client, Rig, answer_of, eventually};

/// Backends that note the ids they served.
fn ledger(count: usize) -> (Vec<Backend>, Arc<Mutex<BTreeMap<String, usize>>>) {
    let served: Arc<Mutex<BTreeMap<String, usize>>> = Arc::default();
    let start = |_| {
        let served = Arc::clone(&served);
        Backend::http(move |request| {
            let id = request.header("x-id").expect("an id").to_owned();
            *served.lock().expect("unpoisoned").entry(id.clone()).or_default() += 1;
            answer_of(id.as_bytes())
        })
    };
    ((0..count).map(start).collect(), served)
}

/// Sends requests with ids of its own until told to stop; returns how many.
fn traffic(
    name: usize,
    address: std::net::SocketAddr,
    stop: Arc<AtomicBool>,
) -> std::thread::JoinHandle<usize> {
    std::thread::spawn(move || {
        let mut client = Client::connect(address);
        let mut sent = 0;
        while !stop.load(Ordering::Relaxed) {
            let id = format!("{name}-{sent}");
            let method = if sent % 2 == 0 { "GET" } else { "POST" };
            client.send(
                format!("{method} /x HTTP/1.1\r\nhost: a\r\nx-id: {id}\r\ncontent-length: 0\r\n\r\n")
                    .as_bytes(),
            );
            let answer = client.answer();
            assert_eq!((answer.status(), answer.text()), (200, id));
            sent += 1;
            if answer.header("connection") == Some("close") {
                client = Client::connect(address);
            }
        }
        sent
    })
}

#[test]
fn endpoints_that_come_and_go_under_load_lose_no_request_and_double_none() {
    for workers in [1, 2] {
        let (backends, served) = ledger(4);
        let mut rig = Rig::with(PlaneSettings {
            workers,
            ..PlaneSettings::default()
        });
        let all: Vec<_> = backends.iter().map(|backend| backend.address).collect();
        let address = rig.cluster("reviews", &all).http("reviews");
        rig.swap();

        let stop = Arc::new(AtomicBool::new(false));
        let clients: Vec<_> = (0..4)
            .map(|name| traffic(name, address, Arc::clone(&stop)))
            .collect();
        for round in 0..100 {
            let chosen: Vec<_> = (0..4).filter(|n| (round + n) % 4 != 0).map(|n| all[n]).collect();
            rig.cluster("reviews", &chosen);
            rig.swap();
            std::thread::sleep(Duration::from_millis(3));
        }
        stop.store(true, Ordering::Relaxed);
        let sent: usize = clients
            .into_iter()
            .map(|client| client.join().expect("no request failed"))
            .sum();

        let served = served.lock().expect("unpoisoned");
        assert!(sent > 100, "{sent} requests");
        assert_eq!(served.len(), sent);
        assert!(
            served.values().all(|times| *times == 1),
            "an id was served more than once"
        );
    }
}

#[test]
fn a_listener_can_be_added_and_removed_while_others_serve() {
    let (backends, served) = ledger(1);
    let mut rig = Rig::new();
    let address = rig.cluster("reviews", &[backends[0].address]).http("reviews");
    rig.swap();
    let stop = Arc::new(AtomicBool::new(false));
    let client = traffic(0, address, Arc::clone(&stop));

    for round in 0..10 {
        let second = rig.http("reviews");
        rig.swap();
        let mut idle = Client::connect(second);
        let mut busy = Client::connect(second);
        for client in [&mut idle, &mut busy] {
            client.send(format!("GET / HTTP/1.1\r\nhost: a\r\nx-id: r{round}-{second}\r\n\r\n").as_bytes());
            assert_eq!(client.answer().status(), 200);
        }
        rig.remove(second);
        rig.swap();
        assert!(idle.is_closed(), "an idle connection of a removed listener ends");
        eventually("the port is free", || std::net::TcpListener::bind(second).is_ok());
    }

    stop.store(true, Ordering::Relaxed);
    let sent = client.join().expect("no request failed");
    assert!(served.lock().expect("unpoisoned").len() > sent);
}

#[test]
fn a_request_in_flight_outlives_its_listener() {
    let (started, release) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (begun, wait) = (Arc::clone(&started), Arc::clone(&release));
    let backend = Backend::http(move |_| {
        begun.store(true, Ordering::SeqCst);
        eventually("the test lets go", || wait.load(Ordering::SeqCst));
        answer_of(b"late but whole")
    });
    let mut rig = Rig::new();
    let address = rig.cluster("reviews", &[backend.address]).http("reviews");
    rig.swap();

    let mut client = Client::connect(address);
    client.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    eventually("the backend has it", || started.load(Ordering::SeqCst));
    rig.remove(address);
    rig.swap();
    release.store(true, Ordering::SeqCst);
    let answer = client.answer();

    assert_eq!(answer.text(), "late but whole");
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(client.is_closed());
}

#[test]
fn draining_ends_idle_connections_at_once_and_busy_ones_after_their_answer() {
    let (started, release) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (begun, wait) = (Arc::clone(&started), Arc::clone(&release));
    let backend = Backend::http(move |request| {
        if request.first.contains("/slow") {
            begun.store(true, Ordering::SeqCst);
            eventually("the test lets go", || wait.load(Ordering::SeqCst));
        }
        answer_of(b"done")
    });
    let mut rig = Rig::new();
    let address = rig.cluster("reviews", &[backend.address]).http("reviews");
    rig.swap();
    let mut idle = Client::connect(address);
    assert_eq!(idle.get("/").status(), 200);
    let mut fresh = Client::connect(address);
    let mut silent = Client::connect(address);
    let mut busy = Client::connect(address);
    busy.send(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n");
    eventually("the backend has it", || started.load(Ordering::SeqCst));
    let plane = rig.plane.as_ref().expect("running");
    eventually("all four are open", || plane.connections() == 4);

    rig.sockets.take();
    rig.life.drain();

    assert!(idle.is_closed());
    let answer = fresh.get("/");
    assert_eq!(
        (answer.status(), answer.header("connection")),
        (200, Some("close")),
        "the request of a connection that was just open is waited for"
    );
    eventually("new connections are refused", || {
        std::net::TcpStream::connect(address).is_err()
    });
    assert!(
        silent.is_closed(),
        "one that says nothing is not waited for any longer"
    );
    release.store(true, Ordering::SeqCst);
    let answer = busy.answer();
    assert_eq!(
        (answer.text().as_str(), answer.header("connection")),
        ("done", Some("close"))
    );
    drop((busy, fresh));
    let cut = rig
        .plane
        .take()
        .expect("running")
        .finish(Instant::now() + Duration::from_secs(10));
    assert_eq!(cut, 0);
}

#[test]
fn what_is_still_open_at_the_end_of_the_drain_is_cut_and_counted() {
    let backend =
        Backend::start(|mut stream, _| std::io::copy(&mut stream, &mut std::io::sink()).map(|_| ()));
    let mut rig = Rig::new();
    let address = rig.cluster("reviews", &[backend.address]).http("reviews");
    rig.swap();
    let mut client = Client::connect(address);
    client.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    eventually("it is in flight", || {
        rig.counted("reviews", "upstream_rq_active") == 1
    });

    rig.sockets.take();
    rig.life.drain();
    let cut = rig
        .plane
        .take()
        .expect("running")
        .finish(Instant::now() + Duration::from_millis(50));

    assert_eq!(cut, 1);
    assert!(client.is_closed());
}

#[tokio::test]
async fn a_plane_can_be_started_from_within_a_runtime() {
    let backend = Backend::echo();
    let mut rig = Rig::new();
    let address = rig.cluster("reviews", &[backend.address]).http("reviews");
    rig.swap();
    assert_eq!(Client::connect(address).get("/").status(), 200);
}

#[test]
fn a_busy_port_names_its_owner() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address");

    let error = outrigger_proxy::listen::bind(address)
        .expect_err("it is taken")
        .to_string();

    assert!(error.contains(&address.to_string()), "{error}");
    assert!(error.contains(&std::process::id().to_string()), "{error}");
}
