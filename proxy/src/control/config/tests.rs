//! Scripted deliveries, without sockets or a clock.

use std::io;
use std::net::Ipv4Addr;

use super::*;
use crate::control::BindError;
use crate::control::bootstrap::Bootstrap;
use crate::table::ListenerKind;

/// Sockets that are only written down; those in `busy` cannot be bound.
#[derive(Default)]
struct Sockets {
    busy: BTreeSet<SocketAddr>,
}

impl Ports for Sockets {
    fn bind(&mut self, address: SocketAddr) -> Result<(), BindError> {
        match self.busy.contains(&address) {
            true => Err(BindError {
                address,
                owner: Some("nginx (pid 7)".into()),
                source: io::ErrorKind::AddrInUse.into(),
            }),
            false => Ok(()),
        }
    }
    fn open(&mut self, _: SocketAddr) {}
    fn close(&mut self, _: SocketAddr) {}
}

/// A configuration, its sockets, its time, and the last table.
struct Rig {
    config: Config,
    ports: Sockets,
    now: Instant,
    table: Arc<Table>,
    waiting: Option<String>,
}

impl Rig {
    fn new() -> Rig {
        let config = Config::new(1, Arc::default(), Some(Ipv4Addr::new(127, 0, 0, 2).into()));
        Rig {
            config,
            ports: Sockets::default(),
            now: Instant::now(),
            table: Arc::default(),
            waiting: None,
        }
    }

    /// Delivers resources of one type, written as in a bootstrap.
    fn deliver(&mut self, yaml: &str) -> Verdict {
        let bootstrap = parse(yaml);
        let mut verdict = Ok(());
        let mut apply = |kind, upserts: Vec<Upsert>| {
            if !upserts.is_empty() {
                verdict = self.config.apply(kind, &upserts, &[], &mut self.ports, self.now);
            }
        };
        apply(
            TypeUrl::Cluster,
            bootstrap.clusters.iter().map(|m| upsert(&m.name, m)).collect(),
        );
        apply(
            TypeUrl::Endpoint,
            bootstrap
                .endpoints
                .iter()
                .map(|m| upsert(&m.cluster_name, m))
                .collect(),
        );
        apply(
            TypeUrl::Listener,
            bootstrap.listeners.iter().map(|m| upsert(&m.name, m)).collect(),
        );
        apply(
            TypeUrl::Route,
            bootstrap.routes.iter().map(|m| upsert(&m.name, m)).collect(),
        );
        self.settle();
        verdict
    }

    fn remove(&mut self, kind: TypeUrl, name: &str) {
        let verdict = self
            .config
            .apply(kind, &[], &[name.to_owned()], &mut self.ports, self.now);
        assert_eq!(verdict, Ok(()));
        self.settle();
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.settle();
    }

    fn settle(&mut self) {
        let settled = self.config.settle(&mut self.ports, self.now);
        self.waiting = settled.waiting;
        if let Some(table) = settled.table {
            assert_eq!(table.serial, self.table.serial + 1);
            self.table = table;
        }
    }

    fn cluster(&self, name: &str) -> Option<Arc<crate::table::Cluster>> {
        self.table
            .clusters()
            .find(|cluster| &*cluster.info.name == name)
            .cloned()
    }

    /// The clusters that the first route of a listener forwards to.
    fn targets(&self, listener: &str) -> Vec<String> {
        let listener = self
            .table
            .listeners()
            .iter()
            .find(|found| &*found.name == listener)
            .expect("in force");
        let ListenerKind::Http(http) = &listener.kind else {
            panic!("a TCP listener")
        };
        let names = http.routes.clusters().map(|id| match self.table.cluster(id) {
            Some(cluster) => cluster.info.name.to_string(),
            None => "missing".to_owned(),
        });
        names.collect()
    }
}

/// Resources as they stand below `static_resources`.
fn parse(yaml: &str) -> Bootstrap {
    let indented: String = yaml.lines().map(|line| format!("  {line}\n")).collect();
    Bootstrap::parse(&format!("static_resources:\n{indented}")).expect("readable resources")
}

fn upsert(name: &str, message: &impl Message) -> Upsert {
    let value = message.encode_to_vec();
    Upsert {
        name: name.to_owned(),
        version: outrigger_xds::Version::of(&value).to_string(),
        value: value.into(),
    }
}

fn eds(name: &str) -> String {
    format!("clusters:\n- {{name: {name}, type: EDS, eds_cluster_config: {{}}}}")
}

