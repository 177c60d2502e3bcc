//! Which virtual host a request's host belongs to.

use std::collections::HashMap;

/// Longest host looked at: a DNS name, a port and some room. A longer one belongs to `*`.
const LONGEST: usize = 272;

/// Host name patterns to positions of virtual hosts: exact names first, then the longest `*suffix`, then the longest
/// `prefix*`, then `*`. Letter case and a trailing dot do not count. A port counts, as in Envoy: `a` is not `a:9080`,
/// so that a service answers only for the ports it has, unless ports are ignored altogether.
#[derive(Debug, Default)]
pub struct HostMap {
    exact: HashMap<Box<str>, u32>,
    /// Text after the star, longest first.
    suffixes: Vec<(Box<str>, u32)>,
    /// Text before the star, longest first.
    prefixes: Vec<(Box<str>, u32)>,
    any: Option<u32>,
    ignores_ports: bool,
}

impl HostMap {
    /// From now on hosts are looked up without their port.
    pub fn ignore_ports(&mut self) {
        self.ignores_ports = true;
    }

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
                let (name, port) = parted(&lower);
                let host = format!("{name}{port}").into_boxed_str();
                if self.exact.contains_key(&host) {
                    return Err(taken());
                }
                self.exact.insert(host, position);
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
        match self.normal(host, &mut buffer) {
            Some(host) => self.find_normal(host).or(self.any),
            None => self.any,
        }
    }

    /// `host` as it is looked up: in lower case, without a trailing dot, and without its port where ports do not
    /// count; in `buffer` when it was not so already.
    fn normal<'a>(&self, host: &'a str, buffer: &'a mut [u8; LONGEST]) -> Option<&'a str> {
        let (name, port) = parted(host);
        let port = if self.ignores_ports { "" } else { port };
        let whole = if port.is_empty() { name } else { host };
        let length = name.len() + port.len();
        if whole.len() == length && !whole.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return (length <= LONGEST).then_some(whole);
        }
        let part = buffer.get_mut(..length)?;
        for (to, from) in part.iter_mut().zip(name.bytes().chain(port.bytes())) {
            *to = from.to_ascii_lowercase();
        }
        std::str::from_utf8(part).ok()
    }

    fn find_normal(&self, host: &str) -> Option<u32> {
        self.exact
            .get(host)
            .or_else(|| longest(&self.suffixes, host, str::ends_with))
            .or_else(|| longest(&self.prefixes, host, str::starts_with))
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

/// The name of a host without its trailing dot, and `:port` or nothing; the colons of a bracketed IPv6 address stay.
fn parted(host: &str) -> (&str, &str) {
    let at = match host.rfind(':') {
        Some(at) => {
            let (name, port) = host.split_at(at);
            let number = port.bytes().skip(1).all(|byte| byte.is_ascii_digit());
            if number && (!name.contains(':') || name.ends_with(']')) {
                at
            } else {
                host.len()
            }
        }
        None => host.len(),
    };
    let (name, port) = host.split_at(at);
    (name.strip_suffix('.').unwrap_or(name), port)
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
        check("reviews.service.consul:9080", Some(6));
        check("reviews:9080", Some(1));
        check("reviews.:9080", Some(1));
        check("Reviews.:9080", Some(1));
        check("reviews", Some(6));
        check("reviews:9081", Some(8));
        check("reviews:9999", Some(6));
        check("a.example.com", Some(2));
        check("a.example.com:8080", Some(6));
        check("a.b.example.com", Some(3));
        check("example.com", Some(6));
        check(".example.com", Some(6));
        check("api.x", Some(4));
        check("api.v1.x", Some(5));
        check("api.v1.x:80", Some(5));
        check("[::1]:80", Some(7));
        check("[::1]", Some(6));
        check("upper.example.org", Some(9));
        check("", Some(6));
        check(&"x".repeat(5000), Some(6));
        check(&"X".repeat(5000), Some(6));
    }

    #[test]
    fn where_ports_are_ignored_a_host_is_looked_up_without_its_own() {
        let mut map = map(&["reviews", "reviews:9080", "*.example.com", "[::1]"]);
        map.ignore_ports();
        let check = |host: &str, expected: Option<u32>| assert_eq!(map.find(host), expected, "{host}");
        check("reviews", Some(0));
        check("reviews:9080", Some(0));
        check("Reviews.:1", Some(0));
        check("a.example.com:8080", Some(2));
        check("[::1]:80", Some(3));
        check("other:9080", None);
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
