//! A client's HTTP/1 connection: one request after the other, each answered before the next is looked at.

pub(crate) mod refused;

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tokio::time::Instant;

use super::Client;
use crate::answer::{Answer, Framed};
use crate::deadline::{Deadline, Elapsed, after};
use crate::exchange::{self, Session, http_listener};
use crate::h1::{
    BodyFraming, Edits, Persistence, Refusal, RequestHead, Role, Rules, StatusLine, Version,
    write_response_head,
};
use crate::h2_rules::Malformed;
use crate::http1::{Http1, Traffic};
use crate::message::{Fault, Part, Side};
use crate::pressure::Pressure;
use crate::reply::{Flag, Reply};
use crate::request::{Head, Request};
use crate::stats::HttpStats;
use crate::table::{Direction, HttpListener, Listener};
use crate::worker::Presence;

/// How long a connection that is closed in the middle of a request may go on sending before it is reset.
const LINGER: Duration = Duration::from_secs(2);

/// What a listener demands of heads, as the codec takes it.
pub(crate) fn rules_of(listener: &Listener, http: &HttpListener) -> Rules {
    let gateway = listener.direction == Direction::Gateway || http.use_remote_address;
    Rules {
        role: if gateway { Role::Gateway } else { Role::Sidecar },
        http10: http.accept_http_10,
        header_bytes: http.max_request_headers,
        header_count: http.max_headers,
        ..Rules::default()
    }
}

/// Serves a connection until it ends. What was read from it already is inside `http`.
pub(crate) async fn serve(mut http: Http1, session: Rc<Session>, presence: Presence, mut timer: Deadline) {
    let mut fresh = true;
    let Some(mut terms) = Terms::of(&session) else {
        return;
    };
    loop {
        if terms.serial != session.worker.serial() {
            let Some(newer) = Terms::of(&session) else { return };
            terms = newer;
        }
        let head = match terms
            .next_request(&mut http, &session, &presence, &mut timer, fresh)
            .await
        {
            Ok(Some(head)) => head,
            Ok(None) => return,
            Err(refusal) => return refused::head(http, &session, timer, refusal).await,
        };
        let mut client = Http1Client {
            session: &session,
            version: head.version(),
            head_asked: *head.method() == http::Method::HEAD,
            upgrade: head.upgrade().map(Bytes::copy_from_slice),
            keep: head.keep_alive(),
            until_close: false,
            http: &mut http,
        };
        let mut request = match Request::from_http1(head) {
            Ok(request) => request,
            Err(problem) => {
                let reply = Reply::new(StatusCode::BAD_REQUEST, Flag::DownstreamProtocolError, problem);
                return refused::request(http, &session, timer, &reply).await;
            }
        };
        let orderly = exchange::serve(&session, &mut client, &mut timer, &mut request, &terms.rules).await;
        let keep = client.keep;
        terms.count(http.take_traffic(), session.worker.index);
        if let Head::Http1(head) = request.into_head() {
            http.recycle(head);
        }
        if !orderly {
            return;
        }
        if !http.skip_body() || !keep {
            return linger(http, timer).await;
        }
        fresh = false;
    }
}

/// What holds for the next request.
struct Terms {
    /// The table that says so.
    serial: u64,
    stats: Arc<HttpStats>,
    rules: Rules,
    /// How long to wait for it.
    idle: Option<Duration>,
    /// How long to wait for the rest of its head.
    head: Option<Duration>,
}

impl Terms {
    fn of(session: &Session) -> Option<Terms> {
        let table = session.table();
        let (listener, http) = http_listener(&table, session.address)?;
        Some(Terms {
            serial: table.serial,
            stats: Arc::clone(&http.stats),
            rules: rules_of(listener, http),
            idle: http.idle_timeout,
            head: http.request_headers_timeout,
        })
    }

    fn count(&self, traffic: Traffic, worker: usize) {
        let shard = self.stats.shard(worker);
        shard.downstream_rq_http1_total.inc();
        shard.downstream_cx_rx_bytes_total.add(traffic.read);
        shard.downstream_cx_tx_bytes_total.add(traffic.written);
    }

    /// Waits for the next request, the first one of the connection if it is `fresh`. `None` when the client has closed, was idle for too
    /// long, or the listener leaves.
    async fn next_request(
        &self,
        http: &mut Http1,
        session: &Session,
        presence: &Presence,
        timer: &mut Deadline,
        fresh: bool,
    ) -> Result<Option<RequestHead>, Refusal> {
        let start = Instant::now();
        let mut began = None;
        let next = poll_fn(|cx| {
            match http.poll_request(cx, &self.rules) {
                Poll::Ready(Ok(head)) => return Poll::Ready(Ok(head)),
                Poll::Ready(Err(Fault::Refused(Malformed::Shared(refusal)))) => {
                    return Poll::Ready(Err(refusal));
                }
                Poll::Ready(Err(_)) => return Poll::Ready(Ok(None)),
                Poll::Pending => {}
            }
            presence.watch(cx.waker());
            if http.waiting().is_empty() {
                let limit = match fresh {
                    true => Some(session.first_byte()),
                    false if session.worker.is_leaving(session.address) => return Poll::Ready(Ok(None)),
                    false => session.worker.pressure().idle(self.idle),
                };
                return timer.poll(cx, after(start, limit)).map(|()| Ok(None));
            }
            let began = *began.get_or_insert_with(Instant::now);
            timer
                .poll(cx, after(began, self.head))
                .map(|()| Err(Refusal::HeadTimeout))
        });
        next.await
    }
}

