//! Runs the queries: which one is under way, and what its answer changes.
//!
//! Every query is one task that waits its turn, asks and returns; everything else happens in one loop, so no
//! state is shared. While the list of a datacenter cannot be read its failing health watches are parked: one
//! probe per datacenter tells when Consul is back.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use tokio::sync::{Semaphore, watch};
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};

use super::answer::{self, Answer, Meaning, Reading};
use super::client::Client;
use super::error::Error;
use super::query::{Key, Lane, Query};
use super::report::{self, Report};
use super::settings::Settings;
use super::view::View;
use super::watch::{Conclusion, Watch};
use super::wire::{HealthEntry, Services};
use crate::state::{Fact, Part, RegistryState};
use crate::vanish::Verdict;

/// Reads without an index answer at once; this many at a time.
const FIRST_READS: usize = 8;

pub(super) struct Watcher {
    settings: Settings,
    client: Client,
    view: View,
    datacenters: Vec<Datacenter>,
    watches: BTreeMap<Key, Running>,
    queries: JoinSet<Asked>,
    keys: HashMap<Id, Key>,
    blocking: Arc<Semaphore>,
    first_reads: Arc<Semaphore>,
    last_success: Option<SystemTime>,
    /// Everything was read at least once.
    synced: bool,
    report: Report,
}

/// A datacenter, by its position.
#[derive(Default)]
struct Datacenter {
    /// As given; `None` is the agent's own.
    name: Option<String>,
    /// The list of services cannot be read.
    down: bool,
    /// No great loss is believed before this.
    grace_until: Option<Instant>,
    last_contact_ms: Option<u64>,
    known_leader: Option<bool>,
}

struct Running {
    watch: Watch,
    /// The query under way; `None` while parked.
    query: Option<AbortHandle>,
}

/// A finished query.
struct Asked {
    index: Option<u64>,
    at: Instant,
    clock: SystemTime,
    outcome: Result<Answer, Error>,
}

impl Watcher {
    pub(super) fn new(
        settings: Settings,
        client: Client,
        sender: watch::Sender<Arc<RegistryState>>,
    ) -> Watcher {
        let mut names: Vec<Option<String>> = settings.datacenters.iter().cloned().map(Some).collect();
        if names.is_empty() {
            names.push(None);
        }
        Watcher {
            view: View::new(&settings.name, names.len()),
            datacenters: names
                .into_iter()
                .map(|name| Datacenter {
                    name,
                    ..Datacenter::default()
                })
                .collect(),
            watches: BTreeMap::new(),
            queries: JoinSet::new(),
            keys: HashMap::new(),
            blocking: Arc::new(Semaphore::new(
                settings.max_watches.clamp(1, Semaphore::MAX_PERMITS),
            )),
            first_reads: Arc::new(Semaphore::new(FIRST_READS)),
            last_success: None,
            synced: false,
            report: Report::new(sender),
            settings,
            client,
        }
    }

    /// Runs until nobody listens any more.
    pub(super) async fn run(mut self) {
        for datacenter in 0..self.datacenters.len() {
            self.begin(Key::List(datacenter));
        }
        loop {
            let mut finished = tokio::select! {
                Some(finished) = self.queries.join_next_with_id() => Some(finished),
                () = self.report.unheard() => return,
            };
            // Everything that is there already is taken before the world hears of it.
            let mut news = false;
            while let Some(answer) = finished {
                if let Some((key, asked)) = self.current(answer) {
                    news |= self.take(&key, asked);
                }
                finished = self.queries.try_join_next_with_id();
            }
            if news || self.report.is_due(self.last_success) {
                let state = self.state();
                self.report.tell(state);
            }
        }
    }

    /// The watch a finished query belongs to, unless it was stopped or asked anew meanwhile.
    fn current(&mut self, finished: Result<(Id, Asked), JoinError>) -> Option<(Key, Asked)> {
        let (id, asked) = match finished {
            Ok((id, asked)) => (id, asked),
            Err(error) if error.is_cancelled() => {
                self.keys.remove(&error.id());
                return None;
            }
            Err(error) => (
                error.id(),
                Asked {
                    index: None,
                    at: Instant::now(),
                    clock: SystemTime::now(),
                    outcome: Err(Error::Setup(format!("a query ended by a bug: {error}"))),
                },
            ),
        };
        let key = self.keys.remove(&id)?;
        let running = self.watches.get(&key)?;
        let is_current = running.query.as_ref().is_some_and(|query| query.id() == id);
        is_current.then_some((key, asked))
    }

