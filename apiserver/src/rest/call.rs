//! What a request asks for: its path, method and parameters, as a value. Pure.

use http::{HeaderMap, Method, Request, Uri};
use outrigger_api::host::is_label;
use outrigger_api::kind::Kind;
use outrigger_api::meta::is_subdomain;
use outrigger_api::resource::Key;
use outrigger_client::status::Status;
use percent_encoding::percent_decode_str;

use super::media::{self, Style};
use super::query::Query;
use super::selector::Selector;
use crate::refusal;

/// One request, understood.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) target: Target,
    pub(super) query: Query,
    pub(super) style: Style,
    /// The path had the prefix `/watch/` of old clients.
    watch_prefix: bool,
    /// The content type of a watch names its form.
    stream_parameter: bool,
}

/// What a path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Paths,
    Version,
    Health(Check),
    Metrics,
    Collection(Place),
    Item(Key),
}

/// Which health check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    /// `/healthz`, `/livez`: the process works.
    Live,
    /// `/readyz`, `/ready`: it takes requests.
    Ready,
    /// `/healthz/ping`: it answers.
    Ping,
}

/// Where a collection is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) kind: Kind,
    /// `None` for all namespaces.
    pub(super) namespace: Option<String>,
}

/// A watch that is asked for.
#[derive(Clone, Debug)]
pub(super) struct Watching {
    pub(super) place: Place,
    pub(super) selector: Selector,
    /// `None`: begin with the objects that are there.
    pub(super) after: Option<u64>,
    pub(super) bookmarks: bool,
    pub(super) seconds: Option<u64>,
    pub(super) stream_parameter: bool,
}

impl Call {
    /// Understands the head of a request.
    pub(super) fn read<B>(request: &Request<B>) -> Result<Self, Status> {
        let (target, watch_prefix) = target(request.uri())?;
        let query = Query::read(request.uri().query().unwrap_or(""));
        let style = style(&target, request.headers(), &query)?;
        let stream_parameter = media::wants_stream_parameter(request.headers());
        Ok(Call {
            method: request.method().clone(),
            target,
            query,
            style,
            watch_prefix,
            stream_parameter,
        })
    }

    /// Refuses a method that the target does not know.
    pub(super) fn check_method(&self) -> Result<(), Status> {
        if self.allows(&self.method) {
            Ok(())
        } else {
            Err(refusal::method_not_allowed())
        }
    }

    /// The word for what is done, as counters name it.
    pub(super) fn verb(&self) -> &'static str {
        let on_item = matches!(self.target, Target::Item(_));
        match self.method {
            Method::GET | Method::HEAD if matches!(self.watching(), Ok(Some(_))) => "watch",
            Method::GET | Method::HEAD if matches!(self.target, Target::Collection(_)) => "list",
            Method::GET | Method::HEAD => "get",
            Method::POST => "create",
            Method::PUT => "update",
            Method::DELETE if on_item => "delete",
            Method::DELETE => "deletecollection",
            _ => "unknown",
        }
    }

    fn allows(&self, method: &Method) -> bool {
        methods(&self.target)
            .split(", ")
            .any(|allowed| allowed == method.as_str())
    }

    /// The value of an `Allow` header.
    pub(super) fn allowed_methods(&self) -> Option<&'static str> {
        Some(methods(&self.target)).filter(|_| !self.allows(&self.method))
    }

    /// The watch that is asked for, if one is.
    pub(super) fn watching(&self) -> Result<Option<Watching>, Status> {
        let is_read = matches!(self.method, Method::GET | Method::HEAD);
        if !is_read || !(self.watch_prefix || self.query.flag("watch")?) {
            return Ok(None);
        }
        let selector = Selector::of(&self.query)?;
        let (place, selector) = match &self.target {
            Target::Collection(place) => (place.clone(), selector),
            Target::Item(key) => (
                Place {
                    kind: key.kind,
                    namespace: Some(key.namespace.clone()),
                },
                selector.named(&key.name),
            ),
            Target::Paths | Target::Version | Target::Health(_) | Target::Metrics => return Ok(None),
        };
        for forbidden in ["sendInitialEvents", "resourceVersionMatch"] {
            if self.query.has(forbidden) {
                return Err(no_watch_list(forbidden));
            }
        }
        Ok(Some(Watching {
            place,
            selector,
            after: self
                .query
                .number("resourceVersion")?
                .filter(|version| *version != 0),
            bookmarks: self.query.flag("allowWatchBookmarks")?,
            seconds: self.query.number("timeoutSeconds")?,
            stream_parameter: self.stream_parameter,
        }))
    }
}

