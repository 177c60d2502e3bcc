//! Snapshot, journal and store into one state. Pure.

use std::collections::{BTreeMap, VecDeque};
use std::ops::RangeInclusive;

use bytes::Bytes;

use super::{Held, Past, perform};
use crate::journal::change::{Change, Effect};
use crate::snapshot::Snapshot;
use crate::store::envelope::Envelope;

/// Changes kept for watchers that resume after a restart.
const PAST: usize = 20_000;

/// Where replaying begins.
#[derive(Debug, Default)]
pub(crate) struct Base {
    version: u64,
    entries: BTreeMap<String, Bytes>,
    /// False when entries may be missing.
    whole: bool,
}

impl Base {
    /// Nothing, while the journal still has everything from the first change on, for that gives the longest history; else
    /// the oldest whole snapshot from which the journal has no gap; else the newest whole one. With damaged snapshots
    /// only, the store if it is as new, and last what the newest damaged one still holds.
    pub(crate) fn choose(snapshots: Vec<Snapshot>, changes: &[Change], held: Option<&Held>) -> Base {
        if !changes.is_empty() && missing_after(0, changes).is_empty() {
            return Base {
                whole: true,
                ..Base::default()
            };
        }
        let (whole, mut damaged): (Vec<_>, Vec<_>) =
            snapshots.into_iter().partition(|one| one.damage.is_none());
        let gapless = whole
            .iter()
            .position(|one| missing_after(one.version, changes).is_empty());
        let chosen = match gapless {
            Some(position) => whole.into_iter().nth(position),
            None => whole.into_iter().next_back(),
        };
        if let Some(snapshot) = chosen {
            return Base {
                version: snapshot.version,
                entries: snapshot.entries,
                whole: true,
            };
        }
        match (damaged.pop(), held) {
            (Some(newest), Some(held)) if held.applied >= newest.version => Base::of_store(held, &newest),
            (Some(newest), _) => Base {
                version: newest.version,
                entries: newest.entries,
                whole: false,
            },
            (None, _) => Base {
                whole: true,
                ..Base::default()
            }, // a new directory
        }
    }

    /// The store's state, its damaged values taken from a snapshot where that has them.
    fn of_store(held: &Held, snapshot: &Snapshot) -> Base {
        let mut entries = held.envelopes.clone();
        for (key, envelope) in &mut entries {
            let better = snapshot
                .entries
                .get(key)
                .filter(|_| version_of(envelope).is_none());
            if let Some(better) = better.filter(|better| version_of(better).is_some()) {
                *envelope = better.clone();
            }
        }
        Base {
            version: held.applied,
            entries,
            whole: true,
        }
    }
}

/// Versions between a base and the last change that no change has.
fn missing_after(base: u64, changes: &[Change]) -> Vec<RangeInclusive<u64>> {
    let mut missing = Vec::new();
    let mut next = base + 1;
    for change in changes.iter().filter(|change| change.version > base) {
        if change.version > next {
            missing.push(next..=change.version - 1);
        }
        next = next.max(change.version + 1);
    }
    missing
}

/// What of these versions is later than `version`.
fn beyond(version: u64, ranges: &[RangeInclusive<u64>]) -> Vec<RangeInclusive<u64>> {
    let later = ranges.iter().filter(|range| *range.end() > version);
    later
        .map(|range| *range.start().max(&(version + 1))..=*range.end())
        .collect()
}

/// The state after all readable changes.
#[derive(Debug)]
pub(crate) struct Replay {
    pub(crate) truth: BTreeMap<String, Bytes>,
    pub(crate) version: u64,
    pub(crate) past: VecDeque<Past>,
    pub(crate) horizon: u64,
    missing: Vec<RangeInclusive<u64>>,
    base_whole: bool,
    /// Version of the last deletion of a key, as the journal has it.
    deleted: BTreeMap<String, u64>,
}

