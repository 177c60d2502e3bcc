//! The raw recording backend: plain TCP, a strict reader, and a record of everything that arrived on which connection.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::wire::{self, Kind, Message};

/// Time between two pieces of what is cut.
pub(super) const PAUSE: Duration = Duration::from_millis(1);
/// How long bytes behind a request for an upgrade get to arrive too early.
const EARLY: Duration = Duration::from_millis(15);
/// How long connections may last once the proxy has stopped.
const PATIENCE: Duration = Duration::from_secs(5);
/// Target of requests that a [`Script`] answers: the number of the script follows.
pub(super) const SCRIPTED: &str = "/response/";

/// Something that arrived.
#[derive(Debug)]
pub(super) struct Seen {
    /// Number of the connection, among all of the backend's.
    pub(super) connection: usize,
    pub(super) what: What,
}

/// What arrived.
#[derive(Debug)]
pub(super) enum What {
    /// A request, whole or cut off by the end of its connection.
    Request {
        message: Message,
        /// Bytes that came before an upgrade was granted.
        early: Vec<u8>,
    },
    /// Bytes that no strict receiver takes.
    Garbage { bytes: Vec<u8>, problem: String },
    /// A connection for a CONNECT.
    Tunnel,
}

/// A raw answer of an upstream.
#[derive(Clone, Debug)]
pub(super) struct Script {
    pub(super) pieces: Vec<Vec<u8>>,
    /// The connection ends behind it.
    pub(super) ends: bool,
}

/// Everything that arrived, in order.
#[derive(Debug)]
pub(super) struct Recorder {
    seen: Mutex<Vec<Seen>>,
    connections: AtomicUsize,
    /// By number; `None` for numbers without one.
    scripts: Vec<Option<Script>>,
}

impl Recorder {
    pub(super) fn new(scripts: Vec<Option<Script>>) -> Arc<Recorder> {
        Arc::new(Recorder {
            seen: Mutex::default(),
            connections: AtomicUsize::new(0),
            scripts,
        })
    }

    /// Takes what was recorded.
    pub(super) fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn note(&self, connection: usize, what: What) {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Seen { connection, what });
    }

    /// What a request is answered.
    fn answer(&self, request: &Message) -> Script {
        let target = std::str::from_utf8(request.target()).unwrap_or_default();
        let number = target
            .strip_prefix(SCRIPTED)
            .and_then(|number| number.parse::<usize>().ok());
        if let Some(Some(script)) = number.and_then(|number| self.scripts.get(number)) {
            return script.clone();
        }
        let id = request.field("x-request-id").unwrap_or(b"-");
        let answer = match request.field("upgrade") {
            Some(protocol) => [
                b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: ",
                protocol,
                b"\r\nx-saw: ",
                id,
            ]
            .concat(),
            None => [b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nx-saw: ", id].concat(),
        };
        let body: &[u8] = match (request.field("upgrade"), request.method()) {
            (None, method) if method != b"HEAD" => b"\r\n\r\nok\n",
            _ => b"\r\n\r\n",
        };
        Script {
            pieces: vec![[&answer, body].concat()],
            ends: false,
        }
    }
}

/// What a listening socket of the backend is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Requests.
    Http,
    /// The other end of CONNECT tunnels: whatever comes goes back.
    Tunnel,
}

/// A listening socket and its connections.
pub(super) struct Backend {
    pub(super) address: SocketAddr,
    stop: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

impl Backend {
    /// Listens on a free port of loopback.
    pub(super) async fn start(purpose: Purpose, recorder: &Arc<Recorder>) -> Result<Backend> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (stop, stopped) = watch::channel(false);
        let accepting = tokio::spawn(accept(listener, purpose, Arc::clone(recorder), stopped));
        Ok(Backend {
            address,
            stop,
            accepting,
        })
    }

    /// Stops accepting and waits for the connections to end: by then everything that was sent is recorded.
    pub(super) async fn finish(self) -> Result<()> {
        self.stop.send_replace(true);
        let ended = timeout(PATIENCE, self.accepting).await;
        Ok(ended.context("connections to the backend outlive the proxy")??)
    }
}

async fn accept(
    listener: TcpListener,
    purpose: Purpose,
    recorder: Arc<Recorder>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            // The sender goes with the backend, which stops as well.
            _ = stopped.wait_for(|stop| *stop) => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                let number = recorder.connections.fetch_add(1, Ordering::Relaxed);
                let connection = Connection { stream, number, bytes: Vec::new(), recorder: Arc::clone(&recorder) };
                connections.spawn(connection.serve(purpose));
            },
        }
    }
    while connections.join_next().await.is_some() {}
}

struct Connection {
    stream: TcpStream,
    number: usize,
    /// Read and not used.
    bytes: Vec<u8>,
    recorder: Arc<Recorder>,
}

impl Connection {
    async fn serve(mut self, purpose: Purpose) {
        // Pieces must leave when they are written; where this is refused they are only less cut.
        let _ = self.stream.set_nodelay(true);
        if purpose == Purpose::Tunnel {
            self.recorder.note(self.number, What::Tunnel);
            return self.echo().await;
        }
        while let Some(request) = self.request().await {
            let early = match request.field("upgrade") {
                Some(_) => self.early().await,
                None => Vec::new(),
            };
            let script = self.recorder.answer(&request);
            self.recorder.note(
                self.number,
                What::Request {
                    message: request,
                    early,
                },
            );
            let raw = script.pieces.concat().starts_with(b"HTTP/1.1 101 ");
            if !self.write(&script).await || raw {
                return self.echo().await;
            }
        }
    }

