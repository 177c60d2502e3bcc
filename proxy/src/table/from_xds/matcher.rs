//! RouteMatch to a compiled matcher.

use outrigger_xds::pb::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use outrigger_xds::pb::envoy::config::route::v3::route_match::PathSpecifier;
use outrigger_xds::pb::envoy::config::route::v3::{HeaderMatcher, RouteMatch};
use outrigger_xds::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use outrigger_xds::pb::envoy::r#type::matcher::v3::{RegexMatcher, StringMatcher};
use regex::bytes::{Regex, RegexBuilder};

use super::at::{At, refuse};
use crate::table::{AnyCase, HeaderField, HeaderMatch, Matcher, PathMatch, TableError, TextMatch};

/// Longest source of a pattern in bytes: four times what a rule may have (`spec/reliability.md` §3), since pilot writes
/// some patterns longer than its users did.
const LONGEST_PATTERN: usize = 4096;
/// Largest compiled pattern in bytes.
const LARGEST_PATTERN: usize = 1 << 20;

/// Compiles the match of a route.
pub(super) fn matcher(at: &At<'_>, message: &RouteMatch) -> Result<Matcher, TableError> {
    refuse!(
        at,
        message,
        runtime_fraction,
        query_parameters,
        cookies,
        grpc,
        tls_context,
        dynamic_metadata,
        filter_state,
    );
    let path = path(at, message)?;
    let mut headers = Vec::with_capacity(message.headers.len());
    for (header, nth) in message.headers.iter().zip(0..) {
        headers.push(header_match(&at.nth("headers", nth), header)?);
    }
    Ok(Matcher::new(path, headers))
}

fn path(at: &At<'_>, message: &RouteMatch) -> Result<PathMatch, TableError> {
    let any_case = message.case_sensitive.is_some_and(|sensitive| !sensitive.value);
    Ok(match &message.path_specifier {
        Some(PathSpecifier::Prefix(text)) if any_case => PathMatch::PrefixAnyCase((&**text).into()),
        Some(PathSpecifier::Prefix(text)) => PathMatch::Prefix((&**text).into()),
        Some(PathSpecifier::Path(text)) if any_case => PathMatch::ExactAnyCase((&**text).into()),
        Some(PathSpecifier::Path(text)) => PathMatch::Exact((&**text).into()),
        Some(PathSpecifier::SafeRegex(pattern)) => {
            PathMatch::Regex(regex(&at.at("safe_regex"), pattern, any_case)?)
        }
        Some(PathSpecifier::PathSeparatedPrefix(text)) => {
            let at = at.at("path_separated_prefix");
            if any_case {
                return Err(at.error("case_sensitive: false is not supported together with it"));
            }
            if !text.starts_with('/') || text.ends_with('/') {
                return Err(at.error(format!(
                    "must start with a slash and not end with one, found {text:?}"
                )));
            }
            PathMatch::Segments((&**text).into())
        }
        Some(PathSpecifier::ConnectMatcher(_)) => return Err(at.at("connect_matcher").not_supported()),
        Some(PathSpecifier::PathMatchPolicy(_)) => return Err(at.at("path_match_policy").not_supported()),
        None => return Err(at.error("one of prefix, path, safe_regex and path_separated_prefix is expected")),
    })
}

#[allow(deprecated)] // the older forms of a header match are still written by control planes
fn header_match(at: &At<'_>, message: &HeaderMatcher) -> Result<HeaderMatch, TableError> {
    if message.name.is_empty() {
        return Err(at.at("name").error("must not be blank"));
    }
    let field = HeaderField::new(&message.name);
    if matches!(&field, HeaderField::Named(name) if name.starts_with(':')) {
        return Err(at
            .at("name")
            .error(format!("{:?} is not a pseudo header of a request", message.name)));
    }
    let text = match &message.header_match_specifier {
        None | Some(HeaderMatchSpecifier::PresentMatch(true)) => TextMatch::Present,
        Some(HeaderMatchSpecifier::PresentMatch(false)) => TextMatch::Absent,
        Some(HeaderMatchSpecifier::ExactMatch(text)) => TextMatch::Exact((&**text).into()),
        Some(HeaderMatchSpecifier::PrefixMatch(text)) => TextMatch::Prefix((&**text).into()),
        Some(HeaderMatchSpecifier::SuffixMatch(text)) => TextMatch::Suffix((&**text).into()),
        Some(HeaderMatchSpecifier::ContainsMatch(text)) => TextMatch::Contains((&**text).into()),
        Some(HeaderMatchSpecifier::SafeRegexMatch(pattern)) => {
            TextMatch::Regex(regex(&at.at("safe_regex_match"), pattern, false)?)
        }
        Some(HeaderMatchSpecifier::RangeMatch(range)) => TextMatch::Range {
            start: range.start,
            end: range.end,
        },
        Some(HeaderMatchSpecifier::StringMatch(matcher)) => string_match(&at.at("string_match"), matcher)?,
    };
    let (invert, missing_is_empty) = (message.invert_match, message.treat_missing_header_as_empty);
    Ok(HeaderMatch {
        field,
        text,
        invert,
        missing_is_empty,
    })
}

fn string_match(at: &At<'_>, message: &StringMatcher) -> Result<TextMatch, TableError> {
    let any_case = |part, text: &str| TextMatch::AnyCase(part, text.to_ascii_lowercase().into());
    Ok(match (&message.match_pattern, message.ignore_case) {
        (Some(MatchPattern::Exact(text)), false) => TextMatch::Exact((&**text).into()),
        (Some(MatchPattern::Prefix(text)), false) => TextMatch::Prefix((&**text).into()),
        (Some(MatchPattern::Suffix(text)), false) => TextMatch::Suffix((&**text).into()),
        (Some(MatchPattern::Contains(text)), false) => TextMatch::Contains((&**text).into()),
        (Some(MatchPattern::Exact(text)), true) => any_case(AnyCase::Exact, text),
        (Some(MatchPattern::Prefix(text)), true) => any_case(AnyCase::Prefix, text),
        (Some(MatchPattern::Suffix(text)), true) => any_case(AnyCase::Suffix, text),
        (Some(MatchPattern::Contains(text)), true) => any_case(AnyCase::Contains, text),
        (Some(MatchPattern::SafeRegex(pattern)), _) => {
            TextMatch::Regex(regex(&at.at("safe_regex"), pattern, false)?)
        }
        (Some(MatchPattern::Custom(_)), _) => return Err(at.at("custom").not_supported()),
        (None, _) => {
            return Err(at.error("one of exact, prefix, suffix, contains and safe_regex is expected"));
        }
    })
}

/// A pattern that has to match the whole text, within limits on its source and its compiled size.
fn regex(at: &At<'_>, message: &RegexMatcher, any_case: bool) -> Result<Regex, TableError> {
    let source = &*message.regex;
    let at = at.at("regex");
    if source.is_empty() {
        return Err(at.error("must not be blank"));
    }
    if source.len() > LONGEST_PATTERN {
        return Err(at.error(format!(
            "a pattern has at most {LONGEST_PATTERN} bytes, found {}",
            source.len()
        )));
    }
    let compile = |source: &str| {
        RegexBuilder::new(source)
            .case_insensitive(any_case)
            .size_limit(LARGEST_PATTERN)
            .dfa_size_limit(LARGEST_PATTERN)
            .build()
            .map_err(|error| at.error(format!("{source:?} is not a pattern this proxy can use: {error}")))
    };
    // On its own first: `a)|(b` is no pattern, though it would be one between our brackets.
    compile(source)?;
    compile(&format!(r"\A(?:{source})\z"))
}
