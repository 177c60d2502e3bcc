//! A hyper server that reads every request to its end and notes it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use super::{Counted, Named};

/// Fields of a head: the largest one of the corpus, and those that the proxy adds.
const FIELDS: usize = 200;
/// Bytes of a head or of trailers: more than the proxy lets pass.
const HEAD: usize = 128 << 10;
/// How long connections may last once the proxy has stopped.
const PATIENCE: Duration = Duration::from_secs(5);

/// The server and its count.
pub(super) struct HyperServer {
    pub(super) address: SocketAddr,
    counted: Arc<Mutex<Counted>>,
    stop: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

impl HyperServer {
    /// Listens on a free port of loopback.
    pub(super) async fn start() -> Result<HyperServer> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let counted = Arc::new(Mutex::new(Counted::default()));
        let (stop, stopped) = watch::channel(false);
        Ok(HyperServer {
            address,
            counted: Arc::clone(&counted),
            stop,
            accepting: tokio::spawn(accept(listener, counted, stopped)),
        })
    }

    /// Waits for its connections to end, and gives what it counted.
    pub(super) async fn finish(self) -> Result<Counted> {
        self.stop.send_replace(true);
        let ended = timeout(PATIENCE, self.accepting).await;
        ended.context("connections to hyper outlive the proxy")??;
        Ok(std::mem::take(&mut *open(&self.counted)))
    }
}

fn open(counted: &Mutex<Counted>) -> std::sync::MutexGuard<'_, Counted> {
    counted.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, counted: Arc<Mutex<Counted>>, mut stopped: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            // The sender goes with the server, which stops as well.
            _ = stopped.wait_for(|stop| *stop) => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                connections.spawn(serve(stream, Arc::clone(&counted)));
            },
        }
    }
    while connections.join_next().await.is_some() {}
}

async fn serve(stream: TcpStream, counted: Arc<Mutex<Counted>>) {
    let service = service_fn(|request| answer(request, &counted));
    let served = http1::Builder::new()
        .max_headers(FIELDS)
        .max_header_size(HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served
        && error.is_parse()
    {
        let problem = format!("hyper cannot read what came: {error}");
        open(&counted).garbage.push(problem);
    }
}

async fn answer(
    request: Request<Incoming>,
    counted: &Mutex<Counted>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let id = request.headers().get("x-request-id");
    let named = Named {
        method: request.method().to_string(),
        id: id.and_then(|id| id.to_str().ok()).unwrap_or("-").to_owned(),
    };
    let body = request.into_body().collect().await;
    let mut counted = open(counted);
    if let Err(error) = body {
        let problem = format!("hyper cannot read the body of {named}: {error:?}");
        counted.garbage.push(problem);
    }
    counted.read.push(named);
    Ok(Response::new(Full::from("ok\n")))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn every_request_of_a_connection_is_counted_and_garbage_behind_it_too() {
        let server = HyperServer::start().await.unwrap();
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let sent = b"POST / HTTP/1.1\r\nhost: a\r\nx-request-id: 1\r\ncontent-length: 1\r\n\r\na\
                     GET / HTTP/1.1\r\nhost: a\r\n\r\n: no request\r\n\r\n";

        stream.write_all(sent).await.unwrap();
        stream.read_to_end(&mut Vec::new()).await.unwrap();
        let counted = server.finish().await.unwrap();

        let named: Vec<String> = counted.read.iter().map(Named::to_string).collect();
        assert_eq!(named, ["POST 1", "GET -"]);
        assert_eq!(counted.garbage.len(), 1);
    }
}
