//! The control plane as the control thread sees it: updates to judge, names to ask for.

use std::collections::BTreeSet;

use outrigger_xds::TypeUrl;
use outrigger_xds::client::{self, Client, Handle, Ticket, Update, Verdict};
use tokio::sync::watch;

use super::config::Config;

/// The control plane, as far as this thread knows.
pub(super) struct Server {
    client: Client,
    handle: Handle,
    state: watch::Receiver<client::ConnectionState>,
    subscribed: [BTreeSet<String>; 2],
}

/// What the control plane says.
pub(super) enum Event {
    /// Resources to be judged.
    Update(Update),
    /// The connection came or went.
    Connection(client::ConnectionState),
    /// The client's task has died.
    Lost,
}

impl Server {
    /// The server behind `client`.
    pub(super) fn new(client: Client) -> Server {
        let (handle, state) = (client.handle(), client.state());
        Server {
            client,
            handle,
            state,
            subscribed: Default::default(),
        }
    }

    /// Asks for what the configuration needs.
    pub(super) async fn subscribe(&mut self, config: &Config) {
        for (kind, subscribed) in [TypeUrl::Endpoint, TypeUrl::Route]
            .into_iter()
            .zip(&mut self.subscribed)
        {
            let names = config.interest(kind);
            if names != *subscribed {
                subscribed.clone_from(&names);
                self.handle.subscribe(kind, names).await;
            }
        }
    }

    /// Tells the server what became of an update.
    pub(super) async fn judge(&self, ticket: Ticket, verdict: Verdict) {
        // A client that is gone has said so by `Event::Lost`.
        let _ = self.handle.judge(ticket, verdict).await;
    }

    /// Asks for listeners again that were refused and stand now.
    pub(super) async fn again(&self, listeners: Vec<String>) {
        let _ = self.handle.again(TypeUrl::Listener, listeners).await;
    }

    /// What to add to a reason for waiting.
    pub(super) fn trouble(&self) -> String {
        let state = self.state.borrow();
        match &state.last_error {
            Some(error) if !state.connected => format!(" from {}: {error}", state.target),
            _ => format!(" from {}", state.target),
        }
    }
}

/// The next thing that the control plane says; never, without one.
pub(super) async fn next(server: &mut Option<Server>) -> Event {
    let Some(server) = server else {
        return std::future::pending().await;
    };
    tokio::select! {
        update = server.client.next() => update.map_or(Event::Lost, Event::Update),
        Ok(()) = server.state.changed() => Event::Connection(server.state.borrow_and_update().clone()),
    }
}
