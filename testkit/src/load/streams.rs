//! Long-lived exchanges: each sends a numbered message every 200 ms and expects that very message back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

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

use super::{Ledger, Mix};
use crate::backend::GRPC_PATH;

/// Time between two messages of one stream.
const PAUSE: Duration = Duration::from_millis(200);
/// How long the echo of one message may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// One direction-neutral exchange of a message and its echo.
trait Exchange: Send {
    fn echo(&mut self, message: &[u8]) -> impl Future<Output = Result<Bytes>> + Send;
    fn close(self) -> impl Future<Output = Result<()>> + Send;
}

/// A bidirectional HTTP/2 stream with gRPC framing.
pub(super) async fn grpc(mix: Mix, ledger: Arc<Ledger>, stopped: watch::Receiver<bool>) {
    run("gRPC", open_grpc(&mix).await, &ledger, stopped).await;
}

/// A WebSocket.
pub(super) async fn websocket(mix: Mix, ledger: Arc<Ledger>, stopped: watch::Receiver<bool>) {
    run("WebSocket", open_websocket(&mix).await, &ledger, stopped).await;
}

/// A TCP stream.
pub(super) async fn tcp(address: SocketAddr, ledger: Arc<Ledger>, stopped: watch::Receiver<bool>) {
    let opened = TcpStream::connect(address).await.context("connecting").map(Tcp);
    run("TCP", opened, &ledger, stopped).await;
}

async fn run<E: Exchange>(
    kind: &str,
    opened: Result<E>,
    ledger: &Ledger,
    mut stopped: watch::Receiver<bool>,
) {
    let mut exchange = match opened {
        Ok(exchange) => exchange,
        Err(error) => return ledger.failed(ledger.open(), format!("{kind}: {error:#}")),
    };
    while !*stopped.borrow_and_update() {
        let id = ledger.open();
        let message = format!("message {id} of a {kind} stream");
        match timeout(PATIENCE, exchange.echo(message.as_bytes())).await {
            Ok(Ok(echo)) if echo == message.as_bytes() => ledger.answered(id, None),
            Ok(Ok(echo)) => return ledger.failed(id, format!("{kind}: another message came back: {echo:?}")),
            Ok(Err(error)) => return ledger.failed(id, format!("{kind}: {error:#}")),
            Err(_) => return ledger.failed(id, format!("{kind}: no echo within {} s", PATIENCE.as_secs())),
        }
        tokio::select! {
            _ = stopped.changed() => {}
            () = sleep(PAUSE) => {}
        }
    }
    if let Err(error) = exchange.close().await {
        ledger.failed(ledger.open(), format!("{kind}: closing: {error:#}"));
    }
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

async fn open_websocket(mix: &Mix) -> Result<WebSocket> {
    let stream = TcpStream::connect(mix.http).await.context("connecting")?;
    let (socket, _) = tokio_tungstenite::client_async(format!("ws://{}/socket", mix.host), stream)
        .await
        .context("upgrading to a WebSocket")?;
    Ok(WebSocket(socket))
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

async fn open_grpc(mix: &Mix) -> Result<Grpc> {
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
    Ok(Grpc {
        messages,
        body: answer.into_body(),
        read: BytesMut::new(),
    })
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
