//! Which names may stand in a host: DNS labels, and names made of them.

use std::borrow::Cow;

/// One DNS label: 1 to 63 of `a-z`, `0-9` and `-`, no hyphen at either end.
pub(crate) fn is_label(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 63
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// Labels joined by dots, 253 characters in all.
pub(crate) fn is_name(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_label)
}

/// The lower-cased name, or `None` when it cannot be a host even so.
pub(crate) fn lowered(text: &str) -> Option<Cow<'_, str>> {
    let name = match text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => Cow::Owned(text.to_ascii_lowercase()),
        false => Cow::Borrowed(text),
    };
    is_name(&name).then_some(name)
}

/// A label of an instance is usable when key and value match `[-A-Za-z0-9_./]*` and there is a key.
pub(crate) fn is_instance_label(key: &str, value: &str) -> bool {
    let plain = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/'))
    };
    !key.is_empty() && plain(key) && plain(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lowered_or_refused() {
        for (text, expected) in [
            ("reviews", Some("reviews")),
            ("Reviews", Some("reviews")),
            ("a.b-c.d9", Some("a.b-c.d9")),
            ("my_service", None),
            ("-a", None),
            ("a-", None),
            ("a..b", None),
            ("", None),
            ("ü", None),
        ] {
            assert_eq!(lowered(text).as_deref(), expected, "{text:?}");
        }
        assert!(lowered(&"a".repeat(63)).is_some());
        assert!(lowered(&"a".repeat(64)).is_none());
        assert!(lowered(&["abcd"; 60].join(".")).is_none());
    }

    #[test]
    fn instance_labels_have_a_key_and_plain_characters() {
        assert!(is_instance_label("version", "v1"));
        assert!(is_instance_label("app/kind", ""));
        assert!(!is_instance_label("", "v1"));
        assert!(!is_instance_label("version", "v 1"));
        assert!(!is_instance_label("vér", "v1"));
    }
}
