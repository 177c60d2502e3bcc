//! Two TCP connections that carry each other's bytes.
//!
//! Little is copied through a buffer, which costs two system calls a message. Once a direction has shown that it moves
//! much, it is spliced through a pipe: the kernel then hands pages over without copying them to us and back.

use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, splice};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::buffer::{Filled, Input, Output};
use crate::deadline::{Deadline, after};

/// Bytes one way before they are spliced.
const MUCH: u64 = 64 * 1024;
/// Bytes asked of one splice: more than a pipe holds.
const PIECE: usize = 1024 * 1024;
/// Room of a pipe, where the kernel grants it; 64 KiB otherwise.
const PIPE: usize = 256 * 1024;

/// What was carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Carried {
    /// Bytes from the client.
    pub(super) up: u64,
    /// Bytes to the client.
    pub(super) down: u64,
    /// It ended because nothing moved.
    pub(super) was_idle: bool,
}

/// Carries bytes until both sides have closed, one has failed, or nothing moved for `idle`. A side that closes is
/// passed on as such: the other may still send.
pub(super) async fn carry(mut client: TcpStream, mut upstream: TcpStream, idle: Option<Duration>) -> Carried {
    let mut timer = Deadline::default();
    let (mut up, mut down) = (Way::default(), Way::default());
    let mut moved_at = Instant::now();
    let was_idle = poll_fn(|cx| {
        let before = up.bytes + down.bytes;
        let up_over = up.poll(cx, &mut client, &mut upstream);
        let down_over = down.poll(cx, &mut upstream, &mut client);
        match (up_over, down_over) {
            (Poll::Ready(Err(_)), _) | (_, Poll::Ready(Err(_))) => return Poll::Ready(false),
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(false),
            _ => {}
        }
        if up.bytes + down.bytes > before {
            moved_at = Instant::now();
        }
        timer.poll(cx, after(moved_at, idle)).map(|()| true)
    })
    .await;
    Carried {
        up: up.bytes,
        down: down.bytes,
        was_idle,
    }
}

/// One direction.
#[derive(Debug, Default)]
struct Way {
    input: Input,
    output: Output,
    pipe: Option<Pipe>,
    /// Bytes read.
    bytes: u64,
    written: u64,
    ended: bool,
    over: bool,
}

#[derive(Debug)]
struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    /// Bytes inside.
    filled: usize,
}

impl Pipe {
    /// `None` when the process may not open more files: copying does as well.
    fn open() -> Option<Pipe> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
        // A pipe of the usual size works too.
        let _ = rustix::pipe::fcntl_setpipe_size(&write, PIPE);
        Some(Pipe {
            read,
            write,
            filled: 0,
        })
    }
}

impl Way {
    /// Ready when the way is over and its end was passed on.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut TcpStream,
        to: &mut TcpStream,
    ) -> Poll<io::Result<()>> {
        while !self.over {
            ready!(self.poll_write(cx, to))?;
            if self.ended {
                // The other end may be gone altogether, which its own direction will tell.
                let _ = rustix::net::shutdown(&*to, rustix::net::Shutdown::Write);
                self.over = true;
            } else {
                ready!(self.poll_read(cx, from))?;
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, from: &mut TcpStream) -> Poll<io::Result<()>> {
        if self.pipe.is_none() && self.bytes >= MUCH && self.input.was_filled() {
            self.input.release();
            self.pipe = Pipe::open();
        }
        let Some(pipe) = &mut self.pipe else {
            if ready!(self.input.poll_fill(from, cx))? == Filled::End {
                self.ended = true;
            }
            let piece = self.input.bytes.split().freeze();
            self.bytes += piece.len() as u64;
            self.output.pass_on(piece);
            return Poll::Ready(Ok(()));
        };
        loop {
            ready!(from.poll_read_ready(cx))?;
            let moved = from.try_io(Interest::READABLE, || {
                let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
                Ok(splice(&*from, None, &pipe.write, None, PIECE, flags)?)
            });
            match moved {
                Ok(0) => self.ended = true,
                Ok(count) => {
                    pipe.filled = count;
                    self.bytes += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => return Poll::Ready(Err(error)),
            }
            return Poll::Ready(Ok(()));
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, to: &mut TcpStream) -> Poll<io::Result<()>> {
        ready!(self.output.poll_flush(to, cx, &mut self.written))?;
        let Some(pipe) = &mut self.pipe else {
            return Poll::Ready(Ok(()));
        };
        while pipe.filled > 0 {
            ready!(to.poll_write_ready(cx))?;
            let moved = to.try_io(Interest::WRITABLE, || {
                let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
                Ok(splice(&pipe.read, None, &*to, None, pipe.filled, flags)?)
            });
            match moved {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(count) => pipe.filled -= count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }
}
