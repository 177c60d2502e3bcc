//! Reads specs in tests: what a kind refuses, and what it makes of what it accepts.

use crate::document::{self, Options, Parsed};
use crate::kind::Kind;
use crate::problem::Problem;
use crate::resource::Resource;

/// Reads `spec` (YAML in flow style) as an object `trial` of this kind.
fn read(kind: Kind, spec: &str) -> Result<Parsed, Vec<Problem>> {
    let text = format!(
        "apiVersion: {}\nkind: {kind}\nmetadata: {{name: trial}}\nspec: {spec}\n",
        kind.api_version()
    );
    let mut documents = document::parse("trial.yaml", &text, &Options::default());
    assert_eq!(documents.len(), 1, "{spec}");
    documents.remove(0).outcome
}

/// The object; fails the test when it is refused, or when its canonical form reads as anything else.
pub(crate) fn accepted(kind: Kind, spec: &str) -> Resource {
    let resource = match read(kind, spec) {
        Ok(parsed) => parsed.resource,
        Err(problems) => panic!("{spec} is refused: {problems:#?}"),
    };
    let canonical = resource.to_json().to_string();
    let again = match document::parse_body(canonical.as_bytes(), &Options::default()) {
        Ok(parsed) => parsed.resource,
        Err(problems) => panic!("{canonical} is refused: {problems:#?}"),
    };
    assert_eq!(again, resource, "{canonical}");
    assert_eq!(again.to_json(), resource.to_json(), "{canonical}");
    resource
}

/// Each case is a spec and everything that it is refused for, as `path: message`, in the order of the document.
/// An empty list means that it is accepted.
pub(crate) fn check(kind: Kind, cases: &[(&str, &[&str])]) {
    for (spec, expected) in cases {
        if expected.is_empty() {
            accepted(kind, spec);
            continue;
        }
        let seen: Vec<String> = match read(kind, spec) {
            Ok(_) => Vec::new(),
            Err(problems) => problems
                .iter()
                .map(|problem| {
                    assert!(problem.line > 0 && problem.column > 0, "{problem:?}");
                    format!("{}: {}", problem.path, problem.message)
                })
                .collect(),
        };
        assert_eq!(seen, *expected, "{spec}");
    }
}

/// The warnings of an accepted spec, as `path: message`.
pub(crate) fn warnings(kind: Kind, spec: &str) -> Vec<String> {
    match read(kind, spec) {
        Ok(parsed) => parsed
            .warnings
            .iter()
            .map(|problem| format!("{}: {}", problem.path, problem.message))
            .collect(),
        Err(problems) => panic!("{spec} is refused: {problems:#?}"),
    }
}
