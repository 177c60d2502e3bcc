//! C1: kill -9 at random moments under 200 writes a second. Acknowledged writes lost 0, torn 0, stores that will not
//! open 0, versions used twice 0 (promises P10, P11).

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use outrigger_api::document::{self, Options};
use outrigger_api::kind::Kind;
use outrigger_api::resource::{Resource, Spec};
use outrigger_client::{ConfigSource, ConfigStore, HttpClient};
use tokio::task::JoinSet;

use super::{Figure, Length};
use crate::process::Process;

/// Where the server under test listens.
const CONTROL: Ipv4Addr = Ipv4Addr::new(127, 0, 43, 254);
/// Tasks that write at once.
const WRITERS: u32 = 10;
/// Objects that each writer works on.
const OBJECTS: u32 = 12;
/// Writes a second, all writers together.
const PER_SECOND: u32 = 200;

/// Runs the bar.
pub async fn run(length: Length) -> Result<Figure> {
    let rounds: u32 = length.pick(8, 40);
    let mut random = fastrand::Rng::new();
    let seed = random.u64(..);
    random.seed(seed);
    println!("seed {seed}");
    let folder = tempfile::tempdir()?;
    let client = reqwest::Client::builder().no_proxy().build()?;
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let mut findings = Findings::default();

    for round in 1..=rounds + 1 {
        let mut server = match start(folder.path(), &client).await {
            Ok(server) => server,
            Err(error) => {
                println!("round {round}: will not open: {error:#}");
                findings.will_not_open += 1;
                break;
            }
        };
        let config = HttpClient::new(&format!("http://{CONTROL}:8080"), None)?;
        let held = stored(&config).await?;
        findings.take(ledger_of(&ledger).compare(&held));
        if round > rounds {
            server.stop().await?;
            break;
        }
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            writers.spawn(write(writer, config.clone(), ledger.clone(), random.fork()));
        }
        tokio::time::sleep(Duration::from_millis(random.u64(60..650))).await;
        anyhow::ensure!(server.is_running()?, "the server ended by itself");
        server.kill().await?;
        while writers.join_next().await.is_some() {}
    }
    let ledger = ledger_of(&ledger);
    Ok(Figure {
        line: format!(
            "C1: {rounds} kills, {} writes acknowledged: lost {}, torn {}, versions repeated {}, will not open {}",
            ledger.acknowledged, findings.lost, findings.torn, ledger.repeated, findings.will_not_open
        ),
        holds: findings == Findings::default()
            && ledger.repeated == 0
            && ledger.acknowledged > u64::from(rounds) * 20,
    })
}

async fn start(folder: &std::path::Path, client: &reqwest::Client) -> Result<Process> {
    let mut args: Vec<String> = vec![
        "serve".into(),
        "--data-dir".into(),
        folder.join("store").display().to_string(),
    ];
    for (flag, port) in [
        ("--api-address", 8080),
        ("--grpc-address", 15010),
        ("--http-address", 15007),
        ("--monitoring-address", 9093),
    ] {
        args.extend([flag.to_owned(), format!("{CONTROL}:{port}")]);
    }
    let mut server = Process::start("server", &args, folder)?;
    server
        .wait_until_ready(client, &format!("http://{CONTROL}:8080/readyz"))
        .await?;
    Ok(server)
}

/// Everything that the server holds: the number in each object, and its version.
async fn stored(config: &HttpClient) -> Result<BTreeMap<String, (u64, i32)>> {
    let listed = config.list(Kind::RouteRule).await?;
    let mut objects = BTreeMap::new();
    for item in listed.items {
        let version = item
            .meta
            .resource_version
            .as_deref()
            .context("no version")?
            .parse()?;
        let Spec::RouteRule(rule) = &item.spec else {
            continue;
        };
        objects.insert(item.meta.name.clone(), (version, rule.precedence));
    }
    Ok(objects)
}

/// Creates, replaces and deletes until the server is gone.
async fn write(writer: u32, config: HttpClient, ledger: Arc<Mutex<Ledger>>, mut random: fastrand::Rng) {
    let pause = Duration::from_secs(1) * WRITERS / PER_SECOND;
    let mut known: BTreeMap<String, Option<String>> = BTreeMap::new();
    for object in 0..OBJECTS {
        let name = format!("w{writer}-{object}");
        let Ok(stored) = config.get(&rule(&name, 0).key()).await else {
            return;
        };
        known.insert(
            name,
            stored.and_then(|stored| stored.meta.resource_version.clone()),
        );
    }
    loop {
        let began = Instant::now();
        let name = format!("w{writer}-{}", random.u32(..OBJECTS));
        let number = random.i32(1..i32::MAX);
        let version = known.get(&name).cloned().flatten();
        let mut resource = rule(&name, number);
        resource.meta.resource_version = version.clone();
        let delete = version.is_some() && random.u8(..10) == 0;
        ledger_of(&ledger).trying(&name, if delete { None } else { Some(number) });
        let outcome = match (delete, version) {
            (true, _) => config.delete(&resource.key()).await.map(|_| None),
            (false, None) => config.create(&resource).await.map(Some),
            (false, Some(_)) => config.replace(&resource).await.map(Some),
        };
        let Ok(written) = outcome else { return };
        let version = written
            .as_ref()
            .and_then(|written| written.resource.meta.resource_version.clone());
        ledger_of(&ledger).acknowledged(
            &name,
            version
                .as_deref()
                .and_then(|text| text.parse().ok())
                .zip(Some(number)),
        );
        known.insert(name, version);
        tokio::time::sleep(pause.saturating_sub(began.elapsed())).await;
    }
}

