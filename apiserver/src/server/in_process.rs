//! The server as [`ConfigStore`] for code in the same process: the same rules as over HTTP, without the wire.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt};
use outrigger_api::document::{Options as Reading, parse_body};
use outrigger_api::kind::Kind;
use outrigger_api::resource::{Key, Resource};
use outrigger_client::{ClientError, ConfigSource, ConfigStore, Deleted, Listed, WatchEvent, Written};
use tokio::time::Interval;

use super::{Accepted, ApiServer, Put, check_length, remarks};
use crate::follower::{Follower, bookmarks};
use crate::history::{Event, Now};
use crate::refusal;
use crate::writer::Done;
use crate::writer::decide::Preconditions;

/// Events taken at once.
const CHUNK: usize = 64;

impl ConfigSource for ApiServer {
    fn list(&self, kind: Kind) -> BoxFuture<'_, Result<Listed, ClientError>> {
        let (objects, version) = self.inner.view.list(kind, None);
        let items = objects
            .iter()
            .map(|object| Arc::clone(&object.resource))
            .collect();
        Box::pin(async move { Ok(Listed { items, version }) })
    }

    fn watch(&self, kind: Kind, after: u64) -> BoxStream<'static, Result<WatchEvent, ClientError>> {
        let follower = Follower::after(Arc::clone(&self.inner.view), kind, after);
        let bookmark_every = self.inner.bookmark_every;
        let watching = Watching {
            follower,
            ready: VecDeque::new(),
            bookmarks: None,
            bookmark_every,
            after,
            told: after,
        };
        stream::unfold(Some(watching), |watching| async {
            let mut watching = watching?;
            match watching.next().await {
                Ok(event) => Some((Ok(event), Some(watching))),
                Err(error) => Some((Err(error), None)),
            }
        })
        .boxed()
    }

    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Arc<Resource>>, ClientError>> {
        let found = match self.inner.get(key) {
            Ok(stored) => Ok(Some(Arc::clone(&stored.resource))),
            Err(status) if status.code == 404 => Ok(None),
            Err(status) => Err(status.into()),
        };
        Box::pin(async { found })
    }
}

impl ConfigStore for ApiServer {
    fn create<'a>(&'a self, resource: &'a Resource) -> BoxFuture<'a, Result<Written, ClientError>> {
        Box::pin(self.put(Put::Create, resource))
    }

    fn replace<'a>(&'a self, resource: &'a Resource) -> BoxFuture<'a, Result<Written, ClientError>> {
        Box::pin(self.put(Put::Replace, resource))
    }

    fn delete<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Deleted, ClientError>> {
        Box::pin(async {
            let warnings = self.inner.before_deletion(&BTreeSet::from([key.clone()]));
            let done = self
                .inner
                .delete(key.clone(), Preconditions::default(), false)
                .await?;
            Ok(match done {
                Done::Present(stored) => Deleted {
                    held: Some(Arc::clone(&stored.resource)),
                    warnings: Vec::new(),
                },
                Done::Gone(_) | Done::Cleared => Deleted { held: None, warnings },
            })
        })
    }

    fn source(self: Arc<Self>) -> Arc<dyn ConfigSource> {
        self
    }
}

impl ApiServer {
    async fn put(&self, put: Put, resource: &Resource) -> Result<Written, ClientError> {
        // What code has built must be readable again at the next start, so it takes the way of every other body.
        let (kind, name) = (resource.kind(), &resource.meta.name);
        let text = resource.to_json().to_string();
        check_length(kind, name, text.len())?;
        let parsed = parse_body(text.as_bytes(), &Reading::default())
            .map_err(|problems| refusal::problems(kind, name, &problems))?;
        let mut warnings = remarks(&parsed, |_| true);
        let Accepted {
            stored,
            warnings: more,
        } = self.inner.put(put, parsed.resource, false).await?;
        warnings.extend(more);
        Ok(Written {
            resource: Arc::clone(&stored.resource),
            warnings,
        })
    }
}

struct Watching {
    follower: Follower,
    ready: VecDeque<Arc<Event>>,
    /// Made at the first poll, which is in a runtime.
    bookmarks: Option<Interval>,
    bookmark_every: Duration,
    after: u64,
    /// The version that the reader knows its kind to be complete up to.
    told: u64,
}

impl Watching {
    async fn next(&mut self) -> Result<WatchEvent, ClientError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.told = event.version;
                return Ok(told(&event));
            }
            let events = self
                .follower
                .take(CHUNK)
                .map_err(|_| ClientError::Expired { after: self.after })?;
            self.ready.extend(events);
            if !self.ready.is_empty() {
                continue;
            }
            if self.follower.at() > self.told {
                // Something of another kind changed, or nothing that is seen did: the reader learns it at once.
                return Ok(self.bookmark());
            }
            let bookmarks = self
                .bookmarks
                .get_or_insert_with(|| bookmarks(self.bookmark_every));
            tokio::select! {
                () = self.follower.changed() => {}
                _ = bookmarks.tick() => return Ok(self.bookmark()),
            }
        }
    }

    fn bookmark(&mut self) -> WatchEvent {
        self.told = self.follower.at();
        WatchEvent::Bookmark(self.told)
    }
}

fn told(event: &Event) -> WatchEvent {
    let object = Arc::clone(&event.now.object().resource);
    match (&event.now, &event.before) {
        (Now::Gone(_), _) => WatchEvent::Deleted(object),
        (Now::Present(_), Some(_)) => WatchEvent::Modified(object),
        (Now::Present(_), None) => WatchEvent::Added(object),
    }
}
