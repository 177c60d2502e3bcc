//! Backend connections: an HTTP/1.1 server of one fixed answer, and a TCP echo, as cheap as they can be.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use memchr::memmem;

/// Bytes that may wait to be echoed before nothing more is read.
const LARGEST_ECHO: usize = 1 << 20;
/// Longest request head, bytes.
const LONGEST_HEAD: usize = 16 * 1024;

/// What a backend does.
#[derive(Clone, Debug)]
pub(crate) enum Service {
    /// Answers every request head with these bytes; requests have no body.
    Http(Arc<[u8]>),
    /// Sends back what it gets.
    Echo,
}

impl Service {
    /// An HTTP/1.1 backend whose answers have this body.
    pub(crate) fn http(body: &[u8]) -> Service {
        let mut answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        answer.extend_from_slice(body);
        Service::Http(answer.into())
    }
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waits {
    /// Something to read.
    ToRead,
    /// Room to write.
    ToWrite,
    /// Nothing: the peer is gone.
    Gone,
}

/// A backend connection.
#[derive(Debug)]
pub(crate) struct Served {
    stream: TcpStream,
    service: Service,
    /// An unfinished request head, or bytes to echo.
    held: Vec<u8>,
    /// Answers that are owed.
    owed: usize,
    /// Bytes of the first of them that are written.
    written: usize,
}

impl Served {
    /// Serves a connection that does not block.
    pub(crate) fn new(stream: TcpStream, service: Service) -> Served {
        Served {
            stream,
            service,
            held: Vec::new(),
            owed: 0,
            written: 0,
        }
    }

    /// The socket.
    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Reads once and answers what it can.
    pub(crate) fn ready(&mut self, scratch: &mut [u8]) -> Waits {
        if self.flush() == Waits::ToWrite {
            return Waits::ToWrite;
        }
        let read = match self.stream.read(scratch) {
            Ok(0) => return Waits::Gone,
            Ok(count) => scratch.get(..count).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Waits::ToRead,
            Err(_) => return Waits::Gone,
        };
        match self.service {
            Service::Echo => self.held.extend_from_slice(read),
            Service::Http(_) if self.held.is_empty() && read.ends_with(b"\r\n\r\n") => {
                self.owed += memmem::find_iter(read, b"\r\n\r\n").count();
            }
            Service::Http(_) => {
                self.held.extend_from_slice(read);
                let mut end = 0;
                for found in memmem::find_iter(&self.held, b"\r\n\r\n") {
                    self.owed += 1;
                    end = found + 4;
                }
                self.held.drain(..end);
            }
        }
        if self.held.len()
            > if matches!(self.service, Service::Echo) {
                LARGEST_ECHO
            } else {
                LONGEST_HEAD
            }
        {
            return Waits::Gone;
        }
        self.flush()
    }

    fn flush(&mut self) -> Waits {
        match &self.service {
            Service::Echo => {
                while !self.held.is_empty() {
                    match self.stream.write(&self.held) {
                        Ok(count) => drop(self.held.drain(..count)),
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Waits::ToWrite,
                        Err(_) => return Waits::Gone,
                    }
                }
            }
            Service::Http(answer) => {
                while self.owed > 0 {
                    match self.stream.write(answer.get(self.written..).unwrap_or_default()) {
                        Ok(count) if self.written + count == answer.len() => {
                            self.owed -= 1;
                            self.written = 0;
                        }
                        Ok(count) => self.written += count,
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Waits::ToWrite,
                        Err(_) => return Waits::Gone,
                    }
                }
            }
        }
        Waits::ToRead
    }
}
