//! Replays the corpus of HTTP/1 inputs: whole, cut in two at every byte, and a byte at a time. The outcome must be the same each time.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test panics, in its own functions too"
)]

use std::collections::BTreeSet;
use std::path::Path;

use bytes::BytesMut;
use outrigger_proxy::h1::{
    Asked, BodyDecoder, BodyFraming, ChunkWriter, Edits, Persistence, Piece, Refusal, RequestLine, Role,
    Rules, Scratch, StatusLine, Version,
    corpus::{self, Case, End},
    parse_request, parse_response, write_request_head, write_response_head,
};

/// What came of an input.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    forwarded: Vec<Vec<u8>>,
    end: End,
}

/// A connection that is read by the codec and passed on by its writers.
struct Connection {
    rules: Rules,
    asked: Asked,
    response: bool,
    buffer: BytesMut,
    scratch: Scratch,
    body: Option<Body>,
    forwarded: Vec<Vec<u8>>,
    end: Option<End>,
}

/// A body that is being passed on.
struct Body {
    decoder: BodyDecoder,
    chunked: bool,
    data: Vec<u8>,
    after: Option<End>,
}

impl Connection {
    fn new(case: &Case) -> Connection {
        let role = if case.gateway {
            Role::Gateway
        } else {
            Role::Sidecar
        };
        Connection {
            rules: Rules {
                role,
                http10: case.http10,
                ..Rules::default()
            },
            asked: match case.asked {
                corpus::Asked::Plain => Asked::Plain,
                corpus::Asked::Head => Asked::Head,
                corpus::Asked::Connect => Asked::Connect,
                corpus::Asked::Upgrade => Asked::Upgrade,
            },
            response: case.response,
            buffer: BytesMut::new(),
            scratch: Scratch::new(),
            body: None,
            forwarded: Vec::new(),
            end: None,
        }
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        while self.end.is_none() {
            match self.advance() {
                Ok(true) => {}
                Ok(false) => return,
                Err(refusal) => self.refuse(refusal),
            }
        }
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.finish_body(false);
        self.end = Some(End::Refused {
            status: refusal.status(),
            name: refusal.name().to_owned(),
        });
    }

    /// One head or one piece of a body; says whether there was any.
    fn advance(&mut self) -> Result<bool, Refusal> {
        if let Some(body) = &mut self.body {
            match body.decoder.next(&mut self.buffer)? {
                Piece::Data(data) => body.data.extend_from_slice(&data),
                Piece::Incomplete => return Ok(false),
                Piece::End => {
                    self.end = body.after.take();
                    self.finish_body(true);
                }
            }
            return Ok(true);
        }
        if self.response {
            self.response()
        } else {
            self.request()
        }
    }

    fn request(&mut self) -> Result<bool, Refusal> {
        let Some(head) = parse_request(&mut self.buffer, &mut self.scratch, &self.rules)? else {
            return Ok(false);
        };
        let mut out = BytesMut::new();
        let connect = head.method() == http::Method::CONNECT;
        let line = RequestLine {
            method: head.method(),
            path: if connect { head.authority() } else { head.path() },
            query: head.query(),
            host: head.authority(),
        };
        let persistence = head.upgrade().map_or(Persistence::Keep, Persistence::Upgrade);
        write_request_head(
            &mut out,
            &line,
            head.fields(),
            &Edits::default(),
            head.framing(),
            persistence,
        );
        self.forwarded.push(out.to_vec());
        let after = if connect || head.upgrade().is_some() {
            Some(End::Tunnel)
        } else if head.keep_alive() {
            None
        } else {
            Some(End::Close)
        };
        self.start_body(head.framing(), after);
        self.scratch.recycle(head);
        Ok(true)
    }

    fn response(&mut self) -> Result<bool, Refusal> {
        let parsed = parse_response(&mut self.buffer, &mut self.scratch, &self.rules, self.asked)?;
        let Some(head) = parsed else { return Ok(false) };
        let mut out = BytesMut::new();
        let line = StatusLine {
            status: head.status(),
            reason: head.reason(),
        };
        let persistence = head.upgrade().map_or(Persistence::Keep, Persistence::Upgrade);
        write_response_head(
            &mut out,
            &line,
            head.fields(),
            &Edits::default(),
            head.declared().towards(Version::Http11),
            persistence,
        );
        self.forwarded.push(out.to_vec());
        if !head.is_interim() {
            self.asked = Asked::Plain;
            let after = if head.is_tunnel() {
                Some(End::Tunnel)
            } else if head.keep_alive() {
                None
            } else {
                Some(End::Close)
            };
            self.start_body(head.framing(), after);
        }
        self.scratch.recycle_response(head);
        Ok(true)
    }

