//! Everything that one proxy should have, as an immutable value made of shared layers.
//!
//! A [`Layer`] is what one compilation gave: what all proxies of a class share, or what is one node's own.
//! A [`Snapshot`] stacks layers; where two have the same name, the later one wins. Layers, lists and resources are
//! shared by `Arc` with the previous ones where nothing changed, so a comparison is a comparison of pointers.

use std::collections::BTreeMap;
use std::sync::Arc;

use prost::{Message, Name};

use crate::pb::envoy::config::cluster::v3::Cluster;
use crate::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use crate::pb::envoy::config::listener::v3::Listener;
use crate::pb::envoy::config::route::v3::RouteConfiguration;
use crate::per_type::PerType;
use crate::{References, Resource, TypeUrl, UnpackError};

/// The resources of one type, sorted by name, without doubles.
type List = Arc<[Arc<Resource>]>;

/// What one compilation gave: immutable lists of resources, one per type.
#[derive(Debug, Clone, Default)]
pub struct Layer {
    lists: PerType<List>,
}

impl Layer {
    /// The resources of a type, sorted by name.
    pub fn resources(&self, kind: TypeUrl) -> &[Arc<Resource>] {
        &self.lists[kind]
    }

    /// The resource with this name.
    pub fn get(&self, kind: TypeUrl, name: &str) -> Option<&Arc<Resource>> {
        let list = &self.lists[kind];
        let place = list
            .binary_search_by(|resource| resource.name().as_ref().cmp(name))
            .ok()?;
        list.get(place)
    }
}

/// Collects the resources of a layer and keeps what an earlier one already has.
#[derive(Debug)]
pub struct LayerBuilder {
    previous: Option<Arc<Layer>>,
    maps: PerType<BTreeMap<Arc<str>, Arc<Resource>>>,
}

impl LayerBuilder {
    /// A builder that reuses the resources of `previous` whose content has not changed.
    pub fn new(previous: Option<Arc<Layer>>) -> LayerBuilder {
        LayerBuilder {
            previous,
            maps: PerType::default(),
        }
    }

    /// Adds a cluster under its own name.
    pub fn cluster(&mut self, message: &Cluster) {
        self.put(
            TypeUrl::Cluster,
            &message.name,
            message,
            References::of_cluster(message),
        );
    }

    /// Adds a load assignment under the name of its cluster.
    pub fn endpoints(&mut self, message: &ClusterLoadAssignment) {
        self.put(
            TypeUrl::Endpoint,
            &message.cluster_name,
            message,
            References::none(),
        );
    }

    /// Adds a listener under its own name.
    pub fn listener(&mut self, message: &Listener) {
        self.put(
            TypeUrl::Listener,
            &message.name,
            message,
            References::of_listener(message),
        );
    }

    /// Adds a route configuration under its own name.
    pub fn route(&mut self, message: &RouteConfiguration) {
        self.put(
            TypeUrl::Route,
            &message.name,
            message,
            References::of_route(message),
        );
    }

    /// Adds any message that is a resource, with the names that it refers to. A resource of the same type and name
    /// that was added before is replaced.
    ///
    /// # Errors
    /// When the message is none of the types of [`TypeUrl`].
    pub fn add<M>(&mut self, name: &str, message: &M, references: References) -> Result<(), UnpackError>
    where
        M: Message + Name + Default + PartialEq,
    {
        let url = crate::any::type_url::<M>();
        let Some(kind) = TypeUrl::from_url(&url) else {
            return Err(UnpackError::OtherType {
                expected: "resource that ADS serves".into(),
                found: url,
            });
        };
        self.put(kind, name, message, references);
        Ok(())
    }

    /// Adds a resource that is already encoded.
    pub fn insert(&mut self, resource: Arc<Resource>) {
        let kept = match self.earlier(resource.kind(), resource.name()) {
            Some(earlier) if **earlier == *resource => Arc::clone(earlier),
            _ => resource,
        };
        self.maps[kept.kind()].insert(Arc::clone(kept.name()), kept);
    }

    /// Whether a resource of this type and name was added.
    pub fn contains(&self, kind: TypeUrl, name: &str) -> bool {
        self.maps[kind].contains_key(name)
    }

