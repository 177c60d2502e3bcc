//! The decision: which route a request takes and which cluster serves it, as a plain value, without I/O.

use std::time::Duration;

use bytes::Bytes;

use crate::table::{Action, ClusterId, Route, RouteTable};

/// A request as routing sees it. `target` is the normalised path with its query; everything is borrowed.
#[derive(Clone, Copy, Debug)]
pub struct RequestView<'r, H> {
    /// `GET`.
    pub method: &'r str,
    /// `http` or `https`, as the client sees it.
    pub scheme: &'r str,
    /// Host and, if given, port.
    pub authority: &'r str,
    /// Path and query: `/productpage?u=normal`; `*` for `OPTIONS *`.
    pub target: &'r str,
    /// All other headers.
    pub headers: H,
}

impl<'r, H> RequestView<'r, H> {
    /// The path without its query.
    pub fn path(&self) -> &'r str {
        self.target.split_once('?').map_or(self.target, |(path, _)| path)
    }
}

/// Where header values are looked up.
pub trait Headers {
    /// Every value of the header `name` (given in lower case), in their order.
    fn values<'h>(&'h self, name: &'h str) -> impl Iterator<Item = &'h [u8]>;
}

impl Headers for http::HeaderMap {
    fn values<'h>(&'h self, name: &'h str) -> impl Iterator<Item = &'h [u8]> {
        self.get_all(name).iter().map(http::HeaderValue::as_bytes)
    }
}

/// No headers at all.
impl Headers for () {
    fn values<'h>(&'h self, _name: &'h str) -> impl Iterator<Item = &'h [u8]> {
        std::iter::empty()
    }
}

/// Pairs of lower-case names and values.
impl Headers for [(&str, &str)] {
    fn values<'h>(&'h self, name: &'h str) -> impl Iterator<Item = &'h [u8]> {
        self.iter()
            .filter(move |(known, _)| *known == name)
            .map(|(_, value)| value.as_bytes())
    }
}

impl<H: Headers + ?Sized> Headers for &H {
    fn values<'h>(&'h self, name: &'h str) -> impl Iterator<Item = &'h [u8]> {
        H::values(self, name)
    }
}

/// What to do with a request.
#[derive(Clone, Copy, Debug)]
pub enum Decision<'t> {
    /// Send it to this cluster. The slot may be empty: 503 with the flag `NC`.
    Forward {
        /// The cluster, by the table that the routes are part of.
        cluster: ClusterId,
        /// For the whole answer; `None` is without limit.
        timeout: Option<Duration>,
        /// The route taken, for logs.
        route: &'t Route,
    },
    /// Answer it here.
    Respond {
        /// 200-599.
        status: u16,
        /// May be empty.
        body: &'t Bytes,
        /// The route taken, for logs.
        route: &'t Route,
    },
    /// No virtual host or no route is for it: 404 with the flag `NR`.
    NoRoute,
}

