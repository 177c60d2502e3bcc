//! Reads typed values out of a document's tree and tells every problem on the way, each at its place.
//!
//! A message type implements [`Message`]; its `read` asks for each of its fields by lowerCamelCase name. Which
//! names were asked for is also how unknown fields are found, so a type has no second list of its fields.
//! Reading never stops early: a field that cannot be read yields its default, and because a problem is then
//! told, the value that holds the default never leaves [`crate::document`].

mod reading;
mod value;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

pub(crate) use reading::Reading;
pub(crate) use value::{At, port};

use crate::choice::Choice;
use crate::custom::Custom;
use crate::document::node::{Entry, Mark, Node, Value, field_path, is_spelling, shortened};
use crate::duration;
use crate::model::Labels;
use crate::near::nearest;
use crate::output::Object;
use crate::problem::Problem;

/// A type that stands for one object of a document.
pub(crate) trait Message: Sized {
    /// Reads the object and checks it.
    fn read(fields: &Fields<'_>) -> Self;
    /// Writes the object in canonical form: lowerCamelCase, without fields that have their default.
    fn write(&self, out: &mut Object);
}

/// The fields of one object.
pub(crate) struct Fields<'a> {
    reading: &'a Reading,
    node: &'a Node,
    path: String,
    entries: &'a [Entry],
    /// Names asked for so far.
    known: RefCell<Vec<&'static str>>,
}

impl<'a> Fields<'a> {
    /// The value of a field in either spelling; `None` when absent or null. Both spellings at once are told.
    pub(crate) fn at(&self, name: &'static str) -> Option<At<'a>> {
        let first_question = !self.known.borrow().contains(&name);
        if first_question {
            self.known.borrow_mut().push(name);
        }
        let mut found = self.entries.iter().filter(|entry| is_spelling(&entry.key, name));
        let entry = found.next()?;
        if first_question {
            for again in found {
                let problem = Problem::duplicate_field(field_path(&self.path, name), name);
                let problem = if again.key == entry.key {
                    problem
                } else {
                    problem.with_hint(format!("{} and {} are one field", entry.key, again.key))
                };
                self.reading.problem(again.mark, problem);
            }
        }
        (entry.node.value != Value::Null).then(|| At {
            reading: self.reading,
            node: &entry.node,
            path: field_path(&self.path, name),
        })
    }

    /// Whether a problem about the field's value is told already, so that it must not be called missing.
    pub(crate) fn is_broken(&self, name: &'static str) -> bool {
        self.at(name).is_some_and(|at| at.node.value == Value::Broken)
    }

    /// Whether the field is there and not null.
    pub(crate) fn has(&self, name: &'static str) -> bool {
        self.at(name).is_some()
    }

    /// Tells a problem about the object as a whole.
    pub(crate) fn problem(&self, message: impl Into<String>) {
        self.reading
            .problem(self.node.mark, Problem::new(&self.path, message));
    }

    /// Tells a problem about a field; when the field is absent, at the object.
    pub(crate) fn problem_at(&self, name: &'static str, message: impl Into<String>) {
        self.tell(name, Problem::new(field_path(&self.path, name), message));
    }

    /// Tells a problem about a field and what to do about it.
    pub(crate) fn problem_at_with_hint(
        &self,
        name: &'static str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.tell(
            name,
            Problem::new(field_path(&self.path, name), message).with_hint(hint),
        );
    }

    fn tell(&self, name: &'static str, problem: Problem) {
        self.reading.problem(self.mark_of(name), problem);
    }

    /// Tells a warning about a field, which does not refuse the document.
    pub(crate) fn warn_at(&self, name: &'static str, message: impl Into<String>) {
        self.reading.warning(
            self.mark_of(name),
            Problem::new(field_path(&self.path, name), message),
        );
    }

    /// Where a field's value stands, or its name when it has no value, or the object when it is absent.
    fn mark_of(&self, name: &'static str) -> Mark {
        match self.entries.iter().find(|entry| is_spelling(&entry.key, name)) {
            Some(entry) if entry.node.value == Value::Null => entry.mark,
            Some(entry) => entry.node.mark,
            None => self.node.mark,
        }
    }

