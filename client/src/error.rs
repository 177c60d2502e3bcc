//! Why a call to the config API failed, sorted by whose fault it is.

use crate::status::{Cause, Status};

/// A failed call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The version asked for is no longer in the server's history: list again and watch from there.
    #[error("version {after} is no longer in the api server's history; list again")]
    Expired {
        /// Version that the caller wanted to resume after.
        after: u64,
    },
    /// The server understood the call and refused it.
    #[error("{message}")]
    Status {
        /// HTTP status code.
        code: u16,
        /// Machine-readable reason, such as `AlreadyExists` or `Conflict`.
        reason: String,
        /// What the server says.
        message: String,
        /// Every single thing that is wrong; may be empty.
        causes: Vec<Cause>,
    },
    /// No answer came.
    #[error("cannot reach the api server at {address}: {reason}{}", hint(reason))]
    Unreachable {
        /// Base URL, or `in process`.
        address: String,
        /// What the network says.
        reason: String,
    },
    /// An answer came that is not the config API's.
    #[error("the answer of {address} is not the config api's: {reason}; is this address the api server's?")]
    Garbled {
        /// URL that was asked.
        address: String,
        /// What was wrong with the answer.
        reason: String,
    },
    /// No object can have this name, so nothing was asked.
    #[error("{name:?} is not the name of an object: lower case letters, digits, '-' and '.' are")]
    BadName {
        /// What was given, of an object or its namespace.
        name: String,
    },
    /// The address given for the server cannot be used.
    #[error("api server address {address:?} cannot be used: {reason}; write it like http://127.0.0.1:8080")]
    BadAddress {
        /// The text that was given.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl ClientError {
    /// True when the object, or the kind, does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, ClientError::Status { code: 404, .. })
    }

    /// True when a create met an object of that name.
    pub fn is_already_exists(&self) -> bool {
        matches!(self, ClientError::Status { code: 409, reason, .. } if reason == "AlreadyExists")
    }

    /// True when a compare-and-set lost: read the object again and decide anew.
    pub fn is_conflict(&self) -> bool {
        matches!(self, ClientError::Status { code: 409, reason, .. } if reason == "Conflict")
    }
}

impl From<Status> for ClientError {
    fn from(status: Status) -> Self {
        ClientError::Status {
            code: status.code,
            reason: status.reason,
            message: status.message,
            causes: status.details.causes,
        }
    }
}

/// An error with everything that caused it, outermost first, each part once, as one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let part = inner.to_string();
        if !text.contains(&part) {
            text.push_str(": ");
            text.push_str(&part);
        }
        cause = inner.source();
    }
    text
}

/// What lies at the bottom of an error, for one of a library of which only that is of interest: a refused connection,
/// say, without the layers that it came through.
pub fn root(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

fn hint(reason: &str) -> &'static str {
    if reason.contains("refused") {
        "; is `outrigger serve` running there?"
    } else if reason.contains("InvalidContentType") {
        "; does the server speak https?"
    } else if reason.contains("invalid HTTP version") {
        "; is that the port of the config API? (8080 unless set)"
    } else if reason.contains("no records found") {
        "; is the host's name right?"
    } else {
        ""
    }
}
