//! The HTTP/1 codec on any bytes: no panic, and one outcome whether they come whole or cut.
//!
//! The first byte says where to cut, and whether a client or an upstream sends the rest.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use outrigger_proxy::h1::{
    Asked, BodyDecoder, Piece, Refusal, Rules, Scratch, parse_request, parse_response,
};

fuzz_target!(|input: &[u8]| {
    let Some((&choice, bytes)) = input.split_first() else { return };
    let client = choice & 1 == 0;
    let whole = read([bytes], client);
    let at = usize::from(choice >> 1).min(bytes.len());
    let (front, back) = bytes.split_at(at);
    assert_eq!(read([front, back], client), whole);
    assert_eq!(read(bytes.chunks(1), client), whole);
});

/// Reads messages and their bodies until they end or are refused; shows what was read.
fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, client: bool) -> (Vec<u8>, Option<Refusal>) {
    let rules = Rules { http10: true, ..Rules::default() };
    let (mut seen, mut buffer, mut scratch) = (Vec::new(), BytesMut::new(), Scratch::new());
    let mut body: Option<BodyDecoder> = None;
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            let step = match &mut body {
                Some(decoder) => match decoder.next(&mut buffer) {
                    Ok(Piece::Data(data)) => {
                        seen.extend_from_slice(&data);
                        Ok(true)
                    }
                    Ok(Piece::Incomplete) => Ok(false),
                    Ok(Piece::End) => {
                        body = None;
                        Ok(true)
                    }
                    Err(refusal) => Err(refusal),
                },
                None => head(&mut buffer, &mut scratch, &rules, client, &mut seen).map(|decoder| {
                    body = decoder;
                    body.is_some()
                }),
            };
            match step {
                Ok(true) => {}
                Ok(false) => break,
                Err(refusal) => return (seen, Some(refusal)),
            }
        }
    }
    (seen, None)
}

/// Reads one head and starts its body.
fn head(
    buffer: &mut BytesMut,
    scratch: &mut Scratch,
    rules: &Rules,
    client: bool,
    seen: &mut Vec<u8>,
) -> Result<Option<BodyDecoder>, Refusal> {
    if client {
        let Some(head) = parse_request(buffer, scratch, rules)? else { return Ok(None) };
        seen.extend_from_slice(format!("{} {} {:?}\n", head.method(), head.path(), head.query()).as_bytes());
        Ok(Some(BodyDecoder::new(head.framing(), rules)))
    } else {
        let Some(head) = parse_response(buffer, scratch, rules, Asked::Plain)? else { return Ok(None) };
        seen.extend_from_slice(format!("{} {:?}\n", head.status(), head.declared()).as_bytes());
        Ok(Some(BodyDecoder::new(head.framing(), rules)))
    }
}
