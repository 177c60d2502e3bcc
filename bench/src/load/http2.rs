//! HTTP/2 without TLS: clients and a backend on the h2 crate, in one thread that never sleeps while it measures.
//!
//! The backend also answers HTTP/1.1, for a peer that speaks nothing else to its upstreams.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use h2::client::SendRequest;
use http::{Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tokio::task::{JoinSet, LocalSet, spawn_local, yield_now};

use super::pace::Arrivals;
use super::served::Service;
use super::tally::{Outcome, Step, Tally};
use super::{ATTEMPT, Generator, Load, Pace};
use crate::interrupt;

/// Requests in flight on one connection.
const STREAMS: usize = 8;
/// Window of streams and connections, bytes.
const WINDOW: u32 = 1 << 20;
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Client and backend connections of one thread.
#[derive(Debug)]
pub(crate) struct Http2 {
    runtime: Runtime,
    tasks: LocalSet,
    request: Request<()>,
    body: Bytes,
    backend: SocketAddr,
}

impl Http2 {
    /// A backend with this body, and clients that ask for it as `host`.
    pub(crate) fn new(host: &str, body: &Arc<[u8]>) -> Result<Http2> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let tasks = LocalSet::new();
        let door = runtime
            .block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
            .context("cannot listen on 127.0.0.1")?;
        let backend = door.local_addr()?;
        let body = Bytes::copy_from_slice(body);
        tasks.spawn_local(serve(door, body.clone()));
        let request = Request::get(format!("http://{host}/items/7"))
            .header("user-agent", "outrigger-bench")
            .header("accept", "*/*")
            .body(())?;
        Ok(Http2 {
            runtime,
            tasks,
            request,
            body,
            backend,
        })
    }

    /// Where the backend listens.
    pub(crate) fn backend(&self) -> SocketAddr {
        self.backend
    }
}

