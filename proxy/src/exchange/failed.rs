//! What a client is told when its request could not be served.

use std::net::SocketAddr;

use http::StatusCode;

use crate::message::Fault;
use crate::relay::{Failure, Limit};
use crate::reply::{Flag, Reply};
use crate::upstream::connect::ConnectError;

/// The answer when no connection to an endpoint came about.
pub(super) fn not_connected(cluster: &str, endpoint: SocketAddr, error: &ConnectError) -> Reply {
    let flag = match error {
        ConnectError::Overflow { .. } => Flag::UpstreamOverflow,
        ConnectError::Timeout { .. } | ConnectError::Failed(_) => Flag::UpstreamConnectFailure,
    };
    let why = format!("cannot connect to {endpoint} of cluster {cluster}: {error}");
    Reply::new(StatusCode::SERVICE_UNAVAILABLE, flag, why)
}

/// The answer when an exchange with `upstream` failed before an answer began; `None` when the client is gone.
pub(super) fn reply_to(failure: &Failure, upstream: &str, route: &str) -> Option<Reply> {
    let (status, why) = match failure {
        Failure::Client(Fault::Refused(refusal)) => {
            let status = refusal
                .status()
                .and_then(|status| StatusCode::from_u16(status).ok());
            (status.unwrap_or(StatusCode::BAD_REQUEST), refusal.to_string())
        }
        Failure::Client(_) => return None,
        Failure::Upstream(Fault::Refused(refusal)) => (
            StatusCode::BAD_GATEWAY,
            format!("the answer of {upstream} was refused: {refusal}"),
        ),
        Failure::Upstream(Fault::Lost(error)) => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("{upstream} closed the connection before it answered: {error}"),
        ),
        Failure::Upstream(Fault::Reset(reason)) => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("{upstream} reset the stream before it answered: {reason}"),
        ),
        Failure::Upstream(Fault::NotTaken) => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("{upstream} takes no new streams"),
        ),
        Failure::NotSwitched(status) => (
            StatusCode::BAD_GATEWAY,
            format!("{upstream} answered {status} and did not switch to the protocol that was asked for"),
        ),
        Failure::SwitchedElsewhere => (
            StatusCode::BAD_GATEWAY,
            format!("{upstream} switched to another protocol than the one that was asked for"),
        ),
        Failure::Interims => (
            StatusCode::BAD_GATEWAY,
            format!("{upstream} sends interim answers without end"),
        ),
        Failure::Late(Limit::Route(limit)) => (
            StatusCode::GATEWAY_TIMEOUT,
            format!("{upstream} did not answer within {limit:?}, the timeout of route {route:?}"),
        ),
        Failure::Late(Limit::Request(limit)) => (
            StatusCode::REQUEST_TIMEOUT,
            format!("the body of the request did not arrive within {limit:?}"),
        ),
        Failure::Late(Limit::Stalled(limit)) => (
            StatusCode::GATEWAY_TIMEOUT,
            format!("{upstream} took nothing more of the request's body within {limit:?}"),
        ),
        Failure::Late(Limit::Idle(limit)) => (
            StatusCode::GATEWAY_TIMEOUT,
            format!("nothing moved to or from {upstream} for {limit:?}"),
        ),
    };
    Some(Reply::new(status, flag_of(failure), why))
}

/// The letters for a failure.
pub(super) fn flag_of(failure: &Failure) -> Flag {
    match failure {
        Failure::Client(Fault::Refused(_)) => Flag::DownstreamProtocolError,
        Failure::Client(_) => Flag::DownstreamGone,
        Failure::Upstream(Fault::Refused(_))
        | Failure::Interims
        | Failure::NotSwitched(_)
        | Failure::SwitchedElsewhere => Flag::UpstreamProtocolError,
        Failure::Upstream(Fault::Lost(_)) => Flag::UpstreamClosed,
        Failure::Upstream(Fault::Reset(_)) => Flag::UpstreamReset,
        Failure::Upstream(Fault::NotTaken) => Flag::UpstreamConnectFailure,
        Failure::Late(Limit::Route(_)) => Flag::UpstreamTimeout,
        Failure::Late(Limit::Request(_)) => Flag::RequestTimeout,
        Failure::Late(Limit::Stalled(_) | Limit::Idle(_)) => Flag::StreamIdle,
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_failure_has_its_status_its_letters_and_names_who_is_to_blame() {
        let second = Duration::from_secs(1);
        let lost = || Fault::Lost(io::ErrorKind::ConnectionReset.into());
        let cases = [
            (Failure::Upstream(lost()), 503, "UC", "10.0.0.1:9080"),
            (
                Failure::Upstream(Fault::Reset(h2::Reason::CANCEL)),
                503,
                "UR",
                "10.0.0.1:9080",
            ),
            (Failure::Upstream(Fault::NotTaken), 503, "UF", "10.0.0.1:9080"),
            (
                Failure::Upstream(crate::h1::Refusal::StatusLine.into()),
                502,
                "UPE",
                "10.0.0.1:9080",
            ),
            (Failure::Late(Limit::Route(second)), 504, "UT", "canary"),
            (Failure::Late(Limit::Request(second)), 408, "RT", "1s"),
            (Failure::Late(Limit::Stalled(second)), 504, "SI", "cluster a"),
            (Failure::Late(Limit::Idle(second)), 504, "SI", "10.0.0.1:9080"),
        ];
        for (failure, status, letters, names) in cases {
            let reply =
                reply_to(&failure, "10.0.0.1:9080 of cluster a", "canary").expect("the client is there");
            assert_eq!(
                (reply.status.as_u16(), reply.flag.letters()),
                (status, letters),
                "{failure:?}"
            );
            assert!(reply.why.contains(names), "{}", reply.why);
        }
        assert!(reply_to(&Failure::Client(lost()), "a", "b").is_none());
    }
}
