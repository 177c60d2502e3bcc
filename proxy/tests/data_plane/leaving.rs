//! Clients that leave before they have their answer.

use std::io::Read;
use std::net::Shutdown;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use outrigger_proxy::table::Direction;

use crate::rig::{Backend, Client, LATE, Rig, eventually};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";

/// A backend that never answers, and what tells when one of its connections has ended.
fn mute() -> (Backend, Receiver<()>) {
    let (told, ended) = channel();
    let backend = Backend::start(move |mut stream, _| {
        while matches!(stream.read(&mut [0; 4096]), Ok(1..)) {}
        told.send(()).map_err(std::io::Error::other)
    });
    (backend, ended)
}

/// Makes `stream` reset its connection when it is dropped.
fn reset_on_drop(client: &Client) {
    rustix::net::sockopt::set_socket_linger(&client.stream, Some(Duration::ZERO)).expect("a socket option");
}

#[test]
fn a_client_that_closes_or_resets_its_connection_takes_its_request_with_it() {
    let (backend, ended) = mute();
    let mut rig = Rig::new();
    let address = rig.cluster("reviews", &[backend.address]).http("reviews");
    rig.swap();

    for leaving in 0..4u64 {
        let mut client = Client::connect(address);
        client.send(REQUEST);
        eventually("the request is in flight", || {
            rig.counted("reviews", "upstream_rq_active") == 1
        });
        match leaving {
            0 => {}
            1 => reset_on_drop(&client),
            2 => client.stream.shutdown(Shutdown::Write).expect("closed"),
            // Another request behind the first is no answer to whether the client is there.
            _ => client.send(REQUEST),
        }
        if leaving == 2 {
            assert!(client.is_closed());
        }
        drop(client);
        ended
            .recv_timeout(LATE)
            .unwrap_or_else(|_| panic!("leaving {leaving} is not noticed"));
        eventually("it is counted", || {
            rig.counted("reviews", "upstream_rq_cancelled") == leaving + 1
                && rig.counted("reviews", "upstream_rq_active") == 0
        });
    }
}

#[test]
fn a_client_that_leaves_an_upload_that_stands_still_takes_it_with_it() {
    let backend = Backend::start(|_kept_open, _| {
        loop {
            std::thread::park();
        }
    });
    let mut rig = Rig::new();
    let address = rig.cluster("deaf", &[backend.address]).http("deaf");
    rig.swap();

    let mut client = Client::connect(address);
    client.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000000\r\n\r\n");
    client.stream.set_nonblocking(true).expect("a socket option");
    // Until a second passes in which nobody takes any of it.
    let mut socket = [rustix::event::PollFd::from_borrowed_fd(
        std::os::fd::AsFd::as_fd(&client.stream),
        rustix::event::PollFlags::OUT,
    )];
    let wait = rustix::event::Timespec {
        tv_sec: 1,
        tv_nsec: 0,
    };
    while rustix::event::poll(&mut socket, Some(&wait)).expect("asked") > 0 {
        while std::io::Write::write(&mut &client.stream, &[b'x'; 65536]).is_ok() {}
    }
    reset_on_drop(&client);
    drop(client);

    eventually("the upload is given up", || {
        rig.counted("deaf", "upstream_rq_cancelled") == 1 && rig.counted("deaf", "upstream_rq_active") == 0
    });
}

#[test]
fn a_client_that_leaves_while_a_connection_is_waited_for_gives_its_place_up() {
    let (backend, _ended) = mute();
    let mut rig = Rig::new();
    rig.cluster_with("small", &[backend.address], false, |info| {
        info.limits.connections = 1;
        info.connect_timeout = Duration::from_secs(3600);
    });
    let address = rig.http_with("small", Direction::Outbound, None, |_| {});
    rig.swap();

    let mut first = Client::connect(address);
    first.send(REQUEST);
    eventually("the only connection is in use", || {
        rig.counted("small", "upstream_rq_active") == 1
    });
    let requests: [&[u8]; 2] = [
        REQUEST,
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 20\r\n\r\nhi",
    ];
    for (request, left) in requests.into_iter().zip(1..) {
        let mut second = Client::connect(address);
        second.send(request);
        eventually("it waits", || {
            rig.counted("small", "upstream_rq_pending_total") == left + 1
        });
        drop(second);
        eventually("it waits no longer", || {
            rig.counted("small", "upstream_rq_cancelled") == left
        });
    }
}
