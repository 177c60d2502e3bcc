//! A mesh written down in a few lines, compiled, and shown in a few lines again.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::Ipv4Addr;
use std::sync::Arc;

use outrigger_api::document::{self, Options};
use outrigger_api::host::ShortNames;
use outrigger_api::model::{Catalog, Instance, Resolution, Service, ServicePort, ServiceState};
use outrigger_api::resource::Resource;
use outrigger_client::reflector::ConfigSnapshot;
use outrigger_pilot::class::Class;
use outrigger_pilot::compile::endpoint::Peers;
use outrigger_pilot::compile::endpoints::{Endpoints, compile_endpoints};
use outrigger_pilot::compile::own::{Own, compile_node};
use outrigger_pilot::compile::shared::{Shared, compile_shared};
use outrigger_pilot::finding::Finding;
use outrigger_pilot::mesh::MeshSettings;
use outrigger_pilot::node::Node;
use outrigger_pilot::snapshot::{Materials, Snapshot};
use outrigger_xds::NodeInfo;

/// What goes into a compilation.
#[derive(Clone)]
pub(crate) struct Scenario {
    pub(crate) objects: BTreeMap<outrigger_api::resource::Key, Arc<Resource>>,
    pub(crate) catalog: Catalog,
    pub(crate) addresses: BTreeMap<String, Ipv4Addr>,
    pub(crate) peers: Peers,
    pub(crate) version: u64,
}

/// What comes out for one proxy.
pub(crate) struct Compiled {
    pub(crate) shared: Shared,
    pub(crate) endpoints: Endpoints,
    pub(crate) own: Arc<Own>,
    snapshot: Arc<Vec<Finding>>,
}

impl Scenario {
    /// Services, one a line: `host port/protocol,... @ address:port[>service port] label=value,... ; ...`.
    /// Every host gets the next virtual address from 127.128.0.1 on.
    pub(crate) fn services(text: &str) -> Scenario {
        let mut catalog = Catalog::default();
        let mut addresses = BTreeMap::new();
        for (line, last) in text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .zip(1..)
        {
            let state = service(line);
            addresses.insert(state.service.host.clone(), Ipv4Addr::new(127, 128, 0, last));
            catalog.services.insert(state.service.host.clone(), state);
        }
        Scenario {
            objects: BTreeMap::new(),
            catalog,
            addresses,
            peers: Peers::new(),
            version: 1,
        }
    }

    /// The documented sample: four services, three versions of reviews.
    pub(crate) fn bookinfo() -> Scenario {
        Scenario::services(
            "details.service.consul 9080/http @ 127.0.0.2:9080 version=v1
             productpage.service.consul 9080/http @ 127.0.0.3:9080 version=v1
             ratings.service.consul 9080/http @ 127.0.0.4:9080 version=v1
             reviews.service.consul 9080/http @ 127.0.0.5:9080 version=v1; 127.0.0.6:9080 version=v2; 127.0.0.7:9080 version=v3",
        )
    }

    /// Adds rules, or puts others in their place.
    pub(crate) fn rules(mut self, yaml: &str) -> Scenario {
        let options = Options {
            default_namespace: "default".into(),
            allow_unknown: false,
        };
        for document in document::parse("rules.yaml", yaml, &options) {
            let parsed = document.outcome.unwrap_or_else(|problems| panic!("{problems:?}"));
            let mut resource = parsed.resource;
            self.version += 1;
            resource.meta.resource_version = Some(self.version.to_string());
            self.objects.insert(resource.key(), Arc::new(resource));
        }
        self
    }

    /// Says that sidecars listen there.
    pub(crate) fn peers(mut self, addresses: &[&str]) -> Scenario {
        self.peers = addresses.iter().map(|address| address.parse().unwrap()).collect();
        self
    }

    /// Puts another line in the place of a service.
    pub(crate) fn with_service(mut self, line: &str) -> Scenario {
        let state = service(line.trim());
        self.catalog.services.insert(state.service.host.clone(), state);
        self
    }

