//! Exchanges: each sends a numbered message every 200 ms and expects that very message back. After a few seconds it
//! closes in order and another takes its place, so that new streams are opened at all times.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, StreamBody};
use hyper::Request;
use hyper::body::Frame;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;

use super::{Answer, Ledger, Mix};
use crate::backend::{GRPC_PATH, SERVED_BY};

/// Time between two messages of one stream.
const PAUSE: Duration = Duration::from_millis(200);
/// How long the echo of one message may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Messages on a stream before the next one is opened.
const MESSAGES: u32 = 20;

/// One direction-neutral exchange of a message and its echo.
trait Exchange: Send {
    fn echo(&mut self, message: &[u8]) -> impl Future<Output = Result<Bytes>> + Send;
    fn close(self) -> impl Future<Output = Result<()>> + Send;
}

/// Bidirectional HTTP/2 streams with gRPC framing, one after the other.
pub(super) async fn grpc(mix: Mix, ledger: Arc<Ledger>, stopped: watch::Receiver<bool>) {
    run("gRPC", || open_grpc(&mix), &ledger, stopped).await;
}

/// WebSockets, one after the other.
pub(super) async fn websocket(mix: Mix, ledger: Arc<Ledger>, stopped: watch::Receiver<bool>) {
    run("WebSocket", || open_websocket(&mix), &ledger, stopped).await;
}

/// TCP streams, one after the other. No echo of theirs tells who made it: no rule of a bar says where they go.
pub(super) async fn tcp(address: SocketAddr, ledger: Arc<Ledger>, stopped: watch::Receiver<bool>) {
    let open = || async move {
        let stream = TcpStream::connect(address).await.context("connecting")?;
        Ok((Tcp(stream), None))
    };
    run("TCP", open, &ledger, stopped).await;
}

async fn run<E, O>(kind: &str, open: impl Fn() -> O, ledger: &Ledger, mut stopped: watch::Receiver<bool>)
where
    E: Exchange,
    O: Future<Output = Result<(E, Option<String>)>>,
{
    while !*stopped.borrow_and_update() {
        let sent = Instant::now();
        let opened = timeout(PATIENCE, open()).await.context("opening took too long");
        let (exchange, served_by) = match opened.flatten() {
            Ok(opened) => opened,
            Err(error) => return ledger.failed(ledger.open(), format!("{kind}: {error:#}")),
        };
        if let Some(served_by) = served_by {
            ledger.opened(Answer { sent, served_by });
        }
        if !converse(kind, exchange, ledger, &mut stopped).await {
            return;
        }
    }
}

/// One exchange from its first message to its end; false when a message failed.
async fn converse<E: Exchange>(
    kind: &str,
    mut exchange: E,
    ledger: &Ledger,
    stopped: &mut watch::Receiver<bool>,
) -> bool {
    let mut left = MESSAGES;
    while left > 0 && !*stopped.borrow_and_update() {
        left -= 1;
        let id = ledger.open();
        let message = format!("message {id} of a {kind} stream");
        let problem = match timeout(PATIENCE, exchange.echo(message.as_bytes())).await {
            Ok(Ok(echo)) if echo == message.as_bytes() => None,
            Ok(Ok(echo)) => Some(format!("{kind}: another message came back: {echo:?}")),
            Ok(Err(error)) => Some(format!("{kind}: {error:#}")),
            Err(_) => Some(format!("{kind}: no echo within {} s", PATIENCE.as_secs())),
        };
        match problem {
            None => ledger.answered(id, None),
            Some(problem) => {
                ledger.failed(id, problem);
                return false;
            }
        }
        tokio::select! {
            _ = stopped.changed() => {}
            () = sleep(PAUSE) => {}
        }
    }
    if let Err(error) = exchange.close().await {
        ledger.failed(ledger.open(), format!("{kind}: closing: {error:#}"));
    }
    true
}

/// Who answered, as the answer's head says.
fn served_by(headers: &hyper::HeaderMap) -> Option<String> {
    let name = headers.get(SERVED_BY).and_then(|name| name.to_str().ok());
    Some(name.unwrap_or("nobody").to_owned())
}

