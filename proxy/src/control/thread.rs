//! The control thread: one task that carries updates to the configuration and tables to the workers.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Instant;

use outrigger_xds::client::{self, Client, Subscription, Update, Upsert};
use outrigger_xds::{NodeInfo, TypeUrl};
use prost::{Message, Name};
use tokio::sync::watch;

use super::bootstrap::Bootstrap;
use super::config::Config;
use super::dns::{self, Resolutions};
use super::records::Records;
use super::server::{Event, Server, next};
use super::{Life, Ports};
use crate::table::Current;

/// Where the configuration comes from.
#[derive(Debug)]
pub enum Source {
    /// A control plane.
    Xds {
        /// Where it is and how to reach it; its name is resolved by our own resolver.
        settings: Box<client::Settings>,
        /// Who we are.
        node: Box<NodeInfo>,
    },
    /// A file, whole from the start.
    Static(Box<Bootstrap>),
}

/// The running control thread. Dropping it ends the thread; sockets and the table in force stay as they are.
#[derive(Debug)]
pub struct Control {
    records: Arc<Records>,
    stop: watch::Sender<bool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Control {
    /// Starts the thread. It puts tables in force by `current`, opens and closes sockets by `ports`, and says by
    /// `life` when the first whole configuration is there. Counters get a shard for each of `workers` workers.
    ///
    /// # Errors
    /// When a static configuration is not good as a whole, the control plane's address is not one, or no thread can
    /// be started. A control plane that is not there is no error: it is tried for ever.
    pub fn start(
        source: Source,
        workers: usize,
        current: Arc<Current>,
        ports: Box<dyn Ports>,
        life: Arc<Life>,
    ) -> Result<Control, StartError> {
        let records = Arc::new(Records::default());
        let (stop, stopped) = watch::channel(false);
        let (started, start) = mpsc::sync_channel(1);
        let own = match &source {
            Source::Xds { node, .. } => node.address,
            Source::Static(_) => None,
        };
        let config = Config::new(workers, Arc::clone(&records), own);
        let work = Work {
            config,
            ports,
            current,
            life,
            records: Arc::clone(&records),
            held: BTreeSet::new(),
            recovered: Vec::new(),
        };
        let thread = thread::Builder::new().name("control".to_owned()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            match runtime {
                Ok(runtime) => runtime.block_on(work.run(source, stopped, started)),
                Err(error) => drop(started.send(Err(StartError::Thread(error)))),
            }
        });
        let thread = thread.map_err(StartError::Thread)?;
        // The sender is dropped unsent only when the thread has died.
        start
            .recv()
            .unwrap_or_else(|_| Err(StartError::Thread(io::Error::other("the control thread ended"))))?;
        Ok(Control {
            records,
            stop,
            thread: Some(thread),
        })
    }

    /// What was delivered so far.
    pub fn records(&self) -> &Arc<Records> {
        &self.records
    }

