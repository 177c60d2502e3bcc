//! The client: sends an input in its pieces and hears what comes back.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result};
use outrigger_proxy::h1::corpus::{Asked, End};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

use super::backend::{PAUSE, SCRIPTED};
use super::plan::Replay;
use super::wire::{self, Framing, Kind, Message};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long nothing must come while a request is not complete.
const QUIET: Duration = Duration::from_millis(25);
/// What is read when nothing special was asked.
const ANSWER: Kind = Kind::Answer { bodiless: false };
/// The request that follows an answer of a script on the same connection.
pub(super) const AFTER: &[u8] = b"GET /response/after HTTP/1.1\r\nhost: a\r\n\r\n";

/// What came back for a replay.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    /// The client's address, used for this replay only: the access log names it.
    pub(super) from: SocketAddr,
    /// The answers, `100 Continue` aside. The last may be cut off.
    pub(super) answers: Vec<Message>,
    /// The answer to [`AFTER`], where that was asked.
    pub(super) after: Option<Message>,
    /// [`AFTER`] was asked.
    pub(super) asked_after: bool,
    /// What came through a tunnel.
    pub(super) tunnelled: Vec<u8>,
    /// What is wrong whatever was expected.
    pub(super) problem: Option<String>,
}

/// Gives every connection an address of its own.
#[derive(Debug)]
pub(super) struct Lane {
    ip: Ipv4Addr,
    next_port: u16,
}

impl Lane {
    /// A lane that nobody else has, by its number.
    pub(super) fn new(number: u8) -> Lane {
        Lane {
            ip: Ipv4Addr::new(127, 0, 44, number),
            next_port: 10_000,
        }
    }

    async fn connect(&mut self, to: SocketAddr) -> Result<Line> {
        loop {
            let from = SocketAddr::from((self.ip, self.next_port));
            self.next_port = self
                .next_port
                .checked_add(1)
                .context("a lane has run out of ports")?;
            let socket = TcpSocket::new_v4()?;
            match socket.bind(from) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => continue,
                Err(error) => return Err(error).with_context(|| format!("cannot bind {from}")),
            }
            let stream = socket
                .connect(to)
                .await
                .with_context(|| format!("cannot connect to {to}"))?;
            stream.set_nodelay(true)?;
            return Ok(Line {
                stream,
                from,
                bytes: Vec::new(),
                ended: false,
            });
        }
    }
}

/// Plays a replay against the proxy at `proxy`. `number` is that of the script that answers, where one does.
pub(super) async fn play(replay: &Replay, number: usize, proxy: Ipv4Addr, lane: &mut Lane) -> Result<Heard> {
    let line = lane
        .connect(SocketAddr::from((proxy, replay.door.port())))
        .await?;
    let mut heard = Heard {
        from: line.from,
        answers: Vec::new(),
        after: None,
        asked_after: false,
        tunnelled: Vec::new(),
        problem: None,
    };
    let played = match replay.input.case.response {
        true => answer(replay, number, line, &mut heard).await,
        false => request(replay, line, &mut heard).await,
    };
    heard.problem = played.err();
    Ok(heard)
}

/// The request that asks for the answer of script `number`.
pub(super) fn asking(replay: &Replay, number: usize) -> Vec<u8> {
    let (method, upgrade) = match replay.input.case.asked {
        Asked::Head => ("HEAD", ""),
        Asked::Upgrade => ("GET", "connection: upgrade\r\nupgrade: websocket\r\n"),
        Asked::Plain | Asked::Connect => ("GET", ""),
    };
    format!("{method} {SCRIPTED}{number} HTTP/1.1\r\nhost: a\r\n{upgrade}\r\n").into_bytes()
}

/// Sends a request case and hears the answers.
async fn request(replay: &Replay, mut line: Line, heard: &mut Heard) -> Result<(), String> {
    line.send(&replay.pieces()).await;
    let expected = replay.expected().map_err(|error| error.to_string())?;
    for request in expected.iter().filter(|request| request.whole) {
        let bodiless = matches!(request.method(), b"HEAD" | b"CONNECT");
        match line.final_answer(Kind::Answer { bodiless }).await? {
            Some(answer) => heard.answers.push(answer),
            None => return Ok(()),
        }
    }
    match replay.input.case.end {
        End::Open => line.end().await,
        End::Refused { .. } | End::Close => {}
        End::Incomplete => return line.stays_quiet().await,
        End::Tunnel => {
            heard.tunnelled = line.tunnel(replay.input.tunnelled().len()).await?;
            return Ok(());
        }
    }
    while let Some(answer) = line.answer(ANSWER).await? {
        heard.answers.push(answer);
    }
    Ok(())
}

