//! Readers that stall, and everybody else on the connection between two sidecars that they share.

use std::io::{BufReader, Write};

use crate::proxying::through_two_sidecars;
use crate::rig::{Backend, Client, Message, answer_of, eventually, pattern};

/// As many as share one connection, less one for the polite client.
const STALLED: usize = 31;
/// More than the buffers of every socket and proxy on the way hold.
const ENDLESS: usize = 32 << 20;
/// Many times the window of the connection.
const LARGE: usize = 24 << 20;

#[test]
fn downloads_that_nobody_reads_hold_up_no_other_on_their_connection() {
    let app = Backend::start(|stream, _| {
        let mut writer = stream.try_clone()?;
        let mut reader = BufReader::new(stream);
        while let Some(request) = Message::read(&mut reader, false)? {
            if request.first.contains("/endless") {
                writer.write_all(&answer_of(&vec![0; ENDLESS]))?;
            } else {
                writer.write_all(&answer_of(&pattern(LARGE)))?;
            }
        }
        Ok(())
    });
    let (_inbound, outbound, address) = through_two_sidecars(app.address);
    let stalled: Vec<Client> = (0..STALLED)
        .map(|_| {
            let mut client = Client::connect(address);
            client.send(b"GET /endless HTTP/1.1\r\nhost: reviews:9080\r\n\r\n");
            client
        })
        .collect();
    eventually("every application connection is in use", || {
        app.connections() == STALLED
    });

    // Twice, so that whatever the stalled ones can fill is full.
    for _ in 0..2 {
        let answer = Client::connect(address).get("/large");
        assert!(answer.body == pattern(LARGE), "{} bytes", answer.body.len());
    }

    assert_eq!(outbound.counted("reviews", "upstream_cx_http2_total"), 1);
    drop(stalled);
}

#[test]
fn uploads_that_the_application_does_not_read_hold_up_no_other_on_their_connection() {
    let app = Backend::start(|mut stream, _| {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut first = String::new();
        std::io::BufRead::read_line(&mut reader, &mut first)?;
        while first.contains("/unread") {
            std::thread::park();
        }
        let length = Message::read(&mut std::io::Read::chain(first.as_bytes(), &mut reader), false)?
            .map_or(0, |request| request.body.len());
        // It closes, and says so: a connection that closes unasked may be in use again.
        let length = length.to_string();
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{length}",
            length.len()
        )
    });
    let (_inbound, outbound, address) = through_two_sidecars(app.address);
    let stalled: Vec<Client> = (0..STALLED)
        .map(|_| {
            let mut client = Client::connect(address);
            client.send(
                format!("POST /unread HTTP/1.1\r\nhost: reviews:9080\r\ncontent-length: {ENDLESS}\r\n\r\n")
                    .as_bytes(),
            );
            let mut sending = client.stream.try_clone().expect("a second handle");
            // Ends with an error when the test shuts the connection.
            std::thread::spawn(move || sending.write_all(&vec![0; ENDLESS]).ok());
            client
        })
        .collect();
    eventually("every application connection is in use", || {
        app.connections() == STALLED
    });

    for _ in 0..2 {
        let mut polite = Client::connect(address);
        polite.send(
            format!("POST /read HTTP/1.1\r\nhost: reviews:9080\r\ncontent-length: {LARGE}\r\n\r\n")
                .as_bytes(),
        );
        polite.send(&pattern(LARGE));
        assert_eq!(polite.answer().text(), LARGE.to_string());
    }

    assert_eq!(outbound.counted("reviews", "upstream_cx_http2_total"), 1);
    for client in stalled {
        client.stream.shutdown(std::net::Shutdown::Both).expect("open");
    }
}
