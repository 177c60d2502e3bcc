//! Resources as JSON, in the field names and the frame of Envoy's `/config_dump`.
//!
//! The encoded bytes are read by tables of our own (`schema`), because the generated types know neither JSON nor their
//! own field names. A field that is set but not in the tables is not passed over in silence: its number is listed
//! under `@not_shown`. An extension of unknown type is shown with its type and its bytes in base64.

mod render;
mod schema;

use serde_json::{Map, Value as Json, json};

use crate::{Snapshot, TypeUrl};
pub use render::DumpError;

/// One resource of a dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its type.
    pub kind: TypeUrl,
    /// Its name.
    pub name: &'a str,
    /// The version to show; empty shows none.
    pub version: &'a str,
    /// The encoded message.
    pub value: &'a [u8],
    /// When it was taken over, RFC 3339; empty shows none.
    pub last_updated: &'a str,
    /// Why a newer content of it was refused; empty when there is none.
    pub refused: &'a str,
}

/// One message as JSON, with its `@type`.
///
/// # Errors
/// When the bytes are no message of this type.
pub fn message(kind: TypeUrl, value: &[u8]) -> Result<Json, DumpError> {
    render::message(kind.url(), value)
}

/// Resources in the frame of `/config_dump`: one section per type that has any, in push order. A resource that cannot be
/// read is shown as an error in its place.
pub fn config_dump<'a>(entries: impl IntoIterator<Item = Entry<'a>>) -> Json {
    let mut sections: [Vec<Json>; TypeUrl::COUNT] = Default::default();
    for entry in entries {
        if let Some(section) = sections.get_mut(entry.kind.index()) {
            section.push(show(&entry));
        }
    }
    let filled = TypeUrl::ALL
        .into_iter()
        .zip(sections)
        .filter(|(_, section)| !section.is_empty());
    let configs: Vec<Json> = filled
        .map(|(kind, section)| {
            let (dump, list, _) = frame(kind);
            json!({ "@type": format!("type.googleapis.com/envoy.admin.v3.{dump}"), list: section })
        })
        .collect();
    json!({ "configs": configs })
}

/// A whole snapshot in the frame of `/config_dump`: what a proxy should have.
pub fn snapshot(snapshot: &Snapshot) -> Json {
    let resources = TypeUrl::ALL.into_iter().flat_map(|kind| snapshot.resources(kind));
    let owned: Vec<_> = resources
        .map(|resource| (resource, resource.version().to_string(), resource.value()))
        .collect();
    config_dump(owned.iter().map(|(resource, version, value)| Entry {
        kind: resource.kind(),
        name: resource.name(),
        version,
        value,
        last_updated: "",
        refused: "",
    }))
}

/// The names of a type's section: the message, its list, and the field of the resource in each element.
fn frame(kind: TypeUrl) -> (&'static str, &'static str, &'static str) {
    match kind {
        TypeUrl::Cluster => ("ClustersConfigDump", "dynamic_active_clusters", "cluster"),
        TypeUrl::Endpoint => (
            "EndpointsConfigDump",
            "dynamic_endpoint_configs",
            "endpoint_config",
        ),
        TypeUrl::Listener => ("ListenersConfigDump", "dynamic_listeners", "listener"),
        TypeUrl::Route => ("RoutesConfigDump", "dynamic_route_configs", "route_config"),
        TypeUrl::VirtualHost => ("VirtualHostsConfigDump", "dynamic_virtual_hosts", "virtual_host"),
        TypeUrl::Secret => ("SecretsConfigDump", "dynamic_active_secrets", "secret"),
    }
}

