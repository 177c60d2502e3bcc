//! An HTTP/1 connection as one side of an exchange, for clients and upstreams alike.
//!
//! The codec in [`crate::h1`] says what the bytes mean; this says when they are read and written. A head and the first
//! bytes of its body leave in one write, and a read that did not fill the buffer is not followed by another one that
//! would only say "nothing more".

use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use rustix::event::{PollFd, PollFlags, Timespec};
use tokio::net::TcpStream;

use crate::buffer::{Filled, Input, Output};
use crate::h1::{
    Asked, BodyDecoder, BodyFraming, CONTINUE, ChunkWriter, Piece, RequestHead, ResponseHead, Rules, Scratch,
    parse_request, parse_response,
};
use crate::message::{Fault, Part, Side};

/// A connection that speaks HTTP/1.
#[derive(Debug)]
pub(crate) struct Http1 {
    stream: TcpStream,
    input: Input,
    output: Output,
    scratch: Scratch,
    /// The body that comes in.
    decoder: BodyDecoder,
    /// The framing of the body that goes out.
    encoder: Encoder,
    /// The client waits for `100 Continue` before it sends its body.
    owes_continue: bool,
    /// The peer has closed its side.
    ended: bool,
    /// Bytes read and written since [`traffic`](Http1::traffic) was last asked.
    traffic: Traffic,
}

/// Bytes of a connection, heads and framing included.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) read: u64,
    pub(crate) written: u64,
}

#[derive(Debug)]
enum Encoder {
    /// Bytes as they are.
    Plain,
    Chunked(ChunkWriter),
}

impl Http1 {
    pub(crate) fn new(stream: TcpStream) -> Http1 {
        Http1 {
            stream,
            input: Input::default(),
            output: Output::default(),
            scratch: Scratch::new(),
            decoder: BodyDecoder::new(BodyFraming::None, &Rules::default()),
            encoder: Encoder::Plain,
            owes_continue: false,
            ended: false,
            traffic: Traffic::default(),
        }
    }

    /// Bytes not yet used, for the choice of the protocol.
    pub(crate) fn waiting(&self) -> &[u8] {
        &self.input.bytes
    }

    /// Reads once.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Filled>> {
        let before = self.input.bytes.len();
        let filled = ready!(self.input.poll_fill(&mut self.stream, cx))?;
        self.traffic.read += (self.input.bytes.len() - before) as u64;
        self.ended |= filled == Filled::End;
        Poll::Ready(Ok(filled))
    }

    /// The next request; `None` when the client has closed instead.
    pub(crate) fn poll_request(
        &mut self,
        cx: &mut Context<'_>,
        rules: &Rules,
    ) -> Poll<Result<Option<RequestHead>, Fault>> {
        loop {
            if !self.input.is_empty()
                && let Some(head) = parse_request(&mut self.input.bytes, &mut self.scratch, rules)?
            {
                self.decoder = BodyDecoder::new(head.framing(), rules);
                self.owes_continue = head.expect_continue();
                return Poll::Ready(Ok(Some(head)));
            }
            if self.ended || ready!(self.poll_fill(cx))? == Filled::End {
                let clean = self.input.is_empty() && !self.scratch.in_head();
                return Poll::Ready(if clean {
                    Ok(None)
                } else {
                    Err(io::Error::from(io::ErrorKind::UnexpectedEof).into())
                });
            }
        }
    }

    /// The next response head, interim ones included.
    pub(crate) fn poll_response(
        &mut self,
        cx: &mut Context<'_>,
        rules: &Rules,
        asked: Asked,
    ) -> Poll<Result<ResponseHead, Fault>> {
        loop {
            if !self.input.is_empty()
                && let Some(head) = parse_response(&mut self.input.bytes, &mut self.scratch, rules, asked)?
            {
                self.decoder = BodyDecoder::new(head.framing(), rules);
                return Poll::Ready(Ok(head));
            }
            if self.ended || ready!(self.poll_fill(cx))? == Filled::End {
                return Poll::Ready(Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()));
            }
        }
    }

    /// Where a head is written; what follows it as a body is framed as `framing` says.
    pub(crate) fn head(&mut self, framing: BodyFraming) -> &mut BytesMut {
        self.encoder = match framing {
            BodyFraming::Chunked => Encoder::Chunked(ChunkWriter::new()),
            _ => Encoder::Plain,
        };
        self.owes_continue = false;
        self.output.bytes()
    }

    /// Where an interim head is written, which has no body.
    pub(crate) fn interim(&mut self) -> &mut BytesMut {
        self.output.bytes()
    }

    /// Takes a finished request head back for its memory.
    pub(crate) fn recycle(&mut self, head: RequestHead) {
        self.scratch.recycle(head);
        self.input.release();
    }

    /// Takes a finished response head back for its memory.
    pub(crate) fn recycle_response(&mut self, head: ResponseHead) {
        self.scratch.recycle_response(head);
        self.input.release();
    }

    /// True when the incoming body was read to its end.
    pub(crate) fn body_is_read(&self) -> bool {
        self.decoder.is_done()
    }

    /// Throws away what has arrived of a body that nobody takes. True when that was all of it, so that another message
    /// may follow.
    pub(crate) fn skip_body(&mut self) -> bool {
        while !self.decoder.is_done() {
            match self.decoder.next(&mut self.input.bytes) {
                Ok(Piece::Data(_)) => {}
                Ok(Piece::End) => return true,
                Ok(Piece::Incomplete) | Err(_) => return false,
            }
        }
        true
    }

    /// True when nothing is left to be written or used.
    pub(crate) fn is_clean(&self) -> bool {
        self.input.is_empty() && self.output.is_empty() && self.decoder.is_done() && !self.ended
    }

    /// True when a quiet connection is still good: the peer has neither closed it nor said anything. Costs no system
    /// call, because the runtime has heard of it already.
    pub(crate) fn is_quiet(&self) -> bool {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        self.stream.poll_read_ready(&mut cx).is_pending()
    }

    /// Asks the kernel whether the peer has closed a quiet connection just now, which the runtime may not have heard.
    pub(crate) fn is_open(&self) -> bool {
        let mut byte = [0];
        let asked = rustix::net::recv(
            &self.stream,
            &mut byte,
            rustix::net::RecvFlags::PEEK | rustix::net::RecvFlags::DONTWAIT,
        );
        matches!(asked, Err(rustix::io::Errno::AGAIN))
    }

    /// Ready when the peer is gone or has closed its side, which is how a peer that waits for an answer says that it
    /// wants it no longer. Bytes of a next message are kept, as far as there is room for them; a body that has not come
    /// whole is not read ahead.
    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Fault> {
        while !self.is_deaf() {
            match ready!(self.poll_fill(cx)) {
                Ok(Filled::Bytes) => {}
                Ok(Filled::End) => return Poll::Ready(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                Err(error) => return Poll::Ready(error.into()),
            }
        }
        Poll::Pending
    }

    /// True when there are bytes that nobody takes for now, so that [`poll_gone`](Http1::poll_gone) cannot come to what
    /// is behind them.
    pub(crate) fn is_deaf(&self) -> bool {
        !self.decoder.is_done() || !self.input.has_room()
    }

    /// Asks the kernel whether the peer is gone or has closed its side, whatever is still to be read.
    pub(crate) fn has_left(&self) -> bool {
        let mut socket = [PollFd::new(&self.stream, PollFlags::RDHUP)];
        matches!(
            rustix::event::poll(&mut socket, Some(&Timespec::default())),
            Ok(1..)
        )
    }

    /// The connection will be reset instead of closed, so that nobody takes its end for that of a body.
    pub(crate) fn reset_at_end(&self) {
        // A connection that is already gone needs no resetting.
        let _ = rustix::net::sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO));
    }

    /// Bytes read and written since this was last asked.
    pub(crate) fn take_traffic(&mut self) -> Traffic {
        std::mem::take(&mut self.traffic)
    }

    /// The socket, and what was read from it and not used, for another protocol.
    pub(crate) fn into_parts(mut self) -> (TcpStream, Bytes) {
        let waiting = self.input.bytes.split().freeze();
        (self.stream, waiting)
    }

    /// Tells the peer that nothing follows, and throws away what it still sends, so that the kernel does not reset the
    /// connection before the peer has read what was written. Ready when the peer has closed too.
    pub(crate) fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.ended {
            self.input.bytes.clear();
            if ready!(self.poll_fill(cx)).is_err() {
                break;
            }
        }
        Poll::Ready(())
    }
}

