//! HTTP/1 on both sides.

use std::io::Write;
use std::time::Duration;

use outrigger_proxy::table::Direction;

use crate::rig::{Backend, Client, Rig, answer_of, eventually, pattern};

#[test]
fn one_connection_each_side_carries_many_requests() {
    let backend = Backend::echo();
    let mut rig = Rig::new();
    let address = rig.cluster("reviews", &[backend.address]).http("reviews");
    rig.swap();

    let mut client = Client::connect(address);
    for number in 0..100 {
        let answer = client.get(&format!("/reviews/{number}"));
        assert_eq!(answer.status(), 200);
        assert!(
            answer
                .text()
                .starts_with(&format!("GET /reviews/{number} HTTP/1.1\n")),
            "{}",
            answer.text()
        );
    }

    assert_eq!(backend.connections(), 1);
    eventually("the last request is counted", || {
        rig.counted("reviews", "upstream_rq_2xx") == 100
    });
    assert_eq!(rig.counted("reviews", "upstream_rq_total"), 100);
    assert_eq!(rig.counted("reviews", "upstream_rq_active"), 0);
}

#[test]
fn the_host_is_kept_and_an_id_and_the_scheme_are_added() {
    let backend = Backend::echo();
    let mut rig = Rig::new();
    let address = rig.cluster("reviews", &[backend.address]).http("reviews");
    rig.swap();

    let text = Client::connect(address).get("/x").text();

    assert!(text.contains("host: reviews:9080\n"), "{text}");
    assert!(text.contains("x-request-id: "), "{text}");
    assert!(text.contains("x-forwarded-proto: http\n"), "{text}");
    assert!(!text.contains("x-forwarded-for"), "{text}");
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let backend = Backend::echo();
    let mut rig = Rig::new();
    let address = rig.cluster("reviews", &[backend.address]).http("reviews");
    rig.swap();

    let mut client = Client::connect(address);
    let requests: Vec<_> = (0..20)
        .map(|n| format!("POST /{n} HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi"))
        .collect();
    client.send(requests.concat().as_bytes());

    for number in 0..20 {
        let text = client.answer().text();
        assert!(
            text.starts_with(&format!("POST /{number} ")) && text.ends_with("hi"),
            "{text}"
        );
    }
    assert_eq!(backend.connections(), 1);
}

