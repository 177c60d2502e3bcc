//! Route configurations in a bootstrap file.

use outrigger_xds::pb::envoy::config::core::v3 as core;
use outrigger_xds::pb::envoy::config::route::v3 as pb;
use outrigger_xds::pb::envoy::r#type::matcher::v3 as matcher;
use serde::Deserialize;

use super::scalar::{Seconds, number, truth};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RouteConfiguration {
    #[serde(default)]
    name: String,
    virtual_hosts: Vec<VirtualHost>,
    validate_clusters: Option<bool>,
    #[serde(default)]
    ignore_port_in_host_matching: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct VirtualHost {
    name: String,
    domains: Vec<String>,
    #[serde(default)]
    routes: Vec<Route>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Route {
    #[serde(default)]
    name: String,
    r#match: Match,
    route: Option<Forward>,
    direct_response: Option<Respond>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Match {
    prefix: Option<String>,
    path: Option<String>,
    safe_regex: Option<Regex>,
    path_separated_prefix: Option<String>,
    case_sensitive: Option<bool>,
    #[serde(default)]
    headers: Vec<Header>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Regex {
    regex: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    name: String,
    string_match: Option<Text>,
    present_match: Option<bool>,
    #[serde(default)]
    invert_match: bool,
    #[serde(default)]
    treat_missing_header_as_empty: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    exact: Option<String>,
    prefix: Option<String>,
    suffix: Option<String>,
    contains: Option<String>,
    safe_regex: Option<Regex>,
    #[serde(default)]
    ignore_case: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Forward {
    cluster: Option<String>,
    weighted_clusters: Option<Weighted>,
    timeout: Option<Seconds>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Weighted {
    clusters: Vec<Weight>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Weight {
    name: String,
    weight: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Respond {
    status: u32,
    body: Option<Body>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    inline_string: String,
}

impl From<RouteConfiguration> for pb::RouteConfiguration {
    fn from(routes: RouteConfiguration) -> Self {
        let virtual_hosts = routes.virtual_hosts.into_iter().map(|host| pb::VirtualHost {
            name: host.name,
            domains: host.domains,
            routes: host.routes.into_iter().map(Into::into).collect(),
            ..Default::default()
        });
        pb::RouteConfiguration {
            name: routes.name,
            virtual_hosts: virtual_hosts.collect(),
            validate_clusters: truth(routes.validate_clusters),
            ignore_port_in_host_matching: routes.ignore_port_in_host_matching,
            ..Default::default()
        }
    }
}

impl From<Route> for pb::Route {
    fn from(route: Route) -> Self {
        let forward = route
            .route
            .map(|forward| pb::route::Action::Route(forward.into()));
        let respond = route.direct_response.map(|respond| {
            let body = respond.body.map(|body| core::DataSource {
                specifier: Some(core::data_source::Specifier::InlineString(body.inline_string)),
                ..Default::default()
            });
            let status = respond.status;
            pb::route::Action::DirectResponse(pb::DirectResponseAction {
                status,
                body,
                ..Default::default()
            })
        });
        pb::Route {
            name: route.name,
            r#match: Some(route.r#match.into()),
            action: forward.or(respond),
            ..Default::default()
        }
    }
}

impl From<Match> for pb::RouteMatch {
    fn from(matches: Match) -> Self {
        use pb::route_match::PathSpecifier;
        let path = matches.prefix.map(PathSpecifier::Prefix);
        let path = path.or(matches.path.map(PathSpecifier::Path));
        let path = path.or(matches
            .safe_regex
            .map(|regex| PathSpecifier::SafeRegex(regex.into())));
        let path = path.or(matches
            .path_separated_prefix
            .map(PathSpecifier::PathSeparatedPrefix));
        pb::RouteMatch {
            path_specifier: path,
            case_sensitive: truth(matches.case_sensitive),
            headers: matches.headers.into_iter().map(Into::into).collect(),
            ..Default::default()
        }
    }
}

impl From<Header> for pb::HeaderMatcher {
    fn from(header: Header) -> Self {
        use pb::header_matcher::HeaderMatchSpecifier;
        let text = header
            .string_match
            .map(|text| HeaderMatchSpecifier::StringMatch(text.into()));
        pb::HeaderMatcher {
            name: header.name,
            invert_match: header.invert_match,
            treat_missing_header_as_empty: header.treat_missing_header_as_empty,
            header_match_specifier: text.or(header.present_match.map(HeaderMatchSpecifier::PresentMatch)),
        }
    }
}

impl From<Text> for matcher::StringMatcher {
    fn from(text: Text) -> Self {
        use matcher::string_matcher::MatchPattern;
        let pattern = text.exact.map(MatchPattern::Exact);
        let pattern = pattern.or(text.prefix.map(MatchPattern::Prefix));
        let pattern = pattern.or(text.suffix.map(MatchPattern::Suffix));
        let pattern = pattern.or(text.contains.map(MatchPattern::Contains));
        let pattern = pattern.or(text.safe_regex.map(|regex| MatchPattern::SafeRegex(regex.into())));
        matcher::StringMatcher {
            ignore_case: text.ignore_case,
            match_pattern: pattern,
        }
    }
}

impl From<Regex> for matcher::RegexMatcher {
    fn from(regex: Regex) -> Self {
        matcher::RegexMatcher {
            regex: regex.regex,
            ..Default::default()
        }
    }
}

impl From<Forward> for pb::RouteAction {
    fn from(forward: Forward) -> Self {
        use pb::route_action::ClusterSpecifier;
        let weighted = forward.weighted_clusters.map(|weighted| {
            let clusters = weighted
                .clusters
                .into_iter()
                .map(|cluster| pb::weighted_cluster::ClusterWeight {
                    name: cluster.name,
                    weight: number(Some(cluster.weight)),
                    ..Default::default()
                });
            let clusters = clusters.collect();
            ClusterSpecifier::WeightedClusters(pb::WeightedCluster {
                clusters,
                ..Default::default()
            })
        });
        pb::RouteAction {
            cluster_specifier: forward.cluster.map(ClusterSpecifier::Cluster).or(weighted),
            timeout: forward.timeout.map(Into::into),
            ..Default::default()
        }
    }
}
