//! HTTP/2 receive windows: how many bytes the other end may send ahead of what was taken.
//!
//! A body is taken no sooner than its reader takes it, so a reader that stalls leaves a whole stream window in the
//! connection's. A connection window of as many stream windows as there are streams keeps those that stall from
//! holding up the others (`docs/decisions/0012-http2-windows.md`).

/// Streams that a pool puts on one connection before it opens another.
pub(crate) const SHARED_BY: u32 = 32;

/// What one connection is allowed, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Windows {
    /// For the body of each stream.
    pub(crate) stream: u32,
    /// For all streams together, which bounds what a connection costs.
    pub(crate) connection: u32,
}

/// A connection between members of the mesh, or to an application: it carries the bodies of many that know nothing
/// of each other.
pub(crate) const MESH: Windows = Windows {
    stream: 256 * 1024,
    connection: SHARED_BY * 256 * 1024,
};

/// A stranger's connection: all streams are his own, so only he waits when he leaves some unread
/// (`spec/reliability.md` §3).
pub(crate) const STRANGER: Windows = Windows {
    stream: 64 * 1024,
    connection: 1024 * 1024,
};
