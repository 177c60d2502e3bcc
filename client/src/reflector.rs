//! A whole, current copy of some kinds, kept by list and watch.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use outrigger_api::kind::Kind;
use outrigger_api::resource::{Key, Resource};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::backoff::Backoff;
use crate::error::ClientError;
use crate::source::{ConfigSource, Listed, WatchEvent};

/// First and longest wait after a failure. Short, because a lost source should be found again within 5 s.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(4));
/// Changes that wait to be taken in; a full queue holds the watches back.
const QUEUE: usize = 256;

/// Everything known of the followed kinds at one moment.
#[derive(Clone, Debug, Default)]
pub struct ConfigSnapshot {
    /// The objects.
    pub objects: BTreeMap<Key, Arc<Resource>>,
    /// Every change of a followed kind up to this version is in `objects`; single later ones may be. 0 until synced.
    /// Falls only when the source was restored or begun anew.
    pub version: u64,
    /// True once every followed kind has been listed; stays true, for the last state is kept when the source is lost.
    pub synced: bool,
}

/// Follows a source. See [`Reflector::start`].
#[derive(Debug)]
pub struct Reflector;

impl Reflector {
    /// Lists and watches `kinds` of `source` until the handle is dropped. The receiver always holds the newest
    /// snapshot; changes that come together are taken in together. Failures are logged, retried with jitter and
    /// never empty the snapshot. Must be called in a tokio runtime.
    pub fn start(
        source: Arc<dyn ConfigSource>,
        kinds: &[Kind],
    ) -> (watch::Receiver<Arc<ConfigSnapshot>>, ReflectorHandle) {
        let (publish, receiver) = watch::channel(Arc::new(ConfigSnapshot::default()));
        let kinds = kinds.to_vec();
        let task = tokio::spawn(collect(source, kinds, publish));
        (receiver, ReflectorHandle { task })
    }
}

/// Keeps a reflector running; it stops when this is dropped.
#[derive(Debug)]
pub struct ReflectorHandle {
    task: JoinHandle<()>,
}

impl Drop for ReflectorHandle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What one kind's follower found.
enum Found {
    Whole(Kind, Listed),
    Change(Kind, WatchEvent),
}

async fn collect(
    source: Arc<dyn ConfigSource>,
    kinds: Vec<Kind>,
    publish: watch::Sender<Arc<ConfigSnapshot>>,
) {
    let (found, mut arriving) = mpsc::channel(QUEUE);
    let mut followers = JoinSet::new(); // dropped, and with it every follower, when this task ends
    for kind in &kinds {
        followers.spawn(follow(Arc::clone(&source), *kind, found.clone()));
    }
    drop(found);
    let mut complete = Complete::of(&kinds);
    let mut snapshot = ConfigSnapshot {
        synced: kinds.is_empty(),
        ..ConfigSnapshot::default()
    };
    publish.send_replace(Arc::new(snapshot.clone()));
    let mut batch = Vec::new();
    while arriving.recv_many(&mut batch, QUEUE).await > 0 {
        let mut changed = false;
        for one in batch.drain(..) {
            complete.advance(&one);
            changed |= take_in(&mut snapshot, one);
        }
        let (synced, version) = (complete.synced(), complete.version());
        if changed || synced != snapshot.synced || version != snapshot.version {
            snapshot.synced = synced;
            snapshot.version = version;
            publish.send_replace(Arc::new(snapshot.clone()));
        }
    }
}

/// Up to which version each followed kind is known whole. Kinds are followed one by one, so a late one holds back
/// the version of the snapshot: it never claims a change that is still on its way.
struct Complete(BTreeMap<Kind, Option<u64>>);

impl Complete {
    /// Nothing is known yet.
    fn of(kinds: &[Kind]) -> Complete {
        Complete(kinds.iter().map(|kind| (*kind, None)).collect())
    }

