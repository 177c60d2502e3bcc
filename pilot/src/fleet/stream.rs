//! How a stream joins the table and leaves it: the ADS server's view of the fleet.

use std::sync::{Arc, Weak};
use std::time::{Instant, SystemTime};

use outrigger_xds::NodeInfo;
use outrigger_xds::server::{Caller, Connection, Observed, Observer, Snapshots};
use tokio::sync::watch;
use tonic::Status;

use super::progress::Progress;
use super::proven::Proven;
use super::{Compiled, Fleet, Inner, Proxy, Standing, Table, owned_by, resources};
use crate::class::Class;
use crate::compile::own::compile_node;
use crate::node::Node;

impl Snapshots for Fleet {
    fn admit(&self, caller: &Caller) -> Result<(), Status> {
        if self.inner.access.admits(caller.authorization.as_deref()) {
            return Ok(());
        }
        Err(Status::unauthenticated(
            "this pilot wants the mesh token: authorization metadata `Bearer TOKEN`",
        ))
    }

    fn connect(&self, caller: &Caller, info: NodeInfo) -> Result<Connection, Status> {
        let node = Arc::new(Node::of(&info).map_err(|error| Status::invalid_argument(error.to_string()))?);
        let compiled = self.compiled_for(&node)?;
        let mut table = self.table();
        let most = self.inner.most_proxies;
        let standing = table.room(most)?;
        let snapshot = standing.snapshot.clone();
        let owned = owned_by(&snapshot, &node, &[]);
        let class = Class::of(&snapshot, &node, &owned);
        // Little is left to do, unless there was a publication since.
        standing.compiled.add(&snapshot, &class, &compiled);
        let Some((shared, endpoints)) = standing.compiled.of(&class) else {
            return Err(Status::internal("the class of this proxy was not compiled"));
        };
        let own = compile_node(&snapshot, &node, &owned, &shared, None);
        let (sender, receiver) = watch::channel(Arc::new(resources(&snapshot, &shared, &endpoints, &own)));
        table.connections += 1;
        let id = table.connections;
        tracing::info!(
            node = %node.id,
            dialect = node.dialect.as_str(),
            generation = snapshot.generation,
            "proxy connected"
        );
        table.proxies.insert(
            id,
            Proxy {
                class,
                owned,
                own,
                resources: sender,
                progress: Progress::default(),
                proven: Proven::default(),
                since: SystemTime::now(),
                address: caller
                    .address
                    .map(|address| address.to_string())
                    .unwrap_or_default(),
                offered: Some((snapshot.generation, Instant::now())),
                node,
            },
        );
        drop(table);
        let observer = Box::new(Seat {
            inner: Arc::downgrade(&self.inner),
            id,
        });
        Ok(Connection {
            snapshots: receiver,
            observer,
        })
    }
}

impl Fleet {
    /// What the class of `node` shares, made from the snapshot that stands while the table is not locked.
    fn compiled_for(&self, node: &Node) -> Result<Compiled, Status> {
        let (snapshot, known) = {
            let mut table = self.table();
            let standing = table.room(self.inner.most_proxies)?;
            (standing.snapshot.clone(), standing.compiled.clone())
        };
        let class = Class::of(&snapshot, node, &owned_by(&snapshot, node, &[]));
        let mut compiled = Compiled::default();
        compiled.add(&snapshot, &class, &known);
        Ok(compiled)
    }
}

impl Table {
    /// What stands, if one more proxy may have it.
    fn room(&mut self, most: usize) -> Result<&mut Standing, Status> {
        if self.proxies.len() >= most {
            return Err(Status::resource_exhausted(format!(
                "this pilot serves {most} proxies already, its limit"
            )));
        }
        let waiting_for = &self.waiting_for;
        self.standing
            .as_mut()
            .ok_or_else(|| Status::unavailable(format!("nothing to give out yet: {waiting_for}")))
    }

    /// Takes a proxy out, and what was compiled for its class when it was the last of it: classes are made of text
    /// that clients choose, and must not pile up.
    fn remove(&mut self, id: u64) -> Option<Proxy> {
        let gone = self.proxies.remove(&id)?;
        let alone = self.proxies.values().all(|proxy| proxy.class != gone.class);
        if let Some(standing) = self.standing.as_mut().filter(|_| alone) {
            standing.compiled.shared.remove(&gone.class);
        }
        Some(gone)
    }
}

/// One stream's place in the table. Leaves it when dropped.
struct Seat {
    /// Weak, so that a stream does not keep a pilot alive that has ended.
    inner: Weak<Inner>,
    id: u64,
}

impl Observer for Seat {
    fn observe(&mut self, event: &Observed) {
        let Some(inner) = self.inner.upgrade() else { return };
        let fleet = Fleet { inner };
        let mut table = fleet.table();
        let Some(proxy) = table.proxies.get_mut(&self.id) else {
            return;
        };
        proxy.progress.observe(event, SystemTime::now());
        if proxy.node.mesh_h2 && proxy.proven.observe(event, &proxy.own, &proxy.progress) {
            fleet.inner.peers_changed.notify_one();
        }
        let node = proxy.node.id.as_str();
        let metrics = &fleet.inner.metrics;
        match event {
            Observed::Sent(push) => {
                metrics.pushed(push.kind);
                tracing::debug!(
                    node,
                    kind = push.kind.short(),
                    nonce = push.nonce,
                    generation = push.generation,
                    changed = push.changed.len(),
                    removed = push.removed.len(),
                    "sent"
                );
            }
            Observed::Acked(push) => {
                tracing::debug!(
                    node,
                    kind = push.kind.short(),
                    nonce = push.nonce,
                    generation = push.generation,
                    "accepted"
                );
            }
            // The stream itself logs the refusal.
            Observed::Nacked { push, .. } => metrics.rejected(push.kind),
            Observed::Withdrawn { .. } | Observed::Closed { .. } => {}
            Observed::Settled { .. } => {
                let Some(generation) = proxy.progress.generation else {
                    return;
                };
                if let Some((_, at)) = proxy.offered.take_if(|(offered, _)| *offered <= generation) {
                    metrics.converged(at.elapsed());
                }
                tracing::info!(node, generation, "runs this generation");
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Some(inner) = self.inner.upgrade() else { return };
        let fleet = Fleet { inner };
        let mut table = fleet.table();
        let gone = table.remove(self.id);
        drop(table);
        if gone.is_some_and(|proxy| proxy.proven.addresses().next().is_some()) {
            fleet.inner.peers_changed.notify_one();
        }
    }
}
