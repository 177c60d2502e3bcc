//! How long a request may take, and who is told what when it takes longer.

use std::io::{BufRead, BufReader, Read, Write};
use std::time::Duration;

use outrigger_proxy::table::Direction;

use crate::rig::{Backend, Client, Message, Rig, eventually};

/// Long enough that a test that waits for it fails.
const NEVER: Duration = Duration::from_secs(3600);

fn reason(answer: &Message) -> &str {
    answer.header("x-outrigger-reason").expect("a reason")
}

#[test]
fn the_wait_for_a_connection_is_part_of_the_routes_time() {
    let backend =
        Backend::start(|mut stream, _| std::io::copy(&mut stream, &mut std::io::sink()).map(|_| ()));
    let mut rig = Rig::new();
    rig.cluster_with("small", &[backend.address], false, |info| {
        info.limits.connections = 1;
        info.connect_timeout = NEVER;
    });
    let patient = rig.http_with("small", Direction::Outbound, Some(NEVER), |_| {});
    let hasty = rig.http_with(
        "small",
        Direction::Outbound,
        Some(Duration::from_millis(50)),
        |_| {},
    );
    rig.swap();

    let mut first = Client::connect(patient);
    first.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    eventually("the only connection is in use", || {
        rig.counted("small", "upstream_rq_active") == 1
    });
    let mut client = Client::connect(hasty);
    let requests: [&[u8]; 2] = [
        b"GET / HTTP/1.1\r\nhost: a\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi",
    ];
    for request in requests {
        client.send(request);
        let answer = client.answer();
        assert_eq!(answer.status(), 504);
        assert!(reason(&answer).starts_with("UT "), "{}", reason(&answer));
    }
    assert_eq!(backend.connections(), 1);
}

#[test]
fn an_upstream_that_does_not_read_an_upload_is_504_and_named() {
    let backend = Backend::start(|_kept_open, _| {
        loop {
            std::thread::park();
        }
    });
    let mut rig = Rig::new();
    rig.cluster("deaf", &[backend.address]);
    let address = rig.http_with("deaf", Direction::Outbound, None, |http| {
        http.stream_idle_timeout = Some(Duration::from_millis(100));
    });
    rig.swap();

    let mut client = Client::connect(address);
    let mut writer = client.stream.try_clone().expect("a second handle");
    let sending = std::thread::spawn(move || {
        // Ends when the proxy has closed.
        let _ = writer.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000000\r\n\r\n");
        while writer.write_all(&[b'x'; 65536]).is_ok() {}
    });
    let answer = client.answer();
    drop(rig);
    sending.join().expect("sent");

    assert_eq!(answer.status(), 504);
    let reason = reason(&answer);
    assert!(reason.starts_with("SI ") && reason.contains("deaf"), "{reason}");
}

#[test]
fn a_request_that_goes_on_after_its_answer_has_begun_may_be_quiet() {
    let backend = Backend::start(|stream, _| {
        let mut writer = stream.try_clone()?;
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        while reader.read_line(&mut line)? > 2 {
            line.clear();
        }
        writer.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n")?;
        // Chunks as they come.
        std::io::copy(&mut reader, &mut writer).map(|_| ())
    });
    let mute = Backend::start(|mut stream, _| std::io::copy(&mut stream, &mut std::io::sink()).map(|_| ()));
    let mut rig = Rig::new();
    rig.cluster("talk", &[backend.address])
        .cluster("mute", &[mute.address]);
    let mut listen = |cluster| {
        rig.http_with(cluster, Direction::Outbound, None, |http| {
            http.request_timeout = Some(Duration::from_millis(100));
        })
    };
    let (talk, silence) = (listen("talk"), listen("mute"));
    rig.swap();

    let mut talking = Client::connect(talk);
    talking.send(b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
    let mut hear = |words: &str, more: &[u8]| {
        talking.send(more);
        let mut heard = Vec::new();
        while !heard.ends_with(words.as_bytes()) {
            let mut byte = [0];
            talking.reader.read_exact(&mut byte).expect("it goes on");
            heard.extend(byte);
        }
    };
    hear("\nhi", b"");
    // One that began later and is never answered comes to its end meanwhile.
    let mut silent = Client::connect(silence);
    silent.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n");
    assert_eq!(silent.answer().status(), 408);
    hear("\nlater", b"5\r\nlater\r\n");
    hear("\n0\r\n\r\n", b"0\r\n\r\n");
}
