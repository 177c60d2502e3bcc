//! The running pilot: binds its ports, then serves until told to stop.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use outrigger_api::host::ShortNames;
use outrigger_api::kind::Kind;
use outrigger_client::reflector::Reflector;
use outrigger_client::source::{ConfigSource, ConfigStore};
use outrigger_client::token::{Access, BindRefused, check_bind};
use outrigger_registry::aggregate::AggregateState;
use outrigger_xds::server::{AdsService, Settings as AdsSettings, serve};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::addresses::Addresses;
use crate::advice::Advice;
use crate::fleet::Fleet;
use crate::http::{Pages, router};
use crate::mesh::MeshSettings;
use crate::metrics::Metrics;
use crate::publish::{Changes, Publisher};
use crate::snapshot::Snapshot;

/// Streams that are taken in unless set.
const MOST_PROXIES: usize = 10_000;

/// How a pilot is set up. [`Settings::default`] is loopback on the documented ports.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where proxies connect. Default 127.0.0.1:15010; port 0 picks a free one.
    pub xds: SocketAddr,
    /// Debug pages and `/ready`. Default 127.0.0.1:15007.
    pub http: SocketAddr,
    /// The same pages again, where health checks and Prometheus look. Default 127.0.0.1:9093.
    pub monitoring: SocketAddr,
    /// How all of them are guarded. Default loopback.
    pub access: Access,
    /// What goes into every proxy's configuration.
    pub mesh: MeshSettings,
    /// How short names in rules become hosts. Default: they stand for themselves.
    pub short_names: ShortNames,
    /// How long registries that were never read are waited for, as long as one of them was. Default 10 s.
    pub registry_grace: Duration,
    /// Streams that are taken in at the same time. Default 10,000.
    pub most_proxies: usize,
    /// Limits of the xDS server.
    pub ads: AdsSettings,
    /// Namespace of the ServiceAddress objects. Default `default`.
    pub namespace: String,
}

impl Default for Settings {
    fn default() -> Self {
        let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Settings {
            xds: loopback(15010),
            http: loopback(15007),
            monitoring: loopback(9093),
            access: Access::Loopback,
            mesh: MeshSettings::default(),
            short_names: ShortNames::default(),
            registry_grace: Duration::from_secs(10),
            most_proxies: MOST_PROXIES,
            // Some more, so that a proxy that is one too many is told so instead of left waiting.
            ads: AdsSettings {
                connections: MOST_PROXIES + 500,
                ..AdsSettings::default()
            },
            namespace: "default".into(),
        }
    }
}

/// Where a pilot reads from.
#[derive(Clone)]
pub struct Sources {
    /// The rules.
    pub config: Arc<dyn ConfigSource>,
    /// Where virtual addresses are kept; without it they live in this process.
    pub store: Option<Arc<dyn ConfigStore>>,
    /// The registries, joined.
    pub registries: watch::Receiver<Arc<AggregateState>>,
    /// Is given every published snapshot, to advise those who write rules.
    pub advice: Advice,
}

/// A port cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// It would be open to strangers.
    #[error(transparent)]
    Refused(#[from] BindRefused),
    /// The system does not give it.
    #[error("cannot listen on {address} for {what}: {reason}; stop what holds it or choose another address")]
    Taken {
        /// The address.
        address: SocketAddr,
        /// What it is for.
        what: &'static str,
        /// What the system says.
        reason: io::Error,
    },
    /// Its real address is unknown.
    #[error("cannot tell the address of the port for {what}: {reason}")]
    Nameless {
        /// What it is for.
        what: &'static str,
        /// What the system says.
        reason: io::Error,
    },
}

/// Compiles and serves. See [`Pilot::bind`].
#[derive(Debug)]
pub struct Pilot;

/// A pilot whose ports are open, and which serves once it runs.
pub struct Bound {
    /// Where proxies connect, with the real port.
    pub xds: SocketAddr,
    /// Debug pages, with the real port.
    pub http: SocketAddr,
    /// The same pages, with the real port.
    pub monitoring: SocketAddr,
    listeners: [TcpListener; 3],
    settings: Settings,
    sources: Sources,
}

