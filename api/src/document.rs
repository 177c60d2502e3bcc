//! Documents into resources: YAML or JSON text, several documents in one, every problem told at its place.

pub(crate) mod json;
mod list;
pub(crate) mod node;
pub(crate) mod yaml;

use crate::fields::{At, Fields, Reading};
use crate::host;
use crate::kind::Kind;
use crate::meta::{self, ObjectMeta, is_subdomain};
use crate::problem::Problem;
use crate::resource::{Resource, Spec};
use node::{Mark, Node, Value};

/// Largest document, in bytes: 1.5 MiB.
pub const MAX_BYTES: usize = 3 << 19;

/// Deepest nesting of objects and lists.
pub const MAX_DEPTH: usize = 64;

/// How many values all aliases of a document may stand for together.
pub const MAX_ALIAS_NODES: usize = 100;

/// How documents are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Namespace of objects that give none.
    pub default_namespace: String,
    /// Whether unknown fields are warned about instead of refused.
    pub allow_unknown: bool,
}

/// Namespace `default`, unknown fields refused.
impl Default for Options {
    fn default() -> Options {
        Options {
            default_namespace: "default".into(),
            allow_unknown: false,
        }
    }
}

/// One document of a text.
#[derive(Clone, Debug)]
pub struct Document {
    /// Line on which its content begins, counted from 1.
    pub line: u32,
    /// The object, or everything that is wrong with it (at least one problem).
    pub outcome: Result<Parsed, Vec<Problem>>,
}

/// An object that passed every rule.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// The object.
    pub resource: Resource,
    /// What was accepted but should be known: ignored fields, risky settings.
    pub warnings: Vec<Problem>,
    /// The `apiVersion` as written when it is an alias of the stored one.
    pub alias: Option<String>,
    /// Whether the document gave the namespace itself.
    pub namespace_given: bool,
    /// Where each field stands.
    pub positions: Positions,
}

impl Parsed {
    /// Gives a problem that was found after reading its place in the document.
    pub fn place(&self, problem: Problem) -> Problem {
        let mark = self.positions.root.locate(&problem.path);
        Problem {
            origin: self.positions.origin.clone(),
            line: mark.line,
            column: mark.column,
            ..problem
        }
    }
}

/// Knows where in a document each field stands.
#[derive(Clone, Debug)]
pub struct Positions {
    origin: String,
    root: Node,
}

/// A document as text has it, before it means anything.
#[derive(Debug)]
pub(crate) struct RawDocument {
    pub(crate) line: u32,
    pub(crate) root: Node,
    pub(crate) problems: Vec<Problem>,
}

/// Reads every document of `text`; `origin` names the text in problems. Documents without content are left
/// out, so that an empty text gives no document; a `v1` `List` stands for its items.
pub fn parse(origin: &str, text: &str, options: &Options) -> Vec<Document> {
    raw(text)
        .into_iter()
        .flat_map(list::items)
        .map(|document| {
            let line = document.line;
            let outcome = one(origin, document, options);
            Document { line, outcome }
        })
        .collect()
}

/// Reads the one object in the body of a request, YAML or JSON.
///
/// # Errors
/// Everything that is wrong with it; also when it is not UTF-8, or holds no object or several.
pub fn parse_body(body: &[u8], options: &Options) -> Result<Parsed, Vec<Problem>> {
    let refuse = |message: String| Err(vec![Problem::new("", message)]);
    if body.len() > MAX_BYTES {
        return refuse(oversize(body.len()));
    }
    let text = match std::str::from_utf8(body) {
        Ok(text) => text,
        Err(error) => {
            return refuse(format!(
                "the body is not UTF-8: byte {} is wrong",
                error.valid_up_to()
            ));
        }
    };
    let mut documents = raw(text);
    match documents.len() {
        0 => refuse("the body holds no object".into()),
        1 => one("", documents.swap_remove(0), options),
        several => refuse(format!("the body holds {several} documents, expected one")),
    }
}

/// Reads an object that came as JSON and is already taken apart, as the items of a list do. Its problems have
/// no place.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse_value(value: &serde_json::Value, options: &Options) -> Result<Parsed, Vec<Problem>> {
    one("", json::of_value(value), options)
}

fn raw(text: &str) -> Vec<RawDocument> {
    let text_start = text.trim_start_matches('\u{feff}').trim_start();
    if !text_start.starts_with(['{', '[']) {
        return yaml::read(text);
    }
    let refused = match json::read(text) {
        Ok(documents) => return documents,
        Err(problem) => problem,
    };
    // A flow collection is YAML too; when neither reads it, the reader of JSON explains better.
    let documents = yaml::read(text);
    let is_object = |document: &RawDocument| matches!(&document.root.value, Value::Map(entries) if entries.iter().any(|entry| entry.key == "kind"));
    if documents
        .iter()
        .all(|document| document.problems.is_empty() && is_object(document))
    {
        return documents;
    }
    let mark = Mark {
        line: refused.line,
        column: refused.column,
    };
    vec![RawDocument {
        line: mark.line,
        root: Node {
            mark,
            value: Value::Broken,
        },
        problems: vec![*refused],
    }]
}

/// Why an object of this kind cannot have this name.
fn bad_name(kind: Kind, name: &str) -> Option<String> {
    let labels = matches!(kind, Kind::RouteRule | Kind::DestinationPolicy | Kind::EgressRule);
    if kind == Kind::Gateway && !host::is_label(name) {
        return Some(format!("invalid gateway name {name:?}: must be a DNS label"));
    }
    if labels && !host::is_label(name) {
        return Some(format!(
            "name {name:?} must be a DNS label: at most 63 lower case letters, digits and '-'"
        ));
    }
    (!is_subdomain(name)).then(|| {
        format!("name {name:?} must be a DNS name: at most 253 lower case letters, digits, '-' and '.'")
    })
}

