//! `wait`: until every proxy runs what the store holds.

use std::time::Duration;

use clap::Args;
use outrigger_api::kind::Kind;
use outrigger_api::resource::Key;
use outrigger_client::{ConfigSource, HttpClient};
use tokio::time::{Instant, sleep};

use crate::connection::Connection;
use crate::failure::{Failure, warn};
use crate::object::{Named, named};
use crate::output;
use crate::pilot::{Pilot, PilotArgs, Proxy, Refusal, Subject};
use crate::suggest;

/// Wait until every connected proxy has accepted the stored rules, or one of them
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  outrigger wait                                  everything that is stored now
  outrigger wait routerule reviews-default
  outrigger wait --for distribution virtualservice reviews.default
  outrigger wait --at-least 2                     and until two proxies are connected")]
pub(crate) struct WaitArgs {
    /// Type and name; without them, everything that is stored
    #[arg(value_name = "TYPE NAME", num_args = 0..=2, value_parser = suggest::kinds())]
    object: Vec<String>,
    /// What to wait for
    #[arg(long = "for", value_enum, default_value = "distribution")]
    condition: Condition,
    /// How long, as 500ms, 20s or 2m
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    timeout: Duration,
    /// How many proxies must be connected
    #[arg(long, value_name = "N", default_value_t = 0)]
    at_least: usize,
    #[command(flatten)]
    pilot: PilotArgs,
}

/// What can be waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Condition {
    /// Every connected proxy has acknowledged it.
    Distribution,
}

fn duration(text: &str) -> Result<Duration, String> {
    outrigger_api::duration::parse(text).map_err(|error| error.to_string())
}

/// How long a refusal may stand before it ends a wait for everything: an older one may be about to be mended.
const GRACE: Duration = Duration::from_secs(1);

/// What is waited for.
enum Wanted {
    /// Everything up to this version of the store.
    Everything(u64),
    /// One object.
    Object(Subject),
}

impl Wanted {
    fn version(&self) -> u64 {
        match self {
            Wanted::Everything(version) => *version,
            Wanted::Object(subject) => subject.version,
        }
    }

    /// What a proxy refuses of it.
    fn refused(&self, proxy: &Proxy) -> Vec<String> {
        let told = |refusal: &Refusal| format!("{} refused {refusal}", proxy.id);
        match self {
            Wanted::Everything(version) => proxy.refusals_since(*version).map(told).collect(),
            Wanted::Object(subject) => proxy.refusals_of(subject).map(told).collect(),
        }
    }
}

/// Waits. A refusal of what is waited for ends it at once: time alone does not mend it.
pub(crate) async fn run(args: WaitArgs, connection: &Connection) -> Result<(), Failure> {
    let client = connection.client()?;
    let wanted = wanted(&args.object, connection, &client).await?;
    let pilot = Pilot::new(&args.pilot, connection)?;
    let started = Instant::now();
    let grace = match wanted {
        Wanted::Everything(_) => GRACE.min(args.timeout),
        Wanted::Object(_) => Duration::ZERO,
    };
    loop {
        let proxies = pilot.proxies().await?;
        let refused: Vec<String> = proxies.iter().flat_map(|proxy| wanted.refused(proxy)).collect();
        let behind: Vec<String> = proxies
            .iter()
            .filter(|proxy| proxy.acked_version < wanted.version())
            .map(|proxy| proxy.behind(wanted.version()))
            .collect();
        let missing = args.at_least.saturating_sub(proxies.len());
        if refused.is_empty() && behind.is_empty() && missing == 0 {
            return tell(proxies.len(), wanted.version());
        }
        if !refused.is_empty() && started.elapsed() >= grace {
            return Err(Failure::Failed(refused));
        }
        if started.elapsed() >= args.timeout {
            let absent = format!("{} of {} proxies are connected", proxies.len(), args.at_least);
            return Err(Failure::Failed(
                behind
                    .into_iter()
                    .chain((missing > 0).then_some(absent))
                    .collect(),
            ));
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// Says who runs it: success without a single proxy is true, and worth a word.
fn tell(proxies: usize, version: u64) -> Result<(), Failure> {
    match proxies {
        0 => {
            warn("no proxy is connected: nothing runs the rules yet (--at-least 1 waits for one)");
            Ok(())
        }
        1 => output::line(format_args!("1 proxy runs version {version}")),
        several => output::line(format_args!("{several} proxies run version {version}")),
    }
}

async fn wanted(object: &[String], connection: &Connection, client: &HttpClient) -> Result<Wanted, Failure> {
    let failed = |error: outrigger_client::ClientError| Failure::one(error.to_string());
    let (kind, name) = match named(object)? {
        Named::Kinds(kinds) if kinds.is_empty() => {
            let version = client.list(Kind::RouteRule).await.map_err(failed)?.version;
            return Ok(Wanted::Everything(version));
        }
        Named::Objects(mut objects) if objects.len() == 1 => objects.remove(0),
        _ => return Err(Failure::Usage("wait takes a type and a name, or neither".into())),
    };
    let (name, namespace) = match name.split_once('.') {
        Some((name, namespace)) => (name.to_owned(), namespace.to_owned()),
        None => (name, connection.default_namespace()?),
    };
    let key = Key::new(kind, namespace, name);
    let stored = client.get(&key).await.map_err(failed)?;
    stored
        .map(|stored| Wanted::Object(Subject::of(&stored)))
        .ok_or_else(|| Failure::one(format!("{key} is not stored")))
}
