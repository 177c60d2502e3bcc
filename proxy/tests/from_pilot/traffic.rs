//! Backends that say their name, and a client that asks.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

/// A server that answers every request with its name. Its threads end with the process.
pub(crate) fn backend(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            std::thread::spawn(move || answer(connection, name));
        }
    });
    address
}

/// Answers requests without bodies until the peer goes away.
fn answer(mut connection: TcpStream, name: &str) {
    let Ok(reading) = connection.try_clone() else {
        return;
    };
    let mut lines = BufReader::new(reading).lines();
    loop {
        match lines.next() {
            Some(Ok(line)) if line.is_empty() => {
                let length = name.len();
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{name}");
                if connection.write_all(answer.as_bytes()).is_err() {
                    return;
                }
            }
            Some(Ok(_)) => {}
            _ => return,
        }
    }
}

/// Asks once, on a connection of its own: status and body, or what went wrong.
pub(crate) fn ask(address: SocketAddr, host: &str) -> Result<(u16, String), String> {
    let attempt = || -> std::io::Result<String> {
        let mut connection = TcpStream::connect(address)?;
        write!(
            connection,
            "GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = attempt().map_err(|error| error.to_string())?;
    let status = answer.get(9..12).and_then(|status| status.parse().ok());
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    status
        .zip(body)
        .ok_or_else(|| format!("no answer but {answer:?}"))
}

/// A client that asks without pause until it is told to stop.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    thread: JoinHandle<Vec<String>>,
}

impl Load {
    pub(crate) fn start(address: SocketAddr, host: &'static str) -> Load {
        let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&asked));
        let thread = std::thread::spawn(move || {
            let mut failures = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                match ask(address, host) {
                    Ok((200, _)) => {}
                    other => failures.push(format!("{other:?}")),
                }
                count.fetch_add(1, Ordering::Relaxed);
            }
            failures
        });
        Load { stop, asked, thread }
    }

    /// Waits until so many more requests were asked.
    pub(crate) fn pass(&self, requests: usize) {
        let goal = self.asked.load(Ordering::Relaxed) + requests;
        while self.asked.load(Ordering::Relaxed) < goal {
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    }

    /// Stops; what failed.
    pub(crate) fn finish(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the client ended well")
    }
}
