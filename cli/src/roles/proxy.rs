//! `outrigger proxy`: a sidecar beside one workload, or a gateway at the mesh's edge.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use outrigger_client::token::MeshToken;
use outrigger_proxy::access_log::{Style, Target};
use outrigger_proxy::control::Source;
use outrigger_proxy::control::bootstrap::Bootstrap;
use outrigger_proxy::plane::PlaneSettings;
use outrigger_proxy::{Proxy, Settings};
use outrigger_xds::{NodeInfo, client};
use serde_json::{Map, Value};
use tokio::runtime::Runtime;

use crate::failure::{Failure, chain};
use crate::roles::{descriptors, follow_parent, logging::Logging, stop_signals};

/// Run a sidecar or a gateway
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  outrigger proxy sidecar --address 10.0.0.7 --service reviews --inbound 9080=127.0.0.1:9080
  outrigger proxy sidecar --address 127.0.10.1 --service productpage --inbound 9080=127.0.10.1:19080 \\
      --http-proxy-port 15002 --outbound-virtual off
  outrigger proxy gateway --address 0.0.0.0 --labels istio=ingressgateway
  outrigger proxy gateway --address 127.0.0.1 --static envoy-bootstrap.yaml")]
pub(crate) struct ProxyArgs {
    /// What this proxy is; `router` is another word for gateway
    #[arg(value_enum, default_value = "sidecar")]
    role: ProxyRole,
    /// Address that the workload owns, or that the gateway listens on
    #[arg(long, value_name = "IP")]
    address: IpAddr,
    /// Name of the workload, as its registry knows it [default: SERVICE-ADDRESS]
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Service that the workload belongs to
    #[arg(
        long,
        visible_alias = "serviceCluster",
        value_name = "NAME",
        default_value = "istio-proxy"
    )]
    service: String,
    /// DNS suffix of the workload's neighbours: they can be called by the part before it
    #[arg(long, value_name = "NAME", default_value = "")]
    domain: String,
    /// PORT=APP-IP:PORT[/PROTOCOL]: what arrives at PORT goes to the application there; may be repeated
    #[arg(
        long,
        value_name = "PORT=IP:PORT",
        value_delimiter = ',',
        help_heading = "Traffic"
    )]
    inbound: Vec<String>,
    /// Port on which the application's outgoing HTTP is taken (HTTP_PROXY)
    #[arg(long, value_name = "PORT", help_heading = "Traffic")]
    http_proxy_port: Option<u16>,
    /// Listen on the virtual address of every service: on, or off where several sidecars share a host
    #[arg(long, value_name = "on|off", default_value = "on", value_parser = ["on", "off"], help_heading = "Traffic")]
    outbound_virtual: String,
    /// HOST:PORT=IP:PORT: an upstream with an address of its own; may be repeated
    #[arg(
        long = "upstream",
        value_name = "HOST:PORT=IP:PORT",
        value_delimiter = ',',
        help_heading = "Traffic"
    )]
    upstreams: Vec<String>,
    /// KEY=VALUE: labels of the workload, for rules and gateways; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_delimiter = ',')]
    labels: Vec<String>,
    /// Namespace of the workload
    #[arg(long, value_name = "NAME", default_value = "default")]
    namespace: String,
    /// http1: speak HTTP/1.1 between sidecars, for debugging
    #[arg(long, value_name = "NAME", value_parser = ["http1", "h2"], default_value = "h2", help_heading = "Traffic")]
    mesh_protocol: String,
    /// Pilot's xDS address
    #[arg(
        long,
        visible_alias = "discoveryAddress",
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:15010"
    )]
    discovery_address: String,
    /// File with the mesh token, for a pilot that asks for one
    #[arg(long, env = "OUTRIGGER_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Take the configuration from a file in place of pilot (static_resources of an Envoy bootstrap)
    #[arg(long = "static", value_name = "FILE", conflicts_with_all = ["token_file", "inbound", "upstreams"])]
    bootstrap: Option<PathBuf>,
    /// Worker threads [default: 1 for a sidecar, one per core for a gateway]
    #[arg(long, visible_alias = "concurrency", value_name = "N")]
    workers: Option<usize>,
    /// Port of the admin pages
    #[arg(
        long,
        visible_alias = "proxyAdminPort",
        value_name = "PORT",
        default_value = "15000"
    )]
    admin_port: u16,
    /// Port of /stats/prometheus and /ready
    #[arg(
        long,
        visible_alias = "statusPort",
        value_name = "PORT",
        default_value = "15020"
    )]
    metrics_port: u16,
    /// Access log: off, - for standard output, or a file
    #[arg(long, value_name = "FILE", default_value = "off", help_heading = "Logging")]
    access_log: String,
    /// Form of access log lines
    #[arg(long, value_enum, default_value = "text", help_heading = "Logging")]
    access_log_format: LogForm,
    /// How long connections may take to finish after TERM
    #[arg(long, visible_alias = "drainDuration", value_name = "DURATION", default_value = "45s", value_parser = duration)]
    drain: Duration,
    #[command(flatten)]
    logging: Logging,
}

