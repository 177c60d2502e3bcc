//! One side of an exchange, whatever its protocol: a body that comes in and a body that goes out.
//!
//! A client and an upstream are alike in this; HTTP/1 and HTTP/2 each implement it once and serve on both sides. Four
//! pairings fall out of two implementations, and [`Flow`] moves the bytes of any of them with back-pressure.

use std::io;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;

use crate::h1::Refusal;
use crate::h2_rules::Malformed;

/// What comes next of a body.
#[derive(Debug)]
pub(crate) enum Part {
    /// Bytes, never blank.
    Data(Bytes),
    /// The end, with its trailers if there were any.
    End(Option<HeaderMap>),
}

/// Why a side of an exchange cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// The connection failed or ended too early.
    #[error("the connection was lost")]
    Lost(#[source] io::Error),
    /// What it sent cannot be understood in only one way.
    #[error("{0}")]
    Refused(Malformed),
    /// The stream was reset.
    #[error("the stream was reset ({0})")]
    Reset(h2::Reason),
    /// The stream cannot have happened and can safely be tried again.
    #[error("the connection took no new stream")]
    NotTaken,
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Fault {
        Fault::Lost(error)
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Fault {
        match refusal {
            Refusal::BodyCut | Refusal::HeadCut => Fault::Lost(io::ErrorKind::UnexpectedEof.into()),
            other => Fault::Refused(other.into()),
        }
    }
}

impl From<Malformed> for Fault {
    fn from(malformed: Malformed) -> Fault {
        Fault::Refused(malformed)
    }
}

impl From<h2::Error> for Fault {
    fn from(error: h2::Error) -> Fault {
        let remote = error.is_remote() && (error.is_go_away() || error.is_reset());
        match error.reason() {
            Some(h2::Reason::REFUSED_STREAM) if remote => Fault::NotTaken,
            Some(h2::Reason::NO_ERROR) if error.is_go_away() && remote => Fault::NotTaken,
            Some(reason) => Fault::Reset(reason),
            None => Fault::Lost(
                error
                    .into_io()
                    .unwrap_or_else(|| io::ErrorKind::ConnectionReset.into()),
            ),
        }
    }
}

/// One side of an exchange.
pub(crate) trait Side {
    /// The next part of the body that this side sends us.
    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Result<Part, Fault>>;

    /// True when the body that goes to this side must not be added to before a flush.
    fn is_full(&self) -> bool;

    /// Adds to the body that goes to this side.
    fn put(&mut self, data: Bytes);

    /// Ends the body that goes to this side.
    fn finish(&mut self, trailers: Option<HeaderMap>);

    /// Writes what was put as far as the other end takes it.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>>;

    /// From now on bytes have no meaning: each side's are passed on until it closes.
    fn become_raw(&mut self);

    /// Nothing more goes to this side; everything put was flushed.
    fn shut(&mut self);
}

/// Which side of a [`Flow`] failed.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The one that sends the body.
    From(Fault),
    /// The one that receives it.
    To(Fault),
}

/// A body on its way from one side to the other.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    ended: bool,
    flushed: bool,
    /// The receiving side takes no more for now.
    blocked: bool,
    /// Bytes of body passed on.
    pub(crate) bytes: u64,
}

impl Flow {
    /// True when all of it has come.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    /// True when it waits for the side that receives it.
    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// True when it was also written to its end.
    pub(crate) fn is_done(&self) -> bool {
        self.flushed
    }

    /// Moves what can be moved. Ready when the body has arrived, whole; `moved` is set when anything moved.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut impl Side,
        to: &mut impl Side,
        moved: &mut bool,
    ) -> Poll<Result<(), Broken>> {
        if self.flushed {
            return Poll::Ready(Ok(()));
        }
        self.blocked = false;
        loop {
            if to.is_full() || self.ended {
                match to.poll_flush(cx) {
                    Poll::Pending => {
                        self.blocked = true;
                        return Poll::Pending;
                    }
                    Poll::Ready(Err(fault)) => return Poll::Ready(Err(Broken::To(fault))),
                    Poll::Ready(Ok(())) if self.ended => {
                        self.flushed = true;
                        return Poll::Ready(Ok(()));
                    }
                    Poll::Ready(Ok(())) => {}
                }
            }
            match from.poll_part(cx) {
                Poll::Ready(Ok(Part::Data(data))) => {
                    *moved = true;
                    self.bytes += data.len() as u64;
                    to.put(data);
                }
                Poll::Ready(Ok(Part::End(trailers))) => {
                    *moved = true;
                    self.ended = true;
                    to.finish(trailers);
                }
                Poll::Ready(Err(fault)) => return Poll::Ready(Err(Broken::From(fault))),
                Poll::Pending => {
                    return match to.poll_flush(cx) {
                        Poll::Ready(Err(fault)) => Poll::Ready(Err(Broken::To(fault))),
                        _ => Poll::Pending,
                    };
                }
            }
        }
    }
}
