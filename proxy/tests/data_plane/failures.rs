//! What a client is told when a request cannot be served.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use outrigger_proxy::plane::PlaneSettings;
use outrigger_proxy::table::{Direction, Target};

use crate::rig::{Backend, Client, Message, Rig, answer_of, eventually};

fn read_something(stream: &mut std::net::TcpStream) -> std::io::Result<()> {
    stream.read(&mut [0; 4096]).map(|_| ())
}

fn reason(answer: &Message) -> &str {
    answer.header("x-outrigger-reason").expect("a reason")
}

#[test]
fn a_refused_connection_is_answered_503_with_the_endpoint_and_the_cluster() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .expect("a free port")
        .local_addr()
        .expect("an address");
    let mut rig = Rig::new();
    let address = rig.cluster("reviews", &[closed]).http("reviews");
    rig.swap();

    let mut client = Client::connect(address);
    for _ in 0..2 {
        let answer = client.get("/");
        assert_eq!(answer.status(), 503);
        let reason = reason(&answer);
        assert!(
            reason.starts_with("UF ") && reason.contains("reviews") && reason.contains(&closed.to_string()),
            "{reason}"
        );
        assert!(answer.text().contains("refused"), "{}", answer.text());
    }
    assert_eq!(rig.counted("reviews", "upstream_cx_connect_fail"), 2);
}

#[test]
fn a_cluster_without_endpoints_and_one_that_is_missing_are_told_apart() {
    let mut rig = Rig::new();
    let empty = rig.cluster("empty", &[]).http("empty");
    let missing = rig.http("missing");
    rig.swap();

    let answer = Client::connect(empty).get("/");
    assert_eq!(answer.status(), 503);
    assert!(
        reason(&answer).starts_with("UH cluster empty "),
        "{}",
        reason(&answer)
    );
    let answer = Client::connect(missing).get("/");
    assert_eq!(answer.status(), 503);
    assert!(reason(&answer).starts_with("NC "), "{}", reason(&answer));
}

#[test]
fn a_request_without_a_route_is_answered_404_with_what_it_asked_for() {
    let mut rig = Rig::new();
    let routes = outrigger_proxy::table::RouteTable::new("outbound|80||none", Vec::new()).expect("routes");
    let address = rig.http_with("x", Direction::Outbound, None, |http| {
        http.routes = Arc::new(routes)
    });
    rig.swap();

    let mut client = Client::connect(address);
    client.send(b"POST /x HTTP/1.1\r\nhost: nobody\r\ncontent-length: 3\r\n\r\nabc");
    let answer = client.answer();

    assert_eq!(answer.status(), 404);
    assert_eq!(
        reason(&answer),
        "NR no route of outbound|80||none is for POST nobody/x"
    );
    assert_eq!(
        client.get("/y").status(),
        404,
        "a small body that was not wanted does not end the connection"
    );
}

#[test]
fn an_answer_that_takes_longer_than_the_route_allows_is_504() {
    let backend = Backend::start(|mut stream, _| {
        read_something(&mut stream)?;
        std::io::copy(&mut stream, &mut std::io::sink()).map(|_| ())
    });
    let mut rig = Rig::new();
    rig.cluster("slow", &[backend.address]);
    let address = rig.http_with(
        "slow",
        Direction::Outbound,
        Some(Duration::from_millis(100)),
        |_| {},
    );
    rig.swap();

    let start = Instant::now();
    let mut client = Client::connect(address);
    let answer = client.get("/");

    assert_eq!(answer.status(), 504);
    assert!(start.elapsed() >= Duration::from_millis(100));
    assert!(
        reason(&answer).starts_with("UT ") && reason(&answer).contains("100ms"),
        "{}",
        reason(&answer)
    );
    assert_eq!(
        client.get("/again").status(),
        504,
        "the client's connection goes on"
    );
    eventually("both are counted", || {
        rig.counted("slow", "upstream_rq_timeout") == 2
    });
}

