//! What must hold for any bytes: no panic, one outcome however they are cut, and nothing lost from what is well-formed.
#![allow(
    clippy::indexing_slicing,
    clippy::expect_used,
    reason = "a failed test panics, in its own functions too"
)]

use bytes::BytesMut;
use http::StatusCode;
use outrigger_proxy::h1::{
    Asked, BodyDecoder, BodyFraming, ChunkWriter, Edits, Persistence, Piece, Refusal, RequestLine, Rules,
    Scratch, StatusLine, parse_request, parse_response, write_request_head, write_response_head,
};
use proptest::collection::vec;
use proptest::prelude::*;

/// Reads requests and their bodies off `pieces` until they end or are refused; shows what was read.
fn read_requests<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
    rules: &Rules,
) -> (Vec<u8>, Option<Refusal>) {
    let (mut seen, mut buffer, mut scratch) = (Vec::new(), BytesMut::new(), Scratch::new());
    let mut body: Option<BodyDecoder> = None;
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            if let Some(decoder) = &mut body {
                match decoder.next(&mut buffer) {
                    Ok(Piece::Data(data)) => seen.extend_from_slice(&data),
                    Ok(Piece::Incomplete) => break,
                    Ok(Piece::End) => body = None,
                    Err(refusal) => return (seen, Some(refusal)),
                }
                continue;
            }
            match parse_request(&mut buffer, &mut scratch, rules) {
                Ok(Some(head)) => {
                    seen.extend_from_slice(format!("\n{} {}\n", head.method(), head.path()).as_bytes());
                    body = Some(BodyDecoder::new(head.framing(), rules));
                    scratch.recycle(head);
                }
                Ok(None) => break,
                Err(refusal) => return (seen, Some(refusal)),
            }
        }
    }
    (seen, None)
}

/// Bytes that are likely to get past the first checks.
fn hostile_bytes() -> impl Strategy<Value = Vec<u8>> {
    let fragment = prop_oneof![
        Just(b"GET / HTTP/1.1\r\n".to_vec()),
        Just(b"POST /a HTTP/1.1\r\n".to_vec()),
        Just(b"HTTP/1.1 200 OK\r\n".to_vec()),
        Just(b"Host: a\r\n".to_vec()),
        Just(b"Content-Length: 3\r\n".to_vec()),
        Just(b"Transfer-Encoding: chunked\r\n".to_vec()),
        Just(b"Connection: close, x\r\n".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"\n".to_vec()),
        Just(b"3\r\nabc\r\n".to_vec()),
        Just(b"0\r\n\r\n".to_vec()),
        Just(b"x: y\r\n".to_vec()),
        vec(any::<u8>(), 0..6),
        "[ -~]{0,8}".prop_map(String::into_bytes),
    ];
    vec(fragment, 0..12).prop_map(|fragments| fragments.concat())
}

#[derive(Debug, Clone)]
struct Request {
    method: String,
    path: String,
    query: Option<String>,
    host: String,
    fields: Vec<(String, String)>,
    chunks: Vec<Vec<u8>>,
    chunked: bool,
}

fn request() -> impl Strategy<Value = Request> {
    let path = "/([a-z0-9._~!$&'()*+,;=:@-]|%[0-9a-fA-F]{2}|/){0,20}";
    let fields = vec(("x-[a-z0-9]{1,10}", "[!-~]([ -~]{0,20}[!-~])?"), 0..20);
    let host = "[a-z0-9]([a-z0-9-]{0,8})(\\.[a-z]{1,5}){0,2}(:[1-9][0-9]{0,3})?";
    let query = proptest::option::of("[a-z0-9=&/?-]{0,20}");
    (
        "[A-Z]{3,7}",
        path,
        query,
        host,
        fields,
        vec(vec(any::<u8>(), 1..40), 0..6),
        any::<bool>(),
    )
        .prop_filter("CONNECT has another target", |request| request.0 != "CONNECT")
        .prop_map(|(method, path, query, host, fields, chunks, chunked)| Request {
            method,
            path,
            query,
            host,
            fields,
            chunks,
            chunked,
        })
}

impl Request {
    fn body(&self) -> Vec<u8> {
        self.chunks.concat()
    }

    fn write(&self) -> BytesMut {
        let mut out = BytesMut::new();
        let method = self.method.parse().expect("a method");
        let line = RequestLine {
            method: &method,
            path: &self.path,
            query: self.query.as_deref(),
            host: &self.host,
        };
        let fields: Vec<_> = self
            .fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .collect();
        let framing = if self.chunked {
            BodyFraming::Chunked
        } else {
            BodyFraming::Length(self.body().len() as u64)
        };
        write_request_head(
            &mut out,
            &line,
            fields.as_slice(),
            &Edits::default(),
            framing,
            Persistence::Keep,
        );
        if self.chunked {
            let mut writer = ChunkWriter::new();
            for chunk in &self.chunks {
                writer.begin(&mut out, chunk.len());
                out.extend_from_slice(chunk);
            }
            writer.finish(&mut out, [(&b"x-sum"[..], &b"1"[..])].into_iter());
        } else {
            out.extend_from_slice(&self.body());
        }
        out
    }
}