/// What a proxy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ProxyRole {
    /// Beside one workload.
    Sidecar,
    /// At the mesh's edge.
    #[value(alias = "router")]
    Gateway,
}

/// Form of access log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogForm {
    /// Envoy's default line.
    Text,
    /// One JSON object a line.
    Json,
}

fn duration(text: &str) -> Result<Duration, String> {
    outrigger_api::duration::parse(text).map_err(|error| error.to_string())
}

/// Proxies until it is told to stop, then drains. The proxy brings threads of its own; `waiting` only waits.
pub(crate) fn run(args: &ProxyArgs, waiting: &Runtime) -> Result<(), Failure> {
    let settings = args.settings()?;
    args.logging.start()?;
    follow_parent()?;
    descriptors::raise();
    let proxy = Proxy::start(settings).map_err(|error| Failure::one(chain(&error)))?;
    waiting.block_on(async {
        let (stop, force) = stop_signals()?;
        proxy.serve(stop, force).await;
        Ok(())
    })
}

impl ProxyArgs {
    /// What the flags mean.
    fn settings(&self) -> Result<Settings, Failure> {
        let (source, node_id) = match &self.bootstrap {
            Some(file) => {
                let bootstrap = Bootstrap::read(file).map_err(|error| Failure::one(chain(&error)))?;
                (Source::Static(Box::new(bootstrap)), String::new())
            }
            None => {
                let token = self.token_file.as_deref().map(MeshToken::from_file).transpose();
                let token = token.map_err(|error| Failure::one(chain(&error)))?;
                let node = self.node()?;
                let mut settings = client::Settings::new(self.discovery_address.clone());
                settings.token = token.map(|token| token.secret().to_owned());
                let node_id = node.id().to_owned();
                (
                    Source::Xds {
                        settings: Box::new(settings),
                        node: Box::new(node),
                    },
                    node_id,
                )
            }
        };
        let workers = self.workers.unwrap_or_else(|| match self.role {
            ProxyRole::Sidecar => 1,
            ProxyRole::Gateway => std::thread::available_parallelism().map_or(1, usize::from),
        });
        Ok(Settings {
            source,
            node_id,
            plane: PlaneSettings {
                workers,
                mesh_http2: self.mesh_protocol == "h2",
                access_log: match self.access_log.as_str() {
                    "off" => Target::Off,
                    "-" => Target::Stdout,
                    file => Target::File(PathBuf::from(file)),
                },
                log_style: match self.access_log_format {
                    LogForm::Text => Style::Text,
                    LogForm::Json => Style::Json,
                },
                ..PlaneSettings::default()
            },
            admin: SocketAddr::new(self.address, self.admin_port),
            metrics: SocketAddr::new(self.address, self.metrics_port),
            drain: self.drain,
        })
    }

    /// Who this proxy says it is; every mistake in the flags is in the error.
    fn node(&self) -> Result<NodeInfo, Failure> {
        let mut mistakes = Vec::new();
        mistakes.extend(
            self.inbound
                .iter()
                .filter_map(|entry| check_inbound(entry, self.address).err()),
        );
        mistakes.extend(
            self.upstreams
                .iter()
                .filter_map(|entry| check_upstream(entry).err()),
        );
        let labels: BTreeMap<&str, &str> = self
            .labels
            .iter()
            .filter_map(|pair| {
                let split = pair.split_once('=');
                if split.is_none() {
                    mistakes.push(format!("--labels {pair:?} is not KEY=VALUE"));
                }
                split
            })
            .collect();
        if !mistakes.is_empty() {
            return Err(Failure::Usage(mistakes.join("\n       ")));
        }
        let role = match self.role {
            ProxyRole::Sidecar => "sidecar",
            ProxyRole::Gateway => "router",
        };
        let workload = self
            .id
            .clone()
            .unwrap_or_else(|| format!("{}-{}", self.service, self.address));
        let id = format!("{role}~{}~{workload}~{}", self.address, self.domain);
        let mut node = NodeInfo::from_id(&id).map_err(|error| Failure::Usage(error.to_string()))?;
        node.cluster.clone_from(&self.service);
        node.user_agent_name = "outrigger".to_owned();
        node.user_agent_version = env!("CARGO_PKG_VERSION").to_owned();
        node.metadata = self.metadata(&labels);
        Ok(node)
    }

