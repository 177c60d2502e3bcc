//! The known name that an unknown one is probably meant to be.

/// The known name that `key` is probably meant to be: at most two edits away, and not a wholly other word.
pub(super) fn nearest(key: &str, known: &[&'static str]) -> Option<&'static str> {
    let plain = |text: &str| text.replace('_', "").to_ascii_lowercase();
    let wanted = plain(key);
    if wanted.len() > 64 {
        return None;
    }
    known
        .iter()
        .map(|name| (distance(&wanted, &plain(name)), *name))
        .filter(|(distance, name)| *distance <= 2 && *distance * 2 < name.len())
        .min()
        .map(|(_, name)| name)
}

/// Edits (insert, delete, replace) from one text to the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (index, left) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, right) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(left != *right);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
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
