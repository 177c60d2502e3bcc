//! The client side of an exchange: what an answer needs beyond moving bodies.

pub(crate) mod http1;
pub(crate) mod http2;

use std::task::{Context, Poll};

use bytes::Bytes;
use http::StatusCode;

use crate::answer::Answer;
use crate::h1::{BodyFraming, Edits};
use crate::message::{Fault, Side};
use crate::request::Request;

/// A client that waits for an answer.
pub(crate) trait Client: Side {
    /// How the body of `request` ends.
    fn framing(&self, request: &Request) -> BodyFraming;

    /// True when any success tells the client that the other protocol begins, as RFC 8441 §5 has it; false where only
    /// 101 does.
    fn takes_success_for_a_switch(&self) -> bool;

    /// Writes the head of an upstream's answer; the body follows through [`Side`].
    ///
    /// # Errors
    /// When the head cannot be said in the client's protocol, or the client has gone.
    fn answer(&mut self, answer: &Answer, edits: &Edits<'_>) -> Result<(), Fault>;

    /// Writes an interim answer, if the client understands one.
    fn interim(&mut self, answer: &Answer);

    /// Writes an answer of our own, whole; `fields` are its headers.
    fn reply(&mut self, status: StatusCode, fields: &[(&str, &[u8])], body: Bytes);

    /// Ready when the client is gone.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Fault>;

    /// True when [`poll_gone`](Client::poll_gone) cannot tell, as long as what the client has sent is not read.
    fn is_deaf(&self) -> bool;

    /// Whether the client is gone, asked of the kernel: for a client that cannot be heard, now and then.
    fn has_left(&self) -> bool;

    /// The exchange failed after its head was written: the client must not take what it has for the whole.
    fn cut(&mut self);

    /// Answers a CONNECT: from now on this is a tunnel.
    ///
    /// # Errors
    /// When the client has gone.
    fn open_tunnel(&mut self) -> Result<(), Fault>;
}
