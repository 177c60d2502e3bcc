//! What watchers get from the ring of events, and when they are told to list again.

use super::*;
use crate::testing::gateway;

fn added(version: u64) -> Arc<Event> {
    let object = Stored::new(gateway("default", &format!("g{version}")), version);
    Arc::new(Event::new(None, Now::Present(Arc::new(object))))
}

fn versions(events: &[Arc<Event>]) -> Vec<u64> {
    events.iter().map(|event| event.version).collect()
}

#[test]
fn changes_come_after_any_version_up_to_the_horizon_and_none_before_it() {
    let mut history = History::after_horizon(3);
    [5, 6, 9]
        .into_iter()
        .for_each(|version| history.push(added(version), Instant::now()));

    assert_eq!(versions(&history.after(3, 10).unwrap()), [5, 6, 9]);
    assert_eq!(versions(&history.after(5, 1).unwrap()), [6]);
    assert_eq!(versions(&history.after(9, 10).unwrap()), [0; 0]);
    assert_eq!(versions(&history.after(100, 10).unwrap()), [0; 0]);
    assert_eq!(history.after(2, 10).unwrap_err(), TooOld { horizon: 3 });
    assert_eq!(history.count_after(5), 2);
}

/// The same object again and again, a change each for `versions`.
fn fill(history: &mut History, versions: std::ops::RangeInclusive<u64>, now: Instant) {
    let event = added(1);
    for version in versions {
        let object = Stored {
            version,
            ..(**event.now.object()).clone()
        };
        let event = Event::new(None, Now::Present(Arc::new(object)));
        history.push(Arc::new(event), now);
    }
}

#[test]
fn the_oldest_changes_are_dropped_and_the_horizon_follows() {
    let mut history = History::after_horizon(0);
    let start = Instant::now();

    fill(&mut history, 1..=LENGTH as u64, start);
    fill(&mut history, LENGTH as u64 + 1..=LENGTH as u64 + 3, start + YOUNG);

    assert_eq!(history.after(2, 1).unwrap_err(), TooOld { horizon: 3 });
    assert_eq!(versions(&history.after(3, 1).unwrap()), [4]);
    assert_eq!(history.count_after(3), LENGTH);
}

#[test]
fn changes_of_the_last_five_minutes_are_kept_however_many_as_far_as_memory_goes() {
    let mut history = History::after_horizon(0);
    let start = Instant::now();
    let length = added(1).now.object().json.len();
    let fitting = (BYTES / length) as u64;
    assert!(fitting > 2 * LENGTH as u64, "{length} bytes");

    fill(&mut history, 1..=2 * LENGTH as u64, start);
    assert_eq!(history.count_after(0), 2 * LENGTH);
    fill(&mut history, 2 * LENGTH as u64 + 1..=fitting + 5, start);
    assert_eq!(history.after(4, 1).unwrap_err(), TooOld { horizon: 5 });
}

#[test]
fn a_selector_turns_changes_into_comings_and_goings() {
    let blue = |object: &Stored| {
        object
            .resource
            .meta
            .labels
            .get("colour")
            .is_some_and(|colour| colour == "blue")
    };
    let object = |colour: &str, version| {
        let mut resource = gateway("default", "g");
        resource.meta.labels.insert("colour".into(), colour.into());
        Arc::new(Stored::new(resource, version))
    };
    let change = |before: Option<&str>, after: &str| {
        Event::new(
            before.map(|colour| object(colour, 1)),
            Now::Present(object(after, 2)),
        )
        .seen_by(blue)
    };

    assert_eq!(change(None, "blue"), Some(Sight::Added));
    assert_eq!(change(Some("red"), "blue"), Some(Sight::Added));
    assert_eq!(change(Some("blue"), "blue"), Some(Sight::Modified));
    assert_eq!(change(Some("blue"), "red"), Some(Sight::Deleted));
    assert_eq!(change(Some("red"), "red"), None);
    let gone = |colour| Event::new(Some(object(colour, 1)), Now::Gone(object(colour, 2))).seen_by(blue);
    assert_eq!((gone("blue"), gone("red")), (Some(Sight::Deleted), None));
}