    /// Events come in order: after one, its kind is whole up to there. A list tells the version of the source as it is
    /// now, which is lower than before when the source was restored or begun anew.
    fn advance(&mut self, found: &Found) {
        let (Found::Whole(kind, _) | Found::Change(kind, _)) = found;
        if let Some(known) = self.0.get_mut(kind) {
            *known = match found {
                Found::Whole(_, listed) => Some(listed.version),
                Found::Change(_, event) => event.version().max(*known),
            };
        }
    }

    /// True once every kind was listed.
    fn synced(&self) -> bool {
        self.0.values().all(Option::is_some)
    }

    fn version(&self) -> u64 {
        self.0.values().map(|known| known.unwrap_or(0)).min().unwrap_or(0)
    }
}

/// Applies one finding; true when the objects are others now. A bookmark alone is no change.
fn take_in(snapshot: &mut ConfigSnapshot, found: Found) -> bool {
    match found {
        Found::Whole(kind, listed) => {
            let new: BTreeMap<Key, Arc<Resource>> = listed
                .items
                .into_iter()
                .map(|object| (object.key(), object))
                .collect();
            let before = snapshot.objects.len();
            snapshot
                .objects
                .retain(|key, _| key.kind != kind || new.contains_key(key));
            let mut changed = before != snapshot.objects.len();
            for (key, object) in new {
                changed |= put(snapshot, key, object);
            }
            changed
        }
        Found::Change(_, event) => match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => put(snapshot, object.key(), object),
            WatchEvent::Deleted(object) => snapshot.objects.remove(&object.key()).is_some(),
            WatchEvent::Bookmark(_) => false,
        },
    }
}

fn put(snapshot: &mut ConfigSnapshot, key: Key, object: Arc<Resource>) -> bool {
    let same = |old: &Arc<Resource>| {
        old.meta.uid == object.meta.uid && old.meta.resource_version == object.meta.resource_version
    };
    if snapshot.objects.get(&key).is_some_and(same) {
        return false;
    }
    snapshot.objects.insert(key, object);
    true
}

/// Follows one kind for ever: list, watch, resume; list again only when the history is gone.
async fn follow(source: Arc<dyn ConfigSource>, kind: Kind, found: mpsc::Sender<Found>) {
    let mut backoff = Backoff::new(RETRY.0, RETRY.1);
    let mut after = None;
    loop {
        let error = match after {
            None => match source.list(kind).await {
                Ok(listed) => {
                    after = Some(listed.version);
                    if found.send(Found::Whole(kind, listed)).await.is_err() {
                        return;
                    }
                    continue;
                }
                Err(error) => error,
            },
            Some(version) => match watch_from(source.as_ref(), kind, version, &found, &mut backoff).await {
                Ended::Resume(version) => {
                    after = Some(version);
                    tokio::time::sleep(backoff.wait()).await;
                    continue;
                }
                Ended::Expired => {
                    tracing::info!(kind = kind.name(), version, "history is gone; listing again");
                    after = None;
                    tokio::time::sleep(backoff.wait()).await;
                    continue;
                }
                Ended::Failed(version, error) => {
                    after = Some(version);
                    error
                }
                Ended::NobodyListens => return,
            },
        };
        let wait = backoff.wait();
        tracing::warn!(kind = kind.name(), %error, ?wait, "lost the config source; the last state is kept");
        tokio::time::sleep(wait).await;
    }
}

enum Ended {
    Resume(u64),
    Expired,
    Failed(u64, ClientError),
    NobodyListens,
}

async fn watch_from(
    source: &dyn ConfigSource,
    kind: Kind,
    mut version: u64,
    found: &mpsc::Sender<Found>,
    backoff: &mut Backoff,
) -> Ended {
    let mut events = source.watch(kind, version);
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                backoff.reset();
                version = version.max(event.version().unwrap_or(0));
                if found.send(Found::Change(kind, event)).await.is_err() {
                    return Ended::NobodyListens;
                }
            }
            Err(ClientError::Expired { .. }) => return Ended::Expired,
            Err(error) => return Ended::Failed(version, error),
        }
    }
    Ended::Resume(version)
}

#[cfg(test)]
mod tests;
