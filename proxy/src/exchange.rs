//! A request from beginning to end: where it was going, who asks, which route it takes, which endpoint serves it; then it
//! is sent, answered and reported. Everything that decides is a call that returns a value; what sends decides nothing.

mod failed;

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use tokio::time::Instant;

use crate::answer::Answer;
use crate::client::Client;
use crate::deadline::{Deadline, after};
use crate::decide::{Decision, decide};
use crate::forwarding::{Forwarding, Trust};
use crate::h1::{BodyFraming, Edits, Rules};
use crate::in_flight::InFlight;
use crate::message::Fault;
use crate::pressure::Pressure;
use crate::relay::{Failure, Relay, Times};
use crate::reply::{Flag, REASON, Reply};
use crate::report::Report;
use crate::request::Request;
use crate::table::{Cluster, Endpoint, HttpListener, InFlight as AtEndpoint, Listener, ListenerKind, Table};
use crate::tunnel;
use crate::upstream::connect::ConnectError;
use crate::upstream::{Freshness, Purpose, Upstream};
use crate::worker::Worker;

/// A new connection that says nothing is closed after this.
const FIRST_BYTE: Duration = Duration::from_secs(60);
/// The same while its listener leaves.
const GRACE: Duration = Duration::from_secs(1);
/// How often a request is sent at most, when each time nothing of it was taken.
const ATTEMPTS: u32 = 3;
/// A client that does not take an answer of ours within this is given up.
const FLUSH: Duration = Duration::from_secs(10);

/// The connection that a request came in on.
pub(crate) struct Session {
    pub(crate) worker: Rc<Worker>,
    /// Where it was accepted: the listener's address.
    pub(crate) address: SocketAddr,
    pub(crate) peer: SocketAddr,
}

impl Session {
    /// How long a new connection may say nothing. The request of one that is just open is most likely on its way, so it
    /// is waited for even while the listener leaves, if not for long.
    pub(crate) fn first_byte(&self) -> Duration {
        if self.worker.is_leaving(self.address) {
            GRACE
        } else {
            FIRST_BYTE
        }
    }

    /// How long the head of a request may take.
    pub(crate) fn head_time(&self) -> Option<Duration> {
        let table = self.table();
        http_listener(&table, self.address).and_then(|(_, http)| http.request_headers_timeout)
    }

    /// The table for the next request: the newest one that has this listener.
    pub(crate) fn table(&self) -> Arc<Table> {
        self.worker.table_for(self.address)
    }
}

/// The HTTP part of the listener at `address`.
pub(crate) fn http_listener(table: &Table, address: SocketAddr) -> Option<(&Listener, &HttpListener)> {
    let listener = table.listener(address)?;
    match &listener.kind {
        ListenerKind::Http(http) => Some((listener, http)),
        ListenerKind::Tcp(_) => None,
    }
}

/// Serves one request. True when the exchange came to an orderly end, so that the connection may serve another.
pub(crate) async fn serve<C: Client>(
    session: &Session,
    client: &mut C,
    timer: &mut Deadline,
    request: &mut Request,
    rules: &Rules,
) -> bool {
    let now = Instant::now();
    let worker = &session.worker;
    let table = session.table();
    let Some((listener, http)) = http_listener(&table, session.address) else {
        return false;
    };
    let trust = Trust {
        direction: listener.direction,
        edge: http.use_remote_address,
        peer: session.peer,
    };
    request.made_id = trust.new_id(request, &worker.ids);

    let mut exchange = Exchange {
        worker,
        table: &table,
        http,
        trust,
        request,
        relay: Relay::new(client, timer, rules, request.asked(), now),
        report: Report::start(worker, http, now),
        in_flight: None,
    };
    let orderly = match exchange.run().await {
        Ok(orderly) => orderly,
        Err(Stop::Reply(reply)) => exchange.answer_here(&reply).await,
        Err(Stop::Gone) => exchange.client_has_gone(),
    };

    let Exchange {
        mut report, relay, ..
    } = exchange;
    report.received += relay.request.bytes;
    report.sent += relay.response.bytes;
    report.finish(worker, request, session.peer, Instant::now());
    orderly
}

