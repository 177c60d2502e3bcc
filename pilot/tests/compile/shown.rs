//! Resources as short text, so that a whole configuration can be read in a test.

use std::fmt::Write;
use std::sync::Arc;

use outrigger_xds::pb::envoy::config::cluster::v3::Cluster;
use outrigger_xds::pb::envoy::config::cluster::v3::cluster::{ClusterDiscoveryType, DiscoveryType, LbPolicy};
use outrigger_xds::pb::envoy::config::core::v3::Address;
use outrigger_xds::pb::envoy::config::core::v3::address::Address as AddressKind;
use outrigger_xds::pb::envoy::config::core::v3::socket_address::PortSpecifier;
use outrigger_xds::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use outrigger_xds::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use outrigger_xds::pb::envoy::config::listener::v3::{Listener, filter::ConfigType};
use outrigger_xds::pb::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use outrigger_xds::pb::envoy::config::route::v3::route::Action;
use outrigger_xds::pb::envoy::config::route::v3::route_action::ClusterSpecifier;
use outrigger_xds::pb::envoy::config::route::v3::route_match::PathSpecifier;
use outrigger_xds::pb::envoy::config::route::v3::{HeaderMatcher, Route, RouteConfiguration};
use outrigger_xds::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, http_connection_manager::RouteSpecifier,
};
use outrigger_xds::pb::envoy::extensions::filters::network::tcp_proxy::v3::{TcpProxy, tcp_proxy};
use outrigger_xds::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use outrigger_xds::{Layer, TypeUrl, unpack};

/// All resources of a layer, a line or a few each.
pub(crate) fn layer(layer: &Arc<Layer>) -> String {
    let mut text = String::new();
    for resource in layer.resources(TypeUrl::Cluster) {
        writeln!(text, "{}", cluster(&resource.decode().unwrap())).unwrap();
    }
    for resource in layer.resources(TypeUrl::Endpoint) {
        let assignment: ClusterLoadAssignment = resource.decode().unwrap();
        writeln!(
            text,
            "endpoints {}: {}",
            assignment.cluster_name,
            endpoints(&assignment)
        )
        .unwrap();
    }
    for resource in layer.resources(TypeUrl::Listener) {
        writeln!(text, "{}", listener(&resource.decode().unwrap())).unwrap();
    }
    for resource in layer.resources(TypeUrl::Route) {
        text.push_str(&routes(&resource.decode().unwrap()));
    }
    text
}

/// One RouteConfiguration of a layer.
pub(crate) fn route_configuration(layer: &Arc<Layer>, name: &str) -> String {
    let resource = layer
        .get(TypeUrl::Route, name)
        .unwrap_or_else(|| panic!("no routes {name}"));
    routes(&resource.decode().unwrap())
}

pub(crate) fn cluster(cluster: &Cluster) -> String {
    let kind = match cluster.cluster_discovery_type {
        Some(ClusterDiscoveryType::Type(kind)) => DiscoveryType::try_from(kind).unwrap().as_str_name(),
        _ => "?",
    };
    let policy = LbPolicy::try_from(cluster.lb_policy).unwrap().as_str_name();
    let inline = cluster
        .load_assignment
        .as_ref()
        .map(|assignment| format!(" [{}]", endpoints(assignment)));
    let h2 = if cluster.typed_extension_protocol_options.is_empty() {
        ""
    } else {
        " h2"
    };
    format!(
        "cluster {} {kind} {policy}{h2}{}",
        cluster.name,
        inline.unwrap_or_default()
    )
}

fn endpoints(assignment: &ClusterLoadAssignment) -> String {
    let all = assignment
        .endpoints
        .iter()
        .flat_map(|locality| &locality.lb_endpoints)
        .map(|endpoint| {
            let Some(HostIdentifier::Endpoint(place)) = &endpoint.host_identifier else {
                panic!("no endpoint")
            };
            let mark = if endpoint.metadata.is_some() { " (h2)" } else { "" };
            format!("{}{mark}", address(place.address.as_ref()))
        });
    all.collect::<Vec<_>>().join(", ")
}

