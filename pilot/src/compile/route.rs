//! One HTTP route as both generations of rules mean it: what it asks of a request, and where the request goes.
//!
//! Rules compile into this; [`super::route_config`] writes it as xDS. Nothing here knows either side.

use std::time::Duration;

use crate::dialect::Dialect;
use crate::names;

/// One entry of a virtual host. The first that matches decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    /// The rule that made it, or `default-route`.
    pub(crate) name: String,
    /// What a request must look like.
    pub(crate) matching: Matching,
    /// What becomes of it.
    pub(crate) action: Action,
}

/// Everything asked of a request; all must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Matching {
    /// The path, without its query.
    pub(crate) path: PathMatch,
    /// Headers and pseudo headers, sorted by name.
    pub(crate) headers: Vec<HeaderMatch>,
}

/// How the path is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PathMatch {
    /// The path begins so; `/` matches all.
    Prefix(String),
    /// The path is this.
    Exact(String),
    /// The whole path has this form.
    Regex(String),
}

/// One header that must be so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HeaderMatch {
    /// Lower case; `:method`, `:authority` and `:scheme` for the pseudo headers.
    pub(crate) name: String,
    /// What its value must be.
    pub(crate) value: ValueMatch,
}

/// How a header's value is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ValueMatch {
    /// The whole value has this form.
    Regex(String),
    /// The value is this.
    Exact(String),
    /// The value begins so.
    Prefix(String),
    /// There is such a header, with whatever value.
    Present,
}

/// What becomes of a request that a route matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// It is sent to one of these, by weight.
    Forward {
        /// At least one; weights total 100 when there are several.
        targets: Vec<Target>,
        /// Until the answer is complete; `None` = no limit.
        timeout: Option<Duration>,
    },
    /// It is answered by the proxy itself.
    Answer {
        /// The status code.
        status: u32,
        /// The body, which says why.
        reason: String,
    },
}

/// One version of a service port with its share of requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// The destination's host.
    pub(crate) host: String,
    /// Its service port.
    pub(crate) port: u16,
    /// A subset's name, the text of a label set, or empty for all instances.
    pub(crate) version: String,
    /// Percent.
    pub(crate) weight: u32,
}

impl Route {
    /// The service ports that it sends requests to.
    pub(crate) fn ports(&self) -> impl Iterator<Item = u16> {
        let targets = match &self.action {
            Action::Forward { targets, .. } => targets.as_slice(),
            Action::Answer { .. } => &[],
        };
        targets.iter().map(|target| target.port)
    }
}

impl Matching {
    /// Matches every request.
    pub(crate) fn everything() -> Self {
        Matching {
            path: PathMatch::Prefix("/".into()),
            headers: Vec::new(),
        }
    }

    /// Refused when a pattern in it is none that the readers take: they would refuse the routes of every rule for it,
    /// or take other requests than its author meant.
    pub(crate) fn for_readers(self, dialect: Dialect) -> Result<Matching, String> {
        let path = match &self.path {
            PathMatch::Regex(pattern) => Some(pattern),
            PathMatch::Prefix(_) | PathMatch::Exact(_) => None,
        };
        let headers = self.headers.iter().filter_map(|header| match &header.value {
            ValueMatch::Regex(pattern) => Some(pattern),
            ValueMatch::Exact(_) | ValueMatch::Prefix(_) | ValueMatch::Present => None,
        });
        let objection = path
            .into_iter()
            .chain(headers)
            .find_map(|pattern| dialect.objection(pattern));
        match objection {
            Some(why) => Err(format!("{why}; left out there")),
            None => Ok(self),
        }
    }

    /// True when no request can fail to match (`spec/traffic-v1alpha2.md` §1.1 "catch-all").
    pub(crate) fn is_catch_all(&self) -> bool {
        self.headers.is_empty() && matches!(&self.path, PathMatch::Prefix(prefix) if prefix == "/")
    }

    /// Puts headers in the order of the reference: by name, a regex before others, then by value.
    pub(crate) fn sort(&mut self) {
        self.headers.sort_by(|left, right| {
            (&left.name, left.value.rank(), left.value.text()).cmp(&(
                &right.name,
                right.value.rank(),
                right.value.text(),
            ))
        });
    }
}

impl ValueMatch {
    fn rank(&self) -> u8 {
        match self {
            ValueMatch::Regex(_) => 0,
            ValueMatch::Exact(_) => 1,
            ValueMatch::Prefix(_) => 2,
            ValueMatch::Present => 3,
        }
    }

    fn text(&self) -> &str {
        match self {
            ValueMatch::Regex(text) | ValueMatch::Exact(text) | ValueMatch::Prefix(text) => text,
            ValueMatch::Present => "",
        }
    }
}

impl Target {
    /// All instances of a service port.
    pub(crate) fn whole(host: &str, port: u16) -> Self {
        Target {
            host: host.to_owned(),
            port,
            version: String::new(),
            weight: 100,
        }
    }

    /// The cluster that holds it.
    pub(crate) fn cluster(&self) -> String {
        names::outbound_cluster(&self.host, self.port, &self.version)
    }
}

/// The route of a host that no rule governs: everything to all instances.
pub(crate) fn default_route(host: &str, port: u16, timeout: Option<Duration>) -> Route {
    Route {
        name: DEFAULT_ROUTE.into(),
        matching: Matching::everything(),
        action: Action::Forward {
            targets: vec![Target::whole(host, port)],
            timeout,
        },
    }
}

/// The name of the route that no rule made.
pub(crate) const DEFAULT_ROUTE: &str = "default-route";

/// How long a request may take where no rule of the second generation governs the host
/// (`spec/traffic-v1alpha2.md` §1.5).
pub(crate) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;

    fn header(name: &str, value: ValueMatch) -> HeaderMatch {
        HeaderMatch {
            name: name.into(),
            value,
        }
    }

    #[test]
    fn headers_sort_by_name_then_regex_before_exact_then_value() {
        let mut matching = Matching {
            path: PathMatch::Prefix("/".into()),
            headers: vec![
                header("cookie", ValueMatch::Exact("b".into())),
                header("cookie", ValueMatch::Exact("a".into())),
                header("cookie", ValueMatch::Regex("z".into())),
                header(":method", ValueMatch::Exact("GET".into())),
            ],
        };

        matching.sort();

        let order: Vec<_> = matching
            .headers
            .iter()
            .map(|h| (h.name.as_str(), h.value.text()))
            .collect();
        assert_eq!(
            order,
            [
                (":method", "GET"),
                ("cookie", "z"),
                ("cookie", "a"),
                ("cookie", "b")
            ]
        );
    }

    #[test]
    fn only_the_bare_root_prefix_catches_all() {
        assert!(Matching::everything().is_catch_all());
        let path = PathMatch::Regex(".*".into());
        assert!(
            !Matching {
                path,
                headers: Vec::new()
            }
            .is_catch_all()
        );
        let headers = vec![header("end-user", ValueMatch::Present)];
        assert!(
            !Matching {
                path: PathMatch::Prefix("/".into()),
                headers
            }
            .is_catch_all()
        );
    }
}
