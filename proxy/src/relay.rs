//! Moving one request to its upstream and the answer back, both ways at once, within the time there is.

use std::task::{Context, Poll};
use std::time::Duration;

use http::StatusCode;
use tokio::time::Instant;

use crate::answer::Answer;
use crate::client::Client;
use crate::deadline::{Deadline, after, earlier};
use crate::h1::{Asked, Rules};
use crate::message::{Broken, Fault, Flow};
use crate::upstream::Upstream;

/// Without a byte of the request's body for so long, the rest is not waited for (`spec/reliability.md` §3).
const REQUEST_IDLE: Duration = Duration::from_secs(60);

/// How long things may take.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Times {
    /// From the end of the request to the end of the answer.
    pub(crate) route: Option<Duration>,
    /// Without a byte either way.
    pub(crate) idle: Option<Duration>,
    /// For the whole request to arrive.
    pub(crate) request: Option<Duration>,
}

/// Why an exchange did not come to its end.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The client went away or broke the protocol.
    Client(Fault),
    /// The upstream did.
    Upstream(Fault),
    /// The upstream answered an upgrade with success and did not switch, which the client would take for a switch.
    NotSwitched(StatusCode),
    /// The upstream sent interim answers and no end of them.
    Interims,
    /// The route's time ran out.
    RouteTimeout(Duration),
    /// The request did not arrive in time.
    RequestTimeout(Duration),
    /// Nothing moved for so long.
    Idle(Duration),
}

/// Interim answers passed on in one exchange. Each may be as long as a head may be, and waits in memory for a client
/// that does not read; honest servers send one or two.
const MOST_INTERIMS: u32 = 16;

/// One exchange under way.
pub(crate) struct Relay<'x, C> {
    client: &'x mut C,
    timer: &'x mut Deadline,
    times: Times,
    rules: &'x Rules,
    asked: Asked,
    started: Instant,
    /// When something moved last.
    moved: Instant,
    /// Interim answers that were passed on.
    interims: u32,
    /// When the whole request was on its way.
    pub(crate) sent: Option<Instant>,
    pub(crate) request: Flow,
    pub(crate) response: Flow,
    /// What the upstream said when the request's body could not be sent on; its answer may come all the same.
    unsendable: Option<Fault>,
}

