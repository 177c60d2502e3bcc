//! Proxies that speak to each other, to applications that know they are proxied, and to strangers.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use outrigger_proxy::access_log::{Style, Target as LogTarget};
use outrigger_proxy::plane::PlaneSettings;
use outrigger_proxy::table::{Action, Direction, RouteTable, Target};

use crate::rig::{Backend, Client, Message, Rig, answer_of, any_host, eventually};

/// An application behind two sidecars: the outbound one speaks HTTP/2 to the inbound one.
pub(crate) fn through_two_sidecars(app: SocketAddr) -> (Rig, Rig, SocketAddr) {
    let mut inbound = Rig::new();
    inbound.cluster("inbound", &[app]);
    let inside = inbound.http_with("inbound", Direction::Inbound, None, |http| http.websocket = true);
    inbound.swap();
    let mut outbound = Rig::new();
    outbound.cluster_with("reviews", &[inside], true, |_| {});
    let outside = outbound.http_with("reviews", Direction::Outbound, None, |http| http.websocket = true);
    outbound.swap();
    (inbound, outbound, outside)
}

#[test]
fn between_two_sidecars_it_is_http2_on_one_connection() {
    let app = Backend::echo();
    let (inbound, outbound, address) = through_two_sidecars(app.address);

    let mut client = Client::connect(address);
    for number in 0..50 {
        let text = client.get(&format!("/{number}")).text();
        assert!(text.starts_with(&format!("GET /{number} HTTP/1.1\n")), "{text}");
        assert!(text.contains("host: reviews:9080\n"), "{text}");
    }

    assert_eq!(outbound.counted("reviews", "upstream_cx_http2_total"), 1);
    assert_eq!(inbound.counted("inbound", "upstream_cx_http1_total"), 1);
}

#[test]
fn what_a_request_is_does_not_change_on_its_way_through_the_mesh() {
    let app = Backend::echo();
    let (_inbound, _outbound, address) = through_two_sidecars(app.address);

    let mut client = Client::connect(address);
    let requests = [
        ("OPTIONS *", ""),
        ("OPTIONS /x", ""),
        ("POST /x", "connection: upgrade\r\nupgrade: websocket\r\n"),
    ];
    for (line, more) in requests {
        client.send(format!("{line} HTTP/1.1\r\nhost: reviews:9080\r\n{more}\r\n").as_bytes());
        let text = client.answer().text();
        assert!(text.starts_with(&format!("{line} HTTP/1.1\n")), "{text}");
    }
}

#[test]
fn a_field_that_connection_names_counts_for_nothing() {
    let app = Backend::echo();
    let mut rig = Rig::new();
    let address = rig.cluster("reviews", &[app.address]).http("reviews");
    rig.swap();

    let mut client = Client::connect(address);
    client.send(
        b"GET / HTTP/1.1\r\nhost: a\r\nx-request-id: mine\r\nx-forwarded-proto: https\r\n\
          connection: x-request-id, x-forwarded-proto\r\n\r\n",
    );
    let text = client.answer().text();

    assert!(
        text.contains("x-request-id: ") && !text.contains("mine"),
        "one is made as if there were none: {text}"
    );
    assert!(text.contains("x-forwarded-proto: http\n"), "{text}");
}

#[test]
fn a_websocket_crosses_the_mesh_as_an_extended_connect() {
    let app = Backend::start(|stream, _| {
        let mut writer = stream.try_clone()?;
        let mut reader = std::io::BufReader::new(stream);
        let request = Message::read(&mut reader, true)?.expect("a request");
        assert_eq!(request.header("upgrade"), Some("websocket"));
        assert_eq!(
            request.header("sec-websocket-key"),
            Some("dGhlIHNhbXBsZSBub25jZQ==")
        );
        writer.write_all(
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
              sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nhello",
        )?;
        std::io::copy(&mut reader, &mut writer)?;
        writer.shutdown(Shutdown::Write)
    });
    let (_inbound, outbound, address) = through_two_sidecars(app.address);

    let mut client = Client::connect(address);
    client.send(
        b"GET /ws HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
          sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\nearly",
    );
    let answer = client.answer_to_head();
    assert_eq!(answer.status(), 101);
    assert_eq!(answer.header("upgrade"), Some("websocket"));
    assert_eq!(
        answer.header("sec-websocket-accept"),
        Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    );
    client.send(b" late");
    client.stream.shutdown(Shutdown::Write).expect("closed");
    let mut all = String::new();
    client.reader.read_to_string(&mut all).expect("the rest");
    assert_eq!(all, "helloearly late");
    assert_eq!(outbound.counted("reviews", "upstream_cx_http1_total"), 0);
}

