//! The messages that a dump shows: field numbers, names and kinds, as in Envoy v3.
//!
//! What is left out (see the tables) shows up as a number under `@not_shown` when it is set.

mod cluster;
mod core;
mod http;
mod listener;
mod route;

/// A message: its fields by number.
pub(super) struct Message(pub(super) &'static [Field]);

/// A field of a message.
pub(super) struct Field {
    pub(super) tag: u32,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) many: bool,
}

/// How the bytes of a field read.
pub(super) enum Kind {
    /// A string.
    Text,
    /// A boolean.
    Flag,
    /// An integer of any width; negative ones as two's complement.
    Whole,
    /// A 64-bit float.
    Real,
    /// Bytes.
    Data,
    /// An enumeration: numbers and names.
    Choice(&'static [(i64, &'static str)]),
    /// A message.
    Sub(&'static Message),
    /// `google.protobuf.Duration`.
    Duration,
    /// `google.protobuf.BoolValue`.
    WrappedFlag,
    /// `google.protobuf.UInt32Value` or `UInt64Value`.
    WrappedWhole,
    /// `google.protobuf.Any`.
    Any,
    /// `google.protobuf.Struct`.
    Struct,
    /// A map from strings.
    Map(&'static Kind),
}

/// The message with this full name, if it is one that a dump opens.
pub(super) fn message(full_name: &str) -> Option<&'static Message> {
    let known = match full_name {
        "envoy.config.cluster.v3.Cluster" => &cluster::CLUSTER,
        "envoy.config.endpoint.v3.ClusterLoadAssignment" => &cluster::CLUSTER_LOAD_ASSIGNMENT,
        "envoy.config.listener.v3.Listener" => &listener::LISTENER,
        "envoy.config.route.v3.RouteConfiguration" => &route::ROUTE_CONFIGURATION,
        "envoy.config.route.v3.VirtualHost" => &route::VIRTUAL_HOST,
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager" => {
            &http::HTTP_CONNECTION_MANAGER
        }
        "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy" => &listener::TCP_PROXY,
        "envoy.extensions.filters.http.router.v3.Router" => &http::ROUTER,
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions" => &http::UPSTREAM_HTTP_OPTIONS,
        "envoy.extensions.access_loggers.file.v3.FileAccessLog" => &core::FILE_ACCESS_LOG,
        "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog" => &core::STDOUT_ACCESS_LOG,
        _ => return None,
    };
    Some(known)
}

const fn one(tag: u32, name: &'static str, kind: Kind) -> Field {
    Field {
        tag,
        name,
        kind,
        many: false,
    }
}

const fn many(tag: u32, name: &'static str, kind: Kind) -> Field {
    Field {
        tag,
        name,
        kind,
        many: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_has_its_numbers_in_order_and_its_names_once() {
        fn check(message: &Message, depth: usize) {
            let tags: Vec<u32> = message.0.iter().map(|field| field.tag).collect();
            assert!(tags.is_sorted_by(|one, next| one < next), "{tags:?}");
            let mut names: Vec<&str> = message.0.iter().map(|field| field.name).collect();
            names.sort_unstable();
            assert!(names.is_sorted_by(|one, next| one < next), "{names:?}");
            for field in message.0.iter().filter(|_| depth > 0) {
                if let Kind::Sub(inner) = &field.kind {
                    check(inner, depth - 1);
                }
            }
        }
        for kind in crate::TypeUrl::ALL {
            if let Some(table) = message(kind.message()) {
                check(table, 4);
            }
        }
    }
}
