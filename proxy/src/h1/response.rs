//! Reads one response head off the front of an upstream's bytes, knowing what was asked.

use std::mem::MaybeUninit;

use bytes::BytesMut;
use http::{Method, StatusCode};

use super::{
    Version, diagnose,
    field::{Fields, Known, Span},
    framing::{self, BodyFraming},
    refusal::Refusal,
    rules::{MAX_HEADER_COUNT, Role, Rules},
    scan::{self, Caps, Scratch},
};

/// Longest status line in bytes.
const STATUS_LINE: usize = 8 * 1024;

/// What the request was, as far as it decides how the response's body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Asked {
    /// Any request not named below.
    #[default]
    Plain,
    /// HEAD: the response has no body, whatever its fields announce.
    Head,
    /// CONNECT: a 2xx turns the connection into a tunnel.
    Connect,
    /// A request with an Upgrade field: a 101 turns the connection over to that protocol.
    Upgrade,
}

impl Asked {
    /// What a request with that method asks for; `upgrade` says whether an Upgrade field was sent along.
    #[must_use]
    pub fn by(method: &Method, upgrade: bool) -> Asked {
        match *method {
            Method::HEAD => Asked::Head,
            Method::CONNECT => Asked::Connect,
            _ if upgrade => Asked::Upgrade,
            _ => Asked::Plain,
        }
    }
}

/// A response head that was let in.
#[derive(Debug, Clone)]
pub struct ResponseHead {
    fields: Fields,
    status: StatusCode,
    reason: Span,
    version: Version,
    declared: BodyFraming,
    framing: BodyFraming,
    tunnel: bool,
    keep_alive: bool,
    upgrade: Option<Span>,
}

impl ResponseHead {
    /// The status code, 100 to 599.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The reason phrase as it came; often blank.
    #[must_use]
    pub fn reason(&self) -> &[u8] {
        self.reason.get(self.fields.head())
    }

    /// The version that the upstream spoke.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The header fields.
    #[must_use]
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// How the body that follows ends. For what the head *says*, which differs after HEAD and on 304, see
    /// [`Self::declared`].
    #[must_use]
    pub fn framing(&self) -> BodyFraming {
        self.framing
    }

    /// The framing to write into the head for the client: a response to HEAD may announce a length although
    /// nothing follows.
    #[must_use]
    pub fn declared(&self) -> BodyFraming {
        self.declared
    }

    /// Whether this is an interim response (1xx other than a 101): another head follows on the same
    /// connection.
    #[must_use]
    pub fn is_interim(&self) -> bool {
        self.status.is_informational() && !self.tunnel
    }

    /// Whether the connection carries another protocol from here on: 101 to an Upgrade, 2xx to a CONNECT.
    #[must_use]
    pub fn is_tunnel(&self) -> bool {
        self.tunnel
    }

    /// The protocol that a 101 switches to.
    #[must_use]
    pub fn upgrade(&self) -> Option<&[u8]> {
        Some(self.upgrade?.get(self.fields.head()))
    }

    /// Whether the upstream lets the connection be used again once the body was read to its end.
    #[must_use]
    pub fn keep_alive(&self) -> bool {
        self.keep_alive
    }
}

impl Scratch {
    /// Takes a response head's field table back, so that the next head needs no memory of its own.
    pub fn recycle_response(&mut self, head: ResponseHead) {
        self.slots = head.fields.into_slots();
    }
}

/// Takes one response head off the front of `buffer`; `asked` is what the request it answers was. `None`
/// means that more bytes are needed.
///
/// # Errors
/// A [`Refusal`] when the head is one that no two readers need agree on, or too large. It is final: the
/// client gets 502 and the connection to the upstream is closed.
pub fn parse_response(
    buffer: &mut BytesMut,
    scratch: &mut Scratch,
    rules: &Rules,
    asked: Asked,
) -> Result<Option<ResponseHead>, Refusal> {
    let caps = Caps {
        first_line: STATUS_LINE,
        first_line_refusal: Refusal::HeadersTooLarge,
        blank_refusal: Refusal::StatusLine,
        headers: rules.header_bytes,
    };
    let Some(end) = scan::head_end(buffer, scratch, caps)? else {
        return Ok(None);
    };
    let head = buffer.split_to(end).freeze();
    let slots = std::mem::take(&mut scratch.slots);

    let mut table = [const { MaybeUninit::<httparse::Header<'_>>::uninit() }; MAX_HEADER_COUNT];
    let mut parsed = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    match config.parse_response_with_uninit_headers(&mut parsed, &head, &mut table) {
        Ok(httparse::Status::Complete(length)) if length == head.len() => {}
        Ok(_) => return Err(Refusal::StatusLine),
        Err(error) => return Err(diagnose::response(&head, error)),
    }
    let (Some(code), Some(minor)) = (parsed.code, parsed.version) else {
        return Err(Refusal::StatusLine);
    };
    let status = StatusCode::from_u16(code)
        .ok()
        .filter(|status| status.as_u16() < 600)
        .ok_or(Refusal::StatusLine)?;
    let version = if minor == 1 {
        Version::Http11
    } else {
        Version::Http10
    };
    let reason = Span::of(&head, parsed.reason.unwrap_or_default().as_bytes());
    let mut fields = Fields::build(head.clone(), parsed.headers, slots, Role::Sidecar, rules)?;
    let connection = fields.read_connection(rules)?;
    let said = framing::declared(&fields, version)?;
    let body = read_body(status, asked, said)?;
    if body.framing != BodyFraming::Chunked {
        fields.keep_back(Known::Trailer);
    }
    let upgrade = if status == StatusCode::SWITCHING_PROTOCOLS {
        Some(
            fields
                .upgrade()
                .filter(|_| connection.upgrade)
                .ok_or(Refusal::SwitchMalformed)?,
        )
    } else {
        None
    };
    let persistent = !connection.close && (version == Version::Http11 || connection.keep_alive);
    Ok(Some(ResponseHead {
        upgrade,
        keep_alive: persistent && !body.tunnel && body.framing != BodyFraming::UntilClose,
        fields,
        status,
        reason,
        version,
        declared: body.declared,
        framing: body.framing,
        tunnel: body.tunnel,
    }))
}

/// What follows a response head.
struct Body {
    declared: BodyFraming,
    framing: BodyFraming,
    tunnel: bool,
}

/// RFC 9112 §6.3, with the doubtful combinations refused.
fn read_body(status: StatusCode, asked: Asked, said: BodyFraming) -> Result<Body, Refusal> {
    let nothing = |declared, tunnel| Body {
        declared,
        framing: BodyFraming::None,
        tunnel,
    };
    if status == StatusCode::SWITCHING_PROTOCOLS && asked != Asked::Upgrade {
        return Err(Refusal::SwitchUnasked);
    }
    if status.is_informational() || status == StatusCode::NO_CONTENT {
        return match said {
            BodyFraming::Chunked => Err(Refusal::TransferEncodingForbidden),
            BodyFraming::Length(1..) => Err(Refusal::ContentLengthForbidden),
            _ => Ok(nothing(
                BodyFraming::None,
                status == StatusCode::SWITCHING_PROTOCOLS,
            )),
        };
    }
    if asked == Asked::Connect && status.is_success() {
        return Ok(nothing(BodyFraming::None, true));
    }
    if asked == Asked::Head || status == StatusCode::NOT_MODIFIED {
        return Ok(nothing(said, false));
    }
    let framing = if said == BodyFraming::None {
        BodyFraming::UntilClose
    } else {
        said
    };
    Ok(Body {
        declared: framing,
        framing,
        tunnel: false,
    })
}
