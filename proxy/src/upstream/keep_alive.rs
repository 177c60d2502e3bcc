//! Whether the other end of an HTTP/2 connection is still there. It is asked now and then as long as it owes an answer:
//! a host that is gone without a word would hold every request on the connection until its route's time is over.

use std::time::Duration;

use h2::{Ping, PingPong};
use tokio::time::{sleep, timeout};

/// How often it is asked.
const INTERVAL: Duration = Duration::from_secs(30);
/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is known of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Requests wait for their answers.
    Busy,
    /// There are none.
    Quiet,
    /// It has ended.
    Over,
}

/// True when the other end has not answered; false when the connection has ended otherwise.
pub(super) async fn is_lost(mut pings: PingPong, state: impl Fn() -> State) -> bool {
    loop {
        sleep(INTERVAL).await;
        match state() {
            State::Busy => {}
            State::Quiet => continue,
            State::Over => return false,
        }
        match timeout(PATIENCE, pings.ping(Ping::opaque())).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) => return false,
            Err(_) => return true,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_end_that_answers_is_there_and_one_that_is_silent_is_lost() {
        for answers in [true, false] {
            let (near, far) = duplex(4096);
            let serving = tokio::spawn(async move {
                let mut connection = h2::server::handshake(far).await.expect("HTTP/2");
                if answers {
                    let request = connection.accept().await;
                    connection.accept().await;
                    drop(request);
                } else {
                    // Keeps it open and never looks at it.
                    std::future::pending::<()>().await;
                }
                drop(connection);
            });
            let shaken = h2::client::handshake(near).await;
            let (mut send, mut connection) = shaken.expect("HTTP/2");
            let pings = connection.ping_pong().expect("nobody took it");
            let driving = tokio::spawn(connection);
            let (response, _) = send.send_request(http::Request::new(()), true).expect("sent");
            let start = tokio::time::Instant::now();
            let state = || match start.elapsed().as_secs() {
                300.. => State::Over,
                100.. => State::Busy,
                _ => State::Quiet,
            };

            assert_eq!(is_lost(pings, state).await, !answers);
            let expected = if answers { 300 } else { 130 };
            assert_eq!(start.elapsed().as_secs(), expected);
            driving.abort();
            assert!(
                response.await.is_err(),
                "what was in flight is lost with its connection"
            );
            serving.abort();
        }
    }
}
