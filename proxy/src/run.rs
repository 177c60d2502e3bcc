//! The whole proxy: start it, serve, drain, say how it ended.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::admin::{Admin, View};
use crate::control::{BindError, Control, Life, Source};
use crate::listen;
use crate::plane::{Plane, PlaneSettings};
use crate::table::{Current, Table};

/// How often the open connections are looked at while they drain.
const LOOK: Duration = Duration::from_millis(20);

/// What a proxy is started with.
#[derive(Debug)]
pub struct Settings {
    /// Workers, access log and the like.
    pub plane: PlaneSettings,
    /// Where the configuration comes from.
    pub source: Source,
    /// Where the admin pages are served, conventionally port 15000 of the node's own address.
    pub admin: SocketAddr,
    /// Where metrics and `/ready` are served, conventionally port 15020.
    pub metrics: SocketAddr,
    /// How long connections may go on after the proxy was asked to stop; 45 s unless told otherwise.
    pub drain: Duration,
    /// The node id, as the admin pages show it; blank with a static configuration.
    pub node_id: String,
}

impl Settings {
    /// The time that connections have to end in, unless told otherwise.
    pub const DRAIN: Duration = Duration::from_secs(45);
}

/// Why a proxy could not start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The admin or the metrics port.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The configuration.
    #[error(transparent)]
    Control(#[from] crate::control::StartError),
    /// Threads, sockets or the access log.
    #[error("cannot start the {part}")]
    System {
        /// Which part: `workers`, `admin server`.
        part: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// How a proxy ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Connections that were still open and were cut off.
    pub cut: usize,
    /// Somebody was not willing to wait for the drain.
    pub forced: bool,
}

/// A running proxy, with every port it was told of bound.
#[derive(Debug)]
pub struct Proxy {
    plane: Plane,
    control: Control,
    admin: Admin,
    current: Arc<Current>,
    life: Arc<Life>,
    drain: Duration,
}

impl Proxy {
    /// Binds the admin ports and starts every thread. Listeners come with the configuration.
    ///
    /// # Errors
    /// [`RunError`]; nothing is left running.
    pub fn start(settings: Settings) -> Result<Proxy, RunError> {
        let Settings {
            plane,
            source,
            admin,
            metrics,
            drain,
            node_id,
        } = settings;
        let sockets: [TcpListener; 2] = [listen::bind(admin)?, listen::bind(metrics)?];
        let [admin, metrics] = sockets;
        let workers = plane.workers.max(1);
        let current = Current::new(Table::default());
        let life = Life::new("the first configuration");
        let started = Instant::now();
        let system = |part| move |source| RunError::System { part, source };

        let (plane, ports) = Plane::start(&plane, &current, &life).map_err(system("workers"))?;
        let control = Control::start(
            source,
            workers,
            Arc::clone(&current),
            Box::new(ports),
            Arc::clone(&life),
        )?;
        let view = View {
            current: Arc::clone(&current),
            life: Arc::clone(&life),
            records: Arc::clone(control.records()),
            workers,
            node_id,
            started,
            dropped_lines: plane.dropped_lines(),
        };
        let admin = Admin::start(admin, metrics, view).map_err(system("admin server"))?;
        Ok(Proxy {
            plane,
            control,
            admin,
            current,
            life,
            drain,
        })
    }

    /// Where the admin pages are.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin.admin_address()
    }

    /// Where the metrics are.
    pub fn metrics_address(&self) -> SocketAddr {
        self.admin.metrics_address()
    }

    /// The configuration in force.
    pub fn current(&self) -> &Arc<Current> {
        &self.current
    }

    /// Starting, live or draining.
    pub fn life(&self) -> &Arc<Life> {
        &self.life
    }

    /// Serves until `stop` is ready or the admin page asks for the end; then drains, at most for the drain time or
    /// until `force` is ready.
    pub async fn serve(self, stop: impl Future<Output = ()>, force: impl Future<Output = ()>) -> Ended {
        tokio::select! {
            () = stop => {}
            () = self.life.quit_asked() => {}
        }
        let deadline = Instant::now() + self.drain;
        self.life.drain();
        tracing::info!(connections = self.plane.connections(), limit = ?self.drain, "draining");
        // With the control thread go the listening sockets; what waits in their queues is still accepted.
        self.control.stop();
        let forced = tokio::select! {
            () = force => true,
            () = drained(&self.plane, deadline) => false,
        };
        let cut = self.plane.finish(Instant::now());
        self.admin.stop();
        tracing::info!(cut, forced, "ended");
        Ended { cut, forced }
    }
}

/// Ends when no connection is open or the time is over.
async fn drained(plane: &Plane, deadline: Instant) {
    while plane.connections() > 0 && Instant::now() < deadline {
        tokio::time::sleep(LOOK).await;
    }
}

/// Starts a proxy and serves to its end.
///
/// # Errors
/// When it cannot start.
pub async fn run(
    settings: Settings,
    stop: impl Future<Output = ()>,
    force: impl Future<Output = ()>,
) -> Result<Ended, RunError> {
    Ok(Proxy::start(settings)?.serve(stop, force).await)
}