struct Tcp(TcpStream);

impl Exchange for Tcp {
    async fn echo(&mut self, message: &[u8]) -> Result<Bytes> {
        self.0.write_all(message).await.context("writing")?;
        let mut echo = vec![0; message.len()];
        self.0.read_exact(&mut echo).await.context("reading")?;
        Ok(echo.into())
    }

    async fn close(mut self) -> Result<()> {
        self.0.shutdown().await.context("shutting down")?;
        let mut rest = Vec::new();
        timeout(PATIENCE, self.0.read_to_end(&mut rest))
            .await
            .context("waiting for the end")??;
        ensure!(rest.is_empty(), "{} bytes that nobody sent", rest.len());
        Ok(())
    }
}

struct WebSocket(tokio_tungstenite::WebSocketStream<TcpStream>);

async fn open_websocket(mix: &Mix) -> Result<(WebSocket, Option<String>)> {
    let stream = TcpStream::connect(mix.http).await.context("connecting")?;
    let (socket, answer) = tokio_tungstenite::client_async(format!("ws://{}/socket", mix.host), stream)
        .await
        .context("upgrading to a WebSocket")?;
    Ok((WebSocket(socket), served_by(answer.headers())))
}

impl Exchange for WebSocket {
    async fn echo(&mut self, message: &[u8]) -> Result<Bytes> {
        self.0
            .send(Message::binary(message.to_vec()))
            .await
            .context("writing")?;
        match self
            .0
            .next()
            .await
            .context("the socket was closed")?
            .context("reading")?
        {
            Message::Binary(echo) => Ok(echo),
            other => bail!("{other:?} instead of a binary message"),
        }
    }

    async fn close(mut self) -> Result<()> {
        self.0.close(None).await.context("closing")
    }
}

struct Grpc {
    messages: mpsc::Sender<Bytes>,
    body: hyper::body::Incoming,
    read: BytesMut,
}

async fn open_grpc(mix: &Mix) -> Result<(Grpc, Option<String>)> {
    let stream = TcpStream::connect(mix.grpc).await.context("connecting")?;
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .context("shaking hands")?;
    tokio::spawn(connection);
    let (messages, queue) = mpsc::channel::<Bytes>(4);
    let body = StreamBody::new(
        futures_util::stream::unfold(queue, |mut queue| async {
            queue.recv().await.map(|message| (message, queue))
        })
        .map(|message| Ok::<_, std::convert::Infallible>(Frame::data(message)))
        .boxed(),
    );
    let request = Request::post(format!("http://{}{GRPC_PATH}", mix.host))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(body)?;
    let answer = timeout(PATIENCE, sender.send_request(request))
        .await
        .context("waiting for the head")??;
    ensure!(answer.status().is_success(), "status {}", answer.status());
    let name = served_by(answer.headers());
    let exchange = Grpc {
        messages,
        body: answer.into_body(),
        read: BytesMut::new(),
    };
    Ok((exchange, name))
}

impl Exchange for Grpc {
    async fn echo(&mut self, message: &[u8]) -> Result<Bytes> {
        let mut framed = BytesMut::with_capacity(message.len() + 5);
        framed.put_u8(0);
        framed.put_u32(u32::try_from(message.len())?);
        framed.put_slice(message);
        let length = framed.len();
        self.messages
            .send(framed.freeze())
            .await
            .context("the stream was closed")?;
        while self.read.len() < length {
            let frame = self
                .body
                .frame()
                .await
                .context("the stream ended")?
                .context("reading")?;
            if let Ok(data) = frame.into_data() {
                self.read.extend_from_slice(&data);
            }
        }
        Ok(self.read.split_to(length).freeze().slice(5..))
    }

    async fn close(self) -> Result<()> {
        drop(self.messages);
        let rest = timeout(PATIENCE, self.body.collect())
            .await
            .context("waiting for the end")??;
        let status = rest
            .trailers()
            .and_then(|trailers| trailers.get("grpc-status"))
            .cloned();
        ensure!(
            status.as_ref().is_some_and(|status| status == "0"),
            "grpc-status is {status:?}"
        );
        Ok(())
    }
}
