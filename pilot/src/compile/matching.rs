//! How both generations write a condition, as one.

use outrigger_api::string_match::StringMatch;

use super::route::{HeaderMatch, PathMatch, ValueMatch};

/// A condition on the path, its query left aside.
pub(crate) fn path(value: &StringMatch) -> PathMatch {
    match value {
        StringMatch::Exact(text) => PathMatch::Exact(text.clone()),
        StringMatch::Prefix(text) => PathMatch::Prefix(text.clone()),
        StringMatch::Regex(pattern) => PathMatch::Regex(pattern.as_str().to_owned()),
        StringMatch::Presence => PathMatch::Prefix("/".into()),
    }
}

/// The same, with case left aside.
pub(crate) fn path_any_case(value: &StringMatch) -> PathMatch {
    match value {
        StringMatch::Exact(text) => PathMatch::Regex(format!("(?i){}", escaped(text))),
        StringMatch::Prefix(text) if text != "/" => PathMatch::Regex(format!("(?i){}.*", escaped(text))),
        // A pattern says itself whether case matters.
        other => path(other),
    }
}

/// A condition on a part of the request line: `method`, `authority` or `scheme`.
pub(crate) fn pseudo(name: &str, value: &StringMatch) -> HeaderMatch {
    let mut matching = header(&format!(":{name}"), value);
    if name == "scheme" {
        // Schemes are written in upper case too, and travel in lower case.
        if let ValueMatch::Exact(text) | ValueMatch::Prefix(text) = &mut matching.value {
            text.make_ascii_lowercase();
        }
    }
    matching
}

/// A condition on a header.
pub(crate) fn header(name: &str, value: &StringMatch) -> HeaderMatch {
    let value = match value {
        StringMatch::Exact(text) => ValueMatch::Exact(text.clone()),
        StringMatch::Prefix(text) => ValueMatch::Prefix(text.clone()),
        StringMatch::Regex(pattern) => ValueMatch::Regex(pattern.as_str().to_owned()),
        StringMatch::Presence => ValueMatch::Present,
    };
    HeaderMatch {
        name: name.to_owned(),
        value,
    }
}

/// `text` as a pattern that matches just it.
fn escaped(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for sign in text.chars() {
        if r"\.+*?()|[]{}^$".contains(sign) {
            pattern.push('\\');
        }
        pattern.push(sign);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheme_is_compared_in_lower_case() {
        let matching = pseudo("scheme", &StringMatch::Exact("HTTPS".into()));

        assert_eq!(
            matching,
            HeaderMatch {
                name: ":scheme".into(),
                value: ValueMatch::Exact("https".into())
            }
        );
    }

    #[test]
    fn a_path_without_case_is_a_pattern_of_its_literal_text() {
        let exact = path_any_case(&StringMatch::Exact("/a.b".into()));
        assert_eq!(exact, PathMatch::Regex(r"(?i)/a\.b".into()));

        let all = path_any_case(&StringMatch::Prefix("/".into()));
        assert_eq!(all, PathMatch::Prefix("/".into()));
    }
}