/// Decides about `request`: the first matching route of its virtual host wins; `draw` is used only for weighted routes.
/// Allocates nothing, but for a route that looks at a header which the request has more than once.
pub fn decide<'t, H: Headers>(
    request: &RequestView<'_, H>,
    routes: &'t RouteTable,
    draw: &mut fastrand::Rng,
) -> Decision<'t> {
    let Some(virtual_host) = routes.virtual_host(request.authority) else {
        return Decision::NoRoute;
    };
    let path = request.path();
    let Some(route) = virtual_host
        .routes
        .iter()
        .find(|route| route.matcher.matches(request, path))
    else {
        return Decision::NoRoute;
    };
    match &route.action {
        Action::Forward { target, timeout } => Decision::Forward {
            cluster: target.choose(draw),
            timeout: *timeout,
            route,
        },
        Action::Respond { status, body } => Decision::Respond {
            status: *status,
            body,
            route,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::bootstrap::Bootstrap;
    use crate::table::{Names, from_xds};

    const ROUTES: &str = r#"
static_resources:
  routes:
  - name: http_proxy
    virtual_hosts:
    - name: reviews
      domains: [reviews, "reviews:9080"]
      routes:
      - name: jason
        match:
          prefix: /
          headers:
          - {name: cookie, string_match: {safe_regex: {regex: "^(.*?;)?(user=jason)(;.*)?$"}}}
        route: {cluster: v2, timeout: 1s}
      - name: post
        match: {path: /reviews, headers: [{name: ":method", string_match: {exact: POST}}]}
        direct_response: {status: 403, body: {inline_string: "read only"}}
      - name: numbers
        match: {safe_regex: {regex: "/reviews/[0-9]+"}}
        route: {cluster: v3, timeout: 0s}
      - name: mobile
        match: {prefix: /, headers: [{name: User-Agent, string_match: {contains: mobile, ignore_case: true}}]}
        route: {cluster: mobile}
      - name: no-header
        match: {path: /bare, headers: [{name: x-debug, present_match: true, invert_match: true}]}
        route: {cluster: bare}
      - name: part
        match: {path_separated_prefix: /api}
        route: {cluster: api}
      - name: case
        match: {prefix: /case, case_sensitive: false}
        route: {cluster: case}
      - name: rest
        match: {prefix: /}
        route: {weighted_clusters: {clusters: [{name: v1, weight: 90}, {name: v2, weight: 10}, {name: off, weight: 0}]}}
    - name: ratings
      domains: ["*.ratings"]
      routes:
      - match: {path: /only}
        route: {cluster: ratings}
"#;

    fn routes() -> (RouteTable, Names) {
        let bootstrap = Bootstrap::parse(ROUTES).expect("a good bootstrap");
        let mut names = Names::default();
        (
            from_xds::routes(&bootstrap.routes[0], &mut names).expect("good routes"),
            names,
        )
    }

    #[test]
    fn the_first_matching_route_decides() {
        let (table, names) = routes();
        let mut draw = fastrand::Rng::with_seed(1);
        let mut check =
            |method: &str, authority: &str, target: &str, headers: &[(&str, &str)], expected: &str| {
                let request = RequestView {
                    method,
                    scheme: "http",
                    authority,
                    target,
                    headers,
                };
                let found = match decide(&request, &table, &mut draw) {
                    Decision::Forward {
                        cluster,
                        timeout,
                        route,
                    } => {
                        let name = ["v1", "v2", "v3", "mobile", "bare", "api", "case", "ratings"]
                            .into_iter()
                            .find(|name| names.find(name) == Some(cluster))
                            .expect("a known cluster");
                        format!("{} {name} {timeout:?}", route.name)
                    }
                    Decision::Respond { status, body, route } => {
                        format!("{} {status} {}", route.name, String::from_utf8_lossy(body))
                    }
                    Decision::NoRoute => "none".to_owned(),
                };
                assert_eq!(found, expected, "{method} {authority} {target} {headers:?}");
            };
        let jason = [("cookie", "a=b;user=jason")];
        check("GET", "reviews", "/x", &jason, "jason v2 Some(1s)");
        check("GET", "REVIEWS:9080", "/x?y", &jason, "jason v2 Some(1s)");
        check(
            "GET",
            "reviews",
            "/x",
            &[("cookie", "a=b"), ("cookie", "c=d;user=jason")],
            "jason v2 Some(1s)",
        );
        check("POST", "reviews", "/reviews", &[], "post 403 read only");
        check("POST", "reviews", "/reviews?a=b", &[], "post 403 read only");
        check("GET", "reviews", "/reviews/17?a=b", &[], "numbers v3 None");
        check("GET", "reviews", "/bare", &[], "no-header bare Some(15s)");
        check(
            "GET",
            "reviews",
            "/x",
            &[("user-agent", "A Mobile Thing")],
            "mobile mobile Some(15s)",
        );
        check("GET", "reviews", "/api", &[], "part api Some(15s)");
        check("GET", "reviews", "/api/x", &[], "part api Some(15s)");
        check("GET", "reviews", "/CASE/x", &[], "case case Some(15s)");
        check("GET", "a.ratings", "/only", &[], " ratings Some(15s)");
        check("GET", "a.ratings", "/other", &[], "none");
        check("GET", "unknown", "/", &[], "none");
        check("OPTIONS", "reviews", "*", &[], "none");
    }

    #[test]
    fn weights_are_kept_over_many_draws() {
        let (table, names) = routes();
        let mut draw = fastrand::Rng::with_seed(7);
        let request = RequestView {
            method: "GET",
            scheme: "http",
            authority: "reviews",
            target: "/",
            headers: (),
        };
        let mut counts = std::collections::HashMap::new();
        for _ in 0..100_000 {
            match decide(&request, &table, &mut draw) {
                Decision::Forward { cluster, .. } => *counts.entry(cluster).or_insert(0u32) += 1,
                other => panic!("{other:?}"),
            }
        }
        let count = |name| {
            names
                .find(name)
                .and_then(|id| counts.get(&id).copied())
                .unwrap_or(0)
        };
        // Four standard deviations of 100,000 draws at 10 %.
        assert!(count("v2").abs_diff(10_000) < 380, "{counts:?}");
        assert_eq!(count("v1") + count("v2"), 100_000);
        assert_eq!(count("off"), 0);
    }
}
