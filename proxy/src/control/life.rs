//! The proxy's life as others see it: starting, live, draining.

use std::sync::Arc;

use tokio::sync::watch;

/// What the process is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Not ready yet, and why: `waiting for the first configuration from 127.0.0.1:15010`.
    Starting(String),
    /// Serving a whole configuration.
    Live,
    /// Finishing what is in flight, taking nothing new.
    Draining,
}

/// The process's state, set by the control thread and by whoever stops the process. Draining is final.
#[derive(Debug)]
pub struct Life {
    state: watch::Sender<State>,
    quit: watch::Sender<bool>,
}

impl Life {
    /// A life that starts.
    pub fn new(waiting_for: impl Into<String>) -> Arc<Life> {
        let state = watch::Sender::new(State::Starting(waiting_for.into()));
        Arc::new(Life {
            state,
            quit: watch::Sender::new(false),
        })
    }

    /// The state of the moment.
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Tells of every change of state.
    pub fn watch(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// Says what is still waited for; does nothing once live.
    pub fn waiting_for(&self, reason: impl Into<String>) {
        let reason = State::Starting(reason.into());
        self.change(
            |state| matches!(state, State::Starting(_)) && *state != reason,
            reason.clone(),
        );
    }

    /// The first whole configuration is in force.
    pub fn live(&self) {
        self.change(|state| matches!(state, State::Starting(_)), State::Live);
    }

    /// Nothing new is taken from now on.
    pub fn drain(&self) {
        self.change(|state| *state != State::Draining, State::Draining);
    }

    /// Asks the process to end, as `/quitquitquit` does.
    pub fn quit(&self) {
        self.quit.send_replace(true);
    }

    /// Ends when somebody has asked the process to end.
    pub async fn quit_asked(&self) {
        let mut quit = self.quit.subscribe();
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = quit.wait_for(|asked| *asked).await;
    }

    fn change(&self, when: impl Fn(&State) -> bool, to: State) {
        self.state.send_if_modified(|state| {
            let changes = when(state);
            if changes {
                *state = to;
            }
            changes
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_life_goes_forward_only() {
        let life = Life::new("a");
        life.waiting_for("b");
        assert_eq!(life.state(), State::Starting("b".to_owned()));
        life.live();
        life.waiting_for("c");
        assert_eq!(life.state(), State::Live);
        life.drain();
        life.live();
        assert_eq!(life.state(), State::Draining);
        life.quit();
        life.quit_asked().await;
    }
}
