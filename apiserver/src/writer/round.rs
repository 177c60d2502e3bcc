//! One batch in the making: each write is decided on the state that the ones before it will leave.

use std::collections::BTreeMap;
use std::sync::Arc;

use outrigger_api::meta::generated;
use outrigger_api::resource::{Key, Resource};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::decide::{self, Decision, Moment, Refusal};
use super::{Done, Reply, Wanted, Write, WriteError};
use crate::history::{Event, Now};
use crate::journal::change::{Change, Effect};
use crate::journal::record;
use crate::object::{Stored, storage_key};
use crate::store::Batch;
use crate::view::{Published, View};

/// Tries to find a free name for `generateName`.
const NAME_TRIES: usize = 8;

pub(super) struct Round {
    view: Arc<View>,
    /// Objects as this round leaves them; `None` for a deleted one.
    changed: BTreeMap<Key, Option<Arc<Stored>>>,
    /// Version of the round's first change.
    pub(super) first: u64,
    next: u64,
    pub(super) framed: Vec<u8>,
    pub(super) published: Published,
    pub(super) batch: Batch,
    pub(super) replies: Vec<(Reply, Result<Done, WriteError>)>,
}

impl Round {
    pub(super) fn new(view: Arc<View>) -> Self {
        let version = view.version();
        Round {
            view,
            changed: BTreeMap::new(),
            first: version + 1,
            next: version + 1,
            framed: Vec::new(),
            published: Published {
                version,
                ..Published::default()
            },
            batch: Batch {
                applied: version,
                changes: Vec::new(),
            },
            replies: Vec::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.replies.len()
    }

    /// Decides a write and takes it into the batch; the reply is given with the others, once the disk has the batch.
    pub(super) fn decide(&mut self, write: Write, reply: Reply) {
        let outcome = self.outcome(write);
        self.replies.push((reply, outcome));
    }

    fn outcome(&mut self, write: Write) -> Result<Done, WriteError> {
        let Write { what, dry_run } = write;
        let moment = Moment {
            now: now(),
            uid: uuid::Uuid::new_v4().to_string(),
        };
        let (key, decision) = match what {
            Wanted::Create(wanted) => {
                let wanted = self.named(*wanted)?;
                let key = wanted.key();
                let current = self.current(&key);
                (
                    key,
                    decide::create(wanted, current.as_deref().map(resource), &moment)?,
                )
            }
            Wanted::Replace(wanted) => {
                let key = wanted.key();
                let current = self.current(&key);
                (key, decide::replace(*wanted, current.as_deref().map(resource))?)
            }
            Wanted::Delete(key, wanted) => {
                let current = self.current(&key);
                if current.is_none() && self.is_quarantined(&key) {
                    if !dry_run {
                        self.take_in(key, None);
                    }
                    return Ok(Done::Cleared);
                }
                let decision = decide::delete(&key, &wanted, current.as_deref().map(resource), &moment)?;
                (key, decision)
            }
        };
        let current = self.current(&key);
        match (decision, current) {
            (Decision::Put(resource), current) => {
                let stored = Stored::new(*resource, self.next);
                let bytes = stored.json.len();
                if bytes > decide::LARGEST {
                    return Err(Refusal::TooLarge { key, bytes }.into());
                }
                if dry_run {
                    return Ok(Done::Present(Arc::new(with_version_of(
                        stored,
                        current.as_deref(),
                    ))));
                }
                let stored = Arc::new(stored);
                self.take_in(key, Some(Arc::clone(&stored)));
                Ok(Done::Present(stored))
            }
            (Decision::Remove, Some(last)) if dry_run => Ok(Done::Gone(last)),
            (Decision::Remove, Some(last)) => {
                self.take_in(key, None);
                Ok(Done::Gone(last))
            }
            (Decision::Unchanged, Some(current)) => Ok(Done::Present(current)),
            (Decision::Remove | Decision::Unchanged, None) => Err(Refusal::NotFound(key).into()),
        }
    }

    /// The change joins the batch under the next version.
    fn take_in(&mut self, key: Key, after: Option<Arc<Stored>>) {
        let version = self.next;
        let before = self.current(&key);
        let text = storage_key(&key);
        let envelope = after.as_ref().map(|stored| stored.envelope());
        let effect = match envelope.clone() {
            Some(envelope) => Effect::Put {
                key: text.clone(),
                envelope,
            },
            None => Effect::Delete { key: text.clone() },
        };
        record::frame(&Change { version, effect }.encode(), &mut self.framed);
        let now = match (&after, &before) {
            (Some(object), _) => Some(Now::Present(Arc::clone(object))),
            (None, Some(last)) => Some(Now::Gone(Arc::new(Stored::new(
                last.resource.as_ref().clone(),
                version,
            )))),
            (None, None) => None,
        };
        self.published
            .events
            .extend(now.map(|now| Arc::new(Event::new(before, now))));
        self.published.touched.push(text.clone());
        self.published.version = version;
        self.batch.changes.push((text, envelope));
        self.batch.applied = version;
        self.changed.insert(key, after);
        self.next += 1;
    }

    fn current(&self, key: &Key) -> Option<Arc<Stored>> {
        match self.changed.get(key) {
            Some(changed) => changed.clone(),
            None => self.view.get(key),
        }
    }

    fn is_quarantined(&self, key: &Key) -> bool {
        !self.changed.contains_key(key) && self.view.quarantined(key).is_some()
    }

    /// Completes `generateName` by five random characters.
    fn named(&self, mut wanted: Resource) -> Result<Resource, Refusal> {
        const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
        if !wanted.meta.name.is_empty() {
            return Ok(wanted);
        }
        for _ in 0..NAME_TRIES {
            let ending = (0..5).map(|_| char::from(fastrand::choice(ALPHABET).copied().unwrap_or(b'x')));
            wanted.meta.name = generated(&wanted.meta.generate_name, &ending.collect::<String>());
            if self.current(&wanted.key()).is_none() {
                return Ok(wanted);
            }
        }
        Err(Refusal::AlreadyExists(wanted.key()))
    }
}

fn resource(stored: &Stored) -> &Resource {
    &stored.resource
}

/// The answer to a dry run: an object whose version is that of the present one, or none.
fn with_version_of(shown: Stored, current: Option<&Stored>) -> Stored {
    let mut resource = shown.resource.as_ref().clone();
    resource.meta.resource_version = current.map(|current| current.version.to_string());
    let json = resource.to_json().to_string().into();
    let version = current.map_or(0, |current| current.version);
    Stored {
        version,
        json,
        resource: Arc::new(resource),
        ..shown
    }
}

fn now() -> String {
    let now = OffsetDateTime::now_utc().replace_nanosecond(0);
    now.ok()
        .and_then(|now| now.format(&Rfc3339).ok())
        .unwrap_or_default() // both cannot fail in our millennium
}
