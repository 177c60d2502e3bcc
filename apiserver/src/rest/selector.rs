//! Label and field selectors (`spec/apiserver.md` §4). Pure.

use outrigger_api::meta::ObjectMeta;
use outrigger_client::status::Status;

use super::query::Query;
use crate::refusal;

/// Which objects of a collection are meant; all requirements hold together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Selector {
    labels: Vec<Requirement>,
    fields: Vec<FieldRequirement>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    operation: Operation,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Operation {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Absent,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct FieldRequirement {
    field: Field,
    equal: bool,
    value: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Name,
    Namespace,
}

impl Selector {
    /// The selector of `labelSelector` and `fieldSelector`; without them it selects everything.
    pub(super) fn of(query: &Query) -> Result<Self, Status> {
        let labels = query
            .value("labelSelector")
            .map(labels)
            .transpose()?
            .unwrap_or_default();
        let fields = query
            .value("fieldSelector")
            .map(fields)
            .transpose()?
            .unwrap_or_default();
        Ok(Selector { labels, fields })
    }

    /// The same selector, narrowed to one name.
    pub(super) fn named(mut self, name: &str) -> Self {
        self.fields.push(FieldRequirement {
            field: Field::Name,
            equal: true,
            value: name.to_owned(),
        });
        self
    }

    pub(super) fn selects(&self, meta: &ObjectMeta) -> bool {
        let label_holds = |requirement: &Requirement| {
            let value = meta.labels.get(&requirement.key);
            match &requirement.operation {
                Operation::In(values) => value.is_some_and(|value| values.contains(value)),
                Operation::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
                Operation::Exists => value.is_some(),
                Operation::Absent => value.is_none(),
            }
        };
        let field_holds = |requirement: &FieldRequirement| {
            let value = match requirement.field {
                Field::Name => &meta.name,
                Field::Namespace => &meta.namespace,
            };
            (*value == requirement.value) == requirement.equal
        };
        self.labels.iter().all(label_holds) && self.fields.iter().all(field_holds)
    }
}

fn labels(text: &str) -> Result<Vec<Requirement>, Status> {
    let refused =
        |part: &str, why: &str| refusal::bad_request(format!("unable to parse requirement: {part:?}: {why}"));
    let mut requirements = Vec::new();
    for part in split_outside_parentheses(text) {
        let part = part.trim();
        let (key, operation) = requirement(part).map_err(|why| refused(part, why))?;
        if !is_qualified(key) {
            return Err(refused(part, "want a label key, such as app or example.com/app"));
        }
        requirements.push(Requirement {
            key: key.to_owned(),
            operation,
        });
    }
    Ok(requirements)
}

fn requirement(part: &str) -> Result<(&str, Operation), &'static str> {
    if let Some(key) = part.strip_prefix('!') {
        return Ok((key.trim(), Operation::Absent));
    }
    for (sign, equal) in [("!=", false), ("==", true), ("=", true)] {
        if let Some((key, value)) = part.split_once(sign) {
            let values = vec![label_value(value)?];
            let operation = if equal {
                Operation::In(values)
            } else {
                Operation::NotIn(values)
            };
            return Ok((key.trim(), operation));
        }
    }
    let Some((key, rest)) = part.split_once(char::is_whitespace) else {
        return Ok((part, Operation::Exists));
    };
    let rest = rest.trim();
    let (word, list) = rest.split_at(rest.find([' ', '(']).unwrap_or(rest.len()));
    let list = list
        .trim()
        .strip_prefix('(')
        .and_then(|list| list.strip_suffix(')'));
    let values = list.ok_or("want values in parentheses after in and notin")?;
    let values = values.split(',').map(label_value).collect::<Result<_, _>>()?;
    match word {
        "in" => Ok((key, Operation::In(values))),
        "notin" => Ok((key, Operation::NotIn(values))),
        _ => Err("want one of =, ==, !=, in, notin"),
    }
}

