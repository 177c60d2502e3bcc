//! How a value is wrapped, wherever it lies: format, checksum, version, kind, bytes. Pure.

use bytes::{Buf, Bytes};

/// Layout number, the first byte of every envelope.
const FORMAT: u8 = 1;
/// Bytes before the kind's name: format, CRC-32C of all that follows it, version, length of the name.
const HEAD: usize = 1 + 4 + 8 + 1;

/// An object's stored form with what is needed to trust it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Envelope {
    /// Version of the change that wrote it.
    pub(crate) version: u64,
    /// Plural resource and group, such as `gateways.networking.istio.io`.
    pub(crate) kind: String,
    /// Canonical JSON.
    pub(crate) json: Bytes,
}

/// Why a value is not to be trusted.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum Damaged {
    /// It ends too early.
    #[error("it is cut after {0} bytes")]
    Cut(usize),
    /// It was written by another version of the program.
    #[error("its format number is {0}, this version reads {FORMAT}")]
    Format(u8),
    /// It is not what was written.
    #[error("its checksum is {computed:08x}, {stored:08x} was written")]
    Checksum { stored: u32, computed: u32 },
    /// The kind's name is no text although the checksum holds.
    #[error("the name of its kind is no text")]
    Kind,
}

impl Envelope {
    pub(crate) fn encode(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(HEAD + self.kind.len() + self.json.len());
        let version = self.version.to_be_bytes();
        let length = [self.kind.len() as u8]; // plural and group together are under 100 bytes
        let parts: [&[u8]; 4] = [&version, &length, self.kind.as_bytes(), &self.json];
        let crc = parts.iter().fold(0, |crc, part| crc32c::crc32c_append(crc, part));
        bytes.push(FORMAT);
        bytes.extend_from_slice(&crc.to_be_bytes());
        parts.iter().for_each(|part| bytes.extend_from_slice(part));
        bytes.into()
    }

    pub(crate) fn decode(mut bytes: Bytes) -> Result<Self, Damaged> {
        if bytes.len() < HEAD {
            return Err(Damaged::Cut(bytes.len()));
        }
        let format = bytes.get_u8();
        let stored = bytes.get_u32();
        let computed = crc32c::crc32c(&bytes);
        if format != FORMAT {
            return Err(Damaged::Format(format));
        }
        if stored != computed {
            return Err(Damaged::Checksum { stored, computed });
        }
        let version = bytes.get_u64();
        let length = usize::from(bytes.get_u8());
        if bytes.len() < length {
            return Err(Damaged::Cut(HEAD + bytes.len()));
        }
        let kind = String::from_utf8(bytes.split_to(length).to_vec()).map_err(|_| Damaged::Kind)?;
        Ok(Envelope {
            version,
            kind,
            json: bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn envelope() -> Envelope {
        Envelope {
            version: 7,
            kind: "gateways.networking.istio.io".into(),
            json: Bytes::from_static(b"{\"a\":1}"),
        }
    }

    #[test]
    fn what_is_wrapped_is_unwrapped() {
        assert_eq!(Envelope::decode(envelope().encode()), Ok(envelope()));
    }

    #[test]
    fn every_single_flipped_bit_and_every_cut_is_noticed() {
        let whole = envelope().encode();

        for position in 0..whole.len() * 8 {
            let mut bytes = whole.to_vec();
            bytes[position / 8] ^= 1 << (position % 8);
            assert!(Envelope::decode(bytes.into()).is_err(), "bit {position}");
        }
        for length in 0..whole.len() {
            assert!(
                Envelope::decode(whole.slice(..length)).is_err(),
                "length {length}"
            );
        }
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes: Vec<u8>) {
            let _ = Envelope::decode(bytes.into());
        }
    }
}
