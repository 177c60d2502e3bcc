//! A control plane with 100 services in a static registry, as a process of its own on the measured core.

use std::ffi::OsString;
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use outrigger_client::HttpClient;
use tokio::time::sleep;

use crate::contender::Rig;
use crate::mesh_table::{self, PORT, SERVICES, SUBSETS};
use crate::process::{Launch, Running};
use crate::{interrupt, ports};

/// How long the control plane may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A control plane that runs until it is dropped.
#[derive(Debug)]
pub(super) struct ControlPlane {
    process: Running,
    api: SocketAddr,
    xds: SocketAddr,
}

impl ControlPlane {
    /// Starts it, and waits until its API answers.
    pub(super) async fn start(rig: &Rig<'_>) -> Result<ControlPlane> {
        let folder = rig.folder().join("serve");
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let (api, xds) = (ports::free()?, ports::free()?);
        let mut args: Vec<OsString> = ["serve", "--registries", "static", "--domain", "mesh"]
            .map(Into::into)
            .into();
        args.extend(["--static-services".into(), services(&folder)?]);
        args.extend(["--data-dir".into(), folder.join("store").into()]);
        let addresses = [
            ("--api-address", api),
            ("--grpc-address", xds),
            ("--http-address", ports::free()?),
            ("--monitoring-address", ports::free()?),
        ];
        args.extend(
            addresses
                .into_iter()
                .flat_map(|(flag, address)| [flag.into(), address.to_string().into()]),
        );
        let launch = Launch {
            name: "serve".to_owned(),
            program: rig.outrigger()?,
            args,
        };
        let process = Running::start(&launch, rig.cores(), &folder)?;
        let mut control = ControlPlane { process, api, xds };
        control.wait_for_api().await?;
        Ok(control)
    }

    async fn wait_for_api(&mut self) -> Result<()> {
        let client = self.api()?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            interrupt::check()?;
            self.process.must_be_running()?;
            match client.server_version().await {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > deadline => {
                    return Err(
                        self.explain(anyhow::Error::new(error).context("the config API does not answer"))
                    );
                }
                Err(_) => sleep(Duration::from_millis(10)).await,
            }
        }
    }

    /// A client of its config API.
    pub(super) fn api(&self) -> Result<HttpClient> {
        Ok(HttpClient::new(&format!("http://{}", self.api), None)?)
    }

    /// Where proxies connect.
    pub(super) fn xds(&self) -> SocketAddr {
        self.xds
    }

    /// The process id.
    pub(super) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// An error with the last words of the control plane.
    pub(super) fn explain(&self, error: anyhow::Error) -> anyhow::Error {
        anyhow::anyhow!("{error:#}{}", self.process.last_words())
    }
}

/// Writes the services down; gives the file.
fn services(folder: &Path) -> Result<OsString> {
    let mut text = String::new();
    for service in 0..SERVICES {
        // Writing to a string does not fail.
        let _ = writeln!(text, "- host: {}", mesh_table::host(service));
        let _ = writeln!(text, "  ports: [{{name: http, port: {PORT}, protocol: http}}]");
        let _ = writeln!(text, "  instances:");
        for subset in 1..=SUBSETS {
            let _ = writeln!(
                text,
                "  - {{address: 10.20.{service}.{subset}, labels: {{version: v{subset}}}}}"
            );
        }
    }
    let path = folder.join("services.yaml");
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path.into())
}
