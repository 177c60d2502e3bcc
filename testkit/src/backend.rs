//! A backend that answers every kind of load and says who it is: HTTP/1.1 and HTTP/2 on one port, gRPC-framed echo,
//! WebSocket echo; and TCP echo on another.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

/// Request header with the id of a request; the answer carries it back.
pub const LOAD_ID: &str = "x-load-id";
/// Answer header with the backend's name.
pub const SERVED_BY: &str = "x-served-by";
/// Path of the gRPC-framed echo.
pub const GRPC_PATH: &str = "/outrigger.testkit.Echo/Stream";

/// A backend that runs until it is dropped.
pub struct Backend {
    /// Where it speaks HTTP.
    pub http: SocketAddr,
    /// Where it echoes TCP.
    pub tcp: SocketAddr,
    posts: Arc<Mutex<Vec<u64>>>,
    // Dropping the set ends both accept loops and every connection.
    _tasks: JoinSet<()>,
}

impl Backend {
    /// Starts a backend called `name` on `http` and `tcp` (port 0 picks a free one).
    pub async fn start(name: &str, http: SocketAddr, tcp: SocketAddr) -> Result<Backend> {
        let http = TcpListener::bind(http)
            .await
            .with_context(|| format!("backend {name} cannot listen on {http}"))?;
        let tcp = TcpListener::bind(tcp)
            .await
            .with_context(|| format!("backend {name} cannot listen on {tcp}"))?;
        let posts = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        let (http_address, tcp_address) = (http.local_addr()?, tcp.local_addr()?);
        tasks.spawn(serve_http(http, Arc::from(name), posts.clone()));
        tasks.spawn(serve_tcp(tcp));
        Ok(Backend {
            http: http_address,
            tcp: tcp_address,
            posts,
            _tasks: tasks,
        })
    }

    /// Ids of the POST requests that arrived, in order.
    pub fn posts(&self) -> Vec<u64> {
        self.posts.lock().map(|posts| posts.clone()).unwrap_or_default()
    }
}

async fn serve_http(listener: TcpListener, name: Arc<str>, posts: Arc<Mutex<Vec<u64>>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let (name, posts) = (name.clone(), posts.clone());
        connections.spawn(async move {
            // Nagle's algorithm only delays an echo; a stream that refuses the option still echoes.
            let _ = stream.set_nodelay(true);
            let service = service_fn(move |request| answer(request, name.clone(), posts.clone()));
            let server = auto::Builder::new(TokioExecutor::new());
            // A client that goes away ends its own connection and nothing else.
            let _ = server
                .serve_connection_with_upgrades(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn serve_tcp(listener: TcpListener) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        connections.spawn(echo(stream));
    }
}

async fn echo(mut stream: TcpStream) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        let Some(bytes) = buffer.get(..read) else { return };
        if stream.write_all(bytes).await.is_err() {
            return;
        }
    }
}

type Body = BoxBody<Bytes, hyper::Error>;

async fn answer(
    request: Request<Incoming>,
    name: Arc<str>,
    posts: Arc<Mutex<Vec<u64>>>,
) -> Result<Response<Body>, Infallible> {
    let id = request.headers().get(LOAD_ID).cloned();
    let mut answer = match request.uri().path() {
        GRPC_PATH => grpc_echo(request),
        "/socket" => websocket(request),
        _ => plain(request, &name, &posts),
    };
    if let Some(id) = id {
        answer.headers_mut().insert(LOAD_ID, id);
    }
    if let Ok(name) = name.parse() {
        answer.headers_mut().insert(SERVED_BY, name);
    }
    Ok(answer)
}

fn plain(request: Request<Incoming>, name: &str, posts: &Mutex<Vec<u64>>) -> Response<Body> {
    let id = request
        .headers()
        .get(LOAD_ID)
        .and_then(|id| id.to_str().ok())
        .unwrap_or("-")
        .to_owned();
    if request.method() == hyper::Method::POST
        && let (Ok(number), Ok(mut posts)) = (id.parse(), posts.lock())
    {
        posts.push(number);
    }
    Response::new(whole(format!(
        "{id} answered by {name} for {}\n",
        request.uri().path()
    )))
}

fn grpc_echo(request: Request<Incoming>) -> Response<Body> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", hyper::header::HeaderValue::from_static("0"));
    let data = request
        .into_body()
        .into_data_stream()
        .map(|data| data.map(Frame::data));
    let end = futures_util::stream::once(async { Ok(Frame::trailers(trailers)) });
    let mut answer = Response::new(BodyExt::boxed(StreamBody::new(data.chain(end))));
    answer.headers_mut().insert(
        hyper::header::CONTENT_TYPE,
        hyper::header::HeaderValue::from_static("application/grpc"),
    );
    answer
}

fn websocket(mut request: Request<Incoming>) -> Response<Body> {
    let Some(key) = request.headers().get("sec-websocket-key") else {
        let mut refusal = Response::new(whole("this path wants a WebSocket\n".to_owned()));
        *refusal.status_mut() = hyper::StatusCode::BAD_REQUEST;
        return refusal;
    };
    let accept = derive_accept_key(key.as_bytes());
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let Ok(stream) = upgrade.await else { return };
        let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(stream), Role::Server, None).await;
        while let Some(Ok(message)) = socket.next().await {
            if (message.is_binary() || message.is_text()) && socket.send(message).await.is_err() {
                return;
            }
        }
    });
    let mut answer = Response::new(whole(String::new()));
    *answer.status_mut() = hyper::StatusCode::SWITCHING_PROTOCOLS;
    for (header, value) in [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-accept", &accept),
    ] {
        if let Ok(value) = value.parse() {
            answer.headers_mut().insert(header, value);
        }
    }
    answer
}

fn whole(text: String) -> Body {
    Full::new(Bytes::from(text))
        .map_err(|never| match never {})
        .boxed()
}
