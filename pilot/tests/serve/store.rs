//! A config store in memory, with the promises of the real one as far as pilot relies on them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use outrigger_api::kind::Kind;
use outrigger_api::resource::{Key, Resource};
use outrigger_client::{ClientError, ConfigSource, ConfigStore, Deleted, Listed, WatchEvent, Written};
use tokio::sync::watch;

#[derive(Clone, Default)]
pub(crate) struct Store {
    state: Arc<Mutex<State>>,
    /// Version of the newest change.
    changed: watch::Sender<u64>,
    /// While true, nothing can be written.
    pub(crate) broken: Arc<std::sync::atomic::AtomicBool>,
}

#[derive(Default)]
struct State {
    version: u64,
    objects: BTreeMap<Key, Arc<Resource>>,
    history: Vec<(u64, Kind, WatchEvent)>,
}

impl Store {
    pub(crate) fn version(&self) -> u64 {
        self.state.lock().unwrap().version
    }

    pub(crate) fn objects(&self, kind: Kind) -> Vec<Arc<Resource>> {
        self.state
            .lock()
            .unwrap()
            .objects
            .values()
            .filter(|object| object.kind() == kind)
            .cloned()
            .collect()
    }

    fn put(&self, resource: &Resource, must_be_new: bool) -> Result<Written, ClientError> {
        if self.broken.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(ClientError::Unreachable {
                address: "memory".into(),
                reason: "told to fail".into(),
            });
        }
        let mut state = self.state.lock().unwrap();
        let there = state.objects.get(&resource.key()).cloned();
        let conflict = |reason: &str| ClientError::Status {
            code: 409,
            reason: reason.into(),
            message: reason.into(),
            causes: Vec::new(),
        };
        match &there {
            Some(_) if must_be_new => return Err(conflict("AlreadyExists")),
            Some(there) if !must_be_new && there.meta.resource_version != resource.meta.resource_version => {
                return Err(conflict("Conflict"));
            }
            _ => {}
        }
        state.version += 1;
        let mut stored = resource.clone();
        stored.meta.uid = there
            .as_ref()
            .map_or_else(|| format!("uid-{}", state.version), |old| old.meta.uid.clone());
        stored.meta.resource_version = Some(state.version.to_string());
        let stored = Arc::new(stored);
        let event = if there.is_some() {
            WatchEvent::Modified
        } else {
            WatchEvent::Added
        };
        let version = state.version;
        state
            .history
            .push((version, stored.kind(), event(stored.clone())));
        state.objects.insert(stored.key(), stored.clone());
        drop(state);
        self.changed.send_replace(version);
        Ok(Written {
            resource: stored,
            warnings: Vec::new(),
        })
    }

    fn after(&self, kind: Kind, version: u64) -> Vec<WatchEvent> {
        let state = self.state.lock().unwrap();
        let later = state
            .history
            .iter()
            .filter(|(at, of, _)| *at > version && *of == kind);
        later.map(|(_, _, event)| event.clone()).collect()
    }
}

impl ConfigSource for Store {
    fn list(&self, kind: Kind) -> BoxFuture<'_, Result<Listed, ClientError>> {
        Box::pin(async move {
            Ok(Listed {
                items: self.objects(kind),
                version: self.version(),
            })
        })
    }

    fn watch(&self, kind: Kind, after: u64) -> BoxStream<'static, Result<WatchEvent, ClientError>> {
        let (store, changed) = (self.clone(), self.changed.subscribe());
        let events = stream::unfold(
            (store, changed, after),
            move |(store, mut changed, after)| async move {
                loop {
                    let newest = *changed.borrow_and_update();
                    let events = store.after(kind, after);
                    if !events.is_empty() || newest > after {
                        let whole = WatchEvent::Bookmark(newest);
                        let told = events.into_iter().chain([whole]).map(Ok);
                        return Some((stream::iter(told), (store, changed, newest)));
                    }
                    changed.changed().await.ok()?;
                }
            },
        );
        events.flatten().boxed()
    }

    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Arc<Resource>>, ClientError>> {
        Box::pin(async move { Ok(self.state.lock().unwrap().objects.get(key).cloned()) })
    }
}

impl ConfigStore for Store {
    fn create<'a>(&'a self, resource: &'a Resource) -> BoxFuture<'a, Result<Written, ClientError>> {
        Box::pin(async move { self.put(resource, true) })
    }

    fn replace<'a>(&'a self, resource: &'a Resource) -> BoxFuture<'a, Result<Written, ClientError>> {
        Box::pin(async move { self.put(resource, false) })
    }

    fn delete<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Deleted, ClientError>> {
        Box::pin(async move {
            let mut state = self.state.lock().unwrap();
            if let Some(gone) = state.objects.remove(key) {
                state.version += 1;
                let version = state.version;
                let mut gone = Resource::clone(&gone);
                gone.meta.resource_version = Some(version.to_string());
                state
                    .history
                    .push((version, key.kind, WatchEvent::Deleted(Arc::new(gone))));
                drop(state);
                self.changed.send_replace(version);
            }
            Ok(Deleted::default())
        })
    }

    fn source(self: Arc<Self>) -> Arc<dyn ConfigSource> {
        self
    }
}
