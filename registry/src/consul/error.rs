//! What can go wrong between here and Consul, each with what to do.

use std::path::PathBuf;
use std::time::Duration;

/// A failure of a query, of the agent's API, or of the settings.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is no URL that we can use.
    #[error(
        "consul address {address:?} is not usable: {reason}; expected http://HOST:PORT or https://HOST:PORT"
    )]
    Address {
        /// As it was given.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file of the settings cannot be used.
    #[error("consul {purpose} file {path}: {reason}")]
    File {
        /// `ca`, `cert`, `key` or `token`.
        purpose: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The HTTP client could not be built.
    #[error("consul client cannot be built: {0}")]
    Setup(String),
    /// No connection, or it broke before the answer was whole.
    #[error("consul at {address} cannot be reached: {reason}")]
    Unreachable {
        /// Base address.
        address: String,
        /// The innermost cause.
        reason: String,
    },
    /// Nothing came in time.
    #[error("consul at {address} did not answer within {} ms", after.as_millis())]
    TimedOut {
        /// Base address.
        address: String,
        /// How long we waited.
        after: Duration,
    },
    /// Consul refused; a 403 is about the token.
    #[error("consul answered {code} to {path}: {message}{}", status_hint(*code))]
    Status {
        /// HTTP status.
        code: u16,
        /// Path of the request, without query.
        path: String,
        /// First line of the body.
        message: String,
    },
    /// The answer is not what Consul answers.
    #[error("answer to {path} is not understood: {reason}")]
    Garbled {
        /// Path of the request, without query.
        path: String,
        /// What was found instead of what.
        reason: String,
    },
    /// The agent answered a fresh question while its cluster had no leader, so it may know nothing yet.
    #[error("consul knows no leader; its answer to {path} is not used")]
    NoLeader {
        /// Path of the request, without query.
        path: String,
    },
    /// The token may see nothing at all.
    #[error("the acl token hides every result of {path}; give one with service:read and node:read")]
    Hidden {
        /// Path of the request, without query.
        path: String,
    },
    /// A registration that Consul would not take.
    #[error("service registration {id:?}: {reason}")]
    Registration {
        /// Its id.
        id: String,
        /// What is wrong with it.
        reason: String,
    },
}

fn status_hint(code: u16) -> &'static str {
    match code {
        403 => "; give a token with service:read and node:read (service:write to register)",
        429 => "; too many connections from this client, lower the number of watches",
        _ => "",
    }
}
