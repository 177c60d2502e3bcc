//! The pages over real sockets.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use http::Method;

use super::*;
use crate::control::bootstrap::Bootstrap;
use crate::control::{BindError, Control, Life, Ports, Source};
use crate::table::{Current, Table};

const SAMPLE: &str = r#"
static_resources:
  listeners:
  - name: db
    address: {socket_address: {address: 127.0.0.1, port_value: 3306}}
    filter_chains:
    - filters:
      - name: tcp
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: db
          cluster: outbound|3306||db
  clusters:
  - name: outbound|3306||db
    load_assignment:
      cluster_name: db
      endpoints:
      - lb_endpoints:
        - endpoint: {address: {socket_address: {address: 127.0.0.9, port_value: 3306}}}
          metadata: {filter_metadata: {outrigger.mesh: {protocol: h2}}}
"#;

/// Sockets that nobody needs.
struct NoPorts;

impl Ports for NoPorts {
    fn bind(&mut self, _: SocketAddr) -> Result<(), BindError> {
        Ok(())
    }
    fn open(&mut self, _: SocketAddr) {}
    fn close(&mut self, _: SocketAddr) {}
}

/// A proxy without workers that runs the sample.
struct Rig {
    admin: Admin,
    view: View,
    life: Arc<Life>,
    current: Arc<Current>,
    _control: Control,
}

fn rig() -> Rig {
    let current = Current::new(Table::default());
    let life = Life::new("waiting for the first configuration");
    let source = Source::Static(Box::new(Bootstrap::parse(SAMPLE).expect("a good bootstrap")));
    let control = Control::start(
        source,
        2,
        Arc::clone(&current),
        Box::new(NoPorts),
        Arc::clone(&life),
    );
    let control = control.expect("a good configuration");
    let socket = || TcpListener::bind("127.0.0.1:0").expect("a free port");
    let view = View {
        current: Arc::clone(&current),
        life: Arc::clone(&life),
        records: Arc::clone(control.records()),
        workers: 2,
        node_id: "sidecar~127.0.0.1~a~b".to_owned(),
        started: Instant::now(),
        dropped_lines: Arc::default(),
    };
    let admin = Admin::start(socket(), socket(), view.clone()).expect("the ports are bound");
    Rig {
        admin,
        view,
        life,
        current,
        _control: control,
    }
}

fn ask(address: SocketAddr, request: &str) -> String {
    let mut connection = TcpStream::connect(address).expect("the port is open");
    write!(
        connection,
        "{request} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n"
    )
    .expect("the peer reads");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("the peer answers");
    answer
}

#[test]
fn every_page_answers() {
    let rig = rig();
    let check = |request: &str, status: &str, texts: &[&str]| {
        let answer = ask(rig.admin.admin_address(), request);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{request}: {answer}"
        );
        for text in texts {
            assert!(answer.contains(text), "{request} should say {text:?}: {answer}");
        }
    };
    let cluster = rig
        .current
        .load()
        .clusters()
        .next()
        .map(|cluster| Arc::clone(&cluster.info.stats));
    cluster.expect("one cluster").shard(1).upstream_cx_total.add(5);
    check("GET /ready", "200", &["LIVE"]);
    check("GET /", "200", &["/stats/prometheus", "POST /quitquitquit"]);
    check(
        "GET /stats",
        "200",
        &[
            "cluster.outbound|3306||db.upstream_cx_total: 5",
            "tcp.db.downstream_cx_total: 0",
        ],
    );
    check(
        "GET /stats",
        "200",
        &[
            "listener.127.0.0.1_3306.downstream_cx_active: 0",
            "server.concurrency: 2",
        ],
    );
    check(
        "GET /stats?filter=db.*cx_total$&usedonly",
        "200",
        &["cluster.outbound|3306||db.upstream_cx_total: 5"],
    );
    check("GET /stats?filter=(", "400", &["is not a pattern"]);
    check(
        "GET /stats?format=json",
        "200",
        &["\"name\": \"cluster.outbound|3306||db.upstream_cx_total\""],
    );
    check("GET /stats?format=xml", "400", &["found \"xml\""]);
    check(
        "GET /stats/prometheus",
        "200",
        &["envoy_cluster_upstream_cx_total{envoy_cluster_name=\"outbound|3306||db\"} 5"],
    );
    check(
        "GET /clusters",
        "200",
        &["outbound|3306||db::127.0.0.9:3306::mesh::h2"],
    );
    check("GET /clusters?format=json", "200", &["\"port_value\": 3306"]);
    check("GET /listeners", "200", &["db::127.0.0.1:3306"]);
    check("GET /listeners?format=json", "200", &["\"kind\": \"tcp\""]);
    check(
        "GET /config_dump",
        "200",
        &["ListenersConfigDump", "\"stat_prefix\": \"db\""],
    );
    check(
        "GET /config_dump?resource=clusters&name=nothing",
        "200",
        &["\"configs\": []"],
    );
    check("GET /config_dump?resource=cats", "400", &["found \"cats\""]);
    check(
        "GET /server_info",
        "200",
        &["\"state\": \"LIVE\"", "sidecar~127.0.0.1~a~b"],
    );
    check("GET /nothing", "404", &["there is no page /nothing"]);
    check("GET /quitquitquit", "405", &["wants POST"]);
    check("HEAD /ready", "200", &[]);
}

