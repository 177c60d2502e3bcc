//! Reads one request head off the front of a client's bytes.

use std::mem::MaybeUninit;

use bytes::BytesMut;
use http::Method;

use super::{
    Version, diagnose,
    field::{Fields, Known, Span},
    framing::{self, BodyFraming},
    refusal::Refusal,
    rules::{MAX_HEADER_COUNT, Rules},
    scan::{self, Caps, Scratch},
    syntax::members,
    target::{self, Form, Target},
};

/// Longest method in bytes; beyond it 501.
const MAX_METHOD: usize = 32;
/// What a first line may have beside its target: the longest method, the version, two spaces and a CRLF,
/// rounded up.
const REQUEST_LINE_SLACK: usize = 64;

/// A request head that was let in: its borders, target and host are beyond doubt.
///
/// The bytes are shared with the read buffer; drop the head, or give it to [`Scratch::recycle`], once the
/// request has been passed on.
#[derive(Debug, Clone)]
pub struct RequestHead {
    fields: Fields,
    method: Method,
    version: Version,
    target: Target,
    framing: BodyFraming,
    keep_alive: bool,
    expect_continue: bool,
    te_trailers: bool,
    upgrade: Option<Span>,
}

impl RequestHead {
    /// The method.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The version that the client spoke.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Which form the target has.
    #[must_use]
    pub fn form(&self) -> Form {
        self.target.form
    }

    /// The path as it was sent, without the query: it begins with `/`, or is `*`, or is blank for CONNECT. It
    /// is visible ASCII with whole percent escapes; run it through [`crate::path`] before it is matched or
    /// forwarded.
    #[must_use]
    pub fn path(&self) -> &str {
        let path = self.target.path.get(self.fields.head());
        match (self.target.form, path) {
            (Form::Authority, _) => "",
            (Form::Asterisk, _) => "*",
            (Form::Absolute, []) if self.method == Method::OPTIONS && self.target.query.is_none() => "*",
            (Form::Absolute, []) => "/",
            _ => std::str::from_utf8(path).unwrap_or("/"),
        }
    }

    /// What stands after the `?`, when there is one.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        let query = self.target.query?.get(self.fields.head());
        Some(std::str::from_utf8(query).unwrap_or(""))
    }

    /// The host and port the request is for, as written: the target's own for CONNECT and absolute targets,
    /// else the Host field. Blank only for an HTTP/1.0 request without a Host field.
    /// [`super::Authority::parse`] splits it.
    #[must_use]
    pub fn authority(&self) -> &str {
        std::str::from_utf8(self.target.authority.get(self.fields.head())).unwrap_or("")
    }

    /// The header fields.
    #[must_use]
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// How the body ends: `None`, `Length` or `Chunked`.
    #[must_use]
    pub fn framing(&self) -> BodyFraming {
        self.framing
    }

    /// Whether the client lets the connection be used again after this exchange.
    #[must_use]
    pub fn keep_alive(&self) -> bool {
        self.keep_alive
    }

    /// Whether the client waits for [`super::CONTINUE`] before it sends the body.
    #[must_use]
    pub fn expect_continue(&self) -> bool {
        self.expect_continue
    }

    /// Whether the client takes trailers (`TE: trailers`).
    #[must_use]
    pub fn te_trailers(&self) -> bool {
        self.te_trailers
    }

    /// The protocol the client asks to switch to, such as `websocket`. Only a request without a body asks;
    /// `h2c` never does.
    #[must_use]
    pub fn upgrade(&self) -> Option<&[u8]> {
        Some(self.upgrade?.get(self.fields.head()))
    }
}

impl Scratch {
    /// Takes a head's field table back, so that the next head needs no memory of its own.
    pub fn recycle(&mut self, head: RequestHead) {
        self.slots = head.fields.into_slots();
    }
}

