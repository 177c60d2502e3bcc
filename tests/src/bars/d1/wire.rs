//! Messages as they stand on the wire: a strict little reader of HTTP/1.1 that shares nothing with the proxy's codec.
//!
//! It takes what RFC 9112 lets a sender write and nothing that a receiver may forgive: CRLF behind every line, one
//! Host, one way to say where the body ends, no chunk extensions. A proxy that lets anything else out is found here.

use std::fmt;

/// A name and its value.
pub(super) type Field = (Vec<u8>, Vec<u8>);

/// What is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A request.
    Request,
    /// An answer; bodiless when HEAD or CONNECT was asked.
    Answer {
        /// Whatever the head says, no body follows.
        bodiless: bool,
    },
}

/// How a body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is none.
    Bodiless,
    /// So many bytes.
    Length(u64),
    /// In chunks.
    Chunked,
    /// Until the connection ends.
    UntilClose,
}

/// A message, or as much of it as has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// The first line, without its end.
    pub(super) first: Vec<u8>,
    /// The fields in order, as spelt.
    pub(super) fields: Vec<Field>,
    /// How the body ends.
    pub(super) framing: Framing,
    /// The body, chunks joined.
    pub(super) body: Vec<u8>,
    /// The fields behind the last chunk.
    pub(super) trailers: Vec<Field>,
    /// Nothing is missing.
    pub(super) whole: bool,
}

/// How much of an expected body must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// All that is expected.
    All,
    /// Any first part of it.
    Beginning,
}

impl Message {
    /// The first value of a field; `name` in lower case.
    pub(super) fn field(&self, name: &str) -> Option<&[u8]> {
        let found = self
            .fields
            .iter()
            .find(|(found, _)| found.eq_ignore_ascii_case(name.as_bytes()));
        found.map(|(_, value)| value.as_slice())
    }

    /// The method of a request.
    pub(super) fn method(&self) -> &[u8] {
        self.word(0)
    }

    /// The target of a request.
    pub(super) fn target(&self) -> &[u8] {
        self.word(1)
    }

    /// The status of an answer; 0 for a request.
    pub(super) fn status(&self) -> u16 {
        std::str::from_utf8(self.word(1))
            .ok()
            .and_then(|code| code.parse().ok())
            .unwrap_or_default()
    }

    /// True for an answer that another one follows.
    pub(super) fn is_interim(&self) -> bool {
        (100..200).contains(&self.status()) && self.status() != 101
    }

    fn word(&self, nth: usize) -> &[u8] {
        self.first
            .split(|byte| *byte == b' ')
            .nth(nth)
            .unwrap_or_default()
    }

    /// What is different from `expected`, the fields that `added` names aside.
    pub(super) fn differs(&self, expected: &Message, added: &[&str], extent: Extent) -> Option<String> {
        let passing = |message: &Message| -> Vec<Field> {
            let is_added = |name: &[u8]| {
                added
                    .iter()
                    .any(|added| name.eq_ignore_ascii_case(added.as_bytes()))
            };
            message
                .fields
                .iter()
                .filter(|(name, _)| !is_added(name))
                .cloned()
                .collect()
        };
        let body_fits = match extent {
            Extent::All => self.body == expected.body,
            Extent::Beginning => expected.body.starts_with(&self.body),
        };
        let same = self.first == expected.first
            && passing(self) == passing(expected)
            && self.framing == expected.framing
            && self.whole == expected.whole
            && self.trailers == expected.trailers
            && body_fits;
        (!same).then(|| format!("expected {expected}, seen {self}"))
    }
}

impl fmt::Display for Message {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |bytes: &[u8]| {
            let text = bytes.get(..120).unwrap_or(bytes).escape_ascii().to_string();
            if bytes.len() > 120 {
                format!("{text}... ({} bytes)", bytes.len())
            } else {
                text
            }
        };
        write!(out, "[{}", short(&self.first))?;
        for (name, value) in self.fields.iter().take(12).chain(&self.trailers) {
            write!(out, " | {}: {}", short(name), short(value))?;
        }
        write!(out, "] {:?} {:?}", self.framing, short(&self.body))?;
        if self.whole {
            Ok(())
        } else {
            out.write_str(" cut off")
        }
    }
}

/// Takes one message off the front: the message and its length in bytes. `None` while its head is not complete; a
/// message that is not whole has taken everything.
///
/// # Errors
/// What no strict receiver would take.
pub(super) fn take(bytes: &[u8], kind: Kind) -> Result<Option<(Message, usize)>, String> {
    let mut lines = Lines { bytes, at: 0 };
    let Some(first) = lines.line()? else {
        return Ok(None);
    };
    check_first(first, kind)?;
    let Some(fields) = lines.fields()? else {
        return Ok(None);
    };
    let mut message = Message {
        first: first.to_vec(),
        fields,
        framing: Framing::Bodiless,
        body: Vec::new(),
        trailers: Vec::new(),
        whole: true,
    };
    message.framing = framing(&message, kind)?;
    match message.framing {
        Framing::Bodiless => {}
        Framing::Length(length) => message.whole = lines.data(length, &mut message.body),
        Framing::Chunked => lines.chunks(&mut message)?,
        Framing::UntilClose => message.whole = lines.data(u64::MAX, &mut message.body),
    }
    let used = if message.whole { lines.at } else { bytes.len() };
    Ok(Some((message, used)))
}

