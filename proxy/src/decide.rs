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
    let Some(route) = virtual_host
        .routes
        .iter()
        .find(|route| route.matcher.matches(request))
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