    /// Ends the thread and waits for it.
    pub fn stop(mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            // Its panic was reported when it happened.
            let _ = thread.join();
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

/// Why the control thread could not start.
#[derive(Debug)]
pub enum StartError {
    /// The address of the control plane, the token or the like.
    Settings(String),
    /// The static configuration: every resource that is refused, with its reason.
    Static(String),
    /// The system.
    Thread(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Settings(message) => write!(f, "cannot use the control plane's settings: {message}"),
            StartError::Static(message) => write!(f, "cannot use the static configuration: {message}"),
            StartError::Thread(error) => write!(f, "cannot start the control thread: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

struct Work {
    config: Config,
    ports: Box<dyn Ports>,
    current: Arc<Current>,
    life: Arc<Life>,
    records: Arc<Records>,
    /// Addresses that were bound or opened and not closed since.
    held: BTreeSet<SocketAddr>,
    /// Listeners that were refused and stand now, which the control plane does not know yet.
    recovered: Vec<String>,
}

impl Work {
    async fn run(
        mut self,
        source: Source,
        mut stopped: watch::Receiver<bool>,
        started: mpsc::SyncSender<Result<(), StartError>>,
    ) {
        let client = match self.begin(source) {
            Ok(client) => client,
            Err(error) => return drop(started.send(Err(error))),
        };
        let mut server = client.map(Server::new);
        let mut resolutions = Resolutions::default();
        let mut wake = self.settle(server.as_ref(), &mut resolutions);
        // The starter waits for this and for nothing else.
        let _ = started.send(Ok(()));
        loop {
            // A cluster or listener that time alone has ended may need less than before.
            if let Some(server) = &mut server {
                server.subscribe(&self.config).await;
                let recovered = std::mem::take(&mut self.recovered);
                if !recovered.is_empty() {
                    server.again(recovered).await;
                }
            }
            let far = Instant::now() + std::time::Duration::from_secs(3600);
            let timer = tokio::time::sleep_until(wake.unwrap_or(far).into());
            tokio::select! {
                _ = stopped.changed() => return,
                event = next(&mut server) => match event {
                    Event::Update(update) => {
                        wake = self.update(update, server.as_mut(), &mut resolutions).await;
                    }
                    Event::Connection(state) => {
                        self.records.connection(state);
                        wake = self.settle(server.as_ref(), &mut resolutions);
                    }
                    Event::Lost => {
                        tracing::error!("the xds client ended; the configuration stays as it is");
                        server = None;
                    }
                },
                (cluster, endpoints) = resolutions.next() => {
                    self.config.resolved(&cluster, endpoints);
                    wake = self.settle(server.as_ref(), &mut resolutions);
                }
                () = timer => wake = self.settle(server.as_ref(), &mut resolutions),
            }
        }
    }

    /// Connects, or takes a static configuration in.
    fn begin(&mut self, source: Source) -> Result<Option<Client>, StartError> {
        match source {
            Source::Xds { mut settings, node } => {
                settings.resolver = dns::resolver();
                let subscription = Subscription::new(&node)
                    .with_all(TypeUrl::Cluster)
                    .with_all(TypeUrl::Listener);
                client::connect(*settings, subscription)
                    .map(Some)
                    .map_err(StartError::Settings)
            }
            Source::Static(bootstrap) => {
                self.fixed(*bootstrap).map_err(StartError::Static)?;
                Ok(None)
            }
        }
    }

    fn fixed(&mut self, bootstrap: Bootstrap) -> Result<(), String> {
        let Bootstrap {
            listeners,
            clusters,
            routes,
            endpoints,
        } = bootstrap;
        let deliveries = [
            (TypeUrl::Cluster, resources(clusters, |message| &message.name)),
            (
                TypeUrl::Endpoint,
                resources(endpoints, |message| &message.cluster_name),
            ),
            (TypeUrl::Route, resources(routes, |message| &message.name)),
            (TypeUrl::Listener, resources(listeners, |message| &message.name)),
        ];
        for (kind, upserts) in deliveries {
            self.config
                .apply(kind, &upserts, &[], &mut *self.ports, Instant::now())?;
        }
        self.config.complete();
        Ok(())
    }

    /// Takes an update in, brings it into force as far as possible, then tells the server.
    async fn update(
        &mut self,
        update: Update,
        mut server: Option<&mut Server>,
        resolutions: &mut Resolutions,
    ) -> Option<Instant> {
        let Update {
            kind,
            upserts,
            removed,
            version,
            ticket,
        } = update;
        let verdict = self
            .config
            .apply(kind, &upserts, &removed, &mut *self.ports, Instant::now());
        let wake = self.settle(server.as_deref(), resolutions);
        let (changed, gone, generation) = (upserts.len(), removed.len(), generation(&version));
        let table = self.current.serial();
        match &verdict {
            Ok(()) => {
                tracing::info!(
                    kind = kind.short(),
                    generation,
                    changed,
                    gone,
                    table,
                    "update accepted"
                )
            }
            Err(reason) => {
                tracing::warn!(kind = kind.short(), generation, table, %reason, "update refused")
            }
        }
        if let Some(server) = &mut server {
            server.subscribe(&self.config).await;
            server.judge(ticket, verdict).await;
        }
        wake
    }

    /// Puts in force what can be, and opens and closes sockets around it.
    fn settle(&mut self, server: Option<&Server>, resolutions: &mut Resolutions) -> Option<Instant> {
        let settled = self.config.settle(&mut *self.ports, Instant::now());
        if let Some(table) = settled.table {
            self.current.swap(table);
        }
        if server.is_some() {
            self.recovered
                .extend(settled.bound.iter().map(|name| name.to_string()));
        }
        // Opening an open address does nothing, so there is no need to know which ones are.
        let mut kept = self.config.addresses();
        for listener in self.current.load().listeners() {
            self.ports.open(listener.address);
            kept.insert(listener.address);
        }
        for address in self.held.difference(&kept) {
            self.ports.close(*address);
        }
        self.held = kept;
        resolutions.follow(self.config.dns());
        match (settled.waiting, server) {
            (None, _) => self.life.live(),
            (Some(waiting), Some(server)) => self.life.waiting_for(format!("{waiting}{}", server.trouble())),
            (Some(waiting), None) => self.life.waiting_for(waiting),
        }
        settled.wake
    }
}

/// What a version says of where it comes from: our pilot writes the store's counter, a slash, and the number of the
/// message; of another server's version nothing is known.
fn generation(version: &str) -> &str {
    version
        .split_once('/')
        .map_or(version, |(generation, _)| generation)
}

/// Messages of a file as if they had been delivered.
fn resources<M: Message + Name>(messages: Vec<M>, name: impl Fn(&M) -> &String) -> Vec<Upsert> {
    let upsert = |message: &M| Upsert {
        name: name(message).clone(),
        version: "static".to_owned(),
        value: message.encode_to_vec().into(),
    };
    messages.iter().map(upsert).collect()
}
