//! The cases of traffic.

use serde::Serialize;

/// One kind of traffic, from client to proxy to backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Case {
    /// HTTP/1.1, answers of 200 bytes.
    H1Small,
    /// HTTP/1.1, answers of 16 KiB.
    H1Large,
    /// HTTP/2 without TLS on both sides, answers of 200 bytes.
    H2c,
    /// Plain TCP, 200 bytes there and back on a connection that stays.
    Tcp,
}

impl Case {
    /// For tables.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Case::H1Small => "h1 200 B",
            Case::H1Large => "h1 16 KiB",
            Case::H2c => "h2c 200 B",
            Case::Tcp => "TCP 200 B",
        }
    }

    /// Bytes of an answer's body.
    pub(crate) fn body(self) -> usize {
        match self {
            Case::H1Small | Case::H2c | Case::Tcp => 200,
            Case::H1Large => 16 * 1024,
        }
    }
}
