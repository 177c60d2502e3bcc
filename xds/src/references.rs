//! Which other resources a resource names, so that the server can order a push without decoding anything.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::pb::envoy::config::cluster::v3::{Cluster, cluster};
use crate::pb::envoy::config::listener::v3::{Filter, Listener, filter::ConfigType};
use crate::pb::envoy::config::route::v3::{RouteConfiguration, VirtualHost, route, route_action};
use crate::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, http_connection_manager::RouteSpecifier,
};
use crate::pb::envoy::extensions::filters::network::tcp_proxy::v3::{TcpProxy, tcp_proxy};
use crate::{TypeUrl, unpack};

/// The names that a resource needs, by type. A listener or route names clusters, a listener also route
/// configurations, a cluster its endpoints.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct References {
    clusters: Names,
    endpoints: Names,
    routes: Names,
}

/// Sorted, without doubles.
type Names = Box<[Arc<str>]>;

impl References {
    /// No reference at all.
    pub fn none() -> References {
        References::default()
    }

    /// Names of clusters: what a route or a listener sends traffic to.
    pub fn clusters<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> References {
        References {
            clusters: collect(names),
            ..References::default()
        }
    }

    /// Names of cluster load assignments: what a cluster of type EDS waits for.
    pub fn endpoints<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> References {
        References {
            endpoints: collect(names),
            ..References::default()
        }
    }

    /// Adds names of route configurations: what a listener with RDS waits for.
    #[must_use]
    pub fn and_routes<S: AsRef<str>>(self, names: impl IntoIterator<Item = S>) -> References {
        References {
            routes: collect(names),
            ..self
        }
    }

    /// What a cluster names: its assignment, when it is of type EDS (`service_name`, else its own name).
    pub fn of_cluster(message: &Cluster) -> References {
        let eds = cluster::ClusterDiscoveryType::Type(cluster::DiscoveryType::Eds as i32);
        if message.cluster_discovery_type != Some(eds) {
            return References::none();
        }
        let service = message
            .eds_cluster_config
            .as_ref()
            .map(|config| config.service_name.as_str());
        References::endpoints([service.filter(|name| !name.is_empty()).unwrap_or(&message.name)])
    }

    /// What a route configuration names: the clusters of its routes, weighted and mirrored ones included.
    pub fn of_route(message: &RouteConfiguration) -> References {
        References::clusters(message.virtual_hosts.iter().flat_map(clusters_of_virtual_host))
    }

    /// What a listener names: the clusters of its TCP proxies and inline routes, and its route configurations.
    /// A filter that does not decode names nothing.
    pub fn of_listener(message: &Listener) -> References {
        let (mut clusters, mut routes) = (BTreeSet::new(), BTreeSet::new());
        let chains = message.filter_chains.iter().chain(&message.default_filter_chain);
        for filter in chains.flat_map(|chain| &chain.filters) {
            if let Some(tcp) = filter_config::<TcpProxy>(filter) {
                clusters.extend(clusters_of_tcp(tcp));
            }
            match filter_config::<HttpConnectionManager>(filter).and_then(|http| http.route_specifier) {
                Some(RouteSpecifier::Rds(rds)) => {
                    routes.insert(rds.route_config_name);
                }
                Some(RouteSpecifier::RouteConfig(config)) => {
                    let inline = config.virtual_hosts.iter().flat_map(clusters_of_virtual_host);
                    clusters.extend(inline.map(str::to_owned));
                }
                Some(RouteSpecifier::ScopedRoutes(_)) | None => {}
            }
        }
        References::clusters(clusters).and_routes(routes)
    }

    /// The names of this type.
    pub fn of_type(&self, kind: TypeUrl) -> &[Arc<str>] {
        match kind {
            TypeUrl::Cluster => &self.clusters,
            TypeUrl::Endpoint => &self.endpoints,
            TypeUrl::Route => &self.routes,
            TypeUrl::Listener | TypeUrl::VirtualHost | TypeUrl::Secret => &[],
        }
    }

    /// Whether `name` of type `kind` is among them.
    pub fn contains(&self, kind: TypeUrl, name: &str) -> bool {
        self.of_type(kind)
            .binary_search_by(|known| known.as_ref().cmp(name))
            .is_ok()
    }
}

fn collect<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> Names {
    let sorted: BTreeSet<Arc<str>> = names.into_iter().map(|name| Arc::from(name.as_ref())).collect();
    sorted.into_iter().collect()
}

fn filter_config<M: prost::Message + prost::Name + Default>(filter: &Filter) -> Option<M> {
    match &filter.config_type {
        Some(ConfigType::TypedConfig(any)) => unpack(any).ok(),
        Some(ConfigType::ConfigDiscovery(_)) | None => None,
    }
}

fn clusters_of_virtual_host(host: &VirtualHost) -> impl Iterator<Item = &str> {
    let mirrors = host
        .request_mirror_policies
        .iter()
        .map(|policy| policy.cluster.as_str());
    let routed = host.routes.iter().flat_map(|route| match &route.action {
        Some(route::Action::Route(action)) => clusters_of_action(action),
        _ => Vec::new(),
    });
    routed.chain(mirrors).filter(|name| !name.is_empty())
}

