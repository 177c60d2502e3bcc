//! Cuts a stream of bytes into lines, however it was chunked.

use bytes::{Buf, Bytes, BytesMut};

/// Longest line accepted, in bytes: an object of 1.5 MiB twice over, escapes included.
pub(super) const LONGEST_LINE: usize = 4 << 20;

/// Bytes that have come and are not a whole line yet.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pending: BytesMut,
    /// Bytes of `pending` known to hold no line end.
    searched: usize,
}

/// A line longer than [`LONGEST_LINE`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

impl Lines {
    /// Adds what has come.
    pub(super) fn push(&mut self, chunk: &[u8]) {
        self.pending.extend_from_slice(chunk);
    }

    /// The next whole line without its end, or `None` when more must come. Blank lines are passed over.
    pub(super) fn next_line(&mut self) -> Result<Option<Bytes>, TooLong> {
        loop {
            let Some(offset) = self
                .pending
                .iter()
                .skip(self.searched)
                .position(|byte| *byte == b'\n')
            else {
                self.searched = self.pending.len();
                return if self.searched > LONGEST_LINE {
                    Err(TooLong)
                } else {
                    Ok(None)
                };
            };
            let line = self.pending.split_to(self.searched + offset).freeze();
            self.pending.advance(1);
            self.searched = 0;
            if !line.trim_ascii().is_empty() {
                return Ok(Some(line));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn lines_come_out_whole_however_they_are_chunked(
            lines in prop::collection::vec("[a-z]{1,20}", 0..20),
            cut in 1usize..7,
        ) {
            let text: String = lines.iter().map(|line| format!("{line}\n\n")).collect();
            let mut decoder = Lines::default();
            let mut seen = Vec::new();

            for chunk in text.as_bytes().chunks(cut) {
                decoder.push(chunk);
                while let Some(line) = decoder.next_line().unwrap() {
                    seen.push(String::from_utf8(line.to_vec()).unwrap());
                }
            }

            prop_assert_eq!(seen, lines);
        }
    }

    #[test]
    fn a_line_without_end_is_refused_once_it_is_too_long() {
        let mut decoder = Lines::default();
        decoder.push(&vec![b'x'; LONGEST_LINE]);
        assert_eq!(decoder.next_line(), Ok(None));

        decoder.push(b"xx");

        assert_eq!(decoder.next_line(), Err(TooLong));
    }
}
