//! Writes heads anew: the first line, the fields that may pass on with the caller's changes, and the framing
//! that the codec decided.

use bytes::{BufMut, BytesMut};
use http::{HeaderMap, Method, StatusCode};

use super::{
    field::{Fields, Known},
    framing::BodyFraming,
    syntax::{is_field_value, is_token},
};

/// The interim response that lets a client send its body.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What the head says about the connection after this message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persistence<'a> {
    /// The connection is kept, which HTTP/1.1 need not say.
    Keep,
    /// The connection is kept, said aloud for an HTTP/1.0 client.
    KeepAlive,
    /// The connection ends after this message.
    Close,
    /// The connection is to carry this protocol: a request for it, or the 101 that grants it.
    Upgrade(&'a [u8]),
}

/// Changes to make to the passed-on fields, in the same pass that writes them. Names are compared without
/// case.
///
/// Names and values that could not stand in a head (line ends, control bytes) are left out, whoever set them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Edits<'a> {
    /// Fields to take out.
    pub remove: &'a [&'a str],
    /// Fields to write instead of any of the same name.
    pub set: &'a [(&'a str, &'a [u8])],
    /// Fields to write beside those of the same name.
    pub add: &'a [(&'a str, &'a [u8])],
}

impl Edits<'_> {
    /// Whether a field of that name is taken out or replaced.
    fn replaces(&self, name: &[u8]) -> bool {
        let same = |other: &str| other.len() == name.len() && name.eq_ignore_ascii_case(other.as_bytes());
        self.remove.iter().any(|other| same(other)) || self.set.iter().any(|(other, _)| same(other))
    }
}

/// The first line of a request and its host.
#[derive(Debug, Clone, Copy)]
pub struct RequestLine<'a> {
    /// The method.
    pub method: &'a Method,
    /// The normalised path, `*`, or `host:port` for CONNECT.
    pub path: &'a str,
    /// What goes after the `?`.
    pub query: Option<&'a str>,
    /// The value of the Host field, always written.
    pub host: &'a str,
}

/// The first line of a response.
#[derive(Debug, Clone, Copy)]
pub struct StatusLine<'a> {
    /// The status code.
    pub status: StatusCode,
    /// The reason phrase to pass on; when blank or malformed the usual one is written.
    pub reason: &'a [u8],
}

impl StatusLine<'_> {
    /// A status with its usual reason phrase.
    #[must_use]
    pub const fn of(status: StatusCode) -> StatusLine<'static> {
        StatusLine { status, reason: b"" }
    }
}

/// Where the fields of a head to be written come from.
pub trait Source {
    /// The fields that may pass on, in order. Those that [`Known::stays_here`] names may be among them; the
    /// writers drop them.
    fn passing(&self) -> impl Iterator<Item = (&[u8], &[u8])>;
}

impl Source for Fields {
    fn passing(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.forwardable()
    }
}

/// The fields of an HTTP/2 message, or of a local answer.
impl Source for HeaderMap {
    fn passing(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.iter()
            .map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()))
    }
}

/// The fields of a local answer.
impl Source for [(&str, &[u8])] {
    fn passing(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.iter().map(|(name, value)| (name.as_bytes(), *value))
    }
}

/// Appends a request head to `out`.
///
/// Whatever concerns a single connection is dropped from `fields` here too, so that a caller's slip cannot
/// frame the message twice. Several Cookie fields, as HTTP/2 has them, become one.
pub fn write_request_head<S: Source + ?Sized>(
    out: &mut BytesMut,
    line: &RequestLine<'_>,
    fields: &S,
    edits: &Edits<'_>,
    framing: BodyFraming,
    persistence: Persistence<'_>,
) {
    out.put_slice(line.method.as_str().as_bytes());
    out.put_u8(b' ');
    out.put_slice(line.path.as_bytes());
    if let Some(query) = line.query {
        out.put_u8(b'?');
        out.put_slice(query.as_bytes());
    }
    out.put_slice(b" HTTP/1.1\r\n");
    put_field(out, b"host", line.host.as_bytes());
    let mut cookie_written = false;
    for (name, value) in fields.passing() {
        let known = Known::of(name);
        if known.stays_here() || edits.replaces(name) {
            continue;
        }
        if known != Known::Cookie {
            put_field(out, name, value);
        } else if !cookie_written {
            cookie_written = true;
            put_cookies(out, fields.passing());
        }
    }
    finish(out, edits, framing, persistence);
}

