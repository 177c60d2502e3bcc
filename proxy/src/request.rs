//! A request as the proxy sees it, whichever protocol it came in: for the decision, the next hop and the log alike.

use h2::ext::Protocol;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version};

use crate::decide::{Headers, RequestView};
use crate::h1::{Asked, BodyFraming, Edits, Fields, Form, Known, RequestHead, RequestLine};
use crate::h1::{Persistence, write_request_head};
use crate::message::Fault;
use crate::path::{self, Mode, PathProblem};

/// Headers that are added to a request on its way, at most: length, id, hops, scheme.
const ADDED: usize = 4;

/// The head of a request.
#[derive(Debug)]
pub(crate) enum Head {
    Http1(RequestHead),
    Http2(Box<http::request::Parts>),
}

/// A request whose target is normal.
#[derive(Debug)]
pub(crate) struct Request {
    head: Head,
    /// Path and query, where they are not as they came.
    rewritten: Option<String>,
    /// The protocol of an extended CONNECT (RFC 8441), which is a GET to everybody but the connection.
    protocol: Option<Box<str>>,
    /// Made here because the request had none that counts.
    pub(crate) made_id: Option<[u8; 36]>,
}

impl Headers for Fields {
    fn values<'h>(&'h self, name: &'h str) -> impl Iterator<Item = &'h [u8]> {
        self.all(name.as_bytes())
    }
}

/// The headers of either protocol.
#[derive(Clone, Copy, Debug)]
pub(crate) enum HeaderView<'r> {
    Http1(&'r Fields),
    Http2(&'r HeaderMap),
}

impl Headers for HeaderView<'_> {
    fn values<'h>(&'h self, name: &'h str) -> impl Iterator<Item = &'h [u8]> {
        let (one, two) = match self {
            HeaderView::Http1(fields) => (Some(fields.values(name)), None),
            HeaderView::Http2(map) => (None, Some(map.values(name))),
        };
        one.into_iter().flatten().chain(two.into_iter().flatten())
    }
}

impl Request {
    /// The request of an HTTP/1 client.
    ///
    /// # Errors
    /// What is wrong with the path.
    pub(crate) fn from_http1(head: RequestHead) -> Result<Request, PathProblem> {
        let path = path::normalise(head.path(), Mode::Full)?;
        let same = head.form() == Form::Origin && matches!(path, std::borrow::Cow::Borrowed(_));
        let rewritten = (!same).then(|| with_query(&path, head.query()));
        Ok(Request {
            rewritten,
            protocol: None,
            head: Head::Http1(head),
            made_id: None,
        })
    }

    /// The request of an HTTP/2 client.
    ///
    /// # Errors
    /// What is wrong with the path.
    pub(crate) fn from_http2(mut parts: http::request::Parts) -> Result<Request, PathProblem> {
        let protocol = parts
            .extensions
            .remove::<Protocol>()
            .map(|protocol| protocol.as_str().into());
        if protocol.is_some() {
            parts.method = Method::GET;
        }
        let path = path::normalise(parts.uri.path(), Mode::Full)?;
        let rewritten = match path {
            std::borrow::Cow::Borrowed(_) => None,
            std::borrow::Cow::Owned(path) => Some(with_query(&path, parts.uri.query())),
        };
        Ok(Request {
            rewritten,
            protocol,
            head: Head::Http2(Box::new(parts)),
            made_id: None,
        })
    }

    /// Takes the head out, to use its memory again.
    pub(crate) fn into_head(self) -> Head {
        self.head
    }

    pub(crate) fn method(&self) -> &Method {
        match &self.head {
            Head::Http1(head) => head.method(),
            Head::Http2(parts) => &parts.method,
        }
    }

    /// Host and port as written; blank when there is none.
    pub(crate) fn authority(&self) -> &str {
        match &self.head {
            Head::Http1(head) => head.authority(),
            Head::Http2(parts) => match parts.uri.authority() {
                Some(authority) => authority.as_str(),
                None => parts
                    .headers
                    .get(http::header::HOST)
                    .and_then(|host| host.to_str().ok())
                    .unwrap_or(""),
            },
        }
    }

