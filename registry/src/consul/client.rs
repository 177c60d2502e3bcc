//! HTTP to a Consul agent: bytes out, bytes in, every wait bounded.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Certificate, Identity, Method, Url};

use super::answer::Answer;
use super::error::Error;
use super::settings::{Tls, Token};

/// A body larger than this is refused: 64 MiB, some 60,000 instances of one service.
const LARGEST_BODY: usize = 64 << 20;

/// A connection attempt may take this long.
const CONNECT: Duration = Duration::from_secs(3);

/// Silent connections are probed after this, and each second from then on; three lost probes end one.
const KEEP_ALIVE: Duration = Duration::from_secs(3);

/// What stays as it is in a path segment.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// A client of one agent. Clones share connections.
#[derive(Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    base: Url,
    token: Arc<Token>,
}

impl Client {
    pub(super) fn new(address: &str, token: Token, tls: &Tls) -> Result<Client, Error> {
        let base = base_url(address)?;
        if let Token::Value(secret) = &token {
            header(secret).map_err(|reason| Error::Setup(format!("the acl token {reason}")))?;
        }
        // reqwest panics without a provider. The program installs one first thing; a library's user may not.
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            // Losing a race to another thread is as good as winning it.
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        }
        let builder = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .tcp_keepalive(KEEP_ALIVE)
            .tcp_keepalive_interval(Duration::from_secs(1))
            .tcp_keepalive_retries(3)
            .user_agent(concat!("outrigger/", env!("CARGO_PKG_VERSION")));
        let http = with_tls(builder, base.scheme() == "https", tls)?
            .build()
            .map_err(|error| Error::Setup(innermost(&error)))?;
        Ok(Client {
            http,
            base,
            token: Arc::new(token),
        })
    }

    /// The address, for messages.
    pub(super) fn address(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// GET; the path's segments are escaped here.
    pub(super) async fn get(
        &self,
        path: &[&str],
        query: &[(&str, String)],
        timeout: Duration,
    ) -> Result<Answer, Error> {
        self.send(Method::GET, path, query, None, timeout).await
    }

    /// PUT with a JSON body or none.
    pub(super) async fn put(
        &self,
        path: &[&str],
        query: &[(&str, String)],
        body: Option<Vec<u8>>,
        timeout: Duration,
    ) -> Result<Answer, Error> {
        self.send(Method::PUT, path, query, body, timeout).await
    }

    async fn send(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        body: Option<Vec<u8>>,
        timeout: Duration,
    ) -> Result<Answer, Error> {
        let url = self.url(path, query);
        let mut request = self.http.request(method, url.clone()).timeout(timeout);
        if let Some(secret) = self.token().await? {
            request = request.header("X-Consul-Token", secret);
        }
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        let failed = |error: reqwest::Error| match error.is_timeout() && !error.is_connect() {
            true => Error::TimedOut {
                address: self.address().to_owned(),
                after: timeout,
            },
            false => Error::Unreachable {
                address: self.address().to_owned(),
                reason: innermost(&error),
            },
        };
        let mut response = request.send().await.map_err(failed)?;
        let mut answer = head(url.path(), response.status().as_u16(), response.headers());
        let mut bytes = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if bytes.len() + chunk.len() > LARGEST_BODY {
                return Err(Error::Garbled {
                    path: answer.path,
                    reason: format!("more than {LARGEST_BODY} bytes"),
                });
            }
            bytes.extend_from_slice(&chunk);
        }
        answer.body = bytes.freeze();
        Ok(answer)
    }

    fn url(&self, path: &[&str], query: &[(&str, String)]) -> Url {
        let mut url = self.base.clone();
        let mut whole = url.path().trim_end_matches('/').to_owned();
        for segment in path {
            whole.push('/');
            whole.extend(utf8_percent_encode(segment, SEGMENT));
        }
        url.set_path(&whole);
        if !query.is_empty() {
            url.query_pairs_mut()
                .extend_pairs(query.iter().map(|(key, value)| (*key, value.as_str())));
        }
        url
    }

    async fn token(&self) -> Result<Option<HeaderValue>, Error> {
        match &*self.token {
            Token::None => Ok(None),
            Token::Value(secret) => header(secret)
                .map(Some)
                .map_err(|reason| Error::Setup(format!("the acl token {reason}"))),
            Token::File(path) => {
                let failed = |reason: String| Error::File {
                    purpose: "token",
                    path: path.clone(),
                    reason,
                };
                let text = tokio::fs::read_to_string(path)
                    .await
                    .map_err(|error| failed(error.to_string()))?;
                header(text.trim())
                    .map(Some)
                    .map_err(|reason| failed(reason.to_owned()))
            }
        }
    }
}

fn header(secret: &str) -> Result<HeaderValue, &'static str> {
    if secret.is_empty() {
        return Err("is empty");
    }
    let mut value = HeaderValue::from_str(secret).map_err(|_| "has characters that no header may have")?;
    value.set_sensitive(true);
    Ok(value)
}