    /// One answer, from bytes to what is asked next. False when nothing changed.
    fn take(&mut self, key: &Key, asked: Asked) -> bool {
        let now = Instant::now();
        if let (Ok(answer), Some(datacenter)) = (&asked.outcome, self.datacenters.get_mut(key.datacenter())) {
            datacenter.last_contact_ms = answer.last_contact_ms.or(datacenter.last_contact_ms);
            datacenter.known_leader = answer.known_leader.or(datacenter.known_leader);
        }
        let confirmed = self.is_confirmed(key, now);
        let (conclusion, started) = match key {
            Key::List(datacenter) => self.list(*datacenter, asked.index, asked.outcome, confirmed, now),
            Key::Health(datacenter, service) => (
                self.health(*datacenter, service, asked.index, asked.outcome, confirmed, now),
                Vec::new(),
            ),
        };
        let Some(running) = self.watches.get_mut(key) else {
            return false;
        };
        let quiet = matches!(conclusion, Conclusion::Unchanged) && running.watch.failing().is_none();
        let failed = matches!(conclusion, Conclusion::Failed(_));
        let restart = running.watch.shows_restart(&conclusion);
        running.watch.conclude(conclusion, asked.at, asked.clock, now);
        running.query = None;
        if !failed {
            self.last_success = Some(SystemTime::now());
        }
        if let Some(datacenter) = self.datacenters.get_mut(key.datacenter()) {
            if restart {
                datacenter.grace_until = Some(now + self.settings.restart_grace);
            }
            if matches!(key, Key::List(_)) {
                datacenter.down = failed;
            }
        }
        self.ask_next(key, failed);
        for service in started {
            self.begin(Key::Health(key.datacenter(), service));
        }
        !quiet
    }

    fn list(
        &mut self,
        datacenter: usize,
        index: Option<u64>,
        outcome: Result<Answer, Error>,
        confirmed: bool,
        now: Instant,
    ) -> (Conclusion, Vec<String>) {
        let (services, next) = match news::<Services>(index, outcome) {
            Ok(news) => news,
            Err(conclusion) => return (conclusion, Vec::new()),
        };
        let change = self
            .view
            .list(datacenter, &services, &self.settings, confirmed, now);
        for service in change.stop {
            if let Some(Running {
                query: Some(query), ..
            }) = self.watches.remove(&Key::Health(datacenter, service))
            {
                query.abort();
            }
        }
        let conclusion = if change.doubted {
            Conclusion::Doubted
        } else {
            Conclusion::Believed(next)
        };
        (conclusion, change.start)
    }

    fn health(
        &mut self,
        datacenter: usize,
        service: &str,
        index: Option<u64>,
        outcome: Result<Answer, Error>,
        confirmed: bool,
        now: Instant,
    ) -> Conclusion {
        let (entries, next) = match news::<Vec<HealthEntry>>(index, outcome) {
            Ok(news) => news,
            Err(conclusion) => return conclusion,
        };
        match self
            .view
            .health(datacenter, service, &entries, &self.settings, confirmed, now)
        {
            Verdict::Believe => Conclusion::Believed(next),
            Verdict::Confirm => Conclusion::Doubted,
        }
    }

    fn is_confirmed(&self, key: &Key, now: Instant) -> bool {
        let grace = self
            .datacenters
            .get(key.datacenter())
            .and_then(|datacenter| datacenter.grace_until);
        self.watches
            .get(key)
            .is_some_and(|running| running.watch.confirms(now, grace))
    }

    fn begin(&mut self, key: Key) {
        let turns_before = self.takes_turns();
        self.watches.insert(
            key.clone(),
            Running {
                watch: Watch::default(),
                query: None,
            },
        );
        self.ask(&key);
        if self.takes_turns() && !turns_before {
            // Long waits would keep the new ones from their turn: ask those under way again, shorter.
            let waiting: Vec<Key> = self
                .watches
                .iter()
                .filter(|(_, running)| running.watch.index().is_some())
                .filter_map(|(key, running)| running.query.as_ref().map(|query| (key, query)))
                .map(|(key, query)| {
                    query.abort();
                    key.clone()
                })
                .collect();
            for key in &waiting {
                self.ask(key);
            }
        }
    }

