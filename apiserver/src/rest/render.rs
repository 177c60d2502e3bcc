//! Answers as values, and how they become bytes in the style that was asked for.

pub(super) mod list;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WARNING, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use outrigger_api::kind::Kind;
use outrigger_client::status::Status;
use serde_json::Value;

use list::Items;

use super::body::ReplyBody;
use super::media::Style;
use crate::object::Stored;

/// Warnings in one answer, and characters of each, so that headers stay small.
const WARNINGS: (usize, usize) = (20, 500);

/// An answer.
pub(super) struct Reply {
    code: u16,
    content: Content,
    warnings: Vec<String>,
    retry_after: u32,
}

enum Content {
    /// Plain text.
    Text(&'static str, String),
    /// One JSON document.
    Document(Bytes),
    List(Kind, u64, Vec<Arc<Stored>>),
    /// A watch; true when its content type names its form.
    Stream(BoxStream<'static, Bytes>, bool),
}

impl Reply {
    pub(super) fn text(code: u16, text: String) -> Self {
        Reply::new(code, Content::Text("text/plain; charset=utf-8", text))
    }

    pub(super) fn metrics(text: String) -> Self {
        Reply::new(
            200,
            Content::Text("application/openmetrics-text; version=1.0.0; charset=utf-8", text),
        )
    }

    pub(super) fn document(code: u16, json: Bytes) -> Self {
        Reply::new(code, Content::Document(json))
    }

    pub(super) fn list(kind: Kind, version: u64, objects: Vec<Arc<Stored>>) -> Self {
        Reply::new(200, Content::List(kind, version, objects))
    }

    pub(super) fn stream(pieces: BoxStream<'static, Bytes>, named: bool) -> Self {
        Reply::new(200, Content::Stream(pieces, named))
    }

    pub(super) fn status(status: Status) -> Self {
        let code = if status.code == 0 { 200 } else { status.code };
        let retry_after = status.details.retry_after_seconds;
        let json = serde_json::to_vec(&status).unwrap_or_default(); // a Status has text and numbers only
        Reply {
            retry_after,
            ..Reply::document(code, json.into())
        }
    }

    fn new(code: u16, content: Content) -> Self {
        Reply {
            code,
            content,
            warnings: Vec::new(),
            retry_after: 0,
        }
    }

    pub(super) fn with_warnings(mut self, warnings: Vec<String>) -> Self {
        self.warnings = warnings;
        self
    }

    pub(super) fn code(&self) -> u16 {
        self.code
    }

    /// The HTTP response. `allow` goes with 405.
    pub(super) fn into_response(self, style: Style, allow: Option<&'static str>) -> Response<ReplyBody> {
        let (content_type, body) = match self.content {
            Content::Text(content_type, text) => (content_type, ReplyBody::Whole(Some(text.into()))),
            Content::Document(json) => (
                style.content_type(),
                ReplyBody::Whole(Some(document(style, json))),
            ),
            Content::List(kind, version, objects) => (
                style.content_type(),
                ReplyBody::List(Items::new(style, kind, version, objects)),
            ),
            Content::Stream(pieces, true) => ("application/json;stream=watch", ReplyBody::Stream(pieces)),
            Content::Stream(pieces, false) => ("application/json", ReplyBody::Stream(pieces)),
        };
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::from_u16(self.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
        if self.retry_after > 0 {
            headers.insert(RETRY_AFTER, HeaderValue::from(self.retry_after));
        }
        if self.code == 401 {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(allow) = allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        for warning in self.warnings.iter().take(WARNINGS.0) {
            headers.extend(warning_header(warning).map(|value| (WARNING, value)));
        }
        response
    }
}

/// `299 - "text"` (RFC 7234 §5.5).
fn warning_header(text: &str) -> Option<HeaderValue> {
    let mut quoted = String::from("299 - \"");
    for sign in text.chars().take(WARNINGS.1) {
        match sign {
            '"' | '\\' => quoted.extend(['\\', sign]),
            sign if sign.is_control() => quoted.push(' '),
            sign => quoted.push(sign),
        }
    }
    quoted.push('"');
    HeaderValue::from_bytes(quoted.as_bytes()).ok()
}

fn document(style: Style, json: Bytes) -> Bytes {
    let text = match style {
        Style::Json => return [json.as_ref(), b"\n"].concat().into(),
        Style::Pretty => pretty(&json),
        Style::Yaml => yaml(&json),
    };
    format!("{}\n", text.trim_end()).into()
}

fn pretty(json: &[u8]) -> String {
    let value: Result<Value, _> = serde_json::from_slice(json);
    value
        .and_then(|value| serde_json::to_string_pretty(&value))
        .unwrap_or_else(|_| as_it_is(json))
}

/// JSON is YAML too, should the writer of YAML ever refuse a document.
fn yaml(json: &[u8]) -> String {
    let value: Option<Value> = serde_json::from_slice(json).ok();
    value
        .and_then(|value| serde_saphyr::to_string(&value).ok())
        .unwrap_or_else(|| as_it_is(json))
}

fn as_it_is(json: &[u8]) -> String {
    String::from_utf8_lossy(json).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(style: Style, text: &str) -> Value {
        match style {
            Style::Json | Style::Pretty => serde_json::from_str(text).unwrap(),
            Style::Yaml => serde_saphyr::from_str(text).unwrap(),
        }
    }

    #[test]
    fn one_document_says_the_same_in_every_style() {
        let json =
            Bytes::from_static(br#"{"a":"true","b":["0x1f","1.0","null","~",""],"c":{"on":true,"n":1.5}}"#);
        let expected = read(Style::Json, std::str::from_utf8(&json).unwrap());

        for style in [Style::Json, Style::Pretty, Style::Yaml] {
            let text = document(style, json.clone());
            let text = std::str::from_utf8(&text).unwrap();
            assert_eq!(read(style, text), expected, "{style:?}\n{text}");
            assert!(text.ends_with('\n') && !text.ends_with("\n\n"), "{style:?}");
        }
    }

    #[test]
    fn warnings_are_quoted_and_cannot_break_the_header() {
        let header = warning_header("spec.a \"b\" \\ \r\nX: y ü").unwrap();

        assert_eq!(
            header.as_bytes(),
            "299 - \"spec.a \\\"b\\\" \\\\   X: y ü\"".as_bytes()
        );
        assert!(warning_header(&"x".repeat(100_000)).unwrap().len() < 600);
    }
}
