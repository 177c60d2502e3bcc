//! The ledger: what was sent, what came back for it, and by whom.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// How many reasons of failure are kept word for word; the rest is counted.
const REASONS_KEPT: usize = 20;

/// One good answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// When its request was sent.
    pub sent: Instant,
    /// Which backend made it.
    pub served_by: String,
}

/// Keeps account of requests by id.
#[derive(Default)]
pub struct Ledger {
    next: AtomicU64,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    sent: u64,
    answered: HashMap<u64, u32>,
    answers: Vec<Answer>,
    failed: u64,
    reasons: Vec<String>,
}

/// The account at one moment.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Requests and messages sent.
    pub sent: u64,
    /// Those with exactly one answer that carried their own id.
    pub answered: u64,
    /// Those that failed, or were never answered.
    pub failed: u64,
    /// Ids that were answered more than once.
    pub doubled: u64,
    /// Why, for the first that failed.
    pub reasons: Vec<String>,
    /// Every good answer to a request, in order of arrival.
    pub answers: Vec<Answer>,
}

impl Tally {
    /// Good answers by backend.
    pub fn by_backend(&self) -> BTreeMap<&str, u64> {
        let mut counts = BTreeMap::new();
        for answer in &self.answers {
            *counts.entry(answer.served_by.as_str()).or_default() += 1;
        }
        counts
    }
}

impl Ledger {
    /// Opens a line for a new request and gives its id.
    pub(crate) fn open(&self) -> u64 {
        self.with(|book| book.sent += 1);
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// The request `id` was answered with its own id.
    pub(crate) fn answered(&self, id: u64, answer: Option<Answer>) {
        self.with(|book| {
            *book.answered.entry(id).or_default() += 1;
            book.answers.extend(answer);
        });
    }

    /// The request `id` failed.
    pub(crate) fn failed(&self, id: u64, reason: impl Into<String>) {
        self.with(|book| {
            book.failed += 1;
            if book.reasons.len() < REASONS_KEPT {
                book.reasons.push(format!("request {id}: {}", reason.into()));
            }
        });
    }

    /// How many have been answered so far.
    pub fn answered_so_far(&self) -> u64 {
        self.with(|book| book.answered.len() as u64)
    }

    /// The account now: whatever has no answer counts as failed.
    pub fn tally(&self) -> Tally {
        self.with(|book| {
            let answered = book.answered.len() as u64;
            Tally {
                sent: book.sent,
                answered,
                failed: book.failed.max(book.sent.saturating_sub(answered)),
                doubled: book.answered.values().filter(|times| **times > 1).count() as u64,
                reasons: book.reasons.clone(),
                answers: book.answers.clone(),
            }
        })
    }

    fn with<T>(&self, act: impl FnOnce(&mut Book) -> T) -> T {
        // A task that panicked while it wrote a number leaves a book that is still worth reading.
        act(&mut self
            .book
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_without_an_answer_has_failed() {
        let ledger = Ledger::default();
        let first = ledger.open();
        ledger.open();
        ledger.answered(first, None);

        let tally = ledger.tally();

        assert_eq!(
            (tally.sent, tally.answered, tally.failed, tally.doubled),
            (2, 1, 1, 0)
        );
    }

    #[test]
    fn an_id_that_is_answered_twice_is_doubled() {
        let ledger = Ledger::default();
        let id = ledger.open();
        ledger.answered(id, None);
        ledger.answered(id, None);

        assert_eq!(ledger.tally().doubled, 1);
    }
}
