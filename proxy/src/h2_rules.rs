//! What an HTTP/2 message must satisfy beyond what the HTTP/2 library checks, so that it reads the same to
//! every next hop.
//!
//! The library refuses broken frames, upper-case names, control bytes in values, misplaced pseudo-headers and
//! DATA that does not add up to `content-length`, and it drops a fragment from `:path`. These functions
//! refuse the rest of `spec/reliability.md` §4, as HTTP/1 does where the two overlap. They are pure: a head
//! goes in, the parts that routing needs come out, or a [`Malformed`] that says whether to reset the stream
//! or to answer.

use h2::ext::Protocol;
use http::header::{CONTENT_LENGTH, COOKIE, EXPECT, HOST};
use http::{HeaderMap, Method, StatusCode, request, response};

use crate::h1::{
    Authority, Known, Refusal, Role, Rules, chunked::is_forbidden_trailer, content_length,
    request::check_method, target::check_bytes,
};

/// Why a message was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A fault that HTTP/1 knows as well.
    #[error(transparent)]
    Shared(#[from] Refusal),
    /// `connection`, `keep-alive`, `proxy-connection`, `transfer-encoding` or `upgrade`.
    #[error("the message has a field that concerns a single HTTP/1 connection")]
    ConnectionField,
    /// `te` with another value than `trailers`.
    #[error("the te field asks for something other than trailers")]
    Te,
    /// A value that begins or ends with a space or tab.
    #[error("a field value begins or ends with a space or tab")]
    ValueSpace,
    /// A `:scheme` other than http and https.
    #[error("the scheme is neither http nor https")]
    Scheme,
    /// A CONNECT with a path, or a request without one.
    #[error("the path does not fit the method")]
    Path,
    /// A status that HTTP/2 does not have, such as 101.
    #[error("the status is not one that HTTP/2 has")]
    Status,
}

impl Malformed {
    /// The status to answer with, for faults that are about size or expectations. `None` means to reset the
    /// stream with `PROTOCOL_ERROR`.
    #[must_use]
    pub fn status(self) -> Option<u16> {
        match self {
            Malformed::Shared(refusal) if refusal.status() != 400 => Some(refusal.status()),
            _ => None,
        }
    }

    /// The stable name for logs, metrics and the reason header.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Malformed::Shared(refusal) => refusal.name(),
            Malformed::ConnectionField => "connection-field",
            Malformed::Te => "te",
            Malformed::ValueSpace => "value-space",
            Malformed::Scheme => "scheme",
            Malformed::Path => "path",
            Malformed::Status => "status",
        }
    }
}

/// The parts of a request that was let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted<'a> {
    /// The host and port the request is for, from `:authority` or else the `host` field; well-formed and
    /// never blank.
    pub authority: &'a str,
    /// The path without its query: it begins with `/`, or is `*`, or is blank for a plain CONNECT. Run it
    /// through [`crate::path`].
    pub path: &'a str,
    /// What stands after the `?`.
    pub query: Option<&'a str>,
    /// The length of the body, when `content-length` says it.
    pub length: Option<u64>,
    /// The protocol of an extended CONNECT, such as `websocket`.
    pub protocol: Option<&'a str>,
    /// Whether the client takes trailers.
    pub te_trailers: bool,
}

/// Checks the head of a request.
///
/// # Errors
/// [`Malformed`] for the first fault found.
pub fn check_request<'a>(parts: &'a request::Parts, rules: &Rules) -> Result<Accepted<'a>, Malformed> {
    check_method(parts.method.as_str())?;
    let te_trailers = check_fields(&parts.headers, rules, rules.role)?;
    if parts
        .headers
        .get_all(EXPECT)
        .iter()
        .any(|value| !value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
    {
        return Err(Refusal::Expectation.into());
    }
    let protocol = parts.extensions.get::<Protocol>().map(Protocol::as_str);
    let (path, query) = check_path(parts, protocol.is_some(), rules.target_bytes)?;
    let https = match parts.uri.scheme_str() {
        None | Some("http") => false,
        Some("https") => true,
        Some(_) => return Err(Malformed::Scheme),
    };
    Ok(Accepted {
        authority: check_authority(parts, https)?,
        path,
        query,
        length: check_length(&parts.headers)?,
        protocol,
        te_trailers,
    })
}

/// Checks the head of an upstream's response; gives the length of its body, when `content-length` says it.
///
/// # Errors
/// [`Malformed`] for the first fault found; the client gets 502.
pub fn check_response(parts: &response::Parts, rules: &Rules) -> Result<Option<u64>, Malformed> {
    if parts.status == StatusCode::SWITCHING_PROTOCOLS || parts.status.as_u16() >= 600 {
        return Err(Malformed::Status);
    }
    check_fields(&parts.headers, rules, Role::Sidecar)?;
    let length = check_length(&parts.headers)?;
    match length {
        Some(1..) if parts.status == StatusCode::NO_CONTENT || parts.status.is_informational() => {
            Err(Refusal::ContentLengthForbidden.into())
        }
        _ => Ok(length),
    }
}

