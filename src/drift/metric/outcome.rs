//! What a metric answers: a number to hold against a threshold, or why there is none.

use serde::{Deserialize, Serialize};

use super::Metric;

/// The answer of a metric. Every number in it is finite.
#[derive(Copy, Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// The metric's own statistic: D, W1 / sd, U, t, a divergence, ...
    pub statistic: f64,
    /// Probability of a statistic at least as extreme if nothing has drifted, 0..=1; `None` for metrics without one.
    pub p_value: Option<f64>,
    /// What is held against the threshold: the p-value, or the distance.
    pub score: f64,
}

impl Outcome {
    /// An outcome judged by its p-value, which is clamped to 0..=1.
    pub(super) fn p(statistic: f64, p: f64) -> Result<Self, NotApplicable> {
        if !statistic.is_finite() || p.is_nan() {
            return Err(NotApplicable::OutOfRange);
        }
        let p = p.clamp(0.0, 1.0);
        Ok(Self { statistic, p_value: Some(p), score: p })
    }

    /// An outcome judged by its distance; rounding below zero is taken for zero.
    pub(super) fn distance(distance: f64) -> Result<Self, NotApplicable> {
        if !distance.is_finite() {
            return Err(NotApplicable::OutOfRange);
        }
        let distance = distance.max(0.0);
        Ok(Self { statistic: distance, p_value: None, score: distance })
    }
}

/// Why a metric has no answer for these two samples.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
pub enum NotApplicable {
    #[error("a sample is empty: collect values first")]
    Empty,
    #[error("too few values: `{have}`, at least {need} are needed")]
    TooFew { have: usize, need: usize },
    #[error("no spread to measure against: the values do not vary")]
    Constant,
    #[error("the reference does not vary, so a distance has no unit: use kolmogorov_smirnov or energy_distance")]
    ConstantReference,
    #[error("too many classes: `{have}`, at most {most}; use chi_squared")]
    TooManyClasses { have: usize, most: usize },
    #[error("the two lists of counts differ in length: `{reference}` and `{current}`")]
    UnequalClasses { reference: usize, current: usize },
    #[error("not a metric of numbers: `{0}`; give it counts of classes")]
    NotNumerical(Metric),
    #[error("not a metric of classes: `{0}`; give it numbers")]
    NotCategorical(Metric),
    #[error("the current sample is not in ascending order, or has values that are not finite")]
    NotSorted,
    #[error("the values are too large or too small to compute with: check the unit of the signal")]
    OutOfRange,
    #[error("refused in mode evidently: {0}")]
    Refused(Refusal),
}

/// What Evidently answers with an error or NaN.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    #[error("samples of different sizes")]
    UnequalSizes,
    #[error("a result that is not a number")]
    NotANumber,
    #[error("more than two classes")]
    ManyClasses,
    #[error("too few values, or no spread")]
    Degenerate,
}
