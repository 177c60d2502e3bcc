//! A folder of files that people and programs write, move and break.

use super::*;
use std::fs;
use std::io::Write;

const WAIT: Duration = Duration::from_secs(10);

fn service(host: &str, addresses: &[&str]) -> String {
    let instances: String = addresses
        .iter()
        .map(|address| format!("  - address: {address}\n"))
        .collect();
    format!("- host: {host}\n  ports: [{{port: 80, protocol: http}}]\n  instances:\n{instances}")
}

async fn seen(handle: &RegistryHandle, what: impl FnMut(&Arc<RegistryState>) -> bool) -> Arc<RegistryState> {
    let mut receiver = handle.state.clone();
    let state = tokio::time::timeout(WAIT, receiver.wait_for(what)).await;
    match state {
        Ok(state) => state.unwrap().clone(),
        Err(_) => panic!("not seen in {WAIT:?}; the state is {:?}", handle.current()),
    }
}

fn count(state: &RegistryState, host: &str) -> usize {
    state
        .catalog
        .services
        .get(host)
        .map_or(0, |state| state.instances.len())
}

#[tokio::test]
async fn an_edit_is_seen_and_a_broken_edit_keeps_the_last_good_state() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("services.yaml");
    fs::write(&file, service("a", &["10.0.0.1"])).unwrap();
    let registry = StaticRegistry::start("static", &file);
    assert!(registry.current().synced);

    fs::write(&file, service("a", &["10.0.0.1", "10.0.0.2"])).unwrap();
    seen(&registry, |state| count(state, "a") == 2).await;

    fs::write(&file, "- host: a\n  prts: []\n").unwrap();
    let broken = seen(&registry, |state| state.last_error.is_some()).await;
    assert_eq!(count(&broken, "a"), 2);
    assert!(broken.stale_since.is_some());
    let error = broken.last_error.clone().unwrap();
    assert!(
        error.contains("services.yaml:2:3: ") && error.contains("prts"),
        "{error}"
    );

    fs::write(&file, service("a", &["10.0.0.1", "10.0.0.3"])).unwrap();
    let healed = seen(&registry, |state| state.last_error.is_none()).await;
    assert_eq!((count(&healed, "a"), healed.stale_since), (2, None));
}

#[tokio::test]
async fn a_file_replaced_by_renaming_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("services.yaml");
    fs::write(&file, service("a", &["10.0.0.1"])).unwrap();
    let registry = StaticRegistry::start("static", &file);

    for round in 2..4 {
        let next = folder.path().join(".new");
        fs::write(
            &next,
            service("a", &["10.0.0.1", "10.0.0.2", "10.0.0.3"][..round]),
        )
        .unwrap();
        fs::rename(&next, &file).unwrap();
        seen(&registry, |state| count(state, "a") == round).await;
    }
}

#[tokio::test]
async fn a_directory_is_joined_and_one_broken_file_does_not_stop_the_others() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("1.yaml"), service("a", &["10.0.0.1"])).unwrap();
    fs::write(folder.path().join("2.yaml"), service("b", &["10.0.0.2"])).unwrap();
    fs::write(folder.path().join("notes.txt"), "not ours").unwrap();
    let registry = StaticRegistry::start("static", folder.path());
    assert_eq!(registry.current().catalog.services.len(), 2);

    fs::write(folder.path().join("1.yaml"), "- {").unwrap();
    fs::write(
        folder.path().join("3.yaml"),
        format!("{}{}", service("c", &["10.0.0.3"]), service("b", &["10.0.0.9"])),
    )
    .unwrap();
    let state = seen(&registry, |state| {
        count(state, "c") == 1 && state.last_error.is_some()
    })
    .await;

    assert_eq!(count(&state, "a"), 1);
    assert_eq!(
        state.catalog.services["b"].instances[0].address, "10.0.0.2",
        "the first file wins"
    );
    assert_eq!(state.warnings.len(), 1, "{:?}", state.warnings);
}

