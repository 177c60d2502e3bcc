//! The bars: each takes at most a minute, prints its figure last, and holds or not.

pub mod a1;
pub mod b1;
pub mod c1;
pub mod d1;
pub mod x3;

use std::time::Duration;

/// How long a bar runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// At most 20 s: fewer rounds, same assertions.
    Short,
    /// At most 60 s.
    Full,
}

impl Length {
    /// `short` or `full`, whichever this is.
    pub fn pick<T>(self, short: T, full: T) -> T {
        match self {
            Length::Short => short,
            Length::Full => full,
        }
    }
}

/// What a bar found.
#[derive(Clone, Debug)]
pub struct Figure {
    /// One line with every number that was promised.
    pub line: String,
    /// Whether the promise holds.
    pub holds: bool,
}

/// Time that the world gets to settle between two looks at it.
pub(crate) const BREATH: Duration = Duration::from_millis(10);
