//! Host names: their grammar, wildcards, which covers which, and how short names become whole ones.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Longest host name, in bytes.
const MAX_HOST: usize = 255;

/// True for a DNS-1123 label: `[a-z0-9]([-a-z0-9]*[a-z0-9])?`, at most 63 bytes.
pub fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=63).contains(&text.len())
        && text.bytes().all(|byte| inner(byte) || byte == b'-')
        && text.as_bytes().first().copied().is_some_and(inner)
        && text.as_bytes().last().copied().is_some_and(inner)
}

/// Checks a fully qualified name: at most 255 bytes, every label a DNS-1123 label. An IPv4 address passes.
///
/// # Errors
/// Says which label is wrong.
pub fn check_fqdn(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("empty domain name not allowed".into());
    }
    if text.len() > MAX_HOST {
        return Err(format!(
            "domain name too long ({} bytes, at most {MAX_HOST})",
            text.len()
        ));
    }
    match text.split('.').find(|label| !is_label(label)) {
        None => Ok(()),
        Some(label) => Err(format!(
            "domain name {text:?} is invalid: label {label:?} must be {LABEL_RULE}"
        )),
    }
}

/// What a label may look like, for messages.
const LABEL_RULE: &str = "1 to 63 lower case letters, digits or '-', with a letter or digit at both ends";

/// Checks a name whose first label may be `*` or begin with `*-`: the wildcards of the second generation.
///
/// # Errors
/// Says what is wrong, and for a misplaced `*` where it may stand.
pub fn check_wildcard(text: &str) -> Result<(), String> {
    if text == "*" {
        return Ok(());
    }
    let (first, rest) = match text.split_once('.') {
        Some((first, rest)) => (first, Some(rest)),
        None => (text, None),
    };
    let Some(after_star) = first.strip_prefix('*') else {
        return check_without_star(text);
    };
    if text.len() > MAX_HOST {
        return check_fqdn(text);
    }
    let first_reads = after_star.is_empty() || after_star.strip_prefix('-').is_some_and(is_label);
    if !first_reads {
        return Err(format!(
            "wildcard {text:?} is invalid: its first label must be * or begin with *-"
        ));
    }
    rest.map_or(Ok(()), check_without_star)
}

/// Checks a host of the first generation: a name, an address, or `*` before a name, as `*`, `*.foo.com`,
/// `*-bar.foo.com` or `*foo.com`.
///
/// # Errors
/// Says what is wrong.
pub fn check_egress(text: &str) -> Result<(), String> {
    match text.strip_prefix('*') {
        Some("") => Ok(()),
        Some(rest) => check_without_star(rest.strip_prefix(['.', '-']).unwrap_or(rest)),
        None => check_without_star(text),
    }
}

fn check_without_star(text: &str) -> Result<(), String> {
    if text.contains('*') {
        return Err(format!(
            "domain name {text:?} is invalid: a wildcard may only stand at the very left"
        ));
    }
    check_fqdn(text)
}

/// True when `text` is an IPv4 or IPv6 address.
pub fn is_address(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok()
}

/// True when every host that `narrow` stands for is one that `wide` stands for. A `*` stands for one or more
/// characters.
pub fn is_subset_of(narrow: &str, wide: &str) -> bool {
    match (narrow.strip_prefix('*'), wide.strip_prefix('*')) {
        (None, None) => narrow == wide,
        (None, Some(tail)) => narrow.len() > tail.len() && narrow.ends_with(tail),
        (Some(narrow), Some(wide)) => narrow.ends_with(wide),
        (Some(_), None) => false,
    }
}

/// True when some host is matched by both patterns.
pub fn overlap(left: &str, right: &str) -> bool {
    is_subset_of(left, right) || is_subset_of(right, left)
}

/// Host patterns that can be asked for overlaps with one more, without a look at each of them.
#[derive(Debug, Default)]
pub(crate) struct Patterns<'a> {
    /// Every pattern by its characters from right to left, the `*` left out.
    reversed: BTreeMap<Vec<u8>, &'a str>,
    /// Wildcards by what stands behind the `*`.
    wildcards: BTreeMap<&'a str, &'a str>,
    exact: BTreeSet<&'a str>,
}

impl<'a> Patterns<'a> {
    /// Adds a pattern that passed one of the checks of this module, which bound its length.
    pub(crate) fn insert(&mut self, pattern: &'a str) {
        match pattern.strip_prefix('*') {
            Some(tail) => {
                self.reversed.insert(tail.bytes().rev().collect(), pattern);
                self.wildcards.insert(tail, pattern);
            }
            None => {
                self.reversed.insert(pattern.bytes().rev().collect(), pattern);
                self.exact.insert(pattern);
            }
        }
    }

    /// A pattern that covers all of `narrow`.
    pub(crate) fn covering(&self, narrow: &str) -> Option<&'a str> {
        if let Some(same) = self.exact.get(narrow) {
            return Some(same);
        }
        let tail = narrow.strip_prefix('*');
        let from = usize::from(tail.is_none());
        let text = tail.unwrap_or(narrow);
        (from..=text.len())
            .filter_map(|start| text.get(start..))
            .find_map(|tail| self.wildcards.get(tail).copied())
    }

    /// A pattern that some host fits which also fits `pattern`.
    pub(crate) fn overlapping(&self, pattern: &str) -> Option<&'a str> {
        let covered = pattern.strip_prefix('*').and_then(|tail| {
            let tail: Vec<u8> = tail.bytes().rev().collect();
            self.reversed
                .range(tail.clone()..)
                .take_while(|(reversed, _)| reversed.starts_with(&tail))
                .map(|(_, earlier)| *earlier)
                .find(|earlier| is_subset_of(earlier, pattern))
        });
        covered.or_else(|| self.covering(pattern))
    }
}

