//! The REST surface: connections in, Kubernetes-style answers out (`spec/apiserver.md`).

mod body;
mod call;
mod health;
mod limits;
mod media;
mod query;
mod read;
mod render;
mod selector;
mod watch;
mod write;

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use http::header::CONTENT_LENGTH;
use http::{HeaderValue, Method, Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use outrigger_client::status::Status;
use outrigger_client::token::{Access, BindRefused, check_bind};
use rustix::net::sockopt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, watch as signal};
use tokio::task::JoinSet;

use crate::refusal;
use crate::server::{ApiServer, Inner};
use body::ReplyBody;
use call::{Call, Target};
use limits::Limits;
use render::Reply;

/// Time for the head of a request; also how long an idle HTTP/1 connection is kept.
const HEAD: Duration = Duration::from_secs(10);
/// Time for requests in flight to finish after the shutdown began.
const DRAIN: Duration = Duration::from_secs(5);
/// Time after which a peer that takes nothing in is cut off.
const STALLED: Duration = Duration::from_secs(30);
/// Pause after an accept error that is ours, such as no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The surface cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The port would be open to strangers.
    #[error(transparent)]
    Bind(#[from] BindRefused),
    /// The listener is unusable.
    #[error("cannot serve the config api: {0}")]
    Listener(std::io::Error),
}

impl ApiServer {
    /// Serves the REST surface on a listener until `shutdown` completes; then lets requests in flight finish, ends
    /// watches, and returns after at most five seconds.
    ///
    /// # Errors
    /// When the listener is bound wider than `access` allows, or broken.
    pub async fn serve(
        &self,
        listener: TcpListener,
        access: Access,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), ServeError> {
        let address = listener.local_addr().map_err(ServeError::Listener)?;
        check_bind(address, &access)?;
        tracing::info!(%address, %access, "config api listening");
        let (stop, stopping) = signal::channel(false);
        let surface = Arc::new(Surface {
            inner: Arc::clone(&self.inner),
            access,
            limits: Limits::default(),
            stopping,
        });
        let mut connections = JoinSet::new();
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                accepted = listener.accept() => surface.accepted(accepted, &mut connections).await,
                Some(_) = connections.join_next() => {}
            }
        }
        drop(listener);
        stop.send_replace(true);
        let drained =
            tokio::time::timeout(DRAIN, async { while connections.join_next().await.is_some() {} }).await;
        if drained.is_err() {
            tracing::warn!(
                connections = connections.len(),
                "config api closed with connections still open"
            );
        }
        Ok(())
    }
}

/// What every connection shares.
#[derive(Debug)]
struct Surface {
    inner: Arc<Inner>,
    access: Access,
    limits: Limits,
    /// True once the server is going away.
    stopping: signal::Receiver<bool>,
}

impl Surface {
    async fn accepted(
        self: &Arc<Self>,
        accepted: std::io::Result<(TcpStream, SocketAddr)>,
        connections: &mut JoinSet<()>,
    ) {
        match accepted {
            Ok((stream, peer)) => match self.limits.connection() {
                Some(place) => drop(connections.spawn(Arc::clone(self).connection(stream, peer, place))),
                None => tracing::warn!(%peer, "connection closed at once: too many are open"),
            },
            Err(error) if is_of_the_peer(&error) => {}
            Err(error) => {
                tracing::error!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, _place: OwnedSemaphorePermit) {
        if let Err(error) = settle(&stream) {
            tracing::debug!(%peer, %error, "connection without its socket options");
        }
        let mut stopping = self.stopping.clone();
        let service = service_fn(move |request| {
            let surface = Arc::clone(&self);
            async move { Ok::<_, Infallible>(surface.answer(request).await) }
        });
        let builder = protocol();
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stop(&mut stopping) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "connection ended early");
        }
    }

    /// Answers one request; every failure is an answer too.
    async fn answer(&self, request: Request<Incoming>) -> Response<ReplyBody> {
        let began = Instant::now();
        let is_head = request.method() == Method::HEAD;
        let (call, outcome) = match Call::read(&request) {
            Ok(call) => {
                // A panic ends this request and no other one on the connection.
                let performed = AssertUnwindSafe(self.perform(&call, request))
                    .catch_unwind()
                    .await;
                let outcome = performed
                    .unwrap_or_else(|_| Err(refusal::internal("the request met a fault of the server")));
                (Some(call), outcome)
            }
            Err(status) => (None, Err(status)),
        };
        let reply = outcome.unwrap_or_else(Reply::status);
        let verb = call.as_ref().map_or("unknown", Call::verb);
        self.inner.measures.request(verb, reply.code(), began.elapsed());
        let style = call.as_ref().map(|call| call.style).unwrap_or_default();
        let response = reply.into_response(style, call.as_ref().and_then(Call::allowed_methods));
        if is_head { head_of(response) } else { response }
    }

    async fn perform(&self, call: &Call, request: Request<Incoming>) -> Result<Reply, Status> {
        call.check_method()?;
        if let Target::Health(check) = &call.target {
            return Ok(health::answer(
                &self.inner,
                &self.access,
                *self.stopping.borrow(),
                *check,
                &call.query,
            ));
        }
        let authorization = request
            .headers()
            .get(http::header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        if !self.access.admits(authorization) {
            return Err(refusal::unauthorized());
        }
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        if !is_read && request.headers().contains_key(http::header::ORIGIN) {
            return Err(refusal::forbidden(
                "web pages may not write to the config api (the request carries an Origin)",
            ));
        }
        if let Some(watching) = call.watching()? {
            return watch::answer(self, watching);
        }
        let _place = if is_read {
            self.limits.read()?
        } else {
            self.limits.write()?
        };
        match &call.target {
            Target::Version => Ok(health::version()),
            Target::Paths => Ok(health::paths()),
            Target::Metrics => Ok(health::metrics(&self.inner)),
            Target::Collection(_) | Target::Item(_) if is_read => read::answer(&self.inner, call),
            Target::Collection(_) | Target::Item(_) => write::answer(self, call, request).await,
            Target::Health(_) => Err(refusal::unknown_path()), // answered above
        }
    }
}

/// An answer without its body, and with the length that it would have, as far as it has one.
fn head_of(response: Response<ReplyBody>) -> Response<ReplyBody> {
    let (mut head, body) = response.into_parts();
    if let Some(length) = body.length() {
        head.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    Response::from_parts(head, ReplyBody::Whole(None))
}

/// Answers at once; peers that are gone or take nothing in are found out.
fn settle(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, STALLED)?;
    sockopt::set_tcp_user_timeout(stream, u32::try_from(STALLED.as_millis()).unwrap_or(u32::MAX))?;
    Ok(())
}

/// Waits until the server is going away.
async fn stop(stopping: &mut signal::Receiver<bool>) {
    let _ = stopping.wait_for(|stopping| *stopping).await; // an error means that the server is gone already
}

fn protocol() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(64 << 10);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(100)
        .max_send_buf_size(64 << 10)
        .max_header_list_size(60 << 10)
        .max_pending_accept_reset_streams(20)
        .keep_alive_interval(STALLED)
        .keep_alive_timeout(STALLED);
    builder
}

fn is_of_the_peer(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}