#[test]
fn an_upgrade_that_the_application_declines_is_an_ordinary_answer() {
    let app = Backend::http(|_| b"HTTP/1.1 426 Upgrade Required\r\ncontent-length: 2\r\n\r\nno".to_vec());
    let (_inbound, _outbound, address) = through_two_sidecars(app.address);

    let mut client = Client::connect(address);
    client.send(b"GET /ws HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n");
    let answer = client.answer();

    assert_eq!((answer.status(), answer.text().as_str()), (426, "no"));
    assert_eq!(client.get("/").status(), 426, "the connection goes on");
}

#[test]
fn an_application_that_ignores_an_upgrade_is_never_taken_to_have_switched() {
    let app = Backend::http(|_| b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nplain".to_vec());
    let (_inbound, _outbound, address) = through_two_sidecars(app.address);

    let mut client = Client::connect(address);
    client.send(b"GET /ws HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n");
    let answer = client.answer();

    assert_eq!(answer.status(), 502);
    assert!(answer.text().contains("did not switch"), "{}", answer.text());
    assert_eq!(client.get("/").text(), "plain", "the connection goes on");
}

#[test]
fn a_reason_given_by_the_far_sidecar_reaches_the_client() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .expect("a free port")
        .local_addr()
        .expect("an address");
    let (_inbound, _outbound, address) = through_two_sidecars(closed);

    let answer = Client::connect(address).get("/");

    assert_eq!(answer.status(), 503);
    let reason = answer.header("x-outrigger-reason").expect("a reason");
    assert!(reason.contains("cluster inbound"), "{reason}");
}

/// A listener as applications use it by `HTTP_PROXY`.
fn http_proxy(rig: &mut Rig, cluster: &str) -> SocketAddr {
    let target = Target::One(rig.names.slot(cluster));
    let forward = Action::Forward {
        target,
        timeout: Some(Duration::from_secs(5)),
    };
    let routes = Arc::new(RouteTable::new("http_proxy", vec![any_host(forward)]).expect("routes"));
    rig.http_with(cluster, Direction::Outbound, None, |http| http.routes = routes)
}

#[test]
fn an_absolute_target_is_sent_on_as_a_path_with_its_host() {
    let backend = Backend::echo();
    let mut rig = Rig::new();
    rig.cluster("reviews", &[backend.address]);
    let address = http_proxy(&mut rig, "reviews");
    rig.swap();

    let mut client = Client::connect(address);
    client.send(b"GET http://reviews:9080/a/./b?q=1 HTTP/1.1\r\nhost: reviews:9080\r\nproxy-connection: keep-alive\r\n\r\n");
    let text = client.answer().text();

    assert!(
        text.starts_with("GET /a/b?q=1 HTTP/1.1\nhost: reviews:9080\n"),
        "{text}"
    );
    assert!(!text.contains("proxy-connection"), "{text}");
}

#[test]
fn connect_opens_a_tunnel_at_the_proxy_port_and_nowhere_else() {
    let backend = Backend::start(|mut stream, _| {
        let mut all = Vec::new();
        stream.read_to_end(&mut all)?;
        all.reverse();
        stream.write_all(&all)
    });
    let mut rig = Rig::new();
    rig.cluster("db", &[backend.address]);
    let address = http_proxy(&mut rig, "db");
    let plain = rig.http("db");
    rig.swap();

    let mut client = Client::connect(address);
    client.send(b"CONNECT db:3306 HTTP/1.1\r\nhost: db:3306\r\n\r\nab");
    assert_eq!(client.answer_to_head().status(), 200);
    client.send(b"cd");
    client.stream.shutdown(Shutdown::Write).expect("closed");
    let mut all = String::new();
    client.reader.read_to_string(&mut all).expect("the rest");
    assert_eq!(all, "dcba");

    let mut client = Client::connect(plain);
    client.send(b"CONNECT db:3306 HTTP/1.1\r\nhost: db:3306\r\n\r\n");
    let answer = client.answer();
    assert_eq!(answer.status(), 403);
    assert!(
        answer
            .header("x-outrigger-reason")
            .expect("a reason")
            .contains("CONNECT")
    );
}

