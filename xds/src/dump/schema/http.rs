//! The HTTP connection manager, its router, and the HTTP options of both sides.

use super::Kind::{Any, Choice, Duration, Flag, Sub, Text, Whole, WrappedFlag, WrappedWhole};
use super::core::{ACCESS_LOG, CONFIG_SOURCE, PERCENT, STRING_MATCHER, TYPED_EXTENSION_CONFIG};
use super::route::{REQUEST_MIRROR_POLICY, RETRY_POLICY, ROUTE_CONFIGURATION};
use super::{Message, many, one};

/// `envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager`.
pub(in crate::dump) static HTTP_CONNECTION_MANAGER: Message = Message(&[
    one(
        1,
        "codec_type",
        Choice(&[(0, "AUTO"), (1, "HTTP1"), (2, "HTTP2"), (3, "HTTP3")]),
    ),
    one(2, "stat_prefix", Text),
    one(3, "rds", Sub(&RDS)),
    one(4, "route_config", Sub(&ROUTE_CONFIGURATION)),
    many(5, "http_filters", Sub(&HTTP_FILTER)),
    one(6, "add_user_agent", WrappedFlag),
    one(8, "http_protocol_options", Sub(&HTTP1_OPTIONS)),
    one(9, "http2_protocol_options", Sub(&HTTP2_OPTIONS)),
    one(10, "server_name", Text),
    one(12, "drain_timeout", Duration),
    many(13, "access_log", Sub(&ACCESS_LOG)),
    one(14, "use_remote_address", WrappedFlag),
    one(15, "generate_request_id", WrappedFlag),
    one(
        16,
        "forward_client_cert_details",
        Choice(&[
            (0, "SANITIZE"),
            (1, "FORWARD_ONLY"),
            (2, "APPEND_FORWARD"),
            (3, "SANITIZE_SET"),
            (4, "ALWAYS_FORWARD_ONLY"),
        ]),
    ),
    one(18, "proxy_100_continue", Flag),
    one(19, "xff_num_trusted_hops", Whole),
    one(20, "represent_ipv4_remote_address_as_ipv4_mapped_ipv6", Flag),
    one(21, "skip_xff_append", Flag),
    one(22, "via", Text),
    many(23, "upgrade_configs", Sub(&UPGRADE_CONFIG)),
    one(24, "stream_idle_timeout", Duration),
    one(26, "delayed_close_timeout", Duration),
    one(28, "request_timeout", Duration),
    one(29, "max_request_headers_kb", WrappedWhole),
    one(30, "normalize_path", WrappedFlag),
    one(32, "preserve_external_request_id", Flag),
    one(33, "merge_slashes", Flag),
    one(
        34,
        "server_header_transformation",
        Choice(&[(0, "OVERWRITE"), (1, "APPEND_IF_ABSENT"), (2, "PASS_THROUGH")]),
    ),
    one(35, "common_http_protocol_options", Sub(&COMMON_HTTP_OPTIONS)),
    one(37, "always_set_request_id_in_response", Flag),
    one(39, "strip_matching_host_port", Flag),
    one(40, "stream_error_on_invalid_http_message", WrappedFlag),
    one(41, "request_headers_timeout", Duration),
    one(42, "strip_any_host_port", Flag),
    one(
        45,
        "path_with_escaped_slashes_action",
        Choice(&[
            (0, "IMPLEMENTATION_SPECIFIC_DEFAULT"),
            (1, "KEEP_UNCHANGED"),
            (2, "REJECT_REQUEST"),
            (3, "UNESCAPE_AND_REDIRECT"),
            (4, "UNESCAPE_AND_FORWARD"),
        ]),
    ),
    many(
        46,
        "original_ip_detection_extensions",
        Sub(&TYPED_EXTENSION_CONFIG),
    ),
    one(47, "strip_trailing_host_dot", Flag),
    one(50, "typed_header_validation_config", Sub(&TYPED_EXTENSION_CONFIG)),
    one(51, "append_x_forwarded_port", Flag),
    many(
        52,
        "early_header_mutation_extensions",
        Sub(&TYPED_EXTENSION_CONFIG),
    ),
    one(53, "add_proxy_protocol_connection_state", WrappedFlag),
    one(54, "access_log_flush_interval", Duration),
    one(55, "flush_access_log_on_new_request", Flag),
    one(57, "append_local_overload", Flag),
    one(58, "http1_safe_max_connection_duration", Flag),
    one(59, "stream_flush_timeout", Duration),
    one(62, "drain_timeout_jitter", Sub(&PERCENT)),
]);

/// `envoy.extensions.filters.network.http_connection_manager.v3.Rds`.
pub(in crate::dump) static RDS: Message = Message(&[
    one(1, "config_source", Sub(&CONFIG_SOURCE)),
    one(2, "route_config_name", Text),
]);

/// `envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter`.
pub(in crate::dump) static HTTP_FILTER: Message = Message(&[
    one(1, "name", Text),
    one(4, "typed_config", Any),
    one(6, "is_optional", Flag),
    one(7, "disabled", Flag),
]);

