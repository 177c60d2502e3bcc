//! JSON text into trees with positions, one or more documents behind one another.
//!
//! JSON has its own reader because YAML, although nearly a superset, disagrees on surrogate pairs, tabs and
//! long keys, and because its messages talk of indentation.

use std::cell::Cell;

use super::node::{Entry, Mark, Node, Value};
use super::{MAX_BYTES, MAX_DEPTH, RawDocument};
use crate::problem::Problem;

/// Reads every JSON value of `text`.
///
/// # Errors
/// The first place that is not JSON.
pub(super) fn read(text: &str) -> Result<Vec<RawDocument>, Box<Problem>> {
    let mut reader = Reader {
        text,
        at: 0,
        start: 0,
        line: 1,
        counted: Cell::new((0, 1)),
        depth: 0,
    };
    let mut documents = Vec::new();
    loop {
        reader.skip_space();
        if reader.at == text.len() {
            return Ok(documents);
        }
        reader.start = reader.at;
        let mut root = reader.value()?;
        let mut problems = Vec::new();
        if reader.at - reader.start > MAX_BYTES {
            problems.push(place(root.mark, super::oversize(reader.at - reader.start)));
            root.value = Value::Broken;
        }
        documents.push(RawDocument {
            line: root.mark.line,
            root,
            problems,
        });
    }
}

/// The tree of a value that is already read; it has no positions.
pub(super) fn of_value(value: &serde_json::Value) -> RawDocument {
    let mut problems = Vec::new();
    let root = node_of(value, 0);
    if root.is_none() {
        problems.push(Problem::new("", format!("nested deeper than {MAX_DEPTH} levels")));
    }
    RawDocument {
        line: 0,
        root: root.unwrap_or(Node {
            mark: Mark::default(),
            value: Value::Broken,
        }),
        problems,
    }
}

fn node_of(value: &serde_json::Value, depth: usize) -> Option<Node> {
    use serde_json::Value as Json;
    let nested = matches!(value, Json::Array(_) | Json::Object(_));
    if nested && depth == MAX_DEPTH {
        return None;
    }
    let value = match value {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => Value::Number(number.to_string()),
        Json::String(text) => Value::Text {
            text: text.clone(),
            quoted: true,
        },
        Json::Array(items) => Value::List(
            items
                .iter()
                .map(|item| node_of(item, depth + 1))
                .collect::<Option<_>>()?,
        ),
        Json::Object(fields) => Value::Map(
            fields
                .iter()
                .map(|(key, field)| {
                    Some(Entry {
                        key: key.clone(),
                        mark: Mark::default(),
                        node: node_of(field, depth + 1)?,
                    })
                })
                .collect::<Option<_>>()?,
        ),
    };
    Some(Node {
        mark: Mark::default(),
        value,
    })
}

