//! What an operator can say about a Consul.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use outrigger_api::model::Protocol;

/// How to reach a Consul and how to read what it says.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Name of the registry on debug pages. Default `consul`.
    pub name: String,
    /// `http://host:port`, `https://host:port`, or `host:port` for HTTP. Default `http://127.0.0.1:8500`.
    pub address: String,
    /// ACL token.
    pub token: Token,
    /// Certificates for `https://`.
    pub tls: Tls,
    /// Datacenters to read; the instances of all are joined. Empty: the agent's own.
    pub datacenters: Vec<String>,
    /// Enterprise namespace, sent as `ns=`. Default none.
    pub namespace: Option<String>,
    /// The DNS domain that Consul serves: hosts are `<service>.service.<domain>`. Default `consul`.
    pub domain: String,
    /// Protocol of a port that nothing says more about. Default HTTP.
    pub default_protocol: Protocol,
    /// Read tags of the form `key=value` as labels too, not only `key|value`. Default no.
    pub equals_tags: bool,
    /// Keep instances whose checks warn. Default yes.
    pub keep_warning: bool,
    /// Services that are part of the platform and not of the mesh. Default `consul`, `nomad`,
    /// `nomad-client`. Proxies of Consul's own mesh are always left out.
    pub skip_services: Vec<String>,
    /// How long a blocking query may wait for a change, 1 s to 10 min. Default 30 s: shorter costs queries,
    /// longer finds a silent connection later.
    pub wait: Duration,
    /// Blocking queries under way at once, at least 1. Default 128; Consul refuses a client's 201st
    /// connection. With more services than this they take turns of one second each.
    pub max_watches: usize,
    /// How long after a restart of Consul a loss of most instances must be confirmed again and again, so that
    /// services have time to register anew. Default 10 s.
    pub restart_grace: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            name: "consul".into(),
            address: "http://127.0.0.1:8500".into(),
            token: Token::None,
            tls: Tls::default(),
            datacenters: Vec::new(),
            namespace: None,
            domain: "consul".into(),
            default_protocol: Protocol::Http,
            equals_tags: false,
            keep_warning: true,
            skip_services: ["consul", "nomad", "nomad-client"].map(String::from).into(),
            wait: Duration::from_secs(30),
            max_watches: 128,
            restart_grace: Duration::from_secs(10),
        }
    }
}

/// Where the ACL token comes from. It goes out in the header `X-Consul-Token` and nowhere else.
#[derive(Clone, Default)]
pub enum Token {
    /// No token: the anonymous one.
    #[default]
    None,
    /// This secret.
    Value(String),
    /// The trimmed text of this file, read again for every query, so that it can be renewed.
    File(PathBuf),
}

/// Never prints the secret.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Token::None => f.write_str("None"),
            Token::Value(_) => f.write_str("Value(..)"),
            Token::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

/// PEM files for `https://`.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// Authorities that may have signed the server's certificate; none: the system's.
    pub ca_file: Option<PathBuf>,
    /// Client certificate with its chain; needs `key_file`.
    pub cert_file: Option<PathBuf>,
    /// Key of the client certificate; needs `cert_file`.
    pub key_file: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_never_printed() {
        let settings = Settings {
            token: Token::Value("s3cret".into()),
            ..Settings::default()
        };

        assert!(!format!("{settings:?}").contains("s3cret"));
    }
}