/// Cuts `bytes` at the given places.
fn cut<'a>(bytes: &'a [u8], places: &[usize]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = places.iter().map(|place| place % (bytes.len() + 1)).collect();
    places.sort_unstable();
    let ends = places.iter().copied().chain([bytes.len()]);
    let mut from = 0;
    ends.map(|end| &bytes[std::mem::replace(&mut from, end)..end])
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_have_one_outcome_however_they_are_cut(bytes in hostile_bytes(), places in vec(any::<usize>(), 0..8)) {
        let rules = Rules { http10: true, ..Rules::default() };
        let whole = read_requests([bytes.as_slice()], &rules);
        prop_assert_eq!(&read_requests(cut(&bytes, &places), &rules), &whole);
        prop_assert_eq!(&read_requests(bytes.chunks(1), &rules), &whole);
    }

    #[test]
    fn any_bytes_from_an_upstream_are_read_without_panic(bytes in hostile_bytes(), asked in 0..4_usize) {
        let asked = [Asked::Plain, Asked::Head, Asked::Connect, Asked::Upgrade][asked];
        let mut buffer = BytesMut::from(bytes.as_slice());
        if let Ok(Some(head)) = parse_response(&mut buffer, &mut Scratch::new(), &Rules::default(), asked) {
            let mut decoder = BodyDecoder::new(head.framing(), &Rules::default());
            while let Ok(Piece::Data(data)) = decoder.next(&mut buffer) {
                prop_assert!(!data.is_empty());
            }
        }
    }

    #[test]
    fn a_body_decoder_never_claims_more_than_it_was_given(
        bytes in hostile_bytes(), framing in 0..4_usize, length in any::<u64>(),
    ) {
        let framing =
            [BodyFraming::None, BodyFraming::Length(length), BodyFraming::Chunked, BodyFraming::UntilClose][framing];
        let mut decoder = BodyDecoder::new(framing, &Rules::default());
        let mut rest = bytes.as_slice();
        while let Ok(step) = decoder.decode(rest) {
            prop_assert!(step.consumed <= rest.len());
            prop_assert!(step.data.end <= step.consumed || step.data.is_empty());
            if step.consumed == 0 {
                break;
            }
            rest = &rest[step.consumed..];
        }
    }

    #[test]
    fn a_well_formed_request_comes_back_as_it_was(request in request(), places in vec(any::<usize>(), 0..8)) {
        let bytes = request.write();
        let rules = Rules::default();
        let (mut buffer, mut scratch) = (BytesMut::new(), Scratch::new());
        let mut pieces = cut(&bytes, &places).into_iter();
        let head = loop {
            buffer.extend_from_slice(pieces.next().expect("the head is complete by the last piece"));
            if let Some(head) = parse_request(&mut buffer, &mut scratch, &rules).expect("a good head") {
                break head;
            }
        };
        prop_assert_eq!(head.method().as_str(), &request.method);
        prop_assert_eq!(head.path(), &request.path);
        prop_assert_eq!(head.query(), request.query.as_deref());
        prop_assert_eq!(head.authority(), &request.host);
        let fields: Vec<_> = head
            .fields()
            .forwardable()
            .map(|(name, value)| (String::from_utf8_lossy(name).into_owned(), String::from_utf8_lossy(value).into_owned()))
            .collect();
        prop_assert_eq!(&fields, &request.fields);

        let mut decoder = BodyDecoder::new(head.framing(), &rules);
        let mut body = Vec::new();
        loop {
            match decoder.next(&mut buffer).expect("a good body") {
                Piece::Data(data) => body.extend_from_slice(&data),
                Piece::End => break,
                Piece::Incomplete => buffer.extend_from_slice(pieces.next().expect("the body is complete")),
            }
        }
        prop_assert_eq!(body, request.body());
        prop_assert!(decoder.is_done());
        prop_assert_eq!(decoder.trailers().count(), usize::from(request.chunked));
    }

    #[test]
    fn a_response_comes_back_as_it_was(
        status in 200..=599_u16, fields in vec(("x-[a-z]{1,8}", "[!-~]{0,20}"), 0..10), length in 0..1000_u64,
    ) {
        prop_assume!(status != 204);
        let status = StatusCode::from_u16(status).expect("a status");
        let pairs: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let mut out = BytesMut::new();
        let framing = BodyFraming::Length(length);
        let line = StatusLine::of(status);
        write_response_head(&mut out, &line, pairs.as_slice(), &Edits::default(), framing, Persistence::Keep);
        let parsed = parse_response(&mut out, &mut Scratch::new(), &Rules::default(), Asked::Plain);
        let head = parsed.expect("a good head").expect("a whole head");
        prop_assert_eq!(head.status(), status);
        prop_assert_eq!(head.declared(), framing);
        prop_assert_eq!(head.fields().forwardable().count(), fields.len());
        prop_assert!(head.keep_alive());
    }

    #[test]
    fn edits_never_break_the_head(name in "[ -~\r\n]{0,12}", value in vec(any::<u8>(), 0..20)) {
        let mut out = BytesMut::new();
        let line = RequestLine { method: &http::Method::GET, path: "/", query: None, host: "a" };
        let edits = Edits { set: &[(&name, &value)], ..Edits::default() };
        let none: &[(&str, &[u8])] = &[];
        write_request_head(&mut out, &line, none, &edits, BodyFraming::None, Persistence::Keep);
        let head = parse_request(&mut out, &mut Scratch::new(), &Rules::default());
        prop_assert!(head.expect("a good head").is_some_and(|head| head.framing() == BodyFraming::None));
        prop_assert!(out.is_empty());
    }
}