#[test]
fn a_backend_that_closes_idle_connections_is_never_seen_as_an_error() {
    let (served, closed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (serving, closing) = (Arc::clone(&served), Arc::clone(&closed));
    // Each connection serves one request, says that it stays open, and closes.
    let backend = Backend::start(move |stream, _| {
        let mut writer = stream.try_clone()?;
        let mut reader = std::io::BufReader::new(stream);
        if Message::read(&mut reader, false)?.is_some() {
            serving.fetch_add(1, Ordering::SeqCst);
            writer.write_all(&answer_of(b"ok"))?;
        }
        drop((reader, writer));
        closing.fetch_add(1, Ordering::SeqCst);
        Ok(())
    });
    let mut rig = Rig::new();
    let address = rig.cluster("reviews", &[backend.address]).http("reviews");
    rig.swap();

    let mut client = Client::connect(address);
    for number in 0..300 {
        if number % 3 == 0 {
            // What must not be sent twice is safe when the upstream had closed before it was sent.
            eventually("the connection before is closed", || {
                closed.load(Ordering::SeqCst) >= number
            });
            client.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\nx");
            assert_eq!(client.answer().status(), 200, "request {number}");
        } else {
            assert_eq!(client.get("/").status(), 200, "request {number}");
        }
    }
    assert_eq!(served.load(Ordering::SeqCst), 300);
}

#[test]
fn an_upstream_that_closes_before_it_answers_is_503_and_one_that_answers_nonsense_502() {
    let silent = Backend::start(|mut stream, _| stream.read(&mut [0; 4096]).map(|_| ()));
    let nonsense = Backend::start(|mut stream, _| {
        read_something(&mut stream)?;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab")
    });
    let mut rig = Rig::new();
    let first = rig.cluster("silent", &[silent.address]).http("silent");
    let second = rig.cluster("nonsense", &[nonsense.address]).http("nonsense");
    rig.swap();

    let answer = Client::connect(first).get("/");
    assert_eq!(answer.status(), 503);
    assert!(reason(&answer).starts_with("UC "), "{}", reason(&answer));
    let answer = Client::connect(second).get("/");
    assert_eq!(answer.status(), 502);
    assert!(reason(&answer).starts_with("UPE "), "{}", reason(&answer));
}

#[test]
fn an_answer_that_is_cut_off_is_not_passed_on_as_whole() {
    let backend = Backend::start(|mut stream, _| {
        read_something(&mut stream)?;
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")
    });
    let mut rig = Rig::new();
    let address = rig.cluster("reviews", &[backend.address]).http("reviews");
    rig.swap();

    let mut client = Client::connect(address);
    client.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    let read = Message::read(&mut client.reader, false);

    assert!(read.is_err(), "{read:?}");
}

#[test]
fn an_answer_until_close_that_is_cut_off_is_not_passed_on_as_whole() {
    let (go, told) = std::sync::mpsc::channel::<()>();
    let told = std::sync::Mutex::new(told);
    let backend = Backend::start(move |mut stream, _| {
        read_something(&mut stream)?;
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nfirst half")?;
        // A reset overtakes what was not read yet, so it waits for that.
        let _ = told.lock().expect("the lock").recv();
        rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?;
        Ok(())
    });
    let mut rig = Rig::new();
    rig.cluster("reviews", &[backend.address]);
    let address = rig.http_with("reviews", Direction::Outbound, None, |http| {
        http.accept_http_10 = true;
    });
    rig.swap();

    for version in ["1.1", "1.0"] {
        let mut client = Client::connect(address);
        client.send(format!("GET / HTTP/{version}\r\nhost: a\r\n\r\n").as_bytes());
        let mut all = Vec::new();
        while !all.ends_with(b"first half") {
            let mut byte = [0];
            client.reader.read_exact(&mut byte).expect("the first half");
            all.extend(byte);
        }
        go.send(()).expect("the backend waits");
        let read = client.reader.read_to_end(&mut all);
        match version {
            "1.0" => assert!(read.is_err(), "{read:?}"),
            _ => assert!(
                Message::read(&mut all.as_slice(), false).is_err(),
                "{}",
                String::from_utf8_lossy(&all)
            ),
        }
    }
}

#[test]
fn a_head_that_leaves_borders_in_doubt_is_400_and_the_connection_ends() {
    let backend = Backend::echo();
    let mut rig = Rig::new();
    let address = rig.cluster("reviews", &[backend.address]).http("reviews");
    rig.swap();

    let mut client = Client::connect(address);
    client.send(
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    );
    let answer = client.answer();

    assert_eq!(answer.status(), 400);
    assert!(reason(&answer).starts_with("DPE "), "{}", reason(&answer));
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(client.is_closed());
    assert_eq!(backend.connections(), 0);
}

#[test]
fn a_full_cluster_is_503_with_its_limit() {
    let backend =
        Backend::start(|mut stream, _| std::io::copy(&mut stream, &mut std::io::sink()).map(|_| ()));
    let mut rig = Rig::new();
    rig.cluster_with("small", &[backend.address], false, |info| {
        info.limits.requests = 1
    });
    let address = rig.http("small");
    rig.swap();

    let mut first = Client::connect(address);
    first.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    eventually("the first request is in flight", || {
        rig.counted("small", "upstream_rq_active") == 1
    });
    let answer = Client::connect(address).get("/");

    assert_eq!(answer.status(), 503);
    assert!(
        reason(&answer).starts_with("UO ") && reason(&answer).contains("1 requests"),
        "{}",
        reason(&answer)
    );
    drop(first);
}

#[test]
fn a_slow_head_is_408() {
    let mut rig = Rig::new();
    rig.cluster("x", &[]);
    let address = rig.http_with("x", Direction::Outbound, None, |http| {
        http.request_headers_timeout = Some(Duration::from_millis(50));
    });
    rig.swap();

    // The last could become an HTTP/2 client's preface.
    for slow in ["GET / HTTP/1.1\r\nhost:", "G", "P", "PRI * HTTP/2.0\r\n"] {
        let mut client = Client::connect(address);
        client.send(slow.as_bytes());
        let answer = client.answer();

        assert_eq!(answer.status(), 408, "{slow}");
        assert!(client.is_closed());
    }
}

#[test]
fn tcp_closes_the_client_when_no_endpoint_takes_it() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .expect("a free port")
        .local_addr()
        .expect("an address");
    let mut rig = Rig::new();
    rig.cluster("db", &[closed]);
    let target = Target::One(rig.names.slot("db"));
    let address = rig.tcp(target);
    rig.swap();

    assert!(Client::connect(address).is_closed());
}