/// A rule that carries a number, and enough text to make a torn write visible.
fn rule(name: &str, number: i32) -> Resource {
    let filler = format!("{number} ").repeat(40);
    let text = format!(
        "{{apiVersion: config.istio.io/v1alpha2, kind: RouteRule, metadata: {{name: {name}, annotations: {{filler: \
         {filler:?}}}}}, spec: {{destination: {{service: echo.mesh}}, precedence: {number}}}}}"
    );
    match document::parse_body(text.as_bytes(), &Options::default()) {
        Ok(parsed) => parsed.resource,
        Err(problems) => unreachable!("the bar's own rule is refused: {problems:?}"),
    }
}

fn ledger_of(ledger: &Mutex<Ledger>) -> std::sync::MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What was acknowledged, and what was on its way when the server died.
#[derive(Default)]
struct Ledger {
    objects: BTreeMap<String, Line>,
    versions: BTreeSet<u64>,
    acknowledged: u64,
    repeated: u64,
}

#[derive(Clone, Default)]
struct Line {
    /// Version and number, or `None` after a delete and before the first create.
    acknowledged: Option<(u64, i32)>,
    /// The write without an answer: a number, or a delete.
    trying: Option<Option<i32>>,
}

impl Ledger {
    fn trying(&mut self, name: &str, number: Option<i32>) {
        self.objects.entry(name.to_owned()).or_default().trying = Some(number);
    }

    fn acknowledged(&mut self, name: &str, object: Option<(u64, i32)>) {
        self.acknowledged += 1;
        if let Some((version, _)) = object {
            let newest = self.versions.last().copied().unwrap_or_default();
            // Answers overtake each other, but a version is never given twice.
            if !self.versions.insert(version) {
                println!("version {version} was given twice (newest {newest})");
                self.repeated += 1;
            }
        }
        self.objects.insert(
            name.to_owned(),
            Line {
                acknowledged: object,
                trying: None,
            },
        );
    }

    /// Compares with what the server holds after a crash, and takes that as the new truth.
    fn compare(&mut self, stored: &BTreeMap<String, (u64, i32)>) -> Findings {
        let mut findings = Findings::default();
        for (name, line) in &mut self.objects {
            let now = stored.get(name).copied();
            let as_acknowledged = now == line.acknowledged;
            let as_tried = match (line.trying, now) {
                (Some(Some(number)), Some((version, found))) => {
                    found == number && line.acknowledged.is_none_or(|(old, _)| version > old)
                }
                (Some(None), None) => true,
                _ => false,
            };
            if !as_acknowledged && !as_tried {
                println!(
                    "{name}: acknowledged {:?}, tried {:?}, found {now:?}",
                    line.acknowledged, line.trying
                );
                // An object that was never written in this form is torn; otherwise an acknowledged write is lost.
                match now {
                    Some((version, _)) if line.acknowledged.is_none_or(|(old, _)| version >= old) => {
                        findings.torn += 1
                    }
                    _ => findings.lost += 1,
                }
            }
            *line = Line {
                acknowledged: now,
                trying: None,
            };
        }
        findings
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Findings {
    lost: u32,
    torn: u32,
    will_not_open: u32,
}

impl Findings {
    fn take(&mut self, other: Findings) {
        self.lost += other.lost;
        self.torn += other.torn;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(
        acknowledged: Option<(u64, i32)>,
        trying: Option<Option<i32>>,
        found: Option<(u64, i32)>,
    ) -> Findings {
        let mut ledger = Ledger::default();
        ledger.objects.insert("a".into(), Line { acknowledged, trying });
        ledger.compare(&found.into_iter().map(|found| ("a".to_owned(), found)).collect())
    }

    #[test]
    fn what_was_acknowledged_must_be_there() {
        assert_eq!(compared(Some((3, 7)), None, Some((3, 7))), Findings::default());
        assert_eq!(compared(Some((3, 7)), None, None).lost, 1);
        assert_eq!(compared(Some((3, 7)), None, Some((2, 6))).lost, 1);
    }

    #[test]
    fn what_was_on_its_way_is_wholly_there_or_not_at_all() {
        assert_eq!(
            compared(Some((3, 7)), Some(Some(9)), Some((4, 9))),
            Findings::default()
        );
        assert_eq!(
            compared(Some((3, 7)), Some(Some(9)), Some((3, 7))),
            Findings::default()
        );
        assert_eq!(compared(Some((3, 7)), Some(Some(9)), Some((4, 8))).torn, 1);
        assert_eq!(compared(Some((3, 7)), Some(None), None), Findings::default());
    }
}
