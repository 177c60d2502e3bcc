//! HttpConnectionManager to an HTTP listener.

use std::sync::Arc;

use outrigger_xds::pb::envoy::config::core::v3::HttpProtocolOptions;
use outrigger_xds::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
use outrigger_xds::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::{
    CodecType, RouteSpecifier, ServerHeaderTransformation, UpgradeConfig,
};

use super::at::{At, refuse};
use super::discovery::expect_ads;
use super::filter::{access_log, http_filters};
use super::route::routes;
use crate::stats::HttpStats;
use crate::table::{Codec, HttpListener, Names, RouteTable, TableError};

/// The listener, and the name of the route configuration when it comes by RDS.
#[allow(deprecated)] // a field that is on its way out is refused as well
pub(super) fn http(
    at: &At<'_>,
    message: &HttpConnectionManager,
    names: &mut Names,
) -> Result<(HttpListener, Option<String>), TableError> {
    refuse!(
        at,
        message,
        tracing,
        http3_protocol_options,
        scheme_header_transformation,
        xff_num_trusted_hops,
        original_ip_detection_extensions,
        early_header_mutation_extensions,
        internal_address_config,
        skip_xff_append,
        via,
        preserve_external_request_id,
        always_set_request_id_in_response,
        forward_client_cert_details,
        set_current_client_cert_details,
        forward_client_cert_matcher,
        proxy_100_continue,
        represent_ipv4_remote_address_as_ipv4_mapped_ipv6,
        request_id_extension,
        local_reply_config,
        path_normalization_options,
        proxy_status_config,
        typed_header_validation_config,
        append_x_forwarded_port,
        append_local_overload,
        forward_proto_config,
        drain_timeout,
        drain_timeout_jitter,
        stream_flush_timeout,
    );
    if message.stat_prefix.is_empty() {
        return Err(at.at("stat_prefix").error("must not be blank"));
    }
    if message
        .generate_request_id
        .is_some_and(|generate| !generate.value)
    {
        return Err(at.at("generate_request_id").error("only true is supported"));
    }
    http_filters(at, &message.http_filters)?;
    let (routes, rds) = route_source(at, message, names)?;
    let mut http = HttpListener::new(routes, &*message.stat_prefix, Arc::new(HttpStats::new(1)));
    http.codec = match CodecType::try_from(message.codec_type) {
        Ok(CodecType::Auto) => Codec::Auto,
        Ok(CodecType::Http1) => Codec::Http1,
        Ok(CodecType::Http2) => Codec::Http2,
        _ => return Err(at.at("codec_type").error("expected AUTO, HTTP1 or HTTP2")),
    };
    http.server_name = match ServerHeaderTransformation::try_from(message.server_header_transformation) {
        Ok(ServerHeaderTransformation::Overwrite) if message.server_name.is_empty() => http.server_name,
        Ok(ServerHeaderTransformation::Overwrite) => Some((&*message.server_name).into()),
        Ok(ServerHeaderTransformation::PassThrough) => None,
        _ => {
            return Err(at
                .at("server_header_transformation")
                .error("expected OVERWRITE or PASS_THROUGH"));
        }
    };
    http.use_remote_address = message.use_remote_address.is_some_and(|use_it| use_it.value);
    http.access_log = access_log(at, &message.access_log)?;
    http.websocket = websocket(at, &message.upgrade_configs)?;
    timeouts(at, message, &mut http)?;
    if let Some(options) = &message.http_protocol_options {
        let at = at.at("http_protocol_options");
        refuse!(
            at,
            options,
            default_host_for_http_10,
            header_key_format,
            allow_chunked_length,
            allow_custom_methods,
            send_fully_qualified_url,
            ignore_http_11_upgrade,
        );
        http.accept_http_10 = options.accept_http_10;
    }
    if let Some(options) = &message.common_http_protocol_options {
        common_options(&at.at("common_http_protocol_options"), options, &mut http)?;
    }
    if let Some(kilobytes) = message.max_request_headers_kb.map(|most| most.value) {
        if !(1..=8192).contains(&kilobytes) {
            let at = at.at("max_request_headers_kb");
            return Err(at.error(format!(
                "a number between 1 and 8192 is expected, found {kilobytes}"
            )));
        }
        http.max_request_headers = kilobytes as usize * 1024;
    }
    Ok((http, rds))
}

fn route_source(
    at: &At<'_>,
    message: &HttpConnectionManager,
    names: &mut Names,
) -> Result<(Arc<RouteTable>, Option<String>), TableError> {
    match &message.route_specifier {
        Some(RouteSpecifier::RouteConfig(inline)) => match routes(inline, names) {
            Ok(routes) => Ok((Arc::new(routes), None)),
            Err(error) => {
                let at = at.at("route_config");
                Err(at.at(&error.field).error(error.message))
            }
        },
        Some(RouteSpecifier::Rds(rds)) => {
            let at = at.at("rds");
            expect_ads(&at.at("config_source"), rds.config_source.as_ref())?;
            if rds.route_config_name.is_empty() {
                return Err(at.at("route_config_name").error("must not be blank"));
            }
            Ok((Arc::default(), Some(rds.route_config_name.clone())))
        }
        Some(RouteSpecifier::ScopedRoutes(_)) => Err(at.at("scoped_routes").not_supported()),
        None => Err(at.error("one of rds and route_config is expected")),
    }
}

fn websocket(at: &At<'_>, upgrades: &[UpgradeConfig]) -> Result<bool, TableError> {
    let mut websocket = false;
    for (upgrade, nth) in upgrades.iter().zip(0..) {
        let at = at.nth("upgrade_configs", nth);
        refuse!(at, upgrade, filters);
        if !upgrade.upgrade_type.eq_ignore_ascii_case("websocket") {
            let found = format!("only websocket is supported, found {:?}", upgrade.upgrade_type);
            return Err(at.at("upgrade_type").error(found));
        }
        websocket = upgrade.enabled.is_none_or(|enabled| enabled.value);
    }
    Ok(websocket)
}

fn timeouts(at: &At<'_>, message: &HttpConnectionManager, http: &mut HttpListener) -> Result<(), TableError> {
    http.stream_idle_timeout = at
        .at("stream_idle_timeout")
        .limit(message.stream_idle_timeout.as_ref(), http.stream_idle_timeout)?;
    http.request_timeout = at
        .at("request_timeout")
        .limit(message.request_timeout.as_ref(), http.request_timeout)?;
    http.request_headers_timeout = at.at("request_headers_timeout").limit(
        message.request_headers_timeout.as_ref(),
        http.request_headers_timeout,
    )?;
    Ok(())
}

fn common_options(
    at: &At<'_>,
    options: &HttpProtocolOptions,
    http: &mut HttpListener,
) -> Result<(), TableError> {
    refuse!(
        at,
        options,
        max_connection_duration,
        max_connection_duration_jitter,
        max_stream_duration,
        max_response_headers_kb,
        headers_with_underscores_action,
        max_requests_per_connection,
    );
    http.idle_timeout = at
        .at("idle_timeout")
        .limit(options.idle_timeout.as_ref(), http.idle_timeout)?;
    if let Some(most) = options.max_headers_count {
        http.max_headers = (most.value as usize).max(1);
    }
    Ok(())
}
