//! The format of the HTTP/1 corpus: inputs as data, each with the messages that may pass on and how the
//! connection ends.
//!
//! The files lie in `proxy/tests/h1_corpus/`. The codec's tests replay them whole and cut at every byte; a
//! bar can replay them against a running proxy with a recording backend. This file uses nothing but `std`, so
//! that a tool may include it alone.
//!
//! ```text
//! == two different lengths
//! > POST / HTTP/1.1
//! > Host: a
//! > Content-Length: 1
//! > Content-Length: 2
//! >
//! >| ab
//! end: refused 400 content-length-repeated
//! ```
//!
//! * `== name` begins a case; `#` begins a comment; blank lines part nothing and mean nothing.
//! * `> text` is a line of input with a CRLF behind it, `>| text` the same without.
//! * `<< text` begins a message that must pass on, `< text` continues it, both with a CRLF, `<| text`
//!   without. A chunked body is shown as one chunk.
//! * `path: text` behind a message: the target with which it arrives, where the path's normal form is another than
//!   the path that the codec passes on.
//! * `set: gateway`, `set: http10`, `set: response`, and for responses what was asked: `set: head`, `set:
//!   connect`, `set: upgrade`.
//! * `end:` is `open` (the next message may come), `incomplete` (more bytes are needed), `close` (the
//!   connection ends after this message), `tunnel` (it carries something else from here), or `refused STATUS
//!   NAME`.
//! * Escapes: `\r \n \t \0 \\ \xHH`, and `\{N*text}` for N times a text without escapes.

/// One input and what must come of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Case {
    /// The name, unique in its file.
    pub name: String,
    /// The line its name stands on, from 1.
    pub line: usize,
    /// Read as a gateway.
    pub gateway: bool,
    /// HTTP/1.0 requests are served.
    pub http10: bool,
    /// The bytes come from an upstream, not from a client.
    pub response: bool,
    /// For responses, what was asked.
    pub asked: Asked,
    /// The bytes that arrive.
    pub input: Vec<u8>,
    /// The messages that pass on, as written by the codec.
    pub forwarded: Vec<Vec<u8>>,
    /// For each of them, the target with which it arrives, where that is not the one in it.
    pub arriving: Vec<Option<Vec<u8>>>,
    /// How it ends.
    pub end: End,
}

/// What the request was that a response case answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Asked {
    /// None of the others.
    #[default]
    Plain,
    /// A HEAD request.
    Head,
    /// A CONNECT request.
    Connect,
    /// A request with an Upgrade field.
    Upgrade,
}

/// How a case ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum End {
    /// The next message may come.
    #[default]
    Open,
    /// More bytes are needed.
    Incomplete,
    /// The connection ends after the last message.
    Close,
    /// The connection carries another protocol from here on.
    Tunnel,
    /// The input is refused.
    Refused {
        /// The status that a client is answered with.
        status: u16,
        /// The refusal's name.
        name: String,
    },
}

/// Reads a corpus file.
///
/// # Errors
/// A sentence with the line number when a line has no meaning, a case has no `end`, or a name comes twice.
pub fn parse(text: &str) -> Result<Vec<Case>, String> {
    let mut cases: Vec<Case> = Vec::new();
    let mut ended = true;
    for (number, line) in text.lines().enumerate().map(|(index, line)| (index + 1, line)) {
        let wrong = |what: &str| format!("line {number}: {what}");
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix("== ") {
            if !ended {
                return Err(wrong("the case before has no end line"));
            }
            if cases.iter().any(|case| case.name == name) {
                return Err(wrong("a case of that name stands above"));
            }
            ended = false;
            cases.push(Case {
                name: name.to_owned(),
                line: number,
                ..Case::default()
            });
            continue;
        }
        let case = cases
            .last_mut()
            .filter(|_| !ended)
            .ok_or_else(|| wrong("there is no case to add this to"))?;
        let (mark, rest) = line.split_once(' ').unwrap_or((line, ""));
        match mark {
            ">" | ">|" => append(&mut case.input, rest, mark == ">").map_err(|what| wrong(&what))?,
            "<<" => {
                case.forwarded.push(Vec::new());
                case.arriving.push(None);
                let message = case.forwarded.last_mut().ok_or_else(|| wrong("no message"))?;
                append(message, rest, true).map_err(|what| wrong(&what))?;
            }
            "<" | "<|" => {
                let message = case
                    .forwarded
                    .last_mut()
                    .ok_or_else(|| wrong("no message has begun with <<"))?;
                append(message, rest, mark == "<").map_err(|what| wrong(&what))?;
            }
            "path:" => {
                let target = case
                    .arriving
                    .last_mut()
                    .ok_or_else(|| wrong("no message has begun with <<"))?;
                append(target.insert(Vec::new()), rest, false).map_err(|what| wrong(&what))?;
            }
            "set:" => set(case, rest).map_err(|what| wrong(&what))?,
            "end:" => {
                case.end = end(rest).map_err(|what| wrong(&what))?;
                ended = true;
            }
            _ => {
                return Err(wrong(
                    "a line begins with ==, >, >|, <<, <, <|, path:, set:, end: or #",
                ));
            }
        }
    }
    if ended {
        Ok(cases)
    } else {
        Err("the last case has no end line".to_owned())
    }
}