#[test]
fn the_metrics_port_has_only_metrics_and_health() {
    let rig = rig();
    let address = rig.admin.metrics_address();
    assert!(ask(address, "GET /metrics").contains("envoy_server_live 1"));
    assert!(ask(address, "GET /healthz/ready").starts_with("HTTP/1.1 200"));
    for request in ["GET /config_dump", "POST /quitquitquit", "GET /clusters"] {
        assert!(ask(address, request).starts_with("HTTP/1.1 404"), "{request}");
    }
}

#[test]
fn another_host_learns_from_the_admin_port_only_whether_it_is_ready() {
    let ip = |text: &str| text.parse().expect("an address");
    let own = || Some(ip("10.0.0.7"));
    let rig = rig();
    let status = |door, method: &Method, path: &'static str| {
        pages::answer(door, method, &http::Uri::from_static(path), &rig.view).status()
    };

    assert_eq!(door(Port::Admin, ip("127.0.0.1"), own), Door::Admin);
    assert_eq!(door(Port::Admin, ip("10.0.0.7"), own), Door::Admin);
    assert_eq!(door(Port::Metrics, ip("10.0.0.8"), own), Door::Metrics);
    let stranger = door(Port::Admin, ip("10.0.0.8"), own);
    for path in [
        "/config_dump",
        "/clusters",
        "/stats",
        "/stats/prometheus",
        "/help",
    ] {
        assert_eq!(status(stranger, &Method::GET, path), 403, "{path}");
    }
    assert_eq!(status(stranger, &Method::POST, "/quitquitquit"), 403);
    assert_eq!(status(stranger, &Method::GET, "/ready"), 200);
}

#[tokio::test]
async fn draining_is_not_ready_and_quitting_asks_the_process_to_end() {
    let rig = rig();
    let address = rig.admin.admin_address();
    assert!(ask(address, "POST /quitquitquit").starts_with("HTTP/1.1 200"));
    rig.life.quit_asked().await;
    rig.life.drain();
    let answer = ask(address, "GET /ready");
    assert!(
        answer.starts_with("HTTP/1.1 503") && answer.contains("DRAINING"),
        "{answer}"
    );
    rig.admin.stop();
    assert!(TcpStream::connect(address).is_err(), "the port is closed");
}

#[test]
fn a_static_configuration_with_a_fault_does_not_start() {
    let text = SAMPLE.replace("stat_prefix: db", "stat_prefix: ''");
    let source = Source::Static(Box::new(Bootstrap::parse(&text).expect("readable")));
    let current = Current::new(Table::default());
    let error = Control::start(source, 1, current, Box::new(NoPorts), Life::new("x")).expect_err("a fault");
    assert!(
        error
            .to_string()
            .contains("db: filter_chains[0].filters[0].typed_config.stat_prefix"),
        "{error}"
    );
}
