//! What a listener or pool demands of the messages it reads: the limits and the switches of the codec.

/// Where the proxy stands; a gateway faces strangers and is stricter about names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Role {
    /// Beside one application: header names with an underscore pass.
    #[default]
    Sidecar,
    /// At the edge: header names with an underscore are refused, because many servers read `_` as `-`.
    Gateway,
}

/// The demands on every message of a connection. `Default` gives the limits of `spec/reliability.md` §3.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Where the proxy stands.
    pub role: Role,
    /// Whether HTTP/1.0 requests are served; off unless `HTTP10=1`. Responses from upstreams may always be
    /// HTTP/1.0.
    pub http10: bool,
    /// Longest request target in bytes, 8 KiB by default; beyond it 414.
    pub target_bytes: usize,
    /// Largest header section in bytes, line ends included, 60 KiB by default; beyond it 431.
    pub header_bytes: usize,
    /// Largest number of header fields, 100 by default and at most; beyond it 431.
    pub header_count: usize,
    /// Largest trailer section in bytes, line ends included, 16 KiB by default; beyond it 400.
    pub trailer_bytes: usize,
    /// Bytes that the chunk extensions of one body may have together, 4 KiB by default; beyond it 400.
    pub extension_bytes: usize,
}

/// The largest `header_count`, which is also the size of the parser's table on the stack.
pub const MAX_HEADER_COUNT: usize = 100;

impl Default for Rules {
    fn default() -> Self {
        Rules {
            role: Role::Sidecar,
            http10: false,
            target_bytes: 8 * 1024,
            header_bytes: 60 * 1024,
            header_count: MAX_HEADER_COUNT,
            trailer_bytes: 16 * 1024,
            extension_bytes: 4 * 1024,
        }
    }
}
