//! Every version that the server ever named, and for what: none is used twice, and none falls. Pure.

use std::collections::BTreeMap;

use outrigger_api::resource::Resource;

use super::object::{number, version};

/// What a version was given for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Use {
    /// An object with this name, uid and number.
    Stored(String, String, i32),
    /// The deletion of an object with this name and uid.
    Deleted(String, String),
}

/// The versions that were seen.
#[derive(Debug, Default)]
pub(super) struct Versions {
    uses: BTreeMap<u64, Use>,
    /// The highest that any answer, list or event named.
    highest: u64,
    /// How often a version was used again, or a later one was lower.
    pub(super) repeated: u32,
}

impl Versions {
    /// An object as an answer, a list or an event shows it.
    pub(super) fn stored(&mut self, object: &Resource) {
        let meta = &object.meta;
        let stored = Use::Stored(meta.name.clone(), meta.uid.clone(), number(object));
        self.note(version(object), stored);
    }

    /// A deletion, by the object with the version of its deletion.
    pub(super) fn deleted(&mut self, object: &Resource) {
        let meta = &object.meta;
        self.note(version(object), Use::Deleted(meta.name.clone(), meta.uid.clone()));
    }

    /// The version of a whole list, the first that a new server gives: at least as high as all before it.
    pub(super) fn listed_after_start(&mut self, version: u64) {
        if version < self.highest {
            println!("the version fell from {} to {version}", self.highest);
            self.repeated += 1;
        }
        self.highest = self.highest.max(version);
    }

    /// How many versions are known.
    pub(super) fn count(&self) -> usize {
        self.uses.len()
    }

    fn note(&mut self, version: u64, what: Use) {
        self.highest = self.highest.max(version);
        match self.uses.get(&version) {
            Some(known) if *known != what => {
                println!("version {version} was given for {known:?} and for {what:?}");
                self.repeated += 1;
            }
            Some(_) => {}
            None => {
                self.uses.insert(version, what);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::object::object;
    use super::*;

    fn at(name: &str, number: i32, version: u64) -> Resource {
        let mut object = object(name, number);
        object.meta.uid = format!("uid of {name}");
        object.meta.resource_version = Some(version.to_string());
        object
    }

    #[test]
    fn one_version_may_be_seen_often_but_for_one_thing_only() {
        let mut versions = Versions::default();
        versions.stored(&at("a", 1, 5));
        versions.stored(&at("a", 1, 5));
        assert_eq!(versions.repeated, 0);

        versions.stored(&at("a", 3, 5));
        versions.stored(&at("b", 1, 5));
        versions.deleted(&at("a", 1, 5));
        assert_eq!(versions.repeated, 3);
    }

    #[test]
    fn versions_do_not_fall_when_the_server_starts_again() {
        let mut versions = Versions::default();
        versions.deleted(&at("a", 1, 5));
        versions.listed_after_start(5);
        versions.listed_after_start(7);
        assert_eq!(versions.repeated, 0);

        versions.listed_after_start(6);
        assert_eq!(versions.repeated, 1);
    }
}
