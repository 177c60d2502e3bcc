//! D1: every input of the HTTP/1 corpus against a running proxy with a raw recording backend, and what that accepts also
//! with hyper and nginx behind it. The refuse list is refused
//! whole, what is accepted arrives exactly once and as written, and the backend saw what the access log says
//! (promises P17, P18, P23).

mod backend;
mod client;
mod corpus;
mod front;
mod ledger;
mod plan;
mod receiver;
mod verdict;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::{BREATH, Figure, Length};
use crate::network::Network;
use backend::{Backend, Purpose, Recorder, Script};
use client::{Heard, Lane};
use corpus::Input;
use front::Upstreams;
use ledger::Balance;
use plan::{Receiver, Replay};
use receiver::{Account, Counted, Named, Receivers};

/// Clients at once. Each waits most of the time, between the pieces that it sends.
const LANES: u8 = 32;
/// Inputs that there must be.
const AT_LEAST: usize = 150;
/// How long the access log may lag behind.
const LATE: Duration = Duration::from_secs(5);
/// Failures that are printed.
const PRINTED: usize = 25;

/// Runs the bar.
pub async fn run(length: Length) -> Result<Figure> {
    let mut random = fastrand::Rng::new();
    let seed = random.u64(..);
    random.seed(seed);
    println!("seed {seed}");
    let _network = Network::claim([127, 0, 44])?;
    let inputs = corpus::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../proxy/tests/h1_corpus"))?;
    let rounds = length.pick(3, 8);
    let replays = Arc::new(plan::plan(&inputs, &mut random, rounds, length == Length::Full));
    let onward = Arc::new(plan::for_receivers(&inputs, &mut random));
    println!(
        "{} inputs, all but the answers to CONNECT, in {} replays, and {} more to hyper and nginx",
        inputs.len(),
        replays.len(),
        onward.len()
    );

    let (heard, balance, accounts) = replay(&replays, &onward).await?;
    let failures = failures(&replays, &heard, &balance);
    for (number, problem) in failures.iter().take(PRINTED) {
        if let Some(replay) = replays.get(*number) {
            println!("{replay}\n    {problem}");
        }
    }
    for stray in balance.stray.iter().take(PRINTED) {
        println!("{stray}");
    }
    for (receiver, account) in &accounts {
        for smuggled in account.smuggled.iter().take(PRINTED) {
            println!("not in the log, yet at {}: {smuggled}", receiver.name());
        }
    }
    println!(
        "{} replays passed, {} failed",
        replays.len() - failures.len(),
        failures.len()
    );
    Ok(figure(&inputs, &replays, &failures, &balance, &accounts))
}

/// What each server of another make counted.
type Accounts = [(Receiver, Account); 2];

/// Plays everything and closes the books; `onward` goes to the servers that others wrote.
async fn replay(
    replays: &Arc<Vec<Replay>>,
    onward: &Arc<Vec<Replay>>,
) -> Result<(Vec<Heard>, Balance, Accounts)> {
    let recorder = Recorder::new(replays.iter().map(script).collect());
    let plain = Backend::start(Purpose::Http, &recorder).await?;
    let scripted = Backend::start(Purpose::Http, &recorder).await?;
    let tunnels = Backend::start(Purpose::Tunnel, &recorder).await?;
    let folder = tempfile::tempdir()?;
    let receivers = Receivers::start(folder.path()).await?;
    let [hyper, nginx] = receivers.addresses();
    let upstreams = Upstreams {
        plain: plain.address,
        scripted: scripted.address,
        tunnels: tunnels.address,
        hyper,
        nginx,
    };
    let log = folder.path().join("access.log");
    let proxy = front::start(folder.path(), &log, upstreams).await?;

    let mut lanes: Vec<Lane> = (0..LANES).map(|number| Lane::new(100 + number)).collect();
    let heard = play_all(replays, &mut lanes).await?;
    play_all(onward, &mut lanes).await?;
    wait_for_log(&log).await?;
    proxy.stop().await?;
    for backend in [plain, scripted, tunnels] {
        backend.finish().await?;
    }
    let [by_hyper, by_nginx] = receivers.finish().await?;
    let mut lines = ledger::read(&std::fs::read_to_string(&log)?)?;
    let to_hyper = ledger::take_sent_to(&mut lines, hyper);
    let to_nginx = ledger::take_sent_to(&mut lines, nginx);
    let balance = ledger::balance(replays, &heard, &lines, &recorder.take())?;
    let account = |receiver, logged: &[Named], counted: &Counted| {
        let replays = onward.iter().filter(|replay| replay.door.receiver == receiver);
        let expected = replays.map(|replay| Ok(replay.expected()?.len()));
        let expected = expected.sum::<Result<usize>>()?;
        anyhow::Ok((receiver, receiver::account(expected, logged, counted)))
    };
    let accounts = [
        account(Receiver::Hyper, &to_hyper, &by_hyper)?,
        account(Receiver::Nginx, &to_nginx, &by_nginx)?,
    ];
    Ok((heard, balance, accounts))
}

/// The raw answer that a replay needs from the backend.
fn script(replay: &Replay) -> Option<Script> {
    replay.input.case.response.then(|| Script {
        pieces: replay.pieces(),
        ends: replay.input.ends_with_its_connection(),
    })
}

/// Plays every replay, one at a time in each lane, each on a connection of its own.
async fn play_all(replays: &Arc<Vec<Replay>>, lanes: &mut Vec<Lane>) -> Result<Vec<Heard>> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut playing = JoinSet::new();
    for mut lane in lanes.drain(..) {
        let (replays, next) = (Arc::clone(replays), Arc::clone(&next));
        playing.spawn(async move {
            let mut heard = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(replay) = replays.get(number) else {
                    return anyhow::Ok((lane, heard));
                };
                heard.push((
                    number,
                    client::play(replay, number, front::PROXY, &mut lane).await?,
                ));
            }
        });
    }
    let mut all = BTreeMap::new();
    while let Some(played) = playing.join_next().await {
        let (lane, heard) = played??;
        lanes.push(lane);
        all.extend(heard);
    }
    Ok(all.into_values().collect())
}

