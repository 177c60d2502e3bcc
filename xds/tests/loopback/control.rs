//! A control plane for tests: one snapshot for everybody, and a record of what streams report.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use outrigger_xds::server::{self, AdsService, Caller, Connection, Observed, Observer, Settings, Snapshots};
use outrigger_xds::{LayerBuilder, NodeInfo, References, Resource, Snapshot, TypeUrl};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tonic::Status;

/// Waits for something that must come; panics with its name if it does not.
pub(crate) async fn within<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(Duration::from_secs(20), future).await {
        Ok(output) => output,
        Err(_) => panic!("waited in vain for {what}"),
    }
}

/// A snapshot of clusters (`name=content`), each with endpoints of the same name and content.
pub(crate) fn snapshot(generation: u64, clusters: &[&str]) -> Snapshot {
    let mut layer = LayerBuilder::new(None);
    for cluster in clusters {
        let (name, content) = cluster.split_once('=').unwrap();
        let resource = |kind| Resource::from_bytes(kind, name, content.as_bytes(), References::none());
        layer.insert(Arc::new(resource(TypeUrl::Cluster)));
    }
    Snapshot::new(generation, vec![layer.build()])
}

pub(crate) struct Control {
    shared: Arc<Shared>,
    address: SocketAddr,
    settings: Settings,
    running: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

struct Shared {
    token: Option<String>,
    snapshot: watch::Sender<Arc<Snapshot>>,
    events: watch::Sender<Vec<Observed>>,
    observers: watch::Sender<usize>,
    opened: AtomicUsize,
    nodes: Mutex<Vec<NodeInfo>>,
}

impl Control {
    pub(crate) async fn start(settings: Settings) -> Control {
        Self::start_inner(settings, None).await
    }

    pub(crate) async fn start_with_token(settings: Settings, token: &str) -> Control {
        Self::start_inner(settings, Some(token.into())).await
    }

    async fn start_inner(settings: Settings, token: Option<String>) -> Control {
        let shared = Arc::new(Shared {
            token,
            snapshot: watch::Sender::default(),
            events: watch::Sender::default(),
            observers: watch::Sender::default(),
            opened: AtomicUsize::new(0),
            nodes: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut control = Control {
            shared,
            address,
            settings,
            running: None,
        };
        control.serve(listener);
        control
    }

    fn serve(&mut self, listener: TcpListener) {
        let snapshots = Arc::new(Plane(Arc::clone(&self.shared)));
        let service = AdsService::new(snapshots, self.settings.clone());
        let (stop, stopped) = oneshot::channel();
        let shutdown = async {
            let _ = stopped.await;
        };
        let task = tokio::spawn(async move { server::serve(listener, service, shutdown).await.unwrap() });
        self.running = Some((stop, task));
    }

    pub(crate) async fn stop(&mut self) {
        let (stop, task) = self.running.take().unwrap();
        let _ = stop.send(());
        within("the server's end", task).await.unwrap();
    }

    pub(crate) async fn restart(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.serve(listener);
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn publish(&self, snapshot: Snapshot) {
        self.shared.snapshot.send_replace(Arc::new(snapshot));
    }

    /// The streams opened so far.
    pub(crate) fn opened(&self) -> usize {
        self.shared.opened.load(Ordering::SeqCst)
    }

    /// Waits until streams have reported such an event.
    pub(crate) async fn saw(&self, what: &str, wanted: impl Fn(&Observed) -> bool) -> Observed {
        let mut events = self.shared.events.subscribe();
        let seen = within(what, events.wait_for(|events| events.iter().any(&wanted)))
            .await
            .unwrap();
        seen.iter().find(|event| wanted(event)).cloned().unwrap()
    }

    /// Waits until every observer was dropped.
    pub(crate) async fn observers_gone(&self) {
        let mut observers = self.shared.observers.subscribe();
        within("the last observer to go", observers.wait_for(|count| *count == 0))
            .await
            .unwrap();
    }
}

struct Plane(Arc<Shared>);

impl Snapshots for Plane {
    fn admit(&self, caller: &Caller) -> Result<(), Status> {
        let wanted = self.0.token.as_ref().map(|token| format!("Bearer {token}"));
        if wanted.is_none() || caller.authorization == wanted {
            return Ok(());
        }
        Err(Status::unauthenticated("the mesh token is missing or wrong"))
    }

    fn connect(&self, _: &Caller, node: NodeInfo) -> Result<Connection, Status> {
        self.0.opened.fetch_add(1, Ordering::SeqCst);
        self.0.nodes.lock().unwrap().push(node);
        self.0.observers.send_modify(|count| *count += 1);
        let observer = Box::new(Watcher(Arc::clone(&self.0)));
        Ok(Connection {
            snapshots: self.0.snapshot.subscribe(),
            observer,
        })
    }
}

struct Watcher(Arc<Shared>);

impl Observer for Watcher {
    fn observe(&mut self, event: &Observed) {
        self.0.events.send_modify(|events| events.push(event.clone()));
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.0.observers.send_modify(|count| *count -= 1);
    }
}
