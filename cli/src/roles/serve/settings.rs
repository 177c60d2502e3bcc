//! The settings of `serve` in two stages: as written (file, environment, flags), and as resolved.

mod layers;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// What was written, from whichever source was last: defaults, file, environment (`OUTRIGGER_SERVE_…`), flags.
/// Everything is text here, so that every mistake can be told together.
#[derive(Args, Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Written {
    /// Folder of the store [default: ./outrigger-data]
    #[arg(long, value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    data_dir: Option<String>,
    /// Where the config API listens [default: 127.0.0.1:8080]
    #[arg(long, value_name = "IP:PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    api_address: Option<String>,
    /// Where proxies connect (xDS) [default: 127.0.0.1:15010]
    #[arg(long, alias = "grpcAddr", value_name = "IP:PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    grpc_address: Option<String>,
    /// Pilot's /ready and /debug pages [default: 127.0.0.1:15007]
    #[arg(long, alias = "httpAddr", value_name = "IP:PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    http_address: Option<String>,
    /// Pilot's /metrics, and the pages once more [default: 127.0.0.1:9093]
    #[arg(long, alias = "monitoringAddr", value_name = "IP:PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    monitoring_address: Option<String>,
    /// Comma list of registries, first wins: static, consul [default: none]
    #[arg(long, alias = "registry", value_name = "LIST")]
    #[serde(skip_serializing_if = "Option::is_none")]
    registries: Option<String>,
    /// File or folder that the static registry watches
    #[arg(long, alias = "staticServices", value_name = "PATH")]
    #[serde(skip_serializing_if = "Option::is_none")]
    static_services: Option<String>,
    /// Address of a Consul agent [default: http://127.0.0.1:8500]
    #[arg(long, alias = "consulserverURL", value_name = "URL", help_heading = "Consul")]
    #[serde(skip_serializing_if = "Option::is_none")]
    consul_server_url: Option<String>,
    /// File with the Consul ACL token
    #[arg(long, alias = "consulTokenFile", value_name = "FILE", help_heading = "Consul")]
    #[serde(skip_serializing_if = "Option::is_none")]
    consul_token_file: Option<String>,
    /// CA certificates that Consul's certificate is checked against
    #[arg(long, alias = "consulCaFile", value_name = "FILE", help_heading = "Consul")]
    #[serde(skip_serializing_if = "Option::is_none")]
    consul_ca_file: Option<String>,
    /// Client certificate for Consul
    #[arg(long, alias = "consulCertFile", value_name = "FILE", help_heading = "Consul")]
    #[serde(skip_serializing_if = "Option::is_none")]
    consul_cert_file: Option<String>,
    /// Key of the client certificate for Consul
    #[arg(long, alias = "consulKeyFile", value_name = "FILE", help_heading = "Consul")]
    #[serde(skip_serializing_if = "Option::is_none")]
    consul_key_file: Option<String>,
    /// Comma list of Consul datacenters [default: the agent's]
    #[arg(
        long,
        alias = "consulDatacenters",
        value_name = "LIST",
        help_heading = "Consul"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    consul_datacenters: Option<String>,
    /// Protocol of Consul services that declare none [default: http]
    #[arg(
        long,
        alias = "consulDefaultProtocol",
        value_name = "NAME",
        help_heading = "Consul"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    consul_default_protocol: Option<String>,
    /// DNS suffix that short host names in rules are completed with [default: by registry]
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<String>,
    /// File with the mesh token that every caller of a control port must show
    // The flag of the same name that every verb has takes a path; they must agree.
    #[arg(long, env = "OUTRIGGER_TOKEN_FILE", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    token_file: Option<PathBuf>,
    /// true: control ports may listen beyond loopback without a token
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    #[serde(skip_serializing_if = "Option::is_none")]
    allow_anonymous: Option<String>,
    /// How long /ready waits for registries that do not answer [default: 10s]
    #[arg(long, value_name = "DURATION")]
    #[serde(skip_serializing_if = "Option::is_none")]
    registry_grace: Option<String>,
    /// What was written and is no setting, one sentence each.
    #[arg(skip)]
    #[serde(skip)]
    unknown: Vec<String>,
}

