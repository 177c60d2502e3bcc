//! Which requests a route is for: path, then headers, the cheapest first.

use regex::bytes::Regex;

use crate::decide::{Headers, RequestView};

/// Conditions that must all hold.
#[derive(Debug)]
pub struct Matcher {
    path: PathMatch,
    /// Cheapest first.
    headers: Box<[HeaderMatch]>,
}

impl Matcher {
    /// A matcher on the path and any number of headers.
    pub fn new(path: PathMatch, mut headers: Vec<HeaderMatch>) -> Matcher {
        headers.sort_by_key(HeaderMatch::cost);
        Matcher {
            path,
            headers: headers.into(),
        }
    }

    /// True when every condition holds; `path` is the request's [`path`](RequestView::path), found once for all routes.
    pub fn matches<H: Headers>(&self, request: &RequestView<'_, H>, path: &str) -> bool {
        self.path.matches(path) && self.headers.iter().all(|header| header.matches(request))
    }
}

/// A condition on the normalised path without its query.
#[derive(Debug)]
pub enum PathMatch {
    /// The path starts with this text.
    Prefix(Box<str>),
    /// The path is this text or goes on with a slash after it.
    Segments(Box<str>),
    /// The path is this text.
    Exact(Box<str>),
    /// As `Prefix`, letter case aside.
    PrefixAnyCase(Box<str>),
    /// As `Exact`, letter case aside.
    ExactAnyCase(Box<str>),
    /// The pattern matches the whole path.
    Regex(Regex),
}

impl PathMatch {
    /// True when `path` (without query) fulfils it.
    pub fn matches(&self, path: &str) -> bool {
        match self {
            PathMatch::Prefix(text) => path.starts_with(&**text),
            PathMatch::Segments(text) => path
                .strip_prefix(&**text)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
            PathMatch::Exact(text) => *path == **text,
            PathMatch::PrefixAnyCase(text) => starts_with_any_case(path.as_bytes(), text.as_bytes()),
            PathMatch::ExactAnyCase(text) => path.eq_ignore_ascii_case(text),
            PathMatch::Regex(regex) => regex.is_match(path.as_bytes()),
        }
    }
}

/// A condition on one header.
#[derive(Debug)]
pub struct HeaderMatch {
    /// Where the value comes from.
    pub field: HeaderField,
    /// What must hold for the value; several values of one header are joined with commas.
    pub text: TextMatch,
    /// True when the condition is turned round.
    pub invert: bool,
    /// True when an absent header counts as a blank one, instead of not matching.
    pub missing_is_empty: bool,
}

impl HeaderMatch {
    /// True when the request fulfils it. An absent header fulfils only "absent" and inverted conditions.
    pub fn matches<H: Headers>(&self, request: &RequestView<'_, H>) -> bool {
        match &self.field {
            HeaderField::Method => self.judge(request.method.as_bytes()),
            HeaderField::Authority => self.judge(request.authority.as_bytes()),
            HeaderField::Scheme => self.judge(request.scheme.as_bytes()),
            HeaderField::Path => self.judge(request.target.as_bytes()),
            HeaderField::Named(name) => {
                let mut values = request.headers.values(name);
                match (values.next(), values.next()) {
                    (Some(only), None) => self.judge(only),
                    (Some(first), Some(second)) => {
                        let mut joined = [first, b",", second].concat();
                        for value in values {
                            joined.push(b',');
                            joined.extend_from_slice(value);
                        }
                        self.judge(&joined)
                    }
                    (None, _) if self.missing_is_empty => self.judge(b""),
                    (None, _) => matches!(self.text, TextMatch::Absent) != self.invert,
                }
            }
        }
    }

    fn judge(&self, value: &[u8]) -> bool {
        self.text.matches(value) != self.invert
    }

    /// What it costs to look, in no unit: pseudo headers are at hand, names are searched for, patterns are run.
    fn cost(&self) -> u8 {
        let find = if matches!(self.field, HeaderField::Named(_)) {
            2
        } else {
            0
        };
        let judge = match self.text {
            TextMatch::Present | TextMatch::Absent | TextMatch::Exact(_) | TextMatch::Range { .. } => 0,
            TextMatch::Regex(_) => 8,
            _ => 1,
        };
        find + judge
    }
}

/// A request header, or what HTTP/2 made a pseudo header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderField {
    /// `:method`.
    Method,
    /// `:authority`, also the `host` header.
    Authority,
    /// `:scheme`.
    Scheme,
    /// `:path`, with the query.
    Path,
    /// A header by its lower-case name.
    Named(Box<str>),
}

impl HeaderField {
    /// The field of this name; names are not case sensitive.
    pub fn new(name: &str) -> HeaderField {
        match &*name.to_ascii_lowercase() {
            ":method" => HeaderField::Method,
            ":authority" | "host" => HeaderField::Authority,
            ":scheme" => HeaderField::Scheme,
            ":path" => HeaderField::Path,
            lower => HeaderField::Named(lower.into()),
        }
    }
}

/// A condition on a value.
#[derive(Debug)]
pub enum TextMatch {
    /// There is a value.
    Present,
    /// There is none.
    Absent,
    /// The value is this text.
    Exact(Box<str>),
    /// It starts with this text.
    Prefix(Box<str>),
    /// It ends with this text.
    Suffix(Box<str>),
    /// It has this text in it.
    Contains(Box<str>),
    /// As the four before, letter case aside (the text is in lower case).
    AnyCase(AnyCase, Box<str>),
    /// The pattern matches the whole value.
    Regex(Regex),
    /// It is a decimal number, `start` or above and below `end`.
    Range {
        /// First number that matches.
        start: i64,
        /// First number above that does not.
        end: i64,
    },
}

/// Which part of a value [`TextMatch::AnyCase`] compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnyCase {
    /// All of it.
    Exact,
    /// Its start.
    Prefix,
    /// Its end.
    Suffix,
    /// Any part.
    Contains,
}

impl TextMatch {
    /// True when `value` fulfils it.
    pub fn matches(&self, value: &[u8]) -> bool {
        match self {
            TextMatch::Present => true,
            TextMatch::Absent => false,
            TextMatch::Exact(text) => value == text.as_bytes(),
            TextMatch::Prefix(text) => value.starts_with(text.as_bytes()),
            TextMatch::Suffix(text) => value.ends_with(text.as_bytes()),
            TextMatch::Contains(text) => find(value, text.as_bytes(), |a, b| a == b),
            TextMatch::AnyCase(part, text) => {
                let text = text.as_bytes();
                match part {
                    AnyCase::Exact => value.eq_ignore_ascii_case(text),
                    AnyCase::Prefix => starts_with_any_case(value, text),
                    AnyCase::Suffix => {
                        let start = value.len().checked_sub(text.len());
                        start
                            .and_then(|at| value.get(at..))
                            .is_some_and(|end| end.eq_ignore_ascii_case(text))
                    }
                    AnyCase::Contains => find(value, text, <[u8]>::eq_ignore_ascii_case),
                }
            }
            TextMatch::Regex(regex) => regex.is_match(value),
            TextMatch::Range { start, end } => std::str::from_utf8(value)
                .ok()
                .and_then(|text| text.trim().parse::<i64>().ok())
                .is_some_and(|number| (*start..*end).contains(&number)),
        }
    }
}

fn starts_with_any_case(value: &[u8], text: &[u8]) -> bool {
    value
        .get(..text.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(text))
}

fn find(value: &[u8], text: &[u8], same: fn(&[u8], &[u8]) -> bool) -> bool {
    text.is_empty() || value.windows(text.len()).any(|window| same(window, text))
}
