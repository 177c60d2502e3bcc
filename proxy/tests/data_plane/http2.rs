//! HTTP/2 on either side, and what is translated between it and HTTP/1.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use tokio::net::TcpStream;

use crate::rig::{Backend, Client, Rig, answer_of, eventually, http2, pattern};

/// A backend that speaks HTTP/2 only and sends back what it gets, trailers included.
struct Http2Backend {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    _runtime: tokio::runtime::Runtime,
}

impl Http2Backend {
    fn start() -> Http2Backend {
        Http2Backend::leaving_after(usize::MAX)
    }

    /// Ends each connection in an orderly way after so many requests.
    fn leaving_after(requests: usize) -> Http2Backend {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build();
        let runtime = runtime.expect("a runtime");
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .expect("a free port");
        let address = listener.local_addr().expect("an address");
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        runtime.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                stream.set_nodelay(true).expect("a socket option");
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    let mut builder = h2::server::Builder::new();
                    // Its guard against many small frames goes by the window; the default is too small for this.
                    builder.initial_connection_window_size(1 << 20);
                    let Ok(mut connection) = builder.handshake(stream).await else {
                        return;
                    };
                    let mut served = 0;
                    while let Some(Ok((request, respond))) = connection.accept().await {
                        tokio::spawn(echo(request, respond));
                        served += 1;
                        if served == requests {
                            connection.graceful_shutdown();
                        }
                    }
                });
            }
        });
        Http2Backend {
            address,
            connections,
            _runtime: runtime,
        }
    }
}

async fn echo(request: Request<h2::RecvStream>, mut respond: h2::server::SendResponse<Bytes>) -> Option<()> {
    let (parts, mut body) = request.into_parts();
    let mut response = http::Response::new(());
    let headers = response.headers_mut();
    headers.insert("x-path", HeaderValue::from_str(parts.uri.path()).ok()?);
    headers.insert(
        "x-authority",
        HeaderValue::from_str(parts.uri.authority()?.as_str()).ok()?,
    );
    for name in ["te", "x-request-id"] {
        if let Some(value) = parts.headers.get(name) {
            headers.insert(name, value.clone());
        }
    }
    if parts.uri.path() == "/empty" {
        *response.status_mut() = StatusCode::NO_CONTENT;
        respond.send_response(response, true).ok()?;
        return Some(());
    }
    let mut send = respond.send_response(response, false).ok()?;
    while let Some(Ok(data)) = body.data().await {
        body.flow_control().release_capacity(data.len()).ok()?;
        put(&mut send, data).await?;
    }
    let trailers = body.trailers().await.ok()?;
    match trailers {
        Some(trailers) => send.send_trailers(trailers).ok()?,
        None => send.send_data(Bytes::new(), true).ok()?,
    }
    Some(())
}

async fn put(send: &mut h2::SendStream<Bytes>, mut data: Bytes) -> Option<()> {
    while !data.is_empty() {
        send.reserve_capacity(data.len());
        while send.capacity() == 0 {
            std::future::poll_fn(|cx| send.poll_capacity(cx)).await?.ok()?;
        }
        let piece = data.split_to(send.capacity().min(data.len()));
        send.send_data(piece, false).ok()?;
    }
    Some(())
}

/// What an HTTP/2 client got.
struct Got {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
    trailers: Option<HeaderMap>,
}

async fn connect(address: SocketAddr) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(address).await.expect("the proxy accepts");
    stream.set_nodelay(true).expect("a socket option");
    let mut builder = h2::client::Builder::new();
    builder.initial_connection_window_size(1 << 20);
    let (send, connection) = builder.handshake(stream).await.expect("HTTP/2");
    tokio::spawn(connection);
    send
}