/// What it means: complete, and ready to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resolved {
    pub(crate) data_dir: PathBuf,
    pub(crate) api_address: SocketAddr,
    pub(crate) grpc_address: SocketAddr,
    pub(crate) http_address: SocketAddr,
    pub(crate) monitoring_address: SocketAddr,
    pub(crate) registries: Vec<RegistryChoice>,
    /// `None`: each registry's own suffix.
    pub(crate) domain: Option<String>,
    pub(crate) token_file: Option<PathBuf>,
    pub(crate) allow_anonymous: bool,
    pub(crate) registry_grace: Duration,
}

/// One registry with what it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RegistryChoice {
    /// Services listed in a file or a folder of files.
    Static(PathBuf),
    /// Services of a Consul.
    Consul(ConsulChoice),
}

/// How Consul is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConsulChoice {
    pub(crate) url: String,
    pub(crate) token_file: Option<PathBuf>,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) client_certificate: Option<(PathBuf, PathBuf)>,
    pub(crate) datacenters: Vec<String>,
    pub(crate) default_protocol: outrigger_api::model::Protocol,
}

impl Written {
    /// What it means. Every mistake is in the error.
    pub(crate) fn resolve(&self) -> Result<Resolved, Failure> {
        let mut mistakes = self.unknown.clone();
        let mut address = |name: &str, value: &Option<String>, default: &str| -> SocketAddr {
            let text = value.as_deref().unwrap_or(default);
            // `:8080` and `8080` mean loopback here: a wider bind is always spelled out.
            let complete = match text.strip_prefix(':').unwrap_or(text) {
                port if port.parse::<u16>().is_ok() => format!("127.0.0.1:{port}"),
                _ => text.to_owned(),
            };
            complete.parse().unwrap_or_else(|_| {
                mistakes.push(format!("{name}: {text:?} is not IP:PORT, such as {default}"));
                SocketAddr::from(([127, 0, 0, 1], 0))
            })
        };
        let api_address = address("api-address", &self.api_address, "127.0.0.1:8080");
        let grpc_address = address("grpc-address", &self.grpc_address, "127.0.0.1:15010");
        let http_address = address("http-address", &self.http_address, "127.0.0.1:15007");
        let monitoring_address = address("monitoring-address", &self.monitoring_address, "127.0.0.1:9093");
        let registries = self.registries(&mut mistakes);
        let allow_anonymous = match self.allow_anonymous.as_deref() {
            None | Some("false") => false,
            Some("true") => true,
            Some(other) => {
                mistakes.push(format!("allow-anonymous: {other:?} is neither true nor false"));
                false
            }
        };
        let grace = self.registry_grace.as_deref().unwrap_or("10s");
        let registry_grace = outrigger_api::duration::parse(grace).unwrap_or_else(|error| {
            mistakes.push(format!("registry-grace: {error}"));
            Duration::ZERO
        });
        if allow_anonymous && self.token_file.is_some() {
            mistakes.push("allow-anonymous and token-file exclude each other".to_owned());
        }
        if !mistakes.is_empty() {
            return Err(Failure::Usage(mistakes.join("\n       ")));
        }
        Ok(Resolved {
            data_dir: PathBuf::from(self.data_dir.as_deref().unwrap_or("outrigger-data")),
            api_address,
            grpc_address,
            http_address,
            monitoring_address,
            registries,
            domain: self.domain.clone(),
            token_file: self.token_file.clone(),
            allow_anonymous,
            registry_grace,
        })
    }

    fn registries(&self, mistakes: &mut Vec<String>) -> Vec<RegistryChoice> {
        let mut choices: Vec<RegistryChoice> = Vec::new();
        for name in list(self.registries.as_deref()) {
            let choice = match name.to_ascii_lowercase().as_str() {
                "static" => match &self.static_services {
                    Some(path) => RegistryChoice::Static(PathBuf::from(path)),
                    None => {
                        mistakes
                            .push("registries names static: say its file with static-services".to_owned());
                        continue;
                    }
                },
                "consul" => RegistryChoice::Consul(self.consul(mistakes)),
                _ => {
                    mistakes.push(format!(
                        "service registry {name} is not supported; expected static or consul"
                    ));
                    continue;
                }
            };
            if choices
                .iter()
                .any(|known| std::mem::discriminant(known) == std::mem::discriminant(&choice))
            {
                mistakes.push(format!("registries names {name} twice"));
            }
            choices.push(choice);
        }
        self.unused(&choices, mistakes);
        choices
    }

