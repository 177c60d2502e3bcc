//! Watches: an answer that goes on, made of the follower's events while the client takes them.
//!
//! There is no queue and no task per watcher: the body asks the follower when the connection has room, so a client that
//! takes nothing costs its place in the history and no more, and learns of its lag when it reads on.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use outrigger_client::status::Status;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, watch as signal};
use tokio::time::{Interval, Sleep, sleep};

use super::call::{Place, Watching};
use super::render::Reply;
use super::selector::Selector;
use super::{Surface, stop};
use crate::follower::{Follower, Lapse, bookmarks};
use crate::history::{Sight, line};
use crate::measures::Measures;
use crate::object::Stored;
use crate::refusal;

/// Events taken at once.
const CHUNK: usize = 64;
/// Bytes of one piece of the body, about; a single event may be longer.
const PIECE: usize = 64 << 10;
/// A watch without `timeoutSeconds` ends after this many seconds, drawn anew for each so that they do not all end at once.
const LIFETIME: std::ops::RangeInclusive<u64> = 1_800..=3_600;
/// Longest lifetime that a client can ask for, in seconds.
const LONGEST: u64 = 86_400;

/// Begins a watch.
pub(super) fn answer(surface: &Surface, wanted: Watching) -> Result<Reply, Status> {
    let place = surface.limits.watcher()?;
    let view = &surface.inner.view;
    let kind = wanted.place.kind;
    let (existing, after) = match wanted.after {
        Some(after) => (Vec::new(), after),
        None => view.list(kind, wanted.place.namespace.as_deref()),
    };
    let seconds = wanted
        .seconds
        .unwrap_or_else(|| fastrand::u64(LIFETIME))
        .min(LONGEST);
    let watch = Watch {
        sees: Sees {
            place: wanted.place,
            selector: wanted.selector,
        },
        existing: existing.into_iter(),
        follower: Follower::after(Arc::clone(view), kind, after),
        told: after,
        bookmarks: wanted.bookmarks.then(|| bookmarks(surface.inner.bookmark_every)),
        end: Box::pin(sleep(Duration::from_secs(seconds))),
        stopping: surface.stopping.clone(),
        open: Open::new(Arc::clone(&surface.inner.measures), place),
    };
    let pieces = stream::unfold(Some(watch), |watch| async {
        let mut watch = watch?;
        match watch.next().await {
            Next::Piece(piece) => Some((piece, Some(watch))),
            Next::Last(piece) => Some((piece, None)),
            Next::End => None,
        }
    });
    Ok(Reply::stream(pieces.boxed(), wanted.stream_parameter))
}

struct Watch {
    sees: Sees,
    /// Objects that were there before, told as added.
    existing: std::vec::IntoIter<Arc<Stored>>,
    follower: Follower,
    /// The version that the client knows its kind to be complete up to.
    told: u64,
    bookmarks: Option<Interval>,
    end: std::pin::Pin<Box<Sleep>>,
    stopping: signal::Receiver<bool>,
    open: Open,
}

/// Which objects a watch is about.
struct Sees {
    place: Place,
    selector: Selector,
}

enum Next {
    Piece(Bytes),
    Last(Bytes),
    End,
}

impl Watch {
    async fn next(&mut self) -> Next {
        if let Some(piece) = self.existing_piece() {
            return Next::Piece(piece);
        }
        loop {
            match self.news() {
                Ok(Some(piece)) => return Next::Piece(piece),
                Ok(None) => {}
                Err(lapse) => return Next::Last(self.lapsed(lapse)),
            }
            if self.bookmarks.is_some() && self.follower.at() > self.told {
                // Something of another kind changed: who follows several kinds learns at once that this one is whole.
                return Next::Piece(self.bookmark());
            }
            tokio::select! {
                () = self.follower.changed() => continue,
                () = &mut self.end => return Next::End,
                () = stop(&mut self.stopping) => return Next::End,
                () = tick(&mut self.bookmarks) => {}
            }
            return Next::Piece(self.bookmark());
        }
    }

    fn existing_piece(&mut self) -> Option<Bytes> {
        let mut piece = Vec::new();
        while piece.len() < PIECE
            && let Some(object) = self.existing.next()
        {
            if self.sees.selects(&object) {
                piece.extend_from_slice(&line(Sight::Added, &object.json));
            }
        }
        if piece.is_empty() {
            None
        } else {
            Some(piece.into())
        }
    }

    /// What has happened since the last piece, if this watch sees any of it.
    fn news(&mut self) -> Result<Option<Bytes>, Lapse> {
        loop {
            let events = self.follower.take(CHUNK)?;
            if events.is_empty() {
                return Ok(None);
            }
            let seen = events.iter().filter_map(|event| {
                let sight = event.seen_by(|object| self.sees.selects(object))?;
                Some((event.version, event.line(sight)))
            });
            let (versions, mut lines): (Vec<u64>, Vec<Bytes>) = seen.unzip();
            self.told = versions.last().copied().unwrap_or(self.told);
            match lines.len() {
                0 => {}
                1 => return Ok(lines.pop()),
                _ => return Ok(Some(lines.concat().into())),
            }
        }
    }

    fn bookmark(&mut self) -> Bytes {
        self.told = self.follower.at();
        let kind = self.sees.place.kind;
        let object = json!({
            "kind": kind.name(),
            "apiVersion": kind.api_version(),
            "metadata": {"resourceVersion": self.told.to_string(), "creationTimestamp": null},
        });
        typed("BOOKMARK", &object.to_string())
    }

    fn lapsed(&self, lapse: Lapse) -> Bytes {
        if let Lapse::TooSlow { .. } = lapse {
            self.open.measures.slow_watchers.inc();
        }
        let status = refusal::lapsed(lapse);
        typed("ERROR", &serde_json::to_string(&status).unwrap_or_default()) // a Status has text and numbers only
    }
}

impl Sees {
    fn selects(&self, object: &Stored) -> bool {
        let here = self
            .place
            .namespace
            .as_ref()
            .is_none_or(|namespace| *namespace == object.key.namespace);
        here && self.selector.selects(&object.resource.meta)
    }
}

fn typed(name: &str, object: &str) -> Bytes {
    format!("{{\"type\":\"{name}\",\"object\":{object}}}\n").into()
}

async fn tick(bookmarks: &mut Option<Interval>) {
    match bookmarks {
        Some(bookmarks) => drop(bookmarks.tick().await),
        None => std::future::pending().await,
    }
}

/// Counts an open watch and holds its place until it is dropped.
struct Open {
    measures: Arc<Measures>,
    _place: OwnedSemaphorePermit,
}

impl Open {
    fn new(measures: Arc<Measures>, place: OwnedSemaphorePermit) -> Self {
        measures.watchers.inc();
        Open {
            measures,
            _place: place,
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.measures.watchers.dec();
    }
}
