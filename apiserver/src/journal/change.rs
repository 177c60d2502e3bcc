//! One change as the journal keeps it: version, key, and the new value. Pure.

use bytes::{Buf, Bytes};

/// Layout number, the first byte of every encoded change.
const FORMAT: u8 = 1;

/// What happened at one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// Its place in the one order of everything.
    pub(crate) version: u64,
    pub(crate) effect: Effect,
}

/// The effect of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// The value under a key is now this envelope.
    Put { key: String, envelope: Bytes },
    /// There is nothing under a key any more.
    Delete { key: String },
}

impl Effect {
    /// Bytes of the new value; none when there is none.
    pub(crate) fn value_length(&self) -> usize {
        match self {
            Effect::Put { envelope, .. } => envelope.len(),
            Effect::Delete { .. } => 0,
        }
    }
}

/// The bytes are no change that this version of the program writes.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a change of format {FORMAT}: {0}")]
pub(crate) struct NotAChange(&'static str);

impl Change {
    /// `format u8 | op u8 | version u64 | key length u16 | key | envelope`, big-endian.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let (op, key, envelope): (u8, &str, &[u8]) = match &self.effect {
            Effect::Put { key, envelope } => (b'P', key, envelope),
            Effect::Delete { key } => (b'D', key, &[]),
        };
        let mut bytes = Vec::with_capacity(12 + key.len() + envelope.len());
        bytes.extend_from_slice(&[FORMAT, op]);
        bytes.extend_from_slice(&self.version.to_be_bytes());
        bytes.extend_from_slice(&(key.len() as u16).to_be_bytes()); // keys are at most 400 bytes long
        bytes.extend_from_slice(key.as_bytes());
        bytes.extend_from_slice(envelope);
        bytes
    }

    pub(crate) fn decode(mut bytes: Bytes) -> Result<Self, NotAChange> {
        if bytes.len() < 12 {
            return Err(NotAChange("too short"));
        }
        if bytes.get_u8() != FORMAT {
            return Err(NotAChange("another format number"));
        }
        let op = bytes.get_u8();
        let version = bytes.get_u64();
        let length = usize::from(bytes.get_u16());
        if bytes.len() < length {
            return Err(NotAChange("the key is cut"));
        }
        let key = String::from_utf8(bytes.split_to(length).to_vec())
            .map_err(|_| NotAChange("the key is no text"))?;
        let effect = match op {
            b'P' => Effect::Put { key, envelope: bytes },
            b'D' => Effect::Delete { key },
            _ => return Err(NotAChange("unknown operation")),
        };
        Ok(Change { version, effect })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_again(version: u64, key in "[a-z/.]{0,300}", value: Vec<u8>, op in 0..2) {
            let effect = match op {
                0 => Effect::Put { key, envelope: value.into() },
                _ => Effect::Delete { key },
            };
            let change = Change { version, effect };

            prop_assert_eq!(Change::decode(change.encode().into()), Ok(change));
        }

        #[test]
        fn random_bytes_are_read_or_refused_without_a_panic(bytes: Vec<u8>) {
            let _ = Change::decode(bytes.into());
        }
    }
}