/// `envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.UpgradeConfig`.
pub(in crate::dump) static UPGRADE_CONFIG: Message = Message(&[
    one(1, "upgrade_type", Text),
    many(2, "filters", Sub(&HTTP_FILTER)),
    one(3, "enabled", WrappedFlag),
]);

/// `envoy.extensions.filters.http.router.v3.Router`.
pub(in crate::dump) static ROUTER: Message = Message(&[
    one(1, "dynamic_stats", WrappedFlag),
    one(2, "start_child_span", Flag),
    many(3, "upstream_log", Sub(&ACCESS_LOG)),
    one(4, "suppress_envoy_headers", Flag),
    many(5, "strict_check_headers", Text),
    one(6, "respect_expected_rq_timeout", Flag),
    one(7, "suppress_grpc_request_failure_code_stats", Flag),
    many(8, "upstream_http_filters", Sub(&HTTP_FILTER)),
    one(10, "reject_connect_request_early_data", WrappedFlag),
]);

/// `envoy.extensions.upstreams.http.v3.HttpProtocolOptions`.
pub(in crate::dump) static UPSTREAM_HTTP_OPTIONS: Message = Message(&[
    one(1, "common_http_protocol_options", Sub(&COMMON_HTTP_OPTIONS)),
    one(3, "explicit_http_config", Sub(&EXPLICIT_HTTP_CONFIG)),
    many(6, "http_filters", Sub(&HTTP_FILTER)),
    one(7, "header_validation_config", Sub(&TYPED_EXTENSION_CONFIG)),
    many(9, "request_mirror_policies", Sub(&REQUEST_MIRROR_POLICY)),
    one(11, "retry_policy", Sub(&RETRY_POLICY)),
]);

/// `envoy.extensions.upstreams.http.v3.HttpProtocolOptions.ExplicitHttpConfig`.
pub(in crate::dump) static EXPLICIT_HTTP_CONFIG: Message = Message(&[
    one(1, "http_protocol_options", Sub(&HTTP1_OPTIONS)),
    one(2, "http2_protocol_options", Sub(&HTTP2_OPTIONS)),
]);

/// `envoy.config.core.v3.HttpProtocolOptions`.
pub(in crate::dump) static COMMON_HTTP_OPTIONS: Message = Message(&[
    one(1, "idle_timeout", Duration),
    one(2, "max_headers_count", WrappedWhole),
    one(3, "max_connection_duration", Duration),
    one(4, "max_stream_duration", Duration),
    one(
        5,
        "headers_with_underscores_action",
        Choice(&[(0, "ALLOW"), (1, "REJECT_REQUEST"), (2, "DROP_HEADER")]),
    ),
    one(6, "max_requests_per_connection", WrappedWhole),
    one(7, "max_response_headers_kb", WrappedWhole),
    one(8, "max_connection_duration_jitter", Sub(&PERCENT)),
]);

/// `envoy.config.core.v3.Http1ProtocolOptions`.
pub(in crate::dump) static HTTP1_OPTIONS: Message = Message(&[
    one(1, "allow_absolute_url", WrappedFlag),
    one(2, "accept_http_10", Flag),
    one(3, "default_host_for_http_10", Text),
    one(5, "enable_trailers", Flag),
    one(6, "allow_chunked_length", Flag),
    one(7, "override_stream_error_on_invalid_http_message", WrappedFlag),
    one(8, "send_fully_qualified_url", Flag),
    one(9, "use_balsa_parser", WrappedFlag),
    one(10, "allow_custom_methods", Flag),
    many(11, "ignore_http_11_upgrade", Sub(&STRING_MATCHER)),
]);

/// `envoy.config.core.v3.Http2ProtocolOptions`.
pub(in crate::dump) static HTTP2_OPTIONS: Message = Message(&[
    one(1, "hpack_table_size", WrappedWhole),
    one(2, "max_concurrent_streams", WrappedWhole),
    one(3, "initial_stream_window_size", WrappedWhole),
    one(4, "initial_connection_window_size", WrappedWhole),
    one(5, "allow_connect", Flag),
    one(6, "allow_metadata", Flag),
    one(7, "max_outbound_frames", WrappedWhole),
    one(8, "max_outbound_control_frames", WrappedWhole),
    one(
        9,
        "max_consecutive_inbound_frames_with_empty_payload",
        WrappedWhole,
    ),
    one(10, "max_inbound_priority_frames_per_stream", WrappedWhole),
    one(
        11,
        "max_inbound_window_update_frames_per_data_frame_sent",
        WrappedWhole,
    ),
    one(12, "stream_error_on_invalid_http_messaging", Flag),
    one(14, "override_stream_error_on_invalid_http_message", WrappedFlag),
    one(16, "use_oghttp2_codec", WrappedFlag),
    one(17, "max_metadata_size", WrappedWhole),
    one(18, "enable_huffman_encoding", WrappedFlag),
    one(19, "max_header_field_size_kb", WrappedWhole),
    one(20, "disallow_obs_text", WrappedFlag),
    one(21, "stream_reset_burst", WrappedWhole),
    one(22, "stream_reset_rate", WrappedWhole),
]);