    pub(crate) fn snapshot(&self, previous: &Snapshot) -> Snapshot {
        let config = ConfigSnapshot {
            objects: self.objects.clone(),
            version: self.version,
            synced: true,
        };
        let materials = Materials {
            config: Arc::new(config),
            registries: Arc::new(self.catalog.clone()),
            local_addresses: Arc::new(self.addresses.clone()),
            peers: Arc::new(self.peers.clone()),
            mesh: Arc::new(MeshSettings {
                access_log: None,
                ..MeshSettings::default()
            }),
            short_names: ShortNames {
                template: vec!["{name}.service.consul".into(), "{name}.marathon.mesos".into()],
            },
        };
        Snapshot::build(previous, &materials)
    }

    pub(crate) fn compile(&self, node: &Node) -> Compiled {
        Compiled::of(&self.snapshot(&Snapshot::default()), node, None)
    }
}

impl Compiled {
    pub(crate) fn of(snapshot: &Snapshot, node: &Node, previous: Option<&Compiled>) -> Compiled {
        let owned = snapshot.ownership.instances_of(node);
        let class = Class::of(snapshot, node, &owned);
        let shared = compile_shared(snapshot, &class, previous.map(|previous| &previous.shared));
        let endpoints = compile_endpoints(
            snapshot,
            class.mesh_marks,
            previous.map(|previous| &previous.endpoints),
        );
        let node = Arc::new(node.clone());
        let own = compile_node(
            snapshot,
            &node,
            &owned,
            &shared,
            previous.map(|previous| &previous.own),
        );
        Compiled {
            shared,
            endpoints,
            own,
            snapshot: snapshot.findings.clone(),
        }
    }

    /// Everything that was found, `topic key: message` a line.
    pub(crate) fn findings(&self) -> String {
        let snapshot = self.snapshot.iter();
        let all = snapshot
            .chain(self.shared.findings.iter())
            .chain(self.endpoints.findings.iter())
            .chain(self.own.findings.iter());
        let mut text = String::new();
        for finding in all {
            writeln!(
                text,
                "{} {}: {}",
                finding.topic.name(),
                finding.key,
                finding.message
            )
            .unwrap();
        }
        text
    }
}

/// A proxy of ours by its id and `KEY=value` metadata.
pub(crate) fn node(id: &str, metadata: &[(&str, &str)]) -> Node {
    let mut info = NodeInfo::from_id(id).unwrap();
    info.user_agent_name = "outrigger".into();
    info.metadata = metadata
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).into()))
        .collect();
    Node::of(&info).unwrap()
}

/// productpage's sidecar.
pub(crate) fn productpage() -> Node {
    node(
        "sidecar~127.0.0.3~productpage-v1~service.consul",
        &[("INBOUND", "9080=127.0.0.1:19080"), ("HTTP_PROXY_PORT", "15002")],
    )
}

fn service(line: &str) -> ServiceState {
    let (declared, running) = line.split_once('@').unwrap_or((line, ""));
    let (host, ports) = declared.trim().split_once(' ').unwrap();
    let ports: Vec<ServicePort> = ports
        .split(',')
        .map(|port| {
            let (number, protocol) = port.trim().split_once('/').unwrap();
            ServicePort {
                name: format!("{protocol}-{number}"),
                port: number.parse().unwrap(),
                protocol: protocol.parse().unwrap(),
            }
        })
        .collect();
    let instances = running.split(';').map(str::trim).filter(|text| !text.is_empty());
    let instances: Vec<Instance> = instances.map(|text| instance(text, &ports)).collect();
    ServiceState {
        service: Arc::new(Service {
            host: host.to_owned(),
            address: None,
            ports,
            external: false,
            resolution: Resolution::Endpoints,
            namespace: "default".into(),
        }),
        instances: Arc::new(instances),
        registry: "static".into(),
    }
}

fn instance(text: &str, ports: &[ServicePort]) -> Instance {
    let (place, labels) = text.split_once(' ').unwrap_or((text, ""));
    let (address, service_port) = place.split_once('>').unwrap_or((place, ""));
    let (address, port) = address.rsplit_once(':').unwrap();
    Instance {
        address: address.to_owned(),
        port: port.parse().unwrap(),
        service_port: service_port.parse().unwrap_or(ports[0].port),
        labels: labels
            .split(',')
            .filter_map(|pair| pair.trim().split_once('='))
            .collect(),
        weight: 1,
        locality: String::new(),
        service_account: String::new(),
        workload_id: String::new(),
    }
}