#[test]
fn a_proxy_beyond_its_memory_budget_answers_503_and_closes() {
    let backend = Backend::echo();
    let mut rig = Rig::with(PlaneSettings {
        memory_budget: Some(1),
        ..PlaneSettings::default()
    });
    let address = rig.cluster("reviews", &[backend.address]).http("reviews");
    rig.swap();

    let mut last = Message::default();
    eventually("memory is measured", || {
        last = Client::connect(address).get("/");
        last.status() == 503
    });

    assert!(reason(&last).starts_with("OM "), "{}", reason(&last));
    assert_eq!(last.header("connection"), Some("close"));
}

#[test]
fn a_request_waits_for_a_connection_when_the_cluster_has_as_many_as_it_may() {
    let backend = Backend::http(|request| {
        std::thread::sleep(Duration::from_millis(20));
        answer_of(request.first.as_bytes())
    });
    for workers in [1, 2] {
        let mut rig = Rig::with(PlaneSettings {
            workers,
            memory_budget: None,
            ..PlaneSettings::default()
        });
        let opened = backend.connections();
        rig.cluster_with("small", &[backend.address], false, |info| {
            info.limits.connections = 2;
            info.limits.pending = 6;
        });
        let address = rig.http("small");
        rig.swap();

        let asking: Vec<_> = (0..8)
            .map(|_| {
                std::thread::spawn(move || {
                    let mut client = Client::connect(address);
                    (0..5).map(|_| client.get("/").status()).collect::<Vec<_>>()
                })
            })
            .collect();
        for asked in asking {
            assert_eq!(
                asked.join().expect("answered"),
                [200; 5],
                "with {workers} workers"
            );
        }
        if workers == 1 {
            assert_eq!(
                backend.connections() - opened,
                2,
                "no more connections than allowed"
            );
        }
    }
}

#[test]
fn interim_answers_without_end_are_502_after_a_few_of_them() {
    let backend = Backend::start(|mut stream, _| {
        read_something(&mut stream)?;
        // Ends with an error when the proxy has closed the connection.
        loop {
            stream.write_all(b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n")?;
        }
    });
    let mut rig = Rig::new();
    let address = rig.cluster("hinting", &[backend.address]).http("hinting");
    rig.swap();

    let mut client = Client::connect(address);
    client.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    let mut interims = 0;
    let answer = loop {
        let answer = client.answer_to_head();
        if answer.status() != 103 {
            break answer;
        }
        interims += 1;
    };

    assert_eq!((answer.status(), interims), (502, 16));
    assert!(reason(&answer).starts_with("UPE "), "{}", reason(&answer));
}