/// Why no answer of an upstream reaches the client.
enum Stop {
    /// It gets one of ours.
    Reply(Reply),
    /// It is not there any more.
    Gone,
}

impl From<Reply> for Stop {
    fn from(reply: Reply) -> Stop {
        Stop::Reply(reply)
    }
}

/// Where a request goes.
struct Plan<'x> {
    cluster: &'x Cluster,
    endpoint: &'x Arc<Endpoint>,
    /// Counts it there for as long as it lasts.
    _at_endpoint: AtEndpoint,
}

struct Exchange<'x, C> {
    worker: &'x Rc<Worker>,
    table: &'x Table,
    http: &'x HttpListener,
    trust: Trust,
    request: &'x Request,
    relay: Relay<'x, C>,
    report: Report<'x>,
    /// Counts the request at its cluster, from the moment it has a connection.
    in_flight: Option<InFlight<'x>>,
}

impl<'x, C: Client> Exchange<'x, C> {
    async fn run(&mut self) -> Result<bool, Stop> {
        let Some(plan) = self.plan()? else {
            return Ok(self.flush().await);
        };
        if self.request.is_connect() {
            return self.connect(&plan).await;
        }
        let (upstream, answer) = self.send(&plan).await?;
        self.respond(upstream, answer).await
    }

