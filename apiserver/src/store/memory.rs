//! A store in memory: proves the seam, and serves where sled's own files are not wanted. It begins empty at every
//! start, and is filled from snapshot and journal.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Batch, Store, StoreError};

/// Envelopes in a map.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    applied: u64,
    envelopes: BTreeMap<String, Bytes>,
}

impl Store for Memory {
    fn engine(&self) -> &'static str {
        "memory"
    }

    fn applied(&self) -> Result<u64, StoreError> {
        Ok(self.applied)
    }

    fn load(&self, visit: &mut dyn FnMut(&str, Bytes)) -> Result<(), StoreError> {
        self.envelopes
            .iter()
            .for_each(|(key, envelope)| visit(key, envelope.clone()));
        Ok(())
    }

    fn apply(&mut self, batch: &Batch) -> Result<(), StoreError> {
        for (key, envelope) in &batch.changes {
            match envelope {
                Some(envelope) => drop(self.envelopes.insert(key.clone(), envelope.clone())),
                None => drop(self.envelopes.remove(key)),
            }
        }
        self.applied = batch.applied;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
}