    /// The finished layer. A list that is equal to the previous layer's is that very list.
    pub fn build(self) -> Arc<Layer> {
        let previous = self.previous;
        let lists = self.maps.map(|kind, map| {
            let list: List = map.into_values().collect();
            match previous.as_ref().map(|layer| &layer.lists[kind]) {
                Some(earlier) if same_pointers(earlier, &list) => Arc::clone(earlier),
                _ => list,
            }
        });
        Arc::new(Layer { lists })
    }

    fn put<M>(&mut self, kind: TypeUrl, name: &str, message: &M, references: References)
    where
        M: Message + Name + Default + PartialEq,
    {
        let value = message.encode_to_vec();
        let kept = self.earlier(kind, name).filter(|earlier| {
            *earlier.references() == references && is_same_content(earlier, &value, message)
        });
        let resource = match kept {
            Some(earlier) => Arc::clone(earlier),
            None => Arc::new(Resource::from_bytes(kind, name, &value, references)),
        };
        self.maps[kind].insert(Arc::clone(resource.name()), resource);
    }

    fn earlier(&self, kind: TypeUrl, name: &str) -> Option<&Arc<Resource>> {
        self.previous.as_ref().and_then(|layer| layer.get(kind, name))
    }
}

/// Whether a resource holds this message. Equal bytes mean yes; maps are encoded in any order, so bytes of equal
/// length that differ may still be the same message.
fn is_same_content<M: Message + Name + Default + PartialEq>(
    earlier: &Resource,
    value: &[u8],
    message: &M,
) -> bool {
    let known = earlier.value();
    known == value || known.len() == value.len() && earlier.decode::<M>().is_ok_and(|old| old == *message)
}

fn same_pointers(one: &[Arc<Resource>], other: &[Arc<Resource>]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| Arc::ptr_eq(one, other))
}

/// What one proxy should have.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    generation: u64,
    layers: Vec<Arc<Layer>>,
}

impl Snapshot {
    /// A snapshot of these layers, the last of which wins. `generation` is the number of the configuration that it
    /// was compiled from; it shows up in versions, logs and status.
    pub fn new(generation: u64, layers: Vec<Arc<Layer>>) -> Snapshot {
        Snapshot { generation, layers }
    }

    /// The number of the configuration that this was compiled from.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The layers, first to last.
    pub fn layers(&self) -> &[Arc<Layer>] {
        &self.layers
    }

    /// The resource with this name.
    pub fn get(&self, kind: TypeUrl, name: &str) -> Option<&Arc<Resource>> {
        self.layers.iter().rev().find_map(|layer| layer.get(kind, name))
    }

    /// The resources of a type, sorted by name.
    pub fn resources(&self, kind: TypeUrl) -> Vec<&Arc<Resource>> {
        match &self.layers[..] {
            [] => Vec::new(),
            [only] => only.resources(kind).iter().collect(),
            several => {
                let named = several.iter().flat_map(|layer| layer.resources(kind));
                let merged: BTreeMap<&str, &Arc<Resource>> = named
                    .map(|resource| (resource.name().as_ref(), resource))
                    .collect();
                merged.into_values().collect()
            }
        }
    }

    /// The names of a type whose resource differs between the two snapshots: new, changed or gone.
    /// Costs nothing for lists that are shared, and a pointer comparison per resource that is.
    pub fn changed_since(&self, earlier: &Snapshot, kind: TypeUrl) -> Vec<Arc<str>> {
        let mut changed = BTreeMap::new();
        let depth = self.layers.len().max(earlier.layers.len());
        let none: List = List::default();
        for place in 0..depth {
            let old = earlier
                .layers
                .get(place)
                .map_or(&none, |layer| &layer.lists[kind]);
            let new = self.layers.get(place).map_or(&none, |layer| &layer.lists[kind]);
            if !Arc::ptr_eq(old, new) {
                collect_changes(old, new, &mut changed);
            }
        }
        changed.into_keys().collect()
    }
}

