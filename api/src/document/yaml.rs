//! YAML text into trees: the only file that knows the YAML parser.
//!
//! It reads the parser's events rather than deserialising, because a tree with positions lets every problem of
//! a document be told at once, while a deserialiser stops at the first.

mod scalar;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use serde_saphyr::granit_parser::{self, Event, Parser, ScalarStyle, ScanError, Span};

use super::node::{Entry, Mark, Node, Value, shortened};
use super::{MAX_ALIAS_NODES, MAX_BYTES, MAX_DEPTH, RawDocument};
use crate::problem::Problem;

/// Reads every document of `text`; documents that hold nothing are left out. A broken one is followed by the
/// next that begins with `---`.
pub(super) fn read(text: &str) -> Vec<RawDocument> {
    let mut options = granit_parser::options! {
        emit_unresolved_aliases: true,
        disallow_directives: false
    };
    options.set_emit_comments(false);
    let mut parser = Parser::new_from_str_with_options(text, options);
    let mut documents = Vec::new();
    let mut builder = Builder::new(text);
    loop {
        match parser.next_event() {
            None => break,
            Some(Ok((Event::StreamEnd, _))) => break,
            Some(Ok((Event::DocumentStart(..), _))) => builder = Builder::new(text),
            Some(Ok((Event::DocumentEnd, span))) => documents.extend(builder.finish_document(span)),
            Some(Ok((event, span))) => builder.take(event, span),
            Some(Err(error)) => {
                documents.push(builder.fail(text, &error));
                match parser.proceed_next_document() {
                    Ok(true) => builder = Builder::new(text),
                    Ok(false) | Err(_) => break,
                }
            }
        }
    }
    documents
}

/// An object or list whose end has not come yet.
struct Open {
    mark: Mark,
    anchor: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map {
        entries: Vec<Entry>,
        key: Option<(String, Mark)>,
    },
}

/// A value that aliases may stand for, with the number of its nodes; `None` when it is too large for that.
type Anchored = Option<(Node, usize)>;

/// Builds the tree of one document from its events.
struct Builder {
    start: Option<Mark>,
    start_byte: Option<usize>,
    open: Vec<Open>,
    root: Option<Node>,
    /// Anchored values that are small enough to be copied.
    anchors: HashMap<usize, Anchored>,
    alias_nodes: usize,
    problems: Vec<Problem>,
    abandoned: bool,
    text_length: usize,
}

impl Builder {
    fn new(text: &str) -> Builder {
        Builder {
            start: None,
            start_byte: None,
            open: Vec::new(),
            root: None,
            anchors: HashMap::new(),
            alias_nodes: 0,
            problems: Vec::new(),
            abandoned: false,
            text_length: text.len(),
        }
    }

