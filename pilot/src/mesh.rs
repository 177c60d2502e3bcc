//! Settings that hold for the whole mesh and end up in what proxies receive.

use std::time::Duration;

/// The part of the mesh's settings that compilation reads (`spec/pilot.md` §3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeshSettings {
    /// How long a proxy tries to connect to an endpoint. 1 ms to 30 s; default 1 s.
    pub connect_timeout: Duration,
    /// The file to which proxies write their access log, `None` for no log. Default `/dev/stdout`.
    pub access_log: Option<String>,
}

impl Default for MeshSettings {
    fn default() -> Self {
        MeshSettings {
            connect_timeout: Duration::from_secs(1),
            access_log: Some("/dev/stdout".into()),
        }
    }
}
