//! TLS on a port of a gateway.

use crate::choice::Choice;
use crate::fields::{Fields, Message};
use crate::model::Protocol;
use crate::output::Object;

/// How a gateway's port terminates TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerTls {
    /// Answers plain requests with 301 to https.
    pub https_redirect: bool,
    /// Whether and how TLS is terminated.
    pub mode: ServerTlsMode,
    /// File with the server's certificate; required for SIMPLE and MUTUAL without `credential_name`.
    pub server_certificate: String,
    /// File with the server's key; required likewise.
    pub private_key: String,
    /// File with the authorities that vouch for callers; required for MUTUAL likewise.
    pub ca_certificates: String,
    /// Secret that holds certificate, key and authorities, in place of the files; empty for none.
    pub credential_name: String,
    /// Names that a caller's certificate may carry; empty for any.
    pub subject_alt_names: Vec<String>,
    /// Lowest version; absent for the proxy's.
    pub min_protocol_version: Option<TlsVersion>,
    /// Highest version; absent for the proxy's.
    pub max_protocol_version: Option<TlsVersion>,
    /// Ciphers; empty for the proxy's.
    pub cipher_suites: Vec<String>,
}

/// Ways to treat TLS at a gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServerTlsMode {
    /// Forwards it unopened, by SNI and the routes of virtual services.
    #[default]
    Passthrough,
    /// The gateway shows a certificate.
    Simple,
    /// Both sides show certificates.
    Mutual,
    /// Forwards it unopened to the cluster that SNI names.
    AutoPassthrough,
}

impl Choice for ServerTlsMode {
    const VALUES: &'static [(i64, &'static str, ServerTlsMode)] = &[
        (0, "PASSTHROUGH", ServerTlsMode::Passthrough),
        (1, "SIMPLE", ServerTlsMode::Simple),
        (2, "MUTUAL", ServerTlsMode::Mutual),
        (3, "AUTO_PASSTHROUGH", ServerTlsMode::AutoPassthrough),
    ];
}

/// Versions of TLS, lowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TlsVersion {
    /// The proxy chooses.
    Auto,
    /// 1.0
    V1_0,
    /// 1.1
    V1_1,
    /// 1.2
    V1_2,
    /// 1.3
    V1_3,
}

impl Choice for TlsVersion {
    const VALUES: &'static [(i64, &'static str, TlsVersion)] = &[
        (0, "TLS_AUTO", TlsVersion::Auto),
        (1, "TLSV1_0", TlsVersion::V1_0),
        (2, "TLSV1_1", TlsVersion::V1_1),
        (3, "TLSV1_2", TlsVersion::V1_2),
        (4, "TLSV1_3", TlsVersion::V1_3),
    ];
}

impl Message for ServerTls {
    fn read(fields: &Fields<'_>) -> ServerTls {
        let tls = ServerTls {
            https_redirect: fields.flag("httpsRedirect"),
            mode: fields.choice("mode").unwrap_or_default(),
            server_certificate: fields.text("serverCertificate"),
            private_key: fields.text("privateKey"),
            ca_certificates: fields.text("caCertificates"),
            credential_name: fields.text("credentialName"),
            subject_alt_names: fields.texts("subjectAltNames"),
            min_protocol_version: fields.choice("minProtocolVersion"),
            max_protocol_version: fields.choice("maxProtocolVersion"),
            cipher_suites: fields.texts("cipherSuites"),
        };
        if let (Some(min), Some(max)) = (tls.min_protocol_version, tls.max_protocol_version)
            && min != TlsVersion::Auto
            && max != TlsVersion::Auto
            && min > max
        {
            fields.problem_at(
                "minProtocolVersion",
                format!(
                    "minProtocolVersion {} is above maxProtocolVersion {}",
                    min.name(),
                    max.name()
                ),
            );
        }
        check_files(fields, &tls);
        tls
    }

    fn write(&self, out: &mut Object) {
        out.flag("httpsRedirect", self.https_redirect);
        out.choice(
            "mode",
            Some(self.mode).filter(|mode| *mode != ServerTlsMode::Passthrough),
        );
        out.text("serverCertificate", &self.server_certificate);
        out.text("privateKey", &self.private_key);
        out.text("caCertificates", &self.ca_certificates);
        out.text("credentialName", &self.credential_name);
        out.texts("subjectAltNames", &self.subject_alt_names);
        out.choice("minProtocolVersion", self.min_protocol_version);
        out.choice("maxProtocolVersion", self.max_protocol_version);
        out.texts("cipherSuites", &self.cipher_suites);
    }
}

fn check_files(fields: &Fields<'_>, tls: &ServerTls) {
    let mode = match tls.mode {
        ServerTlsMode::Simple => "SIMPLE",
        ServerTlsMode::Mutual => "MUTUAL",
        ServerTlsMode::Passthrough | ServerTlsMode::AutoPassthrough => return,
    };
    if !tls.credential_name.is_empty() {
        return;
    }
    if tls.server_certificate.is_empty() {
        fields.problem_at(
            "serverCertificate",
            format!("{mode} TLS requires a server certificate"),
        );
    }
    if tls.private_key.is_empty() {
        fields.problem_at("privateKey", format!("{mode} TLS requires a private key"));
    }
    if tls.mode == ServerTlsMode::Mutual && tls.ca_certificates.is_empty() {
        fields.problem_at("caCertificates", "MUTUAL TLS requires a client CA bundle");
    }
}

