//! Byte buffers of a connection, lent by its worker only while there are bytes in them.
//!
//! An idle connection holds no buffer: thousands of them cost their sockets only, and the busy ones share a few buffers
//! that stay in the processor's cache. The stock is per thread because a worker is a thread.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio_util::io::poll_read_buf;

/// Room of an ordinary buffer in bytes.
pub(crate) const ORDINARY: usize = 16 * 1024;
/// Room of the buffer that a long body moves through, in bytes.
const BULK: usize = 64 * 1024;
/// Input that nobody takes may grow to this many bytes; the codec refuses heads before that.
const LARGEST: usize = 96 * 1024;
/// A read with less room than this is not worth its system call.
const SCANT: usize = 1024;
/// A piece shorter than this is copied rather than written from where it lies.
pub(crate) const COPIED: usize = 2048;
/// Buffers of each kind kept for the next connection.
const KEPT: usize = 64;

#[derive(Default)]
struct Stock {
    input: Vec<BytesMut>,
    output: Vec<BytesMut>,
}

thread_local! {
    static STOCK: RefCell<Stock> = RefCell::default();
}

/// Bytes read from a connection and not yet used.
#[derive(Debug, Default)]
pub(crate) struct Input {
    /// What was read; the codec cuts heads and pieces of bodies off its front.
    pub(crate) bytes: BytesMut,
    /// The last read filled all the room there was, so the next buffer should be a large one.
    busy: bool,
}

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filled {
    /// More bytes.
    Bytes,
    /// The peer sends no more.
    End,
}

impl Input {
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// True when a read could bring something.
    pub(crate) fn has_room(&self) -> bool {
        self.bytes.len() < LARGEST
    }

    /// True when the last read used up all the room there was: there is much to read.
    pub(crate) fn was_filled(&self) -> bool {
        self.busy
    }

    /// Gives the buffer back when it holds nothing and nobody holds a part of it.
    pub(crate) fn release(&mut self) {
        if self.bytes.is_empty() && self.bytes.capacity() > 0 {
            self.busy = false;
            let mut bytes = std::mem::take(&mut self.bytes);
            if bytes.try_reclaim(ORDINARY) {
                STOCK.with_borrow_mut(|stock| {
                    if stock.input.len() < KEPT && bytes.capacity() <= BULK {
                        stock.input.push(bytes);
                    }
                });
            }
        }
    }

    /// Reads what there is, at most the room in the buffer.
    ///
    /// # Errors
    /// The socket's, and `OutOfMemory` when the buffer is full at its largest size.
    pub(crate) fn poll_fill(
        &mut self,
        stream: &mut TcpStream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Filled>> {
        self.make_room()?;
        let room = self.bytes.capacity() - self.bytes.len();
        match poll_read_buf(Pin::new(stream), cx, &mut self.bytes) {
            Poll::Pending => {
                self.release();
                Poll::Pending
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(0)) => Poll::Ready(Ok(Filled::End)),
            Poll::Ready(Ok(count)) => {
                self.busy = count == room;
                Poll::Ready(Ok(Filled::Bytes))
            }
        }
    }

    /// Takes a buffer if there is none, and sees that there is room in it.
    fn make_room(&mut self) -> io::Result<()> {
        if self.bytes.capacity() == 0 {
            self.bytes = STOCK
                .with_borrow_mut(|stock| stock.input.pop())
                .unwrap_or_else(|| BytesMut::with_capacity(ORDINARY));
        }
        let length = self.bytes.len();
        if length >= LARGEST {
            return Err(io::Error::new(
                io::ErrorKind::OutOfMemory,
                "the input buffer is full",
            ));
        }
        let wanted = match () {
            () if self.busy && self.bytes.is_empty() => BULK,
            () if self.bytes.capacity() - length < SCANT => ORDINARY,
            () => return Ok(()),
        };
        if !self.bytes.try_reclaim(wanted) {
            self.bytes.reserve(wanted);
        }
        Ok(())
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.bytes.clear();
        self.release();
    }
}

/// Bytes to be written to a connection: those written for it, and behind them at most one piece that is passed on
/// without being copied.
#[derive(Debug, Default)]
pub(crate) struct Output {
    bytes: BytesMut,
    piece: Bytes,
    sent: usize,
}

impl Output {
    /// Where to append; only while it [is not full](Output::is_full).
    pub(crate) fn bytes(&mut self) -> &mut BytesMut {
        debug_assert!(self.piece.is_empty(), "a piece is always the last");
        if self.bytes.capacity() == 0 {
            self.bytes = STOCK
                .with_borrow_mut(|stock| stock.output.pop())
                .unwrap_or_else(|| BytesMut::with_capacity(ORDINARY));
        }
        &mut self.bytes
    }

    /// Appends `piece`: copied when that is cheaper than a second place to write from.
    pub(crate) fn pass_on(&mut self, piece: Bytes) {
        if piece.len() < COPIED && self.piece.is_empty() {
            self.bytes().extend_from_slice(&piece);
        } else {
            debug_assert!(self.piece.is_empty(), "a piece is always the last");
            self.piece = piece;
        }
    }

    /// True when everything is written.
    pub(crate) fn is_empty(&self) -> bool {
        self.sent == self.bytes.len() && self.piece.is_empty()
    }

    /// True when nothing more may be added before something was written.
    pub(crate) fn is_full(&self) -> bool {
        !self.piece.is_empty() || self.bytes.len() - self.sent >= ORDINARY
    }

    /// Writes until all is written; the number of bytes written is added to `count`.
    pub(crate) fn poll_flush(
        &mut self,
        stream: &mut TcpStream,
        cx: &mut Context<'_>,
        count: &mut u64,
    ) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let rest = self.bytes.get(self.sent..).unwrap_or_default();
            let stream = Pin::new(&mut *stream);
            let written = ready!(match (rest, &*self.piece) {
                (rest, []) => stream.poll_write(cx, rest),
                ([], piece) => stream.poll_write(cx, piece),
                (rest, piece) => stream.poll_write_vectored(cx, &[IoSlice::new(rest), IoSlice::new(piece)]),
            })?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            *count += written as u64;
            let from_rest = written.min(rest.len());
            self.sent += from_rest;
            self.piece.advance(written - from_rest);
        }
        self.release();
        Poll::Ready(Ok(()))
    }

    fn release(&mut self) {
        self.sent = 0;
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        if (ORDINARY..=LARGEST).contains(&bytes.capacity()) {
            STOCK.with_borrow_mut(|stock| {
                if stock.output.len() < KEPT {
                    stock.output.push(bytes);
                }
            });
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_input_gives_its_buffer_back_and_one_with_bytes_keeps_it() {
        let mut input = Input::default();
        input.make_room().expect("there is room");
        input.bytes.extend_from_slice(b"hello");
        input.release();
        assert_eq!(&input.bytes[..], b"hello");

        let head = input.bytes.split().freeze();
        drop(head);
        input.release();

        assert_eq!(input.bytes.capacity(), 0);
        STOCK.with_borrow(|stock| assert_eq!(stock.input.len(), 1));
    }

    #[test]
    fn an_input_that_nobody_empties_grows_to_its_limit_and_then_refuses() {
        let mut input = Input::default();
        while input.has_room() {
            input.make_room().expect("there is room");
            let room = input.bytes.capacity() - input.bytes.len();
            input.bytes.resize(input.bytes.len() + room, b'x');
        }
        let error = input.make_room().expect_err("it is full");
        assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
        assert!(input.bytes.len() < LARGEST + BULK);
    }
}
