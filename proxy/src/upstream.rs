//! The upstream side of an exchange: a connection or a stream to the chosen endpoint.

pub(crate) mod connect;
pub(crate) mod http1;
pub(crate) mod http2;
mod keep_alive;
pub(crate) mod waiting;

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::client::ResponseFuture;
use http::HeaderMap;
use tokio::time::Instant;

use crate::answer::Answer;
use crate::h1::{Asked, BodyFraming, Edits, Rules};
use crate::h2_rules::{Malformed, check_response};
use crate::http1::Http1;
use crate::http2::Http2;
use crate::message::{Fault, Part, Side};
use crate::request::Request;
use crate::table::{Cluster, Endpoint, HttpVersion};
use crate::worker::Worker;
use connect::{ConnectError, connect};
use http1::Connection;
use http2::{Mesh, Slot};

/// Where a request is sent and its answer comes from.
#[derive(Debug)]
pub(crate) enum Upstream {
    Http1(Box<Connection>),
    Http2(Box<Stream>),
}

/// A stream of a shared connection.
#[derive(Debug)]
pub(crate) struct Stream {
    side: Http2,
    sender: Option<h2::client::SendRequest<Bytes>>,
    response: Option<ResponseFuture>,
    /// It was asked to become a tunnel.
    tunnel: bool,
    slot: Slot,
}

/// Whether a connection that was used before will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// The best there is.
    Any,
    /// As `Any`, but the kernel is asked whether it is still open: for a request that must not be sent twice.
    Checked,
    /// A new one: the request was lost on a used one.
    New,
}

/// What the connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A request and its answer.
    Exchange,
    /// A request that asks to change the protocol.
    Upgrade,
    /// Bytes of any kind.
    Bytes,
}

impl Upstream {
    /// Gets a connection or a stream to `endpoint`.
    pub(crate) async fn open(
        worker: &Rc<Worker>,
        cluster: &Cluster,
        endpoint: &Arc<Endpoint>,
        freshness: Freshness,
        purpose: Purpose,
        now: Instant,
    ) -> Result<Upstream, Rc<ConnectError>> {
        let info = &cluster.info;
        let to_sidecar = endpoint.mesh_h2 && worker.settings.mesh_http2;
        let http2 = match purpose {
            Purpose::Exchange => to_sidecar || info.http == HttpVersion::Http2,
            // Applications hardly ever take an extended CONNECT; sidecars do.
            Purpose::Upgrade => to_sidecar,
            Purpose::Bytes => false,
        };
        if http2 {
            let slot = Mesh::slot(worker, cluster.id, info, endpoint, now).await?;
            let sender = Some(slot.sender());
            let stream = Stream {
                side: Http2::default(),
                sender,
                response: None,
                tunnel: false,
                slot,
            };
            return Ok(Upstream::Http2(Box::new(stream)));
        }
        let connected = Upstream::connect(worker, cluster, endpoint, freshness, now).await;
        connected.map(Upstream::Http1).map_err(Rc::new)
    }

    /// An idle connection or a new one. Where the cluster has as many as it may, one is waited for as long as a new one
    /// might take.
    async fn connect(
        worker: &Rc<Worker>,
        cluster: &Cluster,
        endpoint: &Arc<Endpoint>,
        freshness: Freshness,
        now: Instant,
    ) -> Result<Box<Connection>, ConnectError> {
        let info = &cluster.info;
        let shard = info.stats.shard(worker.index);
        let mut place = None;
        loop {
            if freshness != Freshness::New
                && let Some(idle) = worker
                    .idle
                    .take(endpoint.key, now, freshness == Freshness::Checked)
            {
                return Ok(idle);
            }
            if place.is_none() {
                shard.upstream_rq_pending_total.inc();
            }
            let error = match connect(worker, info, endpoint).await {
                Ok((stream, berth)) => {
                    shard.upstream_cx_http1_total.inc();
                    let http = Http1::new(stream);
                    return Ok(Box::new(Connection::new(
                        http,
                        berth,
                        cluster.id,
                        endpoint.key,
                        now,
                    )));
                }
                Err(error @ ConnectError::Overflow { .. }) => error,
                Err(error) => return Err(error),
            };
            if worker.idle.evict(cluster.id) {
                continue;
            }
            if place.is_none() {
                place = worker.waiting.enter(info);
            }
            match &place {
                Some(place) if now.elapsed() < info.connect_timeout => place.look_again().await,
                _ => return Err(error),
            }
        }
    }

