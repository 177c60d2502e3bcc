//! More than the server takes on at once is answered by 429, and health checks still get through.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::harness::{GATEWAYS, LATE, Served, gateway};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_beyond_two_hundred_in_flight_are_put_off() {
    let served = Served::start().await;
    let mut held = Vec::new();
    for _ in 0..200 {
        let mut stream = TcpStream::connect(served.base.trim_start_matches("http://"))
            .await
            .unwrap();
        let head = format!("POST {GATEWAYS} HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n{{");
        stream.write_all(head.as_bytes()).await.unwrap();
        held.push(stream);
    }

    let refused = tokio::time::timeout(LATE, async {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let answer = served
                .call("POST", GATEWAYS, Some(gateway(&format!("g{attempt}"))))
                .await;
            if answer.code != 201 {
                return answer;
            }
        }
    });
    let refused = refused.await.expect("no write was ever put off");

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