struct Reader<'a> {
    text: &'a str,
    /// Byte offset of the next character.
    at: usize,
    /// Byte offset where the document begins.
    start: usize,
    line: u32,
    /// The last place of this line whose column is known: byte offset and column. Counting on from it keeps a
    /// long line linear.
    counted: Cell<(usize, u32)>,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn value(&mut self) -> Result<Node, Box<Problem>> {
        let mark = self.mark();
        if self.at - self.start > MAX_BYTES {
            return Err(self.refuse(format!("the object is longer than {MAX_BYTES} bytes (1.5 MiB)")));
        }
        let value = match self.peek() {
            Some(b'{') => self.nested(Reader::object)?,
            Some(b'[') => self.nested(Reader::list)?,
            Some(b'"') => Value::Text {
                text: self.string()?,
                quoted: true,
            },
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(_) => self.word()?,
            None => return Err(self.refuse("the text ends where a value is expected")),
        };
        Ok(Node { mark, value })
    }

    fn nested(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<Value, Box<Problem>>,
    ) -> Result<Value, Box<Problem>> {
        if self.depth == MAX_DEPTH {
            return Err(self.refuse(format!("nested deeper than {MAX_DEPTH} levels")));
        }
        self.depth += 1;
        self.at += 1;
        let value = read(self);
        self.depth -= 1;
        value
    }

    fn object(&mut self) -> Result<Value, Box<Problem>> {
        let mut entries = Vec::new();
        self.skip_space();
        if self.eat(b'}') {
            return Ok(Value::Map(entries));
        }
        loop {
            self.skip_space();
            let mark = self.mark();
            if self.peek() != Some(b'"') {
                return Err(self.unexpected("a field name in double quotes"));
            }
            let key = self.string()?;
            self.skip_space();
            if !self.eat(b':') {
                return Err(self.unexpected("':' after the field name"));
            }
            self.skip_space();
            let node = self.value()?;
            entries.push(Entry { key, mark, node });
            self.skip_space();
            if self.eat(b'}') {
                return Ok(Value::Map(entries));
            }
            if !self.eat(b',') {
                return Err(self.unexpected("',' or '}'"));
            }
        }
    }

    fn list(&mut self) -> Result<Value, Box<Problem>> {
        let mut items = Vec::new();
        self.skip_space();
        if self.eat(b']') {
            return Ok(Value::List(items));
        }
        loop {
            self.skip_space();
            items.push(self.value()?);
            self.skip_space();
            if self.eat(b']') {
                return Ok(Value::List(items));
            }
            if !self.eat(b',') {
                return Err(self.unexpected("',' or ']'"));
            }
        }
    }

    /// The characters of a string; the escapes themselves are left to the JSON library.
    fn string(&mut self) -> Result<String, Box<Problem>> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let mut end = start + 1;
        loop {
            match bytes.get(end) {
                Some(b'"') => break,
                Some(b'\\') => end += 2,
                Some(b'\n') | None => return Err(self.refuse("a string without its closing quote")),
                Some(_) => end += 1,
            }
        }
        match serde_json::from_str(&self.text[start..=end]) {
            Ok(text) => {
                self.at = end + 1;
                Ok(text)
            }
            Err(_) => {
                Err(self.refuse("a string with an escape or control character that JSON does not know"))
            }
        }
    }

    fn number(&mut self) -> Result<Value, Box<Problem>> {
        let word = self.word_ahead();
        match serde_json::from_str::<serde_json::Number>(word) {
            Ok(_) => {
                self.at += word.len();
                Ok(Value::Number(word.to_owned()))
            }
            Err(_) => Err(self.refuse(format!("{word:?} is not a number"))),
        }
    }

    fn word(&mut self) -> Result<Value, Box<Problem>> {
        let word = self.word_ahead();
        let value = match word {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            "null" => Value::Null,
            _ => return Err(self.unexpected("a value")),
        };
        self.at += word.len();
        Ok(value)
    }

    fn word_ahead(&self) -> &'a str {
        let rest = &self.text[self.at..];
        let end = rest
            .find(|sign: char| !(sign.is_ascii_alphanumeric() || matches!(sign, '+' | '-' | '.')))
            .unwrap_or(rest.len());
        &rest[..end]
    }

    fn skip_space(&mut self) {
        while let Some(byte @ (b' ' | b'\t' | b'\r' | b'\n')) = self.peek() {
            self.at += 1;
            if byte == b'\n' {
                self.line = self.line.saturating_add(1);
                self.counted.set((self.at, 1));
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn mark(&self) -> Mark {
        let (from, known) = self.counted.get();
        let more = u32::try_from(self.text[from..self.at].chars().count()).unwrap_or(u32::MAX);
        let column = known.saturating_add(more);
        self.counted.set((self.at, column));
        Mark {
            line: self.line,
            column,
        }
    }

    fn unexpected(&self, wanted: &str) -> Box<Problem> {
        match self.text[self.at..].chars().next() {
            Some(found) => self.refuse(format!("expected {wanted}, found {found:?}")),
            None => self.refuse(format!("expected {wanted}, found the end of the text")),
        }
    }

    fn refuse(&self, message: impl std::fmt::Display) -> Box<Problem> {
        Box::new(place(self.mark(), format!("broken JSON: {message}")))
    }
}

fn place(mark: Mark, message: String) -> Problem {
    Problem {
        line: mark.line,
        column: mark.column,
        message,
        ..Problem::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_with_their_place() {
        let documents = read("{\n\t\"a\": [1, \"\\ud83d\\ude00\"]\n}\n{\"b\": null}").unwrap();

        assert_eq!(documents.len(), 2);
        assert_eq!(documents[1].line, 4);
        let Value::Map(entries) = &documents[0].root.value else {
            panic!("no map")
        };
        let Value::List(items) = &entries[0].node.value else {
            panic!("no list")
        };
        assert_eq!(items[1].mark, Mark { line: 2, column: 11 });
        assert_eq!(
            items[1].value,
            Value::Text {
                text: "\u{1f600}".into(),
                quoted: true
            }
        );
    }

    #[test]
    fn each_break_is_named_at_its_place() {
        for (text, expected) in [
            (
                "{\"a\": 1",
                "1:8: broken JSON: expected ',' or '}', found the end of the text",
            ),
            (
                "{\"a\" 1}",
                "1:6: broken JSON: expected ':' after the field name, found '1'",
            ),
            (
                "{a: 1}",
                "1:2: broken JSON: expected a field name in double quotes, found 'a'",
            ),
            ("{\"a\": }", "1:7: broken JSON: expected a value, found '}'"),
            ("[1 2]", "1:4: broken JSON: expected ',' or ']', found '2'"),
            ("[\"x", "1:2: broken JSON: a string without its closing quote"),
            ("[01]", "1:2: broken JSON: \"01\" is not a number"),
            (
                "[\n\"\\q\"]",
                "2:1: broken JSON: a string with an escape or control character that JSON does not know",
            ),
            ("[", "1:2: broken JSON: the text ends where a value is expected"),
        ] {
            let problem = read(text).unwrap_err();
            assert_eq!(
                format!("{}:{}: {}", problem.line, problem.column, problem.message),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn deep_nesting_is_refused_without_a_deep_stack() {
        let problem = read(&"[".repeat(100_000)).unwrap_err();
        assert_eq!(problem.message, "broken JSON: nested deeper than 64 levels");
    }
}