fn endpoints(name: &str, ports: &[u16]) -> String {
    let address = |port| {
        format!("{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}}}}}")
    };
    let all: Vec<_> = ports.iter().map(address).collect();
    format!(
        "endpoints:\n- {{cluster_name: {name}, endpoints: [{{lb_endpoints: [{}]}}]}}",
        all.join(", ")
    )
}

fn listener(name: &str, port: u16, rds: &str) -> String {
    format!(
        r#"listeners:
- name: {name}
  address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
  filter_chains:
  - filters:
    - name: hcm
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
        stat_prefix: {name}
        rds: {{route_config_name: {rds}}}
        http_filters:
        - name: router
          typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}"#
    )
}

fn routes(name: &str, cluster: &str) -> String {
    format!(
        "routes:\n- {{name: {name}, virtual_hosts: [{{name: all, domains: ['*'], routes: [{{match: {{prefix: /}}, \
         route: {{cluster: {cluster}}}}}]}}]}}"
    )
}

/// One listener that forwards everything to the cluster `one`, which has one endpoint.
fn serving() -> Rig {
    let mut rig = Rig::new();
    rig.deliver(&eds("one")).expect("good");
    rig.deliver(&endpoints("one", &[1])).expect("good");
    rig.deliver(&listener("web", 80, "r")).expect("good");
    rig.deliver(&routes("r", "one")).expect("good");
    assert_eq!(rig.waiting, None);
    assert_eq!(rig.targets("web"), ["one"]);
    rig
}

#[test]
fn each_part_comes_into_force_when_what_it_needs_is_there() {
    let mut rig = Rig::new();
    rig.settle();
    assert_eq!(rig.waiting.as_deref(), Some("waiting for the first clusters"));
    rig.deliver(&eds("one")).expect("good");
    assert!(rig.cluster("one").is_none());
    assert_eq!(
        rig.config.interest(TypeUrl::Endpoint),
        BTreeSet::from(["one".to_owned()])
    );
    rig.deliver(&endpoints("one", &[1])).expect("good");
    assert!(rig.cluster("one").is_some());
    rig.deliver(&listener("web", 80, "r")).expect("good");
    assert!(rig.table.listeners().is_empty());
    assert_eq!(
        rig.waiting.as_deref(),
        Some("waiting for the routes r of listener web")
    );
    rig.deliver(&routes("r", "one")).expect("good");
    assert_eq!(rig.waiting, None);
    assert_eq!(rig.targets("web"), ["one"]);
}

#[test]
fn nothing_waits_longer_than_its_time() {
    let mut rig = Rig::new();
    rig.deliver(&eds("one")).expect("good");
    rig.deliver(&listener("web", 80, "r")).expect("good");
    rig.pass(PATIENCE);
    assert_eq!(rig.waiting, None);
    assert_eq!(rig.cluster("one").expect("in force").endpoints.usable(), 0);
    assert_eq!(rig.targets("web"), [""; 0]);
    rig.deliver(&routes("r", "one")).expect("good");
    assert_eq!(rig.targets("web"), ["one"]);
}

#[test]
fn an_endpoint_change_shares_everything_else() {
    let mut rig = serving();
    rig.deliver("clusters:\n- name: two").expect("good");
    let (before, two) = (Arc::clone(&rig.table), rig.cluster("two"));
    let old = rig.cluster("one").expect("in force");
    let guard = old.endpoints.members()[0].endpoint.enter();
    rig.deliver(&endpoints("one", &[1, 2])).expect("good");
    let new = rig.cluster("one").expect("in force");
    assert!(Arc::ptr_eq(&before.listeners()[0], &rig.table.listeners()[0]));
    assert!(Arc::ptr_eq(
        &two.expect("in force"),
        &rig.cluster("two").expect("in force")
    ));
    assert!(Arc::ptr_eq(&old.info, &new.info));
    assert!(Arc::ptr_eq(
        &old.endpoints.members()[0].endpoint,
        &new.endpoints.members()[0].endpoint
    ));
    assert_eq!(new.endpoints.members()[0].endpoint.active(), 1);
    drop(guard);
    let serial = rig.table.serial;
    rig.deliver(&endpoints("one", &[1, 2])).expect("good");
    assert_eq!(rig.table.serial, serial, "the same endpoints make no new table");
}