    fn metadata(&self, labels: &BTreeMap<&str, &str>) -> Map<String, Value> {
        let mut metadata = Map::new();
        let mut put = |key: &str, value: String| {
            if !value.is_empty() {
                metadata.insert(key.to_owned(), Value::String(value));
            }
        };
        put("INBOUND", self.inbound.join(","));
        put("OUTBOUND", self.upstreams.join(","));
        put(
            "HTTP_PROXY_PORT",
            self.http_proxy_port
                .map(|port| port.to_string())
                .unwrap_or_default(),
        );
        put("OUTBOUND_VIRTUAL", self.outbound_virtual.clone());
        put("NAMESPACE", self.namespace.clone());
        put(
            "MESH_PROTOCOL",
            if self.mesh_protocol == "http1" {
                "http1".to_owned()
            } else {
                String::new()
            },
        );
        let labels: Vec<String> = labels
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        put("LABELS", labels.join(","));
        metadata
    }
}

/// `9080=127.0.0.1:19080` or `9090=127.0.0.1:19090/tcp`.
fn check_inbound(entry: &str, own: IpAddr) -> Result<(), String> {
    let wrong =
        || format!("--inbound {entry:?} is not PORT=IP:PORT[/PROTOCOL], such as 9080=127.0.0.1:19080");
    let (port, app) = entry.split_once('=').ok_or_else(wrong)?;
    let (address, protocol) = app
        .split_once('/')
        .map_or((app, None), |(address, name)| (address, Some(name)));
    let port = port
        .parse::<u16>()
        .ok()
        .filter(|port| *port != 0)
        .ok_or_else(wrong)?;
    let address: SocketAddr = address.parse().map_err(|_| wrong())?;
    if address == SocketAddr::new(own, port) {
        return Err(format!(
            "--inbound {entry:?}: the sidecar itself listens on {address}; let the application listen elsewhere"
        ));
    }
    match protocol.map(str::parse::<outrigger_api::model::Protocol>) {
        Some(Err(error)) => Err(format!("--inbound {entry:?}: {error}")),
        _ => Ok(()),
    }
}

/// `ratings.mesh:9080=127.0.0.1:9080`.
fn check_upstream(entry: &str) -> Result<(), String> {
    let wrong =
        || format!("--upstream {entry:?} is not HOST:PORT=IP:PORT, such as ratings.mesh:9080=127.0.0.1:9080");
    let (service, bind) = entry.split_once('=').ok_or_else(wrong)?;
    let (host, port) = service.rsplit_once(':').ok_or_else(wrong)?;
    if host.is_empty() || port.parse::<u16>().is_err() || bind.parse::<SocketAddr>().is_err() {
        return Err(wrong());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        proxy: ProxyArgs,
    }

    fn node(words: &[&str]) -> Result<NodeInfo, Failure> {
        let all = [
            "proxy",
            "sidecar",
            "--address",
            "127.0.0.9",
            "--service",
            "reviews",
        ]
        .iter()
        .chain(words);
        Only::try_parse_from(all).unwrap().proxy.node()
    }

    #[test]
    fn the_flags_become_the_node_that_pilot_reads() {
        let node = node(&[
            "--inbound",
            "9080=127.0.0.1:19080",
            "--labels",
            "app=reviews,version=v2",
        ])
        .unwrap();

        assert_eq!(node.id(), "sidecar~127.0.0.9~reviews-127.0.0.9~");
        assert_eq!(node.metadata["INBOUND"], "9080=127.0.0.1:19080");
        assert_eq!(node.metadata["LABELS"], "app=reviews,version=v2");
        assert!(!node.metadata.contains_key("OUTBOUND"));
    }

    #[test]
    fn every_wrong_flag_is_told_at_once() {
        let refused = node(&["--inbound", "x=1", "--upstream", "a", "--labels", "b"]);

        let Err(Failure::Usage(text)) = refused else {
            panic!("accepted")
        };
        for part in ["--inbound \"x=1\"", "--upstream \"a\"", "--labels \"b\""] {
            assert!(text.contains(part), "{text}");
        }
    }
}
