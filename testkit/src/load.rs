//! Open-loop load with a ledger: every request has an id, and in the end each id has exactly one good answer or a
//! reason why not.
//!
//! Open loop means that requests leave at their times whether or not earlier ones were answered, so a stall shows as
//! what it is. Every third request is a POST, whose body its id tells, so that the backends' own record shows whether
//! it came once and as sent. The mix is what `spec/reliability.md` §1 calls L1: HTTP/1.1 and HTTP/2 requests, gRPC-framed streams,
//! WebSockets and TCP streams.

mod http;
mod ledger;
mod post;
mod streams;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

pub use ledger::{Answer, Ledger, Tally};

/// What is sent, and where.
#[derive(Clone, Debug)]
pub struct Mix {
    /// Where HTTP/1.1 and HTTP/2 (prior knowledge) are accepted on one port.
    pub http: SocketAddr,
    /// Host header of requests.
    pub host: String,
    /// Where gRPC is accepted: a port whose upstreams speak HTTP/2, since trailers are lost on the way to others.
    pub grpc: SocketAddr,
    /// Where TCP echo is accepted.
    pub tcp: SocketAddr,
    /// HTTP/1.1 requests a second.
    pub http1: u32,
    /// HTTP/2 requests a second.
    pub http2: u32,
    /// HTTP/2 streams that exchange a gRPC-framed message every 200 ms, each renewed every few seconds.
    pub grpc_streams: u32,
    /// WebSockets that exchange a message every 200 ms, each renewed every few seconds.
    pub websockets: u32,
    /// TCP streams that exchange a message every 200 ms, each renewed every few seconds.
    pub tcp_streams: u32,
}

impl Mix {
    /// L1: 500 requests a second over each HTTP version, 20 gRPC streams, 5 WebSockets, 5 TCP streams.
    pub fn l1(http: SocketAddr, host: &str, grpc: SocketAddr, tcp: SocketAddr) -> Mix {
        Mix {
            http,
            host: host.to_owned(),
            grpc,
            tcp,
            http1: 500,
            http2: 500,
            grpc_streams: 20,
            websockets: 5,
            tcp_streams: 5,
        }
    }

    /// One line for a report.
    pub fn describe(&self) -> String {
        format!(
            "{}/s HTTP/1.1, {}/s HTTP/2, a third of them POSTs, {} gRPC streams, {} WebSockets, {} TCP streams",
            self.http1, self.http2, self.grpc_streams, self.websockets, self.tcp_streams
        )
    }
}

/// Load that runs until it is stopped.
pub struct Load {
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    ledger: Arc<Ledger>,
}

impl Load {
    /// Starts sending `mix`.
    pub fn start(mix: &Mix) -> Load {
        let ledger = Arc::new(Ledger::default());
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(http::drive(
            mix.clone(),
            http::Version::Http1,
            mix.http1,
            ledger.clone(),
            stopped.clone(),
        ));
        tasks.spawn(http::drive(
            mix.clone(),
            http::Version::Http2,
            mix.http2,
            ledger.clone(),
            stopped.clone(),
        ));
        for _ in 0..mix.grpc_streams {
            tasks.spawn(streams::grpc(mix.clone(), ledger.clone(), stopped.clone()));
        }
        for _ in 0..mix.websockets {
            tasks.spawn(streams::websocket(mix.clone(), ledger.clone(), stopped.clone()));
        }
        for _ in 0..mix.tcp_streams {
            tasks.spawn(streams::tcp(mix.tcp, ledger.clone(), stopped.clone()));
        }
        Load { stop, tasks, ledger }
    }

    /// What has been answered so far.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Stops sending, waits for what is in flight, and gives the final account.
    pub async fn finish(mut self) -> Tally {
        // Nobody listens any more when every task has ended by itself.
        let _ = self.stop.send(true);
        while self.tasks.join_next().await.is_some() {}
        self.ledger.tally()
    }
}

/// Calls `fire` `per_second` times a second on an even beat until `stopped`; late beats are made up for, not dropped.
async fn beat(per_second: u32, mut stopped: watch::Receiver<bool>, mut fire: impl FnMut()) {
    if per_second == 0 {
        return;
    }
    let gap = Duration::from_secs(1) / per_second;
    let mut next = Instant::now();
    loop {
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => return,
            () = sleep_until(next) => {}
        }
        fire();
        next += gap;
    }
}
