//! A small mesh for bars: a service `echo.mesh` in three versions, each behind a sidecar, and a caller's sidecar with
//! explicit upstreams. Everything is a process of the product but the backends, which live in this one.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result};
use outrigger_api::document::{self, Options};
use outrigger_api::resource::Resource;
use outrigger_client::HttpClient;
use outrigger_testkit::backend::{Backend, Post};
use outrigger_testkit::load::Mix;
use tempfile::TempDir;

use crate::control_plane::{self, ADS_PORT, API_PORT, PILOT_PORT};
use crate::network::Network;
use crate::process::Process;

/// The Host that callers use.
pub const HOST: &str = "echo.mesh:9080";

/// Port of a sidecar's metrics and of its `/ready`.
const METRICS_PORT: u16 = 15020;

/// A running mesh.
pub struct EchoMesh {
    network: Network,
    folder: TempDir,
    client: reqwest::Client,
    control: Option<Process>,
    sidecars: Vec<Process>,
    backends: Vec<Backend>,
}

impl EchoMesh {
    /// Starts everything on loopback addresses `A.B.C.x`, so that meshes of different networks can run side by side.
    pub async fn start(network: [u8; 3]) -> Result<EchoMesh> {
        let network = Network::claim(network)?;
        let folder = tempfile::tempdir()?;
        let client = reqwest::Client::builder().no_proxy().build()?;
        let mut mesh = EchoMesh {
            network,
            folder,
            client,
            control: None,
            sidecars: Vec::new(),
            backends: Vec::new(),
        };
        std::fs::write(mesh.folder.path().join("services.yaml"), mesh.services())?;
        mesh.start_control_plane().await?;
        for number in 1..=3 {
            let address = mesh.address(number);
            let (http, tcp) = (
                SocketAddr::from((address, 19080)),
                SocketAddr::from((address, 19090)),
            );
            mesh.backends
                .push(Backend::start(&format!("v{number}"), http, tcp).await?);
            let inbound = format!("9080={http},9070={http}/grpc,9090={tcp}/tcp");
            mesh.sidecar(number, &format!("echo-v{number}"), &["--inbound", &inbound])
                .await?;
        }
        let caller = mesh.address(100);
        let http = format!("echo.mesh:9080={caller}:9080");
        let grpc = format!("echo.mesh:9070={caller}:9070");
        let tcp = format!("echo.mesh:9090={caller}:9090");
        mesh.sidecar(
            100,
            "caller",
            &["--upstream", &http, "--upstream", &grpc, "--upstream", &tcp],
        )
        .await?;
        Ok(mesh)
    }

    /// Starts the control plane, on the store that is there.
    pub async fn start_control_plane(&mut self) -> Result<()> {
        let control = self.control_address();
        let folder = self.folder.path();
        let services = folder.join("services.yaml").display().to_string();
        let mut args = control_plane::arguments(control, &folder.join("store"));
        args.extend(
            [
                "--registries",
                "static",
                "--static-services",
                &services,
                "--domain",
                "mesh",
            ]
            .map(str::to_owned),
        );
        let mut process = Process::start("control-plane", &args, folder, (control, PILOT_PORT).into())?;
        process
            .wait_until_ready(&self.client, &format!("http://{control}:{PILOT_PORT}/ready"))
            .await?;
        self.control = Some(process);
        Ok(())
    }

    /// Kills the control plane, as a crash would.
    pub fn kill_control_plane(&mut self) -> Result<()> {
        self.control
            .take()
            .context("the control plane does not run")?
            .kill();
        Ok(())
    }

    async fn sidecar(&mut self, number: u8, id: &str, more: &[&str]) -> Result<()> {
        let address = self.address(number);
        let discovery = format!("{}:{ADS_PORT}", self.control_address());
        let mut args: Vec<String> = [
            "proxy",
            "sidecar",
            "--id",
            id,
            "--service",
            "echo",
            "--domain",
            "mesh",
        ]
        .map(str::to_owned)
        .into();
        args.extend([
            "--address".to_owned(),
            address.to_string(),
            "--discovery-address".to_owned(),
            discovery,
        ]);
        args.extend(["--outbound-virtual".to_owned(), "off".to_owned()]);
        args.extend(more.iter().map(|word| (*word).to_owned()));
        let mut process = Process::start(id, &args, self.folder.path(), (address, METRICS_PORT).into())?;
        process
            .wait_until_ready(&self.client, &format!("http://{address}:{METRICS_PORT}/ready"))
            .await?;
        self.sidecars.push(process);
        Ok(())
    }

    /// Client of the config API.
    pub fn config(&self) -> Result<HttpClient> {
        Ok(HttpClient::new(
            &format!("http://{}:{API_PORT}", self.control_address()),
            None,
        )?)
    }

    /// L1 through the caller's sidecar.
    pub fn l1(&self) -> Mix {
        let caller = self.address(100);
        let port = |port: u16| SocketAddr::from((caller, port));
        Mix::l1(port(9080), HOST, port(9070), port(9090))
    }

    /// The POST requests that all versions together saw.
    pub fn posts(&self) -> Vec<Post> {
        self.backends.iter().flat_map(Backend::posts).collect()
    }

    /// What the caller's sidecar runs, as its admin page tells it.
    pub async fn caller_config(&self) -> Result<String> {
        let url = format!("http://{}:15000/config_dump", self.address(100));
        Ok(self
            .client
            .get(url)
            .timeout(Duration::from_secs(5))
            .send()
            .await?
            .error_for_status()?
            .text()
            .await?)
    }

    /// Stops everything in order; every process must end well.
    pub async fn stop(mut self) -> Result<()> {
        while let Some(sidecar) = self.sidecars.pop() {
            sidecar.stop().await?;
        }
        match self.control.take() {
            Some(control) => control.stop().await,
            None => Ok(()),
        }
    }

    fn address(&self, last: u8) -> Ipv4Addr {
        self.network.address(last)
    }

    fn control_address(&self) -> Ipv4Addr {
        self.address(254)
    }

    fn services(&self) -> String {
        let mut text = String::from(
            "- host: echo.mesh\n  ports:\n  - {name: http, port: 9080, protocol: http}\n  - {name: grpc, port: 9070, \
             protocol: grpc}\n  - {name: tcp, port: 9090, protocol: tcp}\n  instances:\n",
        );
        for number in 1..=3 {
            text.push_str(&format!(
                "  - {{address: {}, ports: {{http: 9080, grpc: 9070, tcp: 9090}}, labels: {{version: v{number}}}}}\n",
                self.address(number)
            ));
        }
        text
    }
}

/// A RouteRule that sends everything for `echo.mesh` to one version.
pub fn route_to(version: &str) -> Result<Resource> {
    let text = format!(
        "apiVersion: config.istio.io/v1alpha2\nkind: RouteRule\nmetadata: {{name: echo}}\n\
         spec: {{destination: {{service: echo.mesh}}, route: [{{labels: {{version: {version}}}}}]}}\n"
    );
    let parsed = document::parse_body(text.as_bytes(), &Options::default());
    parsed
        .map(|parsed| parsed.resource)
        .map_err(|problems| anyhow::anyhow!("{problems:?}"))
}
