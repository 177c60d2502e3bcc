//! A running pilot with a store and a registry to write into, and proxies that take what it sends.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use outrigger_api::document::{self, Options};
use outrigger_api::host::ShortNames;
use outrigger_api::model::{Catalog, Instance, Protocol, Resolution, Service, ServicePort, ServiceState};
use outrigger_api::resource::Resource;
use outrigger_client::ConfigStore;
use outrigger_client::token::Access;
use outrigger_pilot::{Advice, Pilot, Settings, Sources};
use outrigger_registry::{Aggregate, AggregateState, RegistryHandle, RegistryState};
use outrigger_xds::client::{self, ConnectionState, Subscription};
use outrigger_xds::pb::envoy::config::cluster::v3::Cluster;
use outrigger_xds::pb::envoy::config::listener::v3::Listener;
use outrigger_xds::{NodeInfo, References, TypeUrl};
use prost::Message;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use super::store::Store;

/// Waits for something that must come; panics with its name if it does not.
pub(crate) async fn within<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(Duration::from_secs(20), future).await {
        Ok(output) => output,
        Err(_) => panic!("waited in vain for {what}"),
    }
}

pub(crate) struct Mesh {
    pub(crate) store: Arc<Store>,
    pub(crate) registries: watch::Sender<Arc<AggregateState>>,
    pub(crate) advice: Advice,
    pub(crate) xds: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) monitoring: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<std::io::Result<()>>,
}

impl Mesh {
    pub(crate) async fn start(catalog: Catalog) -> Mesh {
        Mesh::start_with(
            read(catalog),
            Access::Loopback,
            Duration::from_secs(60),
            Arc::default(),
        )
        .await
    }

    pub(crate) async fn start_with(
        registries: AggregateState,
        access: Access,
        grace: Duration,
        store: Arc<Store>,
    ) -> Mesh {
        let (registries, receiver) = watch::channel(Arc::new(registries));
        Mesh::start_on(registries, receiver, access, grace, store).await
    }

    /// One that reads registries which run.
    pub(crate) async fn reading(registries: Vec<RegistryHandle>, grace: Duration) -> Mesh {
        let (nobody, _) = watch::channel(Arc::default());
        let receiver = Aggregate::start(registries);
        Mesh::start_on(nobody, receiver, Access::Loopback, grace, Arc::default()).await
    }

    async fn start_on(
        registries: watch::Sender<Arc<AggregateState>>,
        receiver: watch::Receiver<Arc<AggregateState>>,
        access: Access,
        grace: Duration,
        store: Arc<Store>,
    ) -> Mesh {
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        let settings = Settings {
            xds: free,
            http: free,
            monitoring: free,
            access,
            registry_grace: grace,
            short_names: ShortNames {
                template: vec!["{name}.service.consul".into()],
            },
            ..Settings::default()
        };
        let advice = Advice::default();
        let sources = Sources {
            config: store.clone().source(),
            store: Some(store.clone()),
            registries: receiver,
            advice: advice.clone(),
        };
        let bound = Pilot::bind(settings, sources).await.unwrap();
        let (xds, http, monitoring) = (bound.xds, bound.http, bound.monitoring);
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(bound.run(async {
            let _ = stopped.await;
        }));
        Mesh {
            store,
            registries,
            advice,
            xds,
            http,
            monitoring,
            stop: Some(stop),
            running,
        }
    }

    /// Writes every object of `yaml`; gives the version of the last.
    pub(crate) async fn apply(&self, yaml: &str) -> u64 {
        for resource in parse(yaml) {
            let there = self
                .store
                .objects(resource.kind())
                .into_iter()
                .find(|known| known.key() == resource.key());
            match there {
                None => self.store.create(&resource).await.unwrap(),
                Some(there) => {
                    let resource = Resource {
                        meta: there.meta.clone(),
                        ..resource
                    };
                    self.store.replace(&resource).await.unwrap()
                }
            };
        }
        self.store.version()
    }

    pub(crate) fn catalog(&self, catalog: Catalog) {
        self.registries.send_replace(Arc::new(read(catalog)));
    }