    /// Asks again, or parks a failing service while its datacenter is down; a list that is back wakes them.
    fn ask_next(&mut self, key: &Key, failed: bool) {
        let down = self
            .datacenters
            .get(key.datacenter())
            .is_some_and(|datacenter| datacenter.down);
        if matches!(key, Key::List(_)) || !(failed && down) {
            self.ask(key);
        }
        if matches!(key, Key::List(_)) && !down {
            let parked: Vec<Key> = self
                .watches
                .iter()
                .filter(|(other, running)| other.datacenter() == key.datacenter() && running.query.is_none())
                .map(|(key, _)| key.clone())
                .collect();
            for key in &parked {
                self.ask(key);
            }
        }
    }

    fn takes_turns(&self) -> bool {
        self.watches.len().saturating_sub(self.datacenters.len()) > self.settings.max_watches
    }

    /// Starts the next query of a watch.
    fn ask(&mut self, key: &Key) {
        let turns = self.takes_turns();
        let Some(running) = self.watches.get_mut(key) else {
            return;
        };
        let datacenter = self
            .datacenters
            .get(key.datacenter())
            .and_then(|known| known.name.as_deref());
        let query = Query::next(key, &running.watch, datacenter, &self.settings, turns);
        let turn = match query.lane {
            Lane::Free => None,
            Lane::FirstReads => Some(Arc::clone(&self.first_reads)),
            Lane::Blocking => Some(Arc::clone(&self.blocking)),
        };
        let delay = running.watch.delay(Instant::now(), fastrand::f64());
        let client = self.client.clone();
        let handle = self.queries.spawn(async move {
            tokio::time::sleep(delay).await;
            // Held until the answer is here. The semaphore is never closed.
            let _turn = match turn {
                Some(turn) => turn.acquire_owned().await.ok(),
                None => None,
            };
            let (at, clock) = (Instant::now(), SystemTime::now());
            let outcome = client.get(&query.path(), &query.parameters, query.timeout).await;
            Asked {
                index: query.index,
                at,
                clock,
                outcome,
            }
        });
        self.keys.insert(handle.id(), key.clone());
        running.query = Some(handle);
    }

    /// What the world should know now.
    fn state(&mut self) -> RegistryState {
        let unread = match self.synced {
            true => Vec::new(),
            false => self.unread(),
        };
        self.synced = unread.is_empty();
        let failing: Vec<_> = self
            .watches
            .values()
            .filter_map(|running| running.watch.failing())
            .collect();
        let doubted = self
            .watches
            .iter()
            .filter(|(_, running)| running.watch.is_doubted());
        RegistryState {
            name: self.settings.name.clone(),
            catalog: self.view.catalog().clone(),
            synced: self.synced,
            begun: self.synced || self.view.begun(),
            unread,
            restored: None,
            stale_since: failing.iter().map(|failing| failing.since).min(),
            last_error: failing.first().map(|first| match failing.len() - 1 {
                0 => first.message.clone(),
                more => format!("{} (and {more} more watches)", first.message),
            }),
            last_success: self.last_success,
            warnings: report::warnings(self.view.warnings(), doubted.map(|(key, _)| key)),
            facts: self.facts(),
        }
    }

    /// What was not read yet, and why.
    fn unread(&self) -> Vec<Part> {
        let unread = self.view.unread().into_iter();
        unread
            .map(|key| {
                let failing = self.watches.get(&key).and_then(|running| running.watch.failing());
                report::part(
                    &key,
                    &self.settings,
                    failing.map(|failing| failing.message.clone()),
                )
            })
            .collect()
    }

    fn facts(&self) -> Vec<Fact> {
        let several = self.datacenters.len() > 1;
        let mut facts = vec![
            report::fact("address", self.client.address()),
            report::fact("watches", self.watches.len()),
        ];
        for datacenter in &self.datacenters {
            let prefix = match &datacenter.name {
                Some(name) if several => format!("{name}."),
                _ => String::new(),
            };
            if let Some(known) = datacenter.known_leader {
                facts.push(report::fact(format!("{prefix}knownLeader"), known));
            }
            if let Some(age) = datacenter.last_contact_ms {
                facts.push(report::fact(format!("{prefix}lastContactMs"), age));
            }
        }
        facts
    }
}

/// The reading of an answer and the next index; else what the answer means for its watch.
fn news<T: Reading>(
    index: Option<u64>,
    outcome: Result<Answer, Error>,
) -> Result<(T, Option<u64>), Conclusion> {
    let answer = outcome.map_err(Conclusion::Failed)?;
    match answer::understand::<T>(index, &answer).map_err(Conclusion::Failed)? {
        Meaning::Unchanged => Err(Conclusion::Unchanged),
        Meaning::Restarted => Err(Conclusion::Restarted),
        Meaning::News { value, next } => Ok((value, next)),
    }
}