fn oversize(bytes: usize) -> String {
    format!("the object is {bytes} bytes long, at most {MAX_BYTES} (1.5 MiB) are allowed")
}

fn one(origin: &str, document: RawDocument, options: &Options) -> Result<Parsed, Vec<Problem>> {
    let reading = Reading::new(options.allow_unknown);
    let mut head = Head::default();
    if document.problems.is_empty() || matches!(document.root.value, Value::Map(_)) {
        head = Head::read(&reading, &document.root, options);
    }
    let (read, mut warnings) = reading.into_told();
    let mut problems = document.problems;
    // A text that is broken as a text is not also blamed for lacking a kind.
    if problems.is_empty() || head.kind.is_some() {
        problems.extend(read);
    }
    let object = head.object();
    for problem in problems.iter_mut().chain(&mut warnings) {
        problem.origin = origin.to_owned();
        problem.object = object.clone();
    }
    match (head.spec, problems.is_empty()) {
        (Some(spec), true) => Ok(Parsed {
            resource: Resource {
                meta: head.meta,
                spec,
            },
            warnings,
            alias: head.alias,
            namespace_given: head.namespace_given,
            positions: Positions {
                origin: origin.to_owned(),
                root: document.root,
            },
        }),
        _ => {
            // What the parser met and what the reader met, in one order; both are in order already.
            problems.sort_by_key(|problem| (problem.line, problem.column));
            Err(problems)
        }
    }
}

/// What stands around the spec.
#[derive(Default)]
struct Head {
    kind: Option<Kind>,
    alias: Option<String>,
    meta: ObjectMeta,
    namespace_given: bool,
    spec: Option<Spec>,
}

impl Head {
    fn read(reading: &Reading, root: &Node, options: &Options) -> Head {
        let at = At {
            reading,
            node: root,
            path: String::new(),
        };
        let mut head = Head::default();
        let Value::Map(_) = root.value else {
            let found = root.describe();
            at.problem(format!(
                "a document is an object with apiVersion, kind, metadata and spec, found {found}"
            ));
            return head;
        };
        let Some(fields) = at.fields() else { return head };
        // Without a kind nothing else can be judged, so its problem stands alone.
        let Some(kind) = head.read_kind(&fields) else {
            return head;
        };
        head.kind = Some(kind);
        head.read_meta(&fields, kind, options);
        fields.skip("status");
        match fields.at("spec") {
            Some(spec) => head.spec = spec.fields().map(|fields| Spec::read(kind, &fields)),
            None => fields.problem_at("spec", "spec is required"),
        }
        fields.finish();
        head
    }

    fn read_kind(&mut self, fields: &Fields<'_>) -> Option<Kind> {
        let (api_version, kind) = (fields.text("apiVersion"), fields.text("kind"));
        for name in ["kind", "apiVersion"] {
            let Some(at) = fields.at(name) else {
                fields.problem_at(name, format!("{name} is required"));
                return None;
            };
            at.text()?;
        }
        match Kind::from_api(&api_version, &kind) {
            Ok(kind) => {
                self.alias = Some(api_version).filter(|written| *written != kind.api_version());
                Some(kind)
            }
            Err(error) => {
                let name = if error.is_about_version() {
                    "apiVersion"
                } else {
                    "kind"
                };
                match error.hint {
                    Some(hint) => fields.problem_at_with_hint(name, error.message, hint),
                    None => fields.problem_at(name, error.message),
                }
                None
            }
        }
    }

    fn read_meta(&mut self, fields: &Fields<'_>, kind: Kind, options: &Options) {
        let Some(at) = fields.at("metadata") else {
            fields.problem_at("metadata", "metadata.name is required");
            return;
        };
        self.meta = at.message().unwrap_or_default();
        self.namespace_given = !self.meta.namespace.is_empty();
        if !self.namespace_given {
            self.meta.namespace.clone_from(&options.default_namespace);
        }
        let Some(meta) = at.fields() else { return };
        let name = self.meta.name.as_str();
        if name.is_empty() {
            if self.meta.generate_name.is_empty() && !meta.has("name") {
                meta.problem_at("name", "metadata.name is required");
            } else if meta
                .at("name")
                .is_some_and(|at| matches!(at.node.value, Value::Text { .. }))
            {
                meta.problem_at("name", "metadata.name must not be empty");
            }
            // Whatever the server appends, the whole must be a name.
            let beginning = &self.meta.generate_name;
            let made = bad_name(kind, &meta::generated(beginning, "xxxxx")).filter(|_| !beginning.is_empty());
            if let Some(message) = made {
                meta.problem_at(
                    "generateName",
                    format!("generateName {beginning:?} cannot begin a name: {message}"),
                );
            }
            return;
        }
        if let Some(message) = bad_name(kind, name) {
            meta.problem_at("name", message);
        }
    }

    /// `route-rule/default/reviews`, as far as kind and name, or its beginning, are known.
    fn object(&self) -> Option<String> {
        let kind = self.kind?;
        let name = match (self.meta.name.as_str(), self.meta.generate_name.as_str()) {
            ("", "") => return None,
            ("", beginning) => node::shortened(beginning),
            (name, _) => node::shortened(name),
        };
        Some(format!("{}/{}/{name}", kind.hyphenated(), self.meta.namespace))
    }
}
