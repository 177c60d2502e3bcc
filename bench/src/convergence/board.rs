//! Where all clients write down what they hold, so that one place can say when the last of them holds it.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use memchr::memmem;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::interrupt;

/// What the clients hold.
#[derive(Clone, Debug)]
pub(super) struct Board {
    state: Rc<RefCell<State>>,
    news: Rc<Notify>,
}

#[derive(Debug)]
struct State {
    /// By client: whether it holds everything that there was at first.
    ready: Vec<bool>,
    /// What to look for in what arrives.
    wanted: Vec<u8>,
    /// By client: when it first held what is looked for.
    held: Vec<Option<Instant>>,
    /// Bytes of all resources that arrived.
    bytes: u64,
}

impl Board {
    /// For this many clients.
    pub(super) fn new(clients: usize) -> Board {
        let state = State {
            ready: vec![false; clients],
            wanted: Vec::new(),
            held: vec![None; clients],
            bytes: 0,
        };
        Board {
            state: Rc::new(RefCell::new(state)),
            news: Rc::new(Notify::new()),
        }
    }

    /// A client holds everything that there was at first.
    pub(super) fn ready(&self, client: usize) {
        if let Some(ready) = self.state.borrow_mut().ready.get_mut(client) {
            *ready = true;
        }
        self.news.notify_one();
    }

    /// A client was given a resource.
    pub(super) fn arrived(&self, client: usize, resource: &[u8], now: Instant) {
        let mut state = self.state.borrow_mut();
        state.bytes += resource.len() as u64;
        if state.wanted.is_empty() || memmem::find(resource, &state.wanted).is_none() {
            return;
        }
        if let Some(held) = state.held.get_mut(client) {
            held.get_or_insert(now);
        }
        self.news.notify_one();
    }

    /// From now on, waits for resources with this text in them.
    pub(super) fn look_for(&self, text: &str) {
        let mut state = self.state.borrow_mut();
        state.wanted = text.as_bytes().to_vec();
        state.held.fill(None);
    }

    /// The moment at which the last client became ready; `None` before.
    pub(super) fn everybody_is_ready(&self) -> Option<Instant> {
        self.state
            .borrow()
            .ready
            .iter()
            .all(|ready| *ready)
            .then(Instant::now)
    }

    /// The moment at which the last client held what is looked for; `None` before.
    pub(super) fn everybody_holds_it(&self) -> Option<Instant> {
        let state = self.state.borrow();
        let all: Option<Vec<Instant>> = state.held.iter().copied().collect();
        all?.into_iter().max()
    }

    /// Bytes that arrived since the start or [`Board::forget_bytes`], all clients together.
    pub(super) fn bytes(&self) -> u64 {
        self.state.borrow().bytes
    }

    /// Counts bytes anew.
    pub(super) fn forget_bytes(&self) {
        self.state.borrow_mut().bytes = 0;
    }

    /// Waits until `condition` gives a moment; `what` is for the error when it takes longer than `patience`.
    pub(super) async fn wait(
        &self,
        what: &str,
        patience: Duration,
        condition: impl Fn(&Board) -> Option<Instant>,
    ) -> Result<Instant> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(moment) = condition(self) {
                return Ok(moment);
            }
            interrupt::check()?;
            if Instant::now() > deadline {
                let state = self.state.borrow();
                let ready = state.ready.iter().filter(|ready| **ready).count();
                let held = state.held.iter().flatten().count();
                bail!(
                    "{what}: not everywhere after {patience:?}; of {} clients {ready} are ready and {held} hold it",
                    state.ready.len()
                );
            }
            // Looks again from time to time for Ctrl-C and the deadline.
            let _ = timeout(Duration::from_millis(100), self.news.notified()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_client_decides() {
        let board = Board::new(2);
        let (early, late) = (Instant::now(), Instant::now() + Duration::from_secs(1));
        board.look_for("rule-7");

        board.arrived(0, b"..rule-7..", early);
        board.arrived(0, b"..rule-7..", late + Duration::from_secs(5));
        assert_eq!(board.everybody_holds_it(), None);
        board.arrived(1, b"..rule-6..", early);
        assert_eq!(board.everybody_holds_it(), None);
        board.arrived(1, b"rule-7", late);

        assert_eq!(board.everybody_holds_it(), Some(late));
        board.look_for("rule-8");
        assert_eq!(board.everybody_holds_it(), None);
        assert_eq!(board.bytes(), 36);
    }
}
