//! One body of tests for every engine.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::memory::Memory;
use super::tree::Tree;
use super::*;

fn contents(store: &dyn Store) -> BTreeMap<String, Bytes> {
    let mut contents = BTreeMap::new();
    store
        .load(&mut |key, value| drop(contents.insert(key.to_owned(), value)))
        .unwrap();
    contents
}

/// The contract that both engines keep.
fn behaves_as_a_store(store: &mut dyn Store) {
    assert_eq!(
        (store.applied().unwrap(), contents(store)),
        (0, BTreeMap::new()),
        "a new store is empty"
    );

    let put = |key: &str, value: &'static str| (key.to_owned(), Some(Bytes::from_static(value.as_bytes())));
    store
        .apply(&Batch {
            applied: 2,
            changes: vec![put("b", "1"), put("a", "2"), put("a", "3")],
        })
        .unwrap();
    store
        .apply(&Batch {
            applied: 4,
            changes: vec![("b".into(), None), put("c", ""), ("none".into(), None)],
        })
        .unwrap();
    store.flush().unwrap();

    let expected =
        [("a", "3"), ("c", "")].map(|(key, value)| (key.to_owned(), Bytes::from_static(value.as_bytes())));
    assert_eq!(
        (store.applied().unwrap(), contents(store)),
        (4, BTreeMap::from(expected))
    );
    store
        .apply(&Batch {
            applied: 9,
            changes: vec![],
        })
        .unwrap();
    assert_eq!(store.applied().unwrap(), 9, "an empty batch moves the version on");
}

#[test]
fn memory_behaves_as_a_store() {
    behaves_as_a_store(&mut Memory::default());
}

#[test]
fn sled_behaves_as_a_store() {
    let directory = tempfile::tempdir().unwrap();

    behaves_as_a_store(&mut Tree::open(directory.path()).unwrap());
}

#[test]
fn sled_keeps_its_contents_over_a_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let batch = Batch {
        applied: 3,
        changes: vec![("k".into(), Some(Bytes::from_static(b"v")))],
    };
    let mut tree = Tree::open(directory.path()).unwrap();
    tree.apply(&batch).unwrap();
    tree.flush().unwrap();
    drop(tree);

    let tree = Tree::open(directory.path()).unwrap();

    assert_eq!(tree.applied().unwrap(), 3);
    assert_eq!(
        contents(&tree),
        BTreeMap::from([("k".to_owned(), Bytes::from_static(b"v"))])
    );
}

#[test]
fn a_file_in_the_place_of_the_directory_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();

    let error = Tree::open(&file).err().unwrap().to_string();

    assert!(
        error.starts_with("store (sled) cannot open its files: "),
        "{error}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]
    #[test]
    fn both_engines_hold_the_same_after_the_same_batches(
        batches in prop::collection::vec(
            prop::collection::vec(("[a-d]{1,2}", prop::option::of(prop::collection::vec(any::<u8>(), 0..9))), 0..6), 0..12),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let mut stores: [Box<dyn Store>; 2] =
            [Box::new(Memory::default()), Box::new(Tree::open(directory.path()).unwrap())];

        for (applied, changes) in (1..).zip(&batches) {
            let changes = changes.iter().map(|(key, value)| (key.clone(), value.clone().map(Bytes::from))).collect();
            let batch = Batch { applied, changes };
            for store in &mut stores {
                store.apply(&batch).unwrap();
            }
        }

        prop_assert_eq!(contents(stores[0].as_ref()), contents(stores[1].as_ref()));
        prop_assert_eq!(stores[0].applied().unwrap(), stores[1].applied().unwrap());
    }
}
