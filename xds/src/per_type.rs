//! One value for each resource type.

use std::ops::{Index, IndexMut};

use crate::TypeUrl;

/// A table with one place per type.
#[derive(Debug, Clone, Default)]
pub(crate) struct PerType<T>([T; TypeUrl::COUNT]);

impl<T> PerType<T> {
    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.0.iter()
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut()
    }

    /// The table of what `change` makes of each value.
    pub(crate) fn map<U>(self, mut change: impl FnMut(TypeUrl, T) -> U) -> PerType<U> {
        let mut kinds = TypeUrl::ALL.into_iter();
        PerType(self.0.map(|value| {
            // There are as many types as values, in the same order.
            let kind = kinds.next().unwrap_or(TypeUrl::Cluster);
            change(kind, value)
        }))
    }
}

#[allow(
    clippy::indexing_slicing,
    reason = "a type's place is below the number of types"
)]
impl<T> Index<TypeUrl> for PerType<T> {
    type Output = T;

    fn index(&self, kind: TypeUrl) -> &T {
        &self.0[kind.index()]
    }
}

#[allow(
    clippy::indexing_slicing,
    reason = "a type's place is below the number of types"
)]
impl<T> IndexMut<TypeUrl> for PerType<T> {
    fn index_mut(&mut self, kind: TypeUrl) -> &mut T {
        &mut self.0[kind.index()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_its_own_place() {
        let mut table = PerType::<usize>::default();
        for kind in TypeUrl::ALL {
            table[kind] += kind.index() + 1;
        }

        let shown = table.map(|kind, value| (kind, value));

        for kind in TypeUrl::ALL {
            assert_eq!(shown[kind], (kind, kind.index() + 1));
        }
    }
}