fn show(entry: &Entry<'_>) -> Json {
    let (.., field) = frame(entry.kind);
    let resource = if entry.kind == TypeUrl::Secret {
        json!({ "@type": entry.kind.url(), "name": entry.name, "redacted": true })
    } else {
        message(entry.kind, entry.value).unwrap_or_else(
            |error| json!({ "@type": entry.kind.url(), "name": entry.name, "error": error.to_string() }),
        )
    };
    let mut state = Map::new();
    if !entry.version.is_empty() {
        state.insert("version_info".into(), entry.version.into());
    }
    state.insert(field.into(), resource);
    if !entry.last_updated.is_empty() {
        state.insert("last_updated".into(), entry.last_updated.into());
    }
    let refusal = (!entry.refused.is_empty()).then(|| json!({ "details": entry.refused }));
    // Listeners have their state one level deeper than the others.
    let mut shown = match entry.kind {
        TypeUrl::Listener => Map::from_iter([
            ("name".to_owned(), entry.name.into()),
            ("active_state".to_owned(), Json::Object(state)),
        ]),
        TypeUrl::Secret => {
            state.insert("name".into(), entry.name.into());
            state
        }
        _ => state,
    };
    if let Some(refusal) = refusal {
        shown.insert("error_state".into(), refusal);
    }
    Json::Object(shown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb::envoy::config::cluster::v3::{Cluster, cluster};
    use crate::pb::envoy::config::core::v3::{
        Address, AggregatedConfigSource, ApiVersion, ConfigSource, Locality, Metadata, SocketAddress,
        address, config_source, socket_address,
    };
    use crate::pb::envoy::config::endpoint::v3::{
        ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints, lb_endpoint,
    };
    use crate::pb::envoy::config::listener::v3::{Filter, FilterChain, Listener, filter};
    use crate::pb::envoy::config::route::v3::{
        HeaderMatcher, Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost, WeightedCluster,
        header_matcher, route, route_action, route_match, weighted_cluster,
    };
    use crate::pb::envoy::extensions::filters::http::router::v3::Router;
    use crate::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
        HttpConnectionManager, HttpFilter, Rds, http_connection_manager::RouteSpecifier, http_filter,
    };
    use crate::pb::envoy::extensions::upstreams::http::v3::{HttpProtocolOptions, http_protocol_options};
    use crate::pb::envoy::r#type::matcher::v3::{StringMatcher, string_matcher::MatchPattern};
    use crate::pb::google::protobuf::{BoolValue, Duration, Struct, UInt32Value};
    use crate::value::json_to_struct;
    use crate::{LayerBuilder, pack};
    use prost::Message;

    fn shown(kind: TypeUrl, message: &impl Message) -> Json {
        super::message(kind, &message.encode_to_vec()).unwrap()
    }

    fn ads() -> ConfigSource {
        ConfigSource {
            resource_api_version: ApiVersion::V3 as i32,
            config_source_specifier: Some(config_source::ConfigSourceSpecifier::Ads(
                AggregatedConfigSource {},
            )),
            ..ConfigSource::default()
        }
    }

    fn socket(address: &str, port: u32) -> Address {
        Address {
            address: Some(address::Address::SocketAddress(SocketAddress {
                address: address.into(),
                port_specifier: Some(socket_address::PortSpecifier::PortValue(port)),
                ..SocketAddress::default()
            })),
        }
    }

    #[test]
    fn a_cluster_reads_as_in_envoys_dump() {
        use http_protocol_options::{ExplicitHttpConfig, UpstreamProtocolOptions, explicit_http_config};
        let http2 = ExplicitHttpConfig {
            protocol_config: Some(explicit_http_config::ProtocolConfig::Http2ProtocolOptions(
                Default::default(),
            )),
        };
        let options = HttpProtocolOptions {
            upstream_protocol_options: Some(UpstreamProtocolOptions::ExplicitHttpConfig(http2)),
            ..HttpProtocolOptions::default()
        };
        let key = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions".to_owned();
        let cluster = Cluster {
            name: "outbound|9080||reviews.service.consul".into(),
            cluster_discovery_type: Some(cluster::ClusterDiscoveryType::Type(
                cluster::DiscoveryType::Eds as i32,
            )),
            eds_cluster_config: Some(cluster::EdsClusterConfig {
                eds_config: Some(ads()),
                service_name: String::new(),
            }),
            connect_timeout: Some(Duration {
                seconds: 0,
                nanos: 250_000_000,
            }),
            lb_policy: cluster::LbPolicy::LeastRequest as i32,
            typed_extension_protocol_options: [(key.clone(), pack(&options))].into(),
            ..Cluster::default()
        };

        assert_eq!(
            shown(TypeUrl::Cluster, &cluster),
            json!({
                "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
                "name": "outbound|9080||reviews.service.consul",
                "type": "EDS",
                "eds_cluster_config": {"eds_config": {"ads": {}, "resource_api_version": "V3"}},
                "connect_timeout": "0.250s",
                "lb_policy": "LEAST_REQUEST",
                "typed_extension_protocol_options": {
                    key: {
                        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                        "explicit_http_config": {"http2_protocol_options": {}}
                    }
                }
            })
        );
    }

    #[test]
    fn endpoints_read_as_in_envoys_dump() {
        let metadata = json_to_struct(json!({"protocol": "h2"}).as_object().unwrap());
        let endpoint = LbEndpoint {
            health_status: crate::pb::envoy::config::core::v3::HealthStatus::Healthy as i32,
            metadata: Some(Metadata {
                filter_metadata: [("outrigger.mesh".to_owned(), metadata)].into(),
                ..Metadata::default()
            }),
            load_balancing_weight: Some(UInt32Value { value: 3 }),
            host_identifier: Some(lb_endpoint::HostIdentifier::Endpoint(Endpoint {
                address: Some(socket("10.0.0.1", 9080)),
                ..Endpoint::default()
            })),
        };
        let locality = Locality {
            region: "eu".into(),
            ..Locality::default()
        };
        let assignment = ClusterLoadAssignment {
            cluster_name: "c".into(),
            endpoints: vec![LocalityLbEndpoints {
                locality: Some(locality),
                lb_endpoints: vec![endpoint],
                ..LocalityLbEndpoints::default()
            }],
            ..ClusterLoadAssignment::default()
        };

        assert_eq!(
            shown(TypeUrl::Endpoint, &assignment)["endpoints"],
            json!([{
                "locality": {"region": "eu"},
                "lb_endpoints": [{
                    "endpoint": {"address": {"socket_address": {"address": "10.0.0.1", "port_value": 9080}}},
                    "health_status": "HEALTHY",
                    "metadata": {"filter_metadata": {"outrigger.mesh": {"protocol": "h2"}}},
                    "load_balancing_weight": 3
                }]
            }])
        );
    }

    #[test]
    fn a_listener_opens_its_filters() {
        let router = HttpFilter {
            name: "envoy.filters.http.router".into(),
            config_type: Some(http_filter::ConfigType::TypedConfig(pack(&Router::default()))),
            ..HttpFilter::default()
        };
        let manager = HttpConnectionManager {
            stat_prefix: "outbound".into(),
            route_specifier: Some(RouteSpecifier::Rds(Rds {
                config_source: Some(ads()),
                route_config_name: "r".into(),
            })),
            http_filters: vec![router],
            use_remote_address: Some(BoolValue { value: false }),
            ..HttpConnectionManager::default()
        };
        let filter = Filter {
            name: "envoy.filters.network.http_connection_manager".into(),
            config_type: Some(filter::ConfigType::TypedConfig(pack(&manager))),
        };
        let listener = Listener {
            name: "10.0.0.1_9080".into(),
            address: Some(socket("10.0.0.1", 9080)),
            filter_chains: vec![FilterChain {
                filters: vec![filter],
                ..FilterChain::default()
            }],
            traffic_direction: 2,
            ..Listener::default()
        };

        let json = shown(TypeUrl::Listener, &listener);

        assert_eq!(json["traffic_direction"], "OUTBOUND");
        let typed = &json["filter_chains"][0]["filters"][0]["typed_config"];
        assert_eq!(typed["rds"]["route_config_name"], "r");
        assert_eq!(typed["use_remote_address"], false);
        assert_eq!(
            typed["http_filters"][0]["typed_config"]["@type"],
            "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
        );
    }

    #[test]
    fn a_route_reads_as_in_envoys_dump() {
        let weight = |name: &str, weight| weighted_cluster::ClusterWeight {
            name: name.into(),
            weight: Some(UInt32Value { value: weight }),
            ..Default::default()
        };
        let cookie = HeaderMatcher {
            name: "cookie".into(),
            header_match_specifier: Some(header_matcher::HeaderMatchSpecifier::StringMatch(StringMatcher {
                match_pattern: Some(MatchPattern::Prefix("user=".into())),
                ignore_case: false,
            })),
            ..HeaderMatcher::default()
        };
        let action = RouteAction {
            timeout: Some(Duration {
                seconds: 15,
                nanos: 0,
            }),
            cluster_specifier: Some(route_action::ClusterSpecifier::WeightedClusters(
                WeightedCluster {
                    clusters: vec![weight("v1", 90), weight("v3", 10)],
                    ..WeightedCluster::default()
                },
            )),
            ..RouteAction::default()
        };
        let route = Route {
            name: "default/reviews".into(),
            r#match: Some(RouteMatch {
                path_specifier: Some(route_match::PathSpecifier::Prefix("/".into())),
                headers: vec![cookie],
                ..RouteMatch::default()
            }),
            action: Some(route::Action::Route(action)),
            ..Route::default()
        };
        let config = RouteConfiguration {
            name: "outbound|9080||reviews".into(),
            virtual_hosts: vec![VirtualHost {
                name: "reviews".into(),
                domains: vec!["reviews".into(), "reviews:9080".into()],
                routes: vec![route],
                ..VirtualHost::default()
            }],
            validate_clusters: Some(BoolValue { value: false }),
            ..RouteConfiguration::default()
        };

        assert_eq!(
            shown(TypeUrl::Route, &config)["virtual_hosts"][0],
            json!({
                "name": "reviews",
                "domains": ["reviews", "reviews:9080"],
                "routes": [{
                    "name": "default/reviews",
                    "match": {"prefix": "/", "headers": [{"name": "cookie", "string_match": {"prefix": "user="}}]},
                    "route": {
                        "weighted_clusters": {"clusters": [
                            {"name": "v1", "weight": 90}, {"name": "v3", "weight": 10}
                        ]},
                        "timeout": "15s"
                    }
                }]
            })
        );
    }

    #[test]
    fn a_set_field_without_a_table_is_listed_by_number() {
        let cluster = Cluster {
            name: "c".into(),
            lb_config: Some(cluster::LbConfig::MaglevLbConfig(Default::default())),
            ..Cluster::default()
        };

        assert_eq!(shown(TypeUrl::Cluster, &cluster)["@not_shown"], json!([52]));
    }

    #[test]
    fn an_unknown_extension_is_shown_as_base64() {
        let mixer = crate::pb::google::protobuf::Any {
            type_url: "type.googleapis.com/outrigger.Mixer".into(),
            value: vec![0, 1, 255, 7],
        };
        let filter = Filter {
            name: "m".into(),
            config_type: Some(filter::ConfigType::TypedConfig(mixer)),
        };
        let chain = FilterChain {
            filters: vec![filter],
            ..FilterChain::default()
        };
        let listener = Listener {
            filter_chains: vec![chain],
            ..Listener::default()
        };

        assert_eq!(
            shown(TypeUrl::Listener, &listener)["filter_chains"][0]["filters"][0]["typed_config"],
            json!({"@type": "type.googleapis.com/outrigger.Mixer", "value": "AAH/Bw=="})
        );
    }

    #[test]
    fn a_dump_has_a_section_per_type_in_push_order() {
        let mut layer = LayerBuilder::new(None);
        layer.route(&RouteConfiguration {
            name: "r".into(),
            ..RouteConfiguration::default()
        });
        layer.listener(&Listener {
            name: "l".into(),
            ..Listener::default()
        });
        layer.cluster(&Cluster {
            name: "c".into(),
            ..Cluster::default()
        });

        let dump = super::snapshot(&Snapshot::new(1, vec![layer.build()]));

        let configs = dump["configs"].as_array().unwrap();
        let types: Vec<&str> = configs
            .iter()
            .filter_map(|config| config["@type"].as_str())
            .collect();
        assert_eq!(types.len(), 3);
        assert!(types[0].ends_with("ClustersConfigDump") && types[2].ends_with("RoutesConfigDump"));
        assert_eq!(configs[0]["dynamic_active_clusters"][0]["cluster"]["name"], "c");
        assert_eq!(
            configs[1]["dynamic_listeners"][0]["active_state"]["listener"]["name"],
            "l"
        );
        assert_eq!(
            configs[2]["dynamic_route_configs"][0]["route_config"]["name"],
            "r"
        );
    }

    #[test]
    fn what_cannot_be_read_is_an_error_in_its_place_and_a_secret_is_never_shown() {
        let entry = |kind, value| Entry {
            kind,
            name: "x",
            version: "7",
            value,
            last_updated: "",
            refused: "no",
        };

        let dump = config_dump([
            entry(TypeUrl::Cluster, &[0xff][..]),
            entry(TypeUrl::Secret, &b"\x0a\x03key"[..]),
        ]);

        let cluster = &dump["configs"][0]["dynamic_active_clusters"][0];
        assert!(
            cluster["cluster"]["error"]
                .as_str()
                .unwrap()
                .contains("does not decode"),
            "{cluster}"
        );
        assert_eq!(cluster["error_state"]["details"], "no");
        let secret = &dump["configs"][1]["dynamic_active_secrets"][0];
        assert_eq!(
            secret["secret"],
            json!({"@type": TypeUrl::Secret.url(), "name": "x", "redacted": true})
        );
    }

    #[test]
    fn no_cut_of_a_message_panics() {
        let cluster = Cluster {
            name: "c".into(),
            metadata: Some(Metadata {
                filter_metadata: [("m".to_owned(), Struct::default())].into(),
                ..Metadata::default()
            }),
            connect_timeout: Some(Duration {
                seconds: -1,
                nanos: -500_000_000,
            }),
            ..Cluster::default()
        };
        let bytes = cluster.encode_to_vec();
        assert_eq!(shown(TypeUrl::Cluster, &cluster)["connect_timeout"], "-1.500s");

        for end in 0..bytes.len() {
            let _ = super::message(TypeUrl::Cluster, &bytes[..end]);
        }
    }
}
