//! Answers of the proxy's own: a status, a response flag, and a sentence that says why.

use std::fmt;

use http::StatusCode;

/// What went wrong with a request, in Envoy's letters, so that its users can read our logs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Flag {
    /// Nothing did.
    #[default]
    None,
    /// The client's message broke the protocol.
    DownstreamProtocolError,
    /// The client went away.
    DownstreamGone,
    /// No virtual host or route is for it.
    NoRoute,
    /// The route names a cluster that is not there.
    NoCluster,
    /// The cluster has no endpoint that may be used.
    NoHealthyUpstream,
    /// No connection to the upstream came about.
    UpstreamConnectFailure,
    /// The upstream closed its connection.
    UpstreamClosed,
    /// The upstream reset the stream.
    UpstreamReset,
    /// A circuit breaker is open.
    UpstreamOverflow,
    /// The upstream's message broke the protocol.
    UpstreamProtocolError,
    /// The route's time ran out.
    UpstreamTimeout,
    /// Nothing moved for too long.
    StreamIdle,
    /// A request did not arrive in time.
    RequestTimeout,
    /// The proxy has too little memory left.
    Overload,
}

impl Flag {
    /// The letters; `-` for none.
    pub(crate) fn letters(self) -> &'static str {
        match self {
            Flag::None => "-",
            Flag::DownstreamProtocolError => "DPE",
            Flag::DownstreamGone => "DC",
            Flag::NoRoute => "NR",
            Flag::NoCluster => "NC",
            Flag::NoHealthyUpstream => "UH",
            Flag::UpstreamConnectFailure => "UF",
            Flag::UpstreamClosed => "UC",
            Flag::UpstreamReset => "UR",
            Flag::UpstreamOverflow => "UO",
            Flag::UpstreamProtocolError => "UPE",
            Flag::UpstreamTimeout => "UT",
            Flag::StreamIdle => "SI",
            Flag::RequestTimeout => "RT",
            Flag::Overload => "OM",
        }
    }
}

/// Name of the header that carries the reason of an answer of our own.
pub(crate) const REASON: &str = "x-outrigger-reason";

/// An answer that no upstream gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) flag: Flag,
    /// One sentence; names the route, cluster or policy.
    pub(crate) why: String,
}

impl Reply {
    pub(crate) fn new(status: StatusCode, flag: Flag, why: impl fmt::Display) -> Reply {
        Reply {
            status,
            flag,
            why: why.to_string(),
        }
    }

    /// The value of the reason header.
    pub(crate) fn reason(&self) -> String {
        let mut reason = format!("{} {}", self.flag.letters(), self.why);
        // Names of hosts and routes come from outside; a header holds visible characters only.
        reason.retain(|character| character == ' ' || character.is_ascii_graphic());
        reason
    }

    /// The body of the answer.
    pub(crate) fn body(&self) -> String {
        format!("{}\n", self.why)
    }
}