    /// Writes the head of `request`; the body follows through [`Side`]. Nothing is on its way before the first flush.
    ///
    /// # Errors
    /// When an HTTP/2 connection takes no new stream.
    pub(crate) fn send(
        &mut self,
        request: &Request,
        edits: &Edits<'_>,
        framing: BodyFraming,
    ) -> Result<(), Fault> {
        match self {
            Upstream::Http1(connection) => {
                connection.requests += 1;
                request.write(connection.http.head(framing), edits, framing);
                Ok(())
            }
            Upstream::Http2(stream) => {
                let head = request.to_http2(edits, framing)?;
                stream.tunnel = request.upgrade().is_some();
                let Some(sender) = &mut stream.sender else {
                    return Err(Fault::NotTaken);
                };
                if stream.tunnel && !sender.is_extended_connect_protocol_enabled() {
                    return Err(Malformed::ConnectionField.into());
                }
                let ended = framing.is_empty() && !stream.tunnel;
                // Nothing of the request has left yet, so whatever is wrong with the connection, another will do.
                let (response, send) = sender.send_request(head, ended).map_err(|_| {
                    stream.slot.give_up();
                    Fault::NotTaken
                })?;
                stream.sender = None;
                stream.response = Some(response);
                stream.side.begin(send, ended);
                if stream.tunnel {
                    stream.side.await_tunnel();
                }
                Ok(())
            }
        }
    }

    /// Ready when a head can be [sent](Upstream::send).
    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        match self {
            Upstream::Http1(_) => Poll::Ready(Ok(())),
            Upstream::Http2(stream) => {
                let Some(sender) = &mut stream.sender else {
                    return Poll::Ready(Err(Fault::NotTaken));
                };
                ready!(sender.poll_ready(cx)).map_err(|_| {
                    stream.slot.give_up();
                    Fault::NotTaken
                })?;
                Poll::Ready(Ok(()))
            }
        }
    }

    /// The next head of the answer.
    pub(crate) fn poll_answer(
        &mut self,
        cx: &mut Context<'_>,
        rules: &Rules,
        asked: Asked,
    ) -> Poll<Result<Answer, Fault>> {
        match self {
            Upstream::Http1(connection) => connection
                .http
                .poll_response(cx, rules, asked)
                .map_ok(Answer::Http1),
            Upstream::Http2(stream) => {
                let Some(response) = &mut stream.response else {
                    return Poll::Pending;
                };
                let response = ready!(Pin::new(response).poll(cx)).map_err(|error| {
                    if error.is_go_away() || error.is_io() {
                        stream.slot.give_up();
                    }
                    Fault::from(error)
                })?;
                let (parts, recv) = response.into_parts();
                check_response(&parts, rules)?;
                let tunnel = stream.tunnel && parts.status.is_success();
                stream.response = None;
                let ended = stream.side.receive(recv);
                if !tunnel {
                    stream.side.become_raw();
                }
                Poll::Ready(Ok(Answer::Http2 {
                    parts: Box::new(parts),
                    ended,
                    tunnel,
                }))
            }
        }
    }

    /// True when the request went out on a connection that had served others before, so that its loss without an
    /// answer may mean no more than that the upstream closed an idle connection at that moment.
    pub(crate) fn is_reused(&self) -> bool {
        matches!(self, Upstream::Http1(connection) if connection.requests > 1)
    }

    /// True when nothing of an answer has come.
    pub(crate) fn is_silent(&self) -> bool {
        match self {
            Upstream::Http1(connection) => connection.http.waiting().is_empty(),
            Upstream::Http2(stream) => stream.response.is_some(),
        }
    }

    /// Takes the head of an answer back for its memory.
    pub(crate) fn recycle(&mut self, answer: Answer) {
        if let (Upstream::Http1(connection), Answer::Http1(head)) = (self, answer) {
            connection.http.recycle_response(head);
        }
    }

    /// Ends the use of the upstream. An HTTP/1 connection is kept for another request if it may be; a stream that is
    /// not at its end is reset.
    pub(crate) fn release(self, worker: &Worker, reusable: bool, now: Instant) {
        match self {
            Upstream::Http1(mut connection) => {
                let traffic = connection.http.take_traffic();
                let info = connection.berth.info();
                let shard = info.stats.shard(worker.index);
                shard.upstream_cx_rx_bytes_total.add(traffic.read);
                shard.upstream_cx_tx_bytes_total.add(traffic.written);
                let wanted = !worker.is_draining() && !worker.waiting.others_lack(info);
                if reusable && wanted && connection.http.is_clean() {
                    worker.idle.put(connection, now);
                    worker.note_idle();
                } else {
                    drop(connection);
                }
                worker.waiting.freed();
            }
            Upstream::Http2(mut stream) => {
                if !reusable {
                    stream.side.reset(h2::Reason::CANCEL);
                }
            }
        }
    }

    /// Remembers for how long the upstream keeps a quiet connection, when its answer says so.
    pub(crate) fn note_keep_alive(&mut self, answer: &Answer) {
        if let (Upstream::Http1(connection), Answer::Http1(head)) = (self, answer)
            && let Some(said) = head.fields().known(crate::h1::Known::KeepAlive)
        {
            connection.kept_for = kept_for(said);
        }
    }
}

