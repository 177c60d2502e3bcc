//! Route configurations.

use super::Kind::{Any, Choice, Duration, Flag, Map, Sub, Text, Whole, WrappedFlag, WrappedWhole};
use super::core::{
    DATA_SOURCE, HEADER_VALUE_OPTION, INT64_RANGE, METADATA, REGEX_MATCHER, RUNTIME_FRACTIONAL_PERCENT,
    STRING_MATCHER, SUBSTITUTION_FORMAT_STRING, TYPED_EXTENSION_CONFIG,
};
use super::{Message, many, one};

/// `envoy.config.route.v3.RouteConfiguration`.
pub(in crate::dump) static ROUTE_CONFIGURATION: Message = Message(&[
    one(1, "name", Text),
    many(2, "virtual_hosts", Sub(&VIRTUAL_HOST)),
    many(3, "internal_only_headers", Text),
    many(4, "response_headers_to_add", Sub(&HEADER_VALUE_OPTION)),
    many(5, "response_headers_to_remove", Text),
    many(6, "request_headers_to_add", Sub(&HEADER_VALUE_OPTION)),
    one(7, "validate_clusters", WrappedFlag),
    many(8, "request_headers_to_remove", Text),
    one(10, "most_specific_header_mutations_wins", Flag),
    one(11, "max_direct_response_body_size_bytes", WrappedWhole),
    many(13, "request_mirror_policies", Sub(&REQUEST_MIRROR_POLICY)),
    one(14, "ignore_port_in_host_matching", Flag),
    one(15, "ignore_path_parameters_in_path_matching", Flag),
    one(16, "typed_per_filter_config", Map(&Any)),
    one(17, "metadata", Sub(&METADATA)),
    one(18, "vhost_header", Text),
    many(19, "route_specifiers", Sub(&TYPED_EXTENSION_CONFIG)),
]);

/// `envoy.config.route.v3.VirtualHost`.
pub(in crate::dump) static VIRTUAL_HOST: Message = Message(&[
    one(1, "name", Text),
    many(2, "domains", Text),
    many(3, "routes", Sub(&ROUTE)),
    one(
        4,
        "require_tls",
        Choice(&[(0, "NONE"), (1, "EXTERNAL_ONLY"), (2, "ALL")]),
    ),
    many(7, "request_headers_to_add", Sub(&HEADER_VALUE_OPTION)),
    one(8, "cors", Sub(&CORS_POLICY)),
    many(10, "response_headers_to_add", Sub(&HEADER_VALUE_OPTION)),
    many(11, "response_headers_to_remove", Text),
    many(13, "request_headers_to_remove", Text),
    one(14, "include_request_attempt_count", Flag),
    one(15, "typed_per_filter_config", Map(&Any)),
    one(16, "retry_policy", Sub(&RETRY_POLICY)),
    one(18, "per_request_buffer_limit_bytes", WrappedWhole),
    one(19, "include_attempt_count_in_response", Flag),
    one(20, "retry_policy_typed_config", Any),
    many(22, "request_mirror_policies", Sub(&REQUEST_MIRROR_POLICY)),
    one(23, "include_is_timeout_retry_header", Flag),
    one(24, "metadata", Sub(&METADATA)),
    one(25, "request_body_buffer_limit", WrappedWhole),
    many(26, "route_specifiers", Sub(&TYPED_EXTENSION_CONFIG)),
]);

/// `envoy.config.route.v3.Route`.
pub(in crate::dump) static ROUTE: Message = Message(&[
    one(1, "match", Sub(&ROUTE_MATCH)),
    one(2, "route", Sub(&ROUTE_ACTION)),
    one(3, "redirect", Sub(&REDIRECT_ACTION)),
    one(4, "metadata", Sub(&METADATA)),
    one(5, "decorator", Sub(&DECORATOR)),
    one(7, "direct_response", Sub(&DIRECT_RESPONSE_ACTION)),
    many(9, "request_headers_to_add", Sub(&HEADER_VALUE_OPTION)),
    many(10, "response_headers_to_add", Sub(&HEADER_VALUE_OPTION)),
    many(11, "response_headers_to_remove", Text),
    many(12, "request_headers_to_remove", Text),
    one(13, "typed_per_filter_config", Map(&Any)),
    one(14, "name", Text),
    one(16, "per_request_buffer_limit_bytes", WrappedWhole),
    one(19, "stat_prefix", Text),
    one(20, "request_body_buffer_limit", WrappedWhole),
    many(21, "route_specifiers", Sub(&TYPED_EXTENSION_CONFIG)),
]);

