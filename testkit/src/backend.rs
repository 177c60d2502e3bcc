//! A backend that answers every kind of load and says who it is: HTTP/1.1 and HTTP/2 on one port, gRPC-framed echo,
//! WebSocket echo; and TCP echo on another.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

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

/// A POST request that reached a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Post {
    /// The id that it carried.
    pub id: u64,
    /// Its body; `None` when that broke off.
    pub body: Option<Bytes>,
}

/// The POST requests that a backend saw, in order of their ends.
type Posts = Arc<Mutex<Vec<Post>>>;

/// A backend that runs until it is dropped.
pub struct Backend {
    /// Where it speaks HTTP.
    pub http: SocketAddr,
    /// Where it echoes TCP.
    pub tcp: SocketAddr,
    posts: Posts,
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
        let posts = Posts::default();
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

    /// The POST requests that arrived and have ended, each as often as it came.
    pub fn posts(&self) -> Vec<Post> {
        // A handler that panicked while it noted a request leaves a list that is still worth reading.
        let posts = self.posts.lock().unwrap_or_else(PoisonError::into_inner);
        posts.clone()
    }
}

async fn serve_http(listener: TcpListener, name: Arc<str>, posts: Posts) {
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
    posts: Posts,
) -> Result<Response<Body>, Infallible> {
    let id = request.headers().get(LOAD_ID).cloned();
    let mut answer = match request.uri().path() {
        GRPC_PATH => grpc_echo(request),
        "/socket" => websocket(request),
        _ => plain(request, &name, &posts).await,
    };
    if let Some(id) = id {
        answer.headers_mut().insert(LOAD_ID, id);
    }
    if let Ok(name) = name.parse() {
        answer.headers_mut().insert(SERVED_BY, name);
    }
    Ok(answer)
}

async fn plain(request: Request<Incoming>, name: &str, posts: &Posts) -> Response<Body> {
    let id = request
        .headers()
        .get(LOAD_ID)
        .and_then(|id| id.to_str().ok())
        .unwrap_or("-")
        .to_owned();
    let path = request.uri().path().to_owned();
    if request.method() == hyper::Method::POST
        && let Ok(number) = id.parse()
    {
        let body = request.into_body().collect().await;
        let post = Post {
            id: number,
            body: body.ok().map(http_body_util::Collected::to_bytes),
        };
        posts.lock().unwrap_or_else(PoisonError::into_inner).push(post);
    }
    Response::new(whole(format!("{id} answered by {name} for {path}\n")))
}

fn grpc_echo(request: Request<Incoming>) -> Response<Body> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", hyper::header::HeaderValue::from_static("0"));
    // The end of a request may come as a piece without bytes. Sent back, that would be a DATA frame that says nothing,
    // and a connection is cut off after a hundred of those.
    let data = request
        .into_body()
        .into_data_stream()
        .filter(|data| std::future::ready(!matches!(data, Ok(data) if data.is_empty())))
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
