//! The config API over HTTP: what the command line and roles that run apart use.

mod lines;
mod warning;
mod watching;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use outrigger_api::document::{self, Options};
use outrigger_api::kind::Kind;
use outrigger_api::meta::is_subdomain;
use outrigger_api::resource::{Key, Resource};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, WARNING};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::{ClientError, chain, root};
use crate::source::{ConfigSource, ConfigStore, Deleted, Listed, WatchEvent, Written};
use crate::status::Status;
use crate::token::MeshToken;

/// Time for a connection to be made.
const CONNECT: Duration = Duration::from_secs(5);
/// Time for a call other than a watch, answer included.
const CALL: Duration = Duration::from_secs(30);
/// Idle time after which a connection is not used again: shorter than the server keeps it.
const IDLE: Duration = Duration::from_secs(5);
/// Largest answer read, in bytes: 10,000 objects of 12 KiB.
const LARGEST_ANSWER: usize = 128 << 20;

/// A client of one API server. Cheap to clone: clones share connections.
///
/// It goes to the server directly, never through `HTTP_PROXY`, which in a mesh is for applications, and follows no
/// redirect.
#[derive(Clone, Debug)]
pub struct HttpClient {
    http: reqwest::Client,
    /// Without a slash at its end.
    base: Arc<str>,
}

