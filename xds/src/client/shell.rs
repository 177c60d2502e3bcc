//! The client's tie to the network: dial, subscribe, deliver updates, send verdicts, and again after every loss.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Streaming};

use crate::TypeUrl;
use crate::client::backoff::Attempts;
use crate::client::{Backoff, ConnectionState, Received, Subscription, Ticket, Update, Verdict};
use crate::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse,
    aggregated_discovery_service_client::AggregatedDiscoveryServiceClient,
};

/// Turns a host name and port into addresses to try in turn.
pub type Resolver = Arc<dyn Fn(String, u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;

/// Updates that may wait for the proxy to take them.
const UPDATE_QUEUE: usize = 4;
/// Verdicts and subscriptions that may wait for the client to take them.
const COMMAND_QUEUE: usize = 64;
/// Requests that may wait for the server to read them; a server that lets more pile up is left.
const REQUEST_QUEUE: usize = 256;
/// The largest response, bytes (spec/reliability.md §3: xDS message out).
const MAX_RESPONSE: usize = 64 * 1024 * 1024;

/// Where and how to connect.
#[derive(Clone)]
pub struct Settings {
    /// `host:port` of the server.
    pub target: String,
    /// The mesh token, sent as `authorization: Bearer TOKEN`. Never printed.
    pub token: Option<String>,
    /// Waits between attempts.
    pub backoff: Backoff,
    /// Longest time for name, TCP and HTTP/2 set-up together; 5 s unless set.
    pub connect_timeout: Duration,
    /// HTTP/2 pings on a silent connection; 10 s unless set.
    pub keepalive_interval: Duration,
    /// How long a ping may stay unanswered; 10 s unless set.
    pub keepalive_timeout: Duration,
    /// How names are resolved; unless set, there are no names, only IP addresses. The C library's resolver is never
    /// used: a static binary has none (docs/decisions/0005).
    pub resolver: Resolver,
}

impl Settings {
    /// Settings for this `host:port`, everything else at its default.
    pub fn new(target: impl Into<String>) -> Settings {
        Settings {
            target: target.into(),
            token: None,
            backoff: Backoff::default(),
            connect_timeout: Duration::from_secs(5),
            keepalive_interval: Duration::from_secs(10),
            keepalive_timeout: Duration::from_secs(10),
            resolver: Arc::new(|host, port| Box::pin(async move { literal(host, port) })),
        }
    }
}

fn literal(host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse();
    let address: IpAddr = address.map_err(|_| {
        io::Error::new(
            io::ErrorKind::Unsupported,
            format!("{host} is no IP address, and no resolver was given for names"),
        )
    })?;
    Ok(vec![SocketAddr::new(address, port)])
}

impl fmt::Debug for Settings {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = self.token.as_ref().map(|_| "redacted");
        out.debug_struct("Settings")
            .field("target", &self.target)
            .field("token", &token)
            .finish_non_exhaustive()
    }
}

/// A running client. Dropping it closes the connection and ends its task.
#[derive(Debug)]
pub struct Client {
    updates: mpsc::Receiver<Update>,
    handle: Handle,
    state: watch::Receiver<ConnectionState>,
    task: JoinHandle<()>,
}

impl Client {
    /// The next update. Each must be judged by [`Handle::judge`]; the server sends nothing more of a type before
    /// that. `None` only if the client's task has died. Cancel safe.
    pub async fn next(&mut self) -> Option<Update> {
        self.updates.recv().await
    }

    /// Where verdicts and subscriptions go.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// The state of the connection, now and after every change.
    pub fn state(&self) -> watch::Receiver<ConnectionState> {
        self.state.clone()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Gives verdicts and changes subscriptions.
#[derive(Debug, Clone)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
}

impl Handle {
    /// Accepts or refuses an update. Returns false when the client is gone.
    pub async fn judge(&self, ticket: Ticket, verdict: Verdict) -> bool {
        self.commands.send(Command::Judge(ticket, verdict)).await.is_ok()
    }

    /// Sets the names subscribed to of a type; they are kept over reconnects. Returns false when the client is gone.
    pub async fn subscribe(&self, kind: TypeUrl, names: BTreeSet<String>) -> bool {
        self.commands.send(Command::Subscribe(kind, names)).await.is_ok()
    }

