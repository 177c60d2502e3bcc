//! The connected proxies: who they are, what each should have, and what it said about it.
//!
//! One lock guards the table; compilation of shared configuration runs outside of it, and what came between is made up
//! for inside. A proxy that connects between two publications is compiled from the snapshot that stands.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use outrigger_client::token::Access;
use outrigger_xds::Snapshot as Resources;
use tokio::sync::{Notify, watch};

mod findings;
pub mod progress;
mod proven;
mod stream;

use crate::class::Class;
use crate::compile::endpoint::Peers;
use crate::compile::endpoints::{Endpoints, compile_endpoints};
use crate::compile::own::{Own, compile_node};
use crate::compile::shared::{Shared, compile_shared};
use crate::debug::Moment;
use crate::finding::Finding;
use crate::metrics::Metrics;
use crate::node::Node;
use crate::snapshot::Snapshot;
use crate::snapshot::ownership::Owned;
use findings::OfAbsent;
use progress::Progress;
use proven::Proven;

/// The table of connected proxies. Cheap to clone.
#[derive(Clone)]
pub struct Fleet {
    inner: Arc<Inner>,
}

struct Inner {
    table: Mutex<Table>,
    /// Woken when the set of proven sidecars changes.
    peers_changed: Notify,
    /// What was found last for proxies that are not connected.
    of_absent: Mutex<Option<OfAbsent>>,
    access: Access,
    metrics: Metrics,
    most_proxies: usize,
}

#[derive(Default)]
struct Table {
    /// What stands; `None` until everything needed has been read once.
    standing: Option<Standing>,
    /// Why nothing stands.
    waiting_for: String,
    /// Nothing stands any more, whatever is published.
    stopped: bool,
    proxies: BTreeMap<u64, Proxy>,
    connections: u64,
}

/// One snapshot with what was compiled from it.
#[derive(Clone)]
struct Standing {
    snapshot: Arc<Snapshot>,
    compiled: Compiled,
    began: SystemTime,
    ended: SystemTime,
}

/// Shared results, by class and by kind of reader.
#[derive(Clone, Default)]
struct Compiled {
    shared: HashMap<Class, Arc<Shared>>,
    endpoints: HashMap<bool, Arc<Endpoints>>,
}

struct Proxy {
    node: Arc<Node>,
    class: Class,
    /// Kept when the registry lets go of the workload while it is connected, so that a failing health check does
    /// not rename its way in.
    owned: Vec<Owned>,
    own: Arc<Own>,
    resources: watch::Sender<Arc<Resources>>,
    progress: Progress,
    proven: Proven,
    since: SystemTime,
    address: String,
    /// When the newest snapshot was offered that the proxy does not run yet.
    offered: Option<(u64, Instant)>,
}

/// A connected proxy as pages show it.
#[derive(Clone, Debug)]
pub struct ProxyView {
    /// Its description of itself.
    pub node: Arc<Node>,
    /// What its stream reported.
    pub progress: Progress,
    /// What it should have.
    pub resources: Arc<Resources>,
    /// When it connected.
    pub since: SystemTime,
    /// The address that it connected from, empty when unknown.
    pub address: String,
    /// What compilation found for it alone.
    pub findings: Arc<Vec<Finding>>,
}

impl Fleet {
    /// An empty table. At most `most_proxies` streams are taken in.
    pub fn new(access: Access, metrics: Metrics, most_proxies: usize) -> Fleet {
        let table = Table {
            waiting_for: "pilot is starting".into(),
            ..Table::default()
        };
        Fleet {
            inner: Arc::new(Inner {
                table: Mutex::new(table),
                peers_changed: Notify::new(),
                of_absent: Mutex::default(),
                access,
                metrics,
                most_proxies,
            }),
        }
    }

    /// Says what is missing before proxies can be taken in; matters only until something is published.
    pub fn wait_for(&self, what: String) {
        self.table().waiting_for = what;
    }

    /// Compiles `snapshot` for every connected proxy and offers it what changed.
    pub fn publish(&self, snapshot: Arc<Snapshot>) -> Published {
        let (started, began) = (Instant::now(), SystemTime::now());
        let (wanted, before) = {
            let table = self.table();
            let wanted = table.proxies.values().map(|proxy| {
                let owned = owned_by(&snapshot, &proxy.node, &proxy.owned);
                Class::of(&snapshot, &proxy.node, &owned)
            });
            (
                wanted.collect::<Vec<_>>(),
                table.standing.as_ref().map(|standing| standing.compiled.clone()),
            )
        };
        let before = before.unwrap_or_default();
        let mut compiled = Compiled::default();
        for class in wanted {
            compiled.add(&snapshot, &class, &before);
        }
        let (mut offered, mut fewer_peers) = (0, false);
        let mut table = self.table();
        for proxy in table.proxies.values_mut() {
            proxy.owned = owned_by(&snapshot, &proxy.node, &proxy.owned);
            proxy.class = Class::of(&snapshot, &proxy.node, &proxy.owned);
            // One that connected since the lock was let go may be of a class not seen above.
            compiled.add(&snapshot, &proxy.class, &before);
            let Some((shared, endpoints)) = compiled.of(&proxy.class) else {
                continue;
            };
            proxy.own = compile_node(&snapshot, &proxy.node, &proxy.owned, &shared, Some(&proxy.own));
            fewer_peers |= proxy.proven.hold_to(&proxy.own);
            let resources = resources(&snapshot, &shared, &endpoints, &proxy.own);
            offered += usize::from(proxy.offer(resources));
        }
        if fewer_peers {
            self.inner.peers_changed.notify_one();
        }
        let classes = compiled.shared.len();
        if !table.stopped {
            table.standing = Some(Standing {
                snapshot,
                compiled,
                began,
                ended: SystemTime::now(),
            });
        }
        Published {
            classes,
            proxies: table.proxies.len(),
            offered,
            took: started.elapsed(),
        }
    }

