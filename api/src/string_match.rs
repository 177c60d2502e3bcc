//! How a text is matched: whole, by its beginning, by a pattern, or by being there at all.

use crate::document::node::Value;
use crate::fields::At;
use crate::output::Object;

/// A match of one text. Case-sensitive; a pattern must match the whole value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StringMatch {
    /// The value is this text.
    Exact(String),
    /// The value begins with this text.
    Prefix(String),
    /// The whole value matches this pattern.
    Regex(Pattern),
    /// The value is there, whatever it is. Only for headers of the second generation (`x: {}`).
    Presence,
}

impl StringMatch {
    /// The text that the match was written with; empty for [`StringMatch::Presence`].
    pub fn text(&self) -> &str {
        match self {
            StringMatch::Exact(text) | StringMatch::Prefix(text) => text,
            StringMatch::Regex(pattern) => pattern.as_str(),
            StringMatch::Presence => "",
        }
    }

    /// Reads a match object, or a bare text, which is an exact match. `empty` is what `{}` means.
    pub(crate) fn read(at: &At<'_>, empty: Option<StringMatch>) -> Option<StringMatch> {
        if let Value::Text { text, .. } = &at.node.value {
            return Some(StringMatch::Exact(text.clone()));
        }
        let fields = at.fields()?;
        fields.one_of(&["exact", "prefix", "regex"]);
        let text = |name| fields.at(name).and_then(|at| at.text().map(str::to_owned));
        let read = if fields.has("exact") {
            text("exact").map(StringMatch::Exact)
        } else if fields.has("prefix") {
            text("prefix").map(StringMatch::Prefix)
        } else if let Some(at) = fields.at("regex") {
            Pattern::read(&at).map(StringMatch::Regex)
        } else {
            if empty.is_none() {
                fields.problem("unrecognized string match");
            }
            empty
        };
        fields.finish();
        read
    }
}

impl StringMatch {
    /// The object a document writes.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        let mut out = Object::default();
        match self {
            StringMatch::Exact(text) => out.value("exact", text.as_str()),
            StringMatch::Prefix(text) => out.value("prefix", text.as_str()),
            StringMatch::Regex(pattern) => out.value("regex", pattern.as_str()),
            StringMatch::Presence => {}
        }
        out.finish()
    }
}

/// A regular expression that is known to compile. RE2's language: no look-around, no back-references, so that
/// matching takes linear time and every proxy understands it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern(String);

/// Longest source of a pattern, in bytes.
const MAX_PATTERN: usize = 1024;

/// Largest compiled pattern, in bytes.
const MAX_COMPILED: usize = 1 << 20;

impl Pattern {
    /// Checks that `source` compiles.
    ///
    /// # Errors
    /// Says what is wrong, and for ECMAScript's look-around and back-references what to do.
    pub fn new(source: &str) -> Result<Pattern, PatternError> {
        if source.is_empty() {
            return Err(PatternError::Blank);
        }
        if source.len() > MAX_PATTERN {
            return Err(PatternError::TooLong(source.len()));
        }
        if let Some(construct) = unsupported(source) {
            return Err(PatternError::Unsupported {
                source_text: source.to_owned(),
                construct,
            });
        }
        match regex::RegexBuilder::new(source).size_limit(MAX_COMPILED).build() {
            Ok(_) => Ok(Pattern(source.to_owned())),
            Err(regex::Error::CompiledTooBig(_)) => Err(PatternError::TooBig(source.to_owned())),
            Err(error) => Err(PatternError::Broken {
                source_text: source.to_owned(),
                reason: last_line(&error.to_string()),
            }),
        }
    }

    /// The source, as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn read(at: &At<'_>) -> Option<Pattern> {
        let source = at.text()?;
        if !at.reading.may_compile() {
            at.problem("the object has more than 1000 regular expressions");
            return None;
        }
        match Pattern::new(source) {
            Ok(pattern) => Some(pattern),
            Err(error) => {
                at.problem(error.to_string());
                None
            }
        }
    }
}

/// Why a text is not a usable pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// No pattern at all, which every proxy refuses, with the routes around it.
    #[error("the regular expression is blank; write \".*\" for any value")]
    Blank,
    /// Longer than 1 KiB.
    #[error("the regular expression is {0} bytes long, at most 1024 are allowed")]
    TooLong(usize),
    /// Compiles to more than 1 MiB.
    #[error("the regular expression {0:?} is too large once compiled, lower its repetition counts")]
    TooBig(String),
    /// ECMAScript that RE2 leaves out.
    #[error(
        "the regular expression {source_text:?} uses {construct}, which ECMAScript has and the proxies' RE2 \
         syntax has not; write it without"
    )]
    Unsupported {
        /// The pattern.
        source_text: String,
        /// What it uses.
        construct: &'static str,
    },
    /// Not a regular expression.
    #[error("the regular expression {source_text:?} is broken: {reason}")]
    Broken {
        /// The pattern.
        source_text: String,
        /// The first thing wrong with it.
        reason: String,
    },
}

/// The first construct of `source` that ECMAScript has and RE2 has not.
fn unsupported(source: &str) -> Option<&'static str> {
    let mut rest = source;
    let mut in_class = false;
    while let Some(sign) = rest.chars().next() {
        match sign {
            '\\' => {
                let escaped = rest[1..].chars().next();
                match escaped {
                    Some('1'..='9') if !in_class => return Some("a back-reference (\\1)"),
                    Some('k') if !in_class => return Some("a back-reference (\\k)"),
                    _ => {}
                }
                rest = &rest[1 + escaped.map_or(0, char::len_utf8)..];
                continue;
            }
            '[' => in_class = true,
            ']' => in_class = false,
            '(' if !in_class => {
                for (start, construct) in [
                    ("(?=", "look-ahead (?=...)"),
                    ("(?!", "negative look-ahead (?!...)"),
                    ("(?<=", "look-behind (?<=...)"),
                    ("(?<!", "negative look-behind (?<!...)"),
                ] {
                    if rest.starts_with(start) {
                        return Some(construct);
                    }
                }
            }
            _ => {}
        }
        rest = &rest[sign.len_utf8()..];
    }
    None
}

/// The parser's explanation without its drawing of the place.
fn last_line(error: &str) -> String {
    let line = error
        .lines()
        .rev()
        .find(|line| !line.trim().is_empty())
        .unwrap_or(error);
    line.trim().trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_the_documents_compile() {
        for source in [
            "^(.*?;)?(user=jason)(;.*)?$",
            "/api/v[0-9]+/.*",
            r"a\/b",
            "(?i)x",
            "[(?=]",
        ] {
            assert!(
                Pattern::new(source).is_ok(),
                "{source}: {:?}",
                Pattern::new(source)
            );
        }
    }

    #[test]
    fn each_refused_pattern_says_why() {
        for (source, expected) in [
            ("a(?=b)", "look-ahead"),
            ("(?!b)", "negative look-ahead"),
            ("(?<=b)", "look-behind"),
            ("(?<!b)", "negative look-behind"),
            (r"(a)\1", "back-reference"),
            ("(", "unclosed group"),
            ("", "blank"),
            ("a{1000}{1000}{100}", "too large"),
        ] {
            let message = Pattern::new(source).unwrap_err().to_string();
            assert!(message.contains(expected), "{source}: {message}");
        }
        assert_eq!(
            Pattern::new(&"a".repeat(1025)).unwrap_err().to_string(),
            "the regular expression is 1025 bytes long, at most 1024 are allowed"
        );
    }
}
