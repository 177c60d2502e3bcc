//! Gives every service its virtual address and keeps it in the store, so that it stays over restarts.
//!
//! Woken by each published snapshot. Without a store that can be written, addresses live in this process; they come
//! out the same again as long as hosts do not collide.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use outrigger_api::kind::Kind;
use outrigger_api::model::Resolution;
use outrigger_api::resource::Resource;
use outrigger_api::service_address::ServiceAddress;
use outrigger_client::backoff::Backoff;
use outrigger_client::source::ConfigStore;
use outrigger_registry::virtual_address::allot;
use tokio::sync::watch;

use crate::snapshot::Snapshot;

/// Writes under way at the same time: the store commits them together.
const WRITES: usize = 32;

/// Wait after a failed write, first and longest.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));

/// Keeps addresses until dropped.
pub(crate) struct Addresses {
    pub(crate) store: Option<Arc<dyn ConfigStore>>,
    /// Where ServiceAddress objects live.
    pub(crate) namespace: String,
    pub(crate) snapshots: watch::Receiver<Arc<Snapshot>>,
    /// Addresses that are kept in this process.
    pub(crate) local: watch::Sender<Arc<BTreeMap<String, Ipv4Addr>>>,
}

/// One address to be written.
#[derive(Debug, PartialEq)]
struct Write {
    resource: Resource,
    /// True when an object of the host is there, whose address another host has.
    replaces: bool,
}

impl Addresses {
    /// Reconciles at every snapshot.
    pub(crate) async fn run(mut self) {
        // Written, and not yet seen in a snapshot.
        let mut written: BTreeMap<String, Ipv4Addr> = BTreeMap::new();
        let mut backoff = Backoff::new(RETRY.0, RETRY.1);
        loop {
            let snapshot = self.snapshots.borrow_and_update().clone();
            written.retain(|host, _| !snapshot.addresses.contains_key(host));
            let mut known = (*snapshot.addresses).clone();
            known.extend(written.iter().map(|(host, address)| (host.clone(), *address)));
            let fresh = missing(&snapshot, &known);
            let mut failed = false;
            match &self.store {
                _ if fresh.is_empty() => {}
                None => {
                    self.local.send_modify(|local| Arc::make_mut(local).extend(fresh));
                }
                Some(store) => {
                    let writes = writes(&snapshot, fresh, &self.namespace);
                    let done: Vec<_> = stream::iter(writes)
                        .map(|write| put(store.as_ref(), write))
                        .buffer_unordered(WRITES)
                        .collect()
                        .await;
                    failed = done.iter().any(Option::is_none);
                    written.extend(done.into_iter().flatten().flatten());
                }
            }
            let wait = if failed {
                backoff.wait()
            } else {
                backoff.reset();
                RETRY.0
            };
            tokio::select! {
                changed = self.snapshots.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(wait), if failed => {}
            }
        }
    }
}

/// Addresses for the hosts of the catalogue that have none.
fn missing(snapshot: &Snapshot, known: &BTreeMap<String, Ipv4Addr>) -> BTreeMap<String, Ipv4Addr> {
    let hosts = snapshot
        .catalog
        .services
        .values()
        .filter(|state| state.service.resolution != Resolution::Passthrough)
        .map(|state| state.service.host.as_str())
        .filter(|host| !host.starts_with('*'));
    let mut allotted = allot(known, hosts);
    allotted.retain(|host, _| !known.contains_key(host));
    allotted
}

/// What must be written for these addresses.
fn writes(snapshot: &Snapshot, fresh: BTreeMap<String, Ipv4Addr>, namespace: &str) -> Vec<Write> {
    let stored: BTreeMap<String, &Arc<Resource>> = snapshot
        .objects()
        .filter(|object| object.kind() == Kind::ServiceAddress)
        .map(|object| (object.meta.name.clone(), object))
        .collect();
    let writes = fresh.into_iter().map(|(host, address)| {
        let mut resource = ServiceAddress { host, address }.into_resource(namespace);
        let there = stored.get(&resource.meta.name);
        if let Some(there) = there {
            resource.meta = there.meta.clone();
        }
        Write {
            resource,
            replaces: there.is_some(),
        }
    });
    writes.collect()
}

/// Writes one address. `None` when it should be tried again; `Some(None)` when somebody else was first, whose
/// address will come by the watch.
async fn put(store: &dyn ConfigStore, write: Write) -> Option<Option<(String, Ipv4Addr)>> {
    let outrigger_api::resource::Spec::ServiceAddress(spec) = &write.resource.spec else {
        return Some(None);
    };
    let done = if write.replaces {
        store.replace(&write.resource).await
    } else {
        store.create(&write.resource).await
    };
    match done {
        Ok(_) => {
            tracing::debug!(host = spec.host, address = %spec.address, "virtual address kept");
            Some(Some((spec.host.clone(), spec.address)))
        }
        Err(error) if error.is_conflict() || error.is_already_exists() => Some(None),
        Err(error) => {
            tracing::warn!(host = spec.host, %error, "virtual address cannot be kept yet; trying again");
            None
        }
    }
}
