//! Listeners, filter chains and the TCP proxy.

use super::Kind::{Any, Choice, Duration, Flag, Sub, Text, Whole, WrappedFlag, WrappedWhole};
use super::core::{ACCESS_LOG, ADDRESS, CIDR_RANGE, METADATA, PERCENT, TRANSPORT_SOCKET};
use super::{Message, many, one};

/// `envoy.config.listener.v3.Listener`.
pub(in crate::dump) static LISTENER: Message = Message(&[
    one(1, "name", Text),
    one(2, "address", Sub(&ADDRESS)),
    many(3, "filter_chains", Sub(&FILTER_CHAIN)),
    one(4, "use_original_dst", WrappedFlag),
    one(5, "per_connection_buffer_limit_bytes", WrappedWhole),
    one(6, "metadata", Sub(&METADATA)),
    one(8, "drain_type", Choice(&[(0, "DEFAULT"), (1, "MODIFY_ONLY")])),
    many(9, "listener_filters", Sub(&LISTENER_FILTER)),
    one(10, "transparent", WrappedFlag),
    one(11, "freebind", WrappedFlag),
    one(12, "tcp_fast_open_queue_length", WrappedWhole),
    one(15, "listener_filters_timeout", Duration),
    one(
        16,
        "traffic_direction",
        Choice(&[(0, "UNSPECIFIED"), (1, "INBOUND"), (2, "OUTBOUND")]),
    ),
    one(17, "continue_on_listener_filters_timeout", Flag),
    one(21, "reuse_port", Flag),
    many(22, "access_log", Sub(&ACCESS_LOG)),
    one(24, "tcp_backlog_size", WrappedWhole),
    one(25, "default_filter_chain", Sub(&FILTER_CHAIN)),
    one(26, "bind_to_port", WrappedFlag),
    one(28, "stat_prefix", Text),
    one(29, "enable_reuse_port", WrappedFlag),
    one(30, "enable_mptcp", Flag),
    one(31, "ignore_global_conn_limit", Flag),
    one(34, "max_connections_to_accept_per_socket_event", WrappedWhole),
    one(35, "bypass_overload_manager", Flag),
    one(38, "per_connection_buffer_high_watermark_timeout", Duration),
]);

/// `envoy.config.listener.v3.FilterChain`.
pub(in crate::dump) static FILTER_CHAIN: Message = Message(&[
    one(1, "filter_chain_match", Sub(&FILTER_CHAIN_MATCH)),
    many(3, "filters", Sub(&FILTER)),
    one(4, "use_proxy_proto", WrappedFlag),
    one(5, "metadata", Sub(&METADATA)),
    one(6, "transport_socket", Sub(&TRANSPORT_SOCKET)),
    one(7, "name", Text),
    one(9, "transport_socket_connect_timeout", Duration),
]);

/// `envoy.config.listener.v3.FilterChainMatch`.
pub(in crate::dump) static FILTER_CHAIN_MATCH: Message = Message(&[
    many(3, "prefix_ranges", Sub(&CIDR_RANGE)),
    one(4, "address_suffix", Text),
    one(5, "suffix_len", WrappedWhole),
    many(6, "source_prefix_ranges", Sub(&CIDR_RANGE)),
    many(7, "source_ports", Whole),
    one(8, "destination_port", WrappedWhole),
    one(9, "transport_protocol", Text),
    many(10, "application_protocols", Text),
    many(11, "server_names", Text),
    one(
        12,
        "source_type",
        Choice(&[(0, "ANY"), (1, "SAME_IP_OR_LOOPBACK"), (2, "EXTERNAL")]),
    ),
    many(13, "direct_source_prefix_ranges", Sub(&CIDR_RANGE)),
]);

/// `envoy.config.listener.v3.Filter`.
pub(in crate::dump) static FILTER: Message = Message(&[one(1, "name", Text), one(4, "typed_config", Any)]);

/// `envoy.config.listener.v3.ListenerFilter`.
pub(in crate::dump) static LISTENER_FILTER: Message =
    Message(&[one(1, "name", Text), one(3, "typed_config", Any)]);

/// `envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy`.
pub(in crate::dump) static TCP_PROXY: Message = Message(&[
    one(1, "stat_prefix", Text),
    one(2, "cluster", Text),
    one(3, "downstream_idle_timeout", Duration),
    one(4, "upstream_idle_timeout", Duration),
    many(5, "access_log", Sub(&ACCESS_LOG)),
    one(7, "max_connect_attempts", WrappedWhole),
    one(8, "idle_timeout", Duration),
    one(9, "metadata_match", Sub(&METADATA)),
    one(10, "weighted_clusters", Sub(&TCP_WEIGHTED_CLUSTER)),
    one(13, "max_downstream_connection_duration", Duration),
    one(15, "access_log_flush_interval", Duration),
    one(16, "flush_access_log_on_connected", Flag),
    one(
        20,
        "max_downstream_connection_duration_jitter_percentage",
        Sub(&PERCENT),
    ),
    one(
        21,
        "upstream_connect_mode",
        Choice(&[
            (0, "IMMEDIATE"),
            (1, "ON_DOWNSTREAM_DATA"),
            (2, "ON_DOWNSTREAM_TLS_HANDSHAKE"),
        ]),
    ),
    one(22, "max_early_data_bytes", WrappedWhole),
    one(
        23,
        "proxy_protocol_tlv_merge_policy",
        Choice(&[
            (0, "ADD_IF_ABSENT"),
            (1, "OVERWRITE_BY_TYPE_IF_EXISTS_OR_ADD"),
            (2, "APPEND_IF_EXISTS_OR_ADD"),
        ]),
    ),
    one(24, "check_drain_close", WrappedFlag),
]);

/// `envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.WeightedCluster`.
pub(in crate::dump) static TCP_WEIGHTED_CLUSTER: Message =
    Message(&[many(1, "clusters", Sub(&TCP_CLUSTER_WEIGHT))]);

/// `envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.WeightedCluster.ClusterWeight`.
pub(in crate::dump) static TCP_CLUSTER_WEIGHT: Message = Message(&[
    one(1, "name", Text),
    one(2, "weight", Whole),
    one(3, "metadata_match", Sub(&METADATA)),
]);
