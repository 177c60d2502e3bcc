//! A control plane for tests: the real ADS server, one hand-made snapshot for everybody, and a record of its streams.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use outrigger_proxy::control::bootstrap::Bootstrap;
use outrigger_xds::server::{self, AdsService, Caller, Connection, Observed, Observer, Settings, Snapshots};
use outrigger_xds::{LayerBuilder, NodeInfo, Snapshot, TypeUrl};
use tokio::sync::{oneshot, watch};
use tonic::Status;

/// The longest that anything may take which has to happen.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) struct Pilot {
    shared: Arc<Shared>,
    address: SocketAddr,
    running: Option<(oneshot::Sender<()>, std::thread::JoinHandle<()>)>,
    generation: u64,
}

struct Shared {
    snapshot: watch::Sender<Arc<Snapshot>>,
    events: watch::Sender<Vec<Observed>>,
}

impl Pilot {
    /// Serves nothing yet.
    pub(crate) fn start() -> Pilot {
        let shared = Arc::new(Shared {
            snapshot: watch::Sender::default(),
            events: watch::Sender::default(),
        });
        let mut pilot = Pilot {
            shared,
            address: ([127, 0, 0, 1], 0).into(),
            running: None,
            generation: 0,
        };
        pilot.serve();
        pilot
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Gives everybody these resources, written as in a bootstrap file, as generation `generation() + 1`.
    pub(crate) fn publish(&mut self, yaml: &str) {
        let Bootstrap {
            listeners,
            clusters,
            routes,
            endpoints,
        } = Bootstrap::parse(yaml).expect("readable resources");
        let mut layer = LayerBuilder::new(None);
        clusters.iter().for_each(|message| layer.cluster(message));
        endpoints.iter().for_each(|message| layer.endpoints(message));
        listeners.iter().for_each(|message| layer.listener(message));
        routes.iter().for_each(|message| layer.route(message));
        self.generation += 1;
        self.shared
            .snapshot
            .send_replace(Arc::new(Snapshot::new(self.generation, vec![layer.build()])));
    }

    /// Waits until the proxy has accepted a message of this type made from the newest snapshot.
    pub(crate) fn accepted(&self, kind: TypeUrl) {
        let generation = self.generation;
        self.saw("acceptance", |event| {
            matches!(event, Observed::Acked(push) if push.kind == kind && push.generation == generation)
        });
    }

    /// Waits until the proxy has refused something of this type; its reason.
    pub(crate) fn refused(&self, kind: TypeUrl) -> String {
        match self.saw(
            "a refusal",
            |event| matches!(event, Observed::Nacked { push, .. } if push.kind == kind),
        ) {
            Observed::Nacked { message, .. } => message,
            other => panic!("{other:?} is no refusal"),
        }
    }

    /// Waits until the proxy has accepted this resource, whatever it said of it before.
    pub(crate) fn healed(&self, kind: TypeUrl, name: &str) {
        self.saw("the end of a refusal", |event| {
            matches!(event, Observed::Acked(push) if push.kind == kind && push.changed.iter().any(|changed| &**changed == name))
        });
    }

    /// Waits for an event; looks at those of the past too.
    fn saw(&self, what: &str, wanted: impl Fn(&Observed) -> bool) -> Observed {
        let mut events = self.shared.events.subscribe();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime
            .block_on(async {
                let seen = events.wait_for(|events| events.iter().any(&wanted));
                match tokio::time::timeout(SOON, seen).await {
                    Ok(events) => events
                        .expect("the sender lives")
                        .iter()
                        .find(|event| wanted(event))
                        .cloned(),
                    Err(_) => panic!("waited in vain for {what}: {:?}", self.shared.events.borrow()),
                }
            })
            .expect("just found")
    }

    /// Goes away at once, connections and all.
    pub(crate) fn stop(&mut self) {
        if let Some((stop, thread)) = self.running.take() {
            drop(stop);
            thread.join().expect("the server ended well");
        }
    }

    /// Comes back on the same port, knowing what it knew.
    pub(crate) fn serve(&mut self) {
        let (stop, stopped) = oneshot::channel::<()>();
        let (bound, address) = std::sync::mpsc::channel();
        let (wanted, shared) = (self.address, Arc::clone(&self.shared));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::bind(wanted).await.expect("the port is free");
                bound.send(listener.local_addr().expect("an address")).expect("somebody waits");
                let service = AdsService::new(Arc::new(Everybody(shared)), Settings::default());
                tokio::select! {
                    served = server::serve(listener, service, std::future::pending()) => served.expect("it serves"),
                    _ = stopped => {}
                }
            });
        });
        self.address = address.recv().expect("it is bound");
        self.running = Some((stop, thread));
    }
}

impl Drop for Pilot {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Everybody(Arc<Shared>);

impl Snapshots for Everybody {
    fn admit(&self, _: &Caller) -> Result<(), Status> {
        Ok(())
    }

    fn connect(&self, _: &Caller, _: NodeInfo) -> Result<Connection, Status> {
        let recorder = Recorder(Arc::clone(&self.0));
        Ok(Connection {
            snapshots: self.0.snapshot.subscribe(),
            observer: Box::new(recorder),
        })
    }
}

struct Recorder(Arc<Shared>);

impl Observer for Recorder {
    fn observe(&mut self, event: &Observed) {
        self.0.events.send_modify(|events| events.push(event.clone()));
    }
}
