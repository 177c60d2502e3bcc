//! The one reading of paths: policy, routing, logs and forwarding all use what comes out of here. That of hosts is in
//! `table/host.rs`.
//!
//! A path that is normal already, as nearly all are, comes back borrowed.

use std::borrow::Cow;

/// How far paths are normalised, for the whole mesh alike. Whatever is chosen holds for policy and forwarding
/// alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Escapes of unreserved characters and of slashes are decoded, a backslash becomes a slash, slashes are
    /// merged, dot segments resolved.
    #[default]
    Full,
    /// Escapes of unreserved characters are decoded and dot segments resolved.
    DotsOnly,
    /// The path is taken as it came.
    Off,
}

/// Why a path was refused; the request is answered 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathProblem {
    /// A `%` without two hex digits behind it.
    #[error("the path has a % that is not followed by two hex digits")]
    BadEscape,
    /// A NUL byte, raw or as `%00`.
    #[error("the path has a NUL in it")]
    Nul,
    /// Neither `*` nor a path that begins with `/`.
    #[error("the path does not begin with a slash")]
    NotRooted,
}

/// Normalises a path, which has no query. `*` and, for CONNECT, the blank path pass as they are; a fragment
/// is dropped in every mode but `Off`.
///
/// The result normalises to itself.
///
/// # Errors
/// [`PathProblem`] for a path that has no safe reading.
pub fn normalise(path: &str, mode: Mode) -> Result<Cow<'_, str>, PathProblem> {
    if mode == Mode::Off || path == "*" || path.is_empty() {
        return Ok(Cow::Borrowed(path));
    }
    let path = path.split_once('#').map_or(path, |(before, _)| before);
    let decoded = decode(path, mode)?;
    if !decoded.starts_with('/') {
        return Err(PathProblem::NotRooted);
    }
    if is_settled(&decoded, mode) {
        return Ok(decoded);
    }
    Ok(Cow::Owned(resolve(&decoded, mode)))
}

/// Decodes what has only one meaning, and spells the other escapes in capitals.
fn decode(path: &str, mode: Mode) -> Result<Cow<'_, str>, PathProblem> {
    let backslash = |byte: u8| byte == b'\\' && mode == Mode::Full;
    if !path
        .bytes()
        .any(|byte| byte == b'%' || byte == 0 || backslash(byte))
    {
        return Ok(Cow::Borrowed(path));
    }
    let mut decoded = String::with_capacity(path.len());
    let mut rest = path.chars();
    while let Some(character) = rest.next() {
        match character {
            '\0' => return Err(PathProblem::Nul),
            '\\' if mode == Mode::Full => decoded.push('/'),
            '%' => {
                let mut digit = || {
                    rest.next()
                        .and_then(|digit| digit.to_digit(16))
                        .ok_or(PathProblem::BadEscape)
                };
                let (high, low) = (digit()?, digit()?);
                match char::from_u32(high << 4 | low).unwrap_or('\0') {
                    '\0' => return Err(PathProblem::Nul),
                    '/' | '\\' if mode == Mode::Full => decoded.push('/'),
                    byte if byte.is_ascii_alphanumeric() || matches!(byte, '-' | '.' | '_' | '~') => {
                        decoded.push(byte)
                    }
                    _ => {
                        decoded.push('%');
                        for digit in [high, low] {
                            decoded
                                .extend(char::from_digit(digit, 16).map(|digit| digit.to_ascii_uppercase()));
                        }
                    }
                }
            }
            other => decoded.push(other),
        }
    }
    Ok(Cow::Owned(decoded))
}

/// Whether there is neither a dot segment nor, in full mode, a doubled slash.
fn is_settled(path: &str, mode: Mode) -> bool {
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        if matches!(segment, "." | "..") || (segment.is_empty() && !last && mode == Mode::Full) {
            return false;
        }
    }
    true
}

/// Walks the segments: `.` stays, `..` goes up and never above the root, blank ones are left out in full
/// mode.
fn resolve(path: &str, mode: Mode) -> String {
    let mut resolved = String::with_capacity(path.len());
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    resolved.truncate(resolved.rfind('/').unwrap_or(0));
                }
                if last {
                    resolved.push('/');
                }
            }
            "" if mode == Mode::Full && !last => {}
            _ => {
                resolved.push('/');
                resolved.push_str(segment);
            }
        }
    }
    if resolved.is_empty() {
        "/".to_owned()
    } else {
        resolved
    }
}
