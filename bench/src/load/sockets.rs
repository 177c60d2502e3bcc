//! HTTP/1.1 and TCP: client and backend connections on one epoll, one read and one write a message.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::fd::{AsFd, OwnedFd};
use slab::Slab;

use super::answer::{Answer, Expected};
use super::pace::Arrivals;
use super::served::{Served, Service, Waits};
use super::tally::{Outcome, Step, Tally};
use super::{ATTEMPT, Generator, Load, Pace};
use crate::interrupt;

/// Events taken at once.
const EVENTS: usize = 256;
/// Read at once; larger than any answer.
const SCRATCH: usize = 64 * 1024;
/// Failed requests after which a run is given up.
const TOO_MANY_ERRORS: u64 = 1000;

/// What a client sends, and what it expects.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    bytes: Arc<[u8]>,
    expected: Expected,
}

/// Client and backend connections of one thread.
pub(crate) struct Sockets {
    epoll: OwnedFd,
    entries: Slab<Entry>,
    events: Vec<epoll::Event>,
    scratch: Vec<u8>,
    question: Question,
    backend: SocketAddr,
}

#[derive(Debug)]
enum Entry {
    Door(TcpListener, Service),
    Served(Served),
    Asking(Asking),
}

#[derive(Debug)]
struct Asking {
    stream: TcpStream,
    answer: Answer,
    /// When the request in flight was due; `None` while there is none.
    due: Option<Instant>,
}

impl Sockets {
    /// An HTTP/1.1 backend with this body, and clients that ask for it as `host`.
    pub(crate) fn http(host: &str, body: Arc<[u8]>) -> Result<Sockets> {
        let request = format!(
            "GET /items/7 HTTP/1.1\r\nHost: {host}\r\nUser-Agent: outrigger-bench\r\nAccept: */*\r\n\r\n"
        );
        let service = Service::http(&body);
        let question = Question {
            bytes: request.into_bytes().into(),
            expected: Expected::Http(body),
        };
        Sockets::new(service, question)
    }

    /// A TCP echo, and clients that send this message.
    pub(crate) fn echo(message: Arc<[u8]>) -> Result<Sockets> {
        let question = Question {
            bytes: Arc::clone(&message),
            expected: Expected::Bytes(message),
        };
        Sockets::new(Service::Echo, question)
    }

