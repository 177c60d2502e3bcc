//! One value of a document on its way into a type.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use super::{Fields, Message, Reading};
use crate::document::node::{Node, Value, field_path};
use crate::duration;
use crate::problem::Problem;

/// A single value and the path that led to it.
pub(crate) struct At<'a> {
    pub(crate) reading: &'a Reading,
    pub(crate) node: &'a Node,
    pub(crate) path: String,
}

impl<'a> At<'a> {
    /// Tells a problem about this value.
    pub(crate) fn problem(&self, message: impl Into<String>) {
        self.reading
            .problem(self.node.mark, Problem::new(&self.path, message));
    }

    /// Tells a problem about this value and what to do about it.
    pub(crate) fn problem_with_hint(&self, message: impl Into<String>, hint: impl Into<String>) {
        self.reading
            .problem(self.node.mark, Problem::new(&self.path, message).with_hint(hint));
    }

    pub(super) fn wrong_type(&self, wanted: &str) {
        if self.node.value == Value::Broken {
            return;
        }
        let problem = Problem::new(
            &self.path,
            format!("must be {wanted}, found {}", self.node.describe()),
        );
        let problem = match (&self.node.value, wanted) {
            (Value::Number(text), "a text") => problem.with_hint(format!("write it in quotes: {text:?}")),
            (Value::Bool(value), "a text") => problem.with_hint(format!("write it in quotes: \"{value}\"")),
            (Value::Text { .. }, "an object" | "a list") | (Value::Null, _) => {
                problem.with_hint("check the indentation of the lines below")
            }
            _ => problem,
        };
        self.reading.problem(self.node.mark, problem);
    }

    /// The value as a text.
    pub(crate) fn text(&self) -> Option<&'a str> {
        match &self.node.value {
            Value::Text { text, .. } => Some(text),
            _ => {
                self.wrong_type("a text");
                None
            }
        }
    }

    /// The value as an object's fields.
    pub(crate) fn fields(&self) -> Option<Fields<'a>> {
        match &self.node.value {
            Value::Map(entries) => Some(Fields {
                reading: self.reading,
                node: self.node,
                path: self.path.clone(),
                entries,
                known: RefCell::default(),
            }),
            _ => {
                self.wrong_type("an object");
                None
            }
        }
    }

    /// The value as a message; unknown fields of it are told.
    pub(crate) fn message<T: Message>(&self) -> Option<T> {
        let fields = self.fields()?;
        let message = T::read(&fields);
        fields.finish();
        Some(message)
    }

    /// The elements of a list.
    pub(crate) fn items(&self) -> Vec<At<'a>> {
        match &self.node.value {
            Value::List(items) => items
                .iter()
                .enumerate()
                .map(|(index, node)| At {
                    reading: self.reading,
                    node,
                    path: format!("{}[{index}]", self.path),
                })
                .collect(),
            _ => {
                self.wrong_type("a list");
                Vec::new()
            }
        }
    }

    /// The entries of a map from free names to values; a name that stands twice is told.
    pub(crate) fn entries(&self) -> Vec<(&'a str, At<'a>)> {
        let Value::Map(entries) = &self.node.value else {
            self.wrong_type("an object");
            return Vec::new();
        };
        let mut found: BTreeMap<&str, At<'_>> = BTreeMap::new();
        for entry in entries {
            let path = field_path(&self.path, &entry.key);
            if found.contains_key(entry.key.as_str()) {
                self.reading
                    .problem(entry.mark, Problem::duplicate_field(path, &entry.key));
                continue;
            }
            found.insert(
                &entry.key,
                At {
                    reading: self.reading,
                    node: &entry.node,
                    path,
                },
            );
        }
        found.into_iter().collect()
    }

    /// A whole number, written as a number or as a text.
    pub(crate) fn integer(&self) -> Option<i64> {
        let text = match &self.node.value {
            Value::Number(text) | Value::Text { text, .. } => text,
            _ => {
                self.wrong_type("a whole number");
                return None;
            }
        };
        let read = whole(text);
        if read.is_none() {
            self.wrong_type("a whole number");
        }
        read
    }

    /// A number with or without a fraction, written as a number or as a text.
    pub(crate) fn number(&self) -> Option<f64> {
        let text = match &self.node.value {
            Value::Number(text) | Value::Text { text, .. } => text,
            _ => {
                self.wrong_type("a number");
                return None;
            }
        };
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Some(number),
            _ => {
                self.wrong_type("a number");
                None
            }
        }
    }

    /// A truth value; YAML's older spellings count when they are not quoted.
    pub(super) fn flag(&self) -> Option<bool> {
        match &self.node.value {
            Value::Bool(value) => Some(*value),
            Value::Text { text, quoted: false } => match text.to_ascii_lowercase().as_str() {
                "yes" | "on" => Some(true),
                "no" | "off" => Some(false),
                _ => {
                    self.wrong_type("true or false");
                    None
                }
            },
            _ => {
                self.wrong_type("true or false");
                None
            }
        }
    }

    /// A time span in the spelling of [`duration`], not checked further.
    pub(super) fn span(&self) -> Option<Duration> {
        match &self.node.value {
            Value::Text { text, .. } => match duration::parse(text) {
                Ok(span) => Some(span),
                Err(error) => {
                    self.problem(error.to_string());
                    None
                }
            },
            _ => {
                self.wrong_type("a duration like \"10s\"");
                None
            }
        }
    }

    /// Whether this value is null, which counts as absent.
    pub(crate) fn is_null(&self) -> bool {
        self.node.value == Value::Null
    }
}

/// The whole number that `text` writes, as `5`, `5.0` or `5e0`.
pub(super) fn whole(text: &str) -> Option<i64> {
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    // Above 2^53 a float no longer tells neighbours apart.
    let number: f64 = text.parse().ok()?;
    (number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0).then_some(number as i64)
}

/// A port number from 1 to 65535.
pub(crate) fn port(at: &At<'_>) -> Option<u16> {
    let number = at.integer()?;
    match u16::try_from(number) {
        Ok(port) if port != 0 => Some(port),
        _ => {
            at.problem(format!("port number {number} must be in the range 1..65535"));
            None
        }
    }
}