fn collect_changes(old: &[Arc<Resource>], new: &[Arc<Resource>], changed: &mut BTreeMap<Arc<str>, ()>) {
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(one), Some(other)) if Arc::ptr_eq(one, other) => {
                old.next();
                new.next();
                continue;
            }
            (Some(one), Some(other)) => one.name().cmp(other.name()),
        };
        let gone = if order.is_le() { old.next() } else { None };
        let come = if order.is_ge() { new.next() } else { None };
        match (gone, come) {
            (Some(one), Some(other)) if one.version() == other.version() => {}
            (Some(resource), _) | (None, Some(resource)) => {
                changed.insert(Arc::clone(resource.name()), ());
            }
            (None, None) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb::envoy::config::core::v3::Metadata;
    use crate::pb::google::protobuf::Struct;

    fn cluster(name: &str, stat: &str) -> Cluster {
        Cluster {
            name: name.into(),
            alt_stat_name: stat.into(),
            ..Cluster::default()
        }
    }

    fn layer(previous: Option<&Arc<Layer>>, clusters: &[(&str, &str)]) -> Arc<Layer> {
        let mut builder = LayerBuilder::new(previous.cloned());
        for (name, stat) in clusters {
            builder.cluster(&cluster(name, stat));
        }
        builder.build()
    }

    fn changed(new: &Snapshot, old: &Snapshot) -> Vec<String> {
        new.changed_since(old, TypeUrl::Cluster)
            .iter()
            .map(|name| name.to_string())
            .collect()
    }

    #[test]
    fn unchanged_resources_are_shared_with_the_previous_layer() {
        let first = layer(None, &[("a", "1"), ("b", "1")]);
        let second = layer(Some(&first), &[("a", "1"), ("b", "2")]);

        let pair = |name| {
            (
                first.get(TypeUrl::Cluster, name).unwrap(),
                second.get(TypeUrl::Cluster, name).unwrap(),
            )
        };
        assert!(Arc::ptr_eq(pair("a").0, pair("a").1));
        assert_ne!(pair("b").0.version(), pair("b").1.version());
    }

    #[test]
    fn a_list_without_a_change_is_the_previous_list() {
        let first = layer(None, &[("a", "1"), ("b", "1")]);
        let second = layer(Some(&first), &[("b", "1"), ("a", "1")]);

        assert!(Arc::ptr_eq(
            &first.lists[TypeUrl::Cluster],
            &second.lists[TypeUrl::Cluster]
        ));
    }

    #[test]
    fn the_order_in_which_a_map_is_encoded_is_no_change() {
        let with_metadata = || {
            let keys = (0..20).map(|number| (format!("key-{number}"), Struct::default()));
            let metadata = Metadata {
                filter_metadata: keys.collect(),
                ..Metadata::default()
            };
            Cluster {
                metadata: Some(metadata),
                ..cluster("a", "1")
            }
        };
        let build = |previous| {
            let mut builder = LayerBuilder::new(previous);
            builder.cluster(&with_metadata());
            builder.build()
        };
        let first = build(None);

        for _ in 0..5 {
            let again = build(Some(Arc::clone(&first)));
            assert!(Arc::ptr_eq(
                &first.lists[TypeUrl::Cluster],
                &again.lists[TypeUrl::Cluster]
            ));
        }
    }

    #[test]
    fn changes_are_new_changed_and_gone_names() {
        let first = layer(None, &[("a", "1"), ("b", "1"), ("c", "1")]);
        let second = layer(Some(&first), &[("a", "1"), ("b", "2"), ("d", "1")]);
        let (old, new) = (Snapshot::new(1, vec![first]), Snapshot::new(2, vec![second]));

        assert_eq!(changed(&new, &old), ["b", "c", "d"]);
        assert_eq!(changed(&new, &new), Vec::<String>::new());
        assert_eq!(changed(&new, &Snapshot::default()), ["a", "b", "d"]);
    }

    #[test]
    fn a_later_layer_wins_and_both_are_listed() {
        let shared = layer(None, &[("a", "shared"), ("b", "shared")]);
        let own = layer(None, &[("b", "own"), ("c", "own")]);
        let snapshot = Snapshot::new(7, vec![shared, own]);

        let stats = snapshot.resources(TypeUrl::Cluster).into_iter().map(|resource| {
            let cluster: Cluster = resource.decode().unwrap();
            format!("{}={}", cluster.name, cluster.alt_stat_name)
        });
        assert_eq!(stats.collect::<Vec<_>>(), ["a=shared", "b=own", "c=own"]);
        assert_eq!(snapshot.generation(), 7);
    }
}
