//! Who asks, and which headers the request gets and loses because of it.

use std::net::SocketAddr;
use std::time::Duration;

use crate::h1::{Edits, Known};
use crate::request::Request;
use crate::request_id::RequestIds;
use crate::table::{Direction, HttpListener};

/// The route's time limit in milliseconds, asked for by the application itself.
const TIMEOUT: &str = "x-envoy-upstream-rq-timeout-ms";
/// Attributes of the caller, which only sidecars may state.
const ATTRIBUTES: &str = "x-istio-attributes";
/// Headers by which proxies talk to each other.
const INTERNAL: &str = "x-envoy-";

/// Who asks, as far as the connection tells.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trust {
    pub(crate) direction: Direction,
    /// The listener stands at an edge: its peers are strangers.
    pub(crate) edge: bool,
    pub(crate) peer: SocketAddr,
}

impl Trust {
    /// An id for a request that has none, or one of a stranger's: ids join lines of logs, and whoever could choose them
    /// could put his requests among those of others.
    pub(crate) fn new_id(&self, request: &Request, ids: &RequestIds) -> Option<[u8; 36]> {
        (self.edge || request.id().is_none_or(<[u8]>::is_empty)).then(|| ids.next())
    }

    /// The time limit that the local application asks for; the inner `None` is without limit.
    pub(crate) fn timeout(&self, request: &Request) -> Option<Option<Duration>> {
        if self.direction != Direction::Outbound || self.edge {
            return None;
        }
        let millis: u64 = std::str::from_utf8(request.header(TIMEOUT)?).ok()?.parse().ok()?;
        Some((millis > 0).then(|| Duration::from_millis(millis)))
    }

    /// True when the listener is the one that applications use by `HTTP_PROXY`.
    pub(crate) fn is_proxy(&self, http: &HttpListener) -> bool {
        self.direction == Direction::Outbound && &*http.routes.name == "http_proxy"
    }
}

/// The changes to the headers of one request on its way.
#[derive(Debug)]
pub(crate) struct Forwarding<'r> {
    id: Option<&'r [u8]>,
    forwarded_for: Option<String>,
    proto: bool,
    remove: Vec<&'r str>,
}

impl<'r> Forwarding<'r> {
    /// The changes for `request`, given who asks.
    pub(crate) fn of(trust: &Trust, request: &'r Request) -> Forwarding<'r> {
        let edge = trust.edge || trust.direction == Direction::Gateway;
        let mut remove = Vec::new();
        if edge {
            remove = request.names_with(INTERNAL);
            remove.push(ATTRIBUTES);
        } else if trust.direction == Direction::Outbound {
            for name in [TIMEOUT, ATTRIBUTES] {
                if request.header(name).is_some() {
                    remove.push(name);
                }
            }
        }
        let forwarded_for = trust.edge.then(|| {
            let mut hops: Vec<_> = request
                .values("x-forwarded-for")
                .map(String::from_utf8_lossy)
                .collect();
            let peer = trust.peer.ip().to_string();
            hops.push(peer.as_str().into());
            hops.join(", ")
        });
        Forwarding {
            id: request.made_id.as_ref().map(<[u8; 36]>::as_slice),
            forwarded_for,
            proto: edge
                || request
                    .known(Known::XForwardedProto, "x-forwarded-proto")
                    .is_none(),
            remove,
        }
    }

    /// Gives the changes to `write`.
    pub(crate) fn edit<T>(&self, write: impl FnOnce(&Edits<'_>) -> T) -> T {
        let wanted = [
            self.id.map(|id| ("x-request-id", id)),
            self.forwarded_for
                .as_ref()
                .map(|hops| ("x-forwarded-for", hops.as_bytes())),
            self.proto.then_some(("x-forwarded-proto", b"http".as_slice())),
        ];
        let mut set: [(&str, &[u8]); 3] = [("", b""); 3];
        let mut count = 0;
        for (slot, change) in set.iter_mut().zip(wanted.into_iter().flatten()) {
            *slot = change;
            count += 1;
        }
        write(&Edits {
            remove: &self.remove,
            set: set.get(..count).unwrap_or_default(),
            add: &[],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(&str, &str)]) -> Request {
        let mut request = http::Request::builder().uri("http://reviews:9080/x");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).expect("a request").into_parts();
        Request::from_http2(parts).expect("a plain path")
    }

    fn trust(direction: Direction, edge: bool) -> Trust {
        Trust {
            direction,
            edge,
            peer: SocketAddr::from(([192, 0, 2, 7], 1)),
        }
    }

    fn sent(trust: &Trust, request: &Request) -> Vec<String> {
        let changed = Forwarding::of(trust, request)
            .edit(|edits| request.to_http2(edits, crate::h1::BodyFraming::None));
        let changed = changed.expect("it can be sent");
        let line = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            format!("{name}: {}", value.to_str().expect("text"))
        };
        let mut lines: Vec<_> = changed.headers().iter().map(line).collect();
        lines.sort();
        lines
    }

    #[test]
    fn a_gateway_takes_internal_headers_off_strangers_and_notes_where_they_come_from() {
        let request = request(&[
            ("x-envoy-force-trace", "true"),
            ("x-envoy-upstream-rq-timeout-ms", "1"),
            ("x-istio-attributes", "forged"),
            ("x-forwarded-for", "203.0.113.9"),
            ("x-forwarded-proto", "https"),
            ("x-b3-traceid", "80f198ee56343ba8"),
        ]);
        let trust = trust(Direction::Gateway, true);
        assert_eq!(trust.timeout(&request), None);
        assert_eq!(
            sent(&trust, &request),
            [
                "x-b3-traceid: 80f198ee56343ba8",
                "x-forwarded-for: 203.0.113.9, 192.0.2.7",
                "x-forwarded-proto: http"
            ]
        );
    }

    #[test]
    fn the_local_application_may_set_its_own_time_limit_and_no_attributes() {
        let request = request(&[
            ("x-envoy-upstream-rq-timeout-ms", "250"),
            ("x-istio-attributes", "forged"),
        ]);
        let outbound = trust(Direction::Outbound, false);
        assert_eq!(outbound.timeout(&request), Some(Some(Duration::from_millis(250))));
        assert_eq!(sent(&outbound, &request), ["x-forwarded-proto: http"]);
        assert_eq!(trust(Direction::Inbound, false).timeout(&request), None);
    }

    #[test]
    fn an_id_is_made_where_there_is_none_and_at_an_edge_for_everybody() {
        let ids = RequestIds::new(fastrand::Rng::with_seed(1));
        let inbound = trust(Direction::Inbound, false);
        let mut named = request(&[("x-request-id", "mine")]);
        assert_eq!(inbound.new_id(&named, &ids), None);
        named = request(&[]);
        named.made_id = inbound.new_id(&named, &ids);
        assert_eq!(sent(&inbound, &named).len(), 2);

        let mut strange = request(&[("x-request-id", "theirs")]);
        strange.made_id = trust(Direction::Gateway, true).new_id(&strange, &ids);
        let made = strange.id().expect("an id").to_vec();
        assert_eq!(made.len(), 36);
        let lines = sent(&inbound, &strange);
        assert!(
            lines.contains(&format!("x-request-id: {}", String::from_utf8_lossy(&made)))
                && !lines.concat().contains("theirs"),
            "{lines:?}"
        );
    }
}