impl Generator for Http2 {
    fn first_answer(
        &mut self,
        target: SocketAddr,
        deadline: Instant,
        alive: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Instant> {
        let (request, body) = (&self.request, &self.body);
        self.tasks.block_on(&self.runtime, async {
            loop {
                let attempt = async {
                    let (sender, mut owner) = connect(target).await?;
                    ask(sender, request, body).await.map_err(anyhow::Error::msg)?;
                    let now = Instant::now();
                    owner.abort_all();
                    Ok(now)
                };
                let tried = tokio::time::timeout(ATTEMPT, attempt).await;
                let why = match tried {
                    Ok(Ok(moment)) => return Ok(moment),
                    Ok(Err(why)) => why,
                    Err(_) => anyhow::anyhow!("no answer within {ATTEMPT:?}"),
                };
                interrupt::check()?;
                alive()?;
                if Instant::now() > deadline {
                    return Err(why.context("no good answer"));
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
    }

    fn run(&mut self, load: &Load, edge: &mut dyn FnMut() -> Result<()>) -> Result<Outcome> {
        let (request, body) = (&self.request, &self.body);
        self.tasks
            .block_on(&self.runtime, drive(load, request, body, edge))
    }
}

/// What the requests of a run share.
struct Run {
    tally: Tally,
    /// Moments at which requests were due that nobody has taken yet.
    waiting: VecDeque<Instant>,
    in_flight: usize,
    closed_loop: bool,
}

async fn drive(
    load: &Load,
    request: &Request<()>,
    body: &Bytes,
    edge: &mut dyn FnMut() -> Result<()>,
) -> Result<Outcome> {
    let mut owners = Vec::new();
    let mut senders = Vec::new();
    for _ in 0..load.in_flight.div_ceil(STREAMS) {
        let (sender, owner) = connect(load.target).await?;
        senders.push(sender);
        owners.push(owner);
    }
    let start = Instant::now();
    let run = Rc::new(RefCell::new(Run {
        tally: Tally::new(load, start),
        waiting: VecDeque::new(),
        in_flight: 0,
        closed_loop: load.pace == Pace::Closed,
    }));
    let news = Rc::new(Notify::new());
    let mut workers = JoinSet::new();
    for sender in senders.iter().cycle().take(load.in_flight) {
        workers.spawn_local(work(
            sender.clone(),
            request.clone(),
            body.clone(),
            Rc::clone(&run),
            Rc::clone(&news),
        ));
    }
    let mut arrivals = match load.pace {
        Pace::Closed => None,
        Pace::Open { rate } => Some(Arrivals::new(start, rate)),
    };
    loop {
        interrupt::check()?;
        let now = Instant::now();
        let step = {
            let mut run = run.borrow_mut();
            if let Some(arrivals) = arrivals.as_mut().filter(|_| run.tally.asks()) {
                while let Some(due) = arrivals.due(now) {
                    run.waiting.push_back(due);
                    news.notify_one();
                }
            }
            let left = run.in_flight + run.waiting.len();
            run.tally.step(now, left)
        };
        match step {
            Step::On => {}
            Step::Edge => edge()?,
            Step::Over => break,
        }
        // Comes back after the sockets were looked at: this loop never sleeps.
        yield_now().await;
    }
    workers.shutdown().await;
    drop(owners);
    match Rc::try_unwrap(run) {
        Ok(run) => Ok(run.into_inner().tally.finish()),
        Err(_) => bail!("a client of the load did not end"),
    }
}

/// One request after the other; ends with the run.
async fn work(
    sender: SendRequest<Bytes>,
    request: Request<()>,
    body: Bytes,
    run: Rc<RefCell<Run>>,
    news: Rc<Notify>,
) {
    loop {
        let due = {
            let mut run = run.borrow_mut();
            let due = match run.closed_loop {
                true => run.tally.asks().then(Instant::now),
                false => run.waiting.pop_front(),
            };
            run.in_flight += usize::from(due.is_some());
            due
        };
        let Some(due) = due else {
            news.notified().await;
            continue;
        };
        let answered = ask(sender.clone(), &request, &body).await;
        let failed = {
            let mut run = run.borrow_mut();
            run.in_flight -= 1;
            match &answered {
                Ok(()) => run.tally.done(due, Instant::now()),
                Err(why) => drop(run.tally.error(why)),
            }
            answered.is_err()
        };
        if failed {
            // A connection that is lost fails at once, each time: leave time to everything else.
            yield_now().await;
        }
    }
}

/// A connection, and the task that drives it for as long as its owner lives.
async fn connect(target: SocketAddr) -> Result<(SendRequest<Bytes>, JoinSet<()>)> {
    let stream = TcpStream::connect(target)
        .await
        .with_context(|| format!("cannot connect to {target}"))?;
    stream.set_nodelay(true)?;
    let (sender, connection) = h2::client::Builder::new()
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .handshake(stream)
        .await?;
    let mut owner = JoinSet::new();
    // What ends a connection early shows in its requests.
    owner.spawn_local(async move { drop(connection.await) });
    Ok((sender, owner))
}

async fn ask(sender: SendRequest<Bytes>, request: &Request<()>, expected: &Bytes) -> Result<(), String> {
    let broken = |error: h2::Error| format!("a request failed: {error}");
    let mut sender = sender.ready().await.map_err(broken)?;
    let (answer, _) = sender.send_request(request.clone(), true).map_err(broken)?;
    let answer = answer.await.map_err(broken)?;
    if answer.status() != 200 {
        return Err(format!(
            "an answer is not 200: {} {:?}",
            answer.status(),
            answer.headers()
        ));
    }
    let mut body = answer.into_body();
    let mut left: &[u8] = expected;
    while let Some(piece) = body.data().await {
        let piece = piece.map_err(broken)?;
        body.flow_control()
            .release_capacity(piece.len())
            .map_err(broken)?;
        left = left
            .strip_prefix(&piece[..])
            .ok_or("the body of an answer is not the backend's")?;
    }
    if left.is_empty() {
        Ok(())
    } else {
        Err(format!("an answer lacks {} bytes", left.len()))
    }
}

async fn serve(door: TcpListener, body: Bytes) {
    loop {
        match door.accept().await {
            Ok((stream, _)) => {
                let _ = stream.set_nodelay(true);
                // It ends with its connection, or with the thread's tasks.
                spawn_local(serve_one(stream, body.clone()));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// Serves a connection by what its first bytes are; how it ends shows at the client.
async fn serve_one(stream: TcpStream, body: Bytes) {
    let mut first = [0; PREFACE.len()];
    let count = stream.peek(&mut first).await.unwrap_or(0);
    let first = first.get(..count).unwrap_or_default();
    if PREFACE.starts_with(first) {
        drop(serve_http2(stream, body).await);
    } else {
        drop(serve_http1(stream, &body).await);
    }
}

async fn serve_http2(stream: TcpStream, body: Bytes) -> Result<(), h2::Error> {
    let mut connection = h2::server::Builder::new()
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_concurrent_streams(1024)
        .handshake(stream)
        .await?;
    while let Some(next) = connection.accept().await {
        let (_, mut respond) = next?;
        let answer = Response::builder()
            .header("content-type", "text/plain")
            .header("content-length", body.len())
            .body(());
        let Ok(answer) = answer else { break };
        let mut sender = respond.send_response(answer, false)?;
        sender.send_data(body.clone(), true)?;
    }
    Ok(())
}

async fn serve_http1(mut stream: TcpStream, body: &[u8]) -> std::io::Result<()> {
    let Service::Http(answer) = Service::http(body) else {
        return Ok(());
    };
    let mut held = Vec::new();
    loop {
        if stream.read_buf(&mut held).await? == 0 || held.len() > 64 * 1024 {
            return Ok(());
        }
        while let Some(end) = memchr::memmem::find(&held, b"\r\n\r\n") {
            held.drain(..end + 4);
            stream.write_all(&answer).await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{Sockets, body};

    fn run(http2: &mut Http2, pace: Pace) -> Outcome {
        let load = Load {
            target: http2.backend(),
            in_flight: 32,
            pace,
            warmup: Duration::from_millis(20),
            window: Duration::from_millis(200),
        };
        let mut edges = 0;
        let mut edge = || {
            edges += 1;
            Ok(())
        };
        let outcome = http2.run(&load, &mut edge).unwrap();
        assert_eq!(edges, 2);
        outcome
    }

    #[test]
    fn a_closed_and_an_open_loop_reach_the_backend_without_errors() {
        let mut http2 = Http2::new("a.mesh", &body(200)).unwrap();

        let closed = run(&mut http2, Pace::Closed);
        assert_eq!((closed.errors, closed.first_error), (0, None));
        assert!(closed.done > 50);

        let open = run(&mut http2, Pace::Open { rate: 1000.0 });
        assert_eq!((open.errors, open.first_error), (0, None));
        assert!((100..400).contains(&open.latencies.len()), "{:?}", open.latencies);
    }

    #[test]
    fn another_body_is_an_error() {
        let mut http2 = Http2::new("a.mesh", &body(200)).unwrap();
        http2.body = Bytes::from_static(b"something else");

        let outcome = run(&mut http2, Pace::Closed);

        assert!(outcome.errors > 0 && outcome.done == 0);
        assert!(outcome.first_error.unwrap().contains("not the backend's"));
    }

    #[test]
    fn the_backend_speaks_http_1_to_those_who_do() {
        let http2 = Http2::new("a.mesh", &body(200)).unwrap();
        let backend = http2.backend();
        let client = std::thread::spawn(move || {
            let mut http1 = Sockets::http("a.mesh", body(200)).unwrap();
            http1.first_answer(backend, Instant::now() + Duration::from_secs(10), &mut || Ok(()))
        });

        http2.tasks.block_on(&http2.runtime, async {
            while !client.is_finished() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });

        client.join().unwrap().unwrap();
    }
}