fn address(address: Option<&Address>) -> String {
    let Some(AddressKind::SocketAddress(socket)) = address.and_then(|address| address.address.as_ref())
    else {
        panic!("no socket address")
    };
    let Some(PortSpecifier::PortValue(port)) = socket.port_specifier else {
        panic!("no port")
    };
    format!("{}:{port}", socket.address)
}

fn listener(listener: &Listener) -> String {
    let Some(ConfigType::TypedConfig(any)) = &listener.filter_chains[0].filters[0].config_type else {
        panic!("no filter")
    };
    let to = if let Ok(manager) = unpack::<HttpConnectionManager>(any) {
        match manager.route_specifier {
            Some(RouteSpecifier::Rds(rds)) => format!("http {}", rds.route_config_name),
            Some(RouteSpecifier::RouteConfig(inline)) => {
                format!("http inline\n{}", routes(&inline).trim_end())
            }
            _ => "?".into(),
        }
    } else {
        match unpack::<TcpProxy>(any).unwrap().cluster_specifier {
            Some(tcp_proxy::ClusterSpecifier::Cluster(name)) => format!("tcp {name}"),
            Some(tcp_proxy::ClusterSpecifier::WeightedClusters(weighted)) => {
                let parts = weighted
                    .clusters
                    .iter()
                    .map(|part| format!("{} {}%", part.name, part.weight));
                format!("tcp {}", parts.collect::<Vec<_>>().join(", "))
            }
            None => "?".into(),
        }
    };
    let condition = match &listener.filter_chains[0].filter_chain_match {
        Some(matches) if matches.source_type == 1 => " (own host)",
        Some(_) => " (?)",
        None => "",
    };
    format!(
        "listener {} {}{condition} -> {to}",
        listener.name,
        address(listener.address.as_ref())
    )
}

fn routes(configuration: &RouteConfiguration) -> String {
    let mut text = format!("routes {}\n", configuration.name);
    for host in &configuration.virtual_hosts {
        writeln!(text, "  {} [{}]", host.name, host.domains.join(" ")).unwrap();
        for one in &host.routes {
            writeln!(text, "    {}", route(one)).unwrap();
        }
    }
    text
}

fn route(route: &Route) -> String {
    let matching = route.r#match.as_ref().unwrap();
    let path = match &matching.path_specifier {
        Some(PathSpecifier::Prefix(prefix)) => format!("{prefix}*"),
        Some(PathSpecifier::Path(path)) => path.clone(),
        Some(PathSpecifier::SafeRegex(regex)) => format!("~{}", regex.regex),
        _ => "?".into(),
    };
    let headers: String = matching
        .headers
        .iter()
        .map(|matcher| format!(" {}", header(matcher)))
        .collect();
    let action = match route.action.as_ref().unwrap() {
        Action::Route(action) => {
            let timeout = action.timeout.as_ref().unwrap();
            let to = match action.cluster_specifier.as_ref().unwrap() {
                ClusterSpecifier::Cluster(name) => name.clone(),
                ClusterSpecifier::WeightedClusters(weighted) => {
                    let parts = weighted.clusters.iter();
                    let parts = parts.map(|part| format!("{} {}%", part.name, part.weight.unwrap().value));
                    parts.collect::<Vec<_>>().join(", ")
                }
                _ => "?".into(),
            };
            format!(
                "{to} ({}s)",
                f64::from(timeout.nanos) / 1e9 + timeout.seconds as f64
            )
        }
        Action::DirectResponse(answer) => format!("answer {}", answer.status),
        _ => "?".into(),
    };
    format!("{}: {path}{headers} -> {action}", route.name)
}

fn header(matcher: &HeaderMatcher) -> String {
    let how = match matcher.header_match_specifier.as_ref().unwrap() {
        HeaderMatchSpecifier::PresentMatch(true) => " present".to_owned(),
        HeaderMatchSpecifier::StringMatch(text) => match text.match_pattern.as_ref().unwrap() {
            MatchPattern::Exact(value) => format!("={value}"),
            MatchPattern::Prefix(value) => format!("={value}*"),
            MatchPattern::SafeRegex(regex) => format!("~{}", regex.regex),
            _ => "?".into(),
        },
        _ => "?".into(),
    };
    format!("{}{how}", matcher.name)
}