/// The fields that say how TLS is spoken, apart from `mode`.
const SETTINGS: [&str; 8] = [
    "serverCertificate",
    "privateKey",
    "caCertificates",
    "credentialName",
    "subjectAltNames",
    "minProtocolVersion",
    "maxProtocolVersion",
    "cipherSuites",
];

/// Whether a server's protocol and its `tls` go together. On plain HTTP only the redirect to https makes sense.
pub(super) fn check_protocol(server: &Fields<'_>, protocol: Protocol) {
    let secure = matches!(protocol, Protocol::Https | Protocol::Tls);
    let Some(tls) = server.at("tls") else {
        if secure {
            server.problem_at("tls", "server must have TLS settings for HTTPS/TLS protocols");
        }
        return;
    };
    if secure {
        return;
    }
    if !protocol.is_http() {
        tls.problem("server cannot have TLS settings for non HTTPS/TLS ports");
        return;
    }
    let Some(tls) = tls.fields() else { return };
    // PASSTHROUGH is what a mode left out means, and says nothing.
    let has_mode = tls
        .choice::<ServerTlsMode>("mode")
        .is_some_and(|mode| mode != ServerTlsMode::Passthrough);
    let settings = SETTINGS.into_iter().filter(|name| tls.has(name));
    let set: Vec<&str> = has_mode.then_some("mode").into_iter().chain(settings).collect();
    if !set.is_empty() {
        tls.problem(format!(
            "server cannot have TLS settings for plain text HTTP ports: only httpsRedirect may stand there, not {}",
            set.join(", ")
        ));
    }
}

#[cfg(test)]
mod tests {
    use crate::kind::Kind;
    use crate::trial::check;

    #[test]
    fn tls_fits_its_protocol_and_has_its_files() {
        for (protocol, tls, expected) in [
            ("HTTP", "{httpsRedirect: true}", &[] as &[&str]),
            (
                "HTTPS",
                "{mode: SIMPLE, serverCertificate: /c, privateKey: /k, minProtocolVersion: TLSV1_2, maxProtocolVersion: TLSV1_3, cipherSuites: [x]}",
                &[],
            ),
            (
                "HTTPS",
                "{mode: MUTUAL, credentialName: secret, subjectAltNames: [x]}",
                &[],
            ),
            ("TLS", "{mode: AUTO_PASSTHROUGH}", &[]),
            ("TLS", "{}", &[]),
            (
                "HTTPS",
                "{mode: SIMPLE}",
                &[
                    ".privateKey: SIMPLE TLS requires a private key",
                    ".serverCertificate: SIMPLE TLS requires a server certificate",
                ],
            ),
            (
                "HTTPS",
                "{mode: MUTUAL}",
                &[
                    ".caCertificates: MUTUAL TLS requires a client CA bundle",
                    ".privateKey: MUTUAL TLS requires a private key",
                    ".serverCertificate: MUTUAL TLS requires a server certificate",
                ],
            ),
            (
                "HTTPS",
                "null",
                &[": server must have TLS settings for HTTPS/TLS protocols"],
            ),
            (
                "TLS",
                "null",
                &[": server must have TLS settings for HTTPS/TLS protocols"],
            ),
            (
                "HTTP",
                "{mode: SIMPLE, credentialName: x}",
                &[
                    ": server cannot have TLS settings for plain text HTTP ports: only httpsRedirect may stand there, not mode, credentialName",
                ],
            ),
            (
                "GRPC",
                "{httpsRedirect: true, privateKey: /k}",
                &[
                    ": server cannot have TLS settings for plain text HTTP ports: only httpsRedirect may stand there, not privateKey",
                ],
            ),
            (
                "HTTP",
                "{mode: AUTO_PASSTHROUGH}",
                &[
                    ": server cannot have TLS settings for plain text HTTP ports: only httpsRedirect may stand there, not mode",
                ],
            ),
            (
                "HTTP2",
                "{subjectAltNames: [x], minProtocolVersion: TLSV1_2, maxProtocolVersion: TLSV1_3, cipherSuites: [x]}",
                &[
                    ": server cannot have TLS settings for plain text HTTP ports: only httpsRedirect may stand there, not subjectAltNames, minProtocolVersion, maxProtocolVersion, cipherSuites",
                ],
            ),
            ("HTTP", "{httpsRedirect: true, mode: PASSTHROUGH}", &[]),
            (
                "TCP",
                "{}",
                &[": server cannot have TLS settings for non HTTPS/TLS ports"],
            ),
            (
                "TLS",
                "{minProtocolVersion: TLSV1_3, maxProtocolVersion: TLSV1_2}",
                &[".minProtocolVersion: minProtocolVersion TLSV1_3 is above maxProtocolVersion TLSV1_2"],
            ),
        ] {
            let expected: Vec<String> = expected
                .iter()
                .map(|problem| format!("spec.servers[0].tls{problem}"))
                .collect();
            let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
            let spec = format!(
                "{{servers: [{{port: {{number: 1, name: a, protocol: {protocol}}}, hosts: [a.b], tls: {tls}}}]}}"
            );
            check(Kind::Gateway, &[(&spec, &expected)]);
        }
    }
}