    /// Settings of a registry that is not among the chosen ones would be without effect.
    fn unused(&self, choices: &[RegistryChoice], mistakes: &mut Vec<String>) {
        let is_static = |choice: &RegistryChoice| matches!(choice, RegistryChoice::Static(_));
        if self.static_services.is_some() && !choices.iter().any(is_static) {
            mistakes.push("static-services is set, but registries does not name static".to_owned());
        }
        let consul = [
            ("consul-server-url", &self.consul_server_url),
            ("consul-token-file", &self.consul_token_file),
            ("consul-ca-file", &self.consul_ca_file),
            ("consul-cert-file", &self.consul_cert_file),
            ("consul-key-file", &self.consul_key_file),
            ("consul-datacenters", &self.consul_datacenters),
            ("consul-default-protocol", &self.consul_default_protocol),
        ];
        if choices.iter().all(is_static) {
            let set = consul.iter().filter(|(_, value)| value.is_some());
            mistakes
                .extend(set.map(|(name, _)| format!("{name} is set, but registries does not name consul")));
        }
    }

    fn consul(&self, mistakes: &mut Vec<String>) -> ConsulChoice {
        let default_protocol = self
            .consul_default_protocol
            .as_deref()
            .unwrap_or("http")
            .parse()
            .unwrap_or_else(|error| {
                mistakes.push(format!("consul-default-protocol: {error}"));
                outrigger_api::model::Protocol::Http
            });
        let client_certificate = match (&self.consul_cert_file, &self.consul_key_file) {
            (Some(certificate), Some(key)) => Some((PathBuf::from(certificate), PathBuf::from(key))),
            (None, None) => None,
            _ => {
                mistakes.push("consul-cert-file and consul-key-file go together".to_owned());
                None
            }
        };
        ConsulChoice {
            url: consul_url(
                self.consul_server_url
                    .as_deref()
                    .unwrap_or("http://127.0.0.1:8500"),
                mistakes,
            ),
            token_file: self.consul_token_file.as_ref().map(PathBuf::from),
            ca_file: self.consul_ca_file.as_ref().map(PathBuf::from),
            client_certificate,
            datacenters: list(self.consul_datacenters.as_deref())
                .map(str::to_owned)
                .collect(),
            default_protocol,
        }
    }
}

/// The address of a Consul agent; `host:port` alone means http.
fn consul_url(text: &str, mistakes: &mut Vec<String>) -> String {
    let complete = match text.contains("://") {
        true => text.to_owned(),
        false => format!("http://{text}"),
    };
    let usable = reqwest::Url::parse(&complete).is_ok_and(|url| {
        // Without a scheme only a port tells an address from any other word.
        matches!(url.scheme(), "http" | "https") && (text.contains("://") || text.contains(':'))
    });
    if !usable {
        mistakes.push(format!(
            "consul-server-url: {text:?} is not an address; expected something like http://127.0.0.1:8500"
        ));
    }
    complete
}

fn list(text: Option<&str>) -> impl Iterator<Item = &str> {
    text.unwrap_or_default()
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_written_means_loopback_and_no_registry() {
        let resolved = Written::default().resolve().unwrap();

        assert_eq!(resolved.api_address, "127.0.0.1:8080".parse().unwrap());
        assert!(resolved.registries.is_empty() && !resolved.allow_anonymous);
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let written = Written {
            api_address: Some("nowhere".into()),
            registries: Some("static,zookeeper".into()),
            consul_cert_file: Some("x".into()),
            allow_anonymous: Some("maybe".into()),
            ..Written::default()
        };

        let Err(Failure::Usage(text)) = written.resolve() else {
            panic!("it resolves")
        };

        for part in [
            "api-address",
            "static-services",
            "zookeeper is not supported",
            "neither true nor false",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn the_address_of_consul_is_checked_and_may_leave_out_http() {
        let mut mistakes = Vec::new();

        assert_eq!(
            consul_url("127.0.0.1:8500", &mut mistakes),
            "http://127.0.0.1:8500"
        );
        assert_eq!(consul_url("https://consul", &mut mistakes), "https://consul");
        assert!(mistakes.is_empty(), "{mistakes:?}");
        consul_url("nonsense", &mut mistakes);
        consul_url("ftp://consul", &mut mistakes);
        assert_eq!(mistakes.len(), 2);
    }

    #[test]
    fn a_bare_port_is_loopback() {
        let written = Written {
            grpc_address: Some(":15010".into()),
            ..Written::default()
        };

        assert_eq!(
            written.resolve().unwrap().grpc_address,
            "127.0.0.1:15010".parse().unwrap()
        );
    }
}
