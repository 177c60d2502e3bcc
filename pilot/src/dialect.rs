//! The one place that knows which data plane reads the configuration, and what each of them needs besides.

use std::collections::HashMap;

use outrigger_xds::pb::envoy::config::core::v3::Metadata;
use outrigger_xds::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
use outrigger_xds::pb::google::protobuf::value::Kind;
use outrigger_xds::pb::google::protobuf::{BoolValue, Struct, Value};

use crate::re2;

/// Who reads: chosen by the user agent that the node names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dialect {
    /// A stock Envoy, or anything else that speaks xDS.
    Envoy,
    /// Our own proxy.
    Outrigger,
}

impl Dialect {
    /// The dialect of a node whose user agent has this name.
    pub fn of(user_agent: &str) -> Self {
        if user_agent == "outrigger" {
            Dialect::Outrigger
        } else {
            Dialect::Envoy
        }
    }

    /// The name that debug pages show.
    pub fn as_str(self) -> &'static str {
        match self {
            Dialect::Envoy => "envoy",
            Dialect::Outrigger => "outrigger",
        }
    }

    /// True when the reader understands that an endpoint is a sidecar and speaks HTTP/2 to it whatever the
    /// application speaks. Envoy picks a protocol per cluster, so the mark would only be noise to it.
    pub(crate) fn reads_mesh_marks(self) -> bool {
        self == Dialect::Outrigger
    }

    /// Why this reader does not take a pattern as it is meant; `None` when it does. Envoy has RE2, and refuses all routes
    /// of a configuration for one pattern that it does not take.
    pub(crate) fn objection(self, pattern: &str) -> Option<String> {
        match self {
            Dialect::Envoy => re2::difference(pattern).map(|why| {
                format!("a stock Envoy does not take the pattern {pattern:?} as it is meant: {why}")
            }),
            Dialect::Outrigger => None,
        }
    }

    /// The mark on the endpoint of a proven sidecar: `outrigger.mesh {protocol: "h2"}`.
    pub(crate) fn mesh_mark() -> Metadata {
        let protocol = Value {
            kind: Some(Kind::StringValue("h2".into())),
        };
        let fields = std::iter::once(("protocol".to_owned(), protocol)).collect();
        Metadata {
            filter_metadata: HashMap::from([("outrigger.mesh".to_owned(), Struct { fields })]),
            ..Metadata::default()
        }
    }

    /// Adds to an HTTP connection manager what this reader does not do by itself: Envoy normalises paths only
    /// when told to, our proxy always does (`spec/reliability.md` P19).
    pub(crate) fn complete(self, manager: &mut HttpConnectionManager) {
        match self {
            Dialect::Envoy => {
                manager.normalize_path = Some(BoolValue { value: true });
                manager.merge_slashes = true;
            }
            Dialect::Outrigger => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_user_agent_makes_our_dialect() {
        assert_eq!(Dialect::of("outrigger"), Dialect::Outrigger);
        assert_eq!(Dialect::of("envoy"), Dialect::Envoy);
        assert_eq!(Dialect::of(""), Dialect::Envoy);
    }
}
