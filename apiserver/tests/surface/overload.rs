//! More than the server takes on at once is answered by 429, and health checks still get through.

use std::time::Duration;

use futures_util::future::select_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{GATEWAYS, LATE, Served, gateway};

/// A write whose body never comes to its end.
async fn held_write(served: &Served) -> TcpStream {
    let mut stream = TcpStream::connect(served.base.trim_start_matches("http://"))
        .await
        .unwrap();
    let head = format!("POST {GATEWAYS} HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n{{");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_beyond_two_hundred_in_flight_are_put_off() {
    let served = Served::start().await;
    let mut held = Vec::new();
    for _ in 0..201 {
        held.push(held_write(&served).await);
    }

    let put_off = {
        let answers = held.iter().map(|stream| Box::pin(stream.readable()));
        let first = tokio::time::timeout(LATE, select_all(answers)).await;
        first.expect("no write was put off").1
    };
    let mut head = [0; 12];
    held[put_off].read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 429");

    let refused = served.call("POST", GATEWAYS, Some(gateway("g"))).await;
    refused.is_failure(429, "TooManyRequests");
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(served.get("/healthz").await.code, 200);
    assert_eq!(served.get(GATEWAYS).await.code, 200);
    drop(held);
    let again = tokio::time::timeout(LATE, async {
        while served.call("POST", GATEWAYS, Some(gateway("after"))).await.code != 201 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    again.await.expect("writes are never taken again");
}
