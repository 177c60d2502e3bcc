//! Where routes of the second generation are used: at sidecars, or at one gateway; and which conditions are judged
//! there once and for all, because they are about the proxy and not about the request.

use outrigger_api::model::Labels;
use outrigger_api::resource::Key;
use outrigger_api::virtual_service::MESH_GATEWAY;

use crate::class::{Caller, Class};

/// Who uses the routes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place<'a> {
    /// The sidecars of this class.
    Sidecars(&'a Class),
    /// The gateways that this Gateway opens ports at.
    Gateway(&'a Key),
}

/// The part of a match that is about the proxy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProxyCondition<'a> {
    /// Gateways that the match is for; empty for those of the VirtualService.
    pub(crate) gateways: &'a [String],
    /// Port that was called.
    pub(crate) port: Option<u16>,
    /// Labels of the calling proxy.
    pub(crate) source_labels: &'a Labels,
}

impl Place<'_> {
    /// True when a match of a VirtualService in `namespace` is for this place and `port`.
    pub(crate) fn meets(&self, condition: ProxyCondition<'_>, namespace: &str, port: u16) -> bool {
        if condition.port.is_some_and(|wanted| wanted != port) {
            return false;
        }
        if !condition.gateways.is_empty() {
            // Where gateways are named, labels of the caller are not looked at.
            return condition
                .gateways
                .iter()
                .any(|name| self.is_named(name, namespace));
        }
        match self {
            Place::Gateway(_) => true,
            Place::Sidecars(class) => class.meets(&Caller {
                host: None,
                labels: condition.source_labels.clone(),
            }),
        }
    }

    /// True when `name`, written in `namespace`, names this place.
    pub(crate) fn is_named(&self, name: &str, namespace: &str) -> bool {
        match self {
            Place::Sidecars(_) => name == MESH_GATEWAY,
            Place::Gateway(key) => {
                gateway_key(name, namespace) == (key.namespace.as_str(), key.name.as_str())
            }
        }
    }
}

/// Namespace and name of a gateway: `name`, `namespace/name`, or the older `name.namespace.svc...`.
pub(crate) fn gateway_key<'a>(written: &'a str, namespace: &'a str) -> (&'a str, &'a str) {
    if let Some((namespace, name)) = written.split_once('/') {
        return (namespace, name);
    }
    let mut parts = written.split('.');
    let name = parts.next().unwrap_or(written);
    (parts.next().unwrap_or(namespace), name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use outrigger_api::kind::Kind;

    #[test]
    fn a_gateway_is_named_in_three_ways() {
        let key = Key {
            kind: Kind::Gateway,
            namespace: "shop".into(),
            name: "edge".into(),
        };
        let place = Place::Gateway(&key);

        assert!(place.is_named("edge", "shop"));
        assert!(place.is_named("shop/edge", "other"));
        assert!(place.is_named("edge.shop.svc.cluster.local", "other"));
        assert!(!place.is_named("edge", "other"));
        assert!(!place.is_named("mesh", "shop"));
    }
}