/// Appends a response head to `out`; for an interim response use [`BodyFraming::None`].
///
/// `framing` is what the head shall say: [`super::ResponseHead::declared`], adapted with
/// [`BodyFraming::towards`] what the client speaks. `UntilClose` implies `Connection: close`.
pub fn write_response_head<S: Source + ?Sized>(
    out: &mut BytesMut,
    line: &StatusLine<'_>,
    fields: &S,
    edits: &Edits<'_>,
    framing: BodyFraming,
    persistence: Persistence<'_>,
) {
    out.put_slice(b"HTTP/1.1 ");
    out.put_slice(line.status.as_str().as_bytes());
    out.put_u8(b' ');
    if line.reason.is_empty() || !is_field_value(line.reason) {
        out.put_slice(line.status.canonical_reason().unwrap_or_default().as_bytes());
    } else {
        out.put_slice(line.reason);
    }
    out.put_slice(b"\r\n");
    for (name, value) in fields.passing() {
        if !Known::of(name).stays_here() && !edits.replaces(name) {
            put_field(out, name, value);
        }
    }
    let persistence = if framing == BodyFraming::UntilClose {
        Persistence::Close
    } else {
        persistence
    };
    finish(out, edits, framing, persistence);
}

/// The caller's fields, the framing, the connection and the blank line.
fn finish(out: &mut BytesMut, edits: &Edits<'_>, framing: BodyFraming, persistence: Persistence<'_>) {
    for (name, value) in edits.set.iter().chain(edits.add) {
        let name = name.as_bytes();
        if is_token(name) && is_field_value(value) && !Known::of(name).stays_here() {
            put_field(out, name, value);
        }
    }
    match framing {
        BodyFraming::None | BodyFraming::UntilClose => {}
        BodyFraming::Length(length) => {
            out.put_slice(b"content-length: ");
            put_decimal(out, length);
            out.put_slice(b"\r\n");
        }
        BodyFraming::Chunked => out.put_slice(b"transfer-encoding: chunked\r\n"),
    }
    match persistence {
        Persistence::Keep => {}
        Persistence::KeepAlive => out.put_slice(b"connection: keep-alive\r\n"),
        Persistence::Close => out.put_slice(b"connection: close\r\n"),
        Persistence::Upgrade(protocol) => {
            out.put_slice(b"connection: upgrade\r\n");
            put_field(out, b"upgrade", protocol);
        }
    }
    out.put_slice(b"\r\n");
}

fn put_field(out: &mut BytesMut, name: &[u8], value: &[u8]) {
    out.reserve(name.len() + value.len() + 4);
    out.put_slice(name);
    out.put_slice(b": ");
    out.put_slice(value);
    out.put_slice(b"\r\n");
}

fn put_cookies<'a>(out: &mut BytesMut, fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) {
    let mut before: &[u8] = b"cookie: ";
    for (_, value) in fields.filter(|(name, _)| Known::of(name) == Known::Cookie) {
        out.put_slice(before);
        out.put_slice(value);
        before = b"; ";
    }
    out.put_slice(b"\r\n");
}

fn put_decimal(out: &mut BytesMut, number: u64) {
    let mut place = 1_u64;
    while number / place >= 10 {
        place *= 10;
    }
    while place > 0 {
        // A digit is always below ten.
        out.put_u8(b'0' + (number / place % 10) as u8);
        place /= 10;
    }
}
