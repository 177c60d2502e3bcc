//! Names while a table is built: stable slots for clusters, and the error that says which resource is at fault.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::ClusterId;

/// Gives each cluster name its slot. A name keeps its slot until [`Names::retain`] frees it, so compiled routes stay
/// valid while clusters come and go.
#[derive(Debug, Default)]
pub struct Names {
    slots: HashMap<Arc<str>, ClusterId>,
    free: Vec<ClusterId>,
    next: u32,
}

impl Names {
    /// The slot of `name`, a new one at its first mention.
    pub fn slot(&mut self, name: &str) -> ClusterId {
        if let Some(id) = self.slots.get(name) {
            return *id;
        }
        let id = self.free.pop().unwrap_or_else(|| {
            let id = ClusterId(self.next);
            self.next += 1;
            id
        });
        self.slots.insert(name.into(), id);
        id
    }

    /// The slot of `name` if it has one.
    pub fn find(&self, name: &str) -> Option<ClusterId> {
        self.slots.get(name).copied()
    }

    /// The one shared text of a name that has a slot.
    pub fn interned(&self, name: &str) -> Option<Arc<str>> {
        self.slots.get_key_value(name).map(|(name, _)| Arc::clone(name))
    }

    /// Slots given out so far, free ones included.
    pub fn len(&self) -> usize {
        self.next as usize
    }

    /// True before the first name.
    pub fn is_empty(&self) -> bool {
        self.next == 0
    }

    /// Frees the slots of names that neither a cluster nor a current route uses. Reuse is safe: an id is only ever
    /// looked up in the table whose routes were compiled with it.
    pub fn retain(&mut self, mut used: impl FnMut(&str, ClusterId) -> bool) {
        let free = &mut self.free;
        self.slots.retain(|name, id| {
            let keep = used(name, *id);
            if !keep {
                free.push(*id);
            }
            keep
        });
    }
}

/// A resource that cannot become part of a table: which one, which field, and what is wrong with it. Its text goes to
/// pilot as the reason of the NACK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableError {
    /// Name of the resource (listener, route configuration, cluster, load assignment).
    pub resource: String,
    /// Field path in the resource, in protobuf spelling: `virtual_hosts[1].routes[0].match`.
    pub field: String,
    /// What was found and what was expected.
    pub message: String,
}

impl TableError {
    /// An error at `field` of `resource`.
    pub fn new(
        resource: impl Into<String>,
        field: impl Into<String>,
        message: impl Into<String>,
    ) -> TableError {
        TableError {
            resource: resource.into(),
            field: field.into(),
            message: message.into(),
        }
    }
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.resource.is_empty() {
            write!(f, "{}: ", self.resource)?;
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for TableError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_slot_and_a_freed_slot_is_used_again() {
        let mut names = Names::default();
        let first = names.slot("a");
        let second = names.slot("b");
        assert_ne!(first, second);
        assert_eq!(names.slot("a"), first);
        names.retain(|name, _| name == "b");
        assert_eq!(names.find("a"), None);
        assert_eq!(names.slot("c"), first);
        assert_eq!(names.slot("b"), second);
        assert_eq!(names.len(), 2);
    }
}