/// Checks a trailer section, of either direction: nothing in it may frame, route or authenticate the message.
///
/// # Errors
/// [`Malformed`] for the first fault found.
pub fn check_trailers(trailers: &HeaderMap, rules: &Rules) -> Result<(), Malformed> {
    check_fields(trailers, rules, Role::Sidecar)?;
    if trailers
        .keys()
        .any(|name| is_forbidden_trailer(name.as_str().as_bytes()))
    {
        return Err(Refusal::TrailerForbidden.into());
    }
    Ok(())
}

/// Checks names and values; says whether `te: trailers` is among them.
fn check_fields(fields: &HeaderMap, rules: &Rules, role: Role) -> Result<bool, Malformed> {
    // A client may send each cookie as a field of its own; together they are one.
    let crumbs = fields.get_all(COOKIE).iter().count().saturating_sub(1);
    if fields.len().saturating_sub(crumbs) > rules.header_count {
        return Err(Refusal::TooManyHeaders.into());
    }
    let mut te_trailers = false;
    for (name, value) in fields {
        let name = name.as_str().as_bytes();
        let value = value.as_bytes();
        if role == Role::Gateway && name.contains(&b'_') {
            return Err(Refusal::Underscore.into());
        }
        if matches!(value, [b' ' | b'\t', ..] | [.., b' ' | b'\t']) {
            return Err(Malformed::ValueSpace);
        }
        match Known::of(name) {
            Known::Connection
            | Known::KeepAlive
            | Known::ProxyConnection
            | Known::TransferEncoding
            | Known::Upgrade => return Err(Malformed::ConnectionField),
            Known::Te if value.eq_ignore_ascii_case(b"trailers") => te_trailers = true,
            Known::Te => return Err(Malformed::Te),
            _ => {}
        }
    }
    Ok(te_trailers)
}

/// Splits `:path`, which a plain CONNECT does not have and every other request must.
fn check_path(
    parts: &request::Parts,
    extended: bool,
    limit: usize,
) -> Result<(&str, Option<&str>), Malformed> {
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    if parts.method == Method::CONNECT && !extended {
        return if target.is_empty() {
            Ok(("", None))
        } else {
            Err(Malformed::Path)
        };
    }
    if target.len() > limit {
        return Err(Refusal::TargetTooLong.into());
    }
    check_bytes(target.as_bytes())?;
    match target.split_once('?') {
        _ if target == "*" && parts.method == Method::OPTIONS => Ok((target, None)),
        _ if !target.starts_with('/') => Err(Malformed::Path),
        Some((path, query)) => Ok((path, Some(query))),
        None => Ok((target, None)),
    }
}

/// The authority, from `:authority` or the one `host` field; where there are both they must agree.
fn check_authority(parts: &request::Parts, https: bool) -> Result<&str, Malformed> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(_), Some(_)) => return Err(Refusal::HostRepeated.into()),
        (None, _) => None,
        (Some(host), None) => {
            let text = host.to_str().map_err(|_| Refusal::HostMalformed)?;
            Some((
                text,
                Authority::parse(text.as_bytes()).ok_or(Refusal::HostMalformed)?,
            ))
        }
    };
    let authority = match parts.uri.authority() {
        None => None,
        Some(authority) => {
            let text = authority.as_str();
            Some((
                text,
                Authority::parse(text.as_bytes()).ok_or(Refusal::HostMalformed)?,
            ))
        }
    };
    let (text, parsed) = match (authority, host) {
        (None, None) => return Err(Refusal::HostMissing.into()),
        (Some(only), None) | (None, Some(only)) => only,
        (Some((text, authority)), Some((_, host))) => {
            let default_port = authority.port.filter(|_| parts.method == Method::CONNECT);
            if !authority.agrees(host, default_port.unwrap_or(if https { 443 } else { 80 })) {
                return Err(Refusal::HostDiffers.into());
            }
            (text, authority)
        }
    };
    let plain_connect = parts.method == Method::CONNECT && parts.extensions.get::<Protocol>().is_none();
    if plain_connect && parsed.port.is_none() {
        return Err(Refusal::TargetForm.into());
    }
    Ok(text)
}

/// The one `content-length`, a plain number.
fn check_length(fields: &HeaderMap) -> Result<Option<u64>, Malformed> {
    let mut lengths = fields.get_all(CONTENT_LENGTH).iter();
    match (lengths.next(), lengths.next()) {
        (None, _) => Ok(None),
        (Some(_), Some(_)) => Err(Refusal::ContentLengthRepeated.into()),
        (Some(length), None) => Ok(Some(content_length(length.as_bytes())?)),
    }
}

