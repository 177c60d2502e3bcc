//! Until when what was saved stands in for what a registry says. Pure but for the timer.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use outrigger_api::model::Catalog;
use tokio::time::{Instant, sleep_until};

use super::{Saved, fill};
use crate::state::{Part, RegistryState};

/// A first reading in which most instances are missing is believed when it still holds after this: a registry that
/// was started together with pilot may not know its services yet (`spec/reliability.md` P7).
const CONFIRM: Duration = Duration::from_secs(5);

/// What was saved, as long as it stands in.
pub(super) struct Standing {
    saved: Option<Saved>,
    /// When the first whole reading is believed, whatever is missing in it.
    believed_at: Option<Instant>,
}

impl Standing {
    pub(super) fn new(saved: Option<Saved>) -> Standing {
        Standing {
            saved,
            believed_at: None,
        }
    }

    /// What is known when the registry says `state`.
    pub(super) fn see(&mut self, state: &Arc<RegistryState>, now: Instant) -> Arc<RegistryState> {
        let Some(saved) = &self.saved else {
            return Arc::clone(state);
        };
        if !state.synced {
            return Arc::new(RegistryState {
                catalog: fill::fill(&state.catalog, &saved.catalog, &state.unread),
                restored: Some(saved.read_at),
                ..RegistryState::clone(state)
            });
        }
        let believed_at = *self.believed_at.get_or_insert(now + CONFIRM);
        let (lost, before) = losses(&saved.catalog, &state.catalog);
        if now >= believed_at || lost * 2 <= before {
            self.saved = None;
            return Arc::clone(state);
        }
        let doubt = format!(
            "{lost} of the {before} instances of before the restart are missing; waiting for a second reading"
        );
        Arc::new(RegistryState {
            catalog: saved.catalog.clone(),
            synced: false,
            unread: vec![Part {
                error: Some(doubt),
                ..Part::all(&state.name)
            }],
            restored: Some(saved.read_at),
            ..RegistryState::clone(state)
        })
    }

    /// Ready when a doubt ends by itself.
    pub(super) async fn doubt_ends(&self) {
        match self.believed_at.filter(|_| self.saved.is_some()) {
            Some(at) => sleep_until(at).await,
            None => pending().await,
        }
    }
}

/// How many instances are missing in `after`, and how many there were.
fn losses(before: &Catalog, after: &Catalog) -> (usize, usize) {
    let hosts = before.services.iter().map(|(host, state)| {
        let left = after.services.get(host).map_or(0, |state| state.instances.len());
        (state.instances.len().saturating_sub(left), state.instances.len())
    });
    hosts.fold((0, 0), |(lost, all), (of_host, count)| {
        (lost + of_host, all + count)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::saved::tests::{at, dead, hosts, whole};

    fn standing(saved: &[&str]) -> Standing {
        Standing::new(Some(Saved {
            catalog: whole(saved, at(1)).catalog,
            read_at: at(1),
        }))
    }

    #[test]
    fn a_first_reading_without_most_of_what_was_known_is_believed_when_it_still_holds_later() {
        let (mut standing, start) = (standing(&["a", "b", "c"]), Instant::now());
        let empty = Arc::new(whole(&[], at(9)));

        let doubted = standing.see(&empty, start);
        assert_eq!((hosts(&doubted), doubted.synced), (vec!["a", "b", "c"], false));
        assert!(doubted.has_failed() && doubted.restored == Some(at(1)));
        assert!(doubted.unread_parts(9)[0].contains("3 of the 3 instances"));

        let just_before = standing.see(&empty, start + CONFIRM / 2);
        assert_eq!(hosts(&just_before), ["a", "b", "c"]);
        assert_eq!(standing.see(&empty, start + CONFIRM), empty);
    }

    #[test]
    fn a_first_reading_with_half_of_what_was_known_is_believed_at_once() {
        let (mut standing, start) = (standing(&["a", "b"]), Instant::now());
        let half = Arc::new(whole(&["a", "new"], at(9)));

        assert_eq!(standing.see(&half, start), half);
        let none = Arc::new(whole(&[], at(10)));
        assert_eq!(
            standing.see(&none, start),
            none,
            "from here on the registry judges for itself"
        );
    }

    #[test]
    fn a_registry_that_fills_up_while_it_is_doubted_is_believed_at_once() {
        let (mut standing, start) = (standing(&["a", "b", "c"]), Instant::now());
        standing.see(&Arc::new(dead()), start);
        standing.see(&Arc::new(whole(&[], at(9))), start);

        let filled = Arc::new(whole(&["a", "b"], at(10)));
        assert_eq!(standing.see(&filled, start), filled);
    }
}
