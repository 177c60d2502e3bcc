//! Writes routes as xDS: `VirtualHost` and `RouteConfiguration`.

use std::time::Duration;

use outrigger_xds::pb::envoy::config::core::v3::{DataSource, data_source};
use outrigger_xds::pb::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use outrigger_xds::pb::envoy::config::route::v3::route::Action as ActionPb;
use outrigger_xds::pb::envoy::config::route::v3::route_action::ClusterSpecifier;
use outrigger_xds::pb::envoy::config::route::v3::route_match::PathSpecifier;
use outrigger_xds::pb::envoy::config::route::v3::weighted_cluster::ClusterWeight;
use outrigger_xds::pb::envoy::config::route::v3::{
    Decorator, DirectResponseAction, HeaderMatcher, Route as RoutePb, RouteAction, RouteConfiguration,
    RouteMatch, VirtualHost, WeightedCluster,
};
use outrigger_xds::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use outrigger_xds::pb::envoy::r#type::matcher::v3::{RegexMatcher, StringMatcher};
use outrigger_xds::pb::google::protobuf::{BoolValue, Duration as DurationPb, UInt32Value};

use super::route::{Action, HeaderMatch, Matching, PathMatch, Route, Target, ValueMatch};

/// A RouteConfiguration that does not wait for the clusters it names: a missing one is answered by 503.
pub(crate) fn route_configuration(name: &str, virtual_hosts: Vec<VirtualHost>) -> RouteConfiguration {
    RouteConfiguration {
        name: name.to_owned(),
        virtual_hosts,
        validate_clusters: Some(BoolValue { value: false }),
        ..RouteConfiguration::default()
    }
}

/// One virtual host.
pub(crate) fn virtual_host(name: String, domains: Vec<String>, routes: &[Route]) -> VirtualHost {
    VirtualHost {
        name,
        domains,
        routes: routes.iter().map(route).collect(),
        ..VirtualHost::default()
    }
}

fn route(route: &Route) -> RoutePb {
    let (action, decorator) = match &route.action {
        Action::Forward { targets, timeout } => (
            ActionPb::Route(forward(targets, *timeout)),
            Some(decorator(&route.name)),
        ),
        Action::Answer { status, reason } => (ActionPb::DirectResponse(answer(*status, reason)), None),
    };
    RoutePb {
        name: route.name.clone(),
        r#match: Some(route_match(&route.matching)),
        decorator,
        action: Some(action),
        ..RoutePb::default()
    }
}

fn decorator(operation: &str) -> Decorator {
    Decorator {
        operation: operation.to_owned(),
        ..Decorator::default()
    }
}

fn forward(targets: &[Target], timeout: Option<Duration>) -> RouteAction {
    let specifier = match targets {
        [only] => ClusterSpecifier::Cluster(only.cluster()),
        several => ClusterSpecifier::WeightedClusters(WeightedCluster {
            clusters: several.iter().map(cluster_weight).collect(),
            ..WeightedCluster::default()
        }),
    };
    RouteAction {
        cluster_specifier: Some(specifier),
        // Absent would mean the proxy's own default of 15 s; zero means no limit.
        timeout: Some(duration(timeout.unwrap_or_default())),
        ..RouteAction::default()
    }
}

fn cluster_weight(target: &Target) -> ClusterWeight {
    ClusterWeight {
        name: target.cluster(),
        weight: Some(UInt32Value { value: target.weight }),
        ..ClusterWeight::default()
    }
}

fn answer(status: u32, reason: &str) -> DirectResponseAction {
    DirectResponseAction {
        status,
        body: Some(DataSource {
            specifier: Some(data_source::Specifier::InlineString(reason.to_owned())),
            ..DataSource::default()
        }),
        ..DirectResponseAction::default()
    }
}

fn route_match(matching: &Matching) -> RouteMatch {
    let path = match &matching.path {
        PathMatch::Prefix(prefix) => PathSpecifier::Prefix(prefix.clone()),
        PathMatch::Exact(path) => PathSpecifier::Path(path.clone()),
        PathMatch::Regex(pattern) => PathSpecifier::SafeRegex(regex(pattern)),
    };
    RouteMatch {
        path_specifier: Some(path),
        headers: matching.headers.iter().map(header).collect(),
        ..RouteMatch::default()
    }
}

fn header(header: &HeaderMatch) -> HeaderMatcher {
    let pattern = match &header.value {
        ValueMatch::Regex(pattern) => Some(MatchPattern::SafeRegex(regex(pattern))),
        ValueMatch::Exact(value) => Some(MatchPattern::Exact(value.clone())),
        // An empty prefix is refused by Envoy, and says no more than that the header is there.
        ValueMatch::Prefix(prefix) if prefix.is_empty() => None,
        ValueMatch::Prefix(prefix) => Some(MatchPattern::Prefix(prefix.clone())),
        ValueMatch::Present => None,
    };
    let specifier = match pattern {
        None => HeaderMatchSpecifier::PresentMatch(true),
        Some(pattern) => HeaderMatchSpecifier::StringMatch(StringMatcher {
            match_pattern: Some(pattern),
            ..StringMatcher::default()
        }),
    };
    HeaderMatcher {
        name: header.name.clone(),
        header_match_specifier: Some(specifier),
        ..HeaderMatcher::default()
    }
}

fn regex(pattern: &str) -> RegexMatcher {
    RegexMatcher {
        regex: pattern.to_owned(),
        ..RegexMatcher::default()
    }
}

/// A protobuf duration. Spans beyond what it can hold (10,000 years) are cut to that.
pub(crate) fn duration(span: Duration) -> DurationPb {
    const LONGEST: u64 = 315_576_000_000;
    DurationPb {
        seconds: i64::try_from(span.as_secs().min(LONGEST)).unwrap_or(i64::MAX),
        nanos: i32::try_from(span.subsec_nanos()).unwrap_or(0),
    }
}

/// The virtual host of a way in: everything to the application, without a time limit of its own.
pub(crate) fn inbound_routes(cluster: &str, port: u16) -> VirtualHost {
    let action = RouteAction {
        cluster_specifier: Some(ClusterSpecifier::Cluster(cluster.to_owned())),
        timeout: Some(duration(Duration::ZERO)),
        ..RouteAction::default()
    };
    VirtualHost {
        name: format!("inbound|http|{port}"),
        domains: vec!["*".into()],
        routes: vec![RoutePb {
            name: "default".into(),
            r#match: Some(route_match(&Matching::everything())),
            action: Some(ActionPb::Route(action)),
            ..RoutePb::default()
        }],
        ..VirtualHost::default()
    }
}
