//! Moving one request to its upstream and the answer back, both ways at once, within the time there is.

mod limits;

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::StatusCode;
use tokio::time::Instant;

use crate::answer::Answer;
use crate::client::Client;
use crate::deadline::Deadline;
use crate::h1::{Asked, BodyFraming, Rules};
use crate::message::{Broken, Fault, Flow};
use crate::upstream::Upstream;
pub(crate) use limits::{Limit, Times};
use limits::{Progress, Stage};

/// Why an exchange did not come to its end.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The client went away or broke the protocol.
    Client(Fault),
    /// The upstream did.
    Upstream(Fault),
    /// The upstream answered an upgrade with success and did not switch, which the client would take for a switch.
    NotSwitched(StatusCode),
    /// The upstream switched to another protocol than the one that was asked for.
    SwitchedElsewhere,
    /// The upstream sent interim answers and no end of them.
    Interims,
    /// It took too long.
    Late(Limit),
}

/// Interim answers passed on in one exchange. Each may be as long as a head may be, and waits in memory for a client
/// that does not read; honest servers send one or two.
const MOST_INTERIMS: u32 = 16;

/// How often to ask whether a client is still there that is not read from, since its leaving is behind what it has sent.
const LOOK: Duration = Duration::from_secs(1);

/// One exchange under way.
pub(crate) struct Relay<'x, C> {
    client: &'x mut C,
    timer: &'x mut Deadline,
    times: Times,
    rules: &'x Rules,
    asked: Asked,
    progress: Progress,
    /// When the kernel was asked last whether the client is there.
    looked: Instant,
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
            progress: Progress {
                stage: Stage::Placing,
                started: now,
                ended: None,
                blocked: false,
                moved: now,
            },
            looked: now,
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
        self.progress.moved
    }

    /// From now on these limits hold.
    pub(crate) fn limit(&mut self, times: Times) {
        self.times = times;
    }

    /// How the body of the request is framed: one that has none has come whole with its head.
    pub(crate) fn expect(&mut self, framing: BodyFraming) {
        if framing.is_empty() {
            self.progress.ended = Some(self.progress.started);
        }
    }

    /// `work` that makes ready to send the request, as long as there is time for it and the client is there.
    pub(crate) async fn prepare<T>(
        &mut self,
        mut work: Pin<&mut impl Future<Output = T>>,
    ) -> Result<T, Failure> {
        poll_fn(|cx| match work.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Ok(done)),
            Poll::Pending => match self.client.poll_gone(cx) {
                Poll::Ready(fault) => Poll::Ready(Err(Failure::Client(fault))),
                Poll::Pending => self.poll_times(cx).map(Err),
            },
        })
        .await
    }

    /// The head of the request is on its way.
    pub(crate) fn asked(&mut self) {
        self.progress.stage = Stage::Asking;
    }

    /// True when nothing of the request's body was used, so that the request can be sent once more.
    pub(crate) fn is_untouched(&self) -> bool {
        self.request.bytes == 0
    }

    /// The request is sent again to another upstream, in what is left of its time.
    pub(crate) fn again(&mut self) {
        self.progress.stage = Stage::Placing;
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
                    self.progress.moved = Instant::now();
                    self.progress.stage = Stage::Answering;
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
            self.progress.moved = Instant::now();
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
            self.progress.moved = Instant::now();
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
        let polled = self.request.poll(cx, self.client, upstream, moved);
        self.progress.blocked = self.request.is_blocked();
        match polled {
            Poll::Ready(Ok(())) => {
                let now = Instant::now();
                self.sent = Some(now);
                self.progress.moved = now;
                self.progress.ended.get_or_insert(now);
            }
            Poll::Ready(Err(Broken::From(fault))) => return Poll::Ready(Failure::Client(fault)),
            Poll::Ready(Err(Broken::To(fault))) => {
                self.unsendable = Some(fault);
                // No more of it is wanted.
                self.progress.ended.get_or_insert_with(Instant::now);
            }
            Poll::Pending if self.request.has_ended() => {
                self.progress.ended.get_or_insert_with(Instant::now);
            }
            Poll::Pending if self.progress.blocked => {}
            // It is the client that is waited for, and heard when it leaves.
            Poll::Pending => return Poll::Pending,
        }
        self.client.poll_gone(cx).map(Failure::Client)
    }

    /// Ready when one of the limits is reached, or a client that cannot be heard has left.
    fn poll_times(&mut self, cx: &mut Context<'_>) -> Poll<Failure> {
        let next = self.times.next(&self.progress);
        while self.client.is_deaf() && !self.reads_client() {
            let look = self.looked.max(self.progress.moved) + LOOK;
            if next.is_some_and(|(due, _)| due <= look) {
                break;
            }
            ready!(self.timer.poll(cx, Some(look)));
            if self.client.has_left() {
                return Poll::Ready(Failure::Client(
                    io::Error::from(io::ErrorKind::UnexpectedEof).into(),
                ));
            }
            self.looked = Instant::now();
        }
        let Some((due, limit)) = next else {
            return Poll::Pending;
        };
        self.timer.poll(cx, Some(due)).map(|()| Failure::Late(limit))
    }

    /// True when more of the request is wanted from the client.
    fn reads_client(&self) -> bool {
        self.progress.stage != Stage::Placing && self.progress.ended.is_none() && !self.progress.blocked
    }
}
