//! The chunked coding, read strictly and written plainly.

use bytes::{BufMut, BytesMut};

use super::{
    body::Step,
    diagnose,
    field::Known,
    refusal::Refusal,
    rules::{MAX_HEADER_COUNT, Rules},
    syntax::{is_control, is_field_value, is_token, is_token_byte},
};

/// Most digits in a chunk size.
const MAX_DIGITS: u8 = 16;

/// Reads chunks byte by byte, except for their data. Nothing but `hex [;extension] CRLF data CRLF` passes.
#[derive(Debug)]
pub(super) struct ChunkReader {
    state: State,
    /// The size that is being read, then the bytes of data still to come.
    left: u64,
    extension_left: usize,
    trailer_limit: usize,
    trailer_count: usize,
    /// The trailer section as it came, line ends included.
    trailer: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// In a chunk size, after so many digits.
    Size(u8),
    /// After the `;`, where a name must begin.
    ExtensionName,
    Extension,
    /// After the CR of a size line.
    SizeLf,
    Data,
    /// After the data of a chunk.
    DataCr,
    DataLf,
    /// After the last chunk.
    Trailer,
    Done,
}

impl ChunkReader {
    pub(super) fn new(rules: &Rules) -> ChunkReader {
        ChunkReader {
            state: State::Size(0),
            left: 0,
            extension_left: rules.extension_bytes,
            trailer_limit: rules.trailer_bytes,
            trailer_count: rules.header_count.min(MAX_HEADER_COUNT),
            trailer: Vec::new(),
        }
    }

    /// Reads up to the end of one run of data, or further to the end of the body when no other data lies
    /// between. A fault found on the way comes beside the step, so that data in front of it is not lost.
    pub(super) fn read(&mut self, input: &[u8]) -> (Step, Option<Refusal>) {
        let mut step = Step {
            consumed: 0,
            data: 0..0,
            done: false,
        };
        while let Some(rest) = input.get(step.consumed..).filter(|rest| !rest.is_empty()) {
            if matches!(self.state, State::Data) {
                if !step.data.is_empty() {
                    break;
                }
                let taken = usize::try_from(self.left).unwrap_or(usize::MAX).min(rest.len());
                step.data = step.consumed..step.consumed + taken;
                step.consumed += taken;
                self.left -= taken as u64;
                if self.left == 0 {
                    self.state = State::DataCr;
                }
                continue;
            }
            let Some(&byte) = rest.first() else { break };
            match self.frame(byte) {
                Ok(next) => self.state = next,
                Err(refusal) => return (step, Some(refusal)),
            }
            step.consumed += 1;
            if matches!(self.state, State::Done) {
                step.done = true;
                break;
            }
        }
        (step, None)
    }

    /// Reads one byte that is not data.
    fn frame(&mut self, byte: u8) -> Result<State, Refusal> {
        match (self.state, byte) {
            (State::Size(1..), b'\r') | (State::Extension, b'\r') => Ok(State::SizeLf),
            (State::Size(1..), b';') => self.extension(State::ExtensionName),
            (State::Size(digits), _) => {
                let digit = char::from(byte).to_digit(16).ok_or(Refusal::ChunkSize)?;
                if digits == MAX_DIGITS {
                    return Err(Refusal::ChunkSize);
                }
                self.left = self.left.wrapping_shl(4) | u64::from(digit);
                if self.left > i64::MAX as u64 {
                    return Err(Refusal::ChunkTooLarge);
                }
                Ok(State::Size(digits + 1))
            }
            (State::ExtensionName, _) if is_token_byte(byte) => self.extension(State::Extension),
            (State::ExtensionName, _) => Err(Refusal::ChunkExtension),
            (State::Extension, b'\n') => Err(Refusal::ChunkLine),
            (State::Extension, _) if is_control(byte) => Err(Refusal::ChunkExtension),
            (State::Extension, _) => self.extension(State::Extension),
            (State::SizeLf, b'\n') if self.left == 0 => Ok(State::Trailer),
            (State::SizeLf, b'\n') => Ok(State::Data),
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => Ok(State::Size(0)),
            (State::SizeLf | State::DataCr | State::DataLf, _) => Err(Refusal::ChunkLine),
            (State::Trailer, _) => self.trailer_byte(byte),
            (State::Data | State::Done, _) => Ok(self.state),
        }
    }

    fn extension(&mut self, next: State) -> Result<State, Refusal> {
        self.extension_left = self
            .extension_left
            .checked_sub(1)
            .ok_or(Refusal::ChunkExtensionsTooLarge)?;
        Ok(next)
    }