/// `envoy.config.route.v3.RouteMatch`.
pub(in crate::dump) static ROUTE_MATCH: Message = Message(&[
    one(1, "prefix", Text),
    one(2, "path", Text),
    one(4, "case_sensitive", WrappedFlag),
    many(6, "headers", Sub(&HEADER_MATCHER)),
    many(7, "query_parameters", Sub(&QUERY_PARAMETER_MATCHER)),
    one(9, "runtime_fraction", Sub(&RUNTIME_FRACTIONAL_PERCENT)),
    one(10, "safe_regex", Sub(&REGEX_MATCHER)),
    one(14, "path_separated_prefix", Text),
    one(15, "path_match_policy", Sub(&TYPED_EXTENSION_CONFIG)),
]);

/// `envoy.config.route.v3.HeaderMatcher`.
pub(in crate::dump) static HEADER_MATCHER: Message = Message(&[
    one(1, "name", Text),
    one(4, "exact_match", Text),
    one(6, "range_match", Sub(&INT64_RANGE)),
    one(7, "present_match", Flag),
    one(8, "invert_match", Flag),
    one(9, "prefix_match", Text),
    one(10, "suffix_match", Text),
    one(11, "safe_regex_match", Sub(&REGEX_MATCHER)),
    one(12, "contains_match", Text),
    one(13, "string_match", Sub(&STRING_MATCHER)),
    one(14, "treat_missing_header_as_empty", Flag),
]);

/// `envoy.config.route.v3.QueryParameterMatcher`.
pub(in crate::dump) static QUERY_PARAMETER_MATCHER: Message = Message(&[
    one(1, "name", Text),
    one(5, "string_match", Sub(&STRING_MATCHER)),
    one(6, "present_match", Flag),
]);

/// `envoy.config.route.v3.RouteAction`.
pub(in crate::dump) static ROUTE_ACTION: Message = Message(&[
    one(1, "cluster", Text),
    one(2, "cluster_header", Text),
    one(3, "weighted_clusters", Sub(&WEIGHTED_CLUSTER)),
    one(4, "metadata_match", Sub(&METADATA)),
    one(5, "prefix_rewrite", Text),
    one(6, "host_rewrite_literal", Text),
    one(7, "auto_host_rewrite", WrappedFlag),
    one(8, "timeout", Duration),
    one(9, "retry_policy", Sub(&RETRY_POLICY)),
    one(11, "priority", Choice(&[(0, "DEFAULT"), (1, "HIGH")])),
    one(14, "include_vh_rate_limits", WrappedFlag),
    one(17, "cors", Sub(&CORS_POLICY)),
    one(
        20,
        "cluster_not_found_response_code",
        Choice(&[
            (0, "SERVICE_UNAVAILABLE"),
            (1, "NOT_FOUND"),
            (2, "INTERNAL_SERVER_ERROR"),
        ]),
    ),
    one(23, "max_grpc_timeout", Duration),
    one(24, "idle_timeout", Duration),
    one(
        26,
        "internal_redirect_action",
        Choice(&[
            (0, "PASS_THROUGH_INTERNAL_REDIRECT"),
            (1, "HANDLE_INTERNAL_REDIRECT"),
        ]),
    ),
    one(28, "grpc_timeout_offset", Duration),
    one(29, "host_rewrite_header", Text),
    many(30, "request_mirror_policies", Sub(&REQUEST_MIRROR_POLICY)),
    one(31, "max_internal_redirects", WrappedWhole),
    one(33, "retry_policy_typed_config", Any),
    one(37, "cluster_specifier_plugin", Text),
    one(38, "append_x_forwarded_host", Flag),
    one(40, "early_data_policy", Sub(&TYPED_EXTENSION_CONFIG)),
    one(41, "path_rewrite_policy", Sub(&TYPED_EXTENSION_CONFIG)),
    one(42, "flush_timeout", Duration),
    one(44, "host_rewrite", Text),
    one(45, "path_rewrite", Text),
]);

/// `envoy.config.route.v3.WeightedCluster`.
pub(in crate::dump) static WEIGHTED_CLUSTER: Message = Message(&[
    many(1, "clusters", Sub(&CLUSTER_WEIGHT)),
    one(2, "runtime_key_prefix", Text),
    one(3, "total_weight", WrappedWhole),
    one(4, "header_name", Text),
    one(5, "use_hash_policy", WrappedFlag),
]);

