//! Checks one answer after the other on a connection: the status, and every byte of the body.

use std::sync::Arc;

use memchr::memmem;

/// Longest head of an answer, bytes.
const LONGEST_HEAD: usize = 16 * 1024;

/// What an answer must be.
#[derive(Clone, Debug)]
pub(crate) enum Expected {
    /// An HTTP/1.1 answer with status 200, a Content-Length and this body.
    Http(Arc<[u8]>),
    /// These bytes.
    Bytes(Arc<[u8]>),
}

/// An answer that is being read.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// The beginning of a head that came in pieces.
    head: Vec<u8>,
    /// Body bytes still to come; `None` before the body.
    missing: Option<usize>,
}

impl Answer {
    /// Takes bytes in; true when the answer is complete. After that it is ready for the next one.
    pub(crate) fn take(&mut self, bytes: &[u8], expected: &Expected) -> Result<bool, String> {
        match expected {
            Expected::Bytes(body) => self.body(bytes, body),
            Expected::Http(body) if self.missing.is_some() => self.body(bytes, body),
            Expected::Http(body) if self.head.is_empty() => match memmem::find(bytes, b"\r\n\r\n") {
                Some(end) => {
                    let (head, rest) = bytes.split_at(end + 4);
                    check_head(head, body.len())?;
                    self.body(rest, body)
                }
                None => self.keep(bytes),
            },
            Expected::Http(_) => {
                let mut whole = std::mem::take(&mut self.head);
                whole.extend_from_slice(bytes);
                if memmem::find(&whole, b"\r\n\r\n").is_none() {
                    return self.keep(&whole);
                }
                self.take(&whole, expected)
            }
        }
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<bool, String> {
        self.head.extend_from_slice(bytes);
        if self.head.len() > LONGEST_HEAD {
            return Err(format!(
                "the head of an answer is longer than {LONGEST_HEAD} bytes"
            ));
        }
        Ok(false)
    }

    fn body(&mut self, bytes: &[u8], body: &[u8]) -> Result<bool, String> {
        let missing = self.missing.unwrap_or(body.len());
        let wanted = body
            .get(body.len() - missing..)
            .and_then(|rest| rest.get(..bytes.len()))
            .ok_or_else(|| {
                format!(
                    "{} bytes more than the body of {}",
                    bytes.len() - missing,
                    body.len()
                )
            })?;
        if wanted != bytes {
            return Err("the body of an answer is not the backend's".to_owned());
        }
        let missing = missing - bytes.len();
        self.missing = (missing > 0).then_some(missing);
        Ok(missing == 0)
    }
}

fn check_head(head: &[u8], body: usize) -> Result<(), String> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut answer = httparse::Response::new(&mut fields);
    answer
        .parse(head)
        .map_err(|error| format!("an answer is no HTTP: {error}"))?;
    if answer.code != Some(200) {
        let said = String::from_utf8_lossy(head);
        let said: Vec<&str> = said.lines().filter(|line| !line.is_empty()).collect();
        return Err(format!("an answer is not 200: {}", said.join(" | ")));
    }
    let length = answer
        .headers
        .iter()
        .find(|field| field.name.eq_ignore_ascii_case("content-length"))
        .ok_or("an answer has no content-length")?;
    let length: Option<usize> = std::str::from_utf8(length.value)
        .ok()
        .and_then(|text| text.trim().parse().ok());
    if length != Some(body) {
        return Err(format!("an answer announces {length:?} bytes, want {body}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::body;

    fn http(length: usize) -> (Vec<u8>, Expected) {
        let body = body(length);
        let mut bytes =
            format!("HTTP/1.1 200 OK\r\nServer: x\r\ncontent-length: {length}\r\n\r\n").into_bytes();
        bytes.extend_from_slice(&body);
        (bytes, Expected::Http(body))
    }

    #[test]
    fn answers_may_come_in_any_pieces() {
        let (bytes, expected) = http(200);
        for size in 1..=bytes.len() {
            let mut answer = Answer::default();
            for round in 0..2 {
                let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
                for (index, piece) in pieces.iter().enumerate() {
                    let complete = answer.take(piece, &expected).unwrap();
                    assert_eq!(complete, index + 1 == pieces.len(), "size {size}, round {round}");
                }
            }
        }
    }

    #[test]
    fn what_is_not_the_backends_answer_is_told() {
        let (bytes, expected) = http(200);
        let text = String::from_utf8(bytes).unwrap();
        let why = |text: String| Answer::default().take(text.as_bytes(), &expected).unwrap_err();

        assert!(why(text.replace("200 OK", "503 Service Unavailable")).contains("503"));
        assert!(why(text.replace(": 200", ": 199")).contains("want 200"));
        assert!(
            why(text.replace("content-length: 200", "transfer-encoding: chunked"))
                .contains("no content-length")
        );
        assert!(why(text.replace("abc", "abd")).contains("not the backend's"));
        assert!(why(text.clone() + "x").contains("more than the body"));
        assert!(why("SSH-2.0-x\r\n\r\n".to_owned()).contains("no HTTP"));
    }

    #[test]
    fn an_echo_is_complete_with_its_last_byte() {
        let expected = Expected::Bytes(body(10));
        let mut answer = Answer::default();

        assert_eq!(answer.take(b"abcd", &expected), Ok(false));
        assert_eq!(answer.take(b"efghij", &expected), Ok(true));
        assert!(answer.take(b"b", &expected).is_err());
    }
}