impl<'x, C: Client> Relay<'x, C> {
    pub(crate) fn new(
        client: &'x mut C,
        timer: &'x mut Deadline,
        rules: &'x Rules,
        asked: Asked,
        now: Instant,
    ) -> Relay<'x, C> {
        Relay {
            client,
            timer,
            times: Times::default(),
            rules,
            asked,
            started: now,
            moved: now,
            interims: 0,
            sent: None,
            request: Flow::default(),
            response: Flow::default(),
            unsendable: None,
        }
    }

    /// The client, between two steps.
    pub(crate) fn client(&mut self) -> &mut C {
        self.client
    }

    /// The client and the connection's timer.
    pub(crate) fn client_and_timer(&mut self) -> (&mut C, &mut Deadline) {
        (self.client, self.timer)
    }

    /// The moment of the last step.
    pub(crate) fn now(&self) -> Instant {
        self.moved
    }

    /// From now on these limits hold.
    pub(crate) fn limit(&mut self, times: Times) {
        self.times = times;
    }

    /// True when nothing of the request's body was used, so that the request can be sent once more.
    pub(crate) fn is_untouched(&self) -> bool {
        self.request.bytes == 0
    }

    /// The request is sent again to another upstream.
    pub(crate) fn again(&mut self) {
        self.request = Flow::default();
        self.unsendable = None;
        self.sent = None;
    }

    /// Ready with the head of the final answer. The request's body is moved on meanwhile.
    pub(crate) fn poll_answer(
        &mut self,
        cx: &mut Context<'_>,
        upstream: &mut Upstream,
    ) -> Poll<Result<Answer, Failure>> {
        let mut moved = false;
        if let Poll::Ready(failure) = self.poll_request(cx, upstream, &mut moved) {
            return Poll::Ready(Err(failure));
        }
        loop {
            match upstream.poll_answer(cx, self.rules, self.asked) {
                Poll::Ready(Ok(answer)) if answer.is_interim() => {
                    self.interims += 1;
                    if self.interims > MOST_INTERIMS {
                        return Poll::Ready(Err(Failure::Interims));
                    }
                    self.client.interim(&answer);
                    moved = true;
                }
                Poll::Ready(Ok(answer)) => {
                    self.moved = Instant::now();
                    let declined = self.asked == Asked::Upgrade && !answer.is_tunnel();
                    if declined && answer.status().is_success() && self.client.takes_success_for_a_switch() {
                        return Poll::Ready(Err(Failure::NotSwitched(answer.status())));
                    }
                    return Poll::Ready(Ok(answer));
                }
                Poll::Ready(Err(fault)) => {
                    return Poll::Ready(Err(Failure::Upstream(self.unsendable.take().unwrap_or(fault))));
                }
                Poll::Pending => break,
            }
        }
        if moved {
            if let Poll::Ready(Err(fault)) = self.client.poll_flush(cx) {
                return Poll::Ready(Err(Failure::Client(fault)));
            }
            self.moved = Instant::now();
        }
        self.poll_times(cx).map(Err)
    }

    /// Ready when the whole answer was written to the client.
    pub(crate) fn poll_response(
        &mut self,
        cx: &mut Context<'_>,
        upstream: &mut Upstream,
    ) -> Poll<Result<(), Failure>> {
        let mut moved = false;
        match self.response.poll(cx, upstream, self.client, &mut moved) {
            Poll::Ready(Ok(())) => return Poll::Ready(Ok(())),
            Poll::Ready(Err(Broken::From(fault))) => return Poll::Ready(Err(Failure::Upstream(fault))),
            Poll::Ready(Err(Broken::To(fault))) => return Poll::Ready(Err(Failure::Client(fault))),
            Poll::Pending => {}
        }
        if let Poll::Ready(failure) = self.poll_request(cx, upstream, &mut moved) {
            return Poll::Ready(Err(failure));
        }
        if moved {
            self.moved = Instant::now();
        }
        self.poll_times(cx).map(Err)
    }

    /// Moves the request on. Ready only when the client is lost.
    fn poll_request(
        &mut self,
        cx: &mut Context<'_>,
        upstream: &mut Upstream,
        moved: &mut bool,
    ) -> Poll<Failure> {
        if self.request.is_done() || self.unsendable.is_some() {
            return self.client.poll_gone(cx).map(Failure::Client);
        }
        match self.request.poll(cx, self.client, upstream, moved) {
            Poll::Ready(Ok(())) => {
                let now = Instant::now();
                self.sent = Some(now);
                self.moved = now;
                self.client.poll_gone(cx).map(Failure::Client)
            }
            Poll::Ready(Err(Broken::From(fault))) => Poll::Ready(Failure::Client(fault)),
            Poll::Ready(Err(Broken::To(fault))) => {
                self.unsendable = Some(fault);
                Poll::Pending
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// Ready when one of the limits is reached.
    fn poll_times(&mut self, cx: &mut Context<'_>) -> Poll<Failure> {
        let idle = match (self.sent, self.times.idle) {
            (None, idle) => Some(idle.map_or(REQUEST_IDLE, |idle| idle.min(REQUEST_IDLE))),
            (Some(_), idle) => idle,
        };
        let route_due = self.sent.and_then(|sent| after(sent, self.times.route));
        let idle_due = after(self.moved, idle);
        let request_due = if self.sent.is_none() {
            after(self.started, self.times.request)
        } else {
            None
        };
        let due = earlier(earlier(route_due, idle_due), request_due);
        if self.timer.poll(cx, due).is_pending() {
            return Poll::Pending;
        }
        let now = Instant::now();
        let reached = |moment: Option<Instant>| moment.is_some_and(|moment| now >= moment);
        Poll::Ready(match (self.times.route, self.times.request) {
            (Some(route), _) if reached(route_due) => Failure::RouteTimeout(route),
            (_, Some(request)) if reached(request_due) => Failure::RequestTimeout(request),
            _ if self.sent.is_none() => Failure::RequestTimeout(idle.unwrap_or_default()),
            _ => Failure::Idle(idle.unwrap_or_default()),
        })
    }
}