/// Takes one request head off the front of `buffer`. `None` means that more bytes are needed; call again with
/// the same `scratch` when they have come.
///
/// # Errors
/// A [`Refusal`] when the head is one that no two readers need agree on, or too large. It is final: answer it
/// and close the connection.
pub fn parse_request(
    buffer: &mut BytesMut,
    scratch: &mut Scratch,
    rules: &Rules,
) -> Result<Option<RequestHead>, Refusal> {
    if scratch.drop_blank_line(buffer) {
        return Ok(None);
    }
    let caps = Caps {
        first_line: rules.target_bytes.saturating_add(REQUEST_LINE_SLACK),
        first_line_refusal: Refusal::TargetTooLong,
        blank_refusal: Refusal::RequestLine,
        headers: rules.header_bytes,
    };
    let Some(end) = scan::head_end(buffer, scratch, caps)? else {
        return Ok(None);
    };
    let head = buffer.split_to(end).freeze();
    let slots = std::mem::take(&mut scratch.slots);

    let mut table = [const { MaybeUninit::<httparse::Header<'_>>::uninit() }; MAX_HEADER_COUNT];
    let mut parsed = httparse::Request::new(&mut []);
    match parsed.parse_with_uninit_headers(&head, &mut table) {
        Ok(httparse::Status::Complete(length)) if length == head.len() => {}
        Ok(_) => return Err(Refusal::RequestLine),
        Err(error) => return Err(diagnose::request(&head, error)),
    }
    let (Some(method), Some(target), Some(minor)) = (parsed.method, parsed.path, parsed.version) else {
        return Err(Refusal::RequestLine);
    };
    let method = read_method(method)?;
    let version = match minor {
        1 => Version::Http11,
        0 if rules.http10 => Version::Http10,
        _ => return Err(Refusal::Version),
    };
    let mut fields = Fields::build(head.clone(), parsed.headers, slots, rules.role, rules)?;
    let target = target::read(&fields, &method, version, target.as_bytes(), rules.target_bytes)?;
    let framing = framing::declared(&fields, version)?;
    match framing {
        BodyFraming::Chunked if method == Method::CONNECT => return Err(Refusal::TransferEncodingForbidden),
        BodyFraming::Length(1..) if method == Method::CONNECT => return Err(Refusal::ContentLengthForbidden),
        _ => {}
    }
    let connection = fields.read_connection(rules)?;
    if framing != BodyFraming::Chunked {
        fields.keep_back(Known::Trailer);
    }
    let new = version == Version::Http11;
    // Protocols are asked for by GET, and that is what a request for one is between two proxies. With another method the
    // request is one like any other, and its wish is passed over, as every server may.
    let upgrade = if new && connection.upgrade && framing.is_empty() && method == Method::GET {
        fields.upgrade()
    } else {
        None
    };
    Ok(Some(RequestHead {
        expect_continue: expects_continue(&fields)? && new && !framing.is_empty(),
        te_trailers: new && accepts_trailers(&fields),
        keep_alive: !connection.close && (new || connection.keep_alive),
        fields,
        method,
        version,
        target,
        framing,
        upgrade,
    }))
}

/// A method of capital letters, `-` and `_`: nobody defines others, and some servers read `get` as `GET`.
fn read_method(method: &str) -> Result<Method, Refusal> {
    check_method(method)?;
    Method::from_bytes(method.as_bytes()).map_err(|_| Refusal::Method)
}

/// Refuses a method with other characters than capital letters, `-` and `_`, or of more than 32 bytes.
pub(crate) fn check_method(method: &str) -> Result<(), Refusal> {
    if method.len() > MAX_METHOD {
        return Err(Refusal::MethodTooLong);
    }
    let usual = |byte: u8| byte.is_ascii_uppercase() || matches!(byte, b'-' | b'_');
    if method.is_empty() || !method.bytes().all(usual) {
        Err(Refusal::Method)
    } else {
        Ok(())
    }
}

fn expects_continue(fields: &Fields) -> Result<bool, Refusal> {
    let mut found = false;
    for slot in fields.slots().filter(|slot| slot.known == Known::Expect) {
        if !fields.value(slot).eq_ignore_ascii_case(b"100-continue") {
            return Err(Refusal::Expectation);
        }
        found = true;
    }
    Ok(found)
}

fn accepts_trailers(fields: &Fields) -> bool {
    fields
        .slots()
        .filter(|slot| slot.known == Known::Te)
        .flat_map(|slot| members(fields.value(slot)))
        .any(|member| member.eq_ignore_ascii_case(b"trailers"))
}
