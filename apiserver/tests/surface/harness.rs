//! A server on a port of its own, and a client that shows whole answers.

use std::sync::Arc;
use std::time::Duration;

use outrigger_apiserver::{ApiServer, Options};
use outrigger_client::HttpClient;
use outrigger_client::token::Access;
use reqwest::header::{HeaderMap, WARNING};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// Where gateways of the namespace `default` are.
pub(crate) const GATEWAYS: &str = "/apis/networking.istio.io/v1alpha3/namespaces/default/gateways";

/// Longest time that a condition is waited for.
pub(crate) const LATE: Duration = Duration::from_secs(20);

/// A running server.
pub(crate) struct Served {
    pub(crate) server: ApiServer,
    pub(crate) base: String,
    pub(crate) http: reqwest::Client,
    stop: Arc<Notify>,
    serving: JoinHandle<()>,
    _directory: TempDir,
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Served {
    pub(crate) async fn start() -> Served {
        Served::with(Options::default(), Access::Loopback).await
    }

    pub(crate) async fn with(options: Options, access: Access) -> Served {
        Served::at("127.0.0.1:0", options, access).await
    }

    /// Stops, and serves an empty store on the same port.
    pub(crate) async fn begun_anew(self) -> Served {
        let address = self.base.trim_start_matches("http://").to_owned();
        self.stop().await;
        Served::at(&address, Options::default(), Access::Loopback).await
    }

    async fn at(address: &str, options: Options, access: Access) -> Served {
        let directory = tempfile::tempdir().unwrap();
        let server = ApiServer::open(directory.path(), options).unwrap();
        let listener = TcpListener::bind(address).await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        HttpClient::new(&base, None).unwrap(); // installs the TLS provider that reqwest asks for
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let stop = Arc::new(Notify::new());
        let (serving, stopped) = (server.clone(), Arc::clone(&stop));
        let serving = tokio::spawn(async move {
            serving
                .serve(listener, access, async move { stopped.notified().await })
                .await
                .unwrap();
        });
        Served {
            server,
            base,
            http,
            stop,
            serving,
            _directory: directory,
        }
    }

    /// The typed client.
    pub(crate) fn client(&self) -> HttpClient {
        HttpClient::new(&self.base, None).unwrap()
    }

    /// Ends the server and waits until it has.
    pub(crate) async fn stop(self) {
        self.stop.notify_one();
        tokio::time::timeout(LATE, self.serving)
            .await
            .expect("the server does not stop")
            .unwrap();
    }

    /// One call. The body goes as JSON.
    pub(crate) async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let body = body.map(|body| body.to_string());
        self.send(method, path, &[("content-type", "application/json")], body)
            .await
    }

    /// One call, with headers and body as given.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> Answer {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        let response = request.send().await.unwrap();
        let (code, headers) = (response.status().as_u16(), response.headers().clone());
        Answer {
            code,
            headers,
            text: response.text().await.unwrap(),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, None).await
    }

    /// Creates a gateway and gives it back as stored.
    pub(crate) async fn create(&self, name: &str, labels: &[(&str, &str)]) -> Value {
        let mut gateway = gateway(name);
        for (key, value) in labels {
            gateway["metadata"]["labels"][*key] = json!(value);
        }
        let answer = self.call("POST", GATEWAYS, Some(gateway)).await;
        assert_eq!(answer.code, 201, "{answer:?}");
        answer.json()
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn warnings(&self) -> Vec<&str> {
        self.headers
            .get_all(WARNING)
            .iter()
            .map(|value| std::str::from_utf8(value.as_bytes()).unwrap())
            .collect()
    }

    /// Asserts that this is a failure told by a whole Status object.
    #[track_caller]
    pub(crate) fn is_failure(&self, code: u16, reason: &str) -> String {
        assert_eq!(self.code, code, "{self:?}");
        assert_eq!(self.header("content-type"), "application/json", "{self:?}");
        let status = self.json();
        assert_eq!(status["kind"], "Status", "{self:?}");
        assert_eq!(status["apiVersion"], "v1");
        assert_eq!(status["status"], "Failure");
        assert_eq!(status["code"], code);
        assert_eq!(status["reason"], reason, "{self:?}");
        status["message"].as_str().unwrap().to_owned()
    }
}

/// A gateway without a namespace of its own.
pub(crate) fn gateway(name: &str) -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "Gateway",
        "metadata": {"name": name},
        "spec": {
            "selector": {"istio": "ingressgateway"},
            "servers": [{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}],
        },
    })
}

/// The names in a list.
pub(crate) fn names(list: &Value) -> Vec<&str> {
    list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["metadata"]["name"].as_str().unwrap())
        .collect()
}
