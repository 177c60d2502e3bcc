//! The kinds of resources the mesh knows, and every name each of them goes by.

use std::fmt;

use serde::Serialize;

/// One kind of resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Kind {
    /// First generation: how requests to one service are routed.
    RouteRule,
    /// First generation: how one version of a service is called.
    DestinationPolicy,
    /// First generation: an outside host that may be called.
    EgressRule,
    /// Second generation: how requests to hosts are routed.
    VirtualService,
    /// Second generation: subsets of a host and how they are called.
    DestinationRule,
    /// Second generation: ports and hosts that a gateway opens.
    Gateway,
    /// Second generation: a service that no registry lists.
    ServiceEntry,
    /// Ours: the virtual address that is allotted to a service.
    ServiceAddress,
}

const CONFIG: &str = "config.istio.io";
const NETWORKING: &str = "networking.istio.io";
const MESH: &str = "mesh.outrigger.io";

/// All names of one kind, in one row.
struct Names {
    group: &'static str,
    version: &'static str,
    name: &'static str,
    singular: &'static str,
    plural: &'static str,
    hyphenated: &'static str,
    short: &'static [&'static str],
}

impl Kind {
    /// Every kind, in the order in which they are listed.
    pub const ALL: [Kind; 8] = [
        Kind::RouteRule,
        Kind::DestinationPolicy,
        Kind::EgressRule,
        Kind::VirtualService,
        Kind::DestinationRule,
        Kind::Gateway,
        Kind::ServiceEntry,
        Kind::ServiceAddress,
    ];

    #[rustfmt::skip]
    fn names(self) -> Names {
        let (group, version, name, singular, plural, hyphenated, short): (_, _, _, _, _, _, &[&str]) = match self {
            Kind::RouteRule => (CONFIG, "v1alpha2", "RouteRule", "routerule", "routerules", "route-rule", &[]),
            Kind::DestinationPolicy => (CONFIG, "v1alpha2", "DestinationPolicy", "destinationpolicy", "destinationpolicies", "destination-policy", &[]),
            Kind::EgressRule => (CONFIG, "v1alpha2", "EgressRule", "egressrule", "egressrules", "egress-rule", &[]),
            Kind::VirtualService => (NETWORKING, "v1alpha3", "VirtualService", "virtualservice", "virtualservices", "virtual-service", &["vs"]),
            Kind::DestinationRule => (NETWORKING, "v1alpha3", "DestinationRule", "destinationrule", "destinationrules", "destination-rule", &["dr"]),
            Kind::Gateway => (NETWORKING, "v1alpha3", "Gateway", "gateway", "gateways", "gateway", &["gw"]),
            Kind::ServiceEntry => (NETWORKING, "v1alpha3", "ServiceEntry", "serviceentry", "serviceentries", "service-entry", &["se"]),
            Kind::ServiceAddress => (MESH, "v1alpha1", "ServiceAddress", "serviceaddress", "serviceaddresses", "service-address", &[]),
        };
        Names { group, version, name, singular, plural, hyphenated, short }
    }