fn set(case: &mut Case, switch: &str) -> Result<(), String> {
    match switch {
        "gateway" => case.gateway = true,
        "http10" => case.http10 = true,
        "response" => case.response = true,
        "head" => case.asked = Asked::Head,
        "connect" => case.asked = Asked::Connect,
        "upgrade" => case.asked = Asked::Upgrade,
        other => return Err(format!("there is no switch {other}")),
    }
    Ok(())
}

fn end(text: &str) -> Result<End, String> {
    match text.split(' ').collect::<Vec<_>>().as_slice() {
        ["open"] => Ok(End::Open),
        ["incomplete"] => Ok(End::Incomplete),
        ["close"] => Ok(End::Close),
        ["tunnel"] => Ok(End::Tunnel),
        ["refused", status, name] => {
            let status = status.parse().map_err(|_| format!("{status} is not a status"))?;
            Ok(End::Refused {
                status,
                name: (*name).to_owned(),
            })
        }
        _ => Err(format!("there is no end {text}")),
    }
}

/// Appends a line with its escapes resolved.
fn append(out: &mut Vec<u8>, line: &str, crlf: bool) -> Result<(), String> {
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('\\') {
        out.extend_from_slice(before.as_bytes());
        let mut characters = after.chars();
        let escape = characters.next().ok_or("a lone backslash ends the line")?;
        rest = characters.as_str();
        match escape {
            'r' => out.push(b'\r'),
            'n' => out.push(b'\n'),
            't' => out.push(b'\t'),
            '0' => out.push(0),
            '\\' => out.push(b'\\'),
            'x' => {
                let (digits, after) = rest.split_at_checked(2).ok_or("\\x needs two digits")?;
                out.push(u8::from_str_radix(digits, 16).map_err(|_| format!("\\x{digits} is not hex"))?);
                rest = after;
            }
            '{' => {
                let (inside, after) = rest.split_once('}').ok_or("\\{ needs a }")?;
                let (count, text) = inside.split_once('*').ok_or("\\{ needs N*text")?;
                let count: usize = count.parse().map_err(|_| format!("{count} is not a number"))?;
                append(out, &text.repeat(count), false)?;
                rest = after;
            }
            other => return Err(format!("there is no escape \\{other}")),
        }
    }
    out.extend_from_slice(rest.as_bytes());
    if crlf {
        out.extend_from_slice(b"\r\n");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{End, parse};

    #[test]
    fn a_case_is_read_with_its_escapes() {
        let text =
            "# x\n== a case\nset: gateway\n> A\\t\\x41\n>| \\{3*ab}\n<< B\n<| c\n>\nend: refused 400 x\n";
        let cases = parse(text).unwrap();
        let [case] = cases.as_slice() else {
            panic!("one case")
        };
        assert_eq!(case.input, b"A\tA\r\nababab\r\n");
        assert_eq!(case.forwarded, [b"B\r\nc".to_vec()]);
        assert_eq!(
            case.end,
            End::Refused {
                status: 400,
                name: "x".to_owned()
            }
        );
        assert!(case.gateway && !case.http10);
    }

    #[test]
    fn a_wrong_line_is_named() {
        for (text, sentence) in [
            ("> a\n", "line 1: there is no case to add this to"),
            ("== a\n", "the last case has no end line"),
            (
                "== a\nwhat\n",
                "line 2: a line begins with ==, >, >|, <<, <, <|, path:, set:, end: or #",
            ),
            ("== a\n> \\q\n", "line 2: there is no escape \\q"),
            ("== a\nend: soon\n", "line 2: there is no end soon"),
            (
                "== a\nend: open\n== a\nend: open\n",
                "line 3: a case of that name stands above",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err(), sentence);
        }
    }
}
