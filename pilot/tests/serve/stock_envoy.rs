//! A stock Envoy takes everything that pilot gives out, in both variants of the protocol, and carries requests by it.
//!
//! Needs the peer: `cargo xtask peers envoy`, then `cargo test -p outrigger-pilot --features peers`.

use std::net::SocketAddr;
use std::process::Command;

use outrigger_testkit::peers;
use outrigger_testkit::process::Process;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::mesh::{Mesh, services, within};

struct Envoy {
    _process: Process,
    _folder: TempDir,
}

impl Envoy {
    /// An Envoy of which only the bootstrap is given.
    fn start(mesh: &Mesh, id: &str, variant: &str, metadata: Value) -> Envoy {
        let ads = json!({ "ads": {}, "resource_api_version": "V3" });
        let h2 = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
        let address = json!({
            "socket_address": { "address": mesh.xds.ip().to_string(), "port_value": mesh.xds.port() }
        });
        let bootstrap = json!({
            "node": { "id": id, "cluster": "test", "metadata": metadata },
            "dynamic_resources": {
                "lds_config": ads,
                "cds_config": ads,
                "ads_config": {
                    "api_type": variant,
                    "transport_api_version": "V3",
                    "grpc_services": [{ "envoy_grpc": { "cluster_name": "pilot" } }],
                },
            },
            "static_resources": {
                "clusters": [{
                    "name": "pilot",
                    "type": "STATIC",
                    "typed_extension_protocol_options": { h2: {
                        "@type": format!("type.googleapis.com/{h2}"),
                        "explicit_http_config": { "http2_protocol_options": {} },
                    } },
                    "load_assignment": {
                        "cluster_name": "pilot",
                        "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address } }] }],
                    },
                }],
            },
        });
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bootstrap.json");
        std::fs::write(&file, bootstrap.to_string()).unwrap();
        let mut command = Command::new(peers::find("envoy").unwrap());
        command
            .arg("-c")
            .arg(&file)
            .args(["--disable-hot-restart", "--concurrency", "1", "-l", "warning"]);
        let process = Process::start("envoy", &mut command, &folder.path().join("log")).unwrap();
        Envoy {
            _process: process,
            _folder: folder,
        }
    }
}

/// Every kind of rule that is in force, for the services `reviews.{domain}` and the like.
fn rules(domain: &str) -> String {
    "
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {name: reviews-jason}
spec:
  destination: {service: reviews.DOMAIN}
  precedence: 2
  match:
    request:
      headers:
        cookie: {regex: '^(.*?;)?(user=jason)(;.*)?$'}
        x-any: {prefix: ''}
        x-some: {prefix: some}
        uri: {prefix: /}
        method: {exact: GET}
  route: [{labels: {version: v1}, weight: 30}, {labels: {version: v2}, weight: 70}]
---
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {name: reviews-away}
spec:
  destination: {service: reviews.DOMAIN}
  precedence: 1
  match: {request: {headers: {uri: {exact: /old}}}}
  redirect: {uri: /new}
---
apiVersion: config.istio.io/v1alpha2
kind: RouteRule
metadata: {name: reviews-odd}
spec:
  destination: {service: reviews.DOMAIN}
  precedence: 3
  match: {request: {headers: {uri: {regex: '/a{1001}'}}}}
  route: [{labels: {version: v1}}]
---
apiVersion: config.istio.io/v1alpha2
kind: DestinationPolicy
metadata: {name: reviews}
spec:
  destination: {service: reviews.DOMAIN}
  loadBalancing: {name: LEAST_CONN}
---
apiVersion: networking.istio.io/v1alpha3
kind: DestinationRule
metadata: {name: ratings}
spec:
  host: ratings.DOMAIN
  trafficPolicy: {loadBalancer: {simple: RANDOM}}
  subsets: [{name: v1, labels: {version: v1}}]
---
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata: {name: ratings}
spec:
  hosts: [ratings.DOMAIN]
  gateways: [mesh, edge]
  http:
  - match: [{uri: {prefix: /Case}, ignoreUriCase: true, headers: {x-there: {}}, scheme: {exact: HTTP}}]
    timeout: 2s
    route: [{destination: {host: ratings.DOMAIN, subset: v1}}]
  - match: [{uri: {regex: '/a/[0-9]+'}, authority: {prefix: rat}}]
    route: [{destination: {host: ratings.DOMAIN, subset: gone}}]
  - route: [{destination: {host: ratings.DOMAIN, subset: v1}}]
  tcp:
  - match: [{port: 9400}]
    route:
    - {destination: {host: reviews.DOMAIN, port: {number: 9080}}, weight: 40}
    - {destination: {host: ratings.DOMAIN, port: {number: 9080}}, weight: 60}
---
apiVersion: networking.istio.io/v1alpha3
kind: Gateway
metadata: {name: edge}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 9410, name: http, protocol: HTTP}, hosts: ['*.DOMAIN']}
  - {port: {number: 9411, name: empty, protocol: HTTP2}, hosts: [www.example.com]}
  - {port: {number: 9400, name: tcp, protocol: TCP}, hosts: ['*']}