    pub(crate) async fn page(&self, path: &str) -> Value {
        let (status, body) = get(self.http, path, None).await;
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body}"))
    }

    /// Asks for a page until it is as it should be.
    pub(crate) async fn page_until(&self, path: &str, fits: impl Fn(&Value) -> bool) -> Value {
        within(path, async {
            loop {
                let (status, body) = get(self.http, path, None).await;
                let page = serde_json::from_str(&body).unwrap_or(Value::Null);
                if status == 200 && fits(&page) {
                    return page;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await
    }

    pub(crate) async fn ready(&self) {
        self.page_until("/ready", |page| page["ready"] == true).await;
    }

    pub(crate) async fn stop(mut self) -> std::io::Result<()> {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        within("pilot to end", self.running).await.unwrap()
    }
}

/// A GET by hand: status and body.
pub(crate) async fn get(address: SocketAddr, path: &str, token: Option<&str>) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let authorization = token
        .map(|token| format!("Authorization: Bearer {token}\r\n"))
        .unwrap_or_default();
    let request = format!("GET {path} HTTP/1.1\r\nHost: pilot\r\nConnection: close\r\n{authorization}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

pub(crate) fn parse(yaml: &str) -> Vec<Resource> {
    let options = Options {
        default_namespace: "default".into(),
        allow_unknown: false,
    };
    let documents = document::parse("test.yaml", yaml, &options).into_iter();
    documents
        .map(|document| {
            document
                .outcome
                .unwrap_or_else(|problems| panic!("{problems:?}"))
                .resource
        })
        .collect()
}

/// One registry that was read and found this.
pub(crate) fn read(catalog: Catalog) -> AggregateState {
    let registry = RegistryState {
        name: "static".into(),
        catalog: catalog.clone(),
        synced: true,
        ..Default::default()
    };
    AggregateState {
        catalog,
        registries: vec![registry],
    }
}

/// HTTP services on port 9080: `host` and its instances, `address version`.
pub(crate) fn services(services: &[(&str, &[(&str, &str)])]) -> Catalog {
    let states = services.iter().map(|(host, instances)| {
        let service = Service {
            host: (*host).to_owned(),
            address: None,
            ports: vec![ServicePort {
                name: "http".into(),
                port: 9080,
                protocol: Protocol::Http,
            }],
            external: false,
            resolution: Resolution::Endpoints,
            namespace: "default".into(),
        };
        let instances = instances.iter().map(|(address, version)| Instance {
            address: (*address).to_owned(),
            port: 9080,
            service_port: 9080,
            labels: [("version", *version)].into_iter().collect(),
            weight: 1,
            locality: String::new(),
            service_account: String::new(),
            workload_id: String::new(),
        });
        let state = ServiceState {
            service: Arc::new(service),
            instances: Arc::new(instances.collect()),
            registry: "static".into(),
        };
        ((*host).to_owned(), state)
    });
    Catalog {
        services: states.collect(),
    }
}

/// What a proxy holds: by type and name, the bytes of each resource.
pub(crate) type Held = BTreeMap<(TypeUrl, String), Vec<u8>>;

/// A proxy that takes everything except what it was told to refuse.
pub(crate) struct Proxy {
    pub(crate) held: watch::Receiver<Held>,
    pub(crate) state: watch::Receiver<ConnectionState>,
    task: JoinHandle<()>,
}

impl Proxy {
    pub(crate) fn connect(mesh: &Mesh, id: &str, metadata: &[(&str, &str)], refused: &'static str) -> Proxy {
        let mut info = NodeInfo::from_id(id).unwrap();
        info.user_agent_name = "outrigger".into();
        info.user_agent_version = "0.1.0".into();
        info.metadata = metadata
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).into()))
            .collect();
        let subscription = Subscription::new(&info)
            .with_all(TypeUrl::Cluster)
            .with_all(TypeUrl::Listener);
        let mut settings = client::Settings::new(mesh.xds.to_string());
        settings.backoff.first = Duration::from_millis(20);
        settings.backoff.longest = Duration::from_millis(100);
        settings.backoff.spread = Duration::from_millis(10);
        let (holding, held) = watch::channel(Held::new());
        let mut client = client::connect(settings, subscription).unwrap();
        let state = client.state();
        let task = tokio::spawn(async move {
            while let Some(update) = client.next().await {
                let wrong = update
                    .upserts
                    .iter()
                    .find(|upsert| !refused.is_empty() && upsert.name.contains(refused));
                if let Some(wrong) = wrong {
                    let verdict = Err(format!("{} is not to my taste", wrong.name));
                    client.handle().judge(update.ticket, verdict).await;
                    continue;
                }
                holding.send_modify(|held| {
                    held.extend(
                        update
                            .upserts
                            .iter()
                            .map(|upsert| ((update.kind, upsert.name.clone()), upsert.value.to_vec())),
                    );
                    update.removed.iter().for_each(|name| {
                        held.remove(&(update.kind, name.clone()));
                    });
                });
                client.handle().judge(update.ticket, Ok(())).await;
                let (needed, kind) = match update.kind {
                    TypeUrl::Cluster => (needed(&holding.borrow(), TypeUrl::Cluster), TypeUrl::Endpoint),
                    TypeUrl::Listener => (needed(&holding.borrow(), TypeUrl::Listener), TypeUrl::Route),
                    _ => continue,
                };
                client.handle().subscribe(kind, needed).await;
            }
        });
        Proxy { held, state, task }
    }

    /// Waits until what it holds fits.
    pub(crate) async fn until(&mut self, what: &str, fits: impl FnMut(&Held) -> bool) -> Held {
        within(what, self.held.wait_for(fits)).await.unwrap().clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What the clusters or listeners held need besides.
fn needed(held: &Held, kind: TypeUrl) -> BTreeSet<String> {
    let of_kind = held.iter().filter(|((of, _), _)| *of == kind);
    let names = of_kind.flat_map(|(_, bytes)| match kind {
        TypeUrl::Cluster => {
            let references = References::of_cluster(&Cluster::decode(bytes.as_slice()).unwrap());
            references.of_type(TypeUrl::Endpoint).to_vec()
        }
        _ => {
            let references = References::of_listener(&Listener::decode(bytes.as_slice()).unwrap());
            references.of_type(TypeUrl::Route).to_vec()
        }
    });
    names.map(|name| name.to_string()).collect()
}