#[cfg(test)]
mod tests {
    use h2::ext::Protocol;
    use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri};

    use super::{Accepted, Malformed, check_request, check_response, check_trailers};
    use crate::h1::{Refusal, Role, Rules};

    /// The parts of a request as the HTTP/2 library hands them over.
    fn parts(method: &str, uri: &str, fields: &[(&str, &str)]) -> http::request::Parts {
        let mut request = Request::builder()
            .method(method)
            .uri(uri.parse::<Uri>().unwrap())
            .body(())
            .unwrap();
        *request.headers_mut() = map(fields);
        request.into_parts().0
    }

    fn map(fields: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            );
        }
        map
    }

    #[test]
    fn good_requests_come_out_in_parts() {
        let rules = Rules::default();
        let accepted = |authority, path, query, length| Accepted {
            authority,
            path,
            query,
            length,
            protocol: None,
            te_trailers: false,
        };
        for (method, uri, fields, expected) in [
            (
                "GET",
                "http://a/b?c=d",
                &[][..],
                accepted("a", "/b", Some("c=d"), None),
            ),
            ("GET", "http://a", &[], accepted("a", "/", None, None)),
            (
                "GET",
                "https://a:443/",
                &[("host", "A")],
                accepted("a:443", "/", None, None),
            ),
            (
                "GET",
                "/b",
                &[("host", "a:9080")],
                accepted("a:9080", "/b", None, None),
            ),
            (
                "POST",
                "http://a/",
                &[("content-length", "5")],
                accepted("a", "/", None, Some(5)),
            ),
            (
                "POST",
                "http://a/",
                &[("expect", "100-continue")],
                accepted("a", "/", None, None),
            ),
            ("OPTIONS", "*", &[("host", "a")], accepted("a", "*", None, None)),
            ("CONNECT", "a:443", &[], accepted("a:443", "", None, None)),
            (
                "CONNECT",
                "a:443",
                &[("host", "a")],
                accepted("a:443", "", None, None),
            ),
            (
                "GET",
                "http://a/%7euser/x_y",
                &[("x_y", "a\tb")],
                accepted("a", "/%7euser/x_y", None, None),
            ),
        ] {
            let parts = parts(method, uri, fields);
            assert_eq!(
                check_request(&parts, &rules),
                Ok(expected),
                "{method} {uri} {fields:?}"
            );
        }
        let parts = parts("POST", "http://a/", &[("te", "trailers")]);
        assert!(check_request(&parts, &rules).unwrap().te_trailers);
    }

    #[test]
    fn an_extended_connect_keeps_its_path_and_names_its_protocol() {
        let mut parts = parts("CONNECT", "http://a/chat?x", &[]);
        parts.extensions.insert(Protocol::from_static("websocket"));
        let accepted = check_request(&parts, &Rules::default()).unwrap();
        assert_eq!(
            (accepted.path, accepted.query, accepted.protocol),
            ("/chat", Some("x"), Some("websocket"))
        );
    }

    #[test]
    fn bad_requests_are_refused_with_their_reason() {
        let shared = Malformed::Shared;
        for (method, uri, fields, expected) in [
            (
                "GET",
                "http://a/",
                &[("connection", "close")][..],
                Malformed::ConnectionField,
            ),
            (
                "GET",
                "http://a/",
                &[("keep-alive", "5")],
                Malformed::ConnectionField,
            ),
            (
                "GET",
                "http://a/",
                &[("proxy-connection", "close")],
                Malformed::ConnectionField,
            ),
            (
                "GET",
                "http://a/",
                &[("upgrade", "websocket")],
                Malformed::ConnectionField,
            ),
            (
                "POST",
                "http://a/",
                &[("transfer-encoding", "chunked")],
                Malformed::ConnectionField,
            ),
            ("GET", "http://a/", &[("te", "gzip")], Malformed::Te),
            ("GET", "http://a/", &[("te", "trailers, gzip")], Malformed::Te),
            ("GET", "http://a/", &[("x", " a")], Malformed::ValueSpace),
            ("GET", "http://a/", &[("x", "a\t")], Malformed::ValueSpace),
            ("GET", "ftp://a/", &[], Malformed::Scheme),
            ("CONNECT", "http://a:80/", &[], Malformed::Path),
            ("GET", "*", &[("host", "a")], Malformed::Path),
            ("CONNECT", "a", &[], shared(Refusal::TargetForm)),
            ("get", "http://a/", &[], shared(Refusal::Method)),
            ("GET", "http://a/%zz", &[], shared(Refusal::TargetEscape)),
            ("GET", "http://a/?b=%4", &[], shared(Refusal::TargetEscape)),
            ("GET", "http://a/caf\u{e9}", &[], shared(Refusal::TargetByte)),
            ("GET", "http://a/", &[("host", "b")], shared(Refusal::HostDiffers)),
            (
                "GET",
                "http://a:81/",
                &[("host", "a")],
                shared(Refusal::HostDiffers),
            ),
            (
                "GET",
                "http://a/",
                &[("host", "a"), ("host", "a")],
                shared(Refusal::HostRepeated),
            ),
            (
                "GET",
                "http://a/",
                &[("host", "a, b")],
                shared(Refusal::HostMalformed),
            ),
            ("GET", "http://u@a/", &[], shared(Refusal::HostMalformed)),
            ("GET", "/", &[], shared(Refusal::HostMissing)),
            ("GET", "/", &[("host", "")], shared(Refusal::HostMalformed)),
            (
                "POST",
                "http://a/",
                &[("content-length", "1"), ("content-length", "1")],
                shared(Refusal::ContentLengthRepeated),
            ),
            (
                "POST",
                "http://a/",
                &[("content-length", "1,1")],
                shared(Refusal::ContentLengthMalformed),
            ),
            (
                "POST",
                "http://a/",
                &[("content-length", "+1")],
                shared(Refusal::ContentLengthMalformed),
            ),
            (
                "POST",
                "http://a/",
                &[("content-length", "")],
                shared(Refusal::ContentLengthMalformed),
            ),
            (
                "POST",
                "http://a/",
                &[("content-length", "9223372036854775808")],
                shared(Refusal::ContentLengthTooLarge),
            ),
            (
                "POST",
                "http://a/",
                &[("expect", "miracles")],
                shared(Refusal::Expectation),
            ),
        ] {
            let parts = parts(method, uri, fields);
            let refused = check_request(&parts, &Rules::default()).unwrap_err();
            assert_eq!(refused, expected, "{method} {uri} {fields:?}");
            let answered = expected == shared(Refusal::Expectation);
            assert_eq!(refused.status().is_some(), answered, "{method} {uri} {fields:?}");
        }
    }

    #[test]
    fn limits_are_those_of_http_1() {
        let rules = Rules::default();
        let long = format!("http://a/{}", "x".repeat(8192));
        let refused = check_request(&parts("GET", &long, &[]), &rules).unwrap_err();
        assert_eq!((refused.status(), refused.name()), (Some(414), "target-too-long"));
        let refused = check_request(&parts("GET", "http://a/", &[("x", "1"); 101]), &rules).unwrap_err();
        assert_eq!(
            (refused.status(), refused.name()),
            (Some(431), "too-many-headers")
        );
        assert!(check_request(&parts("GET", "http://a/", &[("cookie", "a=1"); 101]), &rules).is_ok());
    }

    #[test]
    fn underscores_stop_at_a_gateway() {
        let parts = parts("GET", "http://a/", &[("x_y", "1")]);
        assert!(check_request(&parts, &Rules::default()).is_ok());
        let gateway = Rules {
            role: Role::Gateway,
            ..Rules::default()
        };
        assert_eq!(check_request(&parts, &gateway), Err(Refusal::Underscore.into()));
    }

    #[test]
    fn responses_and_trailers_are_held_to_the_same() {
        let rules = Rules::default();
        let response = |status: u16, fields| {
            let mut response = Response::builder().status(status).body(()).unwrap();
            *response.headers_mut() = map(fields);
            check_response(&response.into_parts().0, &rules)
        };
        assert_eq!(response(200, &[("content-length", "7")]), Ok(Some(7)));
        assert_eq!(response(204, &[("content-length", "0")]), Ok(Some(0)));
        assert_eq!(
            response(204, &[("content-length", "7")]),
            Err(Refusal::ContentLengthForbidden.into())
        );
        assert_eq!(response(101, &[]), Err(Malformed::Status));
        assert_eq!(
            response(200, &[("connection", "close")]),
            Err(Malformed::ConnectionField)
        );
        assert_eq!(
            response(200, &[("content-length", "7"), ("content-length", "8")]),
            Err(Refusal::ContentLengthRepeated.into())
        );
        assert_eq!(
            check_trailers(&map(&[("grpc-status", "0"), ("grpc-message", "")]), &rules),
            Ok(())
        );
        assert_eq!(
            check_trailers(&map(&[("authorization", "x")]), &rules),
            Err(Refusal::TrailerForbidden.into())
        );
        assert_eq!(
            check_trailers(&map(&[("upgrade", "x")]), &rules),
            Err(Malformed::ConnectionField)
        );
    }
}
