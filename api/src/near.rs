//! The known name that an unknown one is probably meant to be.

/// The known name that `key` is probably meant to be: at most two edits away, and not a wholly other word.
pub fn nearest<'k>(key: &str, known: &[&'k str]) -> Option<&'k str> {
    let plain = |text: &str| text.replace('_', "").to_ascii_lowercase();
    let wanted = plain(key);
    if wanted.len() > 64 {
        return None;
    }
    known
        .iter()
        .map(|name| (strsim::levenshtein(&wanted, &plain(name)), *name))
        .filter(|(distance, name)| *distance <= 2 && *distance * 2 < name.len())
        .min()
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_answered_and_another_word_is_not() {
        let known = ["httpReqTimeout", "route", "match", "precedence"];
        for (key, expected) in [
            ("httpReqTimeuot", Some("httpReqTimeout")),
            ("http_req_timeot", Some("httpReqTimeout")),
            ("routes", Some("route")),
            ("Match", Some("match")),
            ("weight", None),
            ("", None),
        ] {
            assert_eq!(nearest(key, &known), expected, "{key}");
        }
        assert_eq!(nearest(&"x".repeat(100_000), &known), None);
    }
}
