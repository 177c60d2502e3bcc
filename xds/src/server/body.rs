//! The response side of a stream: frames handed to HTTP/2 as it has room, and a record of whether it moves.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame as HttpFrame;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tonic::Status;

use super::reply::{Frame, Reply};

/// What goes down a stream.
#[derive(Debug)]
pub(super) enum Item {
    Reply(Reply),
    /// The last thing.
    End(Status),
}

/// Whether what was sent is being read. Shared between a stream's task, which queues, and its body, which is asked for
/// chunks only while the client gives room.
#[derive(Debug)]
pub(super) struct Progress {
    origin: Instant,
    /// Messages queued and not wholly handed on.
    waiting: AtomicUsize,
    /// When something last moved, milliseconds after `origin`.
    moved: AtomicU64,
}

impl Progress {
    pub(super) fn new() -> Arc<Progress> {
        Arc::new(Progress {
            origin: Instant::now(),
            waiting: AtomicUsize::new(0),
            moved: AtomicU64::new(0),
        })
    }

    /// A message is about to be queued.
    pub(super) fn queued(&self) {
        if self.waiting.fetch_add(1, Ordering::AcqRel) == 0 {
            self.touch();
        }
    }

    /// When the client counts as stalled if nothing moves before; `None` while nothing waits.
    pub(super) fn deadline(&self, stall: Duration) -> Option<Instant> {
        let waits = self.waiting.load(Ordering::Acquire) > 0;
        waits.then(|| self.origin + Duration::from_millis(self.moved.load(Ordering::Acquire)) + stall)
    }

    fn handed_on(&self) {
        // Never below zero: each message was counted before it was queued.
        self.waiting.fetch_sub(1, Ordering::AcqRel);
    }

    fn touch(&self) {
        let elapsed = u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved.store(elapsed, Ordering::Release);
    }
}

/// The body of an ADS response.
#[derive(Debug)]
pub(super) struct ReplyBody {
    pub(super) items: mpsc::Receiver<Item>,
    pub(super) progress: Arc<Progress>,
    frame: Option<Frame>,
    ended: bool,
}

impl ReplyBody {
    pub(super) fn new(items: mpsc::Receiver<Item>, progress: Arc<Progress>) -> ReplyBody {
        ReplyBody {
            items,
            progress,
            frame: None,
            ended: false,
        }
    }

    fn end(&mut self, status: &Status) -> HttpFrame<Bytes> {
        self.ended = true;
        let mut trailers = HeaderMap::new();
        if status.add_header(&mut trailers).is_err() {
            trailers.insert("grpc-status", http::HeaderValue::from_static("13"));
        }
        HttpFrame::trailers(trailers)
    }
}

impl http_body::Body for ReplyBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<HttpFrame<Bytes>, Status>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        loop {
            if let Some(frame) = &mut self.frame {
                let chunk = frame.next();
                self.progress.touch();
                match chunk {
                    Some(chunk) => return Poll::Ready(Some(Ok(HttpFrame::data(chunk)))),
                    None => {
                        self.frame = None;
                        self.progress.handed_on();
                    }
                }
            }
            match self.items.poll_recv(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Item::Reply(reply))) => self.frame = Some(reply.into_frame()),
                Poll::Ready(Some(Item::End(status))) => return Poll::Ready(Some(Ok(self.end(&status)))),
                // The task is gone without a word, as when the runtime shuts down.
                Poll::Ready(None) => {
                    let status = Status::unavailable("the server is stopping");
                    return Poll::Ready(Some(Ok(self.end(&status))));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }
}