    /// Decides where the request goes; `None` when its route has answered it.
    fn plan(&mut self) -> Result<Option<Plan<'x>>, Reply> {
        if self.worker.pressure() == Pressure::Refuse {
            let why = "the proxy has used up its memory budget";
            return Err(Reply::new(StatusCode::SERVICE_UNAVAILABLE, Flag::Overload, why));
        }
        let request = self.request;
        let routes = &*self.http.routes;
        let asks = || format!("{} {}{}", request.method(), request.authority(), request.target());
        let decision = decide(&request.view(), routes, self.worker.balancer.borrow_mut().draw());
        let (id, timeout, route) = match decision {
            Decision::Forward {
                cluster,
                timeout,
                route,
            } => (cluster, timeout, route),
            Decision::Respond { status, body, route } => {
                self.report.route = &route.name;
                self.answer_as_routed(status, body);
                return Ok(None);
            }
            Decision::NoRoute => {
                let why = format!("no route of {} is for {}", routes.name, asks());
                return Err(Reply::new(StatusCode::NOT_FOUND, Flag::NoRoute, why));
            }
        };
        self.report.route = &route.name;
        self.check_upgrade()?;
        let Some(cluster) = self.table.cluster(id) else {
            let why = format!(
                "the cluster of route {:?} in {} is not there",
                route.name, routes.name
            );
            return Err(Reply::new(StatusCode::SERVICE_UNAVAILABLE, Flag::NoCluster, why));
        };
        let info = &*cluster.info;
        self.report.goes_to(info, self.worker);
        let Some(endpoint) = self.worker.balancer.borrow_mut().pick(cluster) else {
            let why = format!("cluster {} has no endpoint that may be used", info.name);
            return Err(Reply::new(
                StatusCode::SERVICE_UNAVAILABLE,
                Flag::NoHealthyUpstream,
                why,
            ));
        };
        self.report.upstream = Some(endpoint.address);
        self.relay.limit(Times {
            route: self.trust.timeout(request).unwrap_or(timeout),
            idle: self.http.stream_idle_timeout,
            request: self.http.request_timeout,
        });
        Ok(Some(Plan {
            cluster,
            endpoint,
            _at_endpoint: endpoint.enter(),
        }))
    }

    /// Refuses a change of protocol that the listener does not allow.
    fn check_upgrade(&self) -> Result<(), Reply> {
        let refuse = |why: String| Err(Reply::new(StatusCode::FORBIDDEN, Flag::None, why));
        match self.request.upgrade() {
            Some(protocol) if !(protocol.eq_ignore_ascii_case(b"websocket") && self.http.websocket) => {
                let protocol = String::from_utf8_lossy(protocol);
                refuse(format!(
                    "this listener does not let connections change to {protocol:?}"
                ))
            }
            _ if self.request.is_connect() && !self.trust.is_proxy(self.http) => {
                refuse("this listener is not a proxy: CONNECT is for those".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// Sends the request; a used connection that turns out to be closed is replaced once if that is safe.
    async fn send(&mut self, plan: &Plan<'x>) -> Result<(Upstream, Answer), Stop> {
        let framing = self.relay.client().framing(self.request);
        self.relay.expect(framing);
        let repeatable = framing.is_empty() && self.request.is_idempotent();
        let mut freshness = if repeatable {
            Freshness::Any
        } else {
            Freshness::Checked
        };
        let purpose = if self.request.upgrade().is_some() {
            Purpose::Upgrade
        } else {
            Purpose::Exchange
        };
        let mut attempts = 0;
        loop {
            let mut upstream = self.open(plan, freshness, purpose).await?;
            let failure = match self.ask(&mut upstream, framing).await {
                Ok(answer) if self.may_switch(&answer) => return Ok((upstream, answer)),
                Ok(_) => Failure::SwitchedElsewhere,
                Err(failure) => failure,
            };
            let again = match &failure {
                Failure::Upstream(Fault::NotTaken) => self.relay.is_untouched(),
                Failure::Upstream(Fault::Lost(_)) => {
                    repeatable && upstream.is_reused() && upstream.is_silent()
                }
                _ => false,
            };
            upstream.release(self.worker, false, self.relay.now());
            attempts += 1;
            if !again || attempts == ATTEMPTS {
                return Err(self.stopped(&failure));
            }
            freshness = Freshness::New;
            self.report.retry();
            self.relay.again();
        }
    }

    /// False when the upstream changes to another protocol than the one that was asked for (RFC 9110 §15.2.2).
    fn may_switch(&self, answer: &Answer) -> bool {
        match (answer.switches_to(), self.request.upgrade()) {
            (Some(to), Some(asked)) => to.eq_ignore_ascii_case(asked),
            _ => true,
        }
    }

    /// Gets a connection to the endpoint, and a place among the requests of the cluster.
    async fn open(
        &mut self,
        plan: &Plan<'x>,
        freshness: Freshness,
        purpose: Purpose,
    ) -> Result<Upstream, Stop> {
        let (worker, cluster, now) = (self.worker, plan.cluster, self.relay.now());
        let opening = pin!(Upstream::open(
            worker,
            cluster,
            plan.endpoint,
            freshness,
            purpose,
            now
        ));
        let upstream = match self.relay.prepare(opening).await {
            Ok(opened) => opened.map_err(|error| self.not_connected(plan, &error))?,
            Err(failure) => return Err(self.stopped(&failure)),
        };
        if self.in_flight.is_none() {
            let info = &*cluster.info;
            self.in_flight = InFlight::enter(info, info.stats.shard(worker.index));
        }
        if self.in_flight.is_none() {
            upstream.release(worker, true, now);
            let (name, limit) = (&cluster.info.name, cluster.info.limits.requests);
            let why = format!("cluster {name} has {limit} requests in flight, its limit");
            let reply = Reply::new(StatusCode::SERVICE_UNAVAILABLE, Flag::UpstreamOverflow, why);
            return Err(reply.into());
        }
        self.report.sent_upstream();
        Ok(upstream)
    }

    /// Sends the request to `upstream` and waits for the head of its answer.
    async fn ask(&mut self, upstream: &mut Upstream, framing: BodyFraming) -> Result<Answer, Failure> {
        self.relay
            .prepare(pin!(poll_fn(|cx| upstream.poll_ready(cx))))
            .await?
            .map_err(Failure::Upstream)?;
        self.relay.asked();
        let forwarding = Forwarding::of(&self.trust, self.request);
        forwarding
            .edit(|edits| upstream.send(self.request, edits, framing))
            .map_err(Failure::Upstream)?;
        poll_fn(|cx| self.relay.poll_answer(cx, upstream)).await
    }

    /// Passes the answer on to its end.
    async fn respond(&mut self, mut upstream: Upstream, answer: Answer) -> Result<bool, Stop> {
        self.report.asked = self.relay.sent;
        self.report.answered(answer.status(), self.relay.now());
        upstream.note_keep_alive(&answer);
        let server = self
            .http
            .server_name
            .as_deref()
            .map(|name| [("server", name.as_bytes())]);
        let edits = Edits {
            set: server.as_ref().map_or(&[], |server| server),
            ..Edits::default()
        };
        let said = self.relay.client().answer(&answer, &edits);
        said.map_err(|fault| self.stopped(&Failure::Client(fault)))?;
        if answer.is_tunnel() {
            return Ok(self.tunnel(upstream).await);
        }
        let passed = poll_fn(|cx| self.relay.poll_response(cx, &mut upstream)).await;
        let now = self.relay.now();
        match passed {
            Ok(()) => {
                let reusable = self.relay.request.is_done() && answer.keeps_connection();
                upstream.recycle(answer);
                upstream.release(self.worker, reusable, now);
                Ok(true)
            }
            Err(failure) => {
                self.report.flag = failed::flag_of(&failure);
                if let Failure::Upstream(_) = failure {
                    // What has come of the answer is the client's, and shows it that the rest is missing.
                    self.flush().await;
                }
                self.relay.client().cut();
                upstream.release(self.worker, false, now);
                Ok(false)
            }
        }
    }

    /// Opens the tunnel that a CONNECT asks for.
    async fn connect(&mut self, plan: &Plan<'x>) -> Result<bool, Stop> {
        let upstream = self.open(plan, Freshness::New, Purpose::Bytes).await?;
        let opened = self.relay.client().open_tunnel();
        opened.map_err(|fault| self.stopped(&Failure::Client(fault)))?;
        self.report.status = Some(StatusCode::OK);
        Ok(self.tunnel(upstream).await)
    }

    /// Carries bytes both ways until both sides have closed.
    async fn tunnel(&mut self, mut upstream: Upstream) -> bool {
        let idle = self.http.idle_timeout;
        let (client, timer) = self.relay.client_and_timer();
        let moved = Box::pin(tunnel::carry(client, &mut upstream, timer, idle)).await;
        self.report.tunnelled(moved);
        if !moved.orderly {
            self.relay.client().cut();
        }
        false
    }
}

/// What happens when things do not go the way they should.
impl<'x, C: Client> Exchange<'x, C> {
    /// No connection to the endpoint came about.
    fn not_connected(&self, plan: &Plan<'x>, error: &ConnectError) -> Reply {
        failed::not_connected(&plan.cluster.info.name, plan.endpoint.address, error)
    }

    /// The exchange failed before an answer began.
    fn stopped(&mut self, failure: &Failure) -> Stop {
        match failed::reply_to(failure, &self.report.place(), self.report.route) {
            Some(reply) => Stop::Reply(reply),
            None => Stop::Gone,
        }
    }

    /// Answers with a reason of our own. True when the connection may serve another request.
    async fn answer_here(&mut self, reply: &Reply) -> bool {
        self.report.flag = reply.flag;
        self.report.status = Some(reply.status);
        let reason = reply.reason();
        let body = Bytes::from(reply.body());
        self.report.sent = body.len() as u64;
        let server = self.http.server_name.as_deref().unwrap_or("outrigger");
        let fields: [(&str, &[u8]); 3] = [
            ("content-type", b"text/plain"),
            ("server", server.as_bytes()),
            (REASON, reason.as_bytes()),
        ];
        self.relay.client().reply(reply.status, &fields, body);
        self.flush().await
    }

    /// Answers as the route says.
    fn answer_as_routed(&mut self, status: u16, body: &Bytes) {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
        self.report.status = Some(status);
        self.report.direct_response();
        self.report.sent = body.len() as u64;
        let server = self.http.server_name.as_deref().unwrap_or("outrigger");
        let fields: [(&str, &[u8]); 2] = [("content-type", b"text/plain"), ("server", server.as_bytes())];
        self.relay.client().reply(status, &fields, body.clone());
    }

    /// Writes what the client was answered. False when it does not take it.
    async fn flush(&mut self) -> bool {
        let due = after(Instant::now(), Some(FLUSH));
        let (client, timer) = self.relay.client_and_timer();
        matches!(timer.within(due, |cx| client.poll_flush(cx)).await, Ok(Ok(())))
    }

    fn client_has_gone(&mut self) -> bool {
        self.report.flag = Flag::DownstreamGone;
        self.relay.client().cut();
        false
    }
}
