//! The load generator against the backend itself, without a mesh between.

#![allow(clippy::unwrap_used, reason = "a failed set-up step is a failed test")]

use std::time::Duration;

use outrigger_testkit::backend::Backend;
use outrigger_testkit::load::{Load, Mix};

#[tokio::test]
async fn every_kind_of_load_is_answered_and_none_is_doubled() {
    let any = "127.0.0.1:0".parse().unwrap();
    let backend = Backend::start("v1", any, any).await.unwrap();
    let load = Load::start(&Mix::l1(
        backend.http,
        "echo.mesh:9080",
        backend.http,
        backend.tcp,
    ));

    while load.ledger().answered_so_far() < 200 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let tally = load.finish().await;

    assert_eq!((tally.failed, tally.doubled), (0, 0), "{:?}", tally.reasons);
    assert_eq!(tally.by_backend().into_keys().collect::<Vec<_>>(), ["v1"]);
}

#[tokio::test]
async fn a_backend_that_goes_away_shows_as_failures_with_reasons() {
    let any = "127.0.0.1:0".parse().unwrap();
    let backend = Backend::start("v1", any, any).await.unwrap();
    let load = Load::start(&Mix::l1(
        backend.http,
        "echo.mesh:9080",
        backend.http,
        backend.tcp,
    ));
    while load.ledger().answered_so_far() < 50 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    drop(backend);
    while load.ledger().tally().reasons.is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    assert!(load.finish().await.failed > 0);
}