    /// Path and query, normal; blank for CONNECT.
    pub(crate) fn target(&self) -> &str {
        if let Some(rewritten) = &self.rewritten {
            return rewritten;
        }
        match &self.head {
            Head::Http1(head) => {
                let start = head.method().as_str().len() + 1;
                let query = head.query().map_or(0, |query| query.len() + 1);
                let bytes = head
                    .fields()
                    .head()
                    .get(start..start + head.path().len() + query)
                    .unwrap_or_default();
                std::str::from_utf8(bytes).unwrap_or("/")
            }
            Head::Http2(parts) => parts.uri.path_and_query().map_or("/", |target| target.as_str()),
        }
    }

    pub(crate) fn version(&self) -> Version {
        match &self.head {
            Head::Http1(head) if head.version() == crate::h1::Version::Http10 => Version::HTTP_10,
            Head::Http1(_) => Version::HTTP_11,
            Head::Http2(_) => Version::HTTP_2,
        }
    }

    pub(crate) fn headers(&self) -> HeaderView<'_> {
        match &self.head {
            Head::Http1(head) => HeaderView::Http1(head.fields()),
            Head::Http2(parts) => HeaderView::Http2(&parts.headers),
        }
    }

    /// The first value of a header that the codec knows by itself.
    pub(crate) fn known(&self, known: Known, name: &str) -> Option<&[u8]> {
        match &self.head {
            Head::Http1(head) => head.fields().known(known),
            Head::Http2(parts) => parts.headers.get(name).map(HeaderValue::as_bytes),
        }
    }

    /// The first value of any header; `name` in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&[u8]> {
        match &self.head {
            Head::Http1(head) => head.fields().get(name.as_bytes()),
            Head::Http2(parts) => parts.headers.get(name).map(HeaderValue::as_bytes),
        }
    }

    /// Every value of a header; `name` in lower case.
    pub(crate) fn values<'r>(&'r self, name: &'r str) -> impl Iterator<Item = &'r [u8]> {
        let (one, two) = match &self.head {
            Head::Http1(head) => (Some(head.fields().all(name.as_bytes())), None),
            Head::Http2(parts) => (
                None,
                Some(parts.headers.get_all(name).iter().map(HeaderValue::as_bytes)),
            ),
        };
        one.into_iter().flatten().chain(two.into_iter().flatten())
    }

    /// The names of its headers that begin with `prefix`, which is in lower case.
    pub(crate) fn names_with(&self, prefix: &str) -> Vec<&str> {
        let begins = |name: &&str| {
            name.get(..prefix.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        };
        match &self.head {
            Head::Http1(head) => head
                .fields()
                .iter()
                .filter_map(|(name, _)| std::str::from_utf8(name).ok())
                .filter(begins)
                .collect(),
            Head::Http2(parts) => parts
                .headers
                .keys()
                .map(http::HeaderName::as_str)
                .filter(begins)
                .collect(),
        }
    }

    /// The request's id: the client's or ours.
    pub(crate) fn id(&self) -> Option<&[u8]> {
        match &self.made_id {
            Some(id) => Some(id),
            None => self.known(Known::XRequestId, "x-request-id"),
        }
    }

    /// How the body ends: for HTTP/2 as a length if it says one, else in chunks; `ended` says that there is none.
    pub(crate) fn framing(&self, ended: bool) -> BodyFraming {
        match &self.head {
            Head::Http1(head) => head.framing(),
            // What follows an extended CONNECT is for the tunnel.
            Head::Http2(_) if self.protocol.is_some() => BodyFraming::None,
            Head::Http2(parts) => declared(&parts.headers, ended),
        }
    }

    /// The protocol that the client wants to change to.
    pub(crate) fn upgrade(&self) -> Option<&[u8]> {
        match &self.head {
            Head::Http1(head) => head.upgrade(),
            Head::Http2(_) => self.protocol.as_deref().map(str::as_bytes),
        }
    }

    pub(crate) fn is_connect(&self) -> bool {
        *self.method() == Method::CONNECT
    }

    /// What an upstream is told, as far as it decides where its answer ends.
    pub(crate) fn asked(&self) -> Asked {
        Asked::by(self.method(), self.upgrade().is_some())
    }

    /// True when sending it twice does what sending it once does (RFC 9110 §9.2.2).
    pub(crate) fn is_idempotent(&self) -> bool {
        matches!(
            *self.method(),
            Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE
        )
    }

    /// As the routes see it; a CONNECT has the path `/`.
    pub(crate) fn view(&self) -> RequestView<'_, HeaderView<'_>> {
        RequestView {
            method: self.method().as_str(),
            scheme: "http",
            authority: self.authority(),
            target: if self.is_connect() { "/" } else { self.target() },
            headers: self.headers(),
        }
    }

    /// Appends the head for an HTTP/1 upstream.
    pub(crate) fn write(&self, out: &mut bytes::BytesMut, edits: &Edits<'_>, framing: BodyFraming) {
        let (path, query) = match self.target().split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (self.target(), None),
        };
        let line = RequestLine {
            method: self.method(),
            path,
            query,
            host: self.authority(),
        };
        let persistence = self.upgrade().map_or(Persistence::Keep, Persistence::Upgrade);
        match &self.head {
            Head::Http1(head) => {
                write_request_head(out, &line, head.fields(), edits, framing, persistence);
            }
            Head::Http2(parts) => {
                write_request_head(out, &line, &parts.headers, edits, framing, persistence);
            }
        }
    }

    /// The head for an HTTP/2 upstream.
    ///
    /// # Errors
    /// When the authority or a header cannot stand in HTTP/2.
    pub(crate) fn to_http2(
        &self,
        edits: &Edits<'_>,
        framing: BodyFraming,
    ) -> Result<http::Request<()>, Fault> {
        let mut headers = HeaderMap::new();
        match &self.head {
            Head::Http1(head) => {
                headers.reserve(head.fields().len() + ADDED);
                head.fields().copy_into(&mut headers)?;
                if let BodyFraming::Length(length) = framing {
                    headers.insert(http::header::CONTENT_LENGTH, length.into());
                }
                if head.te_trailers() {
                    headers.insert(http::header::TE, HeaderValue::from_static("trailers"));
                }
            }
            Head::Http2(parts) => {
                headers.clone_from(&parts.headers);
                headers.remove(http::header::HOST);
            }
        }
        apply(edits, &mut headers);
        let unfit = |_| Fault::from(crate::h1::Refusal::HostMalformed);
        let uri = Uri::builder()
            .scheme("http")
            .authority(self.authority())
            .path_and_query(self.target())
            .build();
        let mut request = http::Request::new(());
        *request.method_mut() = self.method().clone();
        if let Some(protocol) = self
            .upgrade()
            .and_then(|protocol| std::str::from_utf8(protocol).ok())
        {
            *request.method_mut() = Method::CONNECT;
            request.extensions_mut().insert(Protocol::from(protocol));
        }
        *request.uri_mut() = uri.map_err(unfit)?;
        *request.version_mut() = Version::HTTP_2;
        *request.headers_mut() = headers;
        Ok(request)
    }
}

