//! Answers as values, and how they become bytes in the style that was asked for.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WARNING, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use outrigger_api::kind::Kind;
use outrigger_client::status::Status;
use serde_json::Value;

use super::body::ReplyBody;
use super::media::Style;
use crate::object::Stored;

/// Warnings in one answer, and characters of each, so that headers stay small.
const WARNINGS: (usize, usize) = (20, 500);
/// Size of a piece of a list's body, in bytes.
const PIECE: usize = 64 << 10;

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

/// The body of a list, made while it is sent: many lists at once cost little more than their handles.
pub(super) struct Items {
    style: Style,
    /// What stands before the first object; `None` once it was sent.
    head: Option<String>,
    objects: std::vec::IntoIter<Arc<Stored>>,
    first: bool,
    /// `None` once it was sent.
    tail: Option<&'static str>,
}

impl Items {
    fn new(style: Style, kind: Kind, version: u64, objects: Vec<Arc<Stored>>) -> Self {
        let (name, api_version, empty) = (kind.name(), kind.api_version(), objects.is_empty());
        let (head, tail) = match style {
            Style::Json => (
                format!(
                    r#"{{"kind":"{name}List","apiVersion":"{api_version}","metadata":{{"resourceVersion":"{version}"}},"items":["#
                ),
                "]}\n",
            ),
            Style::Pretty => (
                format!(
                    "{{\n  \"kind\": \"{name}List\",\n  \"apiVersion\": \"{api_version}\",\n  \"metadata\": {{\n    \
                     \"resourceVersion\": \"{version}\"\n  }},\n  \"items\": ["
                ),
                if empty { "]\n}\n" } else { "\n  ]\n}\n" },
            ),
            Style::Yaml => (
                format!(
                    "apiVersion: {api_version}\nkind: {name}List\nmetadata:\n  resourceVersion: \"{version}\"\nitems:"
                ),
                if empty { " []\n" } else { "\n" },
            ),
        };
        Items {
            style,
            head: Some(head),
            objects: objects.into_iter(),
            first: true,
            tail: Some(tail),
        }
    }

    /// The next piece of the body, about 64 KiB; `None` at its end.
    pub(super) fn next_piece(&mut self) -> Option<Bytes> {
        let mut piece = self.head.take().unwrap_or_default().into_bytes();
        while piece.len() < PIECE {
            let Some(object) = self.objects.next() else {
                piece.extend_from_slice(self.tail.take().unwrap_or("").as_bytes());
                break;
            };
            self.render(&object, &mut piece);
            self.first = false;
        }
        if piece.is_empty() {
            None
        } else {
            Some(piece.into())
        }
    }

    fn render(&self, object: &Stored, piece: &mut Vec<u8>) {
        let comma = if self.first || self.style == Style::Yaml {
            ""
        } else {
            ","
        };
        piece.extend_from_slice(comma.as_bytes());
        match self.style {
            Style::Json => piece.extend_from_slice(&object.json),
            Style::Pretty => indented("\n    ", "    ", &pretty(&object.json), piece),
            Style::Yaml => indented("\n- ", "  ", &yaml(&object.json), piece),
        }
    }
}

fn indented(first: &str, others: &str, text: &str, piece: &mut Vec<u8>) {
    for (position, line) in text.trim_end().lines().enumerate() {
        let lead = if position == 0 { first } else { "\n" };
        piece.extend_from_slice(lead.as_bytes());
        if position > 0 && !line.is_empty() {
            piece.extend_from_slice(others.as_bytes());
        }
        piece.extend_from_slice(line.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::gateway;

    fn body(style: Style, objects: usize) -> String {
        let objects = (0..objects).map(|n| {
            let mut resource = gateway("default", &format!("g{n}"));
            resource
                .meta
                .annotations
                .insert("note".into(), "two\n\nlines: \"quoted\"\n".into());
            Arc::new(Stored::new(resource, n as u64 + 1))
        });
        let mut items = Items::new(style, Kind::Gateway, 9, objects.collect());
        let mut body = Vec::new();
        while let Some(piece) = items.next_piece() {
            assert!(piece.len() < 2 * PIECE, "a piece of {} bytes", piece.len());
            body.extend_from_slice(&piece);
        }
        String::from_utf8(body).unwrap()
    }

    fn read(style: Style, text: &str) -> Value {
        match style {
            Style::Json | Style::Pretty => serde_json::from_str(text).unwrap(),
            Style::Yaml => serde_saphyr::from_str(text).unwrap(),
        }
    }

    #[test]
    fn a_list_says_the_same_in_every_style() {
        for count in [0, 1, 3, 400] {
            let expected = read(Style::Json, &body(Style::Json, count));
            assert_eq!(expected["items"].as_array().unwrap().len(), count);
            assert_eq!(expected["metadata"]["resourceVersion"], "9");
            for style in [Style::Pretty, Style::Yaml] {
                let text = body(style, count);
                assert_eq!(read(style, &text), expected, "{style:?} {count}\n{text:.500}");
            }
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
