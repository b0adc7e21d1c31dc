//! What a performance is held against: scores and labels of training rows that the model was not fitted on.

use serde::{Deserialize, Serialize};

use super::Probability;
use crate::drift::REFERENCE_CAP;
use crate::types::{Confusion, NoEstimate};

/// Labelled rows a regime needs for its error rate to be a reference.
pub const MIN_REFERENCE_ROWS: u64 = 50;

/// Half width of the band in standard errors.
const SIGMAS: f64 = 3.0;
/// The band is at least so wide on each side: a smaller change of the error is of no interest.
const LEAST_WIDTH: f64 = 0.01;

/// Labelled rows of one regime, in the order of time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LabelledScores {
    /// Score of the model; finite.
    pub scores: Vec<f64>,
    /// Whether the row was a fault.
    pub faults: Vec<bool>,
}

/// The reference of one model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PerformanceReference {
    /// One a regime.
    pub regimes: Vec<LabelledScores>,
    /// Score to probability, or why there is none.
    pub probability: Result<Probability, NoEstimate>,
}

impl LabelledScores {
    /// One more row; a score that is not finite is left out.
    pub fn push(&mut self, score: f64, fault: bool) {
        if score.is_finite() {
            self.scores.push(score);
            self.faults.push(fault);
        }
    }

    /// Score and label of each row.
    pub fn rows(&self) -> impl Iterator<Item = (f64, bool)> {
        self.scores.iter().copied().zip(self.faults.iter().copied())
    }

    /// At most `cap` rows, evenly spaced.
    fn thinned(&self, cap: usize) -> Self {
        let step = self.scores.len().div_ceil(cap.max(1)).max(1);
        let mut thin = Self::default();
        self.rows().step_by(step).for_each(|(score, fault)| thin.push(score, fault));
        thin
    }
}

impl PerformanceReference {
    /// From labelled rows that the model was not fitted on, a regime each. Probabilities come from all of them; at most
    /// [`REFERENCE_CAP`] of each regime are kept, evenly spaced.
    pub fn new(regimes: Vec<LabelledScores>) -> Self {
        let probability = Probability::fit(regimes.iter().flat_map(LabelledScores::rows));
        Self { regimes: regimes.iter().map(|r| r.thinned(REFERENCE_CAP)).collect(), probability }
    }

    /// What the model made of the labelled rows of a regime, with this threshold of its score.
    pub fn confusion(&self, slot: usize, threshold: f64) -> Confusion {
        let mut confusion = Confusion::default();
        let rows = self.regimes.get(slot).into_iter().flat_map(LabelledScores::rows);
        rows.for_each(|(score, fault)| confusion.add(score > threshold, fault));
        confusion
    }

    /// Probability that a prediction is wrong; NaN where the model gives none.
    pub fn expected_error(&self, score: f64, threshold: f64) -> f64 {
        let Ok(probability) = &self.probability else { return f64::NAN };
        let p = probability.of(score);
        if score > threshold { 1.0 - p } else { p }
    }

    /// Where the mean expected error of `window` rows lies while the data is like the training's: three standard errors around its
    /// mean, with the long-run variance from batch means (rows of one time are alike). `None` without probabilities, or with too few rows.
    pub fn band(&self, slot: usize, threshold: f64, window: usize) -> Option<(f64, f64)> {
        self.probability.as_ref().ok()?;
        let scores = &self.regimes.get(slot)?.scores;
        if (scores.len() as u64) < MIN_REFERENCE_ROWS {
            return None;
        }
        let errors: Vec<f64> = scores.iter().map(|s| self.expected_error(*s, threshold)).collect();
        let n = errors.len() as f64;
        let mean = errors.iter().sum::<f64>() / n;
        let width = (SIGMAS * (long_run_variance(&errors, mean) * (1.0 / window.max(1) as f64 + 1.0 / n)).sqrt()).max(LEAST_WIDTH);
        Some(((mean - width).max(0.0), (mean + width).min(1.0)))
    }

    /// True where what came from a file fits to `regimes` regimes.
    pub fn is_sound(&self, regimes: usize) -> bool {
        let whole = |r: &LabelledScores| r.scores.len() == r.faults.len() && r.scores.iter().all(|s| s.is_finite());
        self.regimes.len() == regimes && self.regimes.iter().all(whole) && self.probability.as_ref().map_or(true, Probability::is_sound)
    }
}

/// Variance of the mean times the number of rows, from batches of the square root of that number. At least that of independent rows.
fn long_run_variance(values: &[f64], mean: f64) -> f64 {
    let plain = values.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / (values.len() - 1).max(1) as f64;
    let batch = (values.len() as f64).sqrt() as usize;
    let means: Vec<f64> = values.chunks_exact(batch.max(1)).map(|b| b.iter().sum::<f64>() / b.len() as f64).collect();
    let spread = means.iter().map(|m| (m - mean) * (m - mean)).sum::<f64>() / (means.len().max(2) - 1) as f64;
    (spread * batch as f64).max(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn regime(rows: usize, fault: impl Fn(usize) -> bool) -> LabelledScores {
        let mut out = LabelledScores::default();
        (0..rows).for_each(|i| out.push((i % 10) as f64, fault(i)));
        out
    }

    #[test]
    fn counts_and_bands_follow_the_threshold() {
        // Scores 0..9; a row of 8 or 9 is a fault, one of 7 every other time.
        let reference = PerformanceReference::new(vec![regime(1000, |i| i % 10 >= 8 || i % 20 == 7), regime(10, |i| i % 10 >= 8)]);
        let c = reference.confusion(0, 7.5);
        assert_eq!((c.true_positives, c.false_negatives, c.false_positives, c.true_negatives), (200, 50, 0, 750));
        assert_eq!(reference.confusion(0, 6.5).false_positives, 50);
        assert_eq!(reference.confusion(9, 7.5), Confusion::default());
        assert!((reference.expected_error(7.0, 7.5) - 0.5).abs() < 0.01);
        assert!(reference.expected_error(9.0, 7.5) < 0.01 && reference.expected_error(9.0, 9.5) > 0.99);
        let (low, high) = reference.band(0, 7.5, 200).unwrap();
        assert!(low < 0.05 && 0.05 < high && high < 0.15, "{low} {high}");
        assert_eq!(reference.band(1, 7.5, 200), None, "too few rows");
        assert!(reference.is_sound(2) && !reference.is_sound(3));
    }

    #[test]
    fn one_class_gives_counts_but_no_probability() {
        let reference = PerformanceReference::new(vec![regime(1000, |_| false)]);
        assert_eq!(reference.probability, Err(NoEstimate::TooFew { healthy: 1000, faulty: 0, need: 20 }));
        assert_eq!(reference.confusion(0, 8.5).error_rate(), 0.1);
        assert!(reference.expected_error(9.0, 8.5).is_nan() && reference.band(0, 8.5, 100).is_none());
    }

    #[test]
    fn rows_that_come_in_runs_widen_the_band() {
        let alternating: Vec<f64> = (0..1000).map(|i| f64::from(i % 2)).collect();
        let runs: Vec<f64> = (0..1000).map(|i| f64::from(i / 100 % 2)).collect();
        assert!(long_run_variance(&runs, 0.5) > 5.0 * long_run_variance(&alternating, 0.5));
    }
}