impl Pilot {
    /// Opens the ports. Must be called in a tokio runtime.
    ///
    /// # Errors
    /// When a port is taken, or would be open to other hosts without a token or an explicit permission.
    pub async fn bind(settings: Settings, sources: Sources) -> Result<Bound, BindError> {
        let (xds_listener, xds) = open(settings.xds, "xDS", &settings.access).await?;
        let (http_listener, http) = open(settings.http, "debug pages", &settings.access).await?;
        let (pages_listener, monitoring) = open(settings.monitoring, "monitoring", &settings.access).await?;
        let listeners = [xds_listener, http_listener, pages_listener];
        Ok(Bound {
            xds,
            http,
            monitoring,
            listeners,
            settings,
            sources,
        })
    }
}

async fn open(
    address: SocketAddr,
    what: &'static str,
    access: &Access,
) -> Result<(TcpListener, SocketAddr), BindError> {
    check_bind(address, access)?;
    let listener = TcpListener::bind(address)
        .await
        .map_err(|reason| BindError::Taken {
            address,
            what,
            reason,
        })?;
    let bound = listener
        .local_addr()
        .map_err(|reason| BindError::Nameless { what, reason })?;
    Ok((listener, bound))
}

/// How long what is being answered may take to end.
const DRAIN: Duration = Duration::from_secs(5);

impl Bound {
    /// Serves until `shutdown` resolves; then `/ready` says 503, every stream ends with `UNAVAILABLE`, so that
    /// proxies keep what they have and look for another pilot, and pages being answered get five seconds.
    ///
    /// # Errors
    /// When a server cannot run at all.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> io::Result<()> {
        let Bound {
            listeners: [xds, http, monitoring],
            settings,
            sources,
            ..
        } = self;
        let metrics = Metrics::default();
        let fleet = Fleet::new(settings.access.clone(), metrics.clone(), settings.most_proxies);
        let (config, _reflector) = Reflector::start(sources.config.clone(), &Kind::ALL);
        let (local, local_addresses) = watch::channel(Arc::new(BTreeMap::new()));
        let (published, snapshots) = watch::channel(Arc::new(Snapshot::default()));
        let publisher = Publisher {
            changes: Changes {
                config,
                registries: sources.registries.clone(),
                seen: Arc::default(),
                local_addresses,
                fleet: fleet.clone(),
            },
            mesh: Arc::new(settings.mesh),
            short_names: settings.short_names,
            grace: settings.registry_grace,
            metrics: metrics.clone(),
            advice: sources.advice,
            snapshots: published,
        };
        let addresses = Addresses {
            store: sources.store,
            namespace: settings.namespace,
            snapshots,
            local,
        };
        let pages = router(Pages {
            fleet: fleet.clone(),
            metrics,
            registries: sources.registries,
            access: settings.access,
        });
        // Dropped, and with it both tasks, when this function ends.
        let mut working = JoinSet::new();
        working.spawn(publisher.run());
        working.spawn(addresses.run());
        let (stop, stopped) = watch::channel(false);
        let mut serving = JoinSet::new();
        let service = AdsService::new(Arc::new(fleet.clone()), settings.ads);
        serving.spawn({
            let stopped = wait(stopped.clone());
            async move { serve(xds, service, stopped).await.map_err(io::Error::other) }
        });
        for listener in [http, monitoring] {
            let served = axum::serve(listener, pages.clone()).with_graceful_shutdown(wait(stopped.clone()));
            serving.spawn(served.into_future());
        }
        let ended = tokio::select! {
            () = shutdown => None,
            ended = serving.join_next() => ended,
        };
        fleet.stop();
        stop.send_replace(true);
        let drained = tokio::time::timeout(DRAIN, async { while serving.join_next().await.is_some() {} });
        if drained.await.is_err() {
            tracing::warn!(after = ?DRAIN, "connections were cut that had not ended");
        }
        match ended {
            None => Ok(()),
            Some(Ok(result)) => result,
            Some(Err(error)) => Err(io::Error::other(error)),
        }
    }
}

/// Resolves when told to stop, or when nobody is left to tell.
async fn wait(mut stopped: watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stopped| *stopped).await;
}