---
apiVersion: networking.istio.io/v1alpha3
kind: ServiceEntry
metadata: {name: outside}
spec:
  hosts: [outside.DOMAIN]
  ports: [{number: 9420, name: http, protocol: HTTP2}, {number: 9421, name: tcp, protocol: TCP}]
  resolution: DNS
  endpoints: [{address: localhost}]
"
    .replace("DOMAIN", domain)
}

/// Waits until the proxy runs what it is offered, the rules included, and has refused nothing.
async fn runs(mesh: &Mesh, id: &str, version: u64) {
    let page = mesh
        .page_until("/debug/syncz", |page| {
            let entry = page.as_array().unwrap().iter().find(|entry| entry["proxy"] == id);
            entry.is_some_and(|entry| {
                entry["generation"].as_u64() >= Some(version) || !entry["last_nack"].is_null()
            })
        })
        .await;
    let entry = page
        .as_array()
        .unwrap()
        .iter()
        .find(|entry| entry["proxy"] == id)
        .unwrap();
    assert_eq!(entry["last_nack"], Value::Null, "{entry:#}");
}

async fn a_sidecar_and_a_gateway(variant: &str, domain: &str, ip: &str) {
    let hosts = [
        format!("reviews.{domain}"),
        format!("ratings.{domain}"),
        format!("me.{domain}"),
    ];
    let [reviews, ratings, me] = hosts.each_ref().map(String::as_str);
    let backend = TcpListener::bind((ip, 9081)).await.unwrap();
    let answering = tokio::spawn(answer(backend));
    let catalog = services(&[
        (reviews, &[(ip, "v1")]),
        (ratings, &[(ip, "v1")]),
        (me, &[(ip, "v1")]),
    ]);
    let mesh = Mesh::start(catalog).await;
    mesh.ready().await;
    let sidecar_id = format!("sidecar~{ip}~me-v1~{domain}");
    let inbound = format!("9080={ip}:9081/http,9090={ip}:9081/tcp");
    let metadata = json!({ "INBOUND": inbound, "HTTP_PROXY_PORT": "9430", "OUTBOUND": format!("{reviews}:9080={ip}:9431") });
    let _sidecar = Envoy::start(&mesh, &sidecar_id, variant, metadata);
    let router_id = format!("router~{ip}~edge-1~{domain}");
    let _router = Envoy::start(
        &mesh,
        &router_id,
        variant,
        json!({ "LABELS": { "istio": "ingressgateway" } }),
    );
    runs(&mesh, &sidecar_id, 1).await;
    runs(&mesh, &router_id, 1).await;

    let version = mesh.apply(&rules(domain)).await;

    runs(&mesh, &sidecar_id, version).await;
    runs(&mesh, &router_id, version).await;
    // Through the upstream of the node's choice, over `reviews`, whose instance is this very sidecar's way in.
    let address = |port| SocketAddr::new(ip.parse().unwrap(), port);
    assert!(
        request(address(9431), "anything", "/")
            .await
            .contains("the backend")
    );
    assert!(
        request(address(9431), "anything", "/old")
            .await
            .starts_with("HTTP/1.1 501")
    );
    let with_port = |port| format!("{me}:{port}");
    assert!(
        request(address(9430), &with_port(9080), "/")
            .await
            .contains("the backend")
    );
    for no_port_of_it in [me.to_owned(), with_port(9999)] {
        let refused = request(address(9430), &no_port_of_it, "/").await;
        assert!(refused.starts_with("HTTP/1.1 404"), "{no_port_of_it}: {refused}");
    }
    assert!(
        request(address(9410), &format!("{ratings}:9410"), "/")
            .await
            .contains("the backend")
    );
    let mapped = request(address(9410), &format!("{ratings}:31380"), "/").await;
    assert!(mapped.contains("the backend"), "{mapped}");
    let missing = request(address(9410), ratings, "/a/7").await;
    assert!(missing.starts_with("HTTP/1.1 503"), "{missing}");
    assert!(request(address(9400), me, "/").await.contains("the backend"));
    assert!(request(address(9090), me, "/").await.contains("the backend"));
    answering.abort();
    mesh.stop().await.unwrap();
}

#[tokio::test]
async fn envoy_runs_by_state_of_the_world() {
    a_sidecar_and_a_gateway("GRPC", "sotw.envoy.test", "127.77.0.1").await;
}

#[tokio::test]
async fn envoy_runs_by_delta() {
    a_sidecar_and_a_gateway("DELTA_GRPC", "delta.envoy.test", "127.77.0.2").await;
}

/// Answers every connection's first request.
async fn answer(listener: TcpListener) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::spawn(async move {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 12\r\nconnection: close\r\n\r\nthe backend\n";
            let _ = stream.write_all(answer.as_bytes()).await;
        });
    }
}

async fn request(address: SocketAddr, host: &str, path: &str) -> String {
    within("an answer", async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    })
    .await
}
