//! The table in force: swapped whole by the control thread, looked at by workers between requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::Table;

/// The table in force. One a process.
#[derive(Debug)]
pub struct Current {
    table: ArcSwap<Table>,
    serial: AtomicU64,
    changes: watch::Sender<u64>,
}

impl Current {
    /// Starts with `table`, often `Table::default()`.
    pub fn new(table: Table) -> Arc<Current> {
        let serial = table.serial;
        Arc::new(Current {
            table: ArcSwap::from_pointee(table),
            serial: AtomicU64::new(serial),
            changes: watch::Sender::new(serial),
        })
    }

    /// Puts `table` in force and wakes those that watch [`changes`](Current::changes).
    pub fn swap(&self, table: Arc<Table>) {
        let serial = table.serial;
        self.table.store(table);
        self.serial.store(serial, Ordering::Release);
        self.changes.send_replace(serial);
    }

    /// The table in force, for threads that serve no requests.
    pub fn load(&self) -> Arc<Table> {
        self.table.load_full()
    }

    /// Serial number of the table in force.
    pub fn serial(&self) -> u64 {
        self.serial.load(Ordering::Acquire)
    }

    /// Tells of each new serial, so that an idle worker lets go of the old table and of removed endpoints.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// A worker's own handle.
    pub fn reader(self: &Arc<Self>) -> Reader {
        Reader {
            table: self.load(),
            current: Arc::clone(self),
        }
    }
}

/// A worker's handle: costs one load of an integer a request as long as nothing changed.
#[derive(Clone, Debug)]
pub struct Reader {
    current: Arc<Current>,
    table: Arc<Table>,
}

impl Reader {
    /// The newest table. A request keeps the one it started with.
    pub fn table(&mut self) -> &Arc<Table> {
        if self.current.serial() != self.table.serial {
            self.table = self.current.load();
        }
        &self.table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_sees_a_swap_at_its_next_look() {
        let current = Current::new(Table::default());
        let changes = current.changes();
        let mut reader = current.reader();
        assert_eq!(reader.table().serial, 0);
        current.swap(Arc::new(Table {
            serial: 1,
            ..Table::default()
        }));
        assert_eq!(reader.table().serial, 1);
        assert!(changes.has_changed().expect("the sender lives"));
    }
}