impl Replay {
    /// Performs every change after the base, in order.
    pub(crate) fn run(base: Base, changes: Vec<Change>) -> Replay {
        let mut replay = Replay {
            missing: missing_after(base.version, &changes),
            base_whole: base.whole,
            truth: base.entries,
            version: base.version,
            past: VecDeque::new(),
            horizon: base.version,
            deleted: BTreeMap::new(),
        };
        for Change { version, effect } in changes {
            if version <= replay.version {
                continue; // in the base already
            }
            if version != replay.version + 1 {
                replay.past.clear();
                replay.horizon = version - 1;
            }
            if let Effect::Delete { key } = &effect {
                replay.deleted.insert(key.clone(), version);
            }
            let (key, before, after) = perform(effect, &mut replay.truth);
            replay.version = version;
            replay.past.push_back(Past {
                version,
                key,
                before,
                after,
            });
            if replay.past.len() > PAST {
                replay.horizon = replay
                    .past
                    .pop_front()
                    .map_or(replay.horizon, |oldest| oldest.version);
            }
        }
        replay
    }

    /// True when something that was once stored may be missing.
    pub(crate) fn is_incomplete(&self) -> bool {
        !self.base_whole || !self.missing.is_empty()
    }

    /// The versions that no journal record has.
    pub(crate) fn missing(&self) -> &[RangeInclusive<u64>] {
        &self.missing
    }

    /// Drops the history, which has a gap now.
    pub(crate) fn forget_the_past(&mut self) {
        self.past.clear();
        self.horizon = self.version;
    }

    /// Takes from the store what the journal lost: values whose version is missing, and deletions. Returns the versions
    /// that the store never saw either.
    pub(crate) fn adopt(&mut self, held: &Held) -> Vec<RangeInclusive<u64>> {
        let mut lost = self.missing.clone();
        if held.applied > self.version {
            lost.push(self.version + 1..=held.applied);
        }
        let adopted = self.adopt_values(held, &lost);
        let deleted = self.adopt_deletions(held, &lost);
        if !adopted.is_empty() || !deleted.is_empty() {
            tracing::error!(versions = ?lost, ?adopted, ?deleted, "journal repaired from the store");
        }
        beyond(held.applied, &lost)
    }

    fn adopt_values(&mut self, held: &Held, lost: &[RangeInclusive<u64>]) -> Vec<String> {
        let is_lost = |version: u64| lost.iter().any(|range| range.contains(&version));
        let mut adopted = Vec::new();
        for (key, envelope) in &held.envelopes {
            let here = self
                .truth
                .get(key)
                .and_then(version_of)
                .or(self.deleted.get(key).copied());
            let take = match version_of(envelope) {
                // A damaged base knows nothing of its missing keys, so the store's word counts for them.
                Some(there) => here.is_none_or(|here| there > here) && (is_lost(there) || !self.base_whole),
                // Damaged in the store as well: kept only to be reported, when nothing better is known.
                None => here.is_none() && !self.truth.contains_key(key),
            };
            if take {
                self.truth.insert(key.clone(), envelope.clone());
                adopted.push(key.clone());
            }
        }
        adopted
    }

    /// A key that the store has not, although it went past the key's version, was deleted by a lost change - unless the
    /// store lacks more keys than were lost changes: then it is the store that lost something.
    fn adopt_deletions(&mut self, held: &Held, lost: &[RangeInclusive<u64>]) -> Vec<String> {
        let last_lost = lost.iter().map(|range| *range.end()).max().unwrap_or(0);
        let room: u64 = lost.iter().map(|range| range.end() - range.start() + 1).sum();
        let may_be_deleted = |envelope| version_of(envelope).is_some_and(|v| v < last_lost.min(held.applied));
        let absent = self
            .truth
            .iter()
            .filter(|(key, _)| !held.envelopes.contains_key(*key));
        let gone: Vec<String> = absent
            .filter(|(_, envelope)| may_be_deleted(envelope))
            .map(|(key, _)| key.clone())
            .collect();
        if gone.len() as u64 > room {
            tracing::error!(keys = ?gone, "the store lacks more than the journal lost; these are kept");
            return Vec::new();
        }
        gone.iter().for_each(|key| drop(self.truth.remove(key)));
        gone
    }
}

fn version_of(envelope: &Bytes) -> Option<u64> {
    Envelope::decode(envelope.clone())
        .ok()
        .map(|envelope| envelope.version)
}