    /// The name in documents, like `RouteRule`.
    pub fn name(self) -> &'static str {
        self.names().name
    }

    /// The API group, like `config.istio.io`.
    pub fn group(self) -> &'static str {
        self.names().group
    }

    /// The stored and printed version in the group, like `v1alpha2`.
    pub fn version(self) -> &'static str {
        self.names().version
    }

    /// Group and version as documents write them, like `config.istio.io/v1alpha2`.
    pub fn api_version(self) -> String {
        format!("{}/{}", self.group(), self.version())
    }

    /// The plural in URLs and on the command line, like `routerules`.
    pub fn plural(self) -> &'static str {
        self.names().plural
    }

    /// The singular on the command line, like `routerule`.
    pub fn singular(self) -> &'static str {
        self.names().singular
    }

    /// The name in keys and messages, like `route-rule`.
    pub fn hyphenated(self) -> &'static str {
        self.names().hyphenated
    }

    /// Abbreviations on the command line, like `vs`; most kinds have none.
    pub fn short_names(self) -> &'static [&'static str] {
        self.names().short
    }

    /// The kind that a document names by `apiVersion` and `kind`.
    ///
    /// `config.istio.io/v1beta1` is an alias of `v1alpha2` (`spec/traffic-v1alpha2.md` §0).
    ///
    /// # Errors
    /// Says which kinds or which version would be understood.
    pub fn from_api(api_version: &str, kind: &str) -> Result<Kind, UnknownKind> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        if group == CONFIG && matches!(kind, "V1alpha2RouteRule" | "DestinationRule" | "Gateway") {
            return Err(UnknownKind::preview(kind, api_version));
        }
        let Some(found) = Kind::ALL.into_iter().find(|known| known.name() == kind) else {
            return Err(UnknownKind::kind(kind));
        };
        let alias = found.group() == CONFIG && version == "v1beta1";
        if found.group() == group && (found.version() == version || alias) {
            Ok(found)
        } else {
            Err(UnknownKind::version(found, api_version))
        }
    }

    /// The kind that a user names on the command line: singular, plural, short or full name, in any case.
    ///
    /// # Errors
    /// A hyphenated name is refused with the right one; any other unknown name with the list of names.
    pub fn from_cli_name(name: &str) -> Result<Kind, UnknownKind> {
        let wanted = name.to_ascii_lowercase();
        let known = Kind::ALL.into_iter().find(|kind| {
            kind.singular() == wanted
                || kind.plural() == wanted
                || kind.short_names().contains(&wanted.as_str())
                || wanted.split_once('.').is_some_and(|(name, group)| {
                    (name == kind.singular() || name == kind.plural()) && group == kind.group()
                })
        });
        if let Some(kind) = known {
            return Ok(kind);
        }
        let unhyphenated = wanted.replace('-', "");
        match Kind::ALL
            .into_iter()
            .find(|kind| kind.singular() == unhyphenated || kind.plural() == unhyphenated)
        {
            Some(kind) => Err(UnknownKind {
                message: format!(
                    "{name:?} not recognized. Please use non-hyphenated resource name {:?}",
                    kind.singular()
                ),
                hint: None,
                about_version: false,
            }),
            None => Err(UnknownKind {
                message: format!(
                    "configuration type {name} not found, the types are {}",
                    cli_names()
                ),
                hint: None,
                about_version: false,
            }),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The singular names of all kinds, comma separated, as messages list them.
pub fn cli_names() -> String {
    Kind::ALL.map(Kind::singular).join(", ")
}

/// A name that stands for no kind, with what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct UnknownKind {
    /// What was found and why it is not understood.
    pub message: String,
    /// What to write instead, when that can be said.
    pub hint: Option<String>,
    about_version: bool,
}

impl UnknownKind {
    /// True when the kind is known but not in the `apiVersion` it was written with.
    pub fn is_about_version(&self) -> bool {
        self.about_version
    }

    fn kind(kind: &str) -> UnknownKind {
        let near = Kind::ALL.into_iter().find(|known| {
            known.name().eq_ignore_ascii_case(kind) || known.plural().eq_ignore_ascii_case(kind)
        });
        UnknownKind {
            message: format!("kind {kind:?} is not known"),
            hint: Some(match near {
                Some(known) => format!("write {known}"),
                None => format!("the kinds are {}", Kind::ALL.map(Kind::name).join(", ")),
            }),
            about_version: false,
        }
    }

    fn version(kind: Kind, found: &str) -> UnknownKind {
        UnknownKind {
            message: format!("kind {kind} is not in apiVersion {found:?}"),
            hint: Some(format!("write apiVersion: {}", kind.api_version())),
            about_version: true,
        }
    }

    fn preview(kind: &str, found: &str) -> UnknownKind {
        UnknownKind {
            message: format!("the preview kind {kind} of {found} is not supported"),
            hint: Some("use networking.istio.io/v1alpha3".into()),
            about_version: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_each_of_its_names() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_api(&kind.api_version(), kind.name()), Ok(kind));
            assert_eq!(Kind::from_cli_name(kind.singular()), Ok(kind));
            assert_eq!(Kind::from_cli_name(kind.plural()), Ok(kind));
            assert_eq!(Kind::from_cli_name(kind.name()), Ok(kind));
            for short in kind.short_names() {
                assert_eq!(Kind::from_cli_name(short), Ok(kind));
            }
        }
    }

    #[test]
    fn the_first_generation_answers_to_v1beta1_and_the_second_does_not() {
        assert_eq!(
            Kind::from_api("config.istio.io/v1beta1", "RouteRule"),
            Ok(Kind::RouteRule)
        );

        let refused = Kind::from_api("networking.istio.io/v1beta1", "VirtualService").unwrap_err();

        assert_eq!(
            refused.message,
            "kind VirtualService is not in apiVersion \"networking.istio.io/v1beta1\""
        );
        assert_eq!(
            refused.hint.as_deref(),
            Some("write apiVersion: networking.istio.io/v1alpha3")
        );
    }

    #[test]
    fn names_that_are_nearly_right_are_answered_with_the_right_one() {
        assert_eq!(
            Kind::from_cli_name("route-rule").unwrap_err().message,
            "\"route-rule\" not recognized. Please use non-hyphenated resource name \"routerule\""
        );
        assert_eq!(
            Kind::from_cli_name("pods").unwrap_err().message,
            "configuration type pods not found, the types are routerule, destinationpolicy, egressrule, \
             virtualservice, destinationrule, gateway, serviceentry, serviceaddress"
        );
        assert_eq!(
            Kind::from_api("config.istio.io/v1alpha2", "routerule")
                .unwrap_err()
                .hint
                .as_deref(),
            Some("write RouteRule")
        );
        assert_eq!(
            Kind::from_api("config.istio.io/v1alpha2", "Gateway")
                .unwrap_err()
                .hint
                .as_deref(),
            Some("use networking.istio.io/v1alpha3")
        );
    }
}
