//! A number that one worker counts and anybody may read.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// A rising number. Only the worker that owns it may add; adding from two threads loses counts.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn inc(&self) {
        self.add(1);
    }

    /// `n` more.
    pub fn add(&self, n: u64) {
        self.0
            .store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    /// The number.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down. Only the worker that owns it may change it.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// One more.
    pub fn inc(&self) {
        self.0.store(self.get() + 1, Ordering::Relaxed);
    }

    /// One less.
    pub fn dec(&self) {
        self.0.store(self.get() - 1, Ordering::Relaxed);
    }

    /// The number.
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}
