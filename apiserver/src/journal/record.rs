//! The frame around every record on disk: mark, length, CRC-32C, payload. Pure.
//!
//! ```text
//! F5 'O' 'J' '1' | length: u32 BE | crc: u32 BE over length and payload | payload
//! ```
//!
//! The mark's first byte never occurs in UTF-8 text, so that after damage the next whole record can be found again
//! by looking for the mark.

/// First four bytes of every record.
const MARK: [u8; 4] = [0xF5, b'O', b'J', b'1'];
/// Bytes before the payload.
pub(crate) const HEAD: usize = 12;
/// Largest payload, in bytes; an object has at most 1.5 MiB.
pub(crate) const LARGEST_PAYLOAD: usize = 4 << 20;

/// Appends a framed record to a buffer. A payload beyond [`LARGEST_PAYLOAD`] would never be read back: callers bound it.
pub(crate) fn frame(payload: &[u8], into: &mut Vec<u8>) {
    debug_assert!(payload.len() <= LARGEST_PAYLOAD, "callers bound the payload");
    let length = (payload.len() as u32).to_be_bytes();
    let crc = crc32c::crc32c_append(crc32c::crc32c(&length), payload);
    into.reserve(HEAD + payload.len());
    into.extend_from_slice(&MARK);
    into.extend_from_slice(&length);
    into.extend_from_slice(&crc.to_be_bytes());
    into.extend_from_slice(payload);
}

/// What lies at one place of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found<'a> {
    /// A whole record; the next one begins at `end`.
    Record {
        /// The payload, its checksum proven.
        payload: &'a [u8],
        /// Offset after the record.
        end: usize,
    },
    /// Bytes that are no whole record.
    Damage {
        /// Offset of the next whole record, or the end of the bytes.
        end: usize,
        /// False when a whole record follows, so that this is no torn tail.
        to_the_end: bool,
    },
}

/// Walks over all records and damaged places of a file's bytes, from an offset on.
pub(crate) fn scan(bytes: &[u8], from: usize) -> impl Iterator<Item = (usize, Found<'_>)> {
    let mut at = from;
    std::iter::from_fn(move || {
        if at >= bytes.len() {
            return None;
        }
        let start = at;
        let found = match whole_at(bytes, at) {
            Some((payload, end)) => Found::Record { payload, end },
            None => match next_whole(bytes, at + 1) {
                Some(end) => Found::Damage {
                    end,
                    to_the_end: false,
                },
                None => Found::Damage {
                    end: bytes.len(),
                    to_the_end: true,
                },
            },
        };
        at = match &found {
            Found::Record { end, .. } | Found::Damage { end, .. } => *end,
        };
        Some((start, found))
    })
}

/// True for bytes at the end of a file that are the beginning of a record and no more, or nothing but zeros: what a
/// process leaves that was killed while it wrote, or a machine whose disk had made room and no data yet. A record
/// that was once whole does not come to look like this, unless its length was damaged or its file cut.
pub(crate) fn is_unfinished(tail: &[u8]) -> bool {
    if tail.iter().all(|byte| *byte == 0) {
        return true;
    }
    let Some(rest) = tail.strip_prefix(&MARK) else {
        return MARK.starts_with(tail);
    };
    match rest.split_first_chunk::<4>() {
        Some((length, _)) => {
            let size = u32::from_be_bytes(*length) as usize;
            size <= LARGEST_PAYLOAD && tail.len() < HEAD + size
        }
        None => true,
    }
}

fn whole_at(bytes: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let rest = bytes.get(at..)?.strip_prefix(&MARK)?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let size = u32::from_be_bytes(*length) as usize;
    if size > LARGEST_PAYLOAD {
        return None;
    }
    let payload = rest.get(..size)?;
    let computed = crc32c::crc32c_append(crc32c::crc32c(length), payload);
    (computed == u32::from_be_bytes(*crc)).then_some((payload, at + HEAD + size))
}

fn next_whole(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += bytes.get(at..)?.iter().position(|byte| *byte == MARK[0])?;
        if whole_at(bytes, at).is_some() {
            return Some(at);
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(payloads: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        payloads.iter().for_each(|payload| frame(payload, &mut bytes));
        bytes
    }

    fn payloads(bytes: &[u8]) -> Vec<Vec<u8>> {
        scan(bytes, 0)
            .filter_map(|(_, found)| match found {
                Found::Record { payload, .. } => Some(payload.to_vec()),
                Found::Damage { .. } => None,
            })
            .collect()
    }

    #[test]
    fn the_beginning_of_a_record_is_unfinished_and_a_whole_one_with_a_wrong_bit_is_damaged() {
        let whole = file(&[b"payload".to_vec()]);
        for length in 0..whole.len() {
            assert!(is_unfinished(&whole[..length]), "length {length}");
        }
        assert!(is_unfinished(&[0; 40]), "room without data");
        for position in [0, 3, 8, 11, HEAD, whole.len() - 1] {
            let mut bytes = whole.clone();
            bytes[position] ^= 1;
            assert!(!is_unfinished(&bytes), "byte {position}");
        }
        assert!(!is_unfinished(b"something else"));
    }

    proptest! {
        #[test]
        fn one_flipped_bit_costs_one_record_and_no_other(
            written in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..8),
            position in any::<prop::sample::Index>(),
            bit in 0u8..8,
        ) {
            let mut bytes = file(&written);
            let at = position.index(bytes.len());
            bytes[at] ^= 1 << bit;

            let read = payloads(&bytes);

            prop_assert_eq!(read.len(), written.len() - 1);
            prop_assert!(read.iter().all(|payload| written.contains(payload)));
        }

        #[test]
        fn a_cut_file_gives_every_record_before_the_cut(
            written in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..8),
            position in any::<prop::sample::Index>(),
        ) {
            let bytes = file(&written);
            let cut = position.index(bytes.len());
            let mut whole = 0;
            let mut length = 0;
            for payload in &written {
                length += HEAD + payload.len();
                whole += usize::from(length <= cut);
            }

            prop_assert_eq!(payloads(&bytes[..cut]), written[..whole].to_vec());
        }

        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            scan(&bytes, 0).for_each(drop);
        }
    }

    #[test]
    fn damage_in_the_middle_is_told_from_a_torn_tail() {
        let mut bytes = file(&[vec![1; 9], vec![2; 9]]);
        bytes[HEAD] ^= 1;

        let found: Vec<(usize, Found<'_>)> = scan(&bytes, 0).collect();

        assert_eq!(
            found[0],
            (
                0,
                Found::Damage {
                    end: HEAD + 9,
                    to_the_end: false
                }
            )
        );
        let torn = &file(&[vec![1; 9], vec![2; 9]])[..HEAD + 9 + 5];
        assert_eq!(
            scan(torn, 0).last(),
            Some((
                HEAD + 9,
                Found::Damage {
                    end: HEAD + 14,
                    to_the_end: true
                }
            ))
        );
    }
}
