//! Messages of other people's types (`custom: {"@type": ...}`), which the mesh carries but does not interpret.

use serde_json::{Map, Value as Json};

use crate::document::node::{Node, Value};
use crate::fields::At;

/// A message whose type only its `@type` tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Custom {
    /// The type, like `type.googleapis.com/example.Policy`.
    pub type_url: String,
    /// The whole object as compact JSON text, `@type` included.
    pub json: String,
}

impl Custom {
    pub(crate) fn read(at: &At<'_>) -> Option<Custom> {
        let fields = at.fields()?;
        let type_url = match &at.node.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == "@type"),
            _ => None,
        };
        let Some(Value::Text { text, .. }) = type_url.map(|entry| &entry.node.value) else {
            fields.problem("a custom message must name its type in \"@type\"");
            return None;
        };
        check_keys(at);
        Some(Custom {
            type_url: text.clone(),
            json: json(at.node).to_string(),
        })
    }

    /// The object again.
    pub(crate) fn to_json(&self) -> Json {
        serde_json::from_str(&self.json).unwrap_or(Json::Null)
    }
}

/// Tells of keys that stand twice, at any depth: one of the two values would be lost.
fn check_keys(at: &At<'_>) {
    match &at.node.value {
        Value::Map(_) => at.entries().iter().for_each(|(_, at)| check_keys(at)),
        Value::List(_) => at.items().iter().for_each(check_keys),
        _ => {}
    }
}

fn json(node: &Node) -> Json {
    match &node.value {
        Value::Null | Value::Broken => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Number(text) => serde_json::from_str::<serde_json::Number>(text)
            .map_or_else(|_| Json::String(text.clone()), Json::Number),
        Value::Text { text, .. } => Json::String(text.clone()),
        Value::List(items) => Json::Array(items.iter().map(json).collect()),
        Value::Map(entries) => Json::Object(
            entries
                .iter()
                .map(|entry| (entry.key.clone(), json(&entry.node)))
                .collect::<Map<_, _>>(),
        ),
    }
}
