//! A `v1` `List`, as `get -o json` prints one, is the documents that it holds.

use super::RawDocument;
use super::node::{Node, Value};

/// The documents that `document` stands for: its items when it is a list, else itself.
pub(super) fn items(mut document: RawDocument) -> Vec<RawDocument> {
    if !document.problems.is_empty() || !is_list(&document.root) {
        return vec![document];
    }
    let items = match &mut document.root.value {
        Value::Map(entries) => entries.iter_mut().find(|entry| entry.key == "items"),
        _ => None,
    };
    match items.map(|entry| std::mem::replace(&mut entry.node.value, Value::Null)) {
        Some(Value::List(items)) => items
            .into_iter()
            .map(|root| RawDocument {
                line: root.mark.line,
                root,
                problems: Vec::new(),
            })
            .collect(),
        None | Some(Value::Null) => Vec::new(),
        Some(other) => {
            // What is no list of objects is told as such.
            let root = Node {
                mark: document.root.mark,
                value: other,
            };
            vec![RawDocument { root, ..document }]
        }
    }
}

fn is_list(root: &Node) -> bool {
    let Value::Map(entries) = &root.value else {
        return false;
    };
    let says = |key: &str, wanted: &str| {
        entries.iter().any(|entry| {
            entry.key == key && matches!(&entry.node.value, Value::Text { text, .. } if text == wanted)
        })
    };
    says("kind", "List") && says("apiVersion", "v1")
}