fn check_first(line: &[u8], kind: Kind) -> Result<(), String> {
    let wrong = || Err(format!("the first line is {:?}", line.escape_ascii().to_string()));
    match kind {
        Kind::Request => {
            let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
            match words.as_slice() {
                [method, target, b"HTTP/1.1"]
                    if is_token(method) && !target.is_empty() && target.iter().all(u8::is_ascii_graphic) =>
                {
                    Ok(())
                }
                _ => wrong(),
            }
        }
        Kind::Answer { .. } => match line.strip_prefix(b"HTTP/1.1 ") {
            Some([first, second, third, b' ', reason @ ..])
                if [first, second, third].into_iter().all(u8::is_ascii_digit)
                    && *first != b'0'
                    && reason.iter().all(is_text) =>
            {
                Ok(())
            }
            _ => wrong(),
        },
    }
}

fn framing(message: &Message, kind: Kind) -> Result<Framing, String> {
    let all = |name: &str| -> Vec<&[u8]> {
        let same = message
            .fields
            .iter()
            .filter(|(found, _)| found.eq_ignore_ascii_case(name.as_bytes()));
        same.map(|(_, value)| value.as_slice()).collect()
    };
    if kind == Kind::Request && all("host").len() != 1 {
        return Err(format!("there are {} Host fields", all("host").len()));
    }
    let declared = match (
        all("content-length").as_slice(),
        all("transfer-encoding").as_slice(),
    ) {
        ([], []) => None,
        ([length], []) => {
            let digits = length.iter().all(u8::is_ascii_digit);
            let length = std::str::from_utf8(length)
                .ok()
                .filter(|_| digits)
                .and_then(|text| text.parse().ok());
            Some(Framing::Length(
                length.ok_or("the Content-Length is not a number")?,
            ))
        }
        ([], [b"chunked"]) => Some(Framing::Chunked),
        _ => return Err("the body's length is said more than once, or by an unknown coding".to_owned()),
    };
    let status = message.status();
    Ok(match kind {
        Kind::Request => declared.unwrap_or(Framing::Bodiless),
        Kind::Answer { bodiless: true } => Framing::Bodiless,
        Kind::Answer { .. } if status < 200 || status == 204 => match declared {
            None => Framing::Bodiless,
            Some(_) => return Err(format!("an answer {status} says how long its body is")),
        },
        Kind::Answer { .. } if status == 304 => Framing::Bodiless,
        Kind::Answer { .. } => declared.unwrap_or(Framing::UntilClose),
    })
}

/// A reader over bytes that may not all be there.
struct Lines<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Lines<'b> {
    fn rest(&self) -> &'b [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// A line without its CRLF.
    fn line(&mut self) -> Result<Option<&'b [u8]>, String> {
        let rest = self.rest();
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
            return Ok(None);
        };
        let line = rest
            .get(..end)
            .and_then(|line| line.strip_suffix(b"\r"))
            .ok_or("a line ends in a bare LF")?;
        if line.contains(&b'\r') {
            return Err("a line has a bare CR".to_owned());
        }
        self.at += end + 1;
        Ok(Some(line))
    }

    /// Field lines up to the blank line behind them.
    fn fields(&mut self) -> Result<Option<Vec<Field>>, String> {
        let mut fields = Vec::new();
        while let Some(line) = self.line()? {
            if line.is_empty() {
                return Ok(Some(fields));
            }
            let wrong = || format!("a field line is {:?}", line.escape_ascii().to_string());
            let colon = line.iter().position(|byte| *byte == b':').ok_or_else(wrong)?;
            let (name, value) = (
                line.get(..colon).unwrap_or_default(),
                line.get(colon + 1..).unwrap_or_default(),
            );
            if !is_token(name) || !value.iter().all(is_text) {
                return Err(wrong());
            }
            fields.push((name.to_vec(), value.trim_ascii().to_vec()));
        }
        Ok(None)
    }

    /// Takes up to `length` bytes; true when they were all there.
    fn data(&mut self, length: u64, body: &mut Vec<u8>) -> bool {
        let rest = self.rest();
        let count = usize::try_from(length).map_or(rest.len(), |length| length.min(rest.len()));
        body.extend_from_slice(rest.get(..count).unwrap_or_default());
        self.at += count;
        count as u64 == length
    }

    fn chunks(&mut self, message: &mut Message) -> Result<(), String> {
        message.whole = false;
        while let Some(line) = self.line()? {
            let plain = (1..=16).contains(&line.len()) && line.iter().all(u8::is_ascii_hexdigit);
            let size = std::str::from_utf8(line).ok().filter(|_| plain);
            let size = size.and_then(|digits| u64::from_str_radix(digits, 16).ok());
            let size =
                size.ok_or_else(|| format!("a chunk size is {:?}", line.escape_ascii().to_string()))?;
            if size == 0 {
                if let Some(trailers) = self.fields()? {
                    message.trailers = trailers;
                    message.whole = true;
                }
                return Ok(());
            }
            if !self.data(size, &mut message.body) {
                return Ok(());
            }
            match self.line()? {
                Some(b"") => {}
                Some(_) => return Err("there is more in a chunk than its size says".to_owned()),
                None => return Ok(()),
            }
        }
        Ok(())
    }
}

