//! Servers that others wrote, behind the same proxy: what hyper and nginx make of the requests that the proxy passes on.
//!
//! Each must count exactly the requests that the proxy's log has for it. One that finds more or others in the same bytes
//! has been smuggled a request to.

mod hyper_server;
mod nginx;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::Result;

use hyper_server::HyperServer;
use nginx::Nginx;

/// Where nginx stands; it cannot be given port 0.
const NGINX: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(127, 0, 44, 2)), 8080);

/// A request as a server or the log names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Named {
    pub(super) method: String,
    /// Its `x-request-id`.
    pub(super) id: String,
}

impl fmt::Display for Named {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.method, self.id)
    }
}

/// What a server counted.
#[derive(Debug, Default)]
pub(super) struct Counted {
    /// Requests that it read.
    pub(super) read: Vec<Named>,
    /// Requests that it does not serve, such as one with a method that it does not know: counted, without a name.
    pub(super) unread: usize,
    /// Bytes that it took for something else, and why.
    pub(super) garbage: Vec<String>,
}

/// Both servers, running.
pub(super) struct Receivers {
    hyper: HyperServer,
    nginx: Nginx,
}

impl Receivers {
    /// Starts them, with nginx's files in `folder`.
    pub(super) async fn start(folder: &Path) -> Result<Receivers> {
        Ok(Receivers {
            hyper: HyperServer::start().await?,
            nginx: Nginx::start(NGINX, folder)?,
        })
    }

    /// Where hyper and nginx listen.
    pub(super) fn addresses(&self) -> [SocketAddr; 2] {
        [self.hyper.address, NGINX]
    }

    /// What each counted, once the proxy has stopped.
    pub(super) async fn finish(self) -> Result<[Counted; 2]> {
        Ok([self.hyper.finish().await?, self.nginx.finish()?])
    }
}

/// One server's count against the log's.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Account {
    /// What the corpus promises.
    pub(super) expected: usize,
    pub(super) logged: usize,
    pub(super) arrived: usize,
    /// What the server saw and the log does not have.
    pub(super) smuggled: Vec<String>,
}

impl Account {
    /// As many, and no other ones.
    pub(super) fn holds(&self) -> bool {
        self.expected == self.logged && self.arrived == self.logged && self.smuggled.is_empty()
    }
}

/// Compares what the log sent to a server with what that counted, and with how many there should be.
pub(super) fn account(expected: usize, logged: &[Named], counted: &Counted) -> Account {
    let mut open: BTreeMap<&Named, usize> = BTreeMap::new();
    for request in logged {
        *open.entry(request).or_default() += 1;
    }
    let mut smuggled = counted.garbage.clone();
    for request in &counted.read {
        match open.get_mut(request) {
            Some(left @ 1..) => *left -= 1,
            _ => smuggled.push(request.to_string()),
        }
    }
    Account {
        expected,
        logged: logged.len(),
        arrived: counted.read.len() + counted.unread,
        smuggled,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(ids: &[&str]) -> Vec<Named> {
        let named = |id: &&str| Named {
            method: "GET".into(),
            id: (*id).into(),
        };
        ids.iter().map(named).collect()
    }

    fn counted(ids: &[&str], unread: usize) -> Counted {
        Counted {
            read: named(ids),
            unread,
            garbage: Vec::new(),
        }
    }

    #[test]
    fn a_server_counts_what_the_log_has_in_any_order() {
        assert!(account(2, &named(&["1", "2"]), &counted(&["2", "1"], 0)).holds());
        assert!(account(2, &named(&["1", "2"]), &counted(&["2"], 1)).holds());
    }

    #[test]
    fn one_more_one_less_or_another_one_does_not_hold() {
        let logged = named(&["1", "2"]);

        assert!(!account(2, &logged, &counted(&["1"], 0)).holds());
        assert!(!account(3, &logged, &counted(&["1", "2"], 0)).holds());
        assert_eq!(
            account(2, &logged, &counted(&["1", "2", "-"], 0)).smuggled,
            ["GET -"]
        );
        assert_eq!(account(2, &logged, &counted(&["1", "1"], 0)).smuggled, ["GET 1"]);
        let mut garbled = counted(&["1", "2"], 0);
        garbled.garbage.push("no request".into());
        assert!(!account(2, &logged, &garbled).holds());
    }
}