impl Side for Http1 {
    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Result<Part, Fault>> {
        loop {
            match self.decoder.next(&mut self.input.bytes)? {
                Piece::Data(data) => return Poll::Ready(Ok(Part::Data(data))),
                Piece::End => return Poll::Ready(Ok(Part::End(trailers(&self.decoder)))),
                Piece::Incomplete => {}
            }
            if std::mem::take(&mut self.owes_continue) {
                self.output.bytes().extend_from_slice(CONTINUE);
            }
            if !self.output.is_empty()
                && let Poll::Ready(written) = self.poll_flush(cx)
            {
                written?;
            }
            if self.ended || ready!(self.poll_fill(cx))? == Filled::End {
                self.decoder.finish()?;
                return Poll::Ready(Ok(Part::End(None)));
            }
        }
    }

    fn is_full(&self) -> bool {
        self.output.is_full()
    }

    fn put(&mut self, data: Bytes) {
        if let Encoder::Chunked(chunks) = &mut self.encoder {
            chunks.begin(self.output.bytes(), data.len());
        }
        self.output.pass_on(data);
    }

    fn finish(&mut self, trailers: Option<HeaderMap>) {
        if let Encoder::Chunked(chunks) = &mut self.encoder {
            let trailers = trailers.unwrap_or_default();
            let fields = trailers
                .iter()
                .map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
            chunks.finish(self.output.bytes(), fields);
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        self.output
            .poll_flush(&mut self.stream, cx, &mut self.traffic.written)
            .map_err(Fault::Lost)
    }

    fn become_raw(&mut self) {
        self.decoder = BodyDecoder::new(BodyFraming::UntilClose, &Rules::default());
        self.encoder = Encoder::Plain;
        self.owes_continue = false;
    }

    fn shut(&mut self) {
        // A connection that is already gone needs no closing.
        let _ = rustix::net::shutdown(&self.stream, rustix::net::Shutdown::Write);
    }
}

/// The trailers of a body that has ended.
fn trailers(decoder: &BodyDecoder) -> Option<HeaderMap> {
    let mut trailers = decoder.trailers().peekable();
    trailers.peek()?;
    let pairs = trailers.filter_map(|(name, value)| {
        Some((
            http::HeaderName::from_bytes(name).ok()?,
            http::HeaderValue::from_bytes(value).ok()?,
        ))
    });
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        map.append(name, value);
    }
    Some(map)
}
