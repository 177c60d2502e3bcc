//! One named resource, encoded once and shared by every stream that sends it.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use prost::{Message, Name};
use sha2::{Digest, Sha256};

use crate::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use crate::pb::google::protobuf::Any;
use crate::{References, TypeUrl, UnpackError, wire};

/// The version of a resource: 64 bits of the SHA-256 of its bytes, written as 16 hexadecimal digits.
/// Equal content has an equal version in every process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(u64);

impl Version {
    /// The version of these bytes.
    pub fn of(value: &[u8]) -> Version {
        let digest = Sha256::digest(value);
        Version(
            digest
                .iter()
                .take(8)
                .fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
        )
    }

    /// Reads back what [`Version`]'s `Display` wrote; `None` for anything else.
    pub fn parse(text: &str) -> Option<Version> {
        let plain = text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        plain
            .then(|| u64::from_str_radix(text, 16).ok().map(Version))
            .flatten()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:016x}", self.0)
    }
}

/// A resource as it goes out: type, name, content version, the names it refers to, and its bytes in the two
/// forms of the protocol. All streams share one `Arc` of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Resource {
    kind: TypeUrl,
    name: Arc<str>,
    version: Version,
    references: References,
    /// A `envoy.service.discovery.v3.Resource`; the two ranges are the `Any` inside it and the value inside that.
    delta: Bytes,
    any: Range<usize>,
    value: Range<usize>,
}

impl Resource {
    /// Encodes a message as the resource `name`. `references` says what the content names
    /// (see [`References`]); the type comes from the message.
    ///
    /// # Errors
    /// When the message is none of the types of [`TypeUrl`].
    pub fn encode<M: Message + Name>(
        name: &str,
        message: &M,
        references: References,
    ) -> Result<Resource, UnpackError> {
        let url = crate::any::type_url::<M>();
        match TypeUrl::from_url(&url) {
            Some(kind) => Ok(Self::from_bytes(kind, name, &message.encode_to_vec(), references)),
            None => Err(UnpackError::OtherType {
                expected: "resource that ADS serves".into(),
                found: url,
            }),
        }
    }

    /// A resource of bytes that are already encoded.
    pub fn from_bytes(kind: TypeUrl, name: &str, value: &[u8], references: References) -> Resource {
        let version = Version::of(value);
        let version_text = version.to_string();
        let any_len = wire::bytes_len(1, kind.url().len()) + wire::bytes_len(2, value.len());
        let len = wire::bytes_len(1, version_text.len())
            + wire::field_len(2, any_len)
            + wire::bytes_len(3, name.len());

        let mut delta = BytesMut::with_capacity(len);
        wire::put_bytes(&mut delta, 1, version_text.as_bytes());
        wire::put_field_head(&mut delta, 2, any_len);
        let any_start = delta.len();
        wire::put_bytes(&mut delta, 1, kind.url().as_bytes());
        wire::put_bytes(&mut delta, 2, value);
        let any_end = delta.len();
        wire::put_bytes(&mut delta, 3, name.as_bytes());

        Resource {
            kind,
            name: name.into(),
            version,
            references,
            delta: delta.freeze(),
            any: any_start..any_end,
            value: any_end - value.len()..any_end,
        }
    }

    /// The assignment without endpoints that answers a subscription to an unknown one, so that the client's
    /// cluster stops warming.
    pub fn empty_assignment(name: &str) -> Resource {
        let message = ClusterLoadAssignment {
            cluster_name: name.into(),
            ..Default::default()
        };
        Self::from_bytes(
            TypeUrl::Endpoint,
            name,
            &message.encode_to_vec(),
            References::default(),
        )
    }

    /// The type.
    pub fn kind(&self) -> TypeUrl {
        self.kind
    }

    /// The name, unique within the type.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The version: a hash of the content.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The names of other resources that this one needs.
    pub fn references(&self) -> &References {
        &self.references
    }

    /// The encoded message, shared.
    pub fn value(&self) -> Bytes {
        self.delta.slice(self.value.clone())
    }

    /// The encoded `google.protobuf.Any` around the message, shared: an element of a state-of-the-world response.
    pub fn any_bytes(&self) -> Bytes {
        self.delta.slice(self.any.clone())
    }

    /// The encoded `envoy.service.discovery.v3.Resource`, shared: an element of a delta response.
    pub fn delta_bytes(&self) -> Bytes {
        self.delta.clone()
    }

    /// The message as an `Any`; copies the bytes.
    pub fn to_any(&self) -> Any {
        Any {
            type_url: self.kind.url().into(),
            value: self.value().to_vec(),
        }
    }

    /// Decodes the message.
    ///
    /// # Errors
    /// When `M` is not the message of this resource's type, or the bytes do not decode.
    pub fn decode<M: Message + Name + Default>(&self) -> Result<M, UnpackError> {
        let expected = M::full_name();
        if self.kind.message() != expected {
            return Err(UnpackError::OtherType {
                expected,
                found: self.kind.url().into(),
            });
        }
        M::decode(self.value()).map_err(|error| UnpackError::Garbled {
            expected,
            reason: error.to_string(),
        })
    }
}

impl fmt::Debug for Resource {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{} {} {} ({} bytes)",
            self.kind.short(),
            self.name,
            self.version,
            self.value.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb::envoy::config::cluster::v3::Cluster;
    use crate::pb::envoy::service::discovery::v3 as discovery;

    fn cluster() -> Cluster {
        Cluster {
            name: "reviews".into(),
            alt_stat_name: "r".repeat(300),
            ..Cluster::default()
        }
    }

    #[test]
    fn the_shared_bytes_are_what_prost_would_have_written() {
        let ours = Resource::encode("reviews", &cluster(), References::default()).unwrap();

        let theirs = discovery::Resource {
            name: "reviews".into(),
            version: ours.version().to_string(),
            resource: Some(crate::pack(&cluster())),
            ..Default::default()
        };
        assert_eq!(discovery::Resource::decode(ours.delta_bytes()).unwrap(), theirs);
        assert_eq!(ours.any_bytes(), crate::pack(&cluster()).encode_to_vec());
        assert_eq!(ours.value(), cluster().encode_to_vec());
        assert_eq!(ours.decode::<Cluster>().unwrap(), cluster());
    }

    #[test]
    fn equal_content_has_an_equal_version_that_survives_printing() {
        let one = Version::of(b"same");

        assert_eq!(one, Version::of(b"same"));
        assert_ne!(one, Version::of(b"other"));
        assert_eq!(Version::parse(&one.to_string()), Some(one));
        assert_eq!(Version::parse("+123456789abcdef"), None);
        assert_eq!(Version::parse("12"), None);
    }

    #[test]
    fn a_message_that_is_no_resource_is_refused() {
        let error = Resource::encode("x", &Any::default(), References::default()).unwrap_err();

        assert!(error.to_string().contains("google.protobuf.Any"), "{error}");
    }

    #[test]
    fn an_empty_assignment_decodes_and_has_no_endpoints() {
        let assignment: ClusterLoadAssignment = Resource::empty_assignment("gone").decode().unwrap();

        assert_eq!(
            (assignment.cluster_name.as_str(), assignment.endpoints.len()),
            ("gone", 0)
        );
    }
}