    fn take(&mut self, event: Event<'_>, span: Span) {
        if self.abandoned {
            return;
        }
        let mark = mark(&span);
        if self.start.is_none() && event.is_node() {
            self.start = Some(mark);
            self.start_byte = span.start.byte_offset();
        }
        let read = span.start.byte_offset().unwrap_or(0) - self.start_byte.unwrap_or(0);
        if read > MAX_BYTES {
            // The end says how long the document is; what is built of it until then is not needed.
            self.open.clear();
            self.anchors.clear();
            self.abandoned = true;
            return;
        }
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let tag = tag.map(|tag| tag.to_string());
                let value = self.scalar(text, style, tag, mark);
                self.complete(Node { mark, value }, anchor);
            }
            Event::SequenceStart(_, anchor, _) => self.begin(mark, anchor, Content::List(Vec::new())),
            Event::MappingStart(_, anchor, _) => self.begin(
                mark,
                anchor,
                Content::Map {
                    entries: Vec::new(),
                    key: None,
                },
            ),
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => self.alias(anchor, mark),
            Event::UnresolvedAlias(name) => {
                self.problem(
                    mark,
                    format!("the alias *{name} names nothing"),
                    Some(format!("if it is a wildcard, quote it: \"*{name}\"")),
                );
                self.complete(
                    Node {
                        mark,
                        value: Value::Broken,
                    },
                    0,
                );
            }
            _ => {}
        }
    }

    fn scalar(&mut self, text: Cow<'_, str>, style: ScalarStyle, tag: Option<String>, mark: Mark) -> Value {
        let quoted = style != ScalarStyle::Plain;
        match tag.as_deref() {
            None if !quoted => scalar::plain(text),
            Some("tag:yaml.org,2002:str" | "!!str") | None => Value::Text {
                text: text.into_owned(),
                quoted: true,
            },
            Some(core) if core.starts_with("tag:yaml.org,2002:") || core.starts_with("!!") => {
                scalar::plain(text)
            }
            Some(other) => {
                let tag = shortened(other);
                self.problem(
                    mark,
                    format!("the tag {tag} is not supported"),
                    Some("leave it out".into()),
                );
                Value::Broken
            }
        }
    }

    fn begin(&mut self, mark: Mark, anchor: usize, content: Content) {
        if self.open.len() >= MAX_DEPTH {
            self.problem(mark, format!("nested deeper than {MAX_DEPTH} levels"), None);
            self.abandoned = true;
            return;
        }
        self.open.push(Open {
            mark,
            anchor,
            content,
        });
    }

    fn end(&mut self) {
        let Some(Open {
            mark,
            anchor,
            content,
        }) = self.open.pop()
        else {
            return;
        };
        let value = match content {
            Content::List(items) => Value::List(items),
            Content::Map { entries, .. } => Value::Map(self.merged(entries)),
        };
        self.complete(Node { mark, value }, anchor);
    }

    /// Hangs a finished value into what is open, as a key or as a value.
    fn complete(&mut self, mut node: Node, anchor: usize) {
        if anchor != 0 {
            let small = node.size(MAX_ALIAS_NODES).map(|size| (node.clone(), size));
            self.anchors.insert(anchor, small);
        }
        match self.open.last_mut().map(|open| &mut open.content) {
            None => self.root = Some(node),
            Some(Content::List(items)) => items.push(node),
            Some(Content::Map { entries, key }) => match key.take() {
                Some((key, mark)) => {
                    // What is written below its name is looked for at the name.
                    let below = mark.line != node.mark.line;
                    if below && matches!(node.value, Value::List(_) | Value::Map(_)) {
                        node.mark = mark;
                    }
                    entries.push(Entry { key, mark, node });
                }
                None => match key_text(&node) {
                    Some(text) => *key = Some((text, node.mark)),
                    None => {
                        *key = Some((String::new(), node.mark));
                        let found = node.describe();
                        self.problem(
                            node.mark,
                            format!("a field name must be a text, found {found}"),
                            None,
                        );
                    }
                },
            },
        }
    }

    /// Puts a copy of an anchored value in place, as long as all copies of the document stay few.
    fn alias(&mut self, anchor: usize, mark: Mark) {
        let value = match self.anchors.get(&anchor) {
            Some(Some((target, size))) if self.alias_nodes + size <= MAX_ALIAS_NODES => {
                self.alias_nodes += size;
                target.value.clone()
            }
            Some(_) => {
                self.problem(
                    mark,
                    format!("aliases stand for more than {MAX_ALIAS_NODES} values"),
                    Some("write the values out".into()),
                );
                self.abandoned = true;
                return;
            }
            None => {
                self.problem(mark, "an alias stands inside its own anchor".into(), None);
                Value::Broken
            }
        };
        self.complete(Node { mark, value }, 0);
    }

    /// Applies `<<` merge keys: fields that the object sets itself win, earlier merges win over later ones.
    fn merged(&mut self, entries: Vec<Entry>) -> Vec<Entry> {
        if !entries.iter().any(|entry| entry.key == "<<") {
            return entries;
        }
        let (merges, mut own): (Vec<Entry>, Vec<Entry>) =
            entries.into_iter().partition(|entry| entry.key == "<<");
        let mut names: HashSet<String> = own.iter().map(|entry| entry.key.clone()).collect();
        for merge in merges {
            let sources = match merge.node.value {
                Value::List(items) => items,
                _ => vec![merge.node],
            };
            for source in sources {
                match source.value {
                    Value::Map(fields) => {
                        for field in fields {
                            if names.insert(field.key.clone()) {
                                own.push(field);
                            }
                        }
                    }
                    Value::Broken => {}
                    _ => {
                        let found = source.describe();
                        self.problem(source.mark, format!("a merge takes objects, found {found}"), None);
                    }
                }
            }
        }
        own
    }

    fn finish_document(&mut self, end: Span) -> Option<RawDocument> {
        let start = self.start.unwrap_or(mark(&end));
        let bytes = end.start.byte_offset().unwrap_or(self.text_length) - self.start_byte.unwrap_or(0);
        if bytes > MAX_BYTES {
            self.problems.clear();
            self.problem(start, super::oversize(bytes), None);
            self.root = None;
        }
        let root = self.root.take();
        let problems = std::mem::take(&mut self.problems);
        match root {
            Some(Node {
                value: Value::Null, ..
            })
            | None
                if problems.is_empty() =>
            {
                None
            }
            root => Some(RawDocument {
                line: start.line,
                root: root.unwrap_or(Node {
                    mark: start,
                    value: Value::Broken,
                }),
                problems,
            }),
        }
    }

    fn fail(&mut self, text: &str, error: &ScanError) -> RawDocument {
        let at = error.marker();
        let mark = position(at.line(), at.col());
        let line = text.lines().nth(at.line().saturating_sub(1)).unwrap_or("");
        self.problem(
            mark,
            format!("broken YAML: {}", error.info()),
            syntax_hint(line, mark.column),
        );
        RawDocument {
            line: self.start.unwrap_or(mark).line,
            root: Node {
                mark,
                value: Value::Broken,
            },
            problems: std::mem::take(&mut self.problems),
        }
    }

    fn problem(&mut self, mark: Mark, message: String, hint: Option<String>) {
        self.problems.push(Problem {
            line: mark.line,
            column: mark.column,
            message,
            hint,
            ..Problem::default()
        });
    }
}

