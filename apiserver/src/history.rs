//! The latest changes of one kind, in order: what watchers are served from. Pure.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::object::Stored;

/// Changes kept of each kind, however old (`spec/reliability.md` P12).
pub(crate) const LENGTH: usize = 10_000;
/// Younger changes are kept beyond [`LENGTH`].
const YOUNG: Duration = Duration::from_secs(5 * 60);
/// Bytes of JSON kept of each kind; with large objects, or very many changes, this bound comes first.
pub(crate) const BYTES: usize = 32 << 20;

/// One change of one object.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) version: u64,
    /// The object before, if there was one.
    pub(crate) before: Option<Arc<Stored>>,
    pub(crate) now: Now,
    /// The event as a line of a watch; made once, shared by all watchers.
    line: OnceLock<Bytes>,
}

/// What a change left.
#[derive(Clone, Debug)]
pub(crate) enum Now {
    /// The object as it is now.
    Present(Arc<Stored>),
    /// The object as it was last, with the version of its deletion.
    Gone(Arc<Stored>),
}

/// How a watcher sees a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    Added,
    Modified,
    Deleted,
}

impl Sight {
    /// The `type` of a watch event.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Sight::Added => "ADDED",
            Sight::Modified => "MODIFIED",
            Sight::Deleted => "DELETED",
        }
    }
}

impl Event {
    pub(crate) fn new(before: Option<Arc<Stored>>, now: Now) -> Self {
        Event {
            version: now.object().version,
            before,
            now,
            line: OnceLock::new(),
        }
    }

    /// How the change looks to a watcher who sees only what `selects` selects; `None` when it does not see it. An object
    /// that comes into sight was added for it, one that leaves was deleted.
    pub(crate) fn seen_by(&self, selects: impl Fn(&Stored) -> bool) -> Option<Sight> {
        let before = self.before.as_deref().is_some_and(&selects);
        let after = matches!(&self.now, Now::Present(object) if selects(object));
        match (before, after) {
            (false, false) => None,
            (false, true) => Some(Sight::Added),
            (true, true) => Some(Sight::Modified),
            (true, false) => Some(Sight::Deleted),
        }
    }

    /// `{"type":"ADDED","object":{...}}` and a line end.
    pub(crate) fn line(&self, sight: Sight) -> Bytes {
        let object = &self.now.object().json;
        match self.seen_by(|_| true) {
            Some(natural) if natural == sight => self.line.get_or_init(|| line(sight, object)).clone(),
            Some(_) | None => line(sight, object),
        }
    }
}

impl Now {
    pub(crate) fn object(&self) -> &Arc<Stored> {
        match self {
            Now::Present(object) | Now::Gone(object) => object,
        }
    }
}

/// A watch event as one line.
pub(crate) fn line(sight: Sight, object: &[u8]) -> Bytes {
    let head = format!("{{\"type\":\"{}\",\"object\":", sight.name());
    [head.as_bytes(), object, b"}\n"].concat().into()
}

/// Changes in the order of their versions, the oldest dropped when there are too many.
#[derive(Debug)]
pub(crate) struct History {
    /// Each with the moment at which it became visible.
    events: VecDeque<(Arc<Event>, Instant)>,
    /// Every change after this version is here.
    horizon: u64,
    bytes: usize,
}

/// The history begins later than the version asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooOld {
    pub(crate) horizon: u64,
}

impl History {
    /// A history that knows nothing up to `horizon`.
    pub(crate) fn after_horizon(horizon: u64) -> Self {
        History {
            events: VecDeque::new(),
            horizon,
            bytes: 0,
        }
    }

    /// Adds a change, which must be newer than all before. Those that are surplus `now` are dropped.
    pub(crate) fn push(&mut self, event: Arc<Event>, now: Instant) {
        debug_assert!(
            self.events
                .back()
                .is_none_or(|(last, _)| last.version < event.version),
            "versions rise"
        );
        self.bytes += event.now.object().json.len();
        self.events.push_back((event, now));
        while self.is_too_long(now)
            && let Some((dropped, _)) = self.events.pop_front()
        {
            self.horizon = dropped.version;
            self.bytes -= dropped.now.object().json.len();
        }
    }

    fn is_too_long(&self, now: Instant) -> bool {
        let oldest_is_old = || {
            let oldest = self.events.front();
            oldest.is_some_and(|(_, at)| now.saturating_duration_since(*at) >= YOUNG)
        };
        self.events.len() > LENGTH && oldest_is_old() || self.bytes > BYTES && self.events.len() > 1
    }

    /// At most `limit` changes after a version, oldest first.
    pub(crate) fn after(&self, version: u64, limit: usize) -> Result<Vec<Arc<Event>>, TooOld> {
        if version < self.horizon {
            return Err(TooOld {
                horizon: self.horizon,
            });
        }
        Ok(self
            .events
            .range(self.position(version)..)
            .take(limit)
            .map(|(event, _)| Arc::clone(event))
            .collect())
    }

    /// How many changes there are after a version.
    pub(crate) fn count_after(&self, version: u64) -> usize {
        self.events.len() - self.position(version)
    }

    fn position(&self, version: u64) -> usize {
        self.events.partition_point(|(event, _)| event.version <= version)
    }
}

#[cfg(test)]
mod tests;