fn is_token(name: &[u8]) -> bool {
    !name.is_empty()
        && name
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

fn is_text(byte: &u8) -> bool {
    *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: Kind = Kind::Answer { bodiless: false };

    fn request(text: &str) -> Message {
        let (message, used) = take(text.as_bytes(), Kind::Request).unwrap().unwrap();
        assert_eq!(used, text.len());
        message
    }

    #[test]
    fn a_request_is_read_with_its_body_and_leaves_the_next_one() {
        let first = "POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi";
        let both = format!("{first}GET / HTTP/1.1\r\n");

        let (message, used) = take(both.as_bytes(), Kind::Request).unwrap().unwrap();

        assert_eq!(used, first.len());
        assert_eq!(
            (message.method(), message.target(), &*message.body),
            (&b"POST"[..], &b"/a"[..], &b"hi"[..])
        );
        assert!(message.whole);
    }

    #[test]
    fn chunks_are_joined_and_their_trailers_kept() {
        let message = request(
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\nA\r\n\r\n3456789\n\r\n0\r\nx: 1\r\n\r\n",
        );

        assert_eq!(message.body, b"ab\r\n3456789\n");
        assert_eq!(message.trailers, [(b"x".to_vec(), b"1".to_vec())]);
    }

    #[test]
    fn a_message_without_its_end_is_cut_off_and_one_without_its_head_is_none() {
        for text in [
            "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9223372036854775807\r\n\r\nab",
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nab",
        ] {
            let message = request(text);
            assert_eq!(message.body, b"ab");
            assert!(!message.whole);
        }
        assert_eq!(take(b"GET / HTTP/1.1\r\nhost: a\r\n", Kind::Request), Ok(None));
    }

    #[test]
    fn what_a_receiver_might_forgive_is_an_error_here() {
        for text in [
            "GET / HTTP/1.0\r\nhost: a\r\n\r\n",
            "GET  / HTTP/1.1\r\nhost: a\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n",
            "GET / HTTP/1.1\nhost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: a\r\nx: a\rb\r\n\r\n",
            "GET / HTTP/1.1\r\nhost : a\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: a\r\n x: 1\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: a\r\nx: \0\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: +2\r\n\r\nhi",
            "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nhi",
            "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2;e\r\nab\r\n0\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n+2\r\nab\r\n0\r\n\r\n",
            "GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n",
        ] {
            assert!(take(text.as_bytes(), Kind::Request).is_err(), "{text:?}");
        }
    }

    #[test]
    fn where_an_answer_ends_depends_on_its_status_and_on_what_was_asked() {
        let read = |text: &str, kind| take(text.as_bytes(), kind).unwrap().unwrap().0;

        assert_eq!(read("HTTP/1.1 204 \r\n\r\n", ANSWER).framing, Framing::Bodiless);
        assert_eq!(
            read("HTTP/1.1 304 x\r\ncontent-length: 5\r\n\r\n", ANSWER).framing,
            Framing::Bodiless
        );
        assert!(read("HTTP/1.1 103 x\r\n\r\n", ANSWER).is_interim());
        assert!(!read("HTTP/1.1 101 x\r\n\r\n", ANSWER).is_interim());
        let open_ended = read("HTTP/1.1 200 OK\r\n\r\nhi", ANSWER);
        assert_eq!(
            (open_ended.framing, open_ended.whole),
            (Framing::UntilClose, false)
        );
        let to_head = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n";
        assert!(read(to_head, Kind::Answer { bodiless: true }).whole);
        assert!(!read(to_head, ANSWER).whole);
        assert!(take(b"HTTP/1.1 204 x\r\ncontent-length: 0\r\n\r\n", ANSWER).is_err());
    }

    #[test]
    fn a_difference_is_told_but_for_what_the_proxy_adds() {
        let expected = request("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab");
        let seen = request(
            "POST / HTTP/1.1\r\nhost: a\r\nx-request-id: 1\r\ntransfer-encoding: chunked\r\n\r\n1\r\na",
        );

        assert_eq!(
            seen.differs(&expected, &["x-request-id"], Extent::Beginning),
            None
        );
        assert!(seen.differs(&expected, &["x-request-id"], Extent::All).is_some());
        assert!(seen.differs(&expected, &[], Extent::Beginning).is_some());
    }
}