#[test]
fn chunked_bodies_and_their_trailers_pass_both_ways() {
    let backend = Backend::http(|request| {
        assert_eq!(request.header("transfer-encoding"), Some("chunked"));
        assert_eq!(request.trailers, [("x-sum".to_owned(), "7".to_owned())]);
        let mut answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
        for piece in request.body.chunks(3) {
            answer.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
            answer.extend_from_slice(piece);
            answer.extend_from_slice(b"\r\n");
        }
        answer.extend_from_slice(b"0\r\nx-left: 0\r\n\r\n");
        answer
    });
    let mut rig = Rig::new();
    let address = rig.cluster("reviews", &[backend.address]).http("reviews");
    rig.swap();

    let mut client = Client::connect(address);
    for _ in 0..2 {
        client.send(b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
        client.send(b"5\r\nhello\r\n");
        client.send(b"7\r\n, world\r\n0\r\nx-sum: 7\r\n\r\n");
        let answer = client.answer();
        assert_eq!(answer.text(), "hello, world");
        assert_eq!(answer.trailers, [("x-left".to_owned(), "0".to_owned())]);
    }
    assert_eq!(backend.connections(), 1);
}

#[test]
fn large_bodies_pass_both_ways() {
    let backend = Backend::http(|request| answer_of(&request.body));
    let mut rig = Rig::new();
    let address = rig.cluster("reviews", &[backend.address]).http("reviews");
    rig.swap();

    let body = pattern(8 * 1024 * 1024);
    let mut client = Client::connect(address);
    for _ in 0..2 {
        let mut writer = client.stream.try_clone().expect("a second handle");
        let sent = body.clone();
        let sending = std::thread::spawn(move || {
            write!(
                writer,
                "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n",
                sent.len()
            )
            .expect("sent");
            writer.write_all(&sent).expect("sent");
        });
        let answer = client.answer();
        sending.join().expect("sent");
        assert!(answer.body == body, "{} bytes came back", answer.body.len());
    }
    assert_eq!(backend.connections(), 1);
}

#[test]
fn answers_without_a_body_leave_the_connection_usable() {
    let backend = Backend::http(|request| {
        let path = request.first.split(' ').nth(1).unwrap_or_default();
        match path {
            "/head" => b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n".to_vec(),
            "/204" => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
            "/304" => b"HTTP/1.1 304 Not Modified\r\ncontent-length: 77\r\netag: \"x\"\r\n\r\n".to_vec(),
            _ => answer_of(b"body"),
        }
    });
    let mut rig = Rig::new();
    let address = rig.cluster("reviews", &[backend.address]).http("reviews");
    rig.swap();

    let mut client = Client::connect(address);
    client.send(b"HEAD /head HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(client.answer_to_head().header("content-length"), Some("5000"));
    assert_eq!(client.get("/204").status(), 204);
    assert_eq!(client.get("/304").header("etag"), Some("\"x\""));
    assert_eq!(client.get("/").text(), "body");
    assert_eq!(backend.connections(), 1);
}

#[test]
fn a_client_that_expects_100_continue_gets_it_before_it_sends() {
    let backend = Backend::http(|request| {
        assert_eq!(request.header("expect"), None);
        answer_of(&request.body)
    });
    let mut rig = Rig::new();
    let address = rig.cluster("reviews", &[backend.address]).http("reviews");
    rig.swap();

    let mut client = Client::connect(address);
    client.send(b"PUT / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n");
    assert_eq!(client.answer().status(), 100);
    client.send(b"data");
    assert_eq!(client.answer().text(), "data");
    assert_eq!(client.get("/").status(), 200);
}

#[test]
fn an_answer_until_close_reaches_an_http_11_client_in_chunks_and_an_http_10_client_until_close() {
    let backend = Backend::start(|mut stream, _| {
        std::io::Read::read(&mut stream, &mut [0; 4096])?;
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nuntil close")
    });
    let mut rig = Rig::new();
    rig.cluster("reviews", &[backend.address]);
    let address = rig.http_with("reviews", Direction::Outbound, None, |http| {
        http.accept_http_10 = true;
    });
    rig.swap();

    let mut client = Client::connect(address);
    for _ in 0..2 {
        let answer = client.get("/");
        assert_eq!(answer.text(), "until close");
        assert_eq!(answer.header("transfer-encoding"), Some("chunked"));
        assert_eq!(answer.header("connection"), None);
    }
    let mut old = Client::connect(address);
    old.send(b"GET / HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\n\r\n");
    let answer = old.answer();
    assert_eq!(answer.text(), "until close");
    assert_eq!(answer.header("connection"), Some("close"));
}

#[test]
fn an_early_answer_reaches_the_client_while_it_still_sends() {
    let backend = Backend::start(|mut stream, _| {
        std::io::Read::read(&mut stream, &mut [0; 4096])?;
        stream.write_all(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 4\r\n\r\nstop")?;
        std::io::copy(&mut stream, &mut std::io::sink()).map(|_| ())
    });
    let mut rig = Rig::new();
    let address = rig.cluster("reviews", &[backend.address]).http("reviews");
    rig.swap();

    let mut client = Client::connect(address);
    client.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\nbegin");
    let answer = client.answer();

    assert_eq!((answer.status(), answer.text().as_str()), (413, "stop"));
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(client.is_closed());
}

#[test]
fn a_websocket_is_carried_both_ways_and_its_early_bytes_wait_for_101() {
    let backend = Backend::start(|stream, _| {
        let mut writer = stream.try_clone()?;
        let mut reader = std::io::BufReader::new(stream);
        let request = crate::rig::Message::read(&mut reader, true)?.expect("a request");
        assert_eq!(request.header("upgrade"), Some("websocket"));
        assert_eq!(request.header("sec-websocket-key"), Some("abc"));
        std::thread::sleep(Duration::from_millis(50));
        writer.write_all(
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\nhello",
        )?;
        std::io::copy(&mut reader, &mut writer)?;
        writer.shutdown(std::net::Shutdown::Write)
    });
    let mut rig = Rig::new();
    rig.cluster("chat", &[backend.address]);
    let address = rig.http_with("chat", Direction::Outbound, None, |http| http.websocket = true);
    rig.swap();

    let mut client = Client::connect(address);
    client.send(b"GET /ws HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-key: abc\r\n\r\nearly");
    let answer = client.answer_to_head();
    assert_eq!(answer.status(), 101);
    assert_eq!(answer.header("upgrade"), Some("websocket"));
    client.send(b" late");
    client.stream.shutdown(std::net::Shutdown::Write).expect("closed");
    let mut all = String::new();
    std::io::Read::read_to_string(&mut client.reader, &mut all).expect("the rest");
    assert_eq!(all, "helloearly late");
}

#[test]
fn a_listener_that_does_not_allow_upgrades_says_so() {
    let backend = Backend::echo();
    let mut rig = Rig::new();
    let address = rig.cluster("chat", &[backend.address]).http("chat");
    rig.swap();

    let mut client = Client::connect(address);
    client.send(b"GET /ws HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n");
    let answer = client.answer();

    assert_eq!(answer.status(), 403);
    assert!(
        answer
            .header("x-outrigger-reason")
            .expect("a reason")
            .contains("websocket")
    );
}

#[test]
fn an_upstream_that_switches_to_another_protocol_than_the_one_asked_for_is_502() {
    let backend = Backend::start(|mut stream, _| {
        std::io::Read::read(&mut stream, &mut [0; 4096])?;
        stream.write_all(
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: foo\r\nconnection: upgrade\r\n\r\nfoo",
        )?;
        std::io::copy(&mut stream, &mut std::io::sink()).map(|_| ())
    });
    let mut rig = Rig::new();
    rig.cluster("chat", &[backend.address]);
    let address = rig.http_with("chat", Direction::Outbound, None, |http| http.websocket = true);
    rig.swap();

    let mut client = Client::connect(address);
    client.send(b"GET /ws HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n");
    let answer = client.answer();

    assert_eq!(answer.status(), 502);
    let reason = answer.header("x-outrigger-reason").expect("a reason");
    assert!(reason.starts_with("UPE ") && reason.contains("chat"), "{reason}");
}