#[test]
fn a_route_to_a_cluster_that_is_not_there_keeps_the_old_one_until_it_is() {
    let mut rig = serving();
    rig.deliver(&routes("r", "two")).expect("good");
    assert_eq!(rig.targets("web"), ["one"], "the cluster is unknown");
    rig.deliver(&eds("two")).expect("good");
    assert_eq!(rig.targets("web"), ["one"], "the cluster has no endpoints yet");
    rig.deliver(&endpoints("two", &[2])).expect("good");
    assert_eq!(rig.targets("web"), ["two"]);
    rig.deliver(&routes("r", "never")).expect("good");
    rig.pass(PATIENCE);
    assert_eq!(rig.targets("web"), ["missing"]);
}

#[test]
fn a_removed_cluster_stays_while_routes_in_force_use_it() {
    let mut rig = serving();
    rig.deliver(&eds("two")).expect("good");
    rig.deliver(&endpoints("two", &[2])).expect("good");
    rig.remove(TypeUrl::Cluster, "one");
    assert_eq!(rig.targets("web"), ["one"]);
    rig.deliver(&routes("r", "two")).expect("good");
    assert_eq!(rig.targets("web"), ["two"]);
    assert!(rig.cluster("one").is_none());
    rig.remove(TypeUrl::Cluster, "two");
    rig.pass(PATIENCE);
    assert_eq!(rig.targets("web"), ["missing"], "pilot never changed the route");
}

#[test]
fn a_changed_cluster_serves_its_old_version_until_the_new_one_has_endpoints() {
    let mut rig = serving();
    let stats = Arc::clone(&rig.cluster("one").expect("in force").info.stats);
    rig.deliver("clusters:\n- {name: one, type: EDS, eds_cluster_config: {service_name: other}}")
        .expect("good");
    assert_eq!(rig.cluster("one").expect("in force").endpoints.usable(), 1);
    rig.deliver(&endpoints("other", &[7])).expect("good");
    let cluster = rig.cluster("one").expect("in force");
    assert_eq!(cluster.endpoints.members()[0].endpoint.address.port(), 7);
    assert!(Arc::ptr_eq(&cluster.info.stats, &stats), "counters are kept");
}

#[test]
fn a_bad_resource_is_refused_by_name_while_the_others_are_taken() {
    let mut rig = serving();
    let verdict = rig.deliver(&format!("{}\n- {{name: bad, type: EDS}}", eds("two")));
    assert_eq!(verdict, Err("bad: eds_cluster_config: is missing".to_owned()));
    rig.deliver(&endpoints("two", &[2])).expect("good");
    assert!(rig.cluster("two").is_some() && rig.cluster("bad").is_none());
    let verdict = rig.deliver(&routes("r", "''"));
    assert!(verdict.is_err());
    assert_eq!(rig.targets("web"), ["one"], "the last good version stays");
    let garbled = Upsert {
        name: "x".into(),
        version: "1".into(),
        value: vec![0xff; 4].into(),
    };
    let verdict = rig
        .config
        .apply(TypeUrl::Listener, &[garbled], &[], &mut rig.ports, rig.now);
    assert!(verdict.is_err_and(|reason| reason.starts_with("x: its bytes do not decode")));
}

#[test]
fn a_busy_port_is_refused_by_its_owners_name_and_tried_again() {
    let mut rig = serving();
    let address: SocketAddr = ([127, 0, 0, 1], 81).into();
    rig.ports.busy.insert(address);
    let verdict = rig.deliver(&listener("other", 81, "r"));
    let reason = verdict.expect_err("the port is taken");
    assert!(
        reason.starts_with("other: address: ") && reason.contains("nginx (pid 7): stop it"),
        "{reason}"
    );
    assert_eq!(rig.table.listeners().len(), 1);
    rig.ports.busy.clear();
    rig.pass(Duration::from_secs(2));
    assert_eq!(rig.targets("other"), ["one"]);
    assert!(
        rig.config.records.kind(TypeUrl::Listener).records["other"]
            .refusal
            .is_none()
    );
}

#[test]
fn a_proxy_whose_inbound_address_is_taken_is_not_ready_until_it_has_it() {
    let mut rig = serving();
    let waits = |rig: &mut Rig, direction: &str| {
        let address: SocketAddr = ([127, 0, 0, 1], 82).into();
        rig.ports.busy.insert(address);
        let direction = format!("  traffic_direction: {direction}\n  filter_chains:");
        let busy = listener("busy", 82, "r").replace("  filter_chains:", &direction);
        rig.deliver(&busy).expect_err("the port is taken");
        rig.waiting.clone()
    };

    let outbound = waits(&mut rig, "OUTBOUND");
    let inbound = waits(&mut rig, "INBOUND");
    rig.ports.busy.clear();
    rig.pass(Duration::from_secs(3));

    assert_eq!(outbound, None);
    assert!(inbound.is_some_and(|reason| reason.contains("127.0.0.1:82 of inbound listener busy")));
    assert_eq!(rig.waiting, None);
}

