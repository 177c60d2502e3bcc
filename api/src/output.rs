//! Writes objects in canonical form: lowerCamelCase names, defaults left out, durations in seconds.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::choice::Choice;
use crate::custom::Custom;
use crate::duration;
use crate::fields::Message;
use crate::model::Labels;
use crate::string_match::StringMatch;

/// An object under construction. Every method leaves the field out when its value is the default.
#[derive(Default)]
pub(crate) struct Object(Map<String, Value>);

impl Object {
    /// The object a message writes.
    pub(crate) fn of(message: &impl Message) -> Value {
        let mut object = Object::default();
        message.write(&mut object);
        object.finish()
    }

    /// The finished object.
    pub(crate) fn finish(self) -> Value {
        Value::Object(self.0)
    }

    /// Any value, also a default one.
    pub(crate) fn value(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// A value that may be absent.
    pub(crate) fn opt(&mut self, name: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.value(name, value);
        }
    }

    pub(crate) fn text(&mut self, name: &str, text: &str) {
        if !text.is_empty() {
            self.value(name, text);
        }
    }

    pub(crate) fn texts<T: ToString>(&mut self, name: &str, texts: &[T]) {
        if !texts.is_empty() {
            self.value(name, texts.iter().map(T::to_string).collect::<Vec<String>>());
        }
    }

    pub(crate) fn text_map(&mut self, name: &str, map: &BTreeMap<String, String>) {
        if !map.is_empty() {
            self.value(
                name,
                Value::Object(
                    map.iter()
                        .map(|(key, value)| (key.clone(), value.as_str().into()))
                        .collect(),
                ),
            );
        }
    }

    pub(crate) fn labels(&mut self, name: &str, labels: &Labels) {
        self.text_map(name, &labels.0);
    }

    pub(crate) fn flag(&mut self, name: &str, flag: bool) {
        if flag {
            self.value(name, true);
        }
    }

    pub(crate) fn integer(&mut self, name: &str, number: impl Into<i64>) {
        let number = number.into();
        if number != 0 {
            self.value(name, number);
        }
    }

    pub(crate) fn choice<T: Choice>(&mut self, name: &str, choice: Option<T>) {
        self.opt(name, choice.map(Choice::name));
    }

    pub(crate) fn duration(&mut self, name: &str, span: Option<Duration>) {
        self.opt(name, span.map(duration::format));
    }

    pub(crate) fn message<T: Message>(&mut self, name: &str, message: Option<&T>) {
        self.opt(name, message.map(Object::of));
    }

    pub(crate) fn messages<T: Message>(&mut self, name: &str, messages: &[T]) {
        if !messages.is_empty() {
            self.value(name, messages.iter().map(Object::of).collect::<Vec<Value>>());
        }
    }

    pub(crate) fn string_match(&mut self, name: &str, matched: Option<&StringMatch>) {
        self.opt(name, matched.map(StringMatch::to_json));
    }

    pub(crate) fn string_matches(&mut self, name: &str, matches: &BTreeMap<String, StringMatch>) {
        if !matches.is_empty() {
            let object = matches
                .iter()
                .map(|(key, matched)| (key.clone(), matched.to_json()))
                .collect();
            self.value(name, Value::Object(object));
        }
    }

    pub(crate) fn custom(&mut self, name: &str, custom: Option<&Custom>) {
        self.opt(name, custom.map(Custom::to_json));
    }
}
