//! What one client was sent, accepted and refused, summed up from what its stream reports.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::observer::{Observed, Push};
use crate::TypeUrl;

/// The state of one stream, for status pages. An [`Observer`](super::Observer) feeds it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamStatus {
    kinds: BTreeMap<TypeUrl, KindStatus>,
}

/// The state of one type on one stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KindStatus {
    /// The last message sent.
    pub sent: Option<Arc<Push>>,
    /// The last message accepted.
    pub acked: Option<Arc<Push>>,
    /// The last message refused, whether the fault was found or not.
    pub nacked: Option<Arc<Push>>,
    /// The content that is refused, by name.
    pub refused: BTreeMap<Arc<str>, Refusal>,
}

/// A refused content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The client's reason.
    pub message: String,
    /// The generation that was refused last.
    pub generation: u64,
    /// The first generation that was refused since the client last accepted this name: what changed with it is to
    /// blame, and nothing that changed later is in force either.
    pub since: u64,
    /// The nonce of the message that was refused.
    pub nonce: String,
}

/// How far a client is with a type, in the words of `proxy-status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncState {
    /// Nothing was sent.
    NotSent,
    /// The last message was accepted and nothing is refused.
    Synced,
    /// The last message waits for its answer.
    Stale,
    /// Some content is refused.
    Refused,
}

impl StreamStatus {
    /// The state of a type; empty for one that was never asked for.
    pub fn kind(&self, kind: TypeUrl) -> KindStatus {
        self.kinds.get(&kind).cloned().unwrap_or_default()
    }

    /// The types that were sent, in push order.
    pub fn kinds(&self) -> impl Iterator<Item = (TypeUrl, &KindStatus)> {
        self.kinds.iter().map(|(kind, status)| (*kind, status))
    }

    /// Takes in what a stream reports.
    pub fn observe(&mut self, event: &Observed) {
        match event {
            Observed::Sent(push) => self.kinds.entry(push.kind).or_default().sent = Some(Arc::clone(push)),
            Observed::Acked(push) => {
                let status = self.kinds.entry(push.kind).or_default();
                status.acked = Some(Arc::clone(push));
                for name in push.changed.iter().chain(&push.removed) {
                    status.refused.remove(name);
                }
            }
            Observed::Nacked {
                push,
                message,
                refused,
            } => {
                let status = self.kinds.entry(push.kind).or_default();
                status.nacked = Some(Arc::clone(push));
                for name in refused {
                    let since = status
                        .refused
                        .get(name)
                        .map_or(push.generation, |known| known.since);
                    let refusal = Refusal {
                        message: message.clone(),
                        generation: push.generation,
                        since,
                        nonce: push.nonce.clone(),
                    };
                    status.refused.insert(Arc::clone(name), refusal);
                }
            }
            Observed::Withdrawn { kind, names } => {
                let status = self.kinds.entry(*kind).or_default();
                status.refused.retain(|name, _| !names.contains(name));
            }
            Observed::Settled { .. } | Observed::Closed { .. } => {}
        }
    }
}

impl KindStatus {
    /// How far the client is.
    pub fn sync(&self) -> SyncState {
        let Some(sent) = &self.sent else {
            return SyncState::NotSent;
        };
        let answered = |push: &Option<Arc<Push>>| push.as_ref().is_some_and(|push| push.nonce == sent.nonce);
        if !self.refused.is_empty() {
            SyncState::Refused
        } else if answered(&self.acked) || answered(&self.nacked) {
            SyncState::Synced
        } else {
            SyncState::Stale
        }
    }

    /// The generation up to which everything of this type was answered: that of the last message accepted.
    pub fn acked_generation(&self) -> Option<u64> {
        self.acked.as_ref().map(|push| push.generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(nonce: &str, names: &[&str]) -> Arc<Push> {
        Arc::new(Push {
            kind: TypeUrl::Route,
            nonce: nonce.into(),
            generation: 6 + nonce.parse::<u64>().unwrap(),
            version: String::new(),
            changed: names.iter().map(|name| Arc::from(*name)).collect(),
            removed: Vec::new(),
        })
    }

    fn status(events: &[Observed]) -> KindStatus {
        let mut status = StreamStatus::default();
        for event in events {
            status.observe(event);
        }
        status.kind(TypeUrl::Route)
    }

    #[test]
    fn a_type_goes_from_not_sent_over_stale_to_synced() {
        let push = push("1", &["r"]);

        assert_eq!(status(&[]).sync(), SyncState::NotSent);
        assert_eq!(
            status(&[Observed::Sent(Arc::clone(&push))]).sync(),
            SyncState::Stale
        );
        let synced = status(&[Observed::Sent(Arc::clone(&push)), Observed::Acked(push)]);
        assert_eq!(
            (synced.sync(), synced.acked_generation()),
            (SyncState::Synced, Some(7))
        );
    }

    #[test]
    fn a_refusal_stays_until_the_name_is_accepted() {
        let refused = Observed::Nacked {
            push: push("1", &["r"]),
            message: "no such cluster".into(),
            refused: vec!["r".into()],
        };
        let events = [
            Observed::Sent(push("1", &["r"])),
            refused,
            Observed::Sent(push("2", &["s"])),
            Observed::Acked(push("2", &["s"])),
        ];

        let before = status(&events);
        assert_eq!(before.sync(), SyncState::Refused);
        assert_eq!(before.refused["r"].message, "no such cluster");

        let mut accepted = events.to_vec();
        accepted.extend([
            Observed::Sent(push("3", &["r"])),
            Observed::Acked(push("3", &["r"])),
        ]);
        assert_eq!(status(&accepted).sync(), SyncState::Synced);
    }

    #[test]
    fn a_refusal_keeps_the_generation_with_which_it_began() {
        let refused = |nonce: &str| Observed::Nacked {
            push: push(nonce, &["r"]),
            message: "no".into(),
            refused: vec!["r".into()],
        };
        let standing = [refused("1"), refused("2")];
        let anew = [refused("1"), Observed::Acked(push("2", &["r"])), refused("3")];

        let told = |events: &[Observed]| {
            let refusal = status(events).refused["r"].clone();
            (refusal.since, refusal.generation)
        };
        assert_eq!(told(&standing), (7, 8));
        assert_eq!(told(&anew), (9, 9));
    }

    #[test]
    fn a_refusal_that_is_withdrawn_is_forgotten() {
        let refused = Observed::Nacked {
            push: push("1", &["r"]),
            message: "no".into(),
            refused: vec!["r".into()],
        };
        let withdrawn = Observed::Withdrawn {
            kind: TypeUrl::Route,
            names: vec!["r".into()],
        };

        let after = status(&[Observed::Sent(push("1", &["r"])), refused, withdrawn]);

        assert_eq!((after.sync(), after.refused.len()), (SyncState::Synced, 0));
    }
}