fn base_url(address: &str) -> Result<Url, Error> {
    let refuse = |reason: &str| Error::Address {
        address: address.to_owned(),
        reason: reason.to_owned(),
    };
    let text = match address.contains("://") {
        true => address.to_owned(),
        false => format!("http://{address}"),
    };
    let url = Url::parse(&text).map_err(|error| refuse(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refuse(&format!("scheme {:?}", url.scheme())));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(refuse("no host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse(
            "user and password; an acl token goes into its own setting",
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refuse("query or fragment"));
    }
    Ok(url)
}

fn with_tls(
    builder: reqwest::ClientBuilder,
    https: bool,
    tls: &Tls,
) -> Result<reqwest::ClientBuilder, Error> {
    if !https {
        // No certificates of the system are needed then, and an image may have none.
        return Ok(builder.tls_certs_only([]));
    }
    let mut builder = builder;
    if let Some(path) = &tls.ca_file {
        let authorities = Certificate::from_pem_bundle(&read("ca", path)?)
            .ok()
            .filter(|list| !list.is_empty())
            .ok_or_else(|| unusable("ca", path, "no PEM certificate in it"))?;
        builder = builder.tls_certs_only(authorities);
    }
    match (&tls.cert_file, &tls.key_file) {
        (None, None) => Ok(builder),
        (Some(cert), None) => Err(unusable("cert", cert, "a key file is needed beside it")),
        (None, Some(key)) => Err(unusable("key", key, "a cert file is needed beside it")),
        (Some(cert), Some(key)) => {
            let mut pem = read("cert", cert)?;
            pem.push(b'\n');
            pem.extend(read("key", key)?);
            let identity =
                Identity::from_pem(&pem).map_err(|error| unusable("cert", cert, &innermost(&error)))?;
            Ok(builder.identity(identity))
        }
    }
}

fn read(purpose: &'static str, path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|error| unusable(purpose, path, &error.to_string()))
}

fn unusable(purpose: &'static str, path: &Path, reason: &str) -> Error {
    Error::File {
        purpose,
        path: path.to_owned(),
        reason: reason.to_owned(),
    }
}

fn head(path: &str, status: u16, headers: &HeaderMap) -> Answer {
    let text = |name: &str| {
        headers
            .get(name)
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let flag = |name: &str| text(name).map(|value| value == "true");
    // Since 1.10 a blocking health query is answered from a stream of events, and then Consul always says that
    // it knows no leader and heard it 0 ms ago: it did not look.
    let looked = text("x-consul-query-backend").is_none_or(|backend| backend != "streaming");
    Answer {
        path: path.to_owned(),
        status,
        index: text("x-consul-index"),
        known_leader: flag("x-consul-knownleader").filter(|_| looked),
        last_contact_ms: text("x-consul-lastcontact")
            .and_then(|value| value.parse().ok())
            .filter(|_| looked),
        filtered: flag("x-consul-results-filtered-by-acls").unwrap_or(false),
        content_type: text("content-type").unwrap_or_default(),
        ..Answer::default()
    }
}

/// The cause that names the reason; the outer ones only say that a request failed.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(address: &str, token: Token, tls: &Tls) -> String {
        match Client::new(address, token, tls) {
            Ok(client) => format!("accepted as {}", client.address()),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn addresses_are_completed_or_refused_with_a_reason() {
        for (address, expected) in [
            ("localhost:8500", "accepted as http://localhost:8500"),
            (
                "http://[::1]:8500/consul/",
                "accepted as http://[::1]:8500/consul",
            ),
            (
                "ftp://a",
                "consul address \"ftp://a\" is not usable: scheme \"ftp\"; expected http://HOST:PORT or https://HOST:PORT",
            ),
            (
                "http://u:p@a",
                "consul address \"http://u:p@a\" is not usable: user and password; an acl token goes into its own setting; expected http://HOST:PORT or https://HOST:PORT",
            ),
        ] {
            assert_eq!(refusal(address, Token::None, &Tls::default()), expected);
        }
        assert!(refusal("", Token::None, &Tls::default()).contains("not usable"));
        assert!(refusal("http://a:99999", Token::None, &Tls::default()).contains("not usable"));
    }

    #[test]
    fn tokens_and_tls_files_are_checked_before_anything_runs() {
        let token = refusal("a:1", Token::Value("a\nb".into()), &Tls::default());
        assert!(token.contains("the acl token has characters"), "{token}");

        let folder = tempfile::tempdir().unwrap();
        let empty = folder.path().join("ca.pem");
        std::fs::write(&empty, "nothing").unwrap();
        let no_authority = Tls {
            ca_file: Some(empty.clone()),
            ..Tls::default()
        };
        let refused = refusal("https://a:1", Token::None, &no_authority);
        assert!(refused.ends_with("ca.pem: no PEM certificate in it"), "{refused}");

        let no_key = Tls {
            cert_file: Some(empty),
            ..Tls::default()
        };
        let refused = refusal("https://a:1", Token::None, &no_key);
        assert!(refused.ends_with("a key file is needed beside it"), "{refused}");
    }

    #[test]
    fn what_a_stream_says_of_the_leader_is_not_believed() {
        let mut headers = HeaderMap::new();
        headers.insert("x-consul-index", HeaderValue::from_static("15"));
        headers.insert("x-consul-knownleader", HeaderValue::from_static("false"));
        headers.insert("x-consul-lastcontact", HeaderValue::from_static("0"));
        let plain = head("/", 200, &headers);
        assert_eq!(
            (plain.known_leader, plain.last_contact_ms),
            (Some(false), Some(0))
        );

        headers.insert("x-consul-query-backend", HeaderValue::from_static("streaming"));
        let streamed = head("/", 200, &headers);

        assert_eq!((streamed.known_leader, streamed.last_contact_ms), (None, None));
        assert_eq!(streamed.index.as_deref(), Some("15"));
    }

    #[test]
    fn odd_names_stay_inside_their_segment() {
        let client = Client::new("http://a:1/base", Token::None, &Tls::default()).unwrap();

        let url = client.url(
            &["v1", "health", "service", "a/../b?c#d é"],
            &[("dc", "x&y=z".to_owned())],
        );

        assert_eq!(
            url.as_str(),
            "http://a:1/base/v1/health/service/a%2F..%2Fb%3Fc%23d%20%C3%A9?dc=x%26y%3Dz"
        );
    }
}
