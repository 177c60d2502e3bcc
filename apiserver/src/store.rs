//! The seam behind which the indexed state is kept: sled in a server, a map in memory for tests.
//!
//! The journal is the truth; a store is its image on disk, compared with it at every start and rebuilt where it
//! differs. So a store may lose its latest batches in a crash, but it must apply each batch wholly or not at all.

pub(crate) mod envelope;
pub(crate) mod memory;
pub(crate) mod tree;

use bytes::Bytes;

/// Keeps envelopes by key. One thread owns it. No type of the engine crosses this trait.
pub(crate) trait Store: Send {
    /// Name of the engine, for logs.
    fn engine(&self) -> &'static str;

    /// Version up to which all changes have been applied; 0 for a new store.
    ///
    /// # Errors
    /// When the engine cannot read.
    fn applied(&self) -> Result<u64, StoreError>;

    /// Hands every key with its raw envelope to `visit`, in the order of keys.
    ///
    /// # Errors
    /// When the engine cannot read on; what was visited before is valid.
    fn load(&self, visit: &mut dyn FnMut(&str, Bytes)) -> Result<(), StoreError>;

    /// Applies a batch wholly or not at all. It need not be on disk yet when this returns.
    ///
    /// # Errors
    /// When the engine cannot write.
    fn apply(&mut self, batch: &Batch) -> Result<(), StoreError>;

    /// Returns once everything applied is on disk.
    ///
    /// # Errors
    /// When the engine or the disk cannot.
    fn flush(&mut self) -> Result<(), StoreError>;
}

/// Changes that belong together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Batch {
    /// Version of the last change in it.
    pub(crate) applied: u64,
    /// New envelope by key, or `None` where the key is removed. A later entry for a key wins.
    pub(crate) changes: Vec<(String, Option<Bytes>)>,
}

/// The engine failed. The journal still has everything.
#[derive(Debug, thiserror::Error)]
#[error("store ({engine}) cannot {what}: {reason}")]
pub struct StoreError {
    /// Name of the engine.
    pub engine: &'static str,
    /// What was tried.
    pub what: &'static str,
    /// What the engine says.
    pub reason: String,
}

#[cfg(test)]
mod tests;
