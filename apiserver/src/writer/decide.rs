//! Whether a write may be done, and what it leaves. Pure: state in, decision out.

use outrigger_api::document;
use outrigger_api::resource::{Key, Resource};

use crate::object::plural_group;

/// Longest canonical form, in bytes: what the parser reads again at the next start.
pub(crate) const LARGEST: usize = document::MAX_BYTES;

/// What a caller insists on; an absent part is not asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Preconditions {
    pub(crate) uid: Option<String>,
    pub(crate) version: Option<String>,
}

/// What only the moment knows.
#[derive(Clone, Debug)]
pub(crate) struct Moment {
    /// RFC 3339, seconds, UTC.
    pub(crate) now: String,
    /// For an object that is made now.
    pub(crate) uid: String,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Decision {
    /// This state is stored; its version is given when it is written.
    Put(Box<Resource>),
    /// The object goes.
    Remove,
    /// The object is already so: no version, no event.
    Unchanged,
}

/// The state forbids it.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum Refusal {
    #[error("{} {:?} already exists", plural_group(.0.kind), .0.name)]
    AlreadyExists(Key),
    #[error("{} {:?} not found", plural_group(.0.kind), .0.name)]
    NotFound(Key),
    #[error(
        "Operation cannot be fulfilled on {} {:?}: the object has been modified; please apply your changes to the \
         latest version and try again",
        plural_group(.0.kind), .0.name
    )]
    Conflict(Key),
    #[error(
        "Operation cannot be fulfilled on {} {:?}: Precondition failed: UID in precondition: {wanted}, \
         UID in object meta: {found}",
        plural_group(key.kind), key.name
    )]
    OtherUid { key: Key, wanted: String, found: String },
    #[error("metadata.resourceVersion: Invalid value: 0x0: must be specified for an update")]
    VersionMissing(Key),
    #[error(
        "the object is {bytes} bytes long in canonical form, at most {LARGEST} are allowed; split it into several objects"
    )]
    TooLarge { key: Key, bytes: usize },
    #[error("metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted")]
    LateFinalizer(Key),
}

/// A new object beside what is there under its key.
pub(crate) fn create(
    mut wanted: Resource,
    current: Option<&Resource>,
    moment: &Moment,
) -> Result<Decision, Refusal> {
    if current.is_some() {
        return Err(Refusal::AlreadyExists(wanted.key()));
    }
    let meta = &mut wanted.meta;
    meta.uid.clone_from(&moment.uid);
    meta.resource_version = None;
    meta.generation = 1;
    meta.creation_timestamp = Some(moment.now.clone());
    meta.deletion_timestamp = None;
    Ok(Decision::Put(Box::new(wanted)))
}

/// Another state of an object, by compare-and-set.
pub(crate) fn replace(mut wanted: Resource, current: Option<&Resource>) -> Result<Decision, Refusal> {
    let key = wanted.key();
    let Some(version) = wanted.meta.resource_version.take() else {
        return Err(Refusal::VersionMissing(key));
    };
    let Some(current) = current else {
        return Err(Refusal::NotFound(key));
    };
    let uid = Some(wanted.meta.uid.clone()).filter(|uid| !uid.is_empty());
    check(
        &Preconditions {
            uid,
            version: Some(version),
        },
        &key,
        current,
    )?;
    let (old, meta) = (&current.meta, &mut wanted.meta);
    if old.deletion_timestamp.is_some() && meta.finalizers.iter().any(|one| !old.finalizers.contains(one)) {
        return Err(Refusal::LateFinalizer(key));
    }
    meta.uid.clone_from(&old.uid);
    meta.generate_name.clone_from(&old.generate_name);
    meta.creation_timestamp.clone_from(&old.creation_timestamp);
    meta.deletion_timestamp.clone_from(&old.deletion_timestamp);
    meta.resource_version.clone_from(&old.resource_version);
    meta.generation = old.generation;
    if wanted == *current {
        return Ok(Decision::Unchanged);
    }
    if wanted.spec != current.spec {
        wanted.meta.generation += 1;
    }
    if wanted.meta.deletion_timestamp.is_some() && wanted.meta.finalizers.is_empty() {
        return Ok(Decision::Remove);
    }
    Ok(Decision::Put(Box::new(wanted)))
}

/// An object gone, at once or when its finalizers are.
pub(crate) fn delete(
    key: &Key,
    wanted: &Preconditions,
    current: Option<&Resource>,
    moment: &Moment,
) -> Result<Decision, Refusal> {
    let Some(current) = current else {
        return Err(Refusal::NotFound(key.clone()));
    };
    check(wanted, key, current)?;
    if current.meta.finalizers.is_empty() {
        return Ok(Decision::Remove);
    }
    if current.meta.deletion_timestamp.is_some() {
        return Ok(Decision::Unchanged);
    }
    let mut leaving = current.clone();
    leaving.meta.deletion_timestamp = Some(moment.now.clone());
    leaving.meta.generation += 1;
    Ok(Decision::Put(Box::new(leaving)))
}

fn check(wanted: &Preconditions, key: &Key, current: &Resource) -> Result<(), Refusal> {
    if let Some(uid) = wanted.uid.as_ref().filter(|uid| **uid != current.meta.uid) {
        let (wanted, found) = (uid.clone(), current.meta.uid.clone());
        return Err(Refusal::OtherUid {
            key: key.clone(),
            wanted,
            found,
        });
    }
    if wanted.version.is_some() && wanted.version != current.meta.resource_version {
        return Err(Refusal::Conflict(key.clone()));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
