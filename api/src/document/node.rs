//! The tree that a document is read into: scalars as written, every field and value with its line and column.

/// A place in a text, both counted from 1, columns in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) line: u32,
    pub(crate) column: u32,
}

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) mark: Mark,
    pub(crate) value: Value,
}

/// What stands there. Numbers keep their spelling, so that nothing is rounded before its field is known.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// `null`, `~` or nothing: the field counts as absent.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An unquoted number.
    Number(String),
    /// A text; `quoted` is false when it stood bare in YAML.
    Text {
        /// The characters.
        text: String,
        /// True when it was in quotes or a block, so it can be nothing but a text.
        quoted: bool,
    },
    /// A list.
    List(Vec<Node>),
    /// An object, in the order of the document, duplicates included.
    Map(Vec<Entry>),
    /// Something about which a problem is already told; readers keep quiet about it.
    Broken,
}

/// One field of an object.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) mark: Mark,
    pub(crate) node: Node,
}

impl Node {
    /// How messages name the value: `the number 5`, `a list`.
    pub(crate) fn describe(&self) -> String {
        match &self.value {
            Value::Null => "nothing".into(),
            Value::Bool(value) => value.to_string(),
            Value::Number(text) => format!("the number {text}"),
            Value::Text { text, .. } => format!("the text {:?}", shortened(text)),
            Value::List(_) => "a list".into(),
            Value::Map(_) => "an object".into(),
            Value::Broken => "a broken value".into(),
        }
    }

    /// The number of nodes in this tree, itself included; `None` when it is above `limit`. Looks at no more
    /// than `limit` nodes.
    pub(crate) fn size(&self, limit: usize) -> Option<usize> {
        let below: &mut dyn Iterator<Item = &Node> = match &self.value {
            Value::List(items) => &mut items.iter(),
            Value::Map(entries) => &mut entries.iter().map(|entry| &entry.node),
            _ => &mut std::iter::empty(),
        };
        let mut size = 1;
        for node in below {
            size += node.size(limit.checked_sub(size)?)?;
        }
        (size <= limit).then_some(size)
    }

    /// Where the field at `path` stands; the nearest enclosing value when the path leads to nothing.
    pub(crate) fn locate(&self, path: &str) -> Mark {
        let mut node = self;
        for step in steps(path) {
            let next = match (&node.value, step) {
                (Value::List(items), Step::Index(index)) => items.get(index),
                (Value::Map(entries), Step::Field(name)) => entries
                    .iter()
                    .find(|entry| is_spelling(&entry.key, name))
                    .map(|entry| &entry.node),
                _ => None,
            };
            match next {
                Some(next) => node = next,
                None => break,
            }
        }
        node.mark
    }
}

/// At most 60 characters of a text, for messages.
pub(crate) fn shortened(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// True when `key` is `name` (lowerCamelCase) in either spelling: `httpFault` or `http_fault`.
pub(crate) fn is_spelling(key: &str, name: &str) -> bool {
    if key == name {
        return true;
    }
    let mut written = key.chars();
    name.chars().all(|expected| {
        if expected.is_ascii_uppercase() {
            written.next() == Some('_') && written.next() == Some(expected.to_ascii_lowercase())
        } else {
            written.next() == Some(expected)
        }
    }) && written.next().is_none()
}

/// `parent` extended by a field: `spec.route`, or `spec.match["a.b"]` when the name has signs of its own.
pub(crate) fn field_path(parent: &str, name: &str) -> String {
    let plain = !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    match (parent.is_empty(), plain) {
        (true, true) => name.to_owned(),
        (false, true) => format!("{parent}.{name}"),
        (_, false) => format!("{parent}[{name:?}]"),
    }
}

enum Step<'a> {
    Field(&'a str),
    Index(usize),
}

/// The steps of a path as [`field_path`] and list indices build them; an unreadable rest is dropped.
fn steps(path: &str) -> impl Iterator<Item = Step<'_>> {
    let mut rest = path;
    std::iter::from_fn(move || {
        rest = rest.strip_prefix('.').unwrap_or(rest);
        if let Some(quoted) = rest.strip_prefix("[\"") {
            let end = quoted.find("\"]")?;
            rest = &quoted[end + 2..];
            return Some(Step::Field(&quoted[..end]));
        }
        if let Some(indexed) = rest.strip_prefix('[') {
            let end = indexed.find(']')?;
            rest = &indexed[end + 1..];
            return indexed[..end].parse().ok().map(Step::Index);
        }
        if rest.is_empty() {
            return None;
        }
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        let name = &rest[..end];
        rest = &rest[end..];
        Some(Step::Field(name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_of_a_field_are_the_field() {
        for key in ["httpReqTimeout", "http_req_timeout"] {
            assert!(is_spelling(key, "httpReqTimeout"), "{key}");
        }
        assert!(is_spelling(
            "http1_max_pending_requests",
            "http1MaxPendingRequests"
        ));
        for key in [
            "httpreqtimeout",
            "http_reqTimeout",
            "http_req_timeout_",
            "http",
            "HttpReqTimeout",
        ] {
            assert!(!is_spelling(key, "httpReqTimeout"), "{key}");
        }
    }

    #[test]
    fn a_path_leads_to_its_value_and_a_broken_path_to_the_nearest() {
        let text = |line| Node {
            mark: Mark { line, column: 1 },
            value: Value::Null,
        };
        let entry = |key: &str, node| Entry {
            key: key.into(),
            mark: Mark::default(),
            node,
        };
        let tree = Node {
            mark: Mark { line: 1, column: 1 },
            value: Value::Map(vec![entry(
                "http_route",
                Node {
                    mark: Mark { line: 2, column: 1 },
                    value: Value::List(vec![text(3), text(4)]),
                },
            )]),
        };

        assert_eq!(tree.locate("httpRoute[1]").line, 4);
        assert_eq!(tree.locate("httpRoute[7].weight").line, 2);
        assert_eq!(tree.locate("nothing").line, 1);
        assert_eq!(tree.locate("").line, 1);
        assert_eq!(tree.locate("httpRoute[").line, 2);
    }

    #[test]
    fn names_with_signs_are_quoted_in_paths_and_found_again() {
        assert_eq!(field_path("spec.headers", "end-user"), "spec.headers.end-user");
        let path = field_path("labels", "a.b/c");
        assert_eq!(path, "labels[\"a.b/c\"]");

        let fields: Vec<String> = steps(&path)
            .map(|step| match step {
                Step::Field(name) => name.to_owned(),
                Step::Index(index) => index.to_string(),
            })
            .collect();
        assert_eq!(fields, ["labels", "a.b/c"]);
    }
}
