//! `outrigger serve`: the whole control plane in one process.
//!
//! The parts are joined by the traits that separate processes would join by network: pilot reads rules through
//! `ConfigSource`, which the API server implements in process.

mod registries;
pub(crate) mod settings;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use outrigger_api::resource::Resource;
use outrigger_apiserver::{Advisor, ApiServer, Options};
use outrigger_client::token::{Access, MeshToken, check_bind};
use outrigger_pilot::advice::Advice;
use outrigger_pilot::pilot::{BindError, Pilot, Settings, Sources};
use outrigger_registry::Aggregate;
use tokio::sync::watch;

use crate::failure::{Failure, chain};
use crate::roles::{descriptors, follow_parent, listen, logging::Logging, stop_signal, taken};
use settings::{Resolved, Written};

/// Run the control plane: config API, registries and pilot
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  outrigger serve --registries static --static-services services.yaml
  outrigger serve --registries consul --consul-server-url http://127.0.0.1:8500
  outrigger serve --config serve.yaml
Every flag can stand in the file, or in the environment as OUTRIGGER_SERVE_DATA_DIR and so on.")]
pub(crate) struct ServeArgs {
    /// Settings file: .toml, .yaml or .json, with the names of the flags and _ for -
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    written: Written,
    #[command(flatten)]
    logging: Logging,
}

/// Serves until it is told to stop. Every port is bound before anything is served, so that a taken one ends the start.
pub(crate) async fn run(args: ServeArgs) -> Result<(), Failure> {
    let settings = Written::layered(&args.written, args.config.as_deref())
        .map_err(|error| Failure::Usage(chain(error.as_ref())))?
        .resolve()?;
    args.logging.start()?;
    follow_parent()?;
    descriptors::raise();
    let stopped = stop_signal()?;
    let access = access(&settings)?;

    check_bind(settings.api_address, &access).map_err(|error| Failure::one(error.to_string()))?;
    let api_listener = listen(settings.api_address, "config API", "--api-address").await?;
    let directory = settings.data_dir.clone();
    let api = tokio::task::spawn_blocking(move || ApiServer::open(&directory, Options::default()))
        .await
        .context("opening the store was cut short")?
        .map_err(|error| Failure::one(chain(&error)))?;
    let advice = Advice::default();
    api.set_advisor(Arc::new(FromPilot(advice.clone())));

    let handles = registries::start(&settings)?;
    let store = Arc::new(api.clone());
    let sources = Sources {
        config: store.clone(),
        store: Some(store),
        registries: Aggregate::start(handles),
        advice,
    };
    let pilot = Pilot::bind(pilot_settings(&settings, access.clone()), sources)
        .await
        .map_err(|error| not_bound(error, &settings))?;
    let api_address = api_listener
        .local_addr()
        .context("the config API's port has no address")?;
    tracing::info!(api = %api_address, xds = %pilot.xds, http = %pilot.http, monitoring = %pilot.monitoring, "serving");

    let (stop, stopping) = watch::channel(false);
    let until_stopped = |mut stopping: watch::Receiver<bool>| async move {
        // A sender that is gone means the same.
        let _ = stopping.wait_for(|stop| *stop).await;
    };
    let api_ends = api.serve(api_listener, access, until_stopped(stopping.clone()));
    let pilot_ends = pilot.run(until_stopped(stopping));
    let signal = async {
        stopped.await;
        stop.send_replace(true);
    };
    let (api_ended, pilot_ended, ()) = tokio::join!(api_ends, pilot_ends, signal);
    api_ended.map_err(|error| Failure::one(chain(&error)))?;
    pilot_ended.map_err(|error| Failure::one(chain(&error)))
}

fn not_bound(error: BindError, settings: &Resolved) -> Failure {
    match error {
        BindError::Taken {
            address,
            what,
            reason,
        } => {
            let flag = match address {
                address if address == settings.grpc_address => "--grpc-address",
                address if address == settings.http_address => "--http-address",
                _ => "--monitoring-address",
            };
            taken(address, what, flag, reason)
        }
        other => Failure::one(chain(&other)),
    }
}

fn access(settings: &Resolved) -> Result<Access, Failure> {
    match &settings.token_file {
        Some(file) => MeshToken::from_file(file)
            .map(Access::Token)
            .map_err(|error| Failure::one(chain(&error))),
        None if settings.allow_anonymous => Ok(Access::Anonymous),
        None => Ok(Access::Loopback),
    }
}

fn pilot_settings(settings: &Resolved, access: Access) -> Settings {
    Settings {
        xds: settings.grpc_address,
        http: settings.http_address,
        monitoring: settings.monitoring_address,
        access,
        short_names: registries::short_names(settings),
        registry_grace: settings.registry_grace,
        ..Settings::default()
    }
}

/// Pilot knows what the registries have; the API server tells its clients.
struct FromPilot(Advice);

impl Advisor for FromPilot {
    fn advise(&self, resource: &Resource) -> Vec<String> {
        self.0.advise(resource)
    }
}