    /// Asks for resources once more that were refused and would be accepted now, so that the server hears of it.
    /// Returns false when the client is gone.
    pub async fn again(&self, kind: TypeUrl, names: Vec<String>) -> bool {
        self.commands.send(Command::Again(kind, names)).await.is_ok()
    }
}

#[derive(Debug)]
enum Command {
    Judge(Ticket, Verdict),
    Subscribe(TypeUrl, BTreeSet<String>),
    Again(TypeUrl, Vec<String>),
}

/// Starts a client on the current tokio runtime. It connects, and connects again after every loss, until the
/// [`Client`] is dropped.
///
/// # Errors
/// When the target is not `host:port` or the token cannot stand in a header.
pub fn connect(settings: Settings, subscription: Subscription) -> Result<Client, String> {
    let uri: Uri = format!("http://{}", settings.target)
        .parse()
        .map_err(|error| format!("xds target {:?}: {error}; want host:port", settings.target))?;
    if uri.port_u16().is_none() {
        return Err(format!(
            "xds target {:?} has no port; want host:port",
            settings.target
        ));
    }
    let bearer = settings.token.as_ref().map(|token| bearer(token)).transpose()?;
    let (update_sender, updates) = mpsc::channel(UPDATE_QUEUE);
    let (command_sender, commands) = mpsc::channel(COMMAND_QUEUE);
    let (state_sender, state) = watch::channel(ConnectionState::new(&settings.target));
    let dialer = Dialer {
        endpoint: Endpoint::from(uri),
        bearer,
        settings,
    };
    let link = Link {
        subscription,
        updates: update_sender,
        backlog: VecDeque::new(),
        commands,
    };
    let task = tokio::spawn(run(dialer, link, state_sender));
    Ok(Client {
        updates,
        handle: Handle {
            commands: command_sender,
        },
        state,
        task,
    })
}

fn bearer(token: &str) -> Result<MetadataValue<Ascii>, String> {
    let mut value: MetadataValue<Ascii> = format!("Bearer {token}")
        .parse()
        .map_err(|_| "the mesh token has characters that cannot stand in a header".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

/// Connects for ever; ends with the [`Client`], which holds the other ends of the channels.
async fn run(dialer: Dialer, mut link: Link, state: watch::Sender<ConnectionState>) {
    let mut attempts = Attempts::default();
    let mut told = String::new();
    loop {
        let reason = match dialer.dial(&mut link).await {
            Ok(session) => link.converse(session, &mut attempts, &state).await,
            Err(reason) => reason,
        };
        link.subscription.disconnected();
        let wait = attempts.next_wait(&dialer.settings.backoff, fastrand::f64());
        let pilot = &dialer.settings.target;
        // The same reason at every attempt would fill the log; a stream that worked in between makes it new.
        if attempts.failures() > 1 && reason == told {
            tracing::debug!(target: "xds", %pilot, %reason, ?wait, "not connected");
        } else {
            tracing::info!(target: "xds", %pilot, %reason, ?wait, "not connected");
            told.clone_from(&reason);
        }
        state.send_modify(|state| state.down(reason, attempts.failures()));
        link.while_waiting(tokio::time::sleep(wait)).await;
    }
}

/// Makes connections.
struct Dialer {
    endpoint: Endpoint,
    bearer: Option<MetadataValue<Ascii>>,
    settings: Settings,
}

/// An open stream.
struct Session {
    requests: mpsc::Sender<DeltaDiscoveryRequest>,
    responses: Streaming<DeltaDiscoveryResponse>,
}

impl Dialer {
    /// Connects, opens the stream and sends the first requests. Commands are served meanwhile.
    async fn dial(&self, link: &mut Link) -> Result<Session, String> {
        let target = &self.settings.target;
        let channel = link
            .while_waiting(tokio::time::timeout(
                self.settings.connect_timeout,
                self.channel(),
            ))
            .await
            .map_err(|_| {
                format!(
                    "cannot reach {target}: no connection within {:?}",
                    self.settings.connect_timeout
                )
            })?
            .map_err(|error| format!("cannot reach {target}: {}; is it running?", root_cause(&error)))?;

        let (requests, receiver) = mpsc::channel(REQUEST_QUEUE);
        for request in link.subscription.connected() {
            requests
                .try_send(request)
                .map_err(|_| "too many first requests".to_owned())?;
        }
        let mut outgoing = Request::new(ReceiverStream::new(receiver));
        if let Some(bearer) = &self.bearer {
            outgoing.metadata_mut().insert("authorization", bearer.clone());
        }
        let mut client =
            AggregatedDiscoveryServiceClient::new(channel).max_decoding_message_size(MAX_RESPONSE);
        // Commands wait while the stream opens: what they change would have to be told to a stream half open.
        let opened = tokio::time::timeout(
            self.settings.connect_timeout,
            client.delta_aggregated_resources(outgoing),
        );
        let responses = opened
            .await
            .map_err(|_| {
                format!(
                    "{target} did not open the stream within {:?}",
                    self.settings.connect_timeout
                )
            })?
            .map_err(|status| format!("{target} refused the stream: {}", describe(&status)))?
            .into_inner();
        Ok(Session { requests, responses })
    }

    async fn channel(&self) -> Result<Channel, tonic::transport::Error> {
        let resolver = Arc::clone(&self.settings.resolver);
        let connector = tower::service_fn(move |uri: Uri| {
            let resolver = Arc::clone(&resolver);
            async move { open_socket(&resolver, &uri).await.map(TokioIo::new) }
        });
        self.endpoint
            .clone()
            .http2_keep_alive_interval(self.settings.keepalive_interval)
            .keep_alive_timeout(self.settings.keepalive_timeout)
            .keep_alive_while_idle(true)
            .connect_with_connector(connector)
            .await
    }
}

async fn open_socket(resolver: &Resolver, uri: &Uri) -> io::Result<TcpStream> {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = uri.port_u16().unwrap_or_default();
    let addresses = match host.parse() {
        Ok(literal) => vec![SocketAddr::new(literal, port)],
        Err(_) => resolver(host.clone(), port).await?,
    };
    let mut failure = io::Error::new(io::ErrorKind::NotFound, format!("the name {host} has no address"));
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// What outlives connections: the subscription and the channels to the proxy.
struct Link {
    subscription: Subscription,
    updates: mpsc::Sender<Update>,
    /// Updates that the proxy has not taken yet. While it is not empty, nothing is read from the stream.
    backlog: VecDeque<Update>,
    commands: mpsc::Receiver<Command>,
}

impl Link {
    /// Talks over an open stream until it ends; gives the reason.
    async fn converse(
        &mut self,
        mut session: Session,
        attempts: &mut Attempts,
        state: &watch::Sender<ConnectionState>,
    ) -> String {
        // What was read from an earlier connection is asked for again.
        self.backlog.clear();
        let updates = self.updates.clone();
        let mut answered = false;
        loop {
            let request = tokio::select! {
                response = session.responses.message(), if self.backlog.is_empty() => match response {
                    Ok(Some(response)) => {
                        if !std::mem::replace(&mut answered, true) {
                            attempts.worked();
                            state.send_modify(ConnectionState::up);
                        }
                        self.received(response)
                    }
                    Ok(None) => return "the server closed the stream".into(),
                    Err(status) => return format!("the stream ended: {}", describe(&status)),
                },
                permit = updates.reserve(), if !self.backlog.is_empty() => match (permit, self.backlog.pop_front()) {
                    (Ok(permit), Some(update)) => { permit.send(update); None }
                    _ => return "the client was stopped".into(),
                },
                command = self.commands.recv() => match command {
                    Some(command) => self.obey(command),
                    None => return "the client was stopped".into(),
                },
            };
            if let Some(request) = request
                && session.requests.try_send(request).is_err()
            {
                return format!("the server does not read: {REQUEST_QUEUE} requests wait");
            }
        }
    }

    fn received(&mut self, response: DeltaDiscoveryResponse) -> Option<DeltaDiscoveryRequest> {
        match self.subscription.receive(response) {
            Received::Update(update) => {
                self.backlog.push_back(update);
                None
            }
            Received::Refused { request, reason } => {
                tracing::warn!(target: "xds", %reason, "a response was refused");
                Some(*request)
            }
            Received::Ignored(what) => {
                tracing::warn!(target: "xds", %what, "ignored");
                None
            }
        }
    }

    fn obey(&mut self, command: Command) -> Option<DeltaDiscoveryRequest> {
        match command {
            Command::Judge(ticket, verdict) => self.subscription.judge(&ticket, &verdict),
            Command::Subscribe(kind, names) => self.subscription.subscribe(kind, names),
            Command::Again(kind, names) => self.subscription.again(kind, names),
        }
    }

    /// Waits for something else and takes commands meanwhile, so that the proxy never waits for the network.
    /// There is no stream, so no command gives a request.
    async fn while_waiting<F: Future>(&mut self, other: F) -> F::Output {
        tokio::pin!(other);
        loop {
            tokio::select! {
                output = &mut other => return output,
                Some(command) = self.commands.recv() => {
                    self.obey(command);
                }
            }
        }
    }
}

fn describe(status: &tonic::Status) -> String {
    let cause = std::error::Error::source(status).map(|source| format!(" ({})", root_cause(source)));
    format!(
        "{:?}: {}{}",
        status.code(),
        status.message(),
        cause.unwrap_or_default()
    )
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}
