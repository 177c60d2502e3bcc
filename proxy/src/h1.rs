//! The HTTP/1 codec: a pure state machine over bytes, for both sides of the proxy.
//!
//! It reads request heads from clients and response heads from upstreams, follows bodies without copying
//! them, and writes every head anew, so nothing that a peer sent between the fields reaches the next hop.
//! Whatever leaves a message border in doubt is a [`Refusal`]; every refusal ends the connection.
//!
//! A message passes through here in this order:
//!
//! 1. [`parse_request`] or [`parse_response`] takes one head off the front of the read buffer ([`request`],
//!    [`response`]);
//! 2. [`BodyDecoder`] says which bytes after it are body, and where the next message starts ([`body`],
//!    [`chunked`]);
//! 3. [`write_request_head`] or [`write_response_head`] emits the head for the next hop ([`mod@write`]), and
//!    [`ChunkWriter`] frames the body where its length is not known.
//!
//! There is no clock, socket or task in here. Heads and bodies are [`bytes::Bytes`] cut from the caller's
//! buffer; the only memory kept from one message to the next is the [`Scratch`], one per connection and
//! direction.

pub mod body;
pub mod chunked;
pub mod corpus;
mod diagnose;
pub mod field;
mod framing;
pub mod refusal;
pub mod request;
pub mod response;
pub mod rules;
mod scan;
mod syntax;
pub mod target;
pub mod write;

pub use body::{BodyDecoder, Piece, Step};
pub use chunked::ChunkWriter;
pub use field::{Fields, Known};
pub use framing::BodyFraming;
pub(crate) use framing::content_length;
pub use refusal::Refusal;
pub use request::{RequestHead, parse_request};
pub use response::{Asked, ResponseHead, parse_response};
pub use rules::{Role, Rules};
pub use scan::Scratch;
pub use target::{Authority, Form};
pub use write::{
    CONTINUE, Edits, Persistence, RequestLine, Source, StatusLine, write_request_head, write_response_head,
};

/// The version a peer spoke in its head. No other is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// `HTTP/1.0`: no chunked bodies, and the connection ends after the message unless both sides say
    /// otherwise.
    Http10,
    /// `HTTP/1.1`.
    Http11,
}
