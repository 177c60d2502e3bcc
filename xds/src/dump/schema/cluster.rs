//! Clusters and their endpoints.

use super::Kind::{Any, Choice, Duration, Flag, Map, Sub, Text, Whole, WrappedFlag, WrappedWhole};
use super::core::{
    ADDRESS, CONFIG_SOURCE, LOCALITY, METADATA, PERCENT, TRANSPORT_SOCKET, TYPED_EXTENSION_CONFIG,
};
use super::http::{COMMON_HTTP_OPTIONS, HTTP1_OPTIONS, HTTP2_OPTIONS};
use super::{Message, many, one};

/// `envoy.config.cluster.v3.Cluster`.
pub(in crate::dump) static CLUSTER: Message = Message(&[
    one(1, "name", Text),
    one(
        2,
        "type",
        Choice(&[
            (0, "STATIC"),
            (1, "STRICT_DNS"),
            (2, "LOGICAL_DNS"),
            (3, "EDS"),
            (4, "ORIGINAL_DST"),
        ]),
    ),
    one(3, "eds_cluster_config", Sub(&EDS_CLUSTER_CONFIG)),
    one(4, "connect_timeout", Duration),
    one(5, "per_connection_buffer_limit_bytes", WrappedWhole),
    one(
        6,
        "lb_policy",
        Choice(&[
            (0, "ROUND_ROBIN"),
            (1, "LEAST_REQUEST"),
            (2, "RING_HASH"),
            (3, "RANDOM"),
            (5, "MAGLEV"),
            (6, "CLUSTER_PROVIDED"),
            (7, "LOAD_BALANCING_POLICY_CONFIG"),
        ]),
    ),
    one(9, "max_requests_per_connection", WrappedWhole),
    one(10, "circuit_breakers", Sub(&CIRCUIT_BREAKERS)),
    one(13, "http_protocol_options", Sub(&HTTP1_OPTIONS)),
    one(14, "http2_protocol_options", Sub(&HTTP2_OPTIONS)),
    one(16, "dns_refresh_rate", Duration),
    one(
        17,
        "dns_lookup_family",
        Choice(&[
            (0, "AUTO"),
            (1, "V4_ONLY"),
            (2, "V6_ONLY"),
            (3, "V4_PREFERRED"),
            (4, "ALL"),
        ]),
    ),
    many(18, "dns_resolvers", Sub(&ADDRESS)),
    one(19, "outlier_detection", Sub(&OUTLIER_DETECTION)),
    one(20, "cleanup_interval", Duration),
    one(24, "transport_socket", Sub(&TRANSPORT_SOCKET)),
    one(25, "metadata", Sub(&METADATA)),
    one(
        26,
        "protocol_selection",
        Choice(&[(0, "USE_CONFIGURED_PROTOCOL"), (1, "USE_DOWNSTREAM_PROTOCOL")]),
    ),
    one(27, "common_lb_config", Sub(&COMMON_LB_CONFIG)),
    one(28, "alt_stat_name", Text),
    one(29, "common_http_protocol_options", Sub(&COMMON_HTTP_OPTIONS)),
    one(31, "close_connections_on_host_health_failure", Flag),
    one(32, "ignore_health_on_host_removal", Flag),
    one(33, "load_assignment", Sub(&CLUSTER_LOAD_ASSIGNMENT)),
    one(36, "typed_extension_protocol_options", Map(&Any)),
    one(37, "least_request_lb_config", Sub(&LEAST_REQUEST_LB_CONFIG)),
    one(39, "respect_dns_ttl", Flag),
    one(42, "lrs_server", Sub(&CONFIG_SOURCE)),
    one(45, "use_tcp_for_dns_lookups", Flag),
    one(47, "track_timeout_budgets", Flag),
    one(48, "upstream_config", Sub(&TYPED_EXTENSION_CONFIG)),
    one(51, "connection_pool_per_downstream_connection", Flag),
    one(54, "wait_for_warm_on_init", WrappedFlag),
    one(55, "typed_dns_resolver_config", Sub(&TYPED_EXTENSION_CONFIG)),
    many(57, "lrs_report_endpoint_metrics", Text),
    one(58, "dns_jitter", Duration),
    one(60, "per_connection_buffer_high_watermark_timeout", Duration),
]);

/// `envoy.config.cluster.v3.Cluster.EdsClusterConfig`.
pub(in crate::dump) static EDS_CLUSTER_CONFIG: Message = Message(&[
    one(1, "eds_config", Sub(&CONFIG_SOURCE)),
    one(2, "service_name", Text),
]);

/// `envoy.config.cluster.v3.Cluster.CommonLbConfig`.
pub(in crate::dump) static COMMON_LB_CONFIG: Message = Message(&[
    one(1, "healthy_panic_threshold", Sub(&PERCENT)),
    one(4, "update_merge_window", Duration),
    one(5, "ignore_new_hosts_until_first_hc", Flag),
    one(6, "close_connections_on_host_set_change", Flag),
]);

/// `envoy.config.cluster.v3.Cluster.LeastRequestLbConfig`.
pub(in crate::dump) static LEAST_REQUEST_LB_CONFIG: Message =
    Message(&[one(1, "choice_count", WrappedWhole)]);