    /// Collects the trailer section until its blank line, then judges it.
    fn trailer_byte(&mut self, byte: u8) -> Result<State, Refusal> {
        // The blank line itself does not count.
        if self.trailer.len() >= self.trailer_limit.saturating_add(2) {
            return Err(Refusal::TrailersTooLarge);
        }
        match (self.trailer.last(), byte) {
            (Some(b'\r'), b'\n') => {}
            (Some(b'\r'), _) | (_, b'\n') => return Err(Refusal::TrailerMalformed),
            (_, b'\r' | b'\t') => {}
            _ if is_control(byte) => return Err(Refusal::TrailerMalformed),
            _ => {}
        }
        self.trailer.push(byte);
        if self.trailer == b"\r\n" || self.trailer.ends_with(b"\r\n\r\n") {
            self.judge_trailers()?;
            return Ok(State::Done);
        }
        Ok(State::Trailer)
    }

    fn judge_trailers(&self) -> Result<(), Refusal> {
        let mut table = [httparse::EMPTY_HEADER; MAX_HEADER_COUNT];
        match httparse::parse_headers(&self.trailer, &mut table) {
            Ok(httparse::Status::Complete((_, parsed))) => {
                if parsed.len() > self.trailer_count {
                    Err(Refusal::TrailersTooLarge)
                } else if parsed
                    .iter()
                    .any(|header| is_forbidden_trailer(header.name.as_bytes()))
                {
                    Err(Refusal::TrailerForbidden)
                } else {
                    Ok(())
                }
            }
            Err(httparse::Error::TooManyHeaders) => Err(Refusal::TrailersTooLarge),
            _ => Err(diagnose::header_lines(&self.trailer).unwrap_or(Refusal::TrailerMalformed)),
        }
    }

    pub(super) fn has_trailers(&self) -> bool {
        self.trailer.len() > 2
    }

    /// The trailer fields, of a section already judged.
    pub(super) fn trailers(&self) -> impl Iterator<Item = (&[u8], &[u8])> + Clone {
        self.trailer.split(|&byte| byte == b'\n').filter_map(|line| {
            let at = line.iter().position(|&byte| byte == b':')?;
            let (name, value) = line.split_at_checked(at)?;
            Some((name, value.get(1..).unwrap_or_default().trim_ascii()))
        })
    }
}

/// Whether a trailer of that name would frame, route or authenticate the message, or change how its head was
/// read.
#[must_use]
pub fn is_forbidden_trailer(name: &[u8]) -> bool {
    const NAMES: &[&str] = &[
        "age",
        "cache-control",
        "content-encoding",
        "content-location",
        "content-range",
        "content-type",
        "date",
        "expires",
        "location",
        "max-forwards",
        "pragma",
        "range",
        "retry-after",
        "set-cookie",
        "vary",
        "warning",
        "www-authenticate",
        "x-real-ip",
    ];
    const PREFIXES: &[&str] = &[
        "if-",
        "x-forwarded-",
        "x-istio-",
        "x-outrigger-",
        "x-envoy-",
        "proxy-",
        "sec-",
    ];
    let starts = |prefix: &&str| {
        name.split_at_checked(prefix.len())
            .is_some_and(|(start, _)| start.eq_ignore_ascii_case(prefix.as_bytes()))
    };
    Known::of(name) != Known::Other && !matches!(Known::of(name), Known::UserAgent)
        || NAMES
            .iter()
            .any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
        || PREFIXES.iter().any(starts)
}

/// Writes a chunked body: a size line before each run of data, the last chunk and the trailers after it. The
/// data itself is the caller's to send after each size line, without a copy.
#[derive(Debug, Default)]
pub struct ChunkWriter {
    /// Whether a chunk before still lacks its CRLF.
    open: bool,
}

impl ChunkWriter {
    /// Starts a body.
    #[must_use]
    pub fn new() -> ChunkWriter {
        ChunkWriter::default()
    }

    /// Appends what has to go out before `length` bytes of data. Nothing is written for no data, since a
    /// chunk of nought ends the body.
    pub fn begin(&mut self, out: &mut BytesMut, length: usize) {
        if length == 0 {
            return;
        }
        self.close(out);
        put_hex(out, length);
        out.put_slice(b"\r\n");
        self.open = true;
    }

    /// Appends the last chunk and the trailers. Trailers that may not stand there, or are not well-formed,
    /// are left out.
    pub fn finish<'a>(&mut self, out: &mut BytesMut, trailers: impl Iterator<Item = (&'a [u8], &'a [u8])>) {
        self.close(out);
        out.put_slice(b"0\r\n");
        for (name, value) in trailers {
            if is_token(name) && is_field_value(value) && !is_forbidden_trailer(name) {
                out.put_slice(name);
                out.put_slice(b": ");
                out.put_slice(value);
                out.put_slice(b"\r\n");
            }
        }
        out.put_slice(b"\r\n");
    }

    fn close(&mut self, out: &mut BytesMut) {
        if std::mem::take(&mut self.open) {
            out.put_slice(b"\r\n");
        }
    }
}

/// Appends a number in hex, without leading zeros.
fn put_hex(out: &mut BytesMut, number: usize) {
    let digits = (usize::BITS - number.leading_zeros()).div_ceil(4).max(1);
    for place in (0..digits).rev() {
        let digit = (number >> (place * 4)) & 0xf;
        out.put_u8(char::from_digit(digit as u32, 16).map_or(b'0', |digit| digit as u8));
    }
}
