//! How long a request may take, and who is told what when it takes longer.

use std::time::Duration;

use outrigger_proxy::table::Direction;

use crate::rig::{Backend, Client, Message, Rig, eventually};

/// Long enough that a test that waits for it fails.
const NEVER: Duration = Duration::from_secs(3600);

fn reason(answer: &Message) -> &str {
    answer.header("x-outrigger-reason").expect("a reason")
}

#[test]
fn the_wait_for_a_connection_is_part_of_the_routes_time() {
    let backend =
        Backend::start(|mut stream, _| std::io::copy(&mut stream, &mut std::io::sink()).map(|_| ()));
    let mut rig = Rig::new();
    rig.cluster_with("small", &[backend.address], false, |info| {
        info.limits.connections = 1;
        info.connect_timeout = NEVER;
    });
    let patient = rig.http_with("small", Direction::Outbound, Some(NEVER), |_| {});
    let hasty = rig.http_with(
        "small",
        Direction::Outbound,
        Some(Duration::from_millis(50)),
        |_| {},
    );
    rig.swap();

    let mut first = Client::connect(patient);
    first.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    eventually("the only connection is in use", || {
        rig.counted("small", "upstream_rq_active") == 1
    });
    let mut client = Client::connect(hasty);
    let requests: [&[u8]; 2] = [
        b"GET / HTTP/1.1\r\nhost: a\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi",
    ];
    for request in requests {
        client.send(request);
        let answer = client.answer();
        assert_eq!(answer.status(), 504);
        assert!(reason(&answer).starts_with("UT "), "{}", reason(&answer));
    }
    assert_eq!(backend.connections(), 1);
}
