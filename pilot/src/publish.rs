//! From changes to publications: waits until there is enough to give out, then publishes each settled change.

use std::collections::BTreeMap;
use std::future::pending;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use outrigger_api::host::ShortNames;
use outrigger_client::reflector::ConfigSnapshot;
use outrigger_registry::aggregate::AggregateState;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::advice::Advice;
use crate::debounce::{Changing, settle};
use crate::enough::{missing, tell_incomplete, usable};
use crate::fleet::Fleet;
use crate::mesh::MeshSettings;
use crate::metrics::Metrics;
use crate::snapshot::{Materials, Snapshot};

/// Everything a publisher reads and writes.
pub(crate) struct Publisher {
    pub(crate) changes: Changes,
    pub(crate) mesh: Arc<MeshSettings>,
    pub(crate) short_names: ShortNames,
    /// How long registries that were never read are waited for.
    pub(crate) grace: Duration,
    pub(crate) metrics: Metrics,
    pub(crate) advice: Advice,
    /// Every snapshot that was published.
    pub(crate) snapshots: watch::Sender<Arc<Snapshot>>,
}

/// Where changes come from.
pub(crate) struct Changes {
    pub(crate) config: watch::Receiver<Arc<ConfigSnapshot>>,
    pub(crate) registries: watch::Receiver<Arc<AggregateState>>,
    /// The registries as they were last looked at.
    pub(crate) seen: Arc<AggregateState>,
    pub(crate) local_addresses: watch::Receiver<Arc<BTreeMap<String, Ipv4Addr>>>,
    pub(crate) fleet: Fleet,
}

impl Changing for Changes {
    async fn next(&mut self) {
        tokio::select! {
            () = changed(&mut self.config) => {}
            () = news(&mut self.registries, &mut self.seen) => {}
            () = changed(&mut self.local_addresses) => {}
            () = self.fleet.peers_changed() => {}
        }
    }
}

/// Resolves when the registries say something that a publication depends on. How fresh they are is read by the pages
/// themselves, and moves every few seconds.
async fn news(registries: &mut watch::Receiver<Arc<AggregateState>>, seen: &mut Arc<AggregateState>) {
    loop {
        changed(registries).await;
        let newest = registries.borrow_and_update().clone();
        if concerns(seen, &newest) {
            *seen = newest;
            return;
        }
    }
}

/// True when the catalogue differs, or what keeps a registry from being used.
fn concerns(before: &AggregateState, after: &AggregateState) -> bool {
    before.registries.len() != after.registries.len()
        || before
            .registries
            .iter()
            .zip(&after.registries)
            .any(|(before, after)| {
                before.last_error != after.last_error
                    || [false, true]
                        .iter()
                        .any(|&passed| usable(before, passed) != usable(after, passed))
            })
        || !before.catalog.diff(&after.catalog).is_empty()
}

/// Resolves at the next change; never once the sender is gone.
async fn changed<T>(receiver: &mut watch::Receiver<T>) {
    if receiver.changed().await.is_err() {
        pending().await
    }
}

impl Publisher {
    /// Publishes until dropped.
    pub(crate) async fn run(mut self) {
        let grace_ends = Instant::now() + self.grace;
        let mut previous = Arc::new(Snapshot::default());
        let mut waited_for = None;
        // What was given out once is followed, whatever a registry cannot read later.
        let mut begun = false;
        loop {
            let grace_passed = Instant::now() >= grace_ends;
            let config = self.changes.config.borrow_and_update().clone();
            let registries = self.changes.registries.borrow_and_update().clone();
            self.changes.seen = registries.clone();
            match missing(config.synced, &registries.registries, grace_passed) {
                Some(what) if !begun => {
                    if waited_for.as_ref() != Some(&what) {
                        tracing::info!(waiting_for = what, "not ready yet");
                        waited_for = Some(what.clone());
                    }
                    self.changes.fleet.wait_for(what);
                }
                _ => {
                    if !begun {
                        tell_incomplete(&registries.registries);
                    }
                    begun = true;
                    previous = self.publish(previous, config, &registries).await;
                }
            }
            tokio::select! {
                () = self.changes.next() => {}
                () = sleep_until(grace_ends), if !grace_passed => {}
            }
            settle(&mut self.changes).await;
        }
    }

    /// Builds a snapshot and publishes it, off the runtime's threads. Returns what stands afterwards.
    async fn publish(
        &mut self,
        previous: Arc<Snapshot>,
        config: Arc<ConfigSnapshot>,
        registries: &AggregateState,
    ) -> Arc<Snapshot> {
        let materials = Materials {
            config,
            registries: Arc::new(registries.catalog.clone()),
            local_addresses: self.changes.local_addresses.borrow_and_update().clone(),
            peers: Arc::new(self.changes.fleet.peers()),
            mesh: self.mesh.clone(),
            short_names: self.short_names.clone(),
        };
        let generation = materials.config.version;
        let (fleet, before) = (self.changes.fleet.clone(), previous.clone());
        let working = tokio::task::spawn_blocking(move || {
            let snapshot = Arc::new(Snapshot::build(&before, &materials));
            let published = fleet.publish(snapshot.clone());
            (snapshot, published)
        });
        match working.await {
            Ok((snapshot, published)) => {
                self.metrics.published(published.took);
                let took = published.took;
                let (classes, proxies, offered) = (published.classes, published.proxies, published.offered);
                if offered > 0 || generation != previous.generation {
                    tracing::info!(generation, classes, proxies, offered, ?took, "published");
                } else {
                    tracing::debug!(
                        generation,
                        classes,
                        proxies,
                        ?took,
                        "published; nothing new for any proxy"
                    );
                }
                self.advice.renew(snapshot.clone());
                self.snapshots.send_replace(snapshot.clone());
                snapshot
            }
            Err(error) => {
                self.metrics.publication_failed();
                tracing::error!(generation, %error, "compilation failed; what was published before stands");
                previous
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enough::tests::registry;

    #[test]
    fn a_registry_that_was_only_read_again_concerns_nobody() {
        let state = |registry| AggregateState {
            registries: vec![registry],
            ..AggregateState::default()
        };
        let before = state(registry("consul", true));
        let mut again = registry("consul", true);
        again.last_success = Some(std::time::SystemTime::UNIX_EPOCH);

        assert!(!concerns(&before, &state(again)));
        assert!(concerns(&before, &state(registry("consul", false))));
    }
}
