//! HTTP filters and access logs: which ones the proxy has.

use outrigger_xds::pb::envoy::config::accesslog::v3::{AccessLog, access_log};
use outrigger_xds::pb::envoy::extensions::filters::http::router::v3::Router;
use outrigger_xds::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;
use outrigger_xds::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_filter::ConfigType;
use outrigger_xds::unpack;

use super::at::{At, refuse};
use crate::table::TableError;

/// Checks that the chain is the router alone; optional filters that the proxy does not have are left out.
pub(super) fn http_filters(at: &At<'_>, filters: &[HttpFilter]) -> Result<(), TableError> {
    let mut routers = 0;
    for (filter, nth) in filters.iter().zip(0..) {
        let at = at.nth("http_filters", nth);
        if filter.disabled {
            continue;
        }
        let any = match &filter.config_type {
            Some(ConfigType::TypedConfig(any)) => any,
            _ if filter.is_optional => continue,
            Some(ConfigType::ConfigDiscovery(_)) => return Err(at.at("config_discovery").not_supported()),
            None => return Err(at.at("typed_config").error("is missing")),
        };
        match any.type_url.rsplit('/').next() {
            Some("envoy.extensions.filters.http.router.v3.Router") => {
                let at = at.at("typed_config");
                let router: Router = unpack(any).map_err(|error| at.garbled(&error))?;
                refuse!(
                    at,
                    router,
                    upstream_log,
                    strict_check_headers,
                    upstream_http_filters
                );
                routers += 1;
            }
            _ if filter.is_optional => {}
            _ => {
                let (name, kind) = (&filter.name, &any.type_url);
                return Err(at.error(format!(
                    "filter {name:?} of type {kind:?} is not known to this proxy"
                )));
            }
        }
    }
    match routers {
        1 => Ok(()),
        found => Err(at
            .at("http_filters")
            .error(format!("exactly one router is expected, found {found}"))),
    }
}

/// True when there is an access log. Where it goes and how it looks is the process's own setting, so a file's path does
/// not matter: nothing that a control plane says makes this process write to a path of its choice.
pub(super) fn access_log(at: &At<'_>, logs: &[AccessLog]) -> Result<bool, TableError> {
    for (log, nth) in logs.iter().zip(0..) {
        let at = at.nth("access_log", nth);
        refuse!(at, log, filter);
        let Some(access_log::ConfigType::TypedConfig(any)) = &log.config_type else {
            return Err(at.at("typed_config").error("is missing"));
        };
        match any.type_url.rsplit('/').next() {
            Some(
                "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog"
                | "envoy.extensions.access_loggers.stream.v3.StderrAccessLog"
                | "envoy.extensions.access_loggers.file.v3.FileAccessLog",
            ) => {}
            _ => {
                return Err(at.error(format!(
                    "access log {:?} of type {:?} is not supported",
                    log.name, any.type_url
                )));
            }
        }
    }
    Ok(!logs.is_empty())
}
