//! An object as the server keeps it: typed, in canonical JSON, and wrapped for the disk.

use std::sync::Arc;

use bytes::Bytes;
use outrigger_api::document::{self, Options};
use outrigger_api::kind::Kind;
use outrigger_api::resource::{Key, Resource};

use crate::store::envelope::{Damaged, Envelope};

/// One version of one object, whole. Never changed, so it is shared by readers, watchers and the writer.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) key: Key,
    /// Version of the change that wrote it; equals `resource.meta.resource_version`.
    pub(crate) version: u64,
    pub(crate) resource: Arc<Resource>,
    /// Canonical JSON of `resource`, the bytes that clients get.
    pub(crate) json: Bytes,
}

/// A stored value that cannot be served.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// The bytes are not what was written.
    #[error("damaged: {0}")]
    Damaged(#[from] Damaged),
    /// The bytes are as written, but this program's rules refuse the object.
    #[error("refused by this version's rules: {0}")]
    Refused(String),
    /// Value and key do not belong together.
    #[error("misplaced: it holds {0}")]
    Misplaced(String),
}

impl Stored {
    /// Gives an object its version and its canonical form.
    pub(crate) fn new(mut resource: Resource, version: u64) -> Self {
        resource.meta.resource_version = Some(version.to_string());
        let json = resource.to_json().to_string().into();
        Stored {
            key: resource.key(),
            version,
            resource: Arc::new(resource),
            json,
        }
    }

    /// The form for journal, store and snapshot.
    pub(crate) fn envelope(&self) -> Bytes {
        Envelope {
            version: self.version,
            kind: plural_group(self.key.kind),
            json: self.json.clone(),
        }
        .encode()
    }

    /// Reads what was found under a storage key.
    pub(crate) fn open(key: &str, envelope: Bytes) -> Result<Self, Unreadable> {
        let envelope = Envelope::decode(envelope)?;
        // A newer version's unknown fields are no reason to lose the object.
        let options = Options {
            default_namespace: String::new(),
            allow_unknown: true,
        };
        let parsed = document::parse_body(&envelope.json, &options).map_err(|problems| {
            Unreadable::Refused(
                problems
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join("; "),
            )
        })?;
        let resource = parsed.resource;
        if storage_key(&resource.key()) != key
            || resource.meta.resource_version != Some(envelope.version.to_string())
        {
            let version = resource.meta.resource_version.as_deref().unwrap_or("none");
            return Err(Unreadable::Misplaced(format!(
                "{} at version {version}",
                resource.key()
            )));
        }
        let json = Bytes::copy_from_slice(&envelope.json); // the envelope may be a slice of a whole journal segment
        Ok(Stored {
            key: resource.key(),
            version: envelope.version,
            resource: Arc::new(resource),
            json,
        })
    }
}

/// `gateways.networking.istio.io`: how messages and storage keys name a kind.
pub(crate) fn plural_group(kind: Kind) -> String {
    format!("{}.{}", kind.plural(), kind.group())
}

/// `gateways.networking.istio.io/default/name`: the key in journal, store and snapshot.
pub(crate) fn storage_key(key: &Key) -> String {
    format!("{}/{}/{}", plural_group(key.kind), key.namespace, key.name)
}

/// The other way round; `None` for a kind that this version does not know.
pub(crate) fn key_of(storage_key: &str) -> Option<Key> {
    let mut parts = storage_key.splitn(3, '/');
    let (kind, namespace, name) = (parts.next()?, parts.next()?, parts.next()?);
    let kind = Kind::ALL.into_iter().find(|known| plural_group(*known) == kind)?;
    Some(Key::new(kind, namespace, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gateway() -> Stored {
        let json = br#"{"apiVersion":"networking.istio.io/v1alpha3","kind":"Gateway","metadata":{"name":"g",
            "namespace":"default"},"spec":{"selector":{"istio":"ingressgateway"},
            "servers":[{"port":{"number":80,"name":"http","protocol":"HTTP"},"hosts":["*"]}]}}"#;
        Stored::new(
            document::parse_body(json, &Options::default()).unwrap().resource,
            7,
        )
    }

    #[test]
    fn what_is_wrapped_comes_back_the_same() {
        let stored = gateway();

        let opened = Stored::open("gateways.networking.istio.io/default/g", stored.envelope()).unwrap();

        assert_eq!(
            (opened.version, &opened.json, &opened.resource),
            (7, &stored.json, &stored.resource)
        );
        assert_eq!(key_of(&storage_key(&stored.key)), Some(stored.key));
    }

    #[test]
    fn a_value_under_a_strange_key_or_of_strange_content_is_unreadable() {
        let stored = gateway();
        let elsewhere = Stored::open("gateways.networking.istio.io/default/other", stored.envelope());
        assert!(
            matches!(elsewhere, Err(Unreadable::Misplaced(_))),
            "{elsewhere:?}"
        );

        let json = Bytes::from_static(br#"{"kind":"Gateway"}"#);
        let refused = Envelope {
            version: 1,
            kind: "x".into(),
            json,
        }
        .encode();
        let refused = Stored::open("gateways.networking.istio.io/default/g", refused);
        assert!(matches!(refused, Err(Unreadable::Refused(_))), "{refused:?}");
    }
}
