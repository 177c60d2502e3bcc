//! Packing messages into `Any` and back, with errors that say what was found.

use prost::{Message, Name};

use crate::pb::google::protobuf::Any;

/// Why an `Any` could not be read as the wanted message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnpackError {
    /// The `Any` holds another message.
    #[error("a message of type {found:?} was found where a {expected} was expected")]
    OtherType {
        /// Full name of the wanted message.
        expected: String,
        /// The type URL found.
        found: String,
    },
    /// The type is right but the bytes are not.
    #[error("the bytes of a {expected} do not decode: {reason}")]
    Garbled {
        /// Full name of the wanted message.
        expected: String,
        /// What the decoder said.
        reason: String,
    },
}

/// Packs a message under its own type URL.
pub fn pack<M: Message + Name>(message: &M) -> Any {
    Any {
        type_url: type_url::<M>(),
        value: message.encode_to_vec(),
    }
}

/// Unpacks a message, whatever stands before the last `/` of the type URL.
///
/// # Errors
/// When the type is another one or the bytes do not decode.
pub fn unpack<M: Message + Name + Default>(any: &Any) -> Result<M, UnpackError> {
    let expected = M::full_name();
    if any.type_url.rsplit('/').next() != Some(expected.as_str()) {
        return Err(UnpackError::OtherType {
            expected,
            found: any.type_url.clone(),
        });
    }
    M::decode(any.value.as_slice()).map_err(|error| UnpackError::Garbled {
        expected,
        reason: error.to_string(),
    })
}

/// The type URL of a message, with the prefix that Envoy uses.
pub fn type_url<M: Name>() -> String {
    format!("type.googleapis.com/{}", M::full_name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb::envoy::config::cluster::v3::Cluster;
    use crate::pb::envoy::config::route::v3::RouteConfiguration;

    fn cluster() -> Cluster {
        Cluster {
            name: "reviews".into(),
            ..Cluster::default()
        }
    }

    #[test]
    fn a_packed_message_unpacks_to_itself() {
        let any = pack(&cluster());

        assert_eq!(any.type_url, crate::TypeUrl::Cluster.url());
        assert_eq!(unpack::<Cluster>(&any), Ok(cluster()));
    }

    #[test]
    fn another_type_is_named_in_the_error() {
        let error = unpack::<RouteConfiguration>(&pack(&cluster())).unwrap_err();

        assert_eq!(
            error.to_string(),
            "a message of type \"type.googleapis.com/envoy.config.cluster.v3.Cluster\" was found \
             where a envoy.config.route.v3.RouteConfiguration was expected"
        );
    }

    #[test]
    fn garbled_bytes_are_an_error_that_names_the_message() {
        let any = Any {
            type_url: type_url::<Cluster>(),
            value: vec![0xff; 3],
        };

        let error = unpack::<Cluster>(&any).unwrap_err();

        assert!(
            error
                .to_string()
                .starts_with("the bytes of a envoy.config.cluster.v3.Cluster do not decode")
        );
    }
}