    /// The next whole request; what comes of none is recorded.
    async fn request(&mut self) -> Option<Message> {
        loop {
            let over = match wire::take(&self.bytes, Kind::Request) {
                Ok(Some((message, used))) if message.whole => {
                    self.bytes.drain(..used);
                    return Some(message);
                }
                Ok(Some((message, _))) => Ok(Some(message)),
                Ok(None) => Ok(None),
                Err(problem) => Err(problem),
            };
            if over.is_ok() && self.fill().await {
                continue;
            }
            let bytes = std::mem::take(&mut self.bytes);
            match over {
                Ok(Some(message)) => {
                    self.recorder.note(
                        self.number,
                        What::Request {
                            message,
                            early: Vec::new(),
                        },
                    );
                }
                Ok(None) if bytes.is_empty() => {}
                Ok(None) => {
                    let problem = "the connection ended inside a head".to_owned();
                    self.recorder.note(self.number, What::Garbage { bytes, problem });
                }
                Err(problem) => self.recorder.note(self.number, What::Garbage { bytes, problem }),
            }
            return None;
        }
    }

    /// What comes before there is an answer.
    async fn early(&mut self) -> Vec<u8> {
        // It is for this time to pass: either way what came is in the buffer.
        let _ = timeout(EARLY, self.fill()).await;
        self.bytes.clone()
    }

    /// Reads once; false at the end.
    async fn fill(&mut self) -> bool {
        matches!(self.stream.read_buf(&mut self.bytes).await, Ok(1..))
    }

    /// Writes an answer; false when nothing can follow it.
    async fn write(&mut self, script: &Script) -> bool {
        for (nth, piece) in script.pieces.iter().enumerate() {
            if nth > 0 {
                sleep(PAUSE).await;
            }
            if self.stream.write_all(piece).await.is_err() {
                return false;
            }
        }
        !script.ends || {
            // A connection that is gone already needs no end.
            let _ = self.stream.shutdown().await;
            false
        }
    }

    /// Sends everything back until the other side has ended.
    async fn echo(mut self) {
        loop {
            let bytes = std::mem::take(&mut self.bytes);
            // Nobody may be there to take it; what is sent here is read all the same.
            let _ = self.stream.write_all(&bytes).await;
            if !self.fill().await {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn exchanged(scripts: Vec<Option<Script>>, sent: &[u8]) -> (String, Vec<Seen>) {
        let recorder = Recorder::new(scripts);
        let backend = Backend::start(Purpose::Http, &recorder).await.unwrap();
        let mut stream = TcpStream::connect(backend.address).await.unwrap();
        stream.write_all(sent).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answers = String::new();
        stream.read_to_string(&mut answers).await.unwrap();
        backend.finish().await.unwrap();
        (answers, recorder.take())
    }

    #[tokio::test]
    async fn requests_are_answered_and_recorded_and_so_is_one_that_is_cut_off() {
        let sent = b"GET / HTTP/1.1\r\nhost: a\r\nx-request-id: 7\r\n\r\nHEAD / HTTP/1.1\r\nhost: a\r\n\r\n\
                     POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nab";

        let (answers, seen) = exchanged(Vec::new(), sent).await;

        assert_eq!(
            answers,
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\nx-saw: 7\r\n\r\nok\n\
             HTTP/1.1 200 OK\r\ncontent-length: 3\r\nx-saw: -\r\n\r\n"
        );
        let whole: Vec<bool> = seen
            .iter()
            .map(|seen| matches!(&seen.what, What::Request { message, .. } if message.whole))
            .collect();
        assert_eq!(whole, [true, true, false]);
    }

    #[tokio::test]
    async fn what_no_strict_receiver_takes_is_recorded_and_not_answered() {
        let (answers, seen) = exchanged(Vec::new(), b"GET / HTTP/1.1\nhost: a\n\n").await;

        assert_eq!(answers, "");
        assert!(
            matches!(
                seen.as_slice(),
                [Seen {
                    what: What::Garbage { .. },
                    ..
                }]
            ),
            "{seen:?}"
        );
    }

    #[tokio::test]
    async fn a_script_is_sent_as_it_stands_and_may_end_the_connection() {
        let script = Script {
            pieces: vec![b"HTTP/1.1 2".to_vec(), b"00 OK\r\n".to_vec()],
            ends: true,
        };

        let (answers, _) = exchanged(
            vec![None, Some(script)],
            b"GET /response/1 HTTP/1.1\r\nhost: a\r\n\r\n",
        )
        .await;

        assert_eq!(answers, "HTTP/1.1 200 OK\r\n");
    }

    #[tokio::test]
    async fn bytes_that_come_before_an_upgrade_is_granted_are_found() {
        let (answers, seen) = exchanged(
            Vec::new(),
            b"GET / HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\n\r\nearly",
        )
        .await;

        assert!(
            answers.starts_with("HTTP/1.1 101 ") && answers.ends_with("\r\n\r\nearly"),
            "{answers}"
        );
        assert!(
            matches!(&seen[..], [Seen { what: What::Request { early, .. }, .. }] if early == b"early"),
            "{seen:?}"
        );
    }
}
