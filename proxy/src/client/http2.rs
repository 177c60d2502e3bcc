//! A client's HTTP/2 connection: many requests at once, each served by a task of its own.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use h2::server::{Builder, SendResponse};
use h2::{Reason, RecvStream};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::Client;
use crate::answer::Answer;
use crate::client::http1::rules_of;
use crate::deadline::{Deadline, after};
use crate::exchange::{self, Session, http_listener};
use crate::h1::{BodyFraming, Edits};
use crate::h2_rules::check_request;
use crate::http1::Http1;
use crate::http2::Http2;
use crate::message::{Fault, Part, Side};
use crate::pressure::Pressure;
use crate::reply::{Flag, REASON, Reply};
use crate::report;
use crate::request::Request;
use crate::table::Direction;
use crate::window::{MESH, STRANGER};
use crate::worker::Presence;

/// Streams that a client may have open (`spec/reliability.md` §3).
const STREAMS: u32 = 100;
/// For the preface and the first settings.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// A client that was told to go, and has nothing in flight, is waited for so long.
const FAREWELL: Duration = Duration::from_secs(5);

/// A connection whose first bytes were read already.
struct Rewound {
    first: Bytes,
    stream: TcpStream,
}

impl AsyncRead for Rewound {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let count = self.first.len().min(buf.remaining());
        buf.put_slice(self.first.get(..count).unwrap_or_default());
        self.first.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Rewound {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Serves a connection until it ends. What was read from it already is inside `http`.
pub(crate) async fn serve(http: Http1, session: Rc<Session>, presence: Presence, mut timer: Deadline) {
    let (stream, first) = http.into_parts();
    let Some((direction, idle, header_bytes)) = terms(&session) else {
        return;
    };
    let stranger = direction != Direction::Inbound;
    let windows = if stranger { STRANGER } else { MESH };
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(STREAMS)
        .initial_window_size(windows.stream)
        .initial_connection_window_size(windows.connection)
        .max_send_buffer_size(if stranger { 16 * 1024 } else { 64 * 1024 })
        .max_header_list_size(u32::try_from(header_bytes).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(Some(128))
        .max_concurrent_reset_streams(20)
        .enable_connect_protocol();
    let mut shaking = Box::pin(builder.handshake::<_, Bytes>(Rewound { first, stream }));
    let shaken = timer
        .within(after(Instant::now(), Some(HANDSHAKE)), |cx| {
            shaking.as_mut().poll(cx)
        })
        .await;
    let Ok(Ok(mut connection)) = shaken else { return };
    drop(shaking);

    let requests = Rc::new(InFlight {
        count: Cell::new(0),
        last: Cell::new(Instant::now()),
    });
    let mut leaving = false;
    loop {
        let next = poll_fn(|cx| {
            presence.watch(cx.waker());
            let worker = &session.worker;
            if !leaving && (worker.is_leaving(session.address) || worker.pressure() >= Pressure::NoKeepAlive)
            {
                leaving = true;
                requests.last.set(Instant::now());
                connection.graceful_shutdown();
            }
            loop {
                if let Poll::Ready(accepted) = connection.poll_accept(cx) {
                    return Poll::Ready(accepted);
                }
                let limit = if leaving {
                    Some(FAREWELL)
                } else {
                    worker.pressure().idle(idle)
                };
                ready!(timer.poll(cx, requests.idle_from(limit)));
                if requests.count.get() == 0 {
                    if leaving {
                        return Poll::Ready(None);
                    }
                    leaving = true;
                    connection.graceful_shutdown();
                }
                requests.last.set(Instant::now());
            }
        });
        match next.await {
            Some(Ok((request, respond))) => {
                // A request outlives its connection only until it sees that its stream is gone.
                let serving = serve_stream(Rc::clone(&session), request, respond, InFlight::enter(&requests));
                tokio::task::spawn_local(serving);
            }
            Some(Err(error)) => {
                tracing::debug!(peer = %session.peer, %error, "an HTTP/2 client's connection failed");
                if let Some((_, http)) = http_listener(&session.table(), session.address)
                    && !error.is_io()
                {
                    http.stats
                        .shard(session.worker.index)
                        .downstream_cx_protocol_error
                        .inc();
                }
                return;
            }
            None => return,
        }
    }
}

/// The requests of a connection that are in flight.
struct InFlight {
    count: Cell<usize>,
    /// When the last one ended, or the connection was last seen to be busy.
    last: Cell<Instant>,
}

impl InFlight {
    fn enter(requests: &Rc<InFlight>) -> Counted {
        requests.count.set(requests.count.get() + 1);
        Counted(Rc::clone(requests))
    }

    /// When the connection will have been idle for `limit`.
    fn idle_from(&self, limit: Option<Duration>) -> Option<Instant> {
        after(self.last.get(), limit)
    }
}

/// One request in flight; it ends when dropped.
struct Counted(Rc<InFlight>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.count.set(self.0.count.get() - 1);
        self.0.last.set(Instant::now());
    }
}

/// What the listener says about its HTTP/2 connections: direction, idle timeout, size of a head.
fn terms(session: &Session) -> Option<(Direction, Option<Duration>, usize)> {
    let table = session.table();
    let (listener, http) = http_listener(&table, session.address)?;
    Some((listener.direction, http.idle_timeout, http.max_request_headers))
}

/// Serves one request.
async fn serve_stream(
    session: Rc<Session>,
    request: http::Request<RecvStream>,
    respond: SendResponse<Bytes>,
    _counted: Counted,
) {
    let (parts, recv) = request.into_parts();
    let mut side = Http2::default();
    let ended = side.receive(recv);
    let mut client = Http2Client {
        ended,
        side,
        respond,
        head_asked: parts.method == http::Method::HEAD,
    };
    let table = session.table();
    let Some((listener, http)) = http_listener(&table, session.address) else {
        return;
    };
    http.stats
        .shard(session.worker.index)
        .downstream_rq_http2_total
        .inc();
    let rules = rules_of(listener, http);
    drop(table);

    let checked =
        check_request(&parts, &rules).map(|accepted| accepted.protocol.is_some() || accepted.path.is_empty());
    let refused = match checked {
        Ok(is_tunnel) => {
            if is_tunnel {
                client.side.await_tunnel();
            }
            match Request::from_http2(parts) {
                Ok(mut request) => {
                    let mut timer = session.worker.timer();
                    exchange::serve(&session, &mut client, &mut timer, &mut request, &rules).await;
                    session.worker.keep_timer(timer);
                    return;
                }
                Err(problem) => Reply::new(StatusCode::BAD_REQUEST, Flag::DownstreamProtocolError, problem),
            }
        }
        Err(malformed) => match malformed
            .status()
            .and_then(|status| StatusCode::from_u16(status).ok())
        {
            Some(status) => Reply::new(status, Flag::DownstreamProtocolError, malformed),
            None => {
                tracing::debug!(peer = %session.peer, %malformed, "an HTTP/2 request was refused");
                report::refused(&session, Version::HTTP_2, None, 0);
                return client.respond.send_reset(Reason::PROTOCOL_ERROR);
            }
        },
    };
    let body = refused.body();
    report::refused(&session, Version::HTTP_2, Some(&refused), body.len() as u64);
    let reason = refused.reason();
    let fields: [(&str, &[u8]); 2] = [("content-type", b"text/plain"), (REASON, reason.as_bytes())];
    client.reply(refused.status, &fields, body.into());
    // A client that does not take it is not waited for: its stream ends with the connection.
    let due = after(Instant::now(), Some(HANDSHAKE));
    let _ = Deadline::default().within(due, |cx| client.poll_flush(cx)).await;
}

/// A client that speaks HTTP/2, during one request.
struct Http2Client {
    side: Http2,
    respond: SendResponse<Bytes>,
    /// The request's head was all there is.
    ended: bool,
    head_asked: bool,
}

impl Client for Http2Client {
    fn framing(&self, request: &Request) -> BodyFraming {
        request.framing(self.ended)
    }

    fn takes_success_for_a_switch(&self) -> bool {
        true
    }

    fn answer(&mut self, answer: &Answer, edits: &Edits<'_>) -> Result<(), Fault> {
        let (response, ended) = answer.to_http2(edits)?;
        if !answer.is_tunnel() {
            self.side.become_raw();
        }
        let send = self.respond.send_response(response, ended)?;
        self.side.begin(send, ended);
        Ok(())
    }

    fn interim(&mut self, answer: &Answer) {
        if answer.status() != StatusCode::CONTINUE
            && let Ok((response, _)) = answer.to_http2(&Edits::default())
        {
            // An interim answer may be lost: the final one says all.
            let _ = self.respond.send_informational(response);
        }
    }

    fn reply(&mut self, status: StatusCode, fields: &[(&str, &[u8])], body: Bytes) {
        self.side.become_raw();
        let mut response = http::Response::new(());
        *response.status_mut() = status;
        let headers = response.headers_mut();
        for (name, value) in fields {
            if let (Ok(name), Ok(value)) = (
                HeaderName::from_bytes(name.as_bytes()),
                HeaderValue::from_bytes(value),
            ) {
                headers.insert(name, value);
            }
        }
        headers.insert(http::header::CONTENT_LENGTH, body.len().into());
        let ended = body.is_empty() || self.head_asked;
        // When the stream is gone there is nobody to tell.
        if let Ok(send) = self.respond.send_response(response, ended) {
            self.side.begin(send, ended);
            if !ended {
                self.side.put(body);
                self.side.finish(None);
            }
        }
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Fault> {
        if self.side.has_begun() {
            return self.side.poll_reset(cx);
        }
        match self.respond.poll_reset(cx) {
            Poll::Ready(Ok(reason)) => Poll::Ready(Fault::Reset(reason)),
            Poll::Ready(Err(error)) => Poll::Ready(error.into()),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_deaf(&self) -> bool {
        false
    }

    fn has_left(&self) -> bool {
        false
    }

    fn cut(&mut self) {
        if self.side.has_begun() {
            self.side.reset(Reason::INTERNAL_ERROR);
        } else {
            self.respond.send_reset(Reason::INTERNAL_ERROR);
        }
    }

    fn open_tunnel(&mut self) -> Result<(), Fault> {
        let send = self.respond.send_response(http::Response::new(()), false)?;
        self.side.begin(send, false);
        Ok(())
    }
}

impl Side for Http2Client {
    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Result<Part, Fault>> {
        self.side.poll_part(cx)
    }

    fn is_full(&self) -> bool {
        self.side.is_full()
    }

    fn put(&mut self, data: Bytes) {
        self.side.put(data);
    }

    fn finish(&mut self, trailers: Option<HeaderMap>) {
        self.side.finish(trailers);
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        self.side.poll_flush(cx)
    }

    fn become_raw(&mut self) {
        self.side.become_raw();
    }

    fn shut(&mut self) {
        self.side.shut();
    }
}
