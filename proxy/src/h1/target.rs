//! The request target and the Host field: which form the target has, its parts, and whether the two agree.

use std::net::Ipv6Addr;

use http::Method;

use super::{
    Version,
    field::{Fields, Known, Span},
    refusal::Refusal,
    syntax::is_host_byte,
};

/// The four forms of a request target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `/path?query`
    Origin,
    /// `http://host/path?query`, as sent to a proxy.
    Absolute,
    /// `host:port`, for CONNECT only.
    Authority,
    /// `*`, for OPTIONS only.
    Asterisk,
}

/// A host and the port that stands after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authority<'a> {
    /// The name or address as it was written; an IPv6 address has its brackets.
    pub host: &'a str,
    /// The port, when one was written.
    pub port: Option<u16>,
}

impl<'a> Authority<'a> {
    /// Reads `host`, `host:port`, `[v6]` or `[v6]:port`. Userinfo, a blank host, a blank port and any other
    /// character give `None`.
    #[must_use]
    pub fn parse(text: &'a [u8]) -> Option<Authority<'a>> {
        let text = std::str::from_utf8(text).ok()?;
        let host_len = if text.starts_with('[') {
            let end = text.find(']')?;
            text.get(1..end)?.parse::<Ipv6Addr>().ok()?;
            end + 1
        } else {
            let end = text.find(':').unwrap_or(text.len());
            let host = text.get(..end)?;
            if host.is_empty()
                || host.starts_with('.')
                || host.contains("..")
                || !host.bytes().all(is_host_byte)
            {
                return None;
            }
            end
        };
        let (host, rest) = text.split_at_checked(host_len)?;
        let port = match rest.strip_prefix(':') {
            None if rest.is_empty() => None,
            Some(digits)
                if (1..=5).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()) =>
            {
                Some(digits.parse().ok()?)
            }
            _ => return None,
        };
        Some(Authority { host, port })
    }

    /// Whether two authorities name the same place; a missing port counts as `default_port`.
    pub(crate) fn agrees(self, other: Authority<'_>, default_port: u16) -> bool {
        let bare = |host: &'a str| host.strip_suffix('.').unwrap_or(host);
        let other_host = other.host.strip_suffix('.').unwrap_or(other.host);
        bare(self.host).eq_ignore_ascii_case(other_host)
            && self.port.unwrap_or(default_port) == other.port.unwrap_or(default_port)
    }
}

/// The parts of a target, and the authority that the request is for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    pub(super) form: Form,
    /// From the first `/` to before the `?`; blank in the other forms.
    pub(super) path: Span,
    /// After the `?`.
    pub(super) query: Option<Span>,
    /// The Host field's value, or the target's own authority where it has one.
    pub(super) authority: Span,
}

/// Reads the target of a request and holds it against the Host field.
pub(super) fn read(
    fields: &Fields,
    method: &Method,
    version: Version,
    target: &[u8],
    limit: usize,
) -> Result<Target, Refusal> {
    if target.len() > limit {
        return Err(Refusal::TargetTooLong);
    }
    check_bytes(target)?;
    let head = fields.head().as_ref();
    let host = host_field(fields, version)?;
    let plain = |form, authority: &[u8], rest| {
        let (path, query) = split_query(rest);
        Target {
            form,
            path: Span::of(head, path),
            query: query.map(|query| Span::of(head, query)),
            authority: Span::of(head, authority),
        }
    };
    if *method == Method::CONNECT {
        let Some(authority @ Authority { port: Some(port), .. }) = Authority::parse(target) else {
            return Err(Refusal::TargetForm);
        };
        if host.is_some_and(|(_, host)| !authority.agrees(host, port)) {
            return Err(Refusal::HostDiffers);
        }
        return Ok(plain(Form::Authority, target, b""));
    }
    match target {
        [b'/', ..] => Ok(plain(Form::Origin, host.map_or(b"", |(text, _)| text), target)),
        b"*" if *method == Method::OPTIONS => {
            Ok(plain(Form::Asterisk, host.map_or(b"", |(text, _)| text), b""))
        }
        _ => {
            let (port, rest) = match strip_scheme(target, b"http://") {
                Some(rest) => (80, rest),
                None => (443, strip_scheme(target, b"https://").ok_or(Refusal::TargetForm)?),
            };
            let end = rest
                .iter()
                .position(|byte| matches!(byte, b'/' | b'?'))
                .unwrap_or(rest.len());
            let (authority, rest) = rest.split_at_checked(end).unwrap_or((rest, b""));
            let parsed = Authority::parse(authority).ok_or(Refusal::HostMalformed)?;
            if host.is_some_and(|(_, host)| !parsed.agrees(host, port)) {
                return Err(Refusal::HostDiffers);
            }
            Ok(plain(Form::Absolute, authority, rest))
        }
    }
}

