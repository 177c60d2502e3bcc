//! Percents with four decimals, which is as fine as a proxy draws them (parts of a million).

use crate::fields::Fields;

/// A percent from 0 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percent {
    millionths: u32,
}

impl Percent {
    /// Always.
    pub const ALL: Percent = Percent {
        millionths: 1_000_000,
    };

    /// The percent nearest to `value`; `None` outside 0..100.
    pub fn new(value: f64) -> Option<Percent> {
        (0.0..=100.0).contains(&value).then(|| Percent {
            // In range by the check above, so the cast loses nothing but what `round` left.
            millionths: (value * 10_000.0).round() as u32,
        })
    }

    /// Parts of a million, 0 to 1,000,000.
    pub fn millionths(self) -> u32 {
        self.millionths
    }

    /// The number a document writes, 0 to 100; whole ones as integers.
    pub(crate) fn to_json(self) -> serde_json::Value {
        if self.millionths.is_multiple_of(10_000) {
            (self.millionths / 10_000).into()
        } else {
            (f64::from(self.millionths) / 10_000.0).into()
        }
    }
}

/// A percent in the field `name`; `prefix` begins the message.
pub(crate) fn read(fields: &Fields<'_>, name: &'static str, prefix: &str) -> Option<Percent> {
    let at = fields.at(name)?;
    let value = at.number()?;
    let read = Percent::new(value);
    if read.is_none() {
        at.problem(format!("{prefix}percentage {value} is not in range 0..100"));
    }
    read
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percents_keep_four_decimals_and_their_range() {
        assert_eq!(Percent::new(0.0001).map(Percent::millionths), Some(1));
        assert_eq!(Percent::new(100.0), Some(Percent::ALL));
        assert_eq!(
            Percent::new(33.3)
                .map(|percent| percent.to_json().to_string())
                .as_deref(),
            Some("33.3")
        );
        assert_eq!(
            Percent::new(50.0)
                .map(|percent| percent.to_json().to_string())
                .as_deref(),
            Some("50")
        );
        for value in [-0.1, 100.1, f64::NAN, f64::INFINITY] {
            assert_eq!(Percent::new(value), None, "{value}");
        }
    }
}
