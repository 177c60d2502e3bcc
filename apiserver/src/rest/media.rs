//! Media types: what a client accepts, and what its body is. Pure.

use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE, USER_AGENT};
use outrigger_client::status::Status;

use crate::refusal;

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Style {
    /// JSON in one line.
    #[default]
    Json,
    /// JSON, indented.
    Pretty,
    /// YAML.
    Yaml,
}

impl Style {
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Style::Json | Style::Pretty => "application/json",
            Style::Yaml => "application/yaml",
        }
    }
}

/// The first type of an `Accept` header that can be served.
///
/// Parameters such as `as=Table` ask for a special form of JSON; clients that send them read the plain form
/// as well (`spec/apiserver.md` §9), so they count as JSON.
pub(super) fn accepted(headers: &HeaderMap) -> Result<Style, Status> {
    let mut asked = false;
    for header in headers.get_all(ACCEPT) {
        for range in header.to_str().map_err(|_| refusal::not_acceptable())?.split(',') {
            let range = essence(range);
            asked |= !range.is_empty();
            match range.as_str() {
                "*/*" | "application/*" | "application/json" => return Ok(Style::Json),
                "application/yaml" | "application/x-yaml" | "text/yaml" => return Ok(Style::Yaml),
                _ => {}
            }
        }
    }
    if asked {
        Err(refusal::not_acceptable())
    } else {
        Ok(Style::Json)
    }
}

/// True for programs that people type into.
pub(super) fn wants_pretty(headers: &HeaderMap) -> bool {
    let agent = headers
        .get(USER_AGENT)
        .and_then(|agent| agent.to_str().ok())
        .unwrap_or("");
    ["curl", "Wget", "Mozilla"]
        .iter()
        .any(|known| agent.starts_with(known))
}

/// True when a watch was asked for as `application/json;stream=watch`.
pub(super) fn wants_stream_parameter(headers: &HeaderMap) -> bool {
    let accepts = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|accept| accept.to_str().ok());
    accepts.flat_map(|accept| accept.split(',')).any(|range| {
        range
            .split(';')
            .skip(1)
            .any(|parameter| parameter.trim().eq_ignore_ascii_case("stream=watch"))
    })
}

/// Refuses bodies that are packed: none is unpacked here.
pub(super) fn check_encoding(headers: &HeaderMap) -> Result<(), Status> {
    for given in headers.get_all(CONTENT_ENCODING) {
        let given = given.to_str().unwrap_or("not readable");
        if !given.trim().is_empty() && !given.trim().eq_ignore_ascii_case("identity") {
            return Err(refusal::unsupported_encoding(given));
        }
    }
    Ok(())
}

/// Refuses bodies that are neither JSON nor YAML. None given counts as JSON.
pub(super) fn check_body(headers: &HeaderMap) -> Result<(), Status> {
    let Some(given) = headers.get(CONTENT_TYPE) else {
        return Ok(());
    };
    let given = given.to_str().unwrap_or("not readable");
    match essence(given).as_str() {
        "application/json" | "application/yaml" | "application/x-yaml" | "text/yaml" => Ok(()),
        _ => Err(refusal::unsupported_media_type(given)),
    }
}

/// The type without its parameters, in lower case.
fn essence(range: &str) -> String {
    range.split(';').next().unwrap_or("").trim().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn accept(value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(value))])
    }

    #[test]
    fn the_first_type_that_can_be_served_is_taken() {
        for (value, expected) in [
            ("", Some(Style::Json)),
            ("*/*", Some(Style::Json)),
            ("application/json", Some(Style::Json)),
            ("Application/YAML; charset=utf-8", Some(Style::Yaml)),
            (
                "application/vnd.kubernetes.protobuf, application/yaml, application/json",
                Some(Style::Yaml),
            ),
            (
                "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
                Some(Style::Json),
            ),
            ("application/vnd.kubernetes.protobuf", None),
            ("text/html", None),
        ] {
            assert_eq!(accepted(&accept(value)).ok(), expected, "{value}");
        }
    }

    #[test]
    fn bodies_of_other_types_are_refused_by_name() {
        let content = |value| HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(value))]);

        for good in [
            "application/json",
            "application/json; charset=utf-8",
            "application/yaml",
            "APPLICATION/X-YAML",
        ] {
            assert!(check_body(&content(good)).is_ok(), "{good}");
        }
        let refused = check_body(&content("application/vnd.kubernetes.protobuf")).unwrap_err();
        assert_eq!(refused.code, 415);
        assert!(
            refused.message.contains("application/vnd.kubernetes.protobuf"),
            "{}",
            refused.message
        );
        assert!(check_body(&HeaderMap::new()).is_ok());
    }

    #[test]
    fn packed_bodies_are_refused_by_the_name_of_their_packing() {
        let encoded = |value| HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_static(value))]);

        assert!(check_encoding(&HeaderMap::new()).is_ok());
        assert!(check_encoding(&encoded("Identity")).is_ok());
        for packed in ["gzip", "identity, gzip", "br"] {
            let refused = check_encoding(&encoded(packed)).unwrap_err();
            assert_eq!(refused.code, 415, "{packed}");
            assert!(refused.message.contains(packed), "{}", refused.message);
        }
    }
}
