//! C1: kill -9 at random moments, under 200 writes a second, under as many as the server takes, and while it recovers.
//! Acknowledged writes lost 0, torn 0, versions used twice 0, stores that will not open 0 (promises P10, P11).
//!
//! A full run is long enough that the journal begins new segments and that snapshots are written between the kills; both
//! are looked for in the folder.

mod clients;
mod ledger;
mod object;
mod round;
mod versions;

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use outrigger_api::kind::Kind;
use outrigger_client::{ConfigSource, HttpClient};

use super::{Figure, Length};
use crate::control_plane::{self, API_PORT};
use crate::network::Network;
use crate::process::Process;
use clients::{Book, Clients, open};
use ledger::{Findings, Objects};
use round::Round;

/// Where the server under test listens, on the bar's own network.
const CONTROL: Ipv4Addr = Ipv4Addr::new(127, 0, 43, 254);

/// Runs the bar.
pub async fn run(length: Length) -> Result<Figure> {
    let rounds: u32 = length.pick(8, 40);
    let mut random = fastrand::Rng::new();
    let seed = random.u64(..);
    random.seed(seed);
    println!("seed {seed}");
    let _network = Network::claim([127, 0, 43])?;
    let folder = tempfile::tempdir()?;
    let book = Arc::new(Mutex::new(Book::default()));
    let mut bar = Bar {
        store: folder.path().join("store"),
        client: reqwest::Client::builder().no_proxy().build()?,
        config: HttpClient::new(&format!("http://{CONTROL}:{API_PORT}"), None)?,
        book: Arc::clone(&book),
        listed: 0,
        start: Duration::from_millis(100),
        files: BTreeSet::new(),
    };
    let mut will_not_open = 0;
    for number in 1..=rounds + 1 {
        let round = (number <= rounds).then(|| Round::of(number));
        if let Err(error) = bar.play(round, &mut random, folder.path()).await? {
            println!("round {number}: will not open: {error:#}");
            will_not_open += 1;
            break;
        }
    }
    let (segments, snapshots) = (bar.count("journal-"), bar.count("snapshot-"));
    let book = open(&book);
    println!(
        "{segments} segments of the journal, {snapshots} snapshots, {} versions seen",
        book.versions.count()
    );
    let enough = length == Length::Short || (segments > 1 && snapshots > 0);
    Ok(figure(rounds, &book, will_not_open, enough))
}

/// What stays the same from round to round.
struct Bar {
    store: std::path::PathBuf,
    client: reqwest::Client,
    config: HttpClient,
    book: Arc<Mutex<Book>>,
    /// Version of the last list: the watcher of the next round begins there.
    listed: u64,
    /// How long the last start took.
    start: Duration,
    /// Names of files that were seen in the store.
    files: BTreeSet<String>,
}

impl Bar {
    /// One round: a start, a look at what is there, and a kill; without a `round`, a last look and a good end. The inner
    /// error is a server that does not open its store.
    async fn play(
        &mut self,
        round: Option<Round>,
        random: &mut fastrand::Rng,
        logs: &Path,
    ) -> Result<Result<()>> {
        let began = Instant::now();
        let mut server = Process::start(
            "server",
            &control_plane::arguments(CONTROL, &self.store),
            logs,
            (CONTROL, API_PORT).into(),
        )?;
        if round == Some(Round::Recovery) {
            tokio::time::sleep(Round::Recovery.life(random, self.start)).await;
            anyhow::ensure!(server.is_running(), "the server ended by itself");
            server.kill();
            return Ok(Ok(()));
        }
        let ready = format!("http://{CONTROL}:{API_PORT}/readyz");
        if let Err(error) = server.wait_until_ready(&self.client, &ready).await {
            return Ok(Err(error));
        }
        self.start = began.elapsed();
        let before = self.listed;
        let held = self.look().await?;
        let Some(round) = round else {
            server.stop().await?;
            return Ok(Ok(()));
        };
        let clients = Clients::start(&self.config, &self.book, round, (&held, before), random);
        tokio::time::sleep(round.life(random, self.start)).await;
        anyhow::ensure!(server.is_running(), "the server ended by itself");
        clients.expect_a_kill();
        server.kill();
        clients.finish().await;
        self.note_files()?;
        Ok(Ok(()))
    }

    /// Takes everything that the server holds into the book.
    async fn look(&mut self) -> Result<Objects> {
        let listed = self.config.list(Kind::RouteRule).await?;
        self.listed = listed.version;
        let named = listed
            .items
            .iter()
            .map(|item| (item.meta.name.clone(), item.clone()));
        let held: Objects = named.collect();
        let mut book = open(&self.book);
        book.versions.listed_after_start(listed.version);
        for object in held.values() {
            book.versions.stored(object);
        }
        let found = book.ledger.compare(&held);
        book.findings.add(found);
        Ok(held)
    }

    fn note_files(&mut self) -> Result<()> {
        let entries = std::fs::read_dir(&self.store)
            .with_context(|| format!("cannot look into {}", self.store.display()))?;
        for entry in entries {
            self.files
                .insert(entry?.file_name().to_string_lossy().into_owned());
        }
        Ok(())
    }

    fn count(&self, prefix: &str) -> usize {
        self.files.iter().filter(|name| name.starts_with(prefix)).count()
    }
}

/// The figure; `enough` is whether the run went far enough to mean something.
fn figure(rounds: u32, book: &Book, will_not_open: u32, enough: bool) -> Figure {
    let refused = match book.refused {
        0 => String::new(),
        count => format!(", answered with an error {count}"),
    };
    Figure {
        line: format!(
            "C1: {rounds} kills, {} writes acknowledged: lost {}, torn {}, versions repeated {}, will not open \
             {will_not_open}{refused}",
            book.ledger.acknowledged, book.findings.lost, book.findings.torn, book.versions.repeated
        ),
        holds: book.findings == Findings::default()
            && book.versions.repeated == 0
            && book.refused == 0
            && will_not_open == 0
            && enough
            && book.ledger.acknowledged > u64::from(rounds) * 20,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figure_holds_only_when_nothing_is_wrong() {
        let good = || {
            let mut book = Book::default();
            book.ledger.acknowledged = 2000;
            book
        };
        let first = figure(40, &good(), 0, true);
        assert!(first.holds);
        assert_eq!(
            first.line,
            "C1: 40 kills, 2000 writes acknowledged: lost 0, torn 0, versions repeated 0, will not open 0"
        );

        assert!(!figure(40, &good(), 1, true).holds);
        assert!(!figure(40, &good(), 0, false).holds);
        assert!(!figure(40, &Book { refused: 1, ..good() }, 0, true).holds);
        let mut repeated = good();
        repeated.versions.repeated = 1;
        assert!(!figure(40, &repeated, 0, true).holds);
        let mut torn = good();
        torn.findings.torn = 1;
        assert!(!figure(40, &torn, 0, true).holds);
    }
}
