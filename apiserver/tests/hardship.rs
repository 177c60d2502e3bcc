//! A disk that fills up, and a server that is killed with many objects in its store: what was acknowledged is there.
//!
//! Both need a process of their own, so each test starts this program again, which then plays the server's part.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "the whole crate is a test; its helpers fail the test"
)]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::{env, fs};

use futures_util::StreamExt;
use futures_util::stream;
use outrigger_api::document::{Options as Reading, parse_body};
use outrigger_api::kind::Kind;
use outrigger_api::resource::Resource;
use outrigger_apiserver::{ApiServer, Options};
use outrigger_client::{ConfigSource, ConfigStore};

/// Tells the program, started again, where to play its part.
const PLACE: &str = "OUTRIGGER_HARDSHIP_PLACE";
/// Objects that the killed server has acknowledged, at least.
const MANY: usize = 10_000;
/// More writes than any of the small disks takes.
const ENOUGH: usize = 2_000;

/// Mounts a small disk that no other process sees and that goes with this one, with a privilege or without.
const SMALL_DISK: &str = r#"
for user in "" "--user --map-root-user"; do
    unshare $user --mount true 2>/dev/null || continue
    exec unshare $user --mount sh -c 'mount -t tmpfs -o size=16m tmpfs "$1" && shift && exec "$@"' sh "$@"
done
# No mounts here: files that cannot grow beyond 1 MiB refuse writes as a full disk does. The signal would kill.
shift; trap '' XFSZ; ulimit -f 2048; exec "$@""#;

fn rule(name: &str, length: usize) -> Resource {
    let json = format!(
        r#"{{"apiVersion":"config.istio.io/v1alpha2","kind":"RouteRule",
            "metadata":{{"name":"{name}","namespace":"default","annotations":{{"note":"{}"}}}},
            "spec":{{"destination":{{"name":"{name}"}}}}}}"#,
        "x".repeat(length)
    );
    parse_body(json.as_bytes(), &Reading::default()).unwrap().resource
}

async fn names(server: &ApiServer) -> BTreeSet<String> {
    let listed = server.list(Kind::RouteRule).await.unwrap();
    listed
        .items
        .iter()
        .map(|object| object.meta.name.clone())
        .collect()
}

fn place() -> Option<PathBuf> {
    env::var_os(PLACE).map(PathBuf::from)
}

/// This program, to run one test of it at a place.
fn again(command: &mut Command, test: &str, place: &Path) -> Child {
    command
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(PLACE, place)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_writes_keeps_what_was_acknowledged_and_heals_when_space_is_freed() {
    let Some(disk) = place() else {
        let disk = tempfile::tempdir().unwrap();
        let mut shell = Command::new("sh");
        shell
            .args(["-c", SMALL_DISK, "sh"])
            .arg(disk.path())
            .arg(env::current_exe().unwrap());
        let test = "a_full_disk_refuses_writes_keeps_what_was_acknowledged_and_heals_when_space_is_freed";
        let played = again(&mut shell, test, disk.path()).wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&played.stdout);
        assert!(played.status.success() && told.contains("1 passed"), "{told}");
        return;
    };
    let (data, ballast) = (disk.join("data"), disk.join("ballast"));
    fs::write(&ballast, vec![1; 900_000]).unwrap();
    let server = ApiServer::open(&data, Options::default()).unwrap();
    let mut acknowledged = BTreeSet::new();

    let mut refused = None;
    for number in 0..ENOUGH {
        let name = format!("before{number}");
        match server.create(&rule(&name, 100_000)).await {
            Ok(_) => drop(acknowledged.insert(name)),
            Err(error) => {
                refused = Some(error.to_string());
                break;
            }
        }
    }
    let refused = refused.expect("the disk never fills up");
    assert!(refused.contains("free space in"), "{refused}");
    assert_eq!(
        names(&server).await,
        acknowledged,
        "reading goes on, and nothing refused is seen"
    );

    fs::remove_file(&ballast).unwrap();
    for number in 0..3 {
        let name = format!("after{number}");
        server.create(&rule(&name, 1_000)).await.unwrap();
        acknowledged.insert(name);
    }
    assert_eq!(names(&server).await, acknowledged);
    let version = server.version();
    drop(server);
    let again = ApiServer::open(&data, Options::default()).unwrap();
    assert_eq!(names(&again).await, acknowledged);
    assert_eq!(again.version(), version);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_of_ten_thousand_objects_opens_with_all_of_them_after_a_kill() {
    let Some(data) = place() else {
        let data = tempfile::tempdir().unwrap();
        let mut program = Command::new(env::current_exe().unwrap());
        let test = "a_store_of_ten_thousand_objects_opens_with_all_of_them_after_a_kill";
        let mut writing = again(&mut program, test, data.path());
        let told = BufReader::new(writing.stdout.take().unwrap()).lines();
        let stored = told.map(Result::unwrap).any(|line| line.contains("all stored"));
        writing.kill().unwrap();
        writing.wait().unwrap();
        assert!(stored, "the writer ended before its time");

        let server = ApiServer::open(data.path(), Options::default()).unwrap();

        let found = names(&server).await;
        assert!((0..MANY).all(|number| found.contains(&format!("r{number}"))));
        assert_eq!(found.len() as u64, server.version());
        return;
    };
    let server = ApiServer::open(&data, Options::default()).unwrap();
    let server = &server;
    let mut writes = stream::iter(0..)
        .map(|number| async move { server.create(&rule(&format!("r{number}"), 500)).await })
        .buffered(256);
    let mut stored = 0;
    // Goes on until it is killed in the middle of a write.
    while let Some(written) = writes.next().await {
        written.unwrap();
        stored += 1;
        if stored == MANY {
            println!("all stored");
        }
    }
}
