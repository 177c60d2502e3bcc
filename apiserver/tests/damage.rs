//! One bit flipped or one file cut, anywhere in the data directory: nothing acknowledged is lost, nothing wrong served.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "the whole crate is a test; its helpers fail the test"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use outrigger_api::document::{Options as Reading, parse_body};
use outrigger_api::kind::Kind;
use outrigger_api::resource::{Key, Resource};
use outrigger_apiserver::{ApiServer, Options};
use outrigger_client::{ConfigSource, ConfigStore};

const ROUNDS: u64 = 50;

fn rule(name: &str, note: usize) -> Resource {
    let json = format!(
        r#"{{"apiVersion":"config.istio.io/v1alpha2","kind":"RouteRule",
            "metadata":{{"name":"{name}","namespace":"default","annotations":{{"note":"{note}"}}}},
            "spec":{{"destination":{{"name":"{name}"}},"precedence":{note}}}}}"#
    );
    parse_body(json.as_bytes(), &Reading::default()).unwrap().resource
}

/// Creates, replaces and deletes; the journal is trimmed behind snapshots on the way.
async fn fill(directory: &Path) -> (BTreeMap<Key, String>, u64) {
    let server = ApiServer::open(
        directory,
        Options {
            snapshot_every: 40,
            ..Options::default()
        },
    )
    .unwrap();
    for note in 0..130 {
        let name = format!("r{}", note * 7 % 20);
        let mut wanted = rule(&name, note);
        match server.get(&wanted.key()).await.unwrap() {
            None => drop(server.create(&wanted).await.unwrap()),
            Some(_) if note % 5 == 0 => drop(server.delete(&wanted.key()).await.unwrap()),
            Some(current) => {
                wanted
                    .meta
                    .resource_version
                    .clone_from(&current.meta.resource_version);
                server.replace(&wanted).await.unwrap();
            }
        }
    }
    (state(&server).await, server.version())
}

async fn state(server: &ApiServer) -> BTreeMap<Key, String> {
    let listed = server.list(Kind::RouteRule).await.unwrap();
    listed
        .items
        .iter()
        .map(|object| (object.key(), object.to_json().to_string()))
        .collect()
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else if fs::metadata(&path).unwrap().len() > 0 {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let (here, there) = {
            let entry = entry.unwrap();
            (entry.path(), to.join(entry.file_name()))
        };
        if here.is_dir() {
            fs::create_dir(&there).unwrap();
            copy(&here, &there);
        } else {
            fs::copy(&here, &there).unwrap();
        }
    }
}

/// Damages one file and says how.
fn damage(directory: &Path, random: &mut fastrand::Rng) -> String {
    let files = files(directory);
    let file = &files[random.usize(..files.len())];
    let mut bytes = fs::read(file).unwrap();
    let place = random.usize(..bytes.len());
    let what = if random.bool() {
        bytes[place] ^= 1 << random.u8(..8);
        "bit flipped"
    } else {
        bytes.truncate(place);
        "cut"
    };
    fs::write(file, bytes).unwrap();
    format!("{} {what} at {place}", file.display())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_damaged_file_loses_nothing_that_was_acknowledged() {
    let original = tempfile::tempdir().unwrap();
    let (expected, version) = fill(original.path()).await;
    for seed in 0..ROUNDS {
        let directory = tempfile::tempdir().unwrap();
        copy(original.path(), directory.path());
        let what = damage(directory.path(), &mut fastrand::Rng::with_seed(seed));

        let server = ApiServer::open(directory.path(), Options::default()).unwrap();

        assert_eq!(state(&server).await, expected, "seed {seed}: {what}");
        assert!(server.quarantined().is_empty(), "seed {seed}: {what}");
        let written = server.create(&rule("after", 1)).await.unwrap();
        let next: u64 = written
            .resource
            .meta
            .resource_version
            .as_ref()
            .unwrap()
            .parse()
            .unwrap();
        assert!(next > version, "seed {seed}: {what}: {next} after {version}");
        drop(server);
        let again = ApiServer::open(directory.path(), Options::default()).unwrap();
        assert_eq!(
            state(&again).await.len(),
            expected.len() + 1,
            "seed {seed}: {what}, opened again"
        );
    }
}
