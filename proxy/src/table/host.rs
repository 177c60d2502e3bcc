//! Which virtual host a request's host belongs to.

use std::collections::HashMap;

/// Longest host looked at: a DNS name, a port and some room. A longer one belongs to `*`.
const LONGEST: usize = 272;

/// Host name patterns to positions of virtual hosts: exact names first, then the longest `*suffix`, then the longest
/// `prefix*`, then `*`. Letter case and a trailing dot do not count. A host with a port is looked up with it and then
/// without, so a virtual host may say which ports it means and need not.
#[derive(Debug, Default)]
pub struct HostMap {
    exact: HashMap<Box<str>, u32>,
    /// Text after the star, longest first.
    suffixes: Vec<(Box<str>, u32)>,
    /// Text before the star, longest first.
    prefixes: Vec<(Box<str>, u32)>,
    any: Option<u32>,
}

impl HostMap {
    /// Adds a pattern. The error says what is wrong with it: blank, a star in the middle, or taken already.
    pub fn insert(&mut self, pattern: &str, position: u32) -> Result<(), String> {
        let lower = pattern.to_ascii_lowercase();
        let taken = || {
            format!("domain {pattern:?} is already used by another virtual host of this route configuration")
        };
        if lower.is_empty() {
            return Err("a domain must not be blank: use \"*\" for any host".to_owned());
        }
        if lower.len() > LONGEST {
            return Err(format!(
                "a domain has at most {LONGEST} bytes, found {}",
                lower.len()
            ));
        }
        if lower == "*" {
            return match self.any.replace(position) {
                None => Ok(()),
                Some(_) => Err(taken()),
            };
        }
        let stars = lower.bytes().filter(|byte| *byte == b'*').count();
        let list = match (lower.strip_prefix('*'), lower.strip_suffix('*')) {
            (Some(suffix), None) if stars == 1 => Some((&mut self.suffixes, suffix)),
            (None, Some(prefix)) if stars == 1 => Some((&mut self.prefixes, prefix)),
            (None, None) if stars == 0 => None,
            _ => {
                return Err(format!(
                    "domain {pattern:?} must have at most one star, at its start or its end"
                ));
            }
        };
        match list {
            Some((list, text)) => {
                if list.iter().any(|(known, _)| **known == *text) {
                    return Err(taken());
                }
                let at = list.partition_point(|(known, _)| known.len() >= text.len());
                list.insert(at, (text.into(), position));
            }
            None => {
                if self.exact.contains_key(without_dot(&lower)) {
                    return Err(taken());
                }
                self.exact.insert(without_dot(&lower).into(), position);
            }
        }
        Ok(())
    }

    /// The virtual host for `host`, which may have a port.
    pub fn find(&self, host: &str) -> Option<u32> {
        if self.exact.is_empty() && self.suffixes.is_empty() && self.prefixes.is_empty() {
            return self.any;
        }
        let mut buffer = [0u8; LONGEST];
        match self.lower(host, &mut buffer) {
            Some(lower) => self.find_lower(lower).or(self.any),
            None => self.any,
        }
    }

    /// `host` in lower case, in `buffer` when it was not so already.
    fn lower<'a>(&self, host: &'a str, buffer: &'a mut [u8; LONGEST]) -> Option<&'a str> {
        if !host.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return (host.len() <= LONGEST).then_some(host);
        }
        let part = buffer.get_mut(..host.len())?;
        part.copy_from_slice(host.as_bytes());
        part.make_ascii_lowercase();
        std::str::from_utf8(part).ok()
    }

    fn find_lower(&self, host: &str) -> Option<u32> {
        let bare = without_dot(without_port(host));
        let has_port = bare.len() != host.len();
        let spellings = [Some(host).filter(|_| has_port), Some(bare)];
        let spellings = || spellings.iter().flatten();
        spellings()
            .find_map(|host| self.exact.get(*host))
            .or_else(|| spellings().find_map(|host| longest(&self.suffixes, host, str::ends_with)))
            .or_else(|| spellings().find_map(|host| longest(&self.prefixes, host, str::starts_with)))
            .copied()
    }
}

/// The first (longest) text that `host` ends or starts with; the star stands for at least one character.
fn longest<'m>(
    list: &'m [(Box<str>, u32)],
    host: &str,
    matches: fn(&str, &'m str) -> bool,
) -> Option<&'m u32> {
    list.iter()
        .find(|(text, _)| host.len() > text.len() && matches(host, text))
        .map(|(_, position)| position)
}

fn without_dot(host: &str) -> &str {
    host.strip_suffix('.').unwrap_or(host)
}

/// The host without `:port`; the colons of a bracketed IPv6 address stay.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port))
            if port.bytes().all(|byte| byte.is_ascii_digit())
                && (!name.contains(':') || name.ends_with(']')) =>
        {
            name
        }
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(patterns: &[&str]) -> HostMap {
        let mut map = HostMap::default();
        for (pattern, position) in patterns.iter().zip(0..) {
            map.insert(pattern, position).expect("a good pattern");
        }
        map
    }

    #[test]
    fn the_most_exact_pattern_wins() {
        let map = map(&[
            "reviews.service.consul",
            "reviews:9080",
            "*.example.com",
            "*.b.example.com",
            "api.*",
            "api.v1.*",
            "*",
            "[::1]:80",
            "reviews:9081",
            "Upper.Example.Org",
        ]);
        let check = |host: &str, expected: Option<u32>| assert_eq!(map.find(host), expected, "{host}");
        check("reviews.service.consul", Some(0));
        check("REVIEWS.Service.Consul", Some(0));
        check("reviews.service.consul.", Some(0));
        check("reviews.service.consul:9080", Some(0));
        check("reviews.service.consul.:9080", Some(0));
        check("reviews:9080", Some(1));
        check("reviews:9081", Some(8));
        check("reviews:9999", Some(6));
        check("a.example.com", Some(2));
        check("a.example.com:8080", Some(2));
        check("a.b.example.com", Some(3));
        check("example.com", Some(6));
        check(".example.com", Some(6));
        check("api.x", Some(4));
        check("api.v1.x", Some(5));
        check("[::1]:80", Some(7));
        check("[::1]", Some(6));
        check("upper.example.org", Some(9));
        check("", Some(6));
        check(&"x".repeat(5000), Some(6));
        check(&"X".repeat(5000), Some(6));
    }

    #[test]
    fn without_a_star_an_unknown_host_has_no_virtual_host() {
        assert_eq!(map(&["a"]).find("b"), None);
        assert_eq!(HostMap::default().find("b"), None);
    }

    #[test]
    fn doubled_and_malformed_patterns_are_refused() {
        let mut map = map(&["a", "*", "*.b", "c.*"]);
        for pattern in ["a", "A", "a.", "*", "*.B", "c.*", "", "a*b", "*x*", "**"] {
            assert!(map.insert(pattern, 9).is_err(), "{pattern}");
        }
        assert_eq!(map.find("a"), Some(0));
    }
}
