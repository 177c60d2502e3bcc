//! What one proxy was sent, what it runs and what it refused: kept from what its stream reports.

use std::time::SystemTime;

use outrigger_xds::TypeUrl;
use outrigger_xds::server::{Observed, StreamStatus, SyncState};

/// The state of one proxy's stream.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// By type: what was sent, accepted and refused.
    pub stream: StreamStatus,
    /// The generation that the proxy runs entirely: it has taken everything of it that it wants, refused content
    /// aside. `None` until it has its first whole configuration.
    pub generation: Option<u64>,
    /// The newest refusal, also when it is over.
    pub last_nack: Option<Nack>,
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nack {
    /// The type refused.
    pub kind: TypeUrl,
    /// The resources at fault; all of the message while the fault is being looked for.
    pub names: Vec<String>,
    /// The proxy's words.
    pub message: String,
    /// Generation of the configuration that was refused.
    pub generation: u64,
    /// When.
    pub at: SystemTime,
}

/// Names listed in a refusal; more are left out.
const MOST_NAMES: usize = 20;

impl Progress {
    /// Takes in one report, which came at `now`.
    pub fn observe(&mut self, event: &Observed, now: SystemTime) {
        self.stream.observe(event);
        match event {
            Observed::Nacked {
                push,
                message,
                refused,
            } => {
                let names = if refused.is_empty() {
                    &push.changed
                } else {
                    refused
                };
                self.last_nack = Some(Nack {
                    kind: push.kind,
                    names: names
                        .iter()
                        .take(MOST_NAMES)
                        .map(|name| name.to_string())
                        .collect(),
                    message: message.clone(),
                    generation: push.generation,
                    at: now,
                });
            }
            Observed::Settled { generation } if self.has_begun() => self.generation = Some(*generation),
            Observed::Settled { .. }
            | Observed::Sent(_)
            | Observed::Acked(_)
            | Observed::Withdrawn { .. }
            | Observed::Closed { .. } => {}
        }
    }

    /// True while some content is refused.
    pub fn refuses(&self) -> bool {
        self.stream
            .kinds()
            .any(|(_, status)| status.sync() == SyncState::Refused)
    }

    /// A proxy asks for listeners last of what it asks for by itself, so before it has them nothing is whole.
    fn has_begun(&self) -> bool {
        self.stream.kind(TypeUrl::Listener).sent.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outrigger_xds::server::Push;
    use std::sync::Arc;

    fn push(kind: TypeUrl, nonce: &str, names: &[&str]) -> Arc<Push> {
        Arc::new(Push {
            kind,
            nonce: nonce.into(),
            generation: 7,
            version: "7".into(),
            changed: names.iter().map(|name| Arc::from(*name)).collect(),
            removed: Vec::new(),
        })
    }

    fn observe(progress: &mut Progress, event: Observed) {
        progress.observe(&event, SystemTime::UNIX_EPOCH);
    }

    #[test]
    fn a_refusal_is_remembered_after_it_is_over() {
        let mut progress = Progress::default();
        let first = push(TypeUrl::Route, "1", &["r", "s"]);
        observe(&mut progress, Observed::Sent(first.clone()));
        let refused = vec!["r".into()];
        observe(
            &mut progress,
            Observed::Nacked {
                push: first,
                message: "bad".into(),
                refused,
            },
        );
        assert!(progress.refuses());

        let second = push(TypeUrl::Route, "2", &["r"]);
        observe(&mut progress, Observed::Sent(second.clone()));
        observe(&mut progress, Observed::Acked(second));

        assert!(!progress.refuses());
        let nack = progress.last_nack.unwrap();
        assert_eq!(
            (nack.names, nack.message.as_str(), nack.generation),
            (vec!["r".to_owned()], "bad", 7)
        );
    }

    #[test]
    fn nothing_is_whole_before_there_are_listeners() {
        let mut progress = Progress::default();
        observe(&mut progress, Observed::Sent(push(TypeUrl::Cluster, "1", &["c"])));
        observe(&mut progress, Observed::Settled { generation: 7 });
        assert_eq!(progress.generation, None);

        observe(
            &mut progress,
            Observed::Sent(push(TypeUrl::Listener, "2", &["l"])),
        );
        observe(&mut progress, Observed::Settled { generation: 7 });
        assert_eq!(progress.generation, Some(7));
    }
}