#[test]
fn a_virtual_address_that_is_taken_is_refused_with_the_flag_that_does_without() {
    let mut rig = serving();
    let mut reason = |address: &str| {
        rig.ports
            .busy
            .insert(format!("{address}:81").parse().expect("an address"));
        let outbound = "  traffic_direction: OUTBOUND\n  filter_chains:";
        let listener = listener("other", 81, "r")
            .replace("  filter_chains:", outbound)
            .replace("127.0.0.1", address);
        rig.deliver(&listener).expect_err("the port is taken")
    };

    let services = reason("127.0.0.1");
    let applications = reason("127.0.0.2");

    assert!(
        services.contains("(pid 7): stop it; or, where it is another sidecar")
            && services.ends_with("--outbound-virtual off"),
        "{services}"
    );
    assert!(
        applications.ends_with("(pid 7): stop it or use another port"),
        "{applications}"
    );
}

#[test]
fn two_listeners_on_one_address_are_refused_but_a_new_name_takes_over() {
    let mut rig = serving();
    let verdict = rig.deliver(&listener("second", 80, "r"));
    assert_eq!(
        verdict,
        Err("second: address: 127.0.0.1:80 is already taken by listener web".to_owned())
    );
    rig.remove(TypeUrl::Listener, "web");
    assert!(rig.table.listeners().is_empty());

    let mut rig = serving();
    let removed = ["web".to_owned()];
    let yaml = listener("second", 80, "late");
    let bootstrap = parse(&yaml);
    let upserts: Vec<_> = bootstrap.listeners.iter().map(|m| upsert(&m.name, m)).collect();
    rig.config
        .apply(TypeUrl::Listener, &upserts, &removed, &mut rig.ports, rig.now)
        .expect("good");
    rig.settle();
    assert_eq!(
        rig.targets("web"),
        ["one"],
        "the old one serves until the new one has its routes"
    );
    rig.deliver(&routes("late", "one")).expect("good");
    assert_eq!(rig.targets("second"), ["one"]);
    assert_eq!(rig.table.listeners().len(), 1);
}

#[test]
fn an_answer_that_there_is_nothing_ends_the_wait() {
    let mut rig = Rig::new();
    rig.deliver(&eds("one")).expect("good");
    rig.remove(TypeUrl::Endpoint, "one");
    assert_eq!(rig.cluster("one").expect("in force").endpoints.usable(), 0);
    rig.deliver(&listener("web", 80, "r")).expect("good");
    rig.remove(TypeUrl::Route, "r");
    assert_eq!(rig.targets("web"), [""; 0]);
    let mut rig = serving();
    rig.remove(TypeUrl::Endpoint, "one");
    rig.remove(TypeUrl::Route, "r");
    assert_eq!(rig.targets("web"), ["one"], "what is in force stays");
}

#[test]
fn many_clusters_share_their_names_and_have_no_counters_before_they_are_used() {
    let mut rig = serving();
    let many: Vec<_> = (0..300)
        .map(|n| format!("- name: outbound|9080||service-{n}.service.consul"))
        .collect();
    rig.deliver(&format!("clusters:\n{}", many.join("\n")))
        .expect("good");
    for cluster in rig
        .table
        .clusters()
        .filter(|cluster| cluster.info.name.starts_with("outbound"))
    {
        assert!(!cluster.info.stats.used());
        let interned = rig
            .config
            .names
            .interned(&cluster.info.name)
            .expect("it has a slot");
        assert!(Arc::ptr_eq(&interned, &cluster.info.name));
    }
    assert!(
        size_of::<crate::table::ClusterInfo>() <= 144,
        "{}",
        size_of::<crate::table::ClusterInfo>()
    );
}

#[test]
fn slots_of_gone_clusters_are_used_again() {
    let mut rig = serving();
    for round in 0..50 {
        let name = format!("c{round}");
        rig.deliver(&format!("clusters:\n- name: {name}")).expect("good");
        rig.remove(TypeUrl::Cluster, &name);
    }
    assert!(rig.table.slots() <= 3, "{}", rig.table.slots());
}