/// Closes our side and lets the client finish, so that what was written is not lost to a reset.
async fn linger(mut http: Http1, mut timer: Deadline) {
    http.shut();
    // Either way the connection is closed now.
    let _: Result<(), Elapsed> = timer
        .within(after(Instant::now(), Some(LINGER)), |cx| http.poll_linger(cx))
        .await;
}

/// Appends a whole answer of our own.
fn write_reply(
    http: &mut Http1,
    status: StatusCode,
    fields: &[(&str, &[u8])],
    body: Bytes,
    head_asked: bool,
    persistence: Persistence<'_>,
) {
    let framing = match status {
        StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED => BodyFraming::None,
        _ => BodyFraming::Length(body.len() as u64),
    };
    let head = http.head(framing);
    write_response_head(
        head,
        &StatusLine::of(status),
        fields,
        &Edits::default(),
        framing,
        persistence,
    );
    if !head_asked && framing != BodyFraming::None {
        http.put(body);
    }
}

/// A client that speaks HTTP/1, during one request.
pub(crate) struct Http1Client<'c> {
    http: &'c mut Http1,
    session: &'c Session,
    version: Version,
    head_asked: bool,
    /// The protocol that the client wants to change to.
    upgrade: Option<Bytes>,
    /// The connection may serve another request.
    keep: bool,
    /// The end of the connection is the end of the answer.
    until_close: bool,
}

impl Http1Client<'_> {
    /// Whether the connection goes on after this answer, as its head says it.
    fn persistence(&mut self) -> Persistence<'static> {
        let worker = &self.session.worker;
        self.keep &= !worker.is_leaving(self.session.address) && worker.pressure() < Pressure::NoKeepAlive;
        match (self.keep, self.version) {
            (false, _) => Persistence::Close,
            (true, Version::Http11) => Persistence::Keep,
            (true, Version::Http10) => Persistence::KeepAlive,
        }
    }
}

impl Client for Http1Client<'_> {
    fn framing(&self, request: &Request) -> BodyFraming {
        request.framing(true)
    }

    fn takes_success_for_a_switch(&self) -> bool {
        false
    }

    fn answer(&mut self, answer: &Answer, edits: &Edits<'_>) -> Result<(), Fault> {
        let mut framed = answer.framed(self.version, self.head_asked);
        if answer.is_tunnel() {
            framed = Framed::NONE;
        }
        // A client that is told "no" while it still sends is best told to stop as well.
        let cut_short = answer.status().as_u16() >= 400 && !self.http.body_is_read();
        self.until_close = framed.body == BodyFraming::UntilClose;
        self.keep &= !cut_short && !self.until_close;
        let granted = self.upgrade.clone().filter(|_| answer.is_tunnel());
        let persistence = match &granted {
            Some(protocol) => Persistence::Upgrade(protocol),
            None => self.persistence(),
        };
        answer.write(self.http.head(framed.body), framed, edits, persistence);
        Ok(())
    }

    fn interim(&mut self, answer: &Answer) {
        // The proxy sends its own 100, and HTTP/1.0 knows none at all.
        if self.version == Version::Http11 && answer.status() != StatusCode::CONTINUE {
            let framed = answer.framed(self.version, true);
            answer.write(self.http.interim(), framed, &Edits::default(), Persistence::Keep);
        }
    }

    fn reply(&mut self, status: StatusCode, fields: &[(&str, &[u8])], body: Bytes) {
        self.keep &= self.http.skip_body();
        let persistence = self.persistence();
        write_reply(self.http, status, fields, body, self.head_asked, persistence);
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Fault> {
        self.http.poll_gone(cx)
    }

    fn is_deaf(&self) -> bool {
        self.http.is_deaf()
    }

    fn has_left(&self) -> bool {
        self.http.has_left()
    }

    fn cut(&mut self) {
        self.keep = false;
        if self.until_close {
            self.http.reset_at_end();
        }
    }

    fn open_tunnel(&mut self) -> Result<(), Fault> {
        const NOTHING: &[(&str, &[u8])] = &[];
        let line = StatusLine::of(StatusCode::OK);
        let head = self.http.head(BodyFraming::None);
        write_response_head(
            head,
            &line,
            NOTHING,
            &Edits::default(),
            BodyFraming::None,
            Persistence::Keep,
        );
        Ok(())
    }
}

impl Side for Http1Client<'_> {
    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Result<Part, Fault>> {
        self.http.poll_part(cx)
    }

    fn is_full(&self) -> bool {
        self.http.is_full()
    }

    fn put(&mut self, data: Bytes) {
        self.http.put(data);
    }

    fn finish(&mut self, trailers: Option<HeaderMap>) {
        self.http.finish(trailers);
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        self.http.poll_flush(cx)
    }

    fn become_raw(&mut self) {
        self.http.become_raw();
    }

    fn shut(&mut self) {
        self.http.shut();
    }
}
