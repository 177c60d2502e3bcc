//! One thing that is wrong with a document: where it stands, on which object and field, and what to do.

use std::fmt;

use serde::Serialize;

const UNKNOWN_FIELD: &str = "unknown field ";
const DUPLICATE_FIELD: &str = "duplicate field ";

/// A refusal or a warning about one place of one document.
///
/// Displays as `file:line:column: object: path: message (hint)`; parts that are not known are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// File name, `-` for standard input, or empty when the document has no name.
    pub origin: String,
    /// Line, counted from 1; 0 when unknown.
    pub line: u32,
    /// Column in characters, counted from 1; 0 when unknown.
    pub column: u32,
    /// The object, like `route-rule/default/reviews`; absent while kind or name are not known.
    pub object: Option<String>,
    /// The field, like `spec.route[1].weight`, in lowerCamelCase; empty for the document as a whole.
    pub path: String,
    /// What is wrong: lower case, no full stop, with the value found.
    pub message: String,
    /// The next step, when there is one.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem without a place in a file.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Problem {
        Problem {
            path: path.into(),
            message: message.into(),
            ..Problem::default()
        }
    }

    /// A field that its message does not have. `shown` is its name, cut to a length that can be printed.
    pub(crate) fn unknown_field(path: impl Into<String>, shown: &str) -> Problem {
        Problem::new(path, format!("{UNKNOWN_FIELD}{shown:?}"))
    }

    /// A field that stands twice in one message.
    pub(crate) fn duplicate_field(path: impl Into<String>, shown: &str) -> Problem {
        Problem::new(path, format!("{DUPLICATE_FIELD}{shown:?}"))
    }

    /// What `fieldValidation` of the config API is about: `unknown field` or `duplicate field`, when the problem is one
    /// of the two.
    pub fn of_strict_decoding(&self) -> Option<&'static str> {
        [UNKNOWN_FIELD, DUPLICATE_FIELD]
            .into_iter()
            .find(|beginning| self.message.starts_with(beginning))
            .map(str::trim_end)
    }

    /// The same problem with a next step.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Problem {
        self.hint = Some(hint.into());
        self
    }

    /// The same problem, said of this object.
    pub fn of(mut self, object: impl Into<String>) -> Problem {
        self.object = Some(object.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.origin.is_empty(), self.line) {
            (true, 0) => {}
            (true, line) => write!(f, "line {line} column {}: ", self.column)?,
            (false, 0) => write!(f, "{}: ", self.origin)?,
            (false, line) => write!(f, "{}:{line}:{}: ", self.origin, self.column)?,
        }
        if let Some(object) = &self.object {
            write!(f, "{object}: ")?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_reads_from_the_file_to_the_next_step() {
        let mut problem = Problem::new("spec.route[1].weight", "weight 101 is out of range")
            .of("route-rule/default/reviews")
            .with_hint("weights are percents");
        problem.origin = "rules.yaml".into();
        problem.line = 12;
        problem.column = 5;

        assert_eq!(
            problem.to_string(),
            "rules.yaml:12:5: route-rule/default/reviews: spec.route[1].weight: weight 101 is out of range (weights are percents)"
        );
    }

    #[test]
    fn unknown_parts_are_left_out() {
        assert_eq!(Problem::new("", "broken").to_string(), "broken");

        let standing = Problem {
            line: 3,
            column: 1,
            message: "broken".into(),
            ..Problem::default()
        };
        assert_eq!(standing.to_string(), "line 3 column 1: broken");
    }
}
