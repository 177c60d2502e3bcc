//! The proxy under a real ADS server with hand-made snapshots: from a snapshot to an answered request.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // test code; clippy knows only #[test] functions as such

mod pilot;
mod traffic;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Instant;

use outrigger_proxy::control::{Control, Life, Source, State};
use outrigger_proxy::plane::{Plane, PlaneSettings};
use outrigger_proxy::table::{Current, Table};
use outrigger_xds::client::Settings;
use outrigger_xds::{NodeInfo, TypeUrl};

use pilot::{Pilot, SOON};
use traffic::{Load, ask, backend};

/// A running proxy.
struct Proxy {
    control: Control,
    plane: Plane,
    life: Arc<Life>,
    current: Arc<Current>,
}

impl Proxy {
    fn start(pilot: SocketAddr) -> Proxy {
        let current = Current::new(Table::default());
        let life = Life::new("waiting for the first configuration");
        let (plane, sockets) =
            Plane::start(&PlaneSettings::default(), &current, &life).expect("the workers start");
        let node = NodeInfo::from_id("sidecar~127.0.0.1~test.instance~service.consul").expect("a good id");
        let settings = Settings::new(pilot.to_string());
        let source = Source::Xds {
            settings: Box::new(settings),
            node: Box::new(node),
        };
        let control = Control::start(
            source,
            1,
            Arc::clone(&current),
            Box::new(sockets),
            Arc::clone(&life),
        );
        Proxy {
            control: control.expect("the control thread starts"),
            plane,
            life,
            current,
        }
    }

