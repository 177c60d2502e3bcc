//! One request and one response through the codec, as a proxy would pass them on.

use bytes::BytesMut;
use http::StatusCode;
use outrigger_proxy::h1::{
    Asked, BodyDecoder, BodyFraming, ChunkWriter, Edits, Persistence, Piece, RequestLine, Rules, Scratch,
    StatusLine, parse_request, parse_response, write_request_head, write_response_head,
};

#[test]
fn a_request_passes_on_with_its_connection_fields_dropped_and_its_body_reframed() {
    let rules = Rules::default();
    let mut scratch = Scratch::new();
    let mut buffer = BytesMut::from(
        &b"POST /a?b=c HTTP/1.1\r\nHost: reviews:9080\r\nConnection: keep-alive, x-gone\r\nX-Gone: 1\r\nX-Stays: 2\r\n\
           Transfer-Encoding: chunked\r\n\r\n5;ext=1\r\nhello\r\n1\r\n!\r\n0\r\nx-sum: 7\r\n\r\nGET"[..],
    );
    let head = parse_request(&mut buffer, &mut scratch, &rules).unwrap().unwrap();
    assert_eq!(
        (head.path(), head.query(), head.authority()),
        ("/a", Some("b=c"), "reviews:9080")
    );
    assert_eq!(head.framing(), BodyFraming::Chunked);
    assert!(head.keep_alive());

    let mut out = BytesMut::new();
    let line = RequestLine {
        method: head.method(),
        path: head.path(),
        query: head.query(),
        host: head.authority(),
    };
    let edits = Edits {
        set: &[("x-request-id", b"id-1")],
        ..Edits::default()
    };
    write_request_head(
        &mut out,
        &line,
        head.fields(),
        &edits,
        head.framing(),
        Persistence::Keep,
    );
    let mut decoder = BodyDecoder::new(head.framing(), &rules);
    let mut writer = ChunkWriter::new();
    while let Piece::Data(data) = decoder.next(&mut buffer).unwrap() {
        writer.begin(&mut out, data.len());
        out.extend_from_slice(&data);
    }
    writer.finish(&mut out, decoder.trailers());
    assert_eq!(
        std::str::from_utf8(&out).unwrap(),
        "POST /a?b=c HTTP/1.1\r\nhost: reviews:9080\r\nX-Stays: 2\r\nx-request-id: id-1\r\ntransfer-encoding: chunked\r\n\r\n\
         5\r\nhello\r\n1\r\n!\r\n0\r\nx-sum: 7\r\n\r\n"
    );
    assert_eq!(buffer.as_ref(), b"GET");
}

#[test]
fn a_response_without_a_length_lasts_until_its_connection_ends() {
    let rules = Rules::default();
    let mut buffer = BytesMut::from(&b"HTTP/1.1 200 Fine\r\nServer: x\r\nKeep-Alive: 5\r\n\r\nbody"[..]);
    let head = parse_response(&mut buffer, &mut Scratch::new(), &rules, Asked::Plain)
        .unwrap()
        .unwrap();
    assert_eq!(
        (head.status(), head.framing(), head.keep_alive()),
        (StatusCode::OK, BodyFraming::UntilClose, false)
    );
    let mut decoder = BodyDecoder::new(head.framing(), &rules);
    assert_eq!(decoder.next(&mut buffer).unwrap(), Piece::Data("body".into()));
    assert!(!decoder.is_done());
    decoder.finish().unwrap();
    assert!(decoder.is_done());
    let mut out = BytesMut::new();
    let line = StatusLine {
        status: head.status(),
        reason: head.reason(),
    };
    write_response_head(
        &mut out,
        &line,
        head.fields(),
        &Edits::default(),
        head.declared(),
        Persistence::Keep,
    );
    assert_eq!(
        std::str::from_utf8(&out).unwrap(),
        "HTTP/1.1 200 Fine\r\nServer: x\r\nconnection: close\r\n\r\n"
    );
}