#[test]
fn a_gateway_notes_strangers_and_takes_their_internal_headers_off() {
    let backend = Backend::echo();
    let mut rig = Rig::new();
    rig.cluster("productpage", &[backend.address]);
    let address = rig.http_with("productpage", Direction::Gateway, None, |http| {
        http.use_remote_address = true
    });
    rig.swap();

    let mut client = Client::connect(address);
    client.send(
        b"GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 192.0.2.1\r\nx-envoy-internal: true\r\n\
          x-istio-attributes: Zm9yZ2Vk\r\nx-b3-traceid: 463ac35c9f6413ad\r\n\r\n",
    );
    let text = client.answer().text();

    assert!(text.contains("x-forwarded-for: 192.0.2.1, 127.0.0.1\n"), "{text}");
    assert!(text.contains("x-b3-traceid: 463ac35c9f6413ad\n"), "{text}");
    assert!(
        !text.contains("x-envoy-internal") && !text.contains("x-istio-attributes"),
        "{text}"
    );
    client.send(b"GET / HTTP/1.1\r\nhost: a\r\nx_y: 1\r\n\r\n");
    assert_eq!(
        client.answer().status(),
        400,
        "strangers may not use underscores in names"
    );
}

#[test]
fn each_request_is_one_line_of_the_access_log() {
    for style in [Style::Text, Style::Json] {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("access.log");
        let backend = Backend::http(|_| answer_of(b"four"));
        let log = PlaneSettings {
            access_log: LogTarget::File(path.clone()),
            log_style: style,
            ..PlaneSettings::default()
        };
        let mut rig = Rig::with(log);
        rig.cluster("reviews", &[backend.address]);
        let address = rig.http_with("reviews", Direction::Outbound, None, |http| {
            http.access_log = true
        });
        let missing = rig.http_with("missing", Direction::Outbound, None, |http| {
            http.access_log = true
        });
        rig.swap();

        let mut client = Client::connect(address);
        client.send(b"GET /a?b=\"c HTTP/1.1\r\nhost: reviews:9080\r\nuser-agent: x\\\"y\r\nx-request-id: id-1\r\n\r\n");
        assert_eq!(client.answer().status(), 200);
        assert_eq!(Client::connect(missing).get("/").status(), 503);

        let read = || std::fs::read_to_string(&path).unwrap_or_default();
        eventually("both lines are written", || read().lines().count() == 2);
        let text = read();
        let (first, second) = text.split_once('\n').expect("two lines");
        match style {
            Style::Text => {
                assert!(
                    first.contains("\"GET /a?b=\\x22c HTTP/1.1\" 200 - 0 4 "),
                    "{first}"
                );
                assert!(
                    first.contains(" \"-\" \"x\\x5c\\x22y\" \"id-1\" \"reviews:9080\" "),
                    "{first}"
                );
                assert!(
                    first.ends_with(&format!("\"{}\" reviews all", backend.address)),
                    "{first}"
                );
                assert!(second.contains(" 503 NC "), "{second}");
            }
            Style::Json => {
                let line: serde_json::Value = serde_json::from_str(first).expect("JSON");
                assert_eq!(line["path"], "/a?b=\"c");
                assert_eq!(line["response_code"], 200);
                assert_eq!(line["user_agent"], "x\\\"y");
                assert_eq!(line["upstream_cluster"], "reviews");
                let line: serde_json::Value = serde_json::from_str(second).expect("JSON");
                assert_eq!(line["response_flags"], "NC");
            }
        }
    }
}

#[test]
fn a_head_that_is_refused_is_counted_and_logged_like_a_request() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("access.log");
    let mut rig = Rig::with(PlaneSettings {
        access_log: LogTarget::File(path.clone()),
        ..PlaneSettings::default()
    });
    rig.cluster("reviews", &[]);
    let mut stats = None;
    let address = rig.http_with("reviews", Direction::Outbound, None, |http| {
        http.access_log = true;
        stats = Some(std::sync::Arc::clone(&http.stats));
    });
    rig.swap();

    for refused in ["GET / HTTP/1.1\r\n\r\n", "GET /%zz HTTP/1.1\r\nhost: a\r\n\r\n"] {
        let mut client = Client::connect(address);
        client.send(refused.as_bytes());
        assert_eq!(client.answer().status(), 400);
        assert!(client.is_closed());
    }

    let read = || std::fs::read_to_string(&path).unwrap_or_default();
    eventually("both lines are written", || read().lines().count() == 2);
    for line in read().lines() {
        assert!(line.contains("] \"- - HTTP/1.1\" 400 DPE 0 "), "{line}");
    }
    let samples = stats.expect("a listener").samples();
    for name in [
        "downstream_rq_total",
        "downstream_rq_http1_total",
        "downstream_rq_4xx",
    ] {
        assert_eq!(crate::rig::value(&samples, name), 2, "{name}");
    }
}