/// The one Host field, checked; `None` only on HTTP/1.0.
fn host_field(fields: &Fields, version: Version) -> Result<Option<(&[u8], Authority<'_>)>, Refusal> {
    let mut found = fields.slots().filter(|slot| slot.known == Known::Host);
    let slot = match (found.next(), found.next(), version) {
        (Some(slot), None, _) => slot,
        (Some(_), Some(_), _) => return Err(Refusal::HostRepeated),
        (None, _, Version::Http10) => return Ok(None),
        (None, _, Version::Http11) => return Err(Refusal::HostMissing),
    };
    let value = fields.value(slot);
    if value.is_empty() {
        return Err(Refusal::HostMissing);
    }
    fields.plain_spaces(slot)?;
    let authority = Authority::parse(value).ok_or(Refusal::HostMalformed)?;
    Ok(Some((value, authority)))
}

/// Refuses bytes outside visible ASCII, a `#`, and a `%` without two hex digits.
pub(crate) fn check_bytes(target: &[u8]) -> Result<(), Refusal> {
    let mut rest = target;
    while let [byte, tail @ ..] = rest {
        rest = match (byte, tail) {
            (b'%', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => after,
            (b'%', _) => return Err(Refusal::TargetEscape),
            (b'#', _) => return Err(Refusal::TargetFragment),
            (0x21..=0x7e, _) => tail,
            _ => return Err(Refusal::TargetByte),
        };
    }
    Ok(())
}

fn strip_scheme<'a>(target: &'a [u8], scheme: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = target.split_at_checked(scheme.len())?;
    start.eq_ignore_ascii_case(scheme).then_some(rest)
}

fn split_query(rest: &[u8]) -> (&[u8], Option<&[u8]>) {
    match rest
        .iter()
        .position(|&byte| byte == b'?')
        .and_then(|at| rest.split_at_checked(at))
    {
        Some((path, query)) => (path, query.get(1..)),
        None => (rest, None),
    }
}

#[cfg(test)]
mod tests {
    use super::Authority;

    #[test]
    fn hosts_are_read_strictly() {
        let good: &[(&str, &str, Option<u16>)] = &[
            ("a", "a", None),
            (
                "reviews.service.consul:9080",
                "reviews.service.consul",
                Some(9080),
            ),
            ("a.b.", "a.b.", None),
            ("127.0.0.1:1", "127.0.0.1", Some(1)),
            ("[::1]", "[::1]", None),
            ("[fe80::1]:65535", "[fe80::1]", Some(65535)),
            ("my_host~x", "my_host~x", None),
        ];
        for (text, host, port) in good {
            assert_eq!(
                Authority::parse(text.as_bytes()),
                Some(Authority { host, port: *port }),
                "{text}"
            );
        }
        for text in [
            "", ":80", "a:", "a:65536", "a:+1", "a:1:2", "a b", "a,b", "u@a", "a/", "[::1", "::1", "[a]",
            "[::1]x", "a..b", ".a", "a%41", "a\u{e9}", "a:000001", "a?b", "a\\b",
        ] {
            assert_eq!(Authority::parse(text.as_bytes()), None, "{text}");
        }
    }
}