impl HttpClient {
    /// A client of the server at a base URL such as `http://127.0.0.1:8080`; nothing is asked yet.
    ///
    /// # Errors
    /// [`ClientError::BadAddress`] when the URL is none, is neither http nor https, or holds a query.
    pub fn new(base: &str, token: Option<&MeshToken>) -> Result<Self, ClientError> {
        let bad = |reason: &str| ClientError::BadAddress {
            address: base.to_owned(),
            reason: reason.to_owned(),
        };
        let url = Url::parse(base).map_err(|error| bad(&error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(bad("it begins neither with http:// nor with https://"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(bad("it holds a query or a fragment"));
        }
        let mut headers = HeaderMap::new();
        if let Some(token) = token {
            let mut value =
                HeaderValue::try_from(token.header_value()).map_err(|error| bad(&error.to_string()))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        // Building a client panics when the process has no provider; the program's start normally installed one.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let http = reqwest::Client::builder()
            .user_agent(concat!("outrigger/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .connect_timeout(CONNECT)
            .pool_idle_timeout(IDLE)
            .tcp_nodelay(true)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| bad(&chain(&error)))?;
        Ok(HttpClient {
            http,
            base: base.trim_end_matches('/').into(),
        })
    }

    /// The server's own version text (`gitVersion` of `/version`).
    ///
    /// # Errors
    /// When the server cannot be reached or answers something else.
    pub async fn server_version(&self) -> Result<String, ClientError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Version {
            git_version: String,
        }
        let url = format!("{}/version", self.base);
        let answer = self.call(self.http.get(&url), &url).await?;
        let version: Version = answer.decode()?;
        Ok(version.git_version)
    }

    fn collection(&self, kind: Kind, namespace: Option<&str>) -> String {
        let (base, group, version, plural) = (&self.base, kind.group(), kind.version(), kind.plural());
        match namespace {
            None => format!("{base}/apis/{group}/{version}/{plural}"),
            Some(namespace) => {
                format!(
                    "{base}/apis/{group}/{version}/namespaces/{}/{plural}",
                    escape(namespace)
                )
            }
        }
    }

    /// Refuses what is no name: an empty one, or a dot, would lead to the whole collection.
    fn item(&self, kind: Kind, namespace: &str, name: &str) -> Result<String, ClientError> {
        if let Some(bad) = [namespace, name].into_iter().find(|name| !is_subdomain(name)) {
            return Err(ClientError::BadName { name: bad.to_owned() });
        }
        Ok(format!(
            "{}/{}",
            self.collection(kind, Some(namespace)),
            escape(name)
        ))
    }

    async fn list_now(&self, kind: Kind) -> Result<Listed, ClientError> {
        let url = self.collection(kind, None);
        let answer = self.call(self.http.get(&url), &url).await?;
        let list: WireList<'_> = answer.decode()?;
        let version = list
            .metadata
            .resource_version
            .parse()
            .map_err(|_| answer.garbled("metadata.resourceVersion of the list is not a number"))?;
        let items = list
            .items
            .iter()
            .filter_map(|raw| read_or_skip(raw.get(), &url))
            .collect();
        Ok(Listed { items, version })
    }

    async fn get_now(&self, key: &Key) -> Result<Option<Arc<Resource>>, ClientError> {
        let url = self.item(key.kind, &key.namespace, &key.name)?;
        match self.call(self.http.get(&url), &url).await {
            Ok(answer) => Ok(Some(answer.resource()?)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn write(&self, method: Method, url: String, resource: &Resource) -> Result<Written, ClientError> {
        let request = self
            .http
            .request(method, &url)
            .header(CONTENT_TYPE, "application/json")
            .body(resource.to_json().to_string());
        let answer = self.call(request, &url).await?;
        Ok(Written {
            resource: answer.resource()?,
            warnings: answer.warnings.clone(),
        })
    }

    async fn delete_now(&self, key: &Key) -> Result<Deleted, ClientError> {
        let url = self.item(key.kind, &key.namespace, &key.name)?;
        let answer = self.call(self.http.delete(&url), &url).await?;
        // The answer is a `Status`, or the object itself as long as somebody holds it.
        let held = match answer.decode::<Status>() {
            Ok(status) if status.kind == "Status" => None,
            Ok(_) | Err(_) => Some(answer.resource()?),
        };
        Ok(Deleted {
            held,
            warnings: answer.warnings,
        })
    }

    async fn call(&self, request: RequestBuilder, url: &str) -> Result<Answer, ClientError> {
        let response = request
            .timeout(CALL)
            .send()
            .await
            .map_err(|error| self.unreachable(&error))?;
        let code = response.status();
        let warnings = warning::read(response.headers().get_all(WARNING));
        let body = self.body(response).await?;
        let answer = Answer {
            url: url.to_owned(),
            body,
            warnings,
        };
        if code.is_success() {
            Ok(answer)
        } else {
            Err(answer.failure(code))
        }
    }

    async fn body(&self, mut response: Response) -> Result<Bytes, ClientError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(&error))? {
            if body.len() + chunk.len() > LARGEST_ANSWER {
                return Err(ClientError::Garbled {
                    address: response.url().to_string(),
                    reason: format!("it is longer than {LARGEST_ANSWER} bytes"),
                });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.into())
    }

    fn unreachable(&self, error: &reqwest::Error) -> ClientError {
        ClientError::Unreachable {
            address: self.base.to_string(),
            reason: root(error),
        }
    }
}

impl ConfigSource for HttpClient {
    fn list(&self, kind: Kind) -> BoxFuture<'_, Result<Listed, ClientError>> {
        Box::pin(self.list_now(kind))
    }

    fn watch(&self, kind: Kind, after: u64) -> BoxStream<'static, Result<WatchEvent, ClientError>> {
        watching::watch(self.clone(), kind, after)
    }

    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Arc<Resource>>, ClientError>> {
        Box::pin(self.get_now(key))
    }
}

impl ConfigStore for HttpClient {
    fn create<'a>(&'a self, resource: &'a Resource) -> BoxFuture<'a, Result<Written, ClientError>> {
        let url = self.collection(resource.kind(), Some(&resource.meta.namespace));
        Box::pin(self.write(Method::POST, url, resource))
    }

    fn replace<'a>(&'a self, resource: &'a Resource) -> BoxFuture<'a, Result<Written, ClientError>> {
        Box::pin(async move {
            let url = self.item(resource.kind(), &resource.meta.namespace, &resource.meta.name)?;
            self.write(Method::PUT, url, resource).await
        })
    }

    fn delete<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Deleted, ClientError>> {
        Box::pin(self.delete_now(key))
    }

    fn source(self: Arc<Self>) -> Arc<dyn ConfigSource> {
        self
    }
}

/// A whole answer, read.
struct Answer {
    url: String,
    body: Bytes,
    warnings: Vec<String>,
}

impl Answer {
    fn decode<'a, T: Deserialize<'a>>(&'a self) -> Result<T, ClientError> {
        serde_json::from_slice(&self.body).map_err(|error| self.garbled(&error.to_string()))
    }

    fn resource(&self) -> Result<Arc<Resource>, ClientError> {
        read(&self.body).map_err(|reason| self.garbled(&reason))
    }

    fn failure(&self, code: StatusCode) -> ClientError {
        match self.decode::<Status>() {
            Ok(status) if status.kind == "Status" => Status {
                code: code.as_u16(),
                ..status
            }
            .into(),
            Ok(_) | Err(_) => self.garbled(&format!("HTTP {code} without a Status object")),
        }
    }

    fn garbled(&self, reason: &str) -> ClientError {
        ClientError::Garbled {
            address: self.url.clone(),
            reason: reason.to_owned(),
        }
    }
}

#[derive(Deserialize)]
struct WireList<'a> {
    metadata: WireListMeta,
    #[serde(borrow, default)]
    items: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireListMeta {
    resource_version: String,
}

/// Reads one object; an unreadable one is worth a warning but must not hide the others (`spec/traffic-v1alpha2.md` §0).
fn read_or_skip(json: &str, url: &str) -> Option<Arc<Resource>> {
    match read(json.as_bytes()) {
        Ok(resource) => Some(resource),
        Err(reason) => {
            tracing::warn!(%url, %reason, "skipped an object that cannot be read");
            None
        }
    }
}

fn read(json: &[u8]) -> Result<Arc<Resource>, String> {
    // A newer server may know fields that this client does not.
    let options = Options {
        allow_unknown: true,
        ..Options::default()
    };
    match document::parse_body(json, &options) {
        Ok(parsed) => Ok(Arc::new(parsed.resource)),
        Err(problems) => Err(problems
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("; ")),
    }
}

/// Percent-encodes one path segment; names that are valid come out as they are.
fn escape(segment: &str) -> String {
    let mut escaped = String::with_capacity(segment.len());
    for byte in segment.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(char::from(byte))
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests;
