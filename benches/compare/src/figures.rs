//! What several rounds come to.

use serde::{Deserialize, Serialize};

use load::report::Outcome;

use crate::contender::Contender;

/// One round of one contender: a line of `compare.jsonl`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    /// [`Scenario::name`](crate::scenarios::Scenario::name).
    pub(crate) scenario: String,
    /// Who was measured.
    pub(crate) contender: Contender,
    /// Counted from 1.
    pub(crate) round: usize,
    /// What the generator said.
    pub(crate) outcome: Outcome,
}

/// What is read from an outcome.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Figure {
    /// The server's user and system time for a unit, µs.
    CpuPerUnit,
    /// Units a second.
    Rate,
    /// The time in ms that 99 of 100 kept.
    P99,
    /// Something counted, in these units.
    Count(&'static str, f64),
}

impl Figure {
    /// None where the outcome has none of it.
    pub(crate) fn of(self, outcome: &Outcome) -> Option<f64> {
        let figure = match self {
            Self::CpuPerUnit => outcome.us_per_unit(),
            Self::Rate => outcome.units as f64 / outcome.seconds,
            Self::P99 => outcome.latency_us.as_ref()?.p99 / 1e3,
            Self::Count(name, unit) => *outcome.counts.get(name)? as f64 / unit,
        };
        figure.is_finite().then_some(figure)
    }
}

/// The one in the middle; of an even number the mean of the two there. None of none.
pub(crate) fn median(figures: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut figures: Vec<f64> = figures.into_iter().collect();
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    let upper = *figures.get(middle)?;
    if figures.len().is_multiple_of(2) {
        return Some(figures[middle - 1].midpoint(upper));
    }
    Some(upper)
}

/// Rounds of one contender, as `(round, figure)`.
pub(crate) type Rounds = Vec<(usize, f64)>;

/// How many times the other's figure ours is: the median over the rounds that both have, since the machine's mood is
/// that of a round.
pub(crate) fn ratio(ours: &Rounds, others: &Rounds) -> Option<f64> {
    let same = |(round, figure): &(usize, f64)| {
        let (_, other) = others.iter().find(|(number, _)| number == round)?;
        (*other != 0.0).then(|| figure / other)
    };
    median(ours.iter().filter_map(same))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median([]), None);
        assert_eq!(median([3.0]), Some(3.0));
        assert_eq!(median([9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 9.0]), Some(3.0));
    }

    #[test]
    fn a_ratio_is_taken_within_rounds() {
        // A machine that is twice as slow in the second round: the medians alone would say 0.75.
        let ours = vec![(1, 1.0), (2, 2.0), (3, 1.0)];
        let others = vec![(1, 2.0), (2, 4.0), (4, 1.0)];
        assert_eq!(ratio(&ours, &others), Some(0.5));
        assert_eq!(ratio(&ours, &vec![(7, 1.0)]), None);
        assert_eq!(ratio(&ours, &vec![(1, 0.0)]), None);
    }
}