    fn new(service: Service, question: Question) -> Result<Sockets> {
        let door = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen on 127.0.0.1")?;
        door.set_nonblocking(true)?;
        let mut sockets = Sockets {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC).context("cannot make an epoll")?,
            entries: Slab::new(),
            events: Vec::with_capacity(EVENTS),
            scratch: vec![0; SCRATCH],
            question,
            backend: door.local_addr()?,
        };
        sockets.insert(Entry::Door(door, service))?;
        Ok(sockets)
    }

    /// Where the backend listens.
    pub(crate) fn backend(&self) -> SocketAddr {
        self.backend
    }

    fn insert(&mut self, entry: Entry) -> io::Result<usize> {
        let slot = self.entries.vacant_entry();
        let key = slot.key();
        let entry = slot.insert(entry);
        let data = epoll::EventData::new_u64(key as u64);
        epoll::add(&self.epoll, entry.socket(), data, epoll::EventFlags::IN)?;
        Ok(key)
    }

    fn connect(&mut self, target: SocketAddr) -> Result<usize> {
        let stream = TcpStream::connect_timeout(&target, Duration::from_secs(1))
            .with_context(|| format!("cannot connect to {target}"))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(self.insert(Entry::Asking(Asking {
            stream,
            answer: Answer::default(),
            due: None,
        }))?)
    }

    /// Sends the question on a connection without one.
    fn ask(&mut self, key: usize, due: Instant) -> Result<(), String> {
        let Some(Entry::Asking(asking)) = self.entries.get_mut(key) else {
            return Err("a connection is gone".to_owned());
        };
        asking.due = Some(due);
        match asking.stream.write(&self.question.bytes) {
            Ok(count) if count == self.question.bytes.len() => Ok(()),
            Ok(count) => Err(format!("only {count} bytes of a request could be sent")),
            Err(error) => Err(format!("a request could not be sent: {error}")),
        }
    }

    /// Takes events in. Backend connections are served; what clients see is given to `seen`, by key: the moment at
    /// which the answered request was due, or what is wrong. A connection with an error is closed.
    fn turn(
        &mut self,
        timeout: Duration,
        seen: &mut Vec<(usize, std::result::Result<Instant, String>)>,
    ) -> Result<()> {
        let timeout = Timespec {
            tv_sec: timeout.as_secs().cast_signed(),
            tv_nsec: timeout.subsec_nanos().into(),
        };
        self.events.clear();
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("cannot wait for events"),
        }
        for index in 0..self.events.len() {
            let Some(event) = self.events.get(index).copied() else {
                break;
            };
            let key = event.data.u64() as usize;
            match self.entries.get_mut(key) {
                None => {}
                Some(Entry::Door(..)) => self.accept(key)?,
                Some(Entry::Served(served)) => match served.ready(&mut self.scratch) {
                    Waits::Gone => drop(self.entries.remove(key)),
                    waits => interest(&self.epoll, served.stream(), key, event.flags, waits)?,
                },
                Some(Entry::Asking(asking)) => match asking.ready(&mut self.scratch, &self.question.expected)
                {
                    Ok(None) => {}
                    Ok(Some(due)) => seen.push((key, Ok(due))),
                    Err(why) => {
                        self.entries.remove(key);
                        seen.push((key, Err(why)));
                    }
                },
            }
        }
        Ok(())
    }

    fn accept(&mut self, key: usize) -> Result<()> {
        loop {
            let Some(Entry::Door(door, service)) = self.entries.get(key) else {
                return Ok(());
            };
            match door.accept() {
                Ok((stream, _)) => {
                    let service = service.clone();
                    stream.set_nodelay(true)?;
                    stream.set_nonblocking(true)?;
                    self.insert(Entry::Served(Served::new(stream, service)))?;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("the backend cannot accept a connection"),
            }
        }
    }

    fn close_clients(&mut self) {
        self.entries.retain(|_, entry| !matches!(entry, Entry::Asking(_)));
    }

    /// One request on a connection of its own.
    fn try_once(&mut self, target: SocketAddr, deadline: Instant) -> Result<Instant> {
        let key = self.connect(target)?;
        let mut seen = Vec::new();
        self.ask(key, Instant::now()).map_err(anyhow::Error::msg)?;
        while seen.is_empty() {
            interrupt::check()?;
            if Instant::now() > deadline {
                bail!("no answer within {ATTEMPT:?}");
            }
            self.turn(Duration::from_millis(1), &mut seen)?;
        }
        let now = Instant::now();
        match seen.pop() {
            Some((_, Err(why))) => bail!(why),
            _ => Ok(now),
        }
    }

    fn drive(&mut self, load: &Load, edge: &mut dyn FnMut() -> Result<()>) -> Result<Outcome> {
        let mut idle = Vec::with_capacity(load.in_flight);
        for _ in 0..load.in_flight {
            idle.push(self.connect(load.target)?);
        }
        let start = Instant::now();
        let mut tally = Tally::new(load, start);
        let mut arrivals = match load.pace {
            Pace::Closed => None,
            Pace::Open { rate } => Some(Arrivals::new(start, rate)),
        };
        let mut waiting: VecDeque<Instant> = VecDeque::new();
        let mut seen = Vec::with_capacity(EVENTS);
        loop {
            interrupt::check()?;
            let now = Instant::now();
            if tally.asks() {
                match &mut arrivals {
                    None => waiting.extend(std::iter::repeat_n(now, idle.len())),
                    Some(arrivals) => waiting.extend(std::iter::from_fn(|| arrivals.due(now))),
                }
            }
            while let Some(key) = idle.pop() {
                let Some(due) = waiting.pop_front() else {
                    idle.push(key);
                    break;
                };
                if let Err(why) = self.ask(key, due) {
                    tally.error(&why);
                    self.entries.try_remove(key);
                    idle.insert(0, self.connect(load.target)?);
                }
            }
            match tally.step(now, load.in_flight - idle.len() + waiting.len()) {
                Step::On => {}
                Step::Edge => edge()?,
                Step::Over => return Ok(tally.finish()),
            }
            self.turn(Duration::ZERO, &mut seen)?;
            let now = if seen.is_empty() { now } else { Instant::now() };
            for (key, answered) in seen.drain(..) {
                match answered {
                    Ok(due) => {
                        tally.done(due, now);
                        idle.push(key);
                    }
                    Err(why) => {
                        if tally.error(&why) > TOO_MANY_ERRORS {
                            return Ok(tally.finish());
                        }
                        idle.retain(|known| *known != key);
                        idle.push(self.connect(load.target)?);
                    }
                }
            }
        }
    }
}

