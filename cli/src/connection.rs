//! Which API server a verb talks to, and in which namespace.

use std::path::PathBuf;

use clap::Args;
use outrigger_client::HttpClient;
use outrigger_client::token::MeshToken;

use crate::failure::{Failure, chain, warn};
use crate::kubeconfig::Kubeconfig;

/// Where an API server is looked for when neither a flag nor a kubeconfig names one.
pub(crate) const DEFAULT_SERVER: &str = "http://127.0.0.1:8080";

/// Flags that every verb against the API server takes.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Connection {
    /// Address of the config API server [default: the current kubeconfig context, else http://127.0.0.1:8080]
    #[arg(
        long,
        global = true,
        env = "OUTRIGGER_SERVER",
        value_name = "URL",
        help_heading = "Connection"
    )]
    pub(crate) server: Option<String>,
    /// File with the mesh token, for servers that ask for one
    #[arg(
        long,
        global = true,
        env = "OUTRIGGER_TOKEN_FILE",
        value_name = "FILE",
        help_heading = "Connection"
    )]
    pub(crate) token_file: Option<PathBuf>,
    /// kubeconfig file [default: $KUBECONFIG, else ~/.kube/config]
    #[arg(
        short = 'c',
        long,
        global = true,
        value_name = "FILE",
        help_heading = "Connection"
    )]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Namespace of the objects [default: the object's own, else the context's, else default]
    #[arg(
        short = 'n',
        long,
        global = true,
        value_name = "NAME",
        help_heading = "Connection"
    )]
    pub(crate) namespace: Option<String>,
    /// Namespace of the control plane; accepted because existing scripts pass it
    #[arg(
        short = 'i',
        long = "istioNamespace",
        global = true,
        value_name = "NAME",
        hide = true
    )]
    pub(crate) istio_namespace: Option<String>,
    /// Platform; accepted because existing scripts pass it
    #[arg(short = 'p', long, global = true, value_name = "NAME", hide = true)]
    pub(crate) platform: Option<String>,
}

impl Connection {
    /// The address to use and where it was said.
    pub(crate) fn server(&self) -> Result<String, Failure> {
        if let Some(platform) = self.platform.as_deref().filter(|platform| *platform != "kube") {
            warn(format!("Platform '{platform}' not supported."));
        }
        if let Some(server) = &self.server {
            return address_of_server(server, "--server");
        }
        let path = Kubeconfig::default_path(self.kubeconfig.as_deref());
        if self.kubeconfig.is_some() && !path.exists() {
            return Err(Failure::one(format!(
                "kubeconfig {} does not exist",
                path.display()
            )));
        }
        match Kubeconfig::read(&path)?.server()? {
            Some(server) => address_of_server(&server, &path.display().to_string()),
            None => Ok(DEFAULT_SERVER.to_owned()),
        }
    }

    /// A client for that server.
    pub(crate) fn client(&self) -> Result<HttpClient, Failure> {
        let token = self.token()?;
        HttpClient::new(&self.server()?, token.as_ref()).map_err(|error| Failure::one(error.to_string()))
    }

    /// The mesh token, if a file with one was named.
    pub(crate) fn token(&self) -> Result<Option<MeshToken>, Failure> {
        let read = self.token_file.as_deref().map(MeshToken::from_file);
        read.transpose().map_err(|error| Failure::one(chain(&error)))
    }

    /// The namespace for objects that name none.
    pub(crate) fn default_namespace(&self) -> Result<String, Failure> {
        if let Some(namespace) = &self.namespace {
            return Ok(namespace.clone());
        }
        let path = Kubeconfig::default_path(self.kubeconfig.as_deref());
        Ok(Kubeconfig::read(&path)?
            .namespace()
            .unwrap_or_else(|| "default".to_owned()))
    }
}

/// The address of an API server, as somebody wrote it at `origin`.
pub(crate) fn address_of_server(server: &str, origin: &str) -> Result<String, Failure> {
    match reqwest::Url::parse(server) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {
            Ok(server.trim_end_matches('/').to_owned())
        }
        _ => Err(Failure::Usage(format!(
            "{origin}: {server:?} is not the address of an API server; expected something like {DEFAULT_SERVER}"
        ))),
    }
}
