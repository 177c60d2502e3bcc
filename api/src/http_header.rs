//! Names of HTTP headers, and how rules change headers.

use std::collections::BTreeMap;

use crate::fields::{At, Fields, Message};
use crate::output::Object;

/// Tells when a header name is empty, not in lower case, or no header name at all.
pub(crate) fn check_name(at: &At<'_>, name: &str) {
    if name.is_empty() {
        at.problem("header name cannot be empty");
    } else if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        at.problem_with_hint(
            format!("header name {name:?} invalid: must be in lower case"),
            format!("write {:?}", name.to_ascii_lowercase()),
        );
    } else if !is_token(name) {
        at.problem(format!(
            "header name {name:?} invalid: letters, digits and '-' are expected"
        ));
    }
}

/// RFC 9110 §5.6.2.
fn is_token(name: &str) -> bool {
    name.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// Changes to the headers of requests and of responses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    /// Changes before the request is forwarded.
    pub request: HeaderOperations,
    /// Changes before the response is returned.
    pub response: HeaderOperations,
}

/// Changes to one set of headers, applied in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderOperations {
    /// Headers to overwrite.
    pub set: BTreeMap<String, String>,
    /// Headers to append to.
    pub add: BTreeMap<String, String>,
    /// Headers to remove.
    pub remove: Vec<String>,
}

impl Headers {
    /// True when nothing is changed.
    pub fn is_empty(&self) -> bool {
        self.request.is_empty() && self.response.is_empty()
    }

    /// Reads `headers` and the older fields beside it, which are merged: what they add comes after `add`.
    pub(crate) fn read(parent: &Fields<'_>) -> Headers {
        let (mut request, mut response) = (HeaderOperations::default(), HeaderOperations::default());
        if let Some(fields) = parent.at("headers").and_then(|at| at.fields()) {
            request = fields.message("request").unwrap_or_default();
            response = fields.message("response").unwrap_or_default();
            fields.finish();
        }
        append(parent, "appendHeaders", &mut request.add);
        append(parent, "appendRequestHeaders", &mut request.add);
        append(parent, "appendResponseHeaders", &mut response.add);
        remove(parent, "removeRequestHeaders", &mut request.remove);
        remove(parent, "removeResponseHeaders", &mut response.remove);
        Headers { request, response }
    }

    pub(crate) fn write(&self, out: &mut Object) {
        if self.is_empty() {
            return;
        }
        let mut headers = Object::default();
        if !self.request.is_empty() {
            headers.message("request", Some(&self.request));
        }
        if !self.response.is_empty() {
            headers.message("response", Some(&self.response));
        }
        out.value("headers", headers.finish());
    }
}

fn append(parent: &Fields<'_>, name: &'static str, target: &mut BTreeMap<String, String>) {
    for (header, at) in parent.entries(name) {
        check_name(&at, header);
        if let Some(value) = at.text() {
            target
                .entry(header.to_owned())
                .or_insert_with(|| value.to_owned());
        }
    }
}

fn remove(parent: &Fields<'_>, name: &'static str, target: &mut Vec<String>) {
    for at in parent.items(name) {
        if let Some(header) = at.text() {
            check_name(&at, header);
            target.push(header.to_owned());
        }
    }
}

impl HeaderOperations {
    /// True when nothing is changed.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.add.is_empty() && self.remove.is_empty()
    }
}

impl Message for HeaderOperations {
    fn read(fields: &Fields<'_>) -> HeaderOperations {
        for name in ["set", "add"] {
            for (header, at) in fields.entries(name) {
                check_operation_name(&at, header);
            }
        }
        for at in fields.items("remove") {
            if let Some(header) = at.text() {
                check_operation_name(&at, header);
            }
        }
        HeaderOperations {
            set: fields.text_map("set"),
            add: fields.text_map("add"),
            remove: fields.texts("remove"),
        }
    }

    fn write(&self, out: &mut Object) {
        out.text_map("set", &self.set);
        out.text_map("add", &self.add);
        out.texts("remove", &self.remove);
    }
}

/// Names in operations may be written in any case: they name headers and match nothing.
fn check_operation_name(at: &At<'_>, name: &str) {
    check_name(at, &name.to_ascii_lowercase());
}
