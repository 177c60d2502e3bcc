//! An object of the mesh: metadata and a typed spec of one of the kinds.

use std::fmt;

use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::destination_policy::DestinationPolicy;
use crate::destination_rule::DestinationRule;
use crate::egress_rule::EgressRule;
use crate::fields::Fields;
use crate::gateway::Gateway;
use crate::kind::Kind;
use crate::meta::ObjectMeta;
use crate::output::Object;
use crate::route_rule::RouteRule;
use crate::service_address::ServiceAddress;
use crate::service_entry::ServiceEntry;
use crate::virtual_service::VirtualService;

/// One object, as read from a document or kept in the store.
#[derive(Clone, Debug, PartialEq)]
pub struct Resource {
    /// Name, namespace and what the server keeps.
    pub meta: ObjectMeta,
    /// What the object says; also tells its kind.
    pub spec: Spec,
}

/// The spec of each kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Spec {
    /// [`Kind::RouteRule`]
    RouteRule(Box<RouteRule>),
    /// [`Kind::DestinationPolicy`]
    DestinationPolicy(Box<DestinationPolicy>),
    /// [`Kind::EgressRule`]
    EgressRule(EgressRule),
    /// [`Kind::VirtualService`]
    VirtualService(Box<VirtualService>),
    /// [`Kind::DestinationRule`]
    DestinationRule(Box<DestinationRule>),
    /// [`Kind::Gateway`]
    Gateway(Gateway),
    /// [`Kind::ServiceEntry`]
    ServiceEntry(Box<ServiceEntry>),
    /// [`Kind::ServiceAddress`]
    ServiceAddress(ServiceAddress),
}

impl Spec {
    /// Which kind of spec this is.
    pub fn kind(&self) -> Kind {
        match self {
            Spec::RouteRule(_) => Kind::RouteRule,
            Spec::DestinationPolicy(_) => Kind::DestinationPolicy,
            Spec::EgressRule(_) => Kind::EgressRule,
            Spec::VirtualService(_) => Kind::VirtualService,
            Spec::DestinationRule(_) => Kind::DestinationRule,
            Spec::Gateway(_) => Kind::Gateway,
            Spec::ServiceEntry(_) => Kind::ServiceEntry,
            Spec::ServiceAddress(_) => Kind::ServiceAddress,
        }
    }

    pub(crate) fn read(kind: Kind, fields: &Fields<'_>) -> Spec {
        fn message<T: crate::fields::Message>(fields: &Fields<'_>) -> T {
            let read = T::read(fields);
            fields.finish();
            read
        }
        match kind {
            Kind::RouteRule => Spec::RouteRule(Box::new(message(fields))),
            Kind::DestinationPolicy => Spec::DestinationPolicy(Box::new(message(fields))),
            Kind::EgressRule => Spec::EgressRule(message(fields)),
            Kind::VirtualService => Spec::VirtualService(Box::new(message(fields))),
            Kind::DestinationRule => Spec::DestinationRule(Box::new(message(fields))),
            Kind::Gateway => Spec::Gateway(message(fields)),
            Kind::ServiceEntry => Spec::ServiceEntry(Box::new(message(fields))),
            Kind::ServiceAddress => Spec::ServiceAddress(message(fields)),
        }
    }

    /// The spec object alone, in canonical form.
    pub fn to_json(&self) -> Value {
        match self {
            Spec::RouteRule(spec) => Object::of(spec.as_ref()),
            Spec::DestinationPolicy(spec) => Object::of(spec.as_ref()),
            Spec::EgressRule(spec) => Object::of(spec),
            Spec::VirtualService(spec) => Object::of(spec.as_ref()),
            Spec::DestinationRule(spec) => Object::of(spec.as_ref()),
            Spec::Gateway(spec) => Object::of(spec),
            Spec::ServiceEntry(spec) => Object::of(spec.as_ref()),
            Spec::ServiceAddress(spec) => Object::of(spec),
        }
    }
}

impl Resource {
    /// The kind of the object.
    pub fn kind(&self) -> Kind {
        self.spec.kind()
    }

    /// The name under which the object is stored.
    pub fn key(&self) -> Key {
        Key {
            kind: self.kind(),
            namespace: self.meta.namespace.clone(),
            name: self.meta.name.clone(),
        }
    }

    /// The whole object in canonical form: lowerCamelCase, defaults left out, durations in seconds.
    pub fn to_json(&self) -> Value {
        let mut out = Object::default();
        out.value("apiVersion", self.kind().api_version());
        out.value("kind", self.kind().name());
        out.value("metadata", Object::of(&self.meta));
        out.value("spec", self.spec.to_json());
        out.finish()
    }
}

impl Serialize for Resource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

/// The name of an object among all objects. Keys order by kind, namespace, name: the tie-breaker everywhere.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Kind of the object.
    pub kind: Kind,
    /// Namespace of the object.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
}

impl Key {
    /// A key from its parts.
    pub fn new(kind: Kind, namespace: impl Into<String>, name: impl Into<String>) -> Key {
        Key {
            kind,
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

/// `route-rule/default/reviews`.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.kind.hyphenated(), self.namespace, self.name)
    }
}
