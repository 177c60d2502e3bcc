//! DestinationRule: subsets of a host and how they are called (`spec/traffic-v1alpha3.md` §2).

mod connection_pool;
mod load_balancer;
mod traffic_policy;

use std::collections::BTreeSet;

pub use connection_pool::{
    ConnectionPool, H2UpgradePolicy, HttpPool, OutlierDetection, TcpKeepalive, TcpPool,
};
pub use load_balancer::{ConsistentHash, HashKey, LoadBalancer, SimpleBalancer};
pub use traffic_policy::{ClientTls, ClientTlsMode, PolicySettings, PortPolicy, PortSelector, TrafficPolicy};

use crate::export_to::ExportTo;
use crate::fields::{Fields, Message};
use crate::host;
use crate::model::Labels;
use crate::output::Object;

/// Versions of a host and how it is called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DestinationRule {
    /// Host of the service, or a wildcard; a short name is completed in the rule's namespace.
    pub host: String,
    /// How the host is called; absent for the mesh's default.
    pub traffic_policy: Option<TrafficPolicy>,
    /// Named versions.
    pub subsets: Vec<Subset>,
    /// Who sees the object; absent for the mesh's default.
    pub export_to: Option<ExportTo>,
}

impl Message for DestinationRule {
    fn read(fields: &Fields<'_>) -> DestinationRule {
        let host = fields.text("host");
        if host.is_empty() && !fields.is_broken("host") {
            fields.problem_at("host", "destination rule must have a host");
        } else if !host.is_empty()
            && let Err(error) = host::check_wildcard(&host)
        {
            fields.problem_at("host", error);
        }
        let mut seen = BTreeSet::new();
        for subset in fields.items("subsets").iter().filter_map(|at| at.fields()) {
            let name = subset.text("name");
            if !name.is_empty() && !seen.insert(name.clone()) {
                subset.problem_at("name", format!("duplicate subset name {name:?}"));
            }
        }
        DestinationRule {
            host,
            traffic_policy: fields.message("trafficPolicy"),
            subsets: fields.messages("subsets"),
            export_to: ExportTo::read(fields),
        }
    }

    fn write(&self, out: &mut Object) {
        out.text("host", &self.host);
        out.message("trafficPolicy", self.traffic_policy.as_ref());
        out.messages("subsets", &self.subsets);
        ExportTo::write(self.export_to, out);
    }
}

/// A named version of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subset {
    /// Name, a DNS label, unique in the rule.
    pub name: String,
    /// Instances that carry all of these labels belong to it.
    pub labels: Labels,
    /// How it is called, component by component on top of the rule's own policy.
    pub traffic_policy: Option<TrafficPolicy>,
}

impl Message for Subset {
    fn read(fields: &Fields<'_>) -> Subset {
        let name = fields.text("name");
        if !host::is_label(&name) {
            fields.problem_at(
                "name",
                format!("subset name is invalid: {name:?} must be a DNS label"),
            );
        }
        Subset {
            name,
            labels: fields.labels("labels"),
            traffic_policy: fields.message("trafficPolicy"),
        }
    }

    fn write(&self, out: &mut Object) {
        out.text("name", &self.name);
        out.labels("labels", &self.labels);
        out.message("trafficPolicy", self.traffic_policy.as_ref());
    }
}

#[cfg(test)]
mod tests {
    use crate::kind::Kind;
    use crate::trial::{check, warnings};

    #[test]
    fn hosts_and_subsets_are_checked() {
        check(
            Kind::DestinationRule,
            &[
                (
                    "{host: '*.a.b', subsets: [{name: v1, labels: {version: v1}}, {name: v2}], exportTo: ['*']}",
                    &[],
                ),
                ("{host: reviews}", &[]),
                ("{}", &["spec.host: destination rule must have a host"]),
                (
                    "{host: 'a.*'}",
                    &[
                        "spec.host: domain name \"a.*\" is invalid: a wildcard may only stand at the very left",
                    ],
                ),
                (
                    "{host: a.b, subsets: [{name: v_1}, {name: ok, labels: {a: 'b c'}}, {name: ok}, {}]}",
                    &[
                        "spec.subsets[0].name: subset name is invalid: \"v_1\" must be a DNS label",
                        "spec.subsets[1].labels.a: invalid tag value: \"b c\"",
                        "spec.subsets[2].name: duplicate subset name \"ok\"",
                        "spec.subsets[3].name: subset name is invalid: \"\" must be a DNS label",
                    ],
                ),
            ],
        );
    }

    #[test]
    fn traffic_policies_are_checked() {
        for (policy, expected) in [
            (
                "{loadBalancer: {simple: RANDOM}, portLevelSettings: [{port: {number: 80}, tls: {mode: DISABLE}}, {port: {name: http}, loadBalancer: {simple: 0}}]}",
                &[] as &[&str],
            ),
            (
                "{tls: {mode: MUTUAL, clientCertificate: /c, privateKey: /k, caCertificates: /ca, subjectAltNames: [x], sni: y}}",
                &[],
            ),
            ("{}", &[": traffic policy must have at least one field"]),
            (
                "{portLevelSettings: [{}, {port: {}, tls: {mode: ISTIO_MUTUAL}}, {port: {number: 1, name: x}, tls: {}}, {port: {name: a_b}, tls: {}}]}",
                &[
                    ".portLevelSettings[0]: port traffic policy must have at least one field",
                    ".portLevelSettings[0].port: portTrafficPolicy must have valid port",
                    ".portLevelSettings[1].port: portTrafficPolicy must have valid port",
                    ".portLevelSettings[2].port.name: only one of number, name may be set",
                    ".portLevelSettings[3].port.name: port name \"a_b\" must be a valid label",
                ],
            ),
            (
                "{tls: {mode: MUTUAL}}",
                &[
                    ".tls.clientCertificate: client certificate required for mutual tls",
                    ".tls.privateKey: private key required for mutual tls",
                ],
            ),
            (
                "{tls: {mode: SOMETIMES}}",
                &[
                    ".tls.mode: must be one of DISABLE, SIMPLE, MUTUAL, ISTIO_MUTUAL, found the text \"SOMETIMES\"",
                ],
            ),
        ] {
            // The same policy stands at the rule and at a subset; both are checked alike.
            for (before, after) in [
                ("trafficPolicy: ", ""),
                ("subsets: [{name: v1, trafficPolicy: ", "}]"),
            ] {
                let at = if after.is_empty() {
                    "spec.trafficPolicy"
                } else {
                    "spec.subsets[0].trafficPolicy"
                };
                let expected: Vec<String> = expected.iter().map(|problem| format!("{at}{problem}")).collect();
                let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
                let spec = format!("{{host: a.b, {before}{policy}{after}}}");
                check(Kind::DestinationRule, &[(&spec, &expected)]);
            }
        }
    }

    #[test]
    fn an_unverified_server_is_warned_about() {
        assert_eq!(
            warnings(
                Kind::DestinationRule,
                "{host: a.b, trafficPolicy: {tls: {mode: SIMPLE}}}"
            ),
            ["spec.trafficPolicy.tls.caCertificates: without caCertificates the server is not verified"]
        );
    }
}