async fn ask(
    send: &SendRequest<Bytes>,
    request: Request<()>,
    body: Vec<u8>,
    trailers: Option<HeaderMap>,
) -> Got {
    let mut send = send.clone().ready().await.expect("a stream");
    let ended = body.is_empty() && trailers.is_none();
    let (response, mut stream) = send.send_request(request, ended).expect("sent");
    let sending = tokio::spawn(async move {
        if !ended {
            put(&mut stream, body.into()).await.expect("sent");
            match trailers {
                Some(trailers) => stream.send_trailers(trailers).expect("sent"),
                None => stream.send_data(Bytes::new(), true).expect("sent"),
            }
        }
    });
    let (parts, mut body) = response
        .await
        .unwrap_or_else(|error| panic!("no answer: {error:?}"))
        .into_parts();
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.expect("a body");
        body.flow_control()
            .release_capacity(data.len())
            .expect("a window");
        bytes.extend_from_slice(&data);
    }
    let trailers = body.trailers().await.expect("an end");
    sending.await.expect("sent");
    Got {
        status: parts.status,
        headers: parts.headers,
        body: bytes,
        trailers,
    }
}

fn request(path: &str) -> Request<()> {
    Request::builder()
        .method("POST")
        .uri(format!("http://reviews:9080{path}"))
        .body(())
        .expect("a request")
}

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(test)
}

#[test]
fn http1_clients_reach_http2_upstreams_and_large_bodies_pass() {
    let backend = Http2Backend::start();
    let mut rig = Rig::new();
    rig.cluster_with("grpc", &[backend.address], false, http2);
    let address = rig.http("grpc");
    rig.swap();

    let mut client = Client::connect(address);
    let body = pattern(8 * 1024 * 1024);
    let mut writer = client.stream.try_clone().expect("a second handle");
    let sent = body.clone();
    let sending = std::thread::spawn(move || {
        use std::io::Write;
        write!(
            writer,
            "POST /a/../b HTTP/1.1\r\nhost: reviews:9080\r\nte: trailers\r\ncontent-length: {}\r\n\r\n",
            sent.len()
        )
        .expect("sent");
        writer.write_all(&sent).expect("sent");
    });
    let answer = client.answer();
    sending.join().expect("sent");

    assert!(answer.body == body, "{} bytes came back", answer.body.len());
    assert_eq!(answer.header("x-path"), Some("/b"));
    assert_eq!(answer.header("x-authority"), Some("reviews:9080"));
    assert_eq!(answer.header("te"), None, "te concerns one connection only");
    assert_eq!(answer.header("transfer-encoding"), Some("chunked"));
    assert_eq!(client.get("/empty").status(), 204);
    assert_eq!(client.get("/after").header("x-path"), Some("/after"));
    assert_eq!(backend.connections.load(Ordering::SeqCst), 1);
}

#[test]
fn http1_trailers_cross_to_http2_and_back() {
    let backend = Http2Backend::start();
    let mut rig = Rig::new();
    rig.cluster_with("grpc", &[backend.address], false, http2);
    let address = rig.http("grpc");
    rig.swap();

    let mut client = Client::connect(address);
    client.send(
        b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx-sum: 7\r\n\r\n",
    );
    let answer = client.answer();

    assert_eq!(answer.text(), "hi");
    assert_eq!(answer.trailers, [("x-sum".to_owned(), "7".to_owned())]);
}

#[test]
fn http2_clients_reach_http1_upstreams_and_large_bodies_pass() {
    let backend = Backend::http(|request| answer_of(&request.body));
    let mut rig = Rig::new();
    let address = rig.cluster("reviews", &[backend.address]).http("reviews");
    rig.swap();

    run(async {
        let client = connect(address).await;
        let body = pattern(8 * 1024 * 1024);
        let got = ask(&client, request("/x"), body.clone(), None).await;
        assert_eq!(got.status, 200);
        assert!(got.body == body, "{} bytes came back", got.body.len());
        let got = ask(&client, request("/y"), Vec::new(), None).await;
        assert_eq!(got.status, 200);
        assert_eq!(
            got.headers.get("content-length").map(HeaderValue::as_bytes),
            Some(&b"0"[..])
        );
    });
    assert_eq!(backend.connections(), 1);
}

#[test]
fn http2_passes_to_http2_with_large_bodies_and_trailers() {
    let backend = Http2Backend::start();
    let mut rig = Rig::new();
    rig.cluster_with("mesh", &[backend.address], true, |_| {});
    let address = rig.http("mesh");
    rig.swap();

    run(async {
        let client = connect(address).await;
        let body = pattern(8 * 1024 * 1024);
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        let got = ask(&client, request("/x"), body.clone(), Some(trailers.clone())).await;
        assert!(got.body == body, "{} bytes came back", got.body.len());
        assert_eq!(got.trailers, Some(trailers));
        assert!(got.headers.contains_key("x-request-id"));
    });
}

