//! Accepts connections for the ADS service and serves them until told to stop.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::transport::server::Connected;

use super::service::AdsService;

/// How long open connections may take to end after the streams were told to.
const DRAIN: Duration = Duration::from_secs(5);
/// The pause after an accept that failed for want of resources.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Streams that one connection may carry; a proxy needs one.
const STREAMS_PER_CONNECTION: u32 = 32;

/// Serves ADS on a listener until `shutdown` resolves. Then every stream ends with `UNAVAILABLE`, and connections get
/// five seconds to close.
///
/// # Errors
/// When the HTTP/2 server cannot run at all; a failed accept is not an error.
pub async fn serve(
    listener: TcpListener,
    service: AdsService,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), tonic::transport::Error> {
    let settings = service.settings().clone();
    let slots = Arc::new(Semaphore::new(settings.connections));
    let incoming = futures_util::stream::unfold((listener, slots), |(listener, slots)| async move {
        let accepted = accept(&listener, &slots).await?;
        Some((Ok::<_, io::Error>(accepted), (listener, slots)))
    });
    let (drained, stopping) = (service.clone(), tokio::sync::Notify::new());
    let signal = async {
        shutdown.await;
        drained.close();
        stopping.notify_one();
    };
    let serving = tonic::transport::Server::builder()
        .tcp_nodelay(true)
        .http2_keepalive_interval(Some(settings.keepalive))
        .http2_keepalive_timeout(Some(settings.keepalive))
        .max_concurrent_streams(STREAMS_PER_CONNECTION)
        .add_service(service)
        .serve_with_incoming_shutdown(incoming, signal);
    tokio::select! {
        ended = serving => ended,
        () = async { stopping.notified().await; tokio::time::sleep(DRAIN).await } => Ok(()),
    }
}

/// Accepts one connection; `None` never happens while the process lives.
async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> Option<Accepted> {
    let permit = Arc::clone(slots).acquire_owned().await.ok()?;
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                // A connection that cannot be set up shows its trouble when it is read.
                let _ = stream.set_nodelay(true);
                let peer = Peer {
                    address,
                    cut: Arc::default(),
                };
                return Some(Accepted {
                    stream,
                    peer,
                    _permit: permit,
                });
            }
            Err(error) if is_of_the_peer(&error) => {}
            Err(error) => {
                tracing::warn!(target: "xds", %error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Whether an accept failed because the peer went away, which concerns nobody else.
fn is_of_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}

/// The other end of a connection, as its streams see it.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    cut: Arc<Cut>,
}

impl Peer {
    /// Ends the connection at once, whatever is still buffered.
    pub(super) fn cut(&self) {
        self.cut.done.store(true, Ordering::Release);
        self.cut.waker.wake();
    }
}

#[derive(Debug, Default)]
struct Cut {
    done: AtomicBool,
    waker: AtomicWaker,
}

/// A connection that can be cut from outside.
#[derive(Debug)]
struct Accepted {
    stream: TcpStream,
    peer: Peer,
    _permit: OwnedSemaphorePermit,
}

impl Accepted {
    fn check(&self, context: &Context<'_>) -> io::Result<()> {
        self.peer.cut.waker.register(context.waker());
        if self.peer.cut.done.load(Ordering::Acquire) {
            return Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "the client does not read",
            ));
        }
        Ok(())
    }
}

impl Connected for Accepted {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Accepted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
