//! Follows a message body through the bytes of its connection and says which of them to pass on.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

use super::{chunked::ChunkReader, framing::BodyFraming, refusal::Refusal, rules::Rules};

/// The state of one body that is being read. Make a new one for each message.
#[derive(Debug)]
pub struct BodyDecoder {
    state: State,
    /// A fault found behind data that had to be handed out first.
    failed: Option<Refusal>,
}

#[derive(Debug)]
enum State {
    /// So many bytes are to come.
    Length(u64),
    Chunked(Box<ChunkReader>),
    UntilClose,
    Done,
    /// Ended, with trailer fields.
    Trailers(Box<ChunkReader>),
}

/// What the front of a buffer holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Bytes of the input that are dealt with, body and framing together. Nought, unless `done`, means that
    /// more input is needed.
    pub consumed: usize,
    /// Which of the consumed bytes are body; may be blank.
    pub data: Range<usize>,
    /// Whether the body ends here: what follows the consumed bytes belongs to the next message.
    pub done: bool,
}

/// One piece of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Bytes to pass on; never blank.
    Data(Bytes),
    /// More input is needed.
    Incomplete,
    /// The body has ended; trailers, if any, are at [`BodyDecoder::trailers`].
    End,
}

impl BodyDecoder {
    /// Starts a body of that framing.
    #[must_use]
    pub fn new(framing: BodyFraming, rules: &Rules) -> BodyDecoder {
        let state = match framing {
            BodyFraming::None | BodyFraming::Length(0) => State::Done,
            BodyFraming::Length(length) => State::Length(length),
            BodyFraming::Chunked => State::Chunked(Box::new(ChunkReader::new(rules))),
            BodyFraming::UntilClose => State::UntilClose,
        };
        BodyDecoder { state, failed: None }
    }

    /// Whether the body was read to its end.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.failed.is_none() && matches!(self.state, State::Done | State::Trailers(_))
    }

    /// Reads on at the front of `input`. Take the consumed bytes away and call again until it consumes
    /// nothing or is done.
    ///
    /// # Errors
    /// A [`Refusal`] at the first byte that breaks the framing; every later call gives the same one.
    pub fn decode(&mut self, input: &[u8]) -> Result<Step, Refusal> {
        if let Some(refusal) = self.failed {
            return Err(refusal);
        }
        match &mut self.state {
            State::Done | State::Trailers(_) => Ok(Step {
                consumed: 0,
                data: 0..0,
                done: true,
            }),
            State::UntilClose => Ok(Step {
                consumed: input.len(),
                data: 0..input.len(),
                done: false,
            }),
            State::Length(left) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                *left -= taken as u64;
                let done = *left == 0;
                if done {
                    self.state = State::Done;
                }
                Ok(Step {
                    consumed: taken,
                    data: 0..taken,
                    done,
                })
            }
            State::Chunked(reader) => {
                let (step, failed) = reader.read(input);
                self.failed = failed;
                match failed {
                    Some(refusal) if step.data.is_empty() => return Err(refusal),
                    _ => {}
                }
                if step.done {
                    self.state = match std::mem::replace(&mut self.state, State::Done) {
                        State::Chunked(reader) if reader.has_trailers() => State::Trailers(reader),
                        _ => State::Done,
                    };
                }
                Ok(step)
            }
        }
    }

    /// Takes the next piece of the body off the front of `buffer`, sharing its memory.
    ///
    /// # Errors
    /// As [`Self::decode`].
    pub fn next(&mut self, buffer: &mut BytesMut) -> Result<Piece, Refusal> {
        loop {
            let step = self.decode(buffer)?;
            let mut taken = buffer.split_to(step.consumed);
            if !step.data.is_empty() {
                taken.truncate(step.data.end);
                return Ok(Piece::Data(taken.split_off(step.data.start).freeze()));
            }
            if step.done {
                return Ok(Piece::End);
            }
            if step.consumed == 0 || buffer.is_empty() {
                return Ok(Piece::Incomplete);
            }
        }
    }

    /// Tells the decoder that the connection has ended.
    ///
    /// # Errors
    /// [`Refusal::BodyCut`] when the body had not: only an until-close body ends this way.
    pub fn finish(&mut self) -> Result<(), Refusal> {
        match self.state {
            _ if self.failed.is_some() => Err(self.failed.unwrap_or(Refusal::BodyCut)),
            State::UntilClose => {
                self.state = State::Done;
                Ok(())
            }
            State::Done | State::Trailers(_) => Ok(()),
            State::Length(_) | State::Chunked(_) => Err(Refusal::BodyCut),
        }
    }

    /// The trailer fields, once the body has ended.
    pub fn trailers(&self) -> impl Iterator<Item = (&[u8], &[u8])> + Clone {
        match &self.state {
            State::Trailers(reader) => Some(reader.trailers()),
            _ => None,
        }
        .into_iter()
        .flatten()
    }
}
