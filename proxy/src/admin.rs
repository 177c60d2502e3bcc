//! The admin server: what the proxy has, does and counts, for people and scrapers.
//!
//! It has its own thread and runtime, so a big table or a busy worker never stalls `/ready`; what it shows it reads from
//! immutable tables and counters. The metrics port shows only what a scraper and a health check need.

mod pages;
mod view;

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};

pub use view::View;

use crate::own_host::calls_from_here;

/// Connections at the same time, on both ports together; further ones wait to be accepted.
const CONNECTIONS: usize = 64;
/// For a request's head to arrive; also how long a connection may be idle.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// The longest life of a connection, so that nobody holds one by not reading.
const CONNECTION_TIME: Duration = Duration::from_secs(120);
/// After a failure of accept, such as too few file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The two ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Port {
    Admin,
    Metrics,
}

/// Which pages a connection gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    /// All of them.
    Admin,
    /// Of the admin port, what says nothing of the configuration: `/ready`.
    Stranger,
    /// What a scraper and a health check need.
    Metrics,
}

/// The running admin server. Dropping it closes both ports.
#[derive(Debug)]
pub struct Admin {
    addresses: (SocketAddr, SocketAddr),
    stop: watch::Sender<bool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Admin {
    /// Serves `view` on two bound sockets, for the operator (conventionally port 15000) and for scrapers (15020).
    ///
    /// # Errors
    /// When a socket cannot be used or no thread can be started.
    pub fn start(admin: TcpListener, metrics: TcpListener, view: View) -> io::Result<Admin> {
        let addresses = (admin.local_addr()?, metrics.local_addr()?);
        admin.set_nonblocking(true)?;
        metrics.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (stop, stopped) = watch::channel(false);
        let thread = thread::Builder::new().name("admin".to_owned()).spawn(move || {
            runtime.block_on(async {
                let view = Arc::new(view);
                let places = Arc::new(Semaphore::new(CONNECTIONS));
                let ports = [(admin, Port::Admin), (metrics, Port::Metrics)];
                for (socket, port) in ports {
                    match tokio::net::TcpListener::from_std(socket) {
                        Ok(socket) => {
                            tokio::spawn(accept(socket, port, Arc::clone(&view), Arc::clone(&places)));
                        }
                        Err(error) => tracing::error!(?port, %error, "cannot serve an admin port"),
                    }
                }
                let mut stopped = stopped;
                // An error says that `Admin` was dropped, which is the same wish.
                let _ = stopped.wait_for(|stop| *stop).await;
            });
        })?;
        Ok(Admin {
            addresses,
            stop,
            thread: Some(thread),
        })
    }

    /// Where the admin pages are.
    pub fn admin_address(&self) -> SocketAddr {
        self.addresses.0
    }

    /// Where the metrics are.
    pub fn metrics_address(&self) -> SocketAddr {
        self.addresses.1
    }

    /// Closes both ports and their connections and waits for the thread.
    pub fn stop(mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            // Its panic was reported when it happened.
            let _ = thread.join();
        }
    }
}

/// Accepts until the runtime ends.
async fn accept(socket: tokio::net::TcpListener, port: Port, view: Arc<View>, places: Arc<Semaphore>) {
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        match socket.accept().await {
            Ok((connection, peer)) => {
                let view = Arc::clone(&view);
                let door = door(port, peer.ip(), || {
                    connection.local_addr().ok().map(|own| own.ip())
                });
                tokio::spawn(async move {
                    serve(connection, door, view).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(?port, %error, "an admin connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Which pages a connection gets. A workload's address is open to its network, and no token guards these pages: only
/// who calls from the workload itself may see its configuration or end it.
fn door(port: Port, peer: IpAddr, own: impl FnOnce() -> Option<IpAddr>) -> Door {
    match port {
        Port::Metrics => Door::Metrics,
        Port::Admin if calls_from_here(peer, own) => Door::Admin,
        Port::Admin => Door::Stranger,
    }
}

async fn serve(connection: TcpStream, door: Door, view: Arc<View>) {
    let service = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let page = pages::answer(door, request.method(), request.uri(), &view);
        async move { Ok::<_, Infallible>(page) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(16 * 1024)
        .serve_connection(TokioIo::new(connection), service);
    if let Ok(Err(error)) = tokio::time::timeout(CONNECTION_TIME, served).await {
        tracing::debug!(?door, %error, "an admin connection ended early");
    }
}

#[cfg(test)]
mod tests;
