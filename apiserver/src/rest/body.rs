//! Bodies of requests, read within bounds, and bodies of answers.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use outrigger_client::status::Status;
use tokio::sync::OwnedSemaphorePermit;

use super::limits::Limits;
use super::render::list::Items;
use crate::refusal;

/// Longest request body, in bytes.
pub(super) const LONGEST: usize = 3 << 20;
/// Time for a whole request body.
const TIME: Duration = Duration::from_secs(30);

/// A request's body and its share of the memory for bodies.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) bytes: Vec<u8>,
    _places: Vec<OwnedSemaphorePermit>,
}

/// Reads a whole body, bounded in length, time and memory.
pub(super) async fn receive(body: Incoming, limits: &Limits) -> Result<Received, Status> {
    if body.size_hint().lower() > LONGEST as u64 {
        return Err(refusal::too_large(LONGEST));
    }
    match tokio::time::timeout(TIME, receive_all(body, limits)).await {
        Ok(received) => received,
        Err(_) => Err(refusal::slow_body(TIME.as_secs())),
    }
}

async fn receive_all(mut body: Incoming, limits: &Limits) -> Result<Received, Status> {
    let mut received = Received {
        bytes: Vec::new(),
        _places: Vec::new(),
    };
    let mut room = 0;
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|error| refusal::bad_request(format!("the request body broke off: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        let length = received.bytes.len() + data.len();
        if length > LONGEST {
            return Err(refusal::too_large(LONGEST));
        }
        if length > room {
            let more = (length - room).max(64 << 10);
            received._places.push(limits.body(more)?);
            room += more;
        }
        received.bytes.extend_from_slice(&data);
    }
    Ok(received)
}

/// The body of an answer.
pub(super) enum ReplyBody {
    /// One piece; `None` once it was sent.
    Whole(Option<Bytes>),
    /// A list, rendered piece by piece while it is sent.
    List(Items),
    /// A watch: pieces as they come.
    Stream(BoxStream<'static, Bytes>),
}

impl ReplyBody {
    /// The bytes to come, counted piece by piece for a list; `None` for a watch.
    pub(super) fn length(self) -> Option<usize> {
        match self {
            ReplyBody::Whole(bytes) => Some(bytes.map_or(0, |bytes| bytes.len())),
            ReplyBody::List(mut items) => {
                let pieces = std::iter::from_fn(|| items.next_piece());
                Some(pieces.map(|piece| piece.len()).sum())
            }
            ReplyBody::Stream(_) => None,
        }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = match self.get_mut() {
            ReplyBody::Whole(bytes) => bytes.take().filter(|bytes| !bytes.is_empty()),
            ReplyBody::List(items) => items.next_piece(),
            ReplyBody::Stream(pieces) => match pieces.poll_next_unpin(context) {
                Poll::Ready(piece) => piece,
                Poll::Pending => return Poll::Pending,
            },
        };
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, ReplyBody::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            ReplyBody::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            ReplyBody::List(_) | ReplyBody::Stream(_) => SizeHint::default(),
        }
    }
}