fn label_value(value: &str) -> Result<String, &'static str> {
    let value = value.trim();
    if value.is_empty() || is_name(value) {
        Ok(value.to_owned())
    } else {
        Err("want a label value")
    }
}

fn is_qualified(key: &str) -> bool {
    match key.split_once('/') {
        Some((prefix, name)) => outrigger_api::meta::is_subdomain(prefix) && is_name(name),
        None => is_name(key),
    }
}

fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    let inner = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    bytes.len() <= 63
        && bytes.iter().all(inner)
        && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
}

fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let mut depth = 0usize;
    text.split(move |sign| {
        match sign {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        sign == ',' && depth == 0
    })
    .collect()
}

fn fields(text: &str) -> Result<Vec<FieldRequirement>, Status> {
    let mut requirements = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let split = part.split_once("!=").map(|(field, value)| (field, value, false));
        let split = split.or_else(|| part.split_once("==").map(|(field, value)| (field, value, true)));
        let split = split.or_else(|| part.split_once('=').map(|(field, value)| (field, value, true)));
        let Some((field, value, equal)) = split else {
            return Err(refusal::bad_request(format!(
                "invalid field selector {part:?}: want =, == or !="
            )));
        };
        let field = match field.trim() {
            "metadata.name" => Field::Name,
            "metadata.namespace" => Field::Namespace,
            other => {
                return Err(refusal::bad_request(format!(
                    "field label not supported: {other}"
                )));
            }
        };
        requirements.push(FieldRequirement {
            field,
            equal,
            value: value.trim().to_owned(),
        });
    }
    Ok(requirements)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn meta(labels: &[(&str, &str)]) -> ObjectMeta {
        ObjectMeta {
            name: "a".into(),
            namespace: "default".into(),
            labels: labels
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
            ..ObjectMeta::default()
        }
    }

    #[test]
    fn each_form_of_label_requirement_selects_as_documented() {
        let labelled = meta(&[("app", "web"), ("example.com/tier", "front"), ("empty", "")]);
        for (text, expected) in [
            ("app=web", true),
            ("app==web", true),
            ("app = web", true),
            ("app!=web", false),
            ("absent!=web", true),
            ("app in (web, db)", true),
            ("app in(db)", false),
            ("app notin (web)", false),
            ("absent notin (web)", true),
            ("app", true),
            ("!app", false),
            ("!absent", true),
            ("empty=", true),
            ("example.com/tier=front,app", true),
            ("app in (web,db),app!=db,!absent", true),
            ("app,absent", false),
        ] {
            let selector = Selector {
                labels: labels(text).unwrap(),
                fields: Vec::new(),
            };
            assert_eq!(selector.selects(&labelled), expected, "{text}");
        }
    }

    #[test]
    fn broken_label_selectors_are_refused() {
        for text in [
            ",",
            "app,",
            "=web",
            "app in web",
            "app in (web",
            "app like (web)",
            "a b",
            "app=we b",
            "!",
            "-a",
        ] {
            let refused = labels(text).unwrap_err();
            assert_eq!(refused.code, 400, "{text}");
            assert!(
                refused.message.starts_with("unable to parse requirement: "),
                "{text}: {}",
                refused.message
            );
        }
    }

    #[test]
    fn fields_are_name_and_namespace() {
        for (text, expected) in [
            ("metadata.name=a", true),
            ("metadata.name==b", false),
            ("metadata.name!=b,metadata.namespace=default", true),
            ("metadata.namespace!=default", false),
        ] {
            let selector = Selector {
                labels: Vec::new(),
                fields: fields(text).unwrap(),
            };
            assert_eq!(selector.selects(&meta(&[])), expected, "{text}");
        }
        assert_eq!(
            fields("spec.x=1").unwrap_err().message,
            "field label not supported: spec.x"
        );
        assert_eq!(fields("metadata.name").unwrap_err().code, 400);
    }

    proptest! {
        #[test]
        fn no_text_makes_a_selector_panic(text in ".{0,40}") {
            let _ = labels(&text);
            let _ = fields(&text);
        }
    }
}