/// How a body of an HTTP/2 message is framed where frames are not known.
pub(crate) fn declared(headers: &HeaderMap, ended: bool) -> BodyFraming {
    let length = headers
        .get(http::header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok());
    match (length, ended) {
        (Some(length), _) => BodyFraming::Length(length),
        (None, true) => BodyFraming::None,
        (None, false) => BodyFraming::Chunked,
    }
}

/// Makes the changes of an HTTP/1 head to the headers of an HTTP/2 one.
pub(crate) fn apply(edits: &Edits<'_>, headers: &mut HeaderMap) {
    for name in edits.remove {
        headers.remove(*name);
    }
    let pair = |name: &str, value: &[u8]| Some((header_name(name)?, HeaderValue::from_bytes(value).ok()?));
    for (name, value) in edits.set.iter().filter_map(|(name, value)| pair(name, value)) {
        headers.insert(name, value);
    }
    for (name, value) in edits.add.iter().filter_map(|(name, value)| pair(name, value)) {
        headers.append(name, value);
    }
}

/// The name of a header; those that we set on every request cost no memory.
fn header_name(name: &str) -> Option<HeaderName> {
    const ID: HeaderName = HeaderName::from_static("x-request-id");
    const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
    const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
    match name {
        "server" => Some(http::header::SERVER),
        "x-request-id" => Some(ID),
        "x-forwarded-proto" => Some(PROTO),
        "x-forwarded-for" => Some(FOR),
        other => HeaderName::from_bytes(other.as_bytes()).ok(),
    }
}

fn with_query(path: &str, query: Option<&str>) -> String {
    match query {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    }
}