/// Waits until the access log does not grow any more.
async fn wait_for_log(log: &Path) -> Result<()> {
    let deadline = Instant::now() + LATE;
    let (mut size, mut since) = (0, Instant::now());
    while since.elapsed() < BREATH * 30 {
        let now = std::fs::metadata(log).context("there is no access log")?.len();
        if now != size {
            (size, since) = (now, Instant::now());
        }
        if Instant::now() > deadline {
            anyhow::bail!(
                "the access log still grows {} s after the last request",
                LATE.as_secs()
            );
        }
        sleep(BREATH).await;
    }
    Ok(())
}

/// What went wrong, by the number of its replay: what the client heard first, then the books.
fn failures(replays: &[Replay], heard: &[Heard], balance: &Balance) -> BTreeMap<usize, String> {
    let mut failures = balance.wrong.clone();
    for (number, (replay, heard)) in replays.iter().zip(heard).enumerate() {
        if let Err(problem) = verdict::judge(replay, heard) {
            failures.insert(number, problem);
        }
    }
    failures
}

/// The figure: the refuse list counts by input, and an input counts only when each of its replays is right.
fn figure(
    inputs: &[Arc<Input>],
    replays: &[Replay],
    failures: &BTreeMap<usize, String>,
    balance: &Balance,
    accounts: &Accounts,
) -> Figure {
    let failed: BTreeSet<&str> = failures
        .keys()
        .filter_map(|number| Some(replays.get(*number)?.input.place.as_str()))
        .collect();
    let (refused, accepted): (Vec<_>, Vec<_>) = inputs.iter().partition(|input| input.refusal().is_some());
    let right = |inputs: &[&Arc<Input>]| {
        inputs
            .iter()
            .filter(|input| !failed.contains(input.place.as_str()))
            .count()
    };
    let percent = |inputs: &[&Arc<Input>]| match (right(inputs), inputs.len()) {
        (right, all) if right == all => "100".to_owned(),
        (right, all) => format!("{:.1}", (right as f64 * 100.0 / all as f64).min(99.9)),
    };
    let count = |name: &str, arrived: usize, logged: usize| {
        let sign = if arrived == logged { "=" } else { "!=" };
        format!("{name} saw {arrived} {sign} log {logged}")
    };
    let mut counts = vec![count("recorder", balance.arrived, balance.logged)];
    counts.extend(
        accounts
            .iter()
            .map(|(receiver, account)| count(receiver.name(), account.arrived, account.logged)),
    );
    let elsewhere: usize = accounts.iter().map(|(_, account)| account.smuggled.len()).sum();
    Figure {
        line: format!(
            "D1: {} inputs ({} refused, {} accepted), refuse list {} %, accepted as written {} %, {}, smuggled {}",
            inputs.len(),
            refused.len(),
            accepted.len(),
            percent(&refused),
            percent(&accepted),
            counts.join(", "),
            balance.smuggled + elsewhere
        ),
        holds: inputs.len() >= AT_LEAST
            && failures.is_empty()
            && balance.stray.is_empty()
            && balance.smuggled == 0
            && balance.arrived == balance.logged
            && balance.arrived > accepted.len() / 2
            && accounts
                .iter()
                .all(|(_, account)| account.holds() && account.logged > accepted.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts() -> (Vec<Arc<Input>>, Vec<Replay>) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proxy/tests/h1_corpus");
        let inputs = corpus::load(&folder).unwrap();
        let replays = plan::plan(&inputs, &mut fastrand::Rng::with_seed(1), 0, false);
        (inputs, replays)
    }

    #[test]
    fn the_figure_holds_only_when_nothing_is_wrong() {
        let (inputs, replays) = parts();
        let good = || Balance {
            arrived: 500,
            logged: 500,
            ..Balance::default()
        };
        let accounts = |arrived| {
            [Receiver::Hyper, Receiver::Nginx].map(|receiver| {
                let account = Account {
                    expected: 300,
                    logged: 300,
                    arrived,
                    smuggled: Vec::new(),
                };
                (receiver, account)
            })
        };
        let of = |failures: BTreeMap<usize, String>, balance: &Balance| {
            figure(&inputs, &replays, &failures, balance, &accounts(300))
        };
        assert!(!figure(&inputs, &replays, &BTreeMap::new(), &good(), &accounts(299)).holds);

        let figure = of(BTreeMap::new(), &good());
        assert!(figure.holds, "{}", figure.line);
        assert!(figure.line.ends_with(
            "refuse list 100 %, accepted as written 100 %, recorder saw 500 = log 500, hyper saw 300 = log 300, nginx saw \
             300 = log 300, smuggled 0"
        ));

        let refused = replays
            .iter()
            .position(|replay| replay.input.refusal().is_some())
            .unwrap();
        let figure = of(BTreeMap::from([(refused, "passed on".to_owned())]), &good());
        assert!(
            !figure.holds && figure.line.contains("refuse list 99."),
            "{}",
            figure.line
        );

        assert!(
            !of(
                BTreeMap::new(),
                &Balance {
                    logged: 499,
                    ..good()
                }
            )
            .holds
        );
        assert!(
            !of(
                BTreeMap::new(),
                &Balance {
                    smuggled: 1,
                    ..good()
                }
            )
            .holds
        );
        assert!(!of(BTreeMap::new(), &Balance::default()).holds);
    }
}
