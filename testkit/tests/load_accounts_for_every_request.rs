//! The load generator against the backend itself, without a mesh between.

#![allow(clippy::unwrap_used, reason = "a failed set-up step is a failed test")]

use std::time::Duration;

use outrigger_testkit::backend::Backend;
use outrigger_testkit::load::{Load, Mix};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A backend and the load on it.
async fn loaded() -> (Backend, Load) {
    let any = "127.0.0.1:0".parse().unwrap();
    let backend = Backend::start("v1", any, any).await.unwrap();
    let mix = Mix::l1(backend.http, "echo.mesh:9080", backend.http, backend.tcp);
    let load = Load::start(&mix);
    (backend, load)
}

#[tokio::test]
async fn every_kind_of_load_is_answered_and_none_is_doubled() {
    let (backend, load) = loaded().await;

    while load.ledger().answered_so_far() < 200 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut tally = load.finish().await;
    tally.settle(&backend.posts());

    assert_eq!((tally.failed, tally.doubled), (0, 0), "{:?}", tally.reasons);
    assert!(tally.posts > 20);
    assert_eq!(tally.by_backend().into_keys().collect::<Vec<_>>(), ["v1"]);
}

#[tokio::test]
async fn a_post_that_a_backend_sees_twice_is_doubled() {
    let (backend, load) = loaded().await;
    while backend.posts().is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let again = backend.posts().remove(0);
    let body = String::from_utf8(again.body.unwrap().into()).unwrap();

    let mut stream = TcpStream::connect(backend.http).await.unwrap();
    let request = format!(
        "POST / HTTP/1.1\r\nhost: a\r\nx-load-id: {}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        again.id,
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.read_to_end(&mut Vec::new()).await.unwrap();
    let mut tally = load.finish().await;
    tally.settle(&backend.posts());

    assert_eq!((tally.failed, tally.doubled), (0, 1), "{:?}", tally.reasons);
}

#[tokio::test]
async fn a_backend_that_goes_away_shows_as_failures_with_reasons() {
    let (backend, load) = loaded().await;
    while load.ledger().answered_so_far() < 50 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    drop(backend);
    while load.ledger().tally().reasons.is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    assert!(load.finish().await.failed > 0);
}
