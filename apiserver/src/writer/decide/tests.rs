//! Each decision on a write, as values in and values out.

use outrigger_api::resource::Spec;

use super::*;
use crate::testing::gateway;

fn moment() -> Moment {
    Moment {
        now: "2026-01-02T03:04:05Z".into(),
        uid: "new-uid".into(),
    }
}

/// The gateway as it stands in the store at version 7.
fn stored() -> Resource {
    let mut resource = gateway("default", "g");
    resource.meta.uid = "uid".into();
    resource.meta.resource_version = Some("7".into());
    resource.meta.generation = 3;
    resource.meta.creation_timestamp = Some("2025-01-01T00:00:00Z".into());
    resource
}

fn put(decision: Result<Decision, Refusal>) -> Resource {
    match decision {
        Ok(Decision::Put(resource)) => *resource,
        other => panic!("nothing is put: {other:?}"),
    }
}

#[test]
fn a_new_object_gets_its_identity_from_the_server_whatever_the_client_wrote() {
    let mut wanted = stored();
    wanted.meta.deletion_timestamp = Some("2020-01-01T00:00:00Z".into());

    let made = put(create(wanted, None, &moment())).meta;

    assert_eq!(
        (made.uid.as_str(), made.generation, made.resource_version),
        ("new-uid", 1, None)
    );
    assert_eq!(made.creation_timestamp.as_deref(), Some("2026-01-02T03:04:05Z"));
    assert_eq!(made.deletion_timestamp, None);
    assert_eq!(
        create(stored(), Some(&stored()), &moment()),
        Err(Refusal::AlreadyExists(stored().key()))
    );
}

#[test]
fn the_generation_counts_changes_of_the_spec_only() {
    let mut labelled = stored();
    labelled.meta.labels.insert("a".into(), "b".into());
    let mut moved = stored();
    let Spec::Gateway(gateway) = &mut moved.spec else {
        panic!("no gateway")
    };
    gateway.selector.0.insert("x".into(), "y".into());

    assert_eq!(put(replace(labelled, Some(&stored()))).meta.generation, 3);
    assert_eq!(put(replace(moved, Some(&stored()))).meta.generation, 4);
}

#[test]
fn an_object_that_is_already_so_is_left_alone_even_when_server_fields_are_left_out() {
    let mut wanted = gateway("default", "g");
    wanted.meta.resource_version = Some("7".into());

    assert_eq!(replace(wanted, Some(&stored())), Ok(Decision::Unchanged));
}

#[test]
fn a_replacement_needs_the_current_version_and_the_same_uid() {
    let with = |version: Option<&str>, uid: &str| {
        let mut wanted = gateway("default", "g");
        wanted.meta.resource_version = version.map(str::to_owned);
        wanted.meta.uid = uid.into();
        replace(wanted, Some(&stored()))
    };
    let key = stored().key();

    assert_eq!(with(None, ""), Err(Refusal::VersionMissing(key.clone())));
    assert_eq!(with(Some("6"), ""), Err(Refusal::Conflict(key.clone())));
    let other = with(Some("7"), "other").unwrap_err().to_string();
    assert!(
        other.ends_with("UID in precondition: other, UID in object meta: uid"),
        "{other}"
    );
    let mut absent = stored();
    absent.meta.name = "h".into();
    assert_eq!(
        replace(absent.clone(), None),
        Err(Refusal::NotFound(absent.key()))
    );
}

#[test]
fn a_deletion_keeps_to_its_preconditions() {
    let key = stored().key();
    let delete = |uid: Option<&str>, version: Option<&str>, current: Option<&Resource>| {
        let wanted = Preconditions {
            uid: uid.map(str::to_owned),
            version: version.map(str::to_owned),
        };
        delete(&key, &wanted, current, &moment())
    };

    assert_eq!(delete(None, None, Some(&stored())), Ok(Decision::Remove));
    assert_eq!(
        delete(Some("uid"), Some("7"), Some(&stored())),
        Ok(Decision::Remove)
    );
    assert!(matches!(
        delete(Some("x"), None, Some(&stored())),
        Err(Refusal::OtherUid { .. })
    ));
    assert_eq!(
        delete(None, Some("6"), Some(&stored())),
        Err(Refusal::Conflict(key.clone()))
    );
    assert_eq!(delete(None, None, None), Err(Refusal::NotFound(key.clone())));
}

#[test]
fn finalizers_hold_an_object_until_the_last_one_is_taken_off() {
    let mut held = stored();
    held.meta.finalizers = vec!["example.com/wait".into()];

    let leaving = put(delete(
        &held.key(),
        &Preconditions::default(),
        Some(&held),
        &moment(),
    ));
    let mut leaving = Resource {
        meta: outrigger_api::meta::ObjectMeta {
            resource_version: Some("8".into()),
            ..leaving.meta
        },
        ..leaving
    };
    let again = delete(&held.key(), &Preconditions::default(), Some(&leaving), &moment());
    let mut more = leaving.clone();
    more.meta.finalizers.push("example.com/late".into());
    let late = replace(more, Some(&leaving));
    let current = leaving.clone();
    leaving.meta.finalizers.clear();

    assert_eq!(
        current.meta.deletion_timestamp.as_deref(),
        Some("2026-01-02T03:04:05Z")
    );
    assert_eq!(again, Ok(Decision::Unchanged));
    assert_eq!(late, Err(Refusal::LateFinalizer(held.key())));
    assert_eq!(replace(leaving, Some(&current)), Ok(Decision::Remove));
}