/// The next step for the two slips that the parser cannot explain: a bare wildcard, which YAML takes for the
/// name of an alias, and a tab.
fn syntax_hint(line: &str, column: u32) -> Option<String> {
    let column = usize::try_from(column).unwrap_or(usize::MAX);
    let star = line
        .char_indices()
        .skip(column.saturating_sub(2))
        .take(2)
        .find(|(_, sign)| *sign == '*');
    if let Some((start, _)) = star {
        let rest = &line[start..];
        let end = rest
            .find(|sign: char| sign.is_whitespace() || matches!(sign, ',' | ']' | '}'))
            .unwrap_or(rest.len());
        return Some(format!(
            "if it is a wildcard, quote it: \"{}\"",
            shortened(&rest[..end])
        ));
    }
    let indent = &line[..line.len() - line.trim_start().len()];
    indent
        .contains('\t')
        .then(|| "indent with spaces: YAML allows no tabs there".into())
}

fn mark(span: &Span) -> Mark {
    position(span.start.line(), span.start.col())
}

/// The parser counts lines from 1 and columns from 0.
fn position(line: usize, column: usize) -> Mark {
    Mark {
        line: u32::try_from(line).unwrap_or(u32::MAX),
        column: u32::try_from(column.saturating_add(1)).unwrap_or(u32::MAX),
    }
}

fn key_text(node: &Node) -> Option<String> {
    match &node.value {
        Value::Text { text, .. } | Value::Number(text) => Some(text.clone()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Null | Value::List(_) | Value::Map(_) | Value::Broken => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(text: &str) -> RawDocument {
        let mut documents = read(text);
        assert_eq!(documents.len(), 1, "{text}");
        documents.remove(0)
    }

    fn value(text: &str) -> Value {
        match only(text).root.value {
            Value::Map(mut entries) => entries.remove(0).node.value,
            other => other,
        }
    }

    #[test]
    fn scalars_keep_their_spelling_until_the_field_is_known() {
        for (text, expected) in [
            ("a: 1.10", Value::Number("1.10".into())),
            ("a: 1e3", Value::Number("1e3".into())),
            ("a: true", Value::Bool(true)),
            ("a: ~", Value::Null),
            ("a:", Value::Null),
            (
                "a: yes",
                Value::Text {
                    text: "yes".into(),
                    quoted: false,
                },
            ),
            (
                "a: 7.000s",
                Value::Text {
                    text: "7.000s".into(),
                    quoted: false,
                },
            ),
            (
                "a: 10.0.0.1",
                Value::Text {
                    text: "10.0.0.1".into(),
                    quoted: false,
                },
            ),
            (
                "a: \"1\"",
                Value::Text {
                    text: "1".into(),
                    quoted: true,
                },
            ),
            (
                "a: !!str 1",
                Value::Text {
                    text: "1".into(),
                    quoted: true,
                },
            ),
        ] {
            assert_eq!(value(text), expected, "{text}");
        }
    }

    #[test]
    fn a_bare_wildcard_is_answered_with_the_quotes_it_needs() {
        for text in [
            "service: *.foo.com",
            "hosts:\n- *.foo.com\n",
            "host: *",
            "hosts:\n- *\n",
            "hosts: [*]",
        ] {
            let document = only(text);
            let hint = document.problems[0].hint.clone().unwrap_or_default();
            assert!(hint.contains("quote it"), "{text}: {:?}", document.problems);
        }
    }

    #[test]
    fn the_document_after_a_broken_one_is_still_read() {
        let documents = read("a: [1\n---\nb: 2\n---\n# nothing\n---\nc: {\n");

        assert_eq!(documents.len(), 3);
        assert!(
            documents[0].problems[0].message.starts_with("broken YAML"),
            "{:?}",
            documents[0].problems
        );
        assert_eq!(documents[1].line, 3);
        assert!(documents[1].problems.is_empty());
        assert!(!documents[2].problems.is_empty());
    }

    #[test]
    fn merge_keys_fill_in_what_the_object_leaves_open() {
        let document = only("base: &b {x: 1, y: 2}\nuse:\n  <<: *b\n  y: 3\n");
        assert!(document.problems.is_empty(), "{:?}", document.problems);
        let Value::Map(entries) = document.root.value else {
            panic!("no map")
        };
        let Value::Map(fields) = &entries[1].node.value else {
            panic!("no map")
        };
        let seen: Vec<(&str, &Value)> = fields
            .iter()
            .map(|entry| (entry.key.as_str(), &entry.node.value))
            .collect();
        assert_eq!(
            seen,
            [
                ("y", &Value::Number("3".into())),
                ("x", &Value::Number("1".into()))
            ]
        );
    }

    #[test]
    fn bombs_are_refused() {
        let deep = format!("{}1{}", "[".repeat(65), "]".repeat(65));
        assert_eq!(only(&deep).problems[0].message, "nested deeper than 64 levels");

        let laughs = "a: &a [1,1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n";
        assert_eq!(
            only(laughs).problems[0].message,
            "aliases stand for more than 100 values"
        );

        let long = format!("a: {}", "x".repeat(MAX_BYTES + 1));
        assert!(
            only(&long).problems[0].message.contains("1.5 MiB"),
            "{:?}",
            only(&long).problems
        );
    }
}
