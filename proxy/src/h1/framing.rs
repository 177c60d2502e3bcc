//! How long a body is: the one reading of Content-Length and Transfer-Encoding, without a second opinion.

use super::{
    Version,
    field::{Fields, Known},
    refusal::Refusal,
};

/// How a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyFraming {
    /// There is no body and no field that speaks of one.
    None,
    /// So many bytes follow; the message has a Content-Length field.
    Length(u64),
    /// Chunks follow; the message has `Transfer-Encoding: chunked`.
    Chunked,
    /// A response whose body lasts until the connection ends.
    UntilClose,
}

impl BodyFraming {
    /// Whether no byte of body follows.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        matches!(self, BodyFraming::None | BodyFraming::Length(0))
    }

    /// The framing to use towards a peer of `version`. HTTP/1.0 knows no chunks, so such a response lasts until the
    /// connection ends; anybody else gets chunks instead, whose end cannot be taken for that of a connection that broke.
    #[must_use]
    pub const fn towards(self, version: Version) -> BodyFraming {
        match (self, version) {
            (BodyFraming::Chunked, Version::Http10) => BodyFraming::UntilClose,
            (BodyFraming::UntilClose, Version::Http11) => BodyFraming::Chunked,
            _ => self,
        }
    }
}

/// What the fields of a head say about its body: `None`, `Length` or `Chunked`. Anything ambiguous is
/// refused.
pub(super) fn declared(fields: &Fields, version: Version) -> Result<BodyFraming, Refusal> {
    let mut length = None;
    let mut chunked = false;
    for slot in fields.slots() {
        match slot.known {
            Known::ContentLength if length.is_some() => return Err(Refusal::ContentLengthRepeated),
            Known::ContentLength => {
                fields.plain_spaces(slot)?;
                length = Some(content_length(fields.value(slot))?);
            }
            Known::TransferEncoding if chunked => return Err(Refusal::TransferEncodingRepeated),
            Known::TransferEncoding => {
                fields.plain_spaces(slot)?;
                if !fields.value(slot).eq_ignore_ascii_case(b"chunked") {
                    return Err(Refusal::TransferEncodingUnknown);
                }
                chunked = true;
            }
            _ => {}
        }
    }
    match (length, chunked, version) {
        (Some(_), true, _) => Err(Refusal::ContentLengthAndTransferEncoding),
        (None, true, Version::Http10) => Err(Refusal::TransferEncodingOn10),
        (None, true, Version::Http11) => Ok(BodyFraming::Chunked),
        (Some(length), false, _) => Ok(BodyFraming::Length(length)),
        (None, false, _) => Ok(BodyFraming::None),
    }
}

/// A Content-Length value: 1 to 19 decimal digits below 2^63 and nothing else.
pub(crate) fn content_length(value: &[u8]) -> Result<u64, Refusal> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(Refusal::ContentLengthMalformed);
    }
    if value.len() > 19 {
        return Err(Refusal::ContentLengthTooLarge);
    }
    // Nineteen digits fit into a u64, so the sum cannot wrap.
    let length = value
        .iter()
        .fold(0_u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    if length > i64::MAX as u64 {
        Err(Refusal::ContentLengthTooLarge)
    } else {
        Ok(length)
    }
}
