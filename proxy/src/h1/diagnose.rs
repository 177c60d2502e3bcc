//! Finds out what is wrong with a head that the parser refused, so that the answer can say it.
//!
//! This runs on refused heads only and reads them line by line.

use super::{
    refusal::Refusal,
    syntax::{is_control, is_token},
};

/// Why `httparse` refused this request head.
pub(super) fn request(head: &[u8], error: httparse::Error) -> Refusal {
    let (line, fields) = split_first(head);
    request_line(line)
        .or_else(|| header_lines(fields))
        .unwrap_or_else(|| by_kind(error, Refusal::RequestLine))
}

/// Why `httparse` refused this response head.
pub(super) fn response(head: &[u8], error: httparse::Error) -> Refusal {
    let (line, fields) = split_first(head);
    status_line(line)
        .or_else(|| header_lines(fields))
        .unwrap_or_else(|| by_kind(error, Refusal::StatusLine))
}

fn split_first(head: &[u8]) -> (&[u8], &[u8]) {
    let end = head.iter().position(|&byte| byte == b'\n').unwrap_or(head.len());
    let (line, rest) = head.split_at_checked(end).unwrap_or((head, b""));
    (
        line.strip_suffix(b"\r").unwrap_or(line),
        rest.get(1..).unwrap_or_default(),
    )
}

fn request_line(line: &[u8]) -> Option<Refusal> {
    let mut parts = line.split(|&byte| byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Some(Refusal::RequestLine);
    };
    if !is_token(method) {
        return Some(Refusal::Method);
    }
    if target.is_empty() {
        return Some(Refusal::RequestLine);
    }
    if target.iter().any(|byte| !(0x21..0x7f).contains(byte)) {
        return Some(Refusal::TargetByte);
    }
    check_version(version, Refusal::RequestLine)
}

fn status_line(line: &[u8]) -> Option<Refusal> {
    let version = line.split(|&byte| byte == b' ').next().unwrap_or_default();
    check_version(version, Refusal::StatusLine)
}

/// A version of the right shape but another number, or no version at all.
fn check_version(version: &[u8], otherwise: Refusal) -> Option<Refusal> {
    match version {
        b"HTTP/1.0" | b"HTTP/1.1" => None,
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Some(Refusal::Version)
        }
        _ => Some(otherwise),
    }
}

/// The first thing wrong with the header lines.
pub(super) fn header_lines(fields: &[u8]) -> Option<Refusal> {
    fields
        .split(|&byte| byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .take_while(|line| !line.is_empty())
        .find_map(header_line)
}

fn header_line(line: &[u8]) -> Option<Refusal> {
    if matches!(line, [b' ' | b'\t', ..]) {
        return Some(Refusal::FoldedLine);
    }
    let Some((name, value)) = line
        .iter()
        .position(|&byte| byte == b':')
        .and_then(|at| line.split_at_checked(at))
    else {
        return Some(Refusal::NoColon);
    };
    if name.is_empty() {
        Some(Refusal::BlankName)
    } else if matches!(name, [.., b' ' | b'\t']) {
        Some(Refusal::SpaceBeforeColon)
    } else if !is_token(name) {
        Some(Refusal::NameByte)
    } else if value.iter().any(|&byte| is_control(byte)) {
        Some(Refusal::ControlByte)
    } else {
        None
    }
}

fn by_kind(error: httparse::Error, first_line: Refusal) -> Refusal {
    match error {
        httparse::Error::TooManyHeaders => Refusal::TooManyHeaders,
        httparse::Error::HeaderName => Refusal::NameByte,
        httparse::Error::HeaderValue => Refusal::ControlByte,
        httparse::Error::NewLine => Refusal::BareCr,
        // Another version was found out before; what is left is a line that ends where more should follow.
        httparse::Error::Version | httparse::Error::Status | httparse::Error::Token => first_line,
    }
}