    /// Tells when more than one of fields that exclude each other is set; gives the names that are set.
    pub(crate) fn one_of(&self, names: &[&'static str]) -> Vec<&'static str> {
        let set: Vec<&'static str> = names.iter().copied().filter(|name| self.has(name)).collect();
        if let [_, second, ..] = set[..] {
            self.problem_at(second, format!("only one of {} may be set", set.join(", ")));
        }
        set
    }

    /// A text; empty when absent.
    pub(crate) fn text(&self, name: &'static str) -> String {
        self.at(name)
            .and_then(|at| at.text().map(str::to_owned))
            .unwrap_or_default()
    }

    /// A list of texts.
    pub(crate) fn texts(&self, name: &'static str) -> Vec<String> {
        self.items(name)
            .iter()
            .filter_map(|item| item.text().map(str::to_owned))
            .collect()
    }

    /// The elements of a list; none when absent.
    pub(crate) fn items(&self, name: &'static str) -> Vec<At<'a>> {
        self.at(name).map(|at| at.items()).unwrap_or_default()
    }

    /// The entries of a map from free names to values, sorted by name; none when absent.
    pub(crate) fn entries(&self, name: &'static str) -> Vec<(&'a str, At<'a>)> {
        self.at(name).map(|at| at.entries()).unwrap_or_default()
    }

    /// A map of texts.
    pub(crate) fn text_map(&self, name: &'static str) -> BTreeMap<String, String> {
        self.entries(name)
            .into_iter()
            .filter_map(|(key, at)| Some((key.to_owned(), at.text()?.to_owned())))
            .collect()
    }

    /// Labels that select instances; keys and values match `[-A-Za-z0-9_./]*`.
    pub(crate) fn labels(&self, name: &'static str) -> Labels {
        let mut labels = Labels::default();
        for (key, at) in self.entries(name) {
            if !is_tag(key) {
                at.problem(format!("invalid tag key: {key:?}"));
            }
            let Some(value) = at.text() else { continue };
            if !is_tag(value) {
                at.problem(format!("invalid tag value: {value:?}"));
            }
            labels.0.insert(key.to_owned(), value.to_owned());
        }
        labels
    }

    /// A truth value; false when absent.
    pub(crate) fn flag(&self, name: &'static str) -> bool {
        self.opt_flag(name).unwrap_or(false)
    }

    /// A truth value whose absence means something.
    pub(crate) fn opt_flag(&self, name: &'static str) -> Option<bool> {
        self.at(name).and_then(|at| at.flag())
    }

    /// A whole number in the range of `T`.
    pub(crate) fn integer<T: TryFrom<i64> + Bounded>(&self, name: &'static str) -> Option<T> {
        let at = self.at(name)?;
        let number = at.integer()?;
        let read = T::try_from(number).ok();
        if read.is_none() {
            at.problem(format!("{number} is not in range {}", T::RANGE));
        }
        read
    }

    /// A whole number that must not be negative; `refusal` is the message when it is. Zero counts as absent.
    pub(crate) fn count(&self, name: &'static str, refusal: &str) -> Option<u32> {
        let at = self.at(name)?;
        let number = at.integer()?;
        if number < 0 {
            at.problem(format!("{refusal}, found {number}"));
            return None;
        }
        match i32::try_from(number) {
            Ok(_) => u32::try_from(number).ok().filter(|count| *count != 0),
            Err(_) => {
                at.problem(format!("{number} is not in range {}", <i32 as Bounded>::RANGE));
                None
            }
        }
    }

    /// A port number from 1 to 65535.
    pub(crate) fn port(&self, name: &'static str) -> Option<u16> {
        let at = self.at(name)?;
        port(&at)
    }

    /// One of the names (or numbers) of an enumeration.
    pub(crate) fn choice<T: Choice>(&self, name: &'static str) -> Option<T> {
        let at = self.at(name)?;
        let read = match &at.node.value {
            Value::Text { text, .. } => T::from_name(text),
            Value::Number(text) => value::whole(text).and_then(T::from_number),
            _ => {
                at.wrong_type("a name");
                return None;
            }
        };
        if read.is_none() {
            let found = at.node.describe();
            let names = T::names().join(", ");
            let near = match &at.node.value {
                Value::Text { text, .. } => T::names()
                    .into_iter()
                    .find(|name| name.eq_ignore_ascii_case(text)),
                _ => None,
            };
            match near {
                Some(near) => {
                    at.problem_with_hint(
                        format!("must be one of {names}, found {found}"),
                        format!("write {near}"),
                    );
                }
                None => at.problem(format!("must be one of {names}, found {found}")),
            }
        }
        read
    }

    /// A time span of at least one millisecond, in whole milliseconds. `prefix` begins each message.
    pub(crate) fn duration(&self, name: &'static str, prefix: &str) -> Option<Duration> {
        let at = self.at(name)?;
        let span = match &at.node.value {
            Value::Text { text, .. } => duration::parse(text).and_then(duration::check),
            _ => {
                at.wrong_type("a duration like \"10s\"");
                return None;
            }
        };
        match span {
            Ok(span) => Some(span),
            Err(error) => {
                at.problem(format!("{prefix}{error}"));
                None
            }
        }
    }

    /// A time span that may also be zero.
    pub(crate) fn duration_or_zero(&self, name: &'static str) -> Option<Duration> {
        self.at(name).and_then(|at| at.span())
    }

    /// A nested message; `None` when absent.
    pub(crate) fn message<T: Message>(&self, name: &'static str) -> Option<T> {
        self.at(name)?.message()
    }

    /// A list of nested messages.
    pub(crate) fn messages<T: Message>(&self, name: &'static str) -> Vec<T> {
        self.items(name).iter().filter_map(At::message).collect()
    }

    /// A message of somebody else's type, kept but not interpreted.
    pub(crate) fn custom(&self, name: &'static str) -> Option<Custom> {
        Custom::read(&self.at(name)?)
    }

    /// Accepts a field without keeping it.
    pub(crate) fn skip(&self, name: &'static str) {
        let _ = self.at(name);
    }

    /// Tells every field that was not asked for.
    pub(crate) fn finish(&self) {
        let known = self.known.borrow();
        for entry in self.entries {
            if known.iter().any(|name| is_spelling(&entry.key, name)) {
                continue;
            }
            let path = field_path(&self.path, &entry.key);
            let problem = Problem::unknown_field(path, &shortened(&entry.key));
            if self.reading.allow_unknown {
                self.reading.warning(entry.mark, problem.with_hint("ignored"));
                continue;
            }
            // Beyond the last problem that is told, the next step is not worth its search.
            if self.reading.is_full() {
                self.reading.problem(entry.mark, problem);
                continue;
            }
            let hint = match nearest(&entry.key, &known) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("known fields: {}", known.join(", ")),
            };
            self.reading.problem(entry.mark, problem.with_hint(hint));
        }
    }
}

/// Integer types a field may have, with the range that messages name.
pub(crate) trait Bounded {
    const RANGE: &'static str;
}

impl Bounded for i32 {
    const RANGE: &'static str = "-2147483648..2147483647";
}

impl Bounded for u32 {
    const RANGE: &'static str = "0..4294967295";
}

impl Bounded for u64 {
    const RANGE: &'static str = "0..9223372036854775807";
}

fn is_tag(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/'))
}
