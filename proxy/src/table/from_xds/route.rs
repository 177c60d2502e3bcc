//! RouteConfiguration to a route table.

use std::time::Duration;

use bytes::Bytes;
use outrigger_xds::pb::envoy::config::core::v3::data_source::Specifier;
use outrigger_xds::pb::envoy::config::route::v3::route_action::ClusterSpecifier;
use outrigger_xds::pb::envoy::config::route::v3::weighted_cluster::ClusterWeight;
use outrigger_xds::pb::envoy::config::route::v3::{
    DirectResponseAction, Route as RouteMessage, RouteAction, RouteConfiguration,
    VirtualHost as VirtualHostMessage, WeightedCluster, route,
};

use super::at::{At, refuse};
use super::matcher::matcher;
use crate::table::{Action, Names, Route, RouteTable, TableError, Target, VirtualHost, Weighted};

/// For a route that sets none, as Envoy has it.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(15);
/// Largest body of an answer that a route gives itself, unless the configuration says otherwise.
const LARGEST_BODY: u32 = 4096;

/// Compiles an RDS resource; clusters get their slots from `names`. A cluster that nobody has delivered is no error
/// here: requests for it are answered with 503 until it comes.
pub fn routes(message: &RouteConfiguration, names: &mut Names) -> Result<RouteTable, TableError> {
    let at = At::resource(&message.name);
    refuse!(
        at,
        message,
        vhds,
        internal_only_headers,
        response_headers_to_add,
        response_headers_to_remove,
        request_headers_to_add,
        request_headers_to_remove,
        cluster_specifier_plugins,
        request_mirror_policies,
        vhost_header,
        ignore_path_parameters_in_path_matching,
        typed_per_filter_config,
        route_specifiers,
    );
    let largest_body = message
        .max_direct_response_body_size_bytes
        .map_or(LARGEST_BODY, |most| most.value);
    let mut virtual_hosts = Vec::with_capacity(message.virtual_hosts.len());
    for (host, nth) in message.virtual_hosts.iter().zip(0..) {
        virtual_hosts.push(virtual_host(
            &at.nth("virtual_hosts", nth),
            host,
            largest_body,
            names,
        )?);
    }
    let table = RouteTable::new(&*message.name, virtual_hosts)?;
    Ok(table.ignoring_ports(message.ignore_port_in_host_matching))
}

#[allow(deprecated)] // a field that is on its way out is refused as well
fn virtual_host(
    at: &At<'_>,
    message: &VirtualHostMessage,
    largest_body: u32,
    names: &mut Names,
) -> Result<(VirtualHost, Vec<String>), TableError> {
    refuse!(
        at,
        message,
        matcher,
        require_tls,
        virtual_clusters,
        rate_limits,
        request_headers_to_add,
        request_headers_to_remove,
        response_headers_to_add,
        response_headers_to_remove,
        cors,
        typed_per_filter_config,
        include_request_attempt_count,
        include_attempt_count_in_response,
        retry_policy,
        retry_policy_typed_config,
        hedge_policy,
        include_is_timeout_retry_header,
        request_mirror_policies,
        route_specifiers,
    );
    if message.name.is_empty() {
        return Err(at.at("name").error("must not be blank"));
    }
    if message.domains.is_empty() {
        return Err(at.at("domains").error("must name at least one domain"));
    }
    let mut routes = Vec::with_capacity(message.routes.len());
    for (route, nth) in message.routes.iter().zip(0..) {
        routes.push(compile(&at.nth("routes", nth), route, largest_body, names)?);
    }
    Ok((
        VirtualHost {
            name: (&*message.name).into(),
            routes: routes.into(),
        },
        message.domains.clone(),
    ))
}

fn compile(
    at: &At<'_>,
    message: &RouteMessage,
    largest_body: u32,
    names: &mut Names,
) -> Result<Route, TableError> {
    refuse!(
        at,
        message,
        typed_per_filter_config,
        request_headers_to_add,
        request_headers_to_remove,
        response_headers_to_add,
        response_headers_to_remove,
        tracing,
        route_specifiers,
    );
    let matches = message
        .r#match
        .as_ref()
        .ok_or_else(|| at.at("match").error("is missing"))?;
    let matcher = matcher(&at.at("match"), matches)?;
    let action = match &message.action {
        Some(route::Action::Route(action)) => forward(&at.at("route"), action, names)?,
        Some(route::Action::DirectResponse(response)) => {
            respond(&at.at("direct_response"), response, largest_body)?
        }
        Some(route::Action::Redirect(_)) => return Err(at.at("redirect").not_supported()),
        Some(route::Action::FilterAction(_)) => return Err(at.at("filter_action").not_supported()),
        Some(route::Action::NonForwardingAction(_)) => {
            return Err(at.at("non_forwarding_action").not_supported());
        }
        None => return Err(at.error("one of route and direct_response is expected")),
    };
    Ok(Route {
        name: (&*message.name).into(),
        matcher,
        action,
    })
}

