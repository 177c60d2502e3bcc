//! Requests on an even beat, over kept-alive HTTP/1.1 connections or one HTTP/2 connection after the other.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use http_body_util::BodyExt;
use hyper::client::conn::{http1, http2};
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::post::{self, Body};
use super::{Answer, Ledger, Mix, beat};
use crate::backend::{LOAD_ID, SERVED_BY};

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Which HTTP is spoken to the mesh.
#[derive(Clone, Copy, Debug)]
pub(super) enum Version {
    /// HTTP/1.1, one request at a time on a connection.
    Http1,
    /// HTTP/2 with prior knowledge, all on one connection.
    Http2,
}

/// Sends until `stopped`, then waits for what is in flight.
pub(super) async fn drive(
    mix: Mix,
    version: Version,
    per_second: u32,
    ledger: Arc<Ledger>,
    stopped: watch::Receiver<bool>,
) {
    let mut flights = JoinSet::new();
    let pool = Arc::new(Pool {
        address: mix.http,
        idle: Mutex::default(),
        shared: Mutex::default(),
    });
    beat(per_second, stopped, || {
        while flights.try_join_next().is_some() {}
        let (ledger, pool, host) = (ledger.clone(), pool.clone(), mix.host.clone());
        flights.spawn(async move {
            let id = ledger.open_request();
            let sent = Instant::now();
            match timeout(PATIENCE, ask(&pool, version, &host, id)).await {
                Ok(Ok(served_by)) => ledger.answered(id, Some(Answer { sent, served_by })),
                Ok(Err(error)) => ledger.failed(id, format!("{version:?}: {error:#}")),
                Err(_) => ledger.failed(
                    id,
                    format!("{version:?}: no answer within {} s", PATIENCE.as_secs()),
                ),
            }
        });
    })
    .await;
    while flights.join_next().await.is_some() {}
}

async fn ask(pool: &Pool, version: Version, host: &str, id: u64) -> Result<String> {
    let target = match version {
        Version::Http1 => format!("/load/{id}"),
        Version::Http2 => format!("http://{host}/load/{id}"),
    };
    let method = if post::is_post(id) {
        Method::POST
    } else {
        Method::GET
    };
    let request = Request::builder()
        .method(method)
        .uri(target)
        .header(LOAD_ID, id)
        .header("host", host)
        .body(post::body(id))?;
    match version {
        Version::Http1 => {
            let mut connection = pool.take().await?;
            let answer = read(id, connection.send_request(request).await.context("sending")?).await?;
            pool.idle.lock().await.push(connection);
            Ok(answer)
        }
        Version::Http2 => {
            let mut connection = pool.share().await?;
            read(id, connection.send_request(request).await.context("sending")?).await
        }
    }
}

async fn read(id: u64, answer: Response<hyper::body::Incoming>) -> Result<String> {
    let status = answer.status();
    let served_by = answer
        .headers()
        .get(SERVED_BY)
        .and_then(|name| name.to_str().ok())
        .unwrap_or("")
        .to_owned();
    let echoed = answer
        .headers()
        .get(LOAD_ID)
        .and_then(|id| id.to_str().ok())
        .unwrap_or("")
        .to_owned();
    let reason = answer
        .headers()
        .get("x-outrigger-reason")
        .map(|value| format!("{value:?}"))
        .unwrap_or_default();
    let body = answer
        .into_body()
        .collect()
        .await
        .context("reading the body")?
        .to_bytes();
    if !status.is_success() {
        bail!("status {status} {reason} {}", String::from_utf8_lossy(&body));
    }
    ensure!(
        echoed == id.to_string(),
        "the answer belongs to request {echoed:?}"
    );
    ensure!(
        body.starts_with(format!("{id} ").as_bytes()),
        "the body belongs to another request: {body:?}"
    );
    Ok(served_by)
}

/// Connections to the mesh: idle ones of HTTP/1.1, and the current one of HTTP/2.
struct Pool {
    address: SocketAddr,
    idle: Mutex<Vec<http1::SendRequest<Body>>>,
    shared: Mutex<Option<http2::SendRequest<Body>>>,
}

impl Pool {
    async fn take(&self) -> Result<http1::SendRequest<Body>> {
        loop {
            let Some(mut connection) = self.idle.lock().await.pop() else {
                break;
            };
            if connection.ready().await.is_ok() {
                return Ok(connection);
            }
        }
        let stream = TcpStream::connect(self.address).await.context("connecting")?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .context("shaking hands")?;
        tokio::spawn(connection);
        Ok(sender)
    }

    async fn share(&self) -> Result<http2::SendRequest<Body>> {
        let mut shared = self.shared.lock().await;
        if let Some(connection) = shared.as_mut().filter(|connection| !connection.is_closed())
            && connection.ready().await.is_ok()
        {
            return Ok(connection.clone());
        }
        let stream = TcpStream::connect(self.address).await.context("connecting")?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .context("shaking hands")?;
        tokio::spawn(connection);
        *shared = Some(sender.clone());
        Ok(sender)
    }
}
