//! How a host, a subset or one of their ports is called.

use super::connection_pool::{ConnectionPool, OutlierDetection};
use super::load_balancer::LoadBalancer;
use crate::choice::Choice;
use crate::fields::{Fields, Message};
use crate::host;
use crate::output::Object;

/// A policy for all ports and exceptions for some of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrafficPolicy {
    /// For ports without an exception.
    pub settings: PolicySettings,
    /// Exceptions: such a port takes all four components from here, absent ones as defaults.
    pub port_level: Vec<PortPolicy>,
}

impl Message for TrafficPolicy {
    fn read(fields: &Fields<'_>) -> TrafficPolicy {
        let policy = TrafficPolicy {
            settings: PolicySettings::read(fields),
            port_level: fields.messages("portLevelSettings"),
        };
        if !has_setting(fields) && fields.items("portLevelSettings").is_empty() {
            fields.problem("traffic policy must have at least one field");
        }
        policy
    }

    fn write(&self, out: &mut Object) {
        self.settings.write(out);
        out.messages("portLevelSettings", &self.port_level);
    }
}

/// The four components of a policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicySettings {
    /// How an instance is chosen; absent for round robin.
    pub load_balancer: Option<LoadBalancer>,
    /// Limits; absent for the proxy's defaults.
    pub connection_pool: Option<ConnectionPool>,
    /// When an instance is set aside; absent for never.
    pub outlier_detection: Option<OutlierDetection>,
    /// TLS towards the service; absent for none.
    pub tls: Option<ClientTls>,
}

const COMPONENTS: [&str; 4] = ["loadBalancer", "connectionPool", "outlierDetection", "tls"];

fn has_setting(fields: &Fields<'_>) -> bool {
    COMPONENTS.into_iter().any(|name| fields.has(name))
}

impl Message for PolicySettings {
    fn read(fields: &Fields<'_>) -> PolicySettings {
        PolicySettings {
            load_balancer: fields.message("loadBalancer"),
            connection_pool: fields.message("connectionPool"),
            outlier_detection: fields.message("outlierDetection"),
            tls: fields.message("tls"),
        }
    }

    fn write(&self, out: &mut Object) {
        out.message("loadBalancer", self.load_balancer.as_ref());
        out.message("connectionPool", self.connection_pool.as_ref());
        out.message("outlierDetection", self.outlier_detection.as_ref());
        out.message("tls", self.tls.as_ref());
    }
}

/// The policy of one port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortPolicy {
    /// The port.
    pub port: PortSelector,
    /// Its policy.
    pub settings: PolicySettings,
}

/// A port by number or by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortSelector {
    /// Number, 1 to 65535.
    Number(u16),
    /// Name of the service's port.
    Name(String),
}

impl Message for PortPolicy {
    fn read(fields: &Fields<'_>) -> PortPolicy {
        if !fields.has("port") {
            fields.problem_at("port", "portTrafficPolicy must have valid port");
        }
        if !has_setting(fields) {
            fields.problem("port traffic policy must have at least one field");
        }
        PortPolicy {
            port: fields.message("port").unwrap_or(PortSelector::Number(0)),
            settings: PolicySettings::read(fields),
        }
    }

    fn write(&self, out: &mut Object) {
        out.message("port", Some(&self.port));
        self.settings.write(out);
    }
}

impl Message for PortSelector {
    fn read(fields: &Fields<'_>) -> PortSelector {
        let set = fields.one_of(&["number", "name"]);
        if set.is_empty() {
            fields.problem("portTrafficPolicy must have valid port");
        }
        if fields.has("name") {
            let name = fields.text("name");
            if !host::is_label(&name) {
                fields.problem_at("name", format!("port name {name:?} must be a valid label"));
            }
            PortSelector::Name(name)
        } else {
            PortSelector::Number(fields.port("number").unwrap_or(0))
        }
    }

    fn write(&self, out: &mut Object) {
        match self {
            PortSelector::Number(number) => out.value("number", *number),
            PortSelector::Name(name) => out.value("name", name.as_str()),
        }
    }
}

/// TLS towards a service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientTls {
    /// Whether and how.
    pub mode: ClientTlsMode,
    /// File with the client's certificate; required for MUTUAL.
    pub client_certificate: String,
    /// File with the client's key; required for MUTUAL.
    pub private_key: String,
    /// File with the authorities that vouch for the server; empty: the server is not verified.
    pub ca_certificates: String,
    /// Names that the server's certificate may carry; empty for those of the service.
    pub subject_alt_names: Vec<String>,
    /// Name that the server is asked for; empty for the default.
    pub sni: String,
}

/// Kinds of TLS towards a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClientTlsMode {
    /// None.
    #[default]
    Disable,
    /// The server shows a certificate.
    Simple,
    /// Both sides show certificates, the client's from files.
    Mutual,
    /// Both sides show certificates of the mesh.
    IstioMutual,
}

impl Choice for ClientTlsMode {
    const VALUES: &'static [(i64, &'static str, ClientTlsMode)] = &[
        (0, "DISABLE", ClientTlsMode::Disable),
        (1, "SIMPLE", ClientTlsMode::Simple),
        (2, "MUTUAL", ClientTlsMode::Mutual),
        (3, "ISTIO_MUTUAL", ClientTlsMode::IstioMutual),
    ];
}

impl Message for ClientTls {
    fn read(fields: &Fields<'_>) -> ClientTls {
        let tls = ClientTls {
            mode: fields.choice("mode").unwrap_or_default(),
            client_certificate: fields.text("clientCertificate"),
            private_key: fields.text("privateKey"),
            ca_certificates: fields.text("caCertificates"),
            subject_alt_names: fields.texts("subjectAltNames"),
            sni: fields.text("sni"),
        };
        if tls.mode == ClientTlsMode::Mutual {
            if tls.client_certificate.is_empty() {
                fields.problem_at("clientCertificate", "client certificate required for mutual tls");
            }
            if tls.private_key.is_empty() {
                fields.problem_at("privateKey", "private key required for mutual tls");
            }
        }
        let verifiable = matches!(tls.mode, ClientTlsMode::Simple | ClientTlsMode::Mutual);
        if verifiable && tls.ca_certificates.is_empty() {
            fields.warn_at(
                "caCertificates",
                "without caCertificates the server is not verified",
            );
        }
        tls
    }

    fn write(&self, out: &mut Object) {
        out.choice("mode", Some(self.mode));
        out.text("clientCertificate", &self.client_certificate);
        out.text("privateKey", &self.private_key);
        out.text("caCertificates", &self.ca_certificates);
        out.texts("subjectAltNames", &self.subject_alt_names);
        out.text("sni", &self.sni);
    }
}
