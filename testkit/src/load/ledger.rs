//! The ledger: what was sent, what came back for it, and by whom.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::post;
use crate::backend::Post;

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
    /// POST requests, each with whether it was answered.
    posts: HashMap<u64, bool>,
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
    /// Ids that were answered more than once, and after [`Tally::settle`] also POSTs that came more than once.
    pub doubled: u64,
    /// Why, for the first that failed.
    pub reasons: Vec<String>,
    /// Every good answer to a request, and every stream that was opened, in order of arrival.
    pub answers: Vec<Answer>,
    /// POST requests sent.
    pub posts: u64,
    sent_posts: HashMap<u64, bool>,
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

    /// Compares the POSTs with what all backends together saw: one that came twice is doubled; one that was answered
    /// and never came, or that came with another body, has failed.
    pub fn settle(&mut self, seen: &[Post]) {
        let found = post::compare(&self.sent_posts, seen);
        self.doubled += found.doubled;
        self.failed += found.wrong.len() as u64;
        self.reasons.extend(found.wrong.into_iter().take(REASONS_KEPT));
    }
}

impl Ledger {
    /// Opens a line for a new HTTP request, which its id may make a POST, and gives that.
    pub(crate) fn open_request(&self) -> u64 {
        let id = self.open();
        if post::is_post(id) {
            self.with(|book| book.posts.insert(id, false));
        }
        id
    }

    /// Opens a line for a new message and gives its id.
    pub(crate) fn open(&self) -> u64 {
        self.with(|book| book.sent += 1);
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// The request `id` was answered with its own id.
    pub(crate) fn answered(&self, id: u64, answer: Option<Answer>) {
        self.with(|book| {
            *book.answered.entry(id).or_default() += 1;
            if let Some(answered) = book.posts.get_mut(&id) {
                *answered = true;
            }
            book.answers.extend(answer);
        });
    }

    /// A stream was opened to `served_by`.
    pub(crate) fn opened(&self, answer: Answer) {
        self.with(|book| book.answers.push(answer));
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

    /// The last `count` answers, the newest first.
    pub fn latest(&self, count: usize) -> Vec<Answer> {
        self.with(|book| book.answers.iter().rev().take(count).cloned().collect())
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
                posts: book.posts.len() as u64,
                sent_posts: book.posts.clone(),
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
