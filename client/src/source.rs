//! The two traits through which rules are read and written, wherever they are kept.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use outrigger_api::kind::Kind;
use outrigger_api::resource::{Key, Resource};

use crate::error::ClientError;

/// Reads objects and follows their changes.
///
/// Versions are one rising counter over all kinds. `list` followed by `watch(kind, listed.version)` sees every
/// later change exactly once and in order. Every future may be dropped at any await without harm.
pub trait ConfigSource: Send + Sync {
    /// All objects of a kind, in every namespace, at one moment.
    fn list(&self, kind: Kind) -> BoxFuture<'_, Result<Listed, ClientError>>;

    /// Changes of a kind after a version, oldest first. The stream ends, with or without an error, when the source
    /// goes away or the reader is too slow: resume after the last version seen, and list again on
    /// [`ClientError::Expired`].
    fn watch(&self, kind: Kind, after: u64) -> BoxStream<'static, Result<WatchEvent, ClientError>>;

    /// One object, or `None` when there is none of that key.
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Arc<Resource>>, ClientError>>;
}

/// Writes objects too. An answer means that the change is on disk.
pub trait ConfigStore: ConfigSource {
    /// Stores a new object; one of that key must not exist.
    fn create<'a>(&'a self, resource: &'a Resource) -> BoxFuture<'a, Result<Written, ClientError>>;

    /// Replaces an object, provided that `meta.resource_version` is still its current version.
    fn replace<'a>(&'a self, resource: &'a Resource) -> BoxFuture<'a, Result<Written, ClientError>>;

    /// Removes an object, whatever its version.
    fn delete<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Deleted, ClientError>>;

    /// This store seen as a source only.
    fn source(self: Arc<Self>) -> Arc<dyn ConfigSource>;
}

/// Answer of [`ConfigSource::list`].
#[derive(Clone, Debug, Default)]
pub struct Listed {
    /// The objects, sorted by namespace and name.
    pub items: Vec<Arc<Resource>>,
    /// Version at which the list was true: watch after it.
    pub version: u64,
}

/// One change.
#[derive(Clone, Debug)]
pub enum WatchEvent {
    /// A new object.
    Added(Arc<Resource>),
    /// An object as it is now.
    Modified(Arc<Resource>),
    /// An object as it was last; its `resource_version` is that of the deletion.
    Deleted(Arc<Resource>),
    /// Nothing of this kind changed up to this version.
    Bookmark(u64),
}

impl WatchEvent {
    /// The version to resume after; `None` when the sender left it out.
    pub fn version(&self) -> Option<u64> {
        match self {
            WatchEvent::Added(object) | WatchEvent::Modified(object) | WatchEvent::Deleted(object) => {
                object.meta.resource_version.as_ref()?.parse().ok()
            }
            WatchEvent::Bookmark(version) => Some(*version),
        }
    }
}

/// An object as stored, with what the server has to say about it.
#[derive(Clone, Debug)]
pub struct Written {
    /// The object with uid, generation and resource version filled in.
    pub resource: Arc<Resource>,
    /// Sentences for the person who wrote it; may be empty.
    pub warnings: Vec<String>,
}

/// What came of a deletion.
#[derive(Clone, Debug, Default)]
pub struct Deleted {
    /// The object, where finalizers hold it: it goes when the last of them is taken away.
    pub held: Option<Arc<Resource>>,
    /// Sentences for the person who deleted it, such as who now names something that is gone; may be empty.
    pub warnings: Vec<String>,
}
