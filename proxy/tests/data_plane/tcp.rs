//! TCP listeners.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use outrigger_proxy::table::{Target, Weighted};

use crate::rig::{Backend, Client, LATE, Rig, pattern};

#[test]
fn bytes_pass_both_ways_and_a_closed_side_is_passed_on_while_the_other_goes_on() {
    let backend = Backend::start(|mut stream, _| {
        let mut all = Vec::new();
        stream.read_to_end(&mut all)?;
        all.reverse();
        stream.write_all(&all)
    });
    let mut rig = Rig::new();
    rig.cluster("db", &[backend.address]);
    let target = Target::One(rig.names.slot("db"));
    let address = rig.tcp(target);
    rig.swap();

    let mut client = Client::connect(address);
    client.send(b"abc");
    std::thread::sleep(Duration::from_millis(20));
    client.send(b"def");
    client.stream.shutdown(Shutdown::Write).expect("closed");
    let mut answer = String::new();
    client.reader.read_to_string(&mut answer).expect("an answer");

    assert_eq!(answer, "fedcba");
}

#[test]
fn much_passes_both_ways_unchanged() {
    let backend = Backend::start(|stream, _| {
        let mut reader = stream.try_clone()?;
        let mut writer = stream;
        std::io::copy(&mut reader, &mut writer)?;
        writer.shutdown(Shutdown::Write)
    });
    let mut rig = Rig::new();
    rig.cluster("db", &[backend.address]);
    let target = Target::One(rig.names.slot("db"));
    let address = rig.tcp(target);
    rig.swap();

    let sent = pattern(32 * 1024 * 1024);
    let mut client = Client::connect(address);
    let mut writer = client.stream.try_clone().expect("a second handle");
    let copy = sent.clone();
    let sending = std::thread::spawn(move || {
        writer.write_all(&copy).expect("sent");
        writer.shutdown(Shutdown::Write).expect("closed");
    });
    let mut came_back = Vec::new();
    client.reader.read_to_end(&mut came_back).expect("all of it");
    sending.join().expect("sent");

    assert!(came_back == sent, "{} of {} bytes", came_back.len(), sent.len());
}

#[test]
fn weights_share_connections_out() {
    let backends = [
        Backend::start(|mut s, _| s.write_all(b"0")),
        Backend::start(|mut s, _| s.write_all(b"1")),
    ];
    let mut rig = Rig::new();
    rig.cluster("v1", &[backends[0].address])
        .cluster("v2", &[backends[1].address]);
    let weights = [(75, rig.names.slot("v1")), (25, rig.names.slot("v2"))];
    let address = rig.tcp(Target::Weighted(Weighted::new(weights).expect("weights")));
    rig.swap();

    for _ in 0..200 {
        let mut client = Client::connect(address);
        client.reader.read_exact(&mut [0]).expect("a byte");
    }

    let first = backends[0].connections();
    assert!(
        (110..190).contains(&first),
        "{first} of 200 went to the cluster with 75 of 100"
    );
    assert_eq!(first + backends[1].connections(), 200);
}

#[test]
fn a_quiet_connection_is_closed_after_the_listeners_idle_time() {
    let backend =
        Backend::start(|mut stream, _| std::io::copy(&mut stream, &mut std::io::sink()).map(|_| ()));
    let mut rig = Rig::new();
    rig.cluster("db", &[backend.address]);
    let target = Target::One(rig.names.slot("db"));
    let stats = std::sync::Arc::new(outrigger_proxy::stats::TcpStats::new(1));
    let mut tcp = outrigger_proxy::table::TcpListener::new(target, "test", stats);
    tcp.idle_timeout = Some(Duration::from_millis(50));
    let kind = outrigger_proxy::table::ListenerKind::Tcp(tcp);
    let address = rig.listen(outrigger_proxy::table::Direction::Outbound, kind);
    rig.swap();

    let start = std::time::Instant::now();
    let mut client = Client::connect(address);
    client.send(b"x");
    assert!(client.is_closed());
    assert!(start.elapsed() >= Duration::from_millis(50) && start.elapsed() < LATE);
}