    fn wait_until(&self, what: &str, condition: impl Fn(&Proxy) -> bool) {
        let deadline = Instant::now() + SOON;
        while !condition(self) {
            assert!(
                Instant::now() < deadline,
                "waited in vain for {what}: {:?}",
                self.life.state()
            );
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    }

    fn stop(self) {
        self.life.drain();
        self.control.stop();
        self.plane.finish(Instant::now());
    }
}

/// A port that was free a moment ago.
fn free_port() -> SocketAddr {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
    socket.local_addr().expect("an address")
}

/// A mesh of one listener whose requests go by weight to v1 and v2.
struct Mesh {
    listener: SocketAddr,
    backends: Vec<(&'static str, Vec<SocketAddr>)>,
    weights: Vec<(&'static str, u32)>,
    /// More listeners, as YAML.
    more: String,
    /// A pattern that the first route matches the path with.
    pattern: &'static str,
}

impl Mesh {
    fn yaml(&self) -> String {
        let clusters = self.backends.iter().map(|(name, _)| {
            format!("  - {{name: {name}, type: EDS, eds_cluster_config: {{}}, connect_timeout: 1s}}\n")
        });
        let endpoints = self.backends.iter().map(|(name, addresses)| {
            let lb = addresses.iter().map(|address| {
                let (ip, port) = (address.ip(), address.port());
                format!(
                    "{{endpoint: {{address: {{socket_address: {{address: {ip}, port_value: {port}}}}}}}}}"
                )
            });
            let lb: Vec<_> = lb.collect();
            format!(
                "  - {{cluster_name: {name}, endpoints: [{{lb_endpoints: [{}]}}]}}\n",
                lb.join(", ")
            )
        });
        let weights: Vec<_> = self
            .weights
            .iter()
            .map(|(name, weight)| format!("{{name: {name}, weight: {weight}}}"))
            .collect();
        format!(
            "static_resources:\n  clusters:\n{}  endpoints:\n{}  listeners:\n{}{}  routes:\n  - name: web\n    \
             virtual_hosts:\n    - name: web\n      domains: [web]\n      routes:\n      - match: {{safe_regex: \
             {{regex: \"{}\"}}}}\n        route: {{weighted_clusters: {{clusters: [{}]}}}}\n",
            clusters.collect::<String>(),
            endpoints.collect::<String>(),
            http_listener("web", self.listener),
            self.more,
            self.pattern,
            weights.join(", "),
        )
    }
}

fn http_listener(name: &str, address: SocketAddr) -> String {
    let (ip, port) = (address.ip(), address.port());
    format!(
        r#"  - name: {name}
    address: {{socket_address: {{address: {ip}, port_value: {port}}}}}
    traffic_direction: OUTBOUND
    filter_chains:
    - filters:
      - name: hcm
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: {name}
          rds: {{route_config_name: web}}
          http_filters:
          - name: router
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
"#
    )
}

/// A pilot with the mesh published, and a proxy that serves it.
fn serving() -> (Pilot, Mesh, Proxy) {
    let mut pilot = Pilot::start();
    let mesh = Mesh {
        listener: free_port(),
        backends: vec![("v1", vec![backend("one")]), ("v2", vec![backend("two")])],
        weights: vec![("v1", 1)],
        more: String::new(),
        pattern: "/.*",
    };
    pilot.publish(&mesh.yaml());
    let proxy = Proxy::start(pilot.address());
    proxy.wait_until("the first whole configuration", |proxy| {
        proxy.life.state() == State::Live
    });
    (pilot, mesh, proxy)
}

#[test]
fn a_snapshot_opens_a_listener_that_answers_and_follows_the_weights() {
    let (mut pilot, mut mesh, proxy) = serving();
    assert_eq!(ask(mesh.listener, "web"), Ok((200, "one".to_owned())));
    assert_eq!(ask(mesh.listener, "unknown").map(|(status, _)| status), Ok(404));

    mesh.weights = vec![("v1", 1), ("v2", 1)];
    pilot.publish(&mesh.yaml());
    pilot.accepted(TypeUrl::Route);
    let bodies: Vec<_> = (0..60)
        .filter_map(|_| ask(mesh.listener, "web").ok())
        .map(|(_, body)| body)
        .collect();
    let ones = bodies.iter().filter(|body| *body == "one").count();
    assert_eq!(bodies.len(), 60);
    assert!((10..50).contains(&ones), "{ones} of 60 went to v1");

    mesh.weights = vec![("v2", 1)];
    pilot.publish(&mesh.yaml());
    pilot.accepted(TypeUrl::Route);
    for _ in 0..20 {
        assert_eq!(ask(mesh.listener, "web"), Ok((200, "two".to_owned())));
    }
    proxy.stop();
}

#[test]
fn nothing_fails_while_endpoints_and_routes_move_and_old_clusters_go() {
    let (mut pilot, mut mesh, proxy) = serving();
    let load = Load::start(mesh.listener, "web");
    for round in 0..10 {
        mesh.backends[0].1.push(backend("one"));
        pilot.publish(&mesh.yaml());
        pilot.accepted(TypeUrl::Endpoint);
        load.pass(20);
        let name = ["v3", "v4"][round % 2];
        mesh.backends.truncate(2);
        mesh.backends.push((name, vec![backend(name)]));
        mesh.weights = vec![(name, 1), ("v2", 1)];
        pilot.publish(&mesh.yaml());
        pilot.accepted(TypeUrl::Route);
        load.pass(20);
    }
    assert_eq!(load.finish(), [""; 0]);
    proxy.stop();
}

#[test]
fn a_refused_configuration_is_named_to_pilot_and_harms_nobody() {
    let (mut pilot, mut mesh, proxy) = serving();
    let load = Load::start(mesh.listener, "web");
    mesh.pattern = "/(";
    pilot.publish(&mesh.yaml());
    let reason = pilot.refused(TypeUrl::Route);
    assert!(
        reason.starts_with("web: virtual_hosts[0].routes[0].match.safe_regex.regex: \"/(\""),
        "{reason}"
    );
    load.pass(50);

    mesh.pattern = "/.*";
    let busy = TcpListener::bind("127.0.0.1:0").expect("a free port");
    mesh.more = http_listener("busy", busy.local_addr().expect("an address"));
    pilot.publish(&mesh.yaml());
    let reason = pilot.refused(TypeUrl::Listener);
    assert!(reason.contains("busy: address: cannot listen on "), "{reason}");
    assert!(
        reason.contains(&format!("(pid {})", std::process::id())),
        "{reason}"
    );
    load.pass(50);
    let address = busy.local_addr().expect("an address");
    drop(busy);
    proxy.wait_until("the freed port", |proxy| {
        proxy.current.load().listener(address).is_some()
    });
    assert_eq!(ask(address, "web"), Ok((200, "one".to_owned())));
    pilot.healed(TypeUrl::Listener, "busy");
    assert_eq!(load.finish(), [""; 0]);
    proxy.stop();
}

#[test]
fn nothing_fails_while_pilot_is_away_and_its_return_brings_what_changed() {
    let (mut pilot, mut mesh, proxy) = serving();
    let load = Load::start(mesh.listener, "web");
    let before = proxy.current.serial();
    pilot.stop();
    proxy.wait_until("the loss to be noticed", |proxy| {
        proxy
            .control
            .records()
            .connection_state()
            .is_some_and(|state| !state.connected)
    });
    load.pass(100);
    assert_eq!(proxy.life.state(), State::Live);
    assert_eq!(proxy.current.serial(), before, "the configuration stays");

    mesh.weights = vec![("v2", 1)];
    pilot.publish(&mesh.yaml());
    pilot.serve();
    pilot.accepted(TypeUrl::Route);
    assert_eq!(ask(mesh.listener, "web"), Ok((200, "two".to_owned())));
    load.pass(20);
    assert_eq!(load.finish(), [""; 0]);
    proxy.stop();
}

#[test]
fn a_removed_listener_closes_its_port() {
    let (mut pilot, mut mesh, proxy) = serving();
    let other = free_port();
    mesh.more = http_listener("other", other);
    pilot.publish(&mesh.yaml());
    proxy.wait_until("the second listener", |proxy| {
        proxy.current.load().listener(other).is_some()
    });
    assert_eq!(ask(other, "web"), Ok((200, "one".to_owned())));
    mesh.more.clear();
    pilot.publish(&mesh.yaml());
    proxy.wait_until("the port to be closed", |_| {
        std::net::TcpStream::connect(other).is_err()
    });
    assert_eq!(ask(mesh.listener, "web"), Ok((200, "one".to_owned())));
    proxy.stop();
}

#[test]
fn a_configuration_without_listeners_is_whole_too() {
    let mut pilot = Pilot::start();
    pilot.publish("static_resources: {clusters: [{name: BlackHoleCluster}]}");
    let proxy = Proxy::start(pilot.address());
    proxy.wait_until("the empty configuration", |proxy| {
        proxy.life.state() == State::Live
    });
    assert_eq!(proxy.current.load().listeners().len(), 0);
    proxy.stop();
}

#[test]
fn a_proxy_that_starts_before_pilot_says_what_it_waits_for() {
    let mut pilot = Pilot::start();
    pilot.stop();
    let proxy = Proxy::start(pilot.address());
    let waits = |text: &str| {
        proxy.wait_until(
            text,
            |proxy| matches!(proxy.life.state(), State::Starting(reason) if reason.contains(text)),
        );
    };
    waits("waiting for the first");
    waits(&pilot.address().to_string());
    pilot.publish("static_resources: {clusters: [{name: BlackHoleCluster}]}");
    pilot.serve();
    proxy.wait_until("the first whole configuration", |proxy| {
        proxy.life.state() == State::Live
    });
    proxy.stop();
}
