//! Reads `Warning: 299 - "text"` headers (RFC 7234 §5.5).

use reqwest::header::{GetAll, HeaderValue};

/// The texts of all warnings with code 299. Anything that is not such a warning is passed over.
pub(super) fn read(headers: GetAll<'_, HeaderValue>) -> Vec<String> {
    headers
        .iter()
        .filter_map(|header| one(std::str::from_utf8(header.as_bytes()).ok()?))
        .collect()
}

fn one(header: &str) -> Option<String> {
    let quoted = header
        .trim()
        .strip_prefix("299 ")?
        .split_once(' ')?
        .1
        .trim_start()
        .strip_prefix('"')?;
    let mut text = String::new();
    let mut characters = quoted.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => return Some(text),
            '\\' => text.push(characters.next()?),
            other => text.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::one;

    #[test]
    fn quoted_texts_are_read_with_their_escapes() {
        assert_eq!(
            one(r#"299 - "spec.a \"b\" \\c""#),
            Some(r#"spec.a "b" \c"#.to_owned())
        );
        assert_eq!(
            one(r#"299 apiserver "x" "Wed, 21 Oct 2015 07:28:00 GMT""#),
            Some("x".to_owned())
        );
    }

    #[test]
    fn other_codes_and_broken_headers_are_passed_over() {
        for header in ["", "199 - \"x\"", "299", "299 -", "299 - \"open", "299 - x"] {
            assert_eq!(one(header), None, "{header:?}");
        }
    }
}
