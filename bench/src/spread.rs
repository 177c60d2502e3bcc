//! The figures of several rounds, and what is said about them: the median and how far they lie apart.

use serde::{Serialize, Serializer, ser::SerializeStruct};

/// One figure a round, in the order of the rounds; never empty.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Spread {
    rounds: Vec<f64>,
}

impl Spread {
    /// `None` when there is no figure.
    pub(crate) fn of(rounds: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let rounds: Vec<f64> = rounds.into_iter().collect();
        (!rounds.is_empty()).then_some(Spread { rounds })
    }

    /// The middle figure, or the mean of the two in the middle.
    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.rounds.clone();
        sorted.sort_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
        let middle = sorted.len() / 2;
        if sorted.len() % 2 == 1 {
            at(middle)
        } else {
            (at(middle.saturating_sub(1)) + at(middle)) / 2.0
        }
    }

    /// The smallest figure.
    pub(crate) fn least(&self) -> f64 {
        self.rounds.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// The largest figure.
    pub(crate) fn most(&self) -> f64 {
        self.rounds.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }

    /// The 99th percentile: the smallest figure that at most one in a hundred exceeds.
    pub(crate) fn p99(&self) -> f64 {
        let mut sorted = self.rounds.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (sorted.len() * 99).div_ceil(100);
        sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
    }

    /// The median of the ratios of each round to the same round of another: what drifts over a run drops out.
    pub(crate) fn ratio(&self, other: &Spread) -> f64 {
        let ratios = self
            .rounds
            .iter()
            .zip(&other.rounds)
            .map(|(mine, theirs)| mine / theirs);
        Spread::of(ratios).map_or(f64::NAN, |ratios| ratios.median())
    }
}

impl Serialize for Spread {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Spread", 2)?;
        object.serialize_field("median", &self.median())?;
        object.serialize_field("rounds", &self.rounds)?;
        object.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(rounds: &[f64]) -> Spread {
        Spread::of(rounds.iter().copied()).unwrap()
    }

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(spread(&[9.0, 1.0, 5.0]).median(), 5.0);
        assert_eq!(spread(&[4.0, 1.0, 2.0, 9.0]).median(), 3.0);
        assert_eq!(spread(&[7.0]).median(), 7.0);
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn the_spread_is_from_the_least_to_the_most() {
        let rounds = spread(&[9.0, 1.0, 5.0]);

        assert_eq!((rounds.least(), rounds.most()), (1.0, 9.0));
    }

    #[test]
    fn one_figure_in_a_hundred_may_exceed_the_99th_percentile() {
        let of = |count: u32| Spread::of((1..=count).map(f64::from)).unwrap().p99();

        assert_eq!((of(1), of(50), of(100), of(200)), (1.0, 50.0, 99.0, 198.0));
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        let drifting = spread(&[10.0, 20.0, 40.0]);

        assert_eq!(drifting.ratio(&spread(&[20.0, 40.0, 80.0])), 0.5);
    }
}