/// Asks for an answer case and hears it, and what is answered to a plain request behind it.
async fn answer(replay: &Replay, number: usize, mut line: Line, heard: &mut Heard) -> Result<(), String> {
    line.send(&[asking(replay, number)]).await;
    let kind = Kind::Answer {
        bodiless: replay.input.case.asked == Asked::Head,
    };
    loop {
        let Some(answer) = line.answer(kind).await? else {
            return Ok(());
        };
        let interim = answer.is_interim();
        heard.answers.push(answer);
        if !interim {
            break;
        }
    }
    let Some(last) = heard.answers.last() else {
        return Ok(());
    };
    if last.status() == 101 {
        heard.tunnelled = line.tunnel(replay.input.tunnelled().len()).await?;
        return Ok(());
    }
    let says_close = last
        .field("connection")
        .is_some_and(|said| said.eq_ignore_ascii_case(b"close"));
    if last.whole && last.framing != Framing::UntilClose && !says_close {
        heard.asked_after = true;
        line.send(&[AFTER.to_vec()]).await;
        heard.after = line.final_answer(ANSWER).await?;
        line.end().await;
    }
    match line.answer(ANSWER).await? {
        Some(more) => Err(format!("there is one more answer: {more}")),
        None => Ok(()),
    }
}

/// A connection to the proxy.
struct Line {
    stream: TcpStream,
    from: SocketAddr,
    /// Read and not used.
    bytes: Vec<u8>,
    /// The proxy sends no more.
    ended: bool,
}

impl Line {
    /// Sends pieces with pauses between them. The proxy may have closed before the last: what it said will be read.
    async fn send(&mut self, pieces: &[Vec<u8>]) {
        for (nth, piece) in pieces.iter().enumerate() {
            if nth > 0 {
                sleep(PAUSE).await;
            }
            if self.stream.write_all(piece).await.is_err() {
                return;
            }
        }
    }

    /// Sends no more.
    async fn end(&mut self) {
        // A connection that is gone already needs no end.
        let _ = self.stream.shutdown().await;
    }

    /// The next answer, whole or cut off by the connection's end; `None` when that comes between answers.
    async fn answer(&mut self, kind: Kind) -> Result<Option<Message>, String> {
        loop {
            let wrong = |problem| format!("an answer is malformed: {problem}");
            match wire::take(&self.bytes, kind).map_err(wrong)? {
                Some((message, used)) if message.whole => {
                    self.bytes.drain(..used);
                    return Ok(Some(message));
                }
                Some((mut message, _)) if self.ended => {
                    message.whole = message.framing == Framing::UntilClose;
                    self.bytes.clear();
                    return Ok(Some(message));
                }
                None if self.ended && self.bytes.is_empty() => return Ok(None),
                None if self.ended => {
                    return Err("the connection ended inside the head of an answer".to_owned());
                }
                _ => self.fill().await?,
            }
        }
    }

    /// The next answer that is not `100 Continue`.
    async fn final_answer(&mut self, kind: Kind) -> Result<Option<Message>, String> {
        loop {
            match self.answer(kind).await? {
                Some(answer) if answer.status() == 100 => {}
                answer => return Ok(answer),
            }
        }
    }

    /// Hears what comes through a tunnel: waits for `count` bytes, sends no more, and reads to the end.
    async fn tunnel(&mut self, count: usize) -> Result<Vec<u8>, String> {
        while self.bytes.len() < count && !self.ended {
            self.fill().await?;
        }
        self.end().await;
        while !self.ended {
            self.fill().await?;
        }
        Ok(std::mem::take(&mut self.bytes))
    }

    /// Nothing comes, not even an end.
    async fn stays_quiet(&mut self) -> Result<(), String> {
        match timeout(QUIET, self.fill()).await {
            Err(_) if self.bytes.is_empty() => Ok(()),
            _ if self.ended => Err("the connection ended before the request was complete".to_owned()),
            _ => Err(format!(
                "an answer came before the request was complete: {}",
                self.bytes.escape_ascii()
            )),
        }
    }

    async fn fill(&mut self) -> Result<(), String> {
        match timeout(PATIENCE, self.stream.read_buf(&mut self.bytes)).await {
            Ok(Ok(1..)) => Ok(()),
            // A reset is an end as well; whether too little came before it is seen by what did.
            Ok(_) => {
                self.ended = true;
                Ok(())
            }
            Err(_) => Err(format!(
                "neither bytes nor an end came for {} s",
                PATIENCE.as_secs()
            )),
        }
    }
}
