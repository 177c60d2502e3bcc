//! The store on sled 0.34, with its settings and its faults kept inside this file (`spec/crates.md` §3).
//!
//! One tree: `o/KEY` holds envelopes, `m/applied` the version they stand at, and a batch of both is atomic. sled may
//! panic on files that were damaged, so opening and reading catch panics and report them as errors.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::thread;
use std::time::Duration;

use bytes::Bytes;

use super::{Batch, Store, StoreError};

/// Memory that sled may use for its cache, in bytes; its own default of 1 GiB is not for a sidecar's neighbour.
const CACHE: u64 = 64 << 20;
/// What sled says when another handle has its files.
const LOCKED: &str = "could not acquire lock";
/// Attempts to get the lock of a store that was just closed, and the time between two.
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(20);
const OBJECTS: &str = "o/";
const APPLIED: &str = "m/applied";

/// Envelopes in a sled tree.
pub(crate) struct Tree {
    db: sled::Db,
    /// A write failed: what sled still holds may never reach the disk.
    broken: bool,
}

impl Tree {
    /// Opens, or creates, the tree in a directory of its own.
    pub(crate) fn open(directory: &Path) -> Result<Self, StoreError> {
        // Durability is the journal's: sled is flushed by its owner, before the journal is trimmed.
        let settings = sled::Config::new()
            .cache_capacity(CACHE)
            .flush_every_ms(None)
            .use_compression(false)
            .path(directory);
        let mut tries = 0;
        let db = loop {
            match guarded("open its files", || settings.open()) {
                // Threads of one that was just closed hold its lock a moment longer; it is no damage.
                Err(error) if tries < LOCK_TRIES && error.reason.contains(LOCKED) => {
                    tries += 1;
                    thread::sleep(LOCK_PAUSE);
                }
                outcome => break outcome?,
            }
        };
        Ok(Tree { db, broken: false })
    }

    /// Keeps in mind whether sled failed.
    fn noted(&mut self, outcome: Result<(), StoreError>) -> Result<(), StoreError> {
        self.broken |= outcome.is_err();
        outcome
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        if self.broken {
            // sled flushes when its last handle goes, and after a failed write, as on a full disk, it waits there for
            // ever. So one handle stays: the journal has everything, and a new store takes the place of this one.
            std::mem::forget(self.db.clone());
        }
    }
}

impl Store for Tree {
    fn engine(&self) -> &'static str {
        "sled"
    }

    fn applied(&self) -> Result<u64, StoreError> {
        let value = guarded("read", || self.db.get(APPLIED))?;
        Ok(value.and_then(|bytes| unseal(&bytes)).unwrap_or(0))
    }

    fn load(&self, visit: &mut dyn FnMut(&str, Bytes)) -> Result<(), StoreError> {
        guarded("read", || {
            for entry in self.db.scan_prefix(OBJECTS) {
                let (key, value) = entry?;
                match std::str::from_utf8(&key).map(|key| key.strip_prefix(OBJECTS).unwrap_or(key)) {
                    Ok(key) => visit(key, Bytes::copy_from_slice(&value)),
                    Err(_) => tracing::warn!(?key, "passed over a key in the store that is no text"),
                }
            }
            Ok(())
        })
    }

    fn apply(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let mut sled = sled::Batch::default();
        for (key, envelope) in &batch.changes {
            let key = format!("{OBJECTS}{key}");
            match envelope {
                Some(envelope) => sled.insert(key.as_bytes(), envelope.as_ref()),
                None => sled.remove(key.as_bytes()),
            }
        }
        sled.insert(APPLIED, seal(batch.applied).as_slice());
        let outcome = guarded("write", || self.db.apply_batch(sled));
        self.noted(outcome)
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        let outcome = guarded("flush", || self.db.flush().map(drop));
        self.noted(outcome)
    }
}

/// The version with its checksum: a flipped bit here would otherwise look like changes that the journal lost.
fn seal(version: u64) -> Vec<u8> {
    let version = version.to_be_bytes();
    [version.as_slice(), &crc32c::crc32c(&version).to_be_bytes()].concat()
}

fn unseal(bytes: &[u8]) -> Option<u64> {
    let (version, crc) = bytes.split_first_chunk::<8>()?;
    (crc == crc32c::crc32c(version).to_be_bytes()).then(|| u64::from_be_bytes(*version))
}

fn guarded<T>(what: &'static str, work: impl FnOnce() -> sled::Result<T>) -> Result<T, StoreError> {
    let failed = |reason: String| StoreError {
        engine: "sled",
        what,
        reason,
    };
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(outcome) => outcome.map_err(|error| failed(error.to_string())),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("no reason given");
            Err(failed(format!("the engine gave up: {text}")))
        }
    }
}
