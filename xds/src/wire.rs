//! The few protobuf writing steps that let encoded resources be shared instead of encoded per client.

use bytes::BufMut;

/// Writes a varint: seven bits a byte, lowest first.
pub(crate) fn put_varint(out: &mut impl BufMut, mut value: u64) {
    while value >= 0x80 {
        out.put_u8((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

/// The number of bytes that [`put_varint`] writes.
pub(crate) fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Writes the key and length of a length-delimited field; its `len` bytes must follow.
pub(crate) fn put_field_head(out: &mut impl BufMut, tag: u32, len: usize) {
    put_varint(out, u64::from(tag << 3 | 2));
    put_varint(out, len as u64);
}

/// Writes a string or bytes field; an empty one is left out, as proto3 does.
pub(crate) fn put_bytes(out: &mut impl BufMut, tag: u32, value: &[u8]) {
    if !value.is_empty() {
        put_field_head(out, tag, value.len());
        out.put_slice(value);
    }
}

/// The length of a length-delimited field with `len` bytes of content, key and length included.
pub(crate) fn field_len(tag: u32, len: usize) -> usize {
    varint_len(u64::from(tag << 3 | 2)) + varint_len(len as u64) + len
}

/// The number of bytes that [`put_bytes`] writes.
pub(crate) fn bytes_len(tag: u32, len: usize) -> usize {
    if len == 0 { 0 } else { field_len(tag, len) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_varint_is_as_long_as_announced_and_equal_to_the_encoder_of_prost() {
        for value in [0, 1, 127, 128, 300, 16_383, 16_384, u64::from(u32::MAX), u64::MAX] {
            let mut ours = Vec::new();
            put_varint(&mut ours, value);

            let mut theirs = Vec::new();
            prost::encoding::encode_varint(value, &mut theirs);

            assert_eq!(ours, theirs);
            assert_eq!(ours.len(), varint_len(value));
        }
    }
}