/// Refusing by this very message makes clients list first (`spec/apiserver.md` §5).
fn no_watch_list(parameter: &str) -> Status {
    let rule = match parameter {
        "sendInitialEvents" => {
            "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"
        }
        _ => "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
    };
    let status = refusal::invalid_field(parameter, "FieldValueForbidden", &format!("Forbidden: {rule}"));
    Status {
        message: format!("ListOptions.meta.k8s.io \"\" is invalid: {}", status.message),
        ..status
    }
}

fn methods(target: &Target) -> &'static str {
    match target {
        Target::Paths | Target::Version | Target::Health(_) | Target::Metrics => "GET, HEAD",
        Target::Collection(Place { namespace: None, .. }) => "GET, HEAD",
        Target::Collection(_) => "GET, HEAD, POST, DELETE",
        Target::Item(_) => "GET, HEAD, PUT, DELETE",
    }
}

fn style(target: &Target, headers: &HeaderMap, query: &Query) -> Result<Style, Status> {
    if matches!(target, Target::Health(_) | Target::Metrics) {
        return Ok(Style::Json); // text, whatever is asked for
    }
    let pretty = match query.value("pretty") {
        Some(_) => query.flag("pretty")?,
        None => media::wants_pretty(headers),
    };
    Ok(match media::accepted(headers)? {
        Style::Json if pretty => Style::Pretty,
        other => other,
    })
}

/// What a path leads to, and whether it had the watch prefix.
fn target(uri: &Uri) -> Result<(Target, bool), Status> {
    let path = uri.path();
    let target = match path.strip_suffix('/').unwrap_or(path) {
        "" => Target::Paths,
        "/version" => Target::Version,
        "/metrics" => Target::Metrics,
        "/healthz" | "/livez" | "/healthz/etcd" => Target::Health(Check::Live),
        "/readyz" | "/ready" => Target::Health(Check::Ready),
        "/healthz/ping" | "/livez/ping" | "/readyz/ping" => Target::Health(Check::Ping),
        // With its slash: behind it stands a name that is missing, and the collection is not what was meant.
        _ => return of_resources(path).ok_or_else(refusal::unknown_path)?,
    };
    Ok((target, false))
}

/// `/apis/GROUP/VERSION[/watch][/namespaces/NAMESPACE]/PLURAL[/NAME]`.
fn of_resources(path: &str) -> Option<Result<(Target, bool), Status>> {
    let decode = |segment: &str| {
        let decoded = percent_decode_str(segment).decode_utf8();
        decoded.map(|segment| segment.into_owned())
    };
    let decoded: Result<Vec<String>, _> = path.strip_prefix("/apis/")?.split('/').map(decode).collect();
    let segments = match decoded {
        Ok(segments) => segments,
        Err(_) => return Some(Err(refusal::bad_request("the path is not UTF-8 after decoding"))),
    };
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let (&[group, version], rest) = segments.split_first_chunk::<2>()?;
    let (rest, watch_prefix) = match rest {
        ["watch", rest @ ..] => (rest, true),
        rest => (rest, false),
    };
    let kind = |plural: &str| {
        let of_path =
            |kind: &Kind| kind.plural() == plural && kind.group() == group && kind.version() == version;
        Kind::ALL.into_iter().find(of_path)
    };
    let target = match *rest {
        [plural] => Target::Collection(Place {
            kind: kind(plural)?,
            namespace: None,
        }),
        ["namespaces", namespace, plural] => {
            let kind = kind(plural)?;
            if !is_label(namespace) {
                return Some(Err(bad_namespace(namespace)));
            }
            Target::Collection(Place {
                kind,
                namespace: Some(namespace.to_owned()),
            })
        }
        ["namespaces", namespace, plural, name] => {
            let key = Key::new(kind(plural)?, namespace, name);
            if !is_label(namespace) {
                return Some(Err(bad_namespace(namespace)));
            }
            if !is_subdomain(name) {
                return Some(Err(refusal::not_found(&key))); // nothing of such a name can have been stored
            }
            Target::Item(key)
        }
        _ => return None,
    };
    Some(Ok((target, watch_prefix)))
}

fn bad_namespace(namespace: &str) -> Status {
    let message = format!("namespace {namespace:?} must be a DNS label: lower case letters, digits and '-'");
    refusal::bad_request(message)
}

#[cfg(test)]
mod tests;
