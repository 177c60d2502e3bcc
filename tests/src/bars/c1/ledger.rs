//! What was acknowledged and what was on its way when the server died, and what a store that opens again may hold. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use outrigger_api::resource::Resource;

use super::object::{number, version};

/// Objects by name.
pub(super) type Objects = BTreeMap<String, Arc<Resource>>;

/// A write without an answer yet.
#[derive(Clone, Debug)]
pub(super) enum Attempt {
    /// This object, as sent.
    Put(Box<Resource>),
    /// A deletion.
    Delete,
}

/// The account of every object.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    lines: BTreeMap<String, Line>,
    /// Writes that were acknowledged.
    pub(super) acknowledged: u64,
}

#[derive(Clone, Debug, Default)]
struct Line {
    /// The object as the server gave it back; `None` after a deletion and before the first creation.
    acknowledged: Option<Arc<Resource>>,
    attempt: Option<Attempt>,
}

/// What is wrong with a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Findings {
    pub(super) lost: u32,
    pub(super) torn: u32,
}

impl Findings {
    pub(super) fn add(&mut self, other: Findings) {
        self.lost += other.lost;
        self.torn += other.torn;
    }
}

impl Ledger {
    /// A write is about to be sent.
    pub(super) fn trying(&mut self, name: &str, attempt: Attempt) {
        self.lines.entry(name.to_owned()).or_default().attempt = Some(attempt);
    }

    /// The write to `name` was acknowledged; `now` is the object that the answer shows. An answer that shows another
    /// one than was sent is torn.
    pub(super) fn acknowledged(&mut self, name: &str, now: Option<Arc<Resource>>) -> Findings {
        self.acknowledged += 1;
        let line = self.lines.entry(name.to_owned()).or_default();
        let fits = as_tried(line, now.as_deref());
        if !fits {
            println!(
                "{name}: {} was acknowledged as {}",
                tell_attempt(line),
                tell(now.as_deref())
            );
        }
        *line = Line {
            acknowledged: now,
            attempt: None,
        };
        Findings {
            torn: u32::from(!fits),
            ..Findings::default()
        }
    }

    /// Compares with what the server holds after a crash, and takes that as the new truth.
    pub(super) fn compare(&mut self, held: &Objects) -> Findings {
        let mut findings = Findings::default();
        let names: BTreeSet<String> = self.lines.keys().chain(held.keys()).cloned().collect();
        for name in names {
            let now = held.get(&name);
            let line = self.lines.entry(name.clone()).or_default();
            if let Some(found) = judge(line, now.map(Arc::as_ref)) {
                println!(
                    "{name}: acknowledged {}, then {}, found {}",
                    tell(line.acknowledged.as_deref()),
                    tell_attempt(line),
                    tell(now.map(Arc::as_ref))
                );
                findings.add(found);
            }
            *line = Line {
                acknowledged: now.cloned(),
                attempt: None,
            };
        }
        findings
    }
}

/// What is wrong with an object that is found as `now`: it must be, in every field, what was acknowledged or what was
/// on its way.
fn judge(line: &Line, now: Option<&Resource>) -> Option<Findings> {
    if now == line.acknowledged.as_deref() || as_tried(line, now) {
        return None;
    }
    let came_back = line.acknowledged.is_none() && !matches!(line.attempt, Some(Attempt::Put(_)));
    let fell = |now: &Resource| {
        line.acknowledged
            .as_deref()
            .is_some_and(|old| version(now) < version(old))
    };
    let lost = now.is_none_or(|now| came_back || fell(now));
    Some(Findings {
        lost: u32::from(lost),
        torn: u32::from(!lost),
    })
}

/// The attempt was carried out, wholly: what was sent is there, and what the server keeps follows from what was before.
fn as_tried(line: &Line, now: Option<&Resource>) -> bool {
    let sent = match (&line.attempt, now) {
        (Some(Attempt::Delete), None) => return true,
        (Some(Attempt::Put(sent)), Some(_)) => sent,
        _ => return false,
    };
    let Some(now) = now else { return false };
    let as_sent = Resource {
        spec: sent.spec.clone(),
        meta: outrigger_api::meta::ObjectMeta {
            uid: now.meta.uid.clone(),
            resource_version: now.meta.resource_version.clone(),
            generation: now.meta.generation,
            creation_timestamp: now.meta.creation_timestamp.clone(),
            ..sent.meta.clone()
        },
    };
    let kept = match &line.acknowledged {
        Some(old) => {
            now.meta.uid == old.meta.uid
                && now.meta.creation_timestamp == old.meta.creation_timestamp
                && now.meta.generation == old.meta.generation + 1
                && version(now) > version(old)
        }
        None => now.meta.generation == 1 && !now.meta.uid.is_empty() && version(now) > 0,
    };
    *now == as_sent && kept
}

