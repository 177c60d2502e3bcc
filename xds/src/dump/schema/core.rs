//! Addresses, matchers, access logs and other small messages that several resources share.

use super::Kind::{
    Any, Choice, Data, Duration, Flag, Map, Real, Struct, Sub, Text, Whole, WrappedFlag, WrappedWhole,
};
use super::{Message, many, one};

/// `envoy.config.core.v3.Address`.
pub(in crate::dump) static ADDRESS: Message = Message(&[one(1, "socket_address", Sub(&SOCKET_ADDRESS))]);

/// `envoy.config.core.v3.SocketAddress`.
pub(in crate::dump) static SOCKET_ADDRESS: Message = Message(&[
    one(1, "protocol", Choice(&[(0, "TCP"), (1, "UDP")])),
    one(2, "address", Text),
    one(3, "port_value", Whole),
    one(4, "named_port", Text),
    one(5, "resolver_name", Text),
    one(6, "ipv4_compat", Flag),
    one(7, "network_namespace_filepath", Text),
]);

/// `envoy.config.core.v3.CidrRange`.
pub(in crate::dump) static CIDR_RANGE: Message =
    Message(&[one(1, "address_prefix", Text), one(2, "prefix_len", WrappedWhole)]);

/// `envoy.config.core.v3.ConfigSource`.
pub(in crate::dump) static CONFIG_SOURCE: Message = Message(&[
    one(1, "path", Text),
    one(3, "ads", Sub(&AGGREGATED_CONFIG_SOURCE)),
    one(4, "initial_fetch_timeout", Duration),
    one(
        6,
        "resource_api_version",
        Choice(&[(0, "AUTO"), (1, "V2"), (2, "V3")]),
    ),
]);

/// `envoy.config.core.v3.AggregatedConfigSource`.
pub(in crate::dump) static AGGREGATED_CONFIG_SOURCE: Message = Message(&[]);

/// `envoy.config.core.v3.Locality`.
pub(in crate::dump) static LOCALITY: Message = Message(&[
    one(1, "region", Text),
    one(2, "zone", Text),
    one(3, "sub_zone", Text),
]);

/// `envoy.config.core.v3.Metadata`.
pub(in crate::dump) static METADATA: Message = Message(&[
    one(1, "filter_metadata", Map(&Struct)),
    one(2, "typed_filter_metadata", Map(&Any)),
]);

/// `envoy.config.core.v3.DataSource`.
pub(in crate::dump) static DATA_SOURCE: Message = Message(&[
    one(1, "filename", Text),
    one(2, "inline_bytes", Data),
    one(3, "inline_string", Text),
    one(4, "environment_variable", Text),
]);

/// `envoy.config.core.v3.TransportSocket`.
pub(in crate::dump) static TRANSPORT_SOCKET: Message =
    Message(&[one(1, "name", Text), one(3, "typed_config", Any)]);

/// `envoy.config.core.v3.TypedExtensionConfig`.
pub(in crate::dump) static TYPED_EXTENSION_CONFIG: Message =
    Message(&[one(1, "name", Text), one(2, "typed_config", Any)]);

/// `envoy.config.core.v3.SubstitutionFormatString`.
pub(in crate::dump) static SUBSTITUTION_FORMAT_STRING: Message = Message(&[
    one(1, "text_format", Text),
    one(2, "json_format", Struct),
    one(3, "omit_empty_values", Flag),
    one(4, "content_type", Text),
    one(5, "text_format_source", Sub(&DATA_SOURCE)),
    many(6, "formatters", Sub(&TYPED_EXTENSION_CONFIG)),
]);

/// `envoy.config.core.v3.HeaderValueOption`.
pub(in crate::dump) static HEADER_VALUE_OPTION: Message = Message(&[
    one(1, "header", Sub(&HEADER_VALUE)),
    one(2, "append", WrappedFlag),
    one(
        3,
        "append_action",
        Choice(&[
            (0, "APPEND_IF_EXISTS_OR_ADD"),
            (1, "ADD_IF_ABSENT"),
            (2, "OVERWRITE_IF_EXISTS_OR_ADD"),
            (3, "OVERWRITE_IF_EXISTS"),
        ]),
    ),
    one(4, "keep_empty_value", Flag),
]);

/// `envoy.config.core.v3.HeaderValue`.
pub(in crate::dump) static HEADER_VALUE: Message = Message(&[
    one(1, "key", Text),
    one(2, "value", Text),
    one(3, "raw_value", Data),
]);

/// `envoy.config.core.v3.RuntimeFractionalPercent`.
pub(in crate::dump) static RUNTIME_FRACTIONAL_PERCENT: Message = Message(&[
    one(1, "default_value", Sub(&FRACTIONAL_PERCENT)),
    one(2, "runtime_key", Text),
]);

/// `envoy.type.v3.FractionalPercent`.
pub(in crate::dump) static FRACTIONAL_PERCENT: Message = Message(&[
    one(1, "numerator", Whole),
    one(
        2,
        "denominator",
        Choice(&[(0, "HUNDRED"), (1, "TEN_THOUSAND"), (2, "MILLION")]),
    ),
]);

/// `envoy.type.v3.Percent`.
pub(in crate::dump) static PERCENT: Message = Message(&[one(1, "value", Real)]);

/// `envoy.type.v3.Int64Range`.
pub(in crate::dump) static INT64_RANGE: Message = Message(&[one(1, "start", Whole), one(2, "end", Whole)]);

/// `envoy.type.matcher.v3.StringMatcher`.
pub(in crate::dump) static STRING_MATCHER: Message = Message(&[
    one(1, "exact", Text),
    one(2, "prefix", Text),
    one(3, "suffix", Text),
    one(5, "safe_regex", Sub(&REGEX_MATCHER)),
    one(6, "ignore_case", Flag),
    one(7, "contains", Text),
]);

/// `envoy.type.matcher.v3.RegexMatcher`.
pub(in crate::dump) static REGEX_MATCHER: Message = Message(&[one(2, "regex", Text)]);

/// `envoy.config.accesslog.v3.AccessLog`.
pub(in crate::dump) static ACCESS_LOG: Message =
    Message(&[one(1, "name", Text), one(4, "typed_config", Any)]);

/// `envoy.extensions.access_loggers.file.v3.FileAccessLog`.
pub(in crate::dump) static FILE_ACCESS_LOG: Message = Message(&[
    one(1, "path", Text),
    one(2, "format", Text),
    one(3, "json_format", Struct),
    one(4, "typed_json_format", Struct),
    one(5, "log_format", Sub(&SUBSTITUTION_FORMAT_STRING)),
]);

/// `envoy.extensions.access_loggers.stream.v3.StdoutAccessLog`.
pub(in crate::dump) static STDOUT_ACCESS_LOG: Message =
    Message(&[one(1, "log_format", Sub(&SUBSTITUTION_FORMAT_STRING))]);