#[allow(deprecated)] // a field that is on its way out is refused as well
fn forward(at: &At<'_>, message: &RouteAction, names: &mut Names) -> Result<Action, TableError> {
    refuse!(
        at,
        message,
        cluster_not_found_response_code,
        metadata_match,
        prefix_rewrite,
        regex_rewrite,
        path_rewrite_policy,
        path_rewrite,
        append_x_forwarded_host,
        idle_timeout,
        flush_timeout,
        early_data_policy,
        retry_policy,
        retry_policy_typed_config,
        request_mirror_policies,
        priority,
        rate_limits,
        hash_policy,
        cors,
        max_grpc_timeout,
        grpc_timeout_offset,
        upgrade_configs,
        internal_redirect_policy,
        internal_redirect_action,
        max_internal_redirects,
        hedge_policy,
        max_stream_duration,
        host_rewrite_specifier,
    );
    let target = match &message.cluster_specifier {
        Some(ClusterSpecifier::Cluster(name)) if name.is_empty() => {
            return Err(at.at("cluster").error("must not be blank"));
        }
        Some(ClusterSpecifier::Cluster(name)) => Target::One(names.slot(name)),
        Some(ClusterSpecifier::WeightedClusters(clusters)) => {
            weighted(&at.at("weighted_clusters"), clusters, names)?
        }
        Some(ClusterSpecifier::ClusterHeader(_)) => return Err(at.at("cluster_header").not_supported()),
        Some(_) => return Err(at.at("cluster_specifier_plugin").not_supported()),
        None => return Err(at.error("one of cluster and weighted_clusters is expected")),
    };
    let timeout = at
        .at("timeout")
        .limit(message.timeout.as_ref(), Some(DEFAULT_TIMEOUT))?;
    Ok(Action::Forward { target, timeout })
}

#[allow(deprecated)] // total_weight is still written by control planes
fn weighted(at: &At<'_>, message: &WeightedCluster, names: &mut Names) -> Result<Target, TableError> {
    refuse!(at, message, runtime_key_prefix, random_value_specifier);
    let mut weights = Vec::with_capacity(message.clusters.len());
    for (cluster, nth) in message.clusters.iter().zip(0..) {
        let at = at.nth("clusters", nth);
        plain(&at, cluster)?;
        weights.push((
            cluster.weight.map_or(0, |weight| weight.value),
            names.slot(&cluster.name),
        ));
    }
    let weighted = Weighted::new(weights).map_err(|message| at.at("clusters").error(message))?;
    match message.total_weight {
        Some(total) if total.value != weighted.total() => {
            let found = format!(
                "is {}, but the weights add up to {}",
                total.value,
                weighted.total()
            );
            Err(at.at("total_weight").error(found))
        }
        _ => Ok(Target::Weighted(weighted)),
    }
}

/// Refuses a weighted cluster that wants more than its share of requests.
fn plain(at: &At<'_>, cluster: &ClusterWeight) -> Result<(), TableError> {
    refuse!(
        at,
        cluster,
        cluster_header,
        metadata_match,
        request_headers_to_add,
        request_headers_to_remove,
        response_headers_to_add,
        response_headers_to_remove,
        typed_per_filter_config,
        host_rewrite_specifier,
    );
    if cluster.name.is_empty() {
        return Err(at.at("name").error("must not be blank"));
    }
    Ok(())
}

fn respond(at: &At<'_>, message: &DirectResponseAction, largest_body: u32) -> Result<Action, TableError> {
    refuse!(at, message, body_format);
    let status = u16::try_from(message.status)
        .ok()
        .filter(|status| (200..600).contains(status));
    let status = status.ok_or_else(|| {
        at.at("status").error(format!(
            "a status between 200 and 599 is expected, found {}",
            message.status
        ))
    })?;
    let at = at.at("body");
    let body = match message.body.as_ref().and_then(|body| body.specifier.as_ref()) {
        None => Bytes::new(),
        Some(Specifier::InlineBytes(bytes)) => Bytes::copy_from_slice(bytes),
        Some(Specifier::InlineString(text)) => Bytes::copy_from_slice(text.as_bytes()),
        Some(_) => return Err(at.error("only inline_string and inline_bytes are supported")),
    };
    if body.len() > largest_body as usize {
        return Err(at.error(format!(
            "has {} bytes, more than the {largest_body} allowed",
            body.len()
        )));
    }
    Ok(Action::Respond { status, body })
}
