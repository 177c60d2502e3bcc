//! The access log: a line for each request, as text or JSON, written by a thread of its own.
//!
//! A worker collects its lines and hands them over a few times a second, so that a request costs no system call for its
//! line. When the disk is slower than the traffic, lines are dropped and counted; no request waits for its log.

mod format;

use std::cell::RefCell;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::Notify;

use format::Clock;
pub(crate) use format::{Entry, Headless};

/// Parts of a log that may wait to be written.
const QUEUE: usize = 256;
/// Bytes that a worker collects at most before it hands them over.
const PART: usize = 32 * 1024;
/// How long a line waits for others.
const WAIT: Duration = Duration::from_millis(50);

/// Where the log goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Target {
    /// Nowhere; the default.
    #[default]
    Off,
    /// Standard output.
    Stdout,
    /// Appended to this file, which is made if it is not there.
    File(PathBuf),
}

/// How a line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// Envoy's default format, with the cluster and the route behind it.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The log of the process.
#[derive(Debug)]
pub(crate) struct AccessLog {
    parts: Option<SyncSender<Vec<u8>>>,
    style: Style,
    dropped: Arc<AtomicU64>,
    writer: Option<JoinHandle<()>>,
}

impl AccessLog {
    /// Opens the log and starts its writer.
    ///
    /// # Errors
    /// When the file cannot be opened or the thread not be started.
    pub(crate) fn start(target: &Target, style: Style) -> io::Result<AccessLog> {
        let output: Box<dyn Write + Send> = match target {
            Target::Off => {
                return Ok(AccessLog {
                    parts: None,
                    style,
                    dropped: Arc::default(),
                    writer: None,
                });
            }
            Target::Stdout => Box::new(io::stdout()),
            Target::File(path) => Box::new(OpenOptions::new().create(true).append(true).open(path)?),
        };
        let (parts, received) = sync_channel(QUEUE);
        let writer = std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || write(received, output))?;
        Ok(AccessLog {
            parts: Some(parts),
            style,
            dropped: Arc::default(),
            writer: Some(writer),
        })
    }

    /// A worker's way into the log.
    pub(crate) fn sink(&self) -> Sink {
        Sink {
            parts: self.parts.clone(),
            style: self.style,
            dropped: Arc::clone(&self.dropped),
            lines: RefCell::default(),
            begun: Notify::new(),
        }
    }

    /// Lines that were dropped because the writer could not keep up.
    pub(crate) fn dropped(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.dropped)
    }

    /// Waits until everything handed over is written. Call it when the workers are gone.
    pub(crate) fn finish(mut self) {
        drop(self.parts.take());
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has nothing left to write.
            let _ = writer.join();
        }
    }
}

/// Writes parts until their senders are gone. An error ends only the part it happened in.
fn write(parts: Receiver<Vec<u8>>, mut output: Box<dyn Write + Send>) {
    let mut failing = false;
    for part in parts {
        let written = output.write_all(&part).and_then(|()| output.flush());
        match written {
            Err(error) if !failing => {
                failing = true;
                tracing::warn!(%error, "cannot write the access log; its lines are lost until it can be written again");
            }
            Err(_) => {}
            Ok(()) => failing = false,
        }
    }
}

/// A worker's way into the log.
#[derive(Debug)]
pub(crate) struct Sink {
    parts: Option<SyncSender<Vec<u8>>>,
    style: Style,
    dropped: Arc<AtomicU64>,
    lines: RefCell<Lines>,
    begun: Notify,
}

/// The worker ends: the last lines are waited for, as nobody else needs its time any more.
impl Drop for Sink {
    fn drop(&mut self) {
        let lines = std::mem::take(self.lines.get_mut());
        if let Some(parts) = self.parts.take().filter(|_| lines.count > 0)
            && parts.send(lines.bytes).is_err()
        {
            self.dropped.fetch_add(lines.count, Ordering::Relaxed);
        }
    }
}

#[derive(Debug, Default)]
struct Lines {
    bytes: Vec<u8>,
    count: u64,
    clock: Clock,
}

impl Sink {
    /// True when lines are wanted.
    pub(crate) fn is_on(&self) -> bool {
        self.parts.is_some()
    }

    /// Writes the line of a request.
    pub(crate) fn write(&self, entry: &Entry<'_>) {
        self.add(|bytes, clock| entry.append(bytes, clock, self.style));
    }

    /// Writes the line of what had no request that could be read.
    pub(crate) fn write_headless(&self, headless: &Headless<'_>) {
        self.add(|bytes, clock| headless.append(bytes, clock, self.style));
    }

    fn add(&self, append: impl FnOnce(&mut Vec<u8>, &mut Clock)) {
        let mut lines = self.lines.borrow_mut();
        let Lines { bytes, count, clock } = &mut *lines;
        if bytes.is_empty() {
            self.begun.notify_one();
        }
        append(bytes, clock);
        *count += 1;
        if bytes.len() >= PART {
            self.hand_over(&mut lines);
        }
    }

    /// Hands lines over a little after the first of them came. Runs as a task of the worker.
    pub(crate) async fn attend(&self) {
        while self.is_on() {
            self.begun.notified().await;
            tokio::time::sleep(WAIT).await;
            self.flush();
        }
    }

    /// Hands everything over now.
    pub(crate) fn flush(&self) {
        self.hand_over(&mut self.lines.borrow_mut());
    }

    fn hand_over(&self, lines: &mut Lines) {
        let count = std::mem::take(&mut lines.count);
        let Some(parts) = self.parts.as_ref().filter(|_| count > 0) else {
            return;
        };
        let room = lines.bytes.capacity();
        let part = std::mem::replace(&mut lines.bytes, Vec::with_capacity(room));
        if parts.try_send(part).is_err() {
            self.dropped.fetch_add(count, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_wait_when_their_worker_ends_are_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("access.log");
        let log = AccessLog::start(&Target::File(file.clone()), Style::Text).expect("the file opens");
        let sink = log.sink();
        sink.add(|bytes, _| bytes.extend_from_slice(b"the last request\n"));

        drop(sink);
        log.finish();

        assert_eq!(
            std::fs::read_to_string(file).expect("it is there"),
            "the last request\n"
        );
    }
}