    /// The snapshot that stands, if one does.
    pub fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.table()
            .standing
            .as_ref()
            .map(|standing| standing.snapshot.clone())
    }

    /// Where connected sidecars are proven to listen.
    pub fn peers(&self) -> Peers {
        self.table()
            .proxies
            .values()
            .flat_map(|proxy| proxy.proven.addresses())
            .collect()
    }

    /// Returns when the proven sidecars may have changed.
    pub async fn peers_changed(&self) {
        self.inner.peers_changed.notified().await;
    }

    /// The connected proxies by node id. When one has several streams, the newest is shown.
    pub fn proxies(&self) -> BTreeMap<String, ProxyView> {
        let table = self.table();
        table
            .proxies
            .values()
            .map(|proxy| (proxy.node.id.clone(), proxy.view()))
            .collect()
    }

    /// What is missing before proxies can be taken in; `None` when they are.
    pub fn waiting_for(&self) -> Option<String> {
        let table = self.table();
        table.standing.is_none().then(|| table.waiting_for.clone())
    }

    /// Generation, begin and end of the publication that stands.
    pub fn publication(&self) -> Option<(u64, Moment, Moment)> {
        let table = self.table();
        let standing = table.standing.as_ref()?;
        Some((
            standing.snapshot.generation,
            Moment(standing.began),
            Moment(standing.ended),
        ))
    }

    /// Takes no proxy in any more and ends every stream; clients keep what they have and come back to another pilot,
    /// or to this one when it is there again.
    pub fn stop(&self) {
        let mut table = self.table();
        table.standing = None;
        table.stopped = true;
        table.waiting_for = "pilot is stopping".into();
        table.proxies.clear();
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // No code under the lock leaves the table half changed, so a panic elsewhere does not spoil it.
        self.inner.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one publication did.
#[derive(Clone, Copy, Debug)]
pub struct Published {
    /// Classes compiled.
    pub classes: usize,
    /// Proxies connected.
    pub proxies: usize,
    /// Of these, how many have something new.
    pub offered: usize,
    /// How long it took.
    pub took: std::time::Duration,
}

impl Compiled {
    /// Compiles what `class` needs unless it is there; `before` lends what did not change.
    fn add(&mut self, snapshot: &Snapshot, class: &Class, before: &Compiled) {
        if !self.shared.contains_key(class) {
            let shared = match before.shared.get(class) {
                Some(previous) if previous.stands_for(snapshot) => previous.clone(),
                previous => Arc::new(compile_shared(snapshot, class, previous.map(Arc::as_ref))),
            };
            self.shared.insert(class.clone(), shared);
        }
        self.endpoints.entry(class.mesh_marks).or_insert_with(|| {
            let previous = before.endpoints.get(&class.mesh_marks).map(Arc::as_ref);
            Arc::new(compile_endpoints(snapshot, class.mesh_marks, previous))
        });
    }

    fn of(&self, class: &Class) -> Option<(Arc<Shared>, Arc<Endpoints>)> {
        Some((
            self.shared.get(class)?.clone(),
            self.endpoints.get(&class.mesh_marks)?.clone(),
        ))
    }
}

impl Proxy {
    /// Offers a snapshot; true when it differs from the one before in more than its generation.
    fn offer(&mut self, resources: Resources) -> bool {
        let before = self.resources.borrow().clone();
        let same = before.layers().len() == resources.layers().len()
            && before
                .layers()
                .iter()
                .zip(resources.layers())
                .all(|(old, new)| Arc::ptr_eq(old, new));
        if same && before.generation() == resources.generation() {
            return false;
        }
        if !same {
            self.offered = Some((resources.generation(), Instant::now()));
        }
        self.resources.send_replace(Arc::new(resources));
        !same
    }

    fn view(&self) -> ProxyView {
        ProxyView {
            node: self.node.clone(),
            progress: self.progress.clone(),
            resources: self.resources.borrow().clone(),
            since: self.since,
            address: self.address.clone(),
            findings: self.own.findings.clone(),
        }
    }
}

/// The layers of one proxy, always in this order: a comparison is layer by layer.
fn resources(snapshot: &Snapshot, shared: &Shared, endpoints: &Endpoints, own: &Own) -> Resources {
    let layers = [
        &shared.clusters,
        &endpoints.layer,
        &shared.listeners,
        &shared.routes,
        &own.layer,
    ];
    Resources::new(snapshot.generation, layers.map(Arc::clone).to_vec())
}

/// The instances that a proxy stands beside; what was known of it when the registry knows nothing now.
fn owned_by(snapshot: &Snapshot, node: &Node, known: &[Owned]) -> Vec<Owned> {
    let owned = snapshot.ownership.instances_of(node);
    if owned.is_empty() { known.to_vec() } else { owned }
}
