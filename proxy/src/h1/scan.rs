//! Finds the end of a head as its bytes arrive, reading each byte once, and enforces the size limits on the
//! way.
//!
//! The head is judged in byte order here, so a head that comes in one read and the same head cut anywhere are
//! refused alike.

use bytes::{Buf, BytesMut};
use memchr::memchr;

use super::{field::Slot, refusal::Refusal, syntax::is_control};

/// What the codec keeps from one head to the next on one direction of a connection: how far an unfinished
/// head has been read, and the memory of the last head's field table.
#[derive(Debug, Default)]
pub struct Scratch {
    /// Bytes of the buffer already judged.
    scanned: usize,
    /// Where the line that is being read starts.
    line_start: usize,
    /// Where the first line ended, once it has.
    first_line: Option<usize>,
    /// Whether the one blank line that may stand before a request has been dropped.
    blank_dropped: bool,
    /// The field table of the last head, kept for its memory.
    pub(super) slots: Vec<Slot>,
}

impl Scratch {
    /// Starts without anything read.
    #[must_use]
    pub fn new() -> Scratch {
        Scratch::default()
    }

    /// Whether an unfinished head has been started: at least one byte of it was seen.
    #[must_use]
    pub fn in_head(&self) -> bool {
        self.scanned > 0
    }

    /// Forgets how far the head was read, for the next one.
    fn restart(&mut self) {
        self.scanned = 0;
        self.line_start = 0;
        self.first_line = None;
        self.blank_dropped = false;
    }

    /// Drops one blank line before a request line, which old clients send after a body. Says whether more
    /// bytes are needed to tell.
    pub(super) fn drop_blank_line(&mut self, buffer: &mut BytesMut) -> bool {
        if self.blank_dropped || self.scanned > 0 {
            return false;
        }
        match buffer.as_ref() {
            [b'\r'] => return true,
            [b'\r', b'\n', ..] => buffer.advance(2),
            [b'\n', ..] => buffer.advance(1),
            _ => return false,
        }
        self.blank_dropped = true;
        buffer.is_empty()
    }
}

/// How large the two parts of a head may be, and what to say beyond.
#[derive(Debug, Clone, Copy)]
pub(super) struct Caps {
    /// Largest first line in bytes, its end included.
    pub(super) first_line: usize,
    /// The refusal for a longer first line.
    pub(super) first_line_refusal: Refusal,
    /// The refusal for a blank first line, which the parser would skip.
    pub(super) blank_refusal: Refusal,
    /// Largest header section in bytes, line ends and the closing blank line included.
    pub(super) headers: usize,
}

/// Where the head in `buffer` ends, or `None` while it is incomplete. A refusal is final.
pub(super) fn head_end(buffer: &[u8], scratch: &mut Scratch, caps: Caps) -> Result<Option<usize>, Refusal> {
    loop {
        let (cap, beyond) = match scratch.first_line {
            None => (caps.first_line, caps.first_line_refusal),
            Some(end) => (end.saturating_add(caps.headers), Refusal::HeadersTooLarge),
        };
        let window = buffer.get(..cap).unwrap_or(buffer);
        let fresh = window.get(scratch.scanned..).unwrap_or_default();
        let Some(line_feed) = memchr(b'\n', fresh) else {
            let settled = fresh.strip_suffix(b"\r").unwrap_or(fresh);
            check(settled)?;
            scratch.scanned += settled.len();
            return if buffer.len() >= cap {
                Err(beyond)
            } else {
                Ok(None)
            };
        };
        let tail = fresh.get(..line_feed).unwrap_or_default();
        check(tail.strip_suffix(b"\r").unwrap_or(tail))?;
        let end = scratch.scanned + line_feed;
        let line = window.get(scratch.line_start..end).unwrap_or_default();
        let blank = matches!(line, [] | [b'\r']);
        scratch.scanned = end + 1;
        scratch.line_start = end + 1;
        if scratch.first_line.is_none() {
            if blank {
                return Err(caps.blank_refusal);
            }
            scratch.first_line = Some(end + 1);
        } else if blank {
            scratch.restart();
            return Ok(Some(end + 1));
        }
    }
}

/// Refuses the first control byte of `bytes`, which are the inside of a line.
fn check(bytes: &[u8]) -> Result<(), Refusal> {
    // The whole is judged first, without a branch per byte, because nearly every line is clean.
    if !bytes.iter().fold(false, |bad, &byte| bad | is_control(byte)) {
        return Ok(());
    }
    match bytes.iter().find(|&&byte| is_control(byte)) {
        Some(b'\r') => Err(Refusal::BareCr),
        _ => Err(Refusal::ControlByte),
    }
}