impl Generator for Sockets {
    fn first_answer(
        &mut self,
        target: SocketAddr,
        deadline: Instant,
        alive: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Instant> {
        loop {
            let tried = self.try_once(target, Instant::now() + ATTEMPT);
            self.close_clients();
            let why = match tried {
                Ok(moment) => return Ok(moment),
                Err(why) => why,
            };
            interrupt::check()?;
            alive()?;
            if Instant::now() > deadline {
                return Err(why.context("no good answer"));
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    fn run(&mut self, load: &Load, edge: &mut dyn FnMut() -> Result<()>) -> Result<Outcome> {
        let outcome = self.drive(load, edge);
        self.close_clients();
        outcome
    }
}

impl Entry {
    fn socket(&self) -> rustix::fd::BorrowedFd<'_> {
        match self {
            Entry::Door(door, _) => door.as_fd(),
            Entry::Served(served) => served.stream().as_fd(),
            Entry::Asking(asking) => asking.stream.as_fd(),
        }
    }
}

impl Asking {
    /// Reads once; gives the moment at which the request was due when its answer is complete.
    fn ready(&mut self, scratch: &mut [u8], expected: &Expected) -> Result<Option<Instant>, String> {
        let bytes = match self.stream.read(scratch) {
            Ok(0) => return Err("the proxy closed a connection".to_owned()),
            Ok(count) => scratch.get(..count).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(format!("a connection broke: {error}")),
        };
        if self.due.is_none() {
            return Err("an answer came that nobody asked for".to_owned());
        }
        if self.answer.take(bytes, expected)? {
            Ok(self.due.take())
        } else {
            Ok(None)
        }
    }
}

/// Waits for what a connection waits for, where that has changed.
fn interest(
    epoll: &OwnedFd,
    stream: &TcpStream,
    key: usize,
    seen: epoll::EventFlags,
    waits: Waits,
) -> io::Result<()> {
    let wanted = match waits {
        Waits::ToWrite => epoll::EventFlags::OUT,
        Waits::ToRead | Waits::Gone => epoll::EventFlags::IN,
    };
    if seen == wanted {
        return Ok(());
    }
    Ok(epoll::modify(
        epoll,
        stream,
        epoll::EventData::new_u64(key as u64),
        wanted,
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::body;

    fn run(sockets: &mut Sockets, pace: Pace) -> Outcome {
        let load = Load {
            target: sockets.backend(),
            in_flight: 8,
            pace,
            warmup: Duration::from_millis(20),
            window: Duration::from_millis(200),
        };
        let mut edges = 0;
        let mut edge = || {
            edges += 1;
            Ok(())
        };
        let outcome = sockets.run(&load, &mut edge).unwrap();
        assert_eq!(edges, 2);
        outcome
    }

    #[test]
    fn every_kind_of_load_reaches_its_backend_without_errors() {
        for length in [200, 16 * 1024, 300 * 1024] {
            let mut http = Sockets::http("a.mesh", body(length)).unwrap();
            let outcome = run(&mut http, Pace::Closed);
            assert_eq!((outcome.errors, outcome.first_error), (0, None));
            assert!(outcome.done > 20 && outcome.latencies.len() > 20);
        }
        let outcome = run(&mut Sockets::echo(body(200)).unwrap(), Pace::Closed);
        assert_eq!(outcome.first_error, None);
        assert!(outcome.done > 20);
    }

    #[test]
    fn an_open_loop_keeps_its_rate() {
        let mut http = Sockets::http("a.mesh", body(200)).unwrap();

        let outcome = run(&mut http, Pace::Open { rate: 1000.0 });

        assert_eq!(outcome.first_error, None);
        assert!((100..400).contains(&outcome.latencies.len()), "{outcome:?}");
    }

    #[test]
    fn a_backend_with_another_answer_is_an_error() {
        let mut http = Sockets::http("a.mesh", body(200)).unwrap();
        http.question.expected = Expected::Http(body(201));
        let deadline = Instant::now() + Duration::from_millis(50);
        let target = http.backend();

        let why = http.first_answer(target, deadline, &mut || Ok(())).unwrap_err();

        assert!(format!("{why:#}").contains("want 201"), "{why:#}");
    }
}