fn tell(object: Option<&Resource>) -> String {
    object.map_or("nothing".to_owned(), |object| {
        let (number, meta) = (number(object), &object.meta);
        let filler = meta.annotations.get("filler").map_or(0, String::len);
        format!(
            "{number} with {filler} bytes, version {}, generation {}, uid {}",
            version(object),
            meta.generation,
            meta.uid
        )
    })
}

fn tell_attempt(line: &Line) -> String {
    match &line.attempt {
        None => "no attempt".to_owned(),
        Some(Attempt::Delete) => "a deletion".to_owned(),
        Some(Attempt::Put(sent)) => format!("an attempt to put {}", tell(Some(sent))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::object::object;
    use super::*;

    const GOOD: Findings = Findings { lost: 0, torn: 0 };
    const LOST: Findings = Findings { lost: 1, torn: 0 };
    const TORN: Findings = Findings { lost: 0, torn: 1 };

    fn stored(number: i32, version: u64, generation: u64) -> Resource {
        let mut object = object("a", number);
        object.meta.uid = "u".into();
        object.meta.resource_version = Some(version.to_string());
        object.meta.generation = generation;
        object
    }

    fn compared(
        acknowledged: Option<Resource>,
        attempt: Option<Attempt>,
        found: Option<Resource>,
    ) -> Findings {
        let mut ledger = Ledger::default();
        let acknowledged = acknowledged.map(Arc::new);
        ledger.lines.insert(
            "a".into(),
            Line {
                acknowledged,
                attempt,
            },
        );
        ledger.compare(
            &found
                .into_iter()
                .map(|found| ("a".to_owned(), Arc::new(found)))
                .collect(),
        )
    }

    fn put(number: i32) -> Option<Attempt> {
        Some(Attempt::Put(Box::new(object("a", number))))
    }

    #[test]
    fn what_was_acknowledged_must_be_there_in_every_field() {
        let old = || Some(stored(7, 3, 1));
        assert_eq!(compared(old(), None, old()), GOOD);
        assert_eq!(compared(old(), None, None), LOST);
        assert_eq!(compared(old(), None, Some(stored(6, 2, 1))), LOST);

        let mut cut = stored(7, 3, 1);
        cut.meta.annotations.insert("filler".into(), "7 7".into());
        assert_eq!(compared(old(), None, Some(cut)), TORN);
        let mut other = stored(7, 3, 1);
        other.meta.uid = "other".into();
        assert_eq!(compared(old(), None, Some(other)), TORN);
        assert_eq!(compared(old(), None, Some(stored(7, 3, 2))), TORN);
    }

    #[test]
    fn what_was_on_its_way_is_wholly_there_or_not_at_all() {
        let old = || Some(stored(7, 3, 1));
        assert_eq!(compared(old(), put(9), Some(stored(9, 4, 2))), GOOD);
        assert_eq!(compared(old(), put(9), old()), GOOD);
        assert_eq!(compared(old(), put(9), Some(stored(8, 4, 2))), TORN);
        assert_eq!(compared(old(), put(9), Some(stored(9, 4, 1))), TORN);
        assert_eq!(compared(old(), put(9), None), LOST);
        assert_eq!(compared(old(), Some(Attempt::Delete), None), GOOD);
        assert_eq!(compared(None, put(9), Some(stored(9, 4, 1))), GOOD);
        assert_eq!(compared(None, put(9), Some(stored(9, 4, 5))), TORN);
    }

    #[test]
    fn what_was_deleted_does_not_come_back_and_nothing_comes_from_nowhere() {
        assert_eq!(compared(None, None, Some(stored(7, 3, 1))), LOST);
        let found = Objects::from([("b".to_owned(), Arc::new(stored(7, 3, 1)))]);
        assert_eq!(Ledger::default().compare(&found), LOST);
    }

    #[test]
    fn an_answer_that_shows_something_else_than_was_sent_is_torn() {
        let mut ledger = Ledger::default();
        ledger.trying("a", Attempt::Put(Box::new(object("a", 7))));
        assert_eq!(ledger.acknowledged("a", Some(Arc::new(stored(7, 1, 1)))), GOOD);
        ledger.trying("a", Attempt::Put(Box::new(object("a", 9))));
        assert_eq!(ledger.acknowledged("a", Some(Arc::new(stored(8, 2, 2)))), TORN);
    }
}