    fn start_body(&mut self, framing: BodyFraming, after: Option<End>) {
        let decoder = BodyDecoder::new(framing, &self.rules);
        self.body = Some(Body {
            decoder,
            chunked: framing.towards(Version::Http11) == BodyFraming::Chunked,
            data: Vec::new(),
            after,
        });
    }

    /// Shows the body behind its head, as one chunk where it is chunked.
    fn finish_body(&mut self, complete: bool) {
        let Some(body) = self.body.take() else { return };
        let mut out = BytesMut::new();
        let mut writer = ChunkWriter::new();
        if body.chunked {
            writer.begin(&mut out, body.data.len());
        }
        out.extend_from_slice(&body.data);
        if body.chunked && complete {
            writer.finish(&mut out, body.decoder.trailers());
        }
        self.forwarded
            .last_mut()
            .expect("a head came before")
            .extend_from_slice(&out);
    }

    /// The input has come to its end.
    fn outcome(mut self) -> Outcome {
        if self.end.is_none() {
            match &mut self.body {
                Some(body) if self.response => match body.decoder.finish() {
                    Ok(()) => {
                        self.finish_body(true);
                        self.end = Some(End::Close);
                    }
                    Err(refusal) => self.refuse(refusal),
                },
                Some(_) => {
                    self.finish_body(false);
                    self.end = Some(End::Incomplete);
                }
                None if self.buffer.is_empty() => self.end = Some(End::Open),
                None => self.end = Some(End::Incomplete),
            }
        }
        Outcome {
            forwarded: self.forwarded,
            end: self.end.expect("set above"),
        }
    }
}

fn run<'a>(case: &Case, pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut connection = Connection::new(case);
    for piece in pieces {
        connection.feed(piece);
    }
    connection.outcome()
}

fn corpus() -> Vec<(String, Case)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/h1_corpus");
    let mut cases = Vec::new();
    for entry in std::fs::read_dir(&folder).expect("the corpus folder") {
        let path = entry.expect("an entry").path();
        let file = path.file_name().expect("a name").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).expect("a corpus file");
        match corpus::parse(&text) {
            Ok(parsed) => cases.extend(
                parsed
                    .into_iter()
                    .map(|case| (format!("{file}:{}: {}", case.line, case.name), case)),
            ),
            Err(problem) => panic!("{file}: {problem}"),
        }
    }
    cases
}

fn shown(outcome: &Outcome) -> String {
    let messages: Vec<_> = outcome
        .forwarded
        .iter()
        .map(|message| message.escape_ascii().to_string())
        .collect();
    format!("{messages:#?} {:?}", outcome.end)
}

#[test]
fn every_input_comes_out_as_written_down() {
    let cases = corpus();
    let mut wrong = Vec::new();
    for (place, case) in &cases {
        let outcome = run(case, [case.input.as_slice()]);
        let expected = Outcome {
            forwarded: case.forwarded.clone(),
            end: case.end.clone(),
        };
        if outcome != expected {
            wrong.push(format!(
                "{place}\n  expected {}\n  came out {}",
                shown(&expected),
                shown(&outcome)
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} wrong\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
    assert!(cases.len() >= 150, "the corpus has {} inputs", cases.len());
}

#[test]
fn every_input_comes_out_the_same_cut_at_any_byte() {
    for (place, case) in corpus() {
        let whole = run(&case, [case.input.as_slice()]);
        // The long inputs repeat one byte; cutting them at each would say the same thing tens of thousands of times.
        let step = (case.input.len() / 400).max(1);
        for at in (0..=case.input.len()).step_by(step) {
            let (front, back) = case.input.split_at(at);
            assert_eq!(run(&case, [front, back]), whole, "{place}, cut at {at}");
        }
        assert_eq!(run(&case, case.input.chunks(1)), whole, "{place}, byte by byte");
    }
}

#[test]
fn nothing_behind_a_refused_request_passes_on() {
    const SMUGGLED: &[u8] = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    for (place, case) in corpus() {
        if let (End::Refused { .. }, false) = (&case.end, case.response) {
            let whole = run(&case, [case.input.as_slice()]);
            let input = [case.input.as_slice(), SMUGGLED].concat();
            assert_eq!(run(&case, [input.as_slice()]), whole, "{place}");
        }
    }
}

#[test]
fn every_refusal_of_the_codec_is_in_the_corpus() {
    // These two are the connection's to find: a timer, and an end of the bytes in a head.
    let outside = BTreeSet::from([Refusal::HeadTimeout.name(), Refusal::HeadCut.name()]);
    let seen: BTreeSet<_> = corpus()
        .into_iter()
        .filter_map(|(_, case)| match case.end {
            End::Refused { name, .. } => Some(name),
            _ => None,
        })
        .collect();
    let missing: Vec<_> = Refusal::ALL
        .iter()
        .map(|refusal| refusal.name())
        .filter(|name| !outside.contains(name) && !seen.contains(*name))
        .collect();
    assert!(missing.is_empty(), "no input shows {missing:?}");
}
