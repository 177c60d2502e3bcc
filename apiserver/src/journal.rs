//! The journal: where a write becomes durable, and the truth that everything else is rebuilt from.
//!
//! A directory of segments `journal-VERSION.log`, named by the version of their first record. Appending writes all
//! records of a batch, asks the disk once, and only then returns. A failed write or flush is never trusted again: the
//! segment is cut back to what was durable before, and the next batch goes into a new file. Every step of that repair may
//! fail as well and is begun anew with the next batch, so that writing goes on by itself once the disk takes data again.

pub(crate) mod change;
pub(crate) mod record;
pub(crate) mod segment;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use segment::{Named, Segment, Tail};

/// Size beyond which a segment is closed and a new one begun, in bytes.
const SEGMENT_SIZE: u64 = 8 << 20;

/// The journal, open for appending. One thread owns it.
#[derive(Debug)]
pub(crate) struct Journal {
    directory: PathBuf,
    /// The directory itself, held open so that its entries can be flushed without a descriptor to spare.
    entries: File,
    /// Closed segments, oldest first.
    sealed: Vec<Named>,
    active: Option<Active>,
    segment_size: u64,
    /// Batches flushed since the journal was opened.
    pub(crate) flushes: u64,
    /// Bytes written since the journal was opened.
    pub(crate) bytes: u64,
}

#[derive(Debug)]
struct Active {
    first: u64,
    path: PathBuf,
    file: File,
    /// Length up to which the disk has confirmed everything.
    durable: u64,
    /// A write or flush failed: `durable` holds, what is behind it does not. While that is 0, the file's name may not be
    /// on disk either.
    broken: bool,
}

/// The disk did not take a batch; nothing of it is acknowledged.
#[derive(Debug, thiserror::Error)]
#[error(
    "journal {path}: cannot {what}: {reason}; free space in {directory} or repair the disk, then try again"
)]
pub(crate) struct JournalError {
    what: &'static str,
    path: PathBuf,
    directory: PathBuf,
    reason: io::Error,
}

impl Journal {
    /// Takes over the segments of the directory: older ones that nobody needs to read, and those that were read. The last
    /// one is appended to, without the tail that is no whole record.
    pub(crate) fn resume(
        directory: &Path,
        unread: &[Named],
        segments: &[Segment],
    ) -> Result<Self, JournalError> {
        let entries = File::open(directory).map_err(|reason| JournalError {
            what: "open",
            path: directory.to_owned(),
            directory: directory.to_owned(),
            reason,
        })?;
        let mut journal = Journal {
            directory: directory.to_owned(),
            entries,
            sealed: unread
                .iter()
                .chain(segments.iter().map(|segment| &segment.file))
                .cloned()
                .collect(),
            active: None,
            segment_size: SEGMENT_SIZE,
            flushes: 0,
            bytes: 0,
        };
        if let Some(last) = segments.last() {
            let Named { first, path } = last.file.clone();
            let file = journal.step("open", &path, OpenOptions::new().append(true).open(&path))?;
            if last.tail != Tail::None {
                journal.step("cut the torn tail of", &path, file.set_len(last.whole_length))?;
                journal.step("flush", &path, file.sync_all())?;
            }
            journal.sealed.pop();
            journal.active = Some(Active {
                first,
                path,
                file,
                durable: last.whole_length,
                broken: false,
            });
        }
        Ok(journal)
    }

    /// Writes a batch of framed records whose first has version `first`, and returns once the disk has it.
    pub(crate) fn append(&mut self, first: u64, framed: &[u8]) -> Result<(), JournalError> {
        let active = self.writable(first)?;
        let path = active.path.clone();
        let outcome = active.file.write_all(framed).map_err(|error| ("write", error));
        let outcome = outcome.and_then(|()| active.file.sync_data().map_err(|error| ("flush", error)));
        match outcome {
            Ok(()) => {
                active.durable += framed.len() as u64;
                self.flushes += 1;
                self.bytes += framed.len() as u64;
                Ok(())
            }
            Err((what, error)) => {
                active.broken = true;
                self.step(what, &path, Err(error))
            }
        }
    }

    /// Removes segments of which every record has a version at or below `version`.
    pub(crate) fn trim(&mut self, version: u64) -> Result<usize, JournalError> {
        let sealed = self.sealed.iter().map(|sealed| sealed.first);
        let firsts = sealed.chain(self.active.as_ref().map(|active| active.first));
        let obsolete = segment::covered(firsts, version);
        let mut removed = 0;
        while removed < obsolete
            && let Some(oldest) = self.sealed.first()
        {
            self.step("remove", &oldest.path, remove(&oldest.path))?;
            self.sealed.remove(0);
            removed += 1;
        }
        if obsolete > 0 {
            self.flush_directory()?;
        }
        Ok(removed)
    }

    /// Closes the active segment, so that a later [`Journal::trim`] can remove it.
    pub(crate) fn seal(&mut self) {
        if let Some(active) = self.active.take_if(|active| active.durable > 0 && !active.broken) {
            self.sealed.push(Named {
                first: active.first,
                path: active.path,
            });
        }
    }

    fn writable(&mut self, first: u64) -> Result<&mut Active, JournalError> {
        if self.active.as_ref().is_some_and(|active| active.broken) {
            self.repair()?;
        }
        if self
            .active
            .as_ref()
            .is_some_and(|active| active.durable >= self.segment_size)
        {
            self.seal();
        }
        let active = match self.active.take() {
            Some(active) => active,
            None => self.begin(first)?,
        };
        Ok(self.active.insert(active))
    }

    /// Makes a new segment. When the disk does not take its name, it is left behind as a broken one: a flush that failed
    /// cannot be trusted when it is merely repeated, so the next attempt makes the file anew.
    fn begin(&mut self, first: u64) -> Result<Active, JournalError> {
        let path = segment::path(&self.directory, first);
        let file = self.step(
            "create",
            &path,
            OpenOptions::new().append(true).create_new(true).open(&path),
        )?;
        let active = Active {
            first,
            path,
            file,
            durable: 0,
            broken: false,
        };
        if let Err(error) = self.flush_directory() {
            self.active = Some(Active {
                broken: true,
                ..active
            });
            return Err(error);
        }
        Ok(active)
    }

    /// Cuts a broken segment back to what was durable and closes it; one without anything durable is removed, for the
    /// next batch begins a file of the same name.
    fn repair(&mut self) -> Result<(), JournalError> {
        let Some(active) = &self.active else { return Ok(()) };
        let (path, durable) = (active.path.clone(), active.durable);
        if durable == 0 {
            self.step("remove", &path, remove(&path))?;
        } else {
            let file = self.step("open", &path, OpenOptions::new().write(true).open(&path))?;
            self.step("cut back", &path, file.set_len(durable))?;
            self.step("flush", &path, file.sync_all())?;
        }
        tracing::warn!(path = %path.display(), length = durable, "journal repaired after a failed write");
        if let Some(active) = self.active.take().filter(|_| durable > 0) {
            self.sealed.push(Named {
                first: active.first,
                path,
            });
        }
        Ok(())
    }

    fn flush_directory(&self) -> Result<(), JournalError> {
        self.step("flush the directory of", &self.directory, self.entries.sync_all())
    }

    fn step<T>(&self, what: &'static str, path: &Path, outcome: io::Result<T>) -> Result<T, JournalError> {
        outcome.map_err(|reason| JournalError {
            what,
            path: path.to_owned(),
            directory: self.directory.clone(),
            reason,
        })
    }
}

/// Removes a file; one that is gone already is no error, so that a repair can be taken up where it failed.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests;