/// The pattern that fits `host` most closely: the host itself, else the longest wildcard that covers it.
pub fn most_specific<'a>(host: &str, patterns: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    patterns
        .into_iter()
        .filter(|pattern| is_subset_of(host, pattern))
        .max_by_key(|pattern| (*pattern == host, pattern.len(), std::cmp::Reverse(*pattern)))
}

/// Splits a gateway's `namespace/host`; the namespace is `None` when it is not written.
pub fn split_namespace(text: &str) -> (Option<&str>, &str) {
    match text.split_once('/') {
        Some((namespace, host)) => (Some(namespace), host),
        None => (None, text),
    }
}

/// How names without a dot become hosts: one template per registry, in order of precedence.
///
/// In a template `{name}` stands for the short name and `{namespace}` for the rule's namespace, as in
/// `{name}.service.consul` or `{name}.{namespace}.svc.cluster.local`. Without any template a short name
/// stands for itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShortNames {
    /// Templates by precedence.
    pub template: Vec<String>,
}

impl ShortNames {
    /// Every host that a short name may stand for, by precedence; at least one.
    pub fn candidates(&self, name: &str, namespace: &str) -> Vec<String> {
        if self.template.is_empty() {
            return vec![name.to_owned()];
        }
        self.template
            .iter()
            .map(|template| template.replace("{name}", name).replace("{namespace}", namespace))
            .collect()
    }

    /// The host that a rule in `namespace` names by `host`: the first candidate for a name without a dot,
    /// any other name as it is.
    pub fn resolve(&self, host: &str, namespace: &str) -> String {
        if host.contains(['.', '*', ':']) || host.is_empty() {
            return host.to_owned();
        }
        self.candidates(host, namespace).swap_remove(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_their_grammar() {
        for text in ["a", "reviews", "reviews.service.consul", "10.0.0.1", "x-1.y"] {
            assert_eq!(check_fqdn(text), Ok(()), "{text}");
        }
        let long = format!("{}.com", "a.".repeat(130));
        for text in [
            "",
            "a..b",
            "Reviews",
            "-a",
            "a-",
            "a_b",
            ".a",
            "a.",
            &"a".repeat(64),
            &long,
        ] {
            assert!(check_fqdn(text).is_err(), "{text}");
        }
    }

    #[test]
    fn wildcards_stand_only_at_the_left() {
        for text in ["*", "*.foo.com", "*-bar.foo.com", "foo.com", "*.com"] {
            assert_eq!(check_wildcard(text), Ok(()), "{text}");
        }
        for text in ["foo.*", "*foo.com", "*.*", "f*.com", "*.", "*-", "*.Foo"] {
            assert!(check_wildcard(text).is_err(), "{text}");
        }
        for text in ["*", "*foo.com", "*.foo.com", "*-bar.foo.com", "1.2.3.4"] {
            assert_eq!(check_egress(text), Ok(()), "{text}");
        }
        assert!(check_egress("foo.*").is_err());
    }

    #[test]
    fn a_star_stands_for_at_least_one_character() {
        for (narrow, wide, expected) in [
            ("a.foo.com", "*.foo.com", true),
            ("a.b.foo.com", "*.foo.com", true),
            ("foo.com", "*.foo.com", false),
            ("baz-bar.foo.com", "*-bar.foo.com", true),
            ("-bar.foo.com", "*-bar.foo.com", false),
            ("*.foo.com", "*.com", true),
            ("*.com", "*.foo.com", false),
            ("*.foo.com", "*", true),
            ("*", "a", false),
            ("a", "a", true),
        ] {
            assert_eq!(is_subset_of(narrow, wide), expected, "{narrow} in {wide}");
        }
        assert!(overlap("*.com", "*.foo.com"));
        assert!(!overlap("*.org", "*.foo.com"));
    }

    #[test]
    fn many_patterns_answer_like_each_of_them() {
        let all = [
            "a.foo.com",
            "*.foo.com",
            "*-bar.foo.com",
            "*.com",
            "*",
            "b.org",
            "x-bar.foo.com",
            "foo.com",
            "*.b.org",
        ];
        for known in all {
            let mut patterns = Patterns::default();
            patterns.insert(known);
            for asked in all {
                assert_eq!(
                    patterns.overlapping(asked).is_some(),
                    overlap(asked, known),
                    "{asked} and {known}"
                );
                assert_eq!(
                    patterns.covering(asked).is_some(),
                    is_subset_of(asked, known),
                    "{asked} in {known}"
                );
            }
        }
    }

    #[test]
    fn the_closest_pattern_wins() {
        let patterns = ["*", "*.foo.com", "*.com", "a.foo.com"];
        assert_eq!(most_specific("a.foo.com", patterns), Some("a.foo.com"));
        assert_eq!(most_specific("b.foo.com", patterns), Some("*.foo.com"));
        assert_eq!(most_specific("b.org", patterns), Some("*"));
        assert_eq!(most_specific("b.org", ["*.com"]), None);
    }

    #[test]
    fn short_names_take_the_first_template_and_names_with_a_dot_none() {
        let names = ShortNames {
            template: vec![
                "{name}.service.consul".into(),
                "{name}.{namespace}.svc.cluster.local".into(),
            ],
        };
        assert_eq!(names.resolve("reviews", "default"), "reviews.service.consul");
        assert_eq!(names.resolve("reviews.example", "default"), "reviews.example");
        assert_eq!(names.resolve("*", "default"), "*");
        assert_eq!(
            names.candidates("reviews", "shop"),
            ["reviews.service.consul", "reviews.shop.svc.cluster.local"]
        );
        assert_eq!(ShortNames::default().resolve("reviews", "default"), "reviews");
    }
}
