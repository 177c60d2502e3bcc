//! An HTTP/2 stream as one side of an exchange, for clients and upstreams alike, and the limits of its connection.

use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use h2::{Reason, RecvStream, SendStream};
use http::HeaderMap;

use crate::buffer::COPIED;
use crate::h1::Rules;
use crate::h2_rules::check_trailers;
use crate::message::{Fault, Part, Side};

/// Bytes of a body that wait for the window of the other end before no more are taken.
const FULL: usize = 16 * 1024;

/// A stream that carries a body each way.
#[derive(Debug, Default)]
pub(crate) struct Http2 {
    /// The body that comes in; absent before its head.
    recv: Option<RecvStream>,
    /// The body that goes out; absent before its head, and when there is none.
    send: Option<SendStream<Bytes>>,
    waiting: Bytes,
    ending: Ending,
    /// The stream will be a tunnel when the other end agrees; until then it has no body either way.
    undecided: bool,
}

#[derive(Debug, Default)]
enum Ending {
    /// More may come.
    #[default]
    Open,
    /// What waits is the last.
    Last(Option<HeaderMap>),
    /// The other end was told.
    Told,
}

impl Http2 {
    /// The incoming body has begun. True when that is all: there is none.
    pub(crate) fn receive(&mut self, recv: RecvStream) -> bool {
        let ended = recv.is_end_stream();
        self.recv = Some(recv).filter(|_| !ended);
        ended
    }

    /// The outgoing body may begin; with `ended` its head has said that there is none.
    pub(crate) fn begin(&mut self, send: SendStream<Bytes>, ended: bool) {
        self.send = Some(send);
        self.ending = if ended { Ending::Told } else { Ending::Open };
    }

    /// The request on this stream asks for a tunnel.
    pub(crate) fn await_tunnel(&mut self) {
        self.undecided = true;
    }

    /// True when the outgoing body has begun.
    pub(crate) fn has_begun(&self) -> bool {
        self.send.is_some()
    }

    /// Ready when the other end has reset the stream.
    pub(crate) fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<Fault> {
        match &mut self.send {
            Some(send) => match ready!(send.poll_reset(cx)) {
                Ok(reason) => Poll::Ready(Fault::Reset(reason)),
                Err(error) => Poll::Ready(error.into()),
            },
            None => Poll::Pending,
        }
    }

    /// Gives the stream up.
    pub(crate) fn reset(&mut self, reason: Reason) {
        if let Some(send) = &mut self.send {
            send.send_reset(reason);
        }
    }

    /// Sends what the window of the other end allows.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        let Some(send) = &mut self.send else {
            return Poll::Ready(Ok(()));
        };
        while !self.waiting.is_empty() {
            send.reserve_capacity(self.waiting.len());
            while send.capacity() == 0 {
                match ready!(send.poll_capacity(cx)) {
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Poll::Ready(Err(error.into())),
                    None => return Poll::Ready(Err(Fault::Reset(Reason::CANCEL))),
                }
            }
            let piece = self.waiting.split_to(send.capacity().min(self.waiting.len()));
            let last = self.waiting.is_empty() && matches!(self.ending, Ending::Last(None));
            send.send_data(piece, last)?;
            if last {
                self.ending = Ending::Told;
            }
        }
        match std::mem::take(&mut self.ending) {
            Ending::Open => {}
            Ending::Last(None) => {
                self.ending = Ending::Told;
                send.send_data(Bytes::new(), true)?;
            }
            Ending::Last(Some(trailers)) => {
                self.ending = Ending::Told;
                send.send_trailers(trailers)?;
            }
            Ending::Told => self.ending = Ending::Told,
        }
        Poll::Ready(Ok(()))
    }
}

impl Side for Http2 {
    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Result<Part, Fault>> {
        let Some(recv) = self.recv.as_mut().filter(|_| !self.undecided) else {
            return Poll::Ready(Ok(Part::End(None)));
        };
        loop {
            if recv.is_end_stream() {
                return Poll::Ready(Ok(Part::End(None)));
            }
            match ready!(recv.poll_data(cx)) {
                Some(Ok(data)) => {
                    recv.flow_control().release_capacity(data.len())?;
                    if !data.is_empty() {
                        return Poll::Ready(Ok(Part::Data(data)));
                    }
                }
                Some(Err(error)) => return Poll::Ready(Err(error.into())),
                None => break,
            }
        }
        let trailers = ready!(recv.poll_trailers(cx))?;
        if let Some(trailers) = &trailers {
            check_trailers(trailers, &Rules::default())?;
        }
        Poll::Ready(Ok(Part::End(trailers)))
    }

    fn is_full(&self) -> bool {
        self.waiting.len() >= FULL
    }

    fn put(&mut self, data: Bytes) {
        if self.waiting.is_empty() {
            // A small piece is copied: as long as it waits in the library it would hold the buffer it was read into.
            self.waiting = if data.len() < COPIED {
                Bytes::copy_from_slice(&data)
            } else {
                data
            };
        } else {
            let mut both = BytesMut::with_capacity(self.waiting.len() + data.len());
            both.extend_from_slice(&self.waiting);
            both.extend_from_slice(&data);
            self.waiting = both.freeze();
        }
    }

    fn finish(&mut self, trailers: Option<HeaderMap>) {
        if matches!(self.ending, Ending::Open) && !self.undecided {
            self.ending = Ending::Last(trailers);
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        self.poll_send(cx)
    }

    fn become_raw(&mut self) {
        self.undecided = false;
    }

    fn shut(&mut self) {}
}
