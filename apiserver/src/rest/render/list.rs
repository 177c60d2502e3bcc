//! The body of a list in each style, made piece by piece while it is sent.

use std::sync::Arc;

use bytes::Bytes;
use outrigger_api::kind::Kind;

use super::{pretty, yaml};
use crate::object::Stored;
use crate::rest::media::Style;

/// Size of a piece, in bytes.
const PIECE: usize = 64 << 10;

/// The body of a list, made while it is sent: many lists at once cost little more than their handles.
pub(in crate::rest) struct Items {
    style: Style,
    /// What stands before the first object; `None` once it was sent.
    head: Option<String>,
    objects: std::vec::IntoIter<Arc<Stored>>,
    first: bool,
    /// `None` once it was sent.
    tail: Option<&'static str>,
}

impl Items {
    pub(super) fn new(style: Style, kind: Kind, version: u64, objects: Vec<Arc<Stored>>) -> Self {
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
    pub(in crate::rest) fn next_piece(&mut self) -> Option<Bytes> {
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
    use serde_json::Value;

    use super::*;
    use crate::testing::gateway;

    fn read(style: Style, text: &str) -> Value {
        match style {
            Style::Json | Style::Pretty => serde_json::from_str(text).unwrap(),
            Style::Yaml => serde_saphyr::from_str(text).unwrap(),
        }
    }

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
}