/// The timeout in a `Keep-Alive` header: `timeout=5, max=100`.
fn kept_for(said: &[u8]) -> Option<Duration> {
    let said = std::str::from_utf8(said).ok()?;
    let seconds = said
        .split(',')
        .find_map(|part| part.trim().strip_prefix("timeout="))?;
    seconds.parse().ok().map(Duration::from_secs)
}

impl Side for Upstream {
    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Result<Part, Fault>> {
        match self {
            Upstream::Http1(connection) => connection.http.poll_part(cx),
            Upstream::Http2(stream) => stream.side.poll_part(cx),
        }
    }

    fn is_full(&self) -> bool {
        match self {
            Upstream::Http1(connection) => connection.http.is_full(),
            Upstream::Http2(stream) => stream.side.is_full(),
        }
    }

    fn put(&mut self, data: Bytes) {
        match self {
            Upstream::Http1(connection) => connection.http.put(data),
            Upstream::Http2(stream) => stream.side.put(data),
        }
    }

    fn finish(&mut self, trailers: Option<HeaderMap>) {
        match self {
            Upstream::Http1(connection) => connection.http.finish(trailers),
            Upstream::Http2(stream) => stream.side.finish(trailers),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        match self {
            Upstream::Http1(connection) => connection.http.poll_flush(cx),
            Upstream::Http2(stream) => stream.side.poll_flush(cx),
        }
    }

    fn become_raw(&mut self) {
        match self {
            Upstream::Http1(connection) => connection.http.become_raw(),
            Upstream::Http2(stream) => stream.side.become_raw(),
        }
    }

    fn shut(&mut self) {
        match self {
            Upstream::Http1(connection) => connection.http.shut(),
            Upstream::Http2(stream) => stream.side.shut(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timeout_of_a_keep_alive_header_is_read() {
        assert_eq!(kept_for(b"timeout=5, max=100"), Some(Duration::from_secs(5)));
        assert_eq!(kept_for(b"max=100, timeout=30"), Some(Duration::from_secs(30)));
        assert_eq!(kept_for(b"max=100"), None);
        assert_eq!(kept_for(b"timeout=soon"), None);
    }
}