/// `envoy.config.route.v3.WeightedCluster.ClusterWeight`.
pub(in crate::dump) static CLUSTER_WEIGHT: Message = Message(&[
    one(1, "name", Text),
    one(2, "weight", WrappedWhole),
    one(3, "metadata_match", Sub(&METADATA)),
    many(4, "request_headers_to_add", Sub(&HEADER_VALUE_OPTION)),
    many(5, "response_headers_to_add", Sub(&HEADER_VALUE_OPTION)),
    many(6, "response_headers_to_remove", Text),
    many(9, "request_headers_to_remove", Text),
    one(10, "typed_per_filter_config", Map(&Any)),
    one(11, "host_rewrite_literal", Text),
    one(12, "cluster_header", Text),
]);

/// `envoy.config.route.v3.RouteAction.RequestMirrorPolicy`.
pub(in crate::dump) static REQUEST_MIRROR_POLICY: Message = Message(&[
    one(1, "cluster", Text),
    one(3, "runtime_fraction", Sub(&RUNTIME_FRACTIONAL_PERCENT)),
    one(4, "trace_sampled", WrappedFlag),
    one(5, "cluster_header", Text),
    one(6, "disable_shadow_host_suffix_append", Flag),
    one(8, "host_rewrite_literal", Text),
]);

/// `envoy.config.route.v3.RetryPolicy`.
pub(in crate::dump) static RETRY_POLICY: Message = Message(&[
    one(1, "retry_on", Text),
    one(2, "num_retries", WrappedWhole),
    one(3, "per_try_timeout", Duration),
    one(6, "host_selection_retry_max_attempts", Whole),
    many(7, "retriable_status_codes", Whole),
    many(9, "retriable_headers", Sub(&HEADER_MATCHER)),
    many(10, "retriable_request_headers", Sub(&HEADER_MATCHER)),
    many(12, "retry_options_predicates", Sub(&TYPED_EXTENSION_CONFIG)),
    one(13, "per_try_idle_timeout", Duration),
    one(14, "refresh_cluster_on_retry", Flag),
]);

/// `envoy.config.route.v3.DirectResponseAction`.
pub(in crate::dump) static DIRECT_RESPONSE_ACTION: Message = Message(&[
    one(1, "status", Whole),
    one(2, "body", Sub(&DATA_SOURCE)),
    one(3, "body_format", Sub(&SUBSTITUTION_FORMAT_STRING)),
]);

/// `envoy.config.route.v3.RedirectAction`.
pub(in crate::dump) static REDIRECT_ACTION: Message = Message(&[
    one(1, "host_redirect", Text),
    one(2, "path_redirect", Text),
    one(
        3,
        "response_code",
        Choice(&[
            (0, "MOVED_PERMANENTLY"),
            (1, "FOUND"),
            (2, "SEE_OTHER"),
            (3, "TEMPORARY_REDIRECT"),
            (4, "PERMANENT_REDIRECT"),
        ]),
    ),
    one(4, "https_redirect", Flag),
    one(5, "prefix_rewrite", Text),
    one(6, "strip_query", Flag),
    one(7, "scheme_redirect", Text),
    one(8, "port_redirect", Whole),
    one(10, "path_rewrite", Text),
]);

/// `envoy.config.route.v3.CorsPolicy`.
pub(in crate::dump) static CORS_POLICY: Message = Message(&[
    one(2, "allow_methods", Text),
    one(3, "allow_headers", Text),
    one(4, "expose_headers", Text),
    one(5, "max_age", Text),
    one(6, "allow_credentials", WrappedFlag),
    one(9, "filter_enabled", Sub(&RUNTIME_FRACTIONAL_PERCENT)),
    one(10, "shadow_enabled", Sub(&RUNTIME_FRACTIONAL_PERCENT)),
    many(11, "allow_origin_string_match", Sub(&STRING_MATCHER)),
    one(12, "allow_private_network_access", WrappedFlag),
    one(13, "forward_not_matching_preflights", WrappedFlag),
]);

/// `envoy.config.route.v3.Decorator`.
pub(in crate::dump) static DECORATOR: Message =
    Message(&[one(1, "operation", Text), one(2, "propagate", WrappedFlag)]);