#[test]
fn many_streams_share_few_connections() {
    let backend = Http2Backend::start();
    let mut rig = Rig::new();
    rig.cluster_with("mesh", &[backend.address], true, |_| {});
    let address = rig.http("mesh");
    rig.swap();

    run(async {
        let client = connect(address).await;
        let mut asked = tokio::task::JoinSet::new();
        for number in 0..500usize {
            let client = client.clone();
            asked.spawn(async move {
                let body = format!("body {number}").into_bytes();
                let got = ask(&client, request(&format!("/{number}")), body.clone(), None).await;
                assert_eq!(got.body, body);
            });
        }
        while let Some(done) = asked.join_next().await {
            done.expect("answered right");
        }
    });

    let connections = backend.connections.load(Ordering::SeqCst);
    assert!((1..=16).contains(&connections), "{connections} connections");
    eventually("all are counted", || {
        rig.counted("mesh", "upstream_rq_2xx") == 500
    });
    assert_eq!(rig.counted("mesh", "upstream_rq_active"), 0);
}

#[test]
fn an_http2_client_is_told_why_as_well() {
    let mut rig = Rig::new();
    let address = rig.cluster("empty", &[]).http("empty");
    rig.swap();

    let got = run(async { ask(&connect(address).await, request("/x"), Vec::new(), None).await });

    assert_eq!(got.status, 503);
    let reason = got
        .headers
        .get("x-outrigger-reason")
        .expect("a reason")
        .to_str()
        .expect("text");
    assert!(reason.starts_with("UH cluster empty "), "{reason}");
    assert_eq!(got.body, b"cluster empty has no endpoint that may be used\n");
}

#[test]
fn draining_tells_http2_clients_to_go_and_lets_their_streams_end() {
    let backend = Backend::http(|request| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        answer_of(&request.body)
    });
    let mut rig = Rig::new();
    let address = rig.cluster("reviews", &[backend.address]).http("reviews");
    rig.swap();

    run(async {
        let stream = TcpStream::connect(address).await.expect("the proxy accepts");
        let (send, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
        let driven = tokio::spawn(connection);
        let asked = tokio::spawn(async move { ask(&send, request("/x"), b"body".to_vec(), None).await });
        while rig.counted("reviews", "upstream_rq_active") == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        rig.life.drain();
        assert_eq!(asked.await.expect("answered").body, b"body");
        driven
            .await
            .expect("the connection's task")
            .expect("an orderly end");
    });
}

#[test]
fn an_upstream_that_leaves_its_connections_now_and_then_is_never_seen_as_an_error() {
    let backend = Http2Backend::leaving_after(5);
    let mut rig = Rig::new();
    rig.cluster_with("mesh", &[backend.address], true, |_| {});
    let address = rig.http("mesh");
    rig.swap();

    let mut client = Client::connect(address);
    for number in 0..200 {
        client.send(b"POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nbody");
        let answer = client.answer();
        assert_eq!(
            (answer.status(), answer.text().as_str()),
            (200, "body"),
            "request {number}"
        );
    }

    let connections = backend.connections.load(Ordering::SeqCst);
    assert!(connections >= 40, "{connections} connections");
}

#[test]
fn a_client_that_ignores_that_it_should_go_is_not_waited_for() {
    let mut rig = Rig::new();
    let address = rig.cluster("reviews", &[]).http("reviews");
    rig.swap();

    let mut client = Client::connect(address);
    // The preface and settings, and nothing ever after.
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    let mut all = vec![0; 9];
    std::io::Read::read_exact(&mut client.reader, &mut all).expect("it speaks HTTP/2");
    rig.life.drain();
    std::io::Read::read_to_end(&mut client.reader, &mut all).expect("the proxy closes");

    let mut kinds = Vec::new();
    let mut rest = all.as_slice();
    while let [a, b, c, kind, ..] = rest {
        kinds.push(*kind);
        rest = &rest[9 + usize::from(*a) * 65536 + usize::from(*b) * 256 + usize::from(*c)..];
    }
    const GOAWAY: u8 = 7;
    assert!(kinds.contains(&GOAWAY), "it was told to go: {kinds:?}");
}