fn clusters_of_action(action: &crate::pb::envoy::config::route::v3::RouteAction) -> Vec<&str> {
    let mut names: Vec<&str> = match &action.cluster_specifier {
        Some(route_action::ClusterSpecifier::Cluster(name)) => vec![name],
        Some(route_action::ClusterSpecifier::WeightedClusters(weighted)) => {
            weighted.clusters.iter().map(|part| part.name.as_str()).collect()
        }
        _ => Vec::new(),
    };
    names.extend(
        action
            .request_mirror_policies
            .iter()
            .map(|policy| policy.cluster.as_str()),
    );
    names
}

fn clusters_of_tcp(tcp: TcpProxy) -> Vec<String> {
    match tcp.cluster_specifier {
        Some(tcp_proxy::ClusterSpecifier::Cluster(name)) => vec![name],
        Some(tcp_proxy::ClusterSpecifier::WeightedClusters(weighted)) => {
            weighted.clusters.into_iter().map(|part| part.name).collect()
        }
        None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pack;
    use crate::pb::envoy::config::listener::v3::FilterChain;
    use crate::pb::envoy::config::route::v3::{Route, RouteAction, WeightedCluster, weighted_cluster};
    use crate::pb::envoy::extensions::filters::network::http_connection_manager::v3::Rds;

    fn names(references: &References, kind: TypeUrl) -> Vec<&str> {
        references.of_type(kind).iter().map(AsRef::as_ref).collect()
    }

    fn routes_to(specifiers: Vec<route_action::ClusterSpecifier>) -> RouteConfiguration {
        let routes = specifiers.into_iter().map(|specifier| Route {
            action: Some(route::Action::Route(RouteAction {
                cluster_specifier: Some(specifier),
                ..RouteAction::default()
            })),
            ..Route::default()
        });
        let host = VirtualHost {
            routes: routes.collect(),
            ..VirtualHost::default()
        };
        RouteConfiguration {
            virtual_hosts: vec![host],
            ..RouteConfiguration::default()
        }
    }

    fn listener(configs: Vec<crate::pb::google::protobuf::Any>) -> Listener {
        let filters = configs.into_iter().map(|any| Filter {
            config_type: Some(ConfigType::TypedConfig(any)),
            ..Filter::default()
        });
        let chain = FilterChain {
            filters: filters.collect(),
            ..FilterChain::default()
        };
        Listener {
            filter_chains: vec![chain],
            ..Listener::default()
        }
    }

    #[test]
    fn a_route_names_its_plain_and_weighted_clusters_once_each() {
        let part = |name: &str| weighted_cluster::ClusterWeight {
            name: name.into(),
            ..Default::default()
        };
        let weighted = WeightedCluster {
            clusters: vec![part("v2"), part("v1")],
            ..Default::default()
        };

        let references = References::of_route(&routes_to(vec![
            route_action::ClusterSpecifier::Cluster("v1".into()),
            route_action::ClusterSpecifier::WeightedClusters(weighted),
        ]));

        assert_eq!(names(&references, TypeUrl::Cluster), ["v1", "v2"]);
        assert!(references.contains(TypeUrl::Cluster, "v2"));
        assert!(!references.contains(TypeUrl::Route, "v2"));
    }

    #[test]
    fn a_listener_names_tcp_clusters_inline_routes_and_route_configurations() {
        let tcp = TcpProxy {
            cluster_specifier: Some(tcp_proxy::ClusterSpecifier::Cluster("db".into())),
            ..TcpProxy::default()
        };
        let http = |specifier| HttpConnectionManager {
            route_specifier: Some(specifier),
            ..HttpConnectionManager::default()
        };
        let rds = http(RouteSpecifier::Rds(Rds {
            route_config_name: "r".into(),
            config_source: None,
        }));
        let inline = http(RouteSpecifier::RouteConfig(routes_to(vec![
            route_action::ClusterSpecifier::Cluster("inbound".into()),
        ])));

        let references = References::of_listener(&listener(vec![pack(&tcp), pack(&rds), pack(&inline)]));

        assert_eq!(names(&references, TypeUrl::Cluster), ["db", "inbound"]);
        assert_eq!(names(&references, TypeUrl::Route), ["r"]);
    }

    #[test]
    fn only_an_eds_cluster_names_endpoints() {
        let eds = |service: &str| Cluster {
            name: "c".into(),
            cluster_discovery_type: Some(cluster::ClusterDiscoveryType::Type(
                cluster::DiscoveryType::Eds as i32,
            )),
            eds_cluster_config: Some(cluster::EdsClusterConfig {
                service_name: service.into(),
                eds_config: None,
            }),
            ..Cluster::default()
        };

        assert_eq!(names(&References::of_cluster(&eds("")), TypeUrl::Endpoint), ["c"]);
        assert_eq!(
            names(&References::of_cluster(&eds("s")), TypeUrl::Endpoint),
            ["s"]
        );
        assert_eq!(References::of_cluster(&Cluster::default()), References::none());
    }
}