/// `envoy.config.cluster.v3.CircuitBreakers`.
pub(in crate::dump) static CIRCUIT_BREAKERS: Message = Message(&[
    many(1, "thresholds", Sub(&THRESHOLDS)),
    many(2, "per_host_thresholds", Sub(&THRESHOLDS)),
]);

/// `envoy.config.cluster.v3.CircuitBreakers.Thresholds`.
pub(in crate::dump) static THRESHOLDS: Message = Message(&[
    one(1, "priority", Choice(&[(0, "DEFAULT"), (1, "HIGH")])),
    one(2, "max_connections", WrappedWhole),
    one(3, "max_pending_requests", WrappedWhole),
    one(4, "max_requests", WrappedWhole),
    one(5, "max_retries", WrappedWhole),
    one(6, "track_remaining", Flag),
    one(7, "max_connection_pools", WrappedWhole),
]);

/// `envoy.config.cluster.v3.OutlierDetection`.
pub(in crate::dump) static OUTLIER_DETECTION: Message = Message(&[
    one(1, "consecutive_5xx", WrappedWhole),
    one(2, "interval", Duration),
    one(3, "base_ejection_time", Duration),
    one(4, "max_ejection_percent", WrappedWhole),
    one(5, "enforcing_consecutive_5xx", WrappedWhole),
    one(6, "enforcing_success_rate", WrappedWhole),
    one(7, "success_rate_minimum_hosts", WrappedWhole),
    one(8, "success_rate_request_volume", WrappedWhole),
    one(9, "success_rate_stdev_factor", WrappedWhole),
    one(10, "consecutive_gateway_failure", WrappedWhole),
    one(11, "enforcing_consecutive_gateway_failure", WrappedWhole),
    one(12, "split_external_local_origin_errors", Flag),
    one(13, "consecutive_local_origin_failure", WrappedWhole),
    one(14, "enforcing_consecutive_local_origin_failure", WrappedWhole),
    one(15, "enforcing_local_origin_success_rate", WrappedWhole),
    one(16, "failure_percentage_threshold", WrappedWhole),
    one(17, "enforcing_failure_percentage", WrappedWhole),
    one(18, "enforcing_failure_percentage_local_origin", WrappedWhole),
    one(19, "failure_percentage_minimum_hosts", WrappedWhole),
    one(20, "failure_percentage_request_volume", WrappedWhole),
    one(21, "max_ejection_time", Duration),
    one(22, "max_ejection_time_jitter", Duration),
    one(23, "successful_active_health_check_uneject_host", WrappedFlag),
    many(24, "monitors", Sub(&TYPED_EXTENSION_CONFIG)),
    one(25, "always_eject_one_host", WrappedFlag),
    one(26, "detect_degraded_hosts", WrappedFlag),
]);

/// `envoy.config.endpoint.v3.ClusterLoadAssignment`.
pub(in crate::dump) static CLUSTER_LOAD_ASSIGNMENT: Message = Message(&[
    one(1, "cluster_name", Text),
    many(2, "endpoints", Sub(&LOCALITY_LB_ENDPOINTS)),
    one(4, "policy", Sub(&ASSIGNMENT_POLICY)),
    one(5, "named_endpoints", Map(&Text)),
]);

/// `envoy.config.endpoint.v3.ClusterLoadAssignment.Policy`.
pub(in crate::dump) static ASSIGNMENT_POLICY: Message = Message(&[
    one(3, "overprovisioning_factor", WrappedWhole),
    one(4, "endpoint_stale_after", Duration),
    one(6, "weighted_priority_health", Flag),
]);

/// `envoy.config.endpoint.v3.LocalityLbEndpoints`.
pub(in crate::dump) static LOCALITY_LB_ENDPOINTS: Message = Message(&[
    one(1, "locality", Sub(&LOCALITY)),
    many(2, "lb_endpoints", Sub(&LB_ENDPOINT)),
    one(3, "load_balancing_weight", WrappedWhole),
    one(5, "priority", Whole),
    one(6, "proximity", WrappedWhole),
    one(9, "metadata", Sub(&METADATA)),
]);

/// `envoy.config.endpoint.v3.LbEndpoint`.
pub(in crate::dump) static LB_ENDPOINT: Message = Message(&[
    one(1, "endpoint", Sub(&ENDPOINT)),
    one(
        2,
        "health_status",
        Choice(&[
            (0, "UNKNOWN"),
            (1, "HEALTHY"),
            (2, "UNHEALTHY"),
            (3, "DRAINING"),
            (4, "TIMEOUT"),
            (5, "DEGRADED"),
        ]),
    ),
    one(3, "metadata", Sub(&METADATA)),
    one(4, "load_balancing_weight", WrappedWhole),
    one(5, "endpoint_name", Text),
]);

/// `envoy.config.endpoint.v3.Endpoint`.
pub(in crate::dump) static ENDPOINT: Message = Message(&[
    one(1, "address", Sub(&ADDRESS)),
    one(3, "hostname", Text),
    one(5, "observability_name", Text),
]);