#[tokio::test]
async fn a_file_that_comes_later_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("services.yaml");
    let registry = StaticRegistry::start("static", &file);
    let waiting = registry.current();
    assert!(!waiting.synced && waiting.last_error.is_some());

    fs::write(&file, service("a", &["10.0.0.1"])).unwrap();

    let state = seen(&registry, |state| state.synced).await;
    assert_eq!((count(&state, "a"), state.last_error.clone()), (1, None));
}

#[tokio::test]
async fn a_file_that_is_half_written_is_left_as_it_was_until_its_writer_closes_it() {
    let folder = tempfile::tempdir().unwrap();
    let (slow, other) = (folder.path().join("a.yaml"), folder.path().join("b.yaml"));
    let whole = [service("a", &["10.0.0.1"]), service("b", &["10.0.0.2"])].concat();
    fs::write(&slow, &whole).unwrap();
    let registry = StaticRegistry::start("static", folder.path());

    let mut writer = fs::File::create(&slow).unwrap();
    writer
        .write_all(service("a", &["10.0.0.1", "10.0.0.3"]).as_bytes())
        .unwrap();
    // Another file makes the registry look at all of them meanwhile.
    fs::write(&other, service("c", &["10.0.0.4"])).unwrap();
    let meanwhile = seen(&registry, |state| count(state, "c") == 1).await;
    assert_eq!((count(&meanwhile, "a"), count(&meanwhile, "b")), (1, 1));
    assert_eq!(meanwhile.last_error, None);

    writer.write_all(service("b", &["10.0.0.2"]).as_bytes()).unwrap();
    drop(writer);
    let after = seen(&registry, |state| count(state, "a") == 2).await;
    assert_eq!(count(&after, "b"), 1);
}

#[tokio::test]
async fn a_file_behind_a_link_is_taken_once_it_has_stood_still() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let real = elsewhere.path().join("real.yaml");
    fs::write(&real, service("a", &["10.0.0.1"])).unwrap();
    std::os::unix::fs::symlink(&real, folder.path().join("a.yaml")).unwrap();
    let mut reader = Reader::new("static".into(), folder.path().to_owned());
    let mut changes = Changes::of(folder.path());
    let mut read = |changes: &mut Changes| {
        let reading = reader.read(changes, Instant::now(), SystemTime::now());
        count(&reading.state, "a")
    };
    assert_eq!(read(&mut changes), 1);

    // Nobody tells of this; another file is what wakes.
    fs::write(&real, service("a", &["10.0.0.1", "10.0.0.3"])).unwrap();
    fs::write(folder.path().join("b.yaml"), service("b", &["10.0.0.2"])).unwrap();
    changes.next().await;
    assert_eq!(read(&mut changes), 1, "it was modified a moment ago");

    let old = SystemTime::now() - 2 * WAIT;
    let opened = fs::File::options().append(true).open(&real).unwrap();
    opened.set_modified(old).unwrap();
    changes.next().await;
    assert_eq!(read(&mut changes), 2);
}

#[tokio::test]
async fn losing_most_instances_needs_a_second_reading() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("services.yaml");
    fs::write(&file, service("a", &["10.0.0.1", "10.0.0.2", "10.0.0.3"])).unwrap();
    let mut reader = Reader::new("static".into(), file.clone());
    let now = Instant::now();
    let elsewhere = tempfile::tempdir().unwrap();
    let mut changes = Changes::of(elsewhere.path());
    let mut read = |reader: &mut Reader| reader.read(&mut changes, now, SystemTime::UNIX_EPOCH);
    read(&mut reader);

    fs::write(&file, "[]\n").unwrap();
    let first = read(&mut reader);
    assert!(first.confirm);
    assert_eq!(
        count(&first.state, "a"),
        3,
        "half-written files do not empty the mesh"
    );

    let second = read(&mut reader);
    assert!(!second.confirm);
    assert_eq!(count(&second.state, "a"), 0);
}
