//! How good a model is, by labels: what was true against what it said.

use serde::{Deserialize, Serialize};

use super::DriftStatus;

/// Predictions against the truth, counted. Positive is a fault.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confusion {
    pub true_positives: u64,
    pub false_positives: u64,
    pub false_negatives: u64,
    pub true_negatives: u64,
}

impl Confusion {
    /// Counts a row that the model called faulty (`predicted`) and that was (`fault`).
    pub fn add(&mut self, predicted: bool, fault: bool) {
        *self.cell(predicted, fault) += 1;
    }

    /// Takes back what [`Self::add`] has counted.
    pub fn remove(&mut self, predicted: bool, fault: bool) {
        let cell = self.cell(predicted, fault);
        *cell = cell.saturating_sub(1);
    }

    fn cell(&mut self, predicted: bool, fault: bool) -> &mut u64 {
        match (predicted, fault) {
            (true, true) => &mut self.true_positives,
            (true, false) => &mut self.false_positives,
            (false, true) => &mut self.false_negatives,
            (false, false) => &mut self.true_negatives,
        }
    }

    /// Labelled rows.
    pub const fn total(&self) -> u64 {
        self.true_positives + self.false_positives + self.false_negatives + self.true_negatives
    }

    /// Rows on which the model was wrong.
    pub const fn errors(&self) -> u64 {
        self.false_positives + self.false_negatives
    }

    /// Rows that were (or were not) a fault, and those of them on which the model was wrong.
    pub const fn of_class(&self, fault: bool) -> (u64, u64) {
        if fault {
            (self.true_positives + self.false_negatives, self.false_negatives)
        } else {
            (self.true_negatives + self.false_positives, self.false_positives)
        }
    }

    /// Wrong rows over all rows; NaN without any.
    pub fn error_rate(&self) -> f64 {
        share(self.errors(), self.total())
    }

    /// Of the rows called faulty, the share that was; NaN where none was called so.
    pub fn precision(&self) -> f64 {
        share(self.true_positives, self.true_positives + self.false_positives)
    }

    /// Of the faulty rows, the share that was found; NaN where there was none.
    pub fn recall(&self) -> f64 {
        share(self.true_positives, self.true_positives + self.false_negatives)
    }
}

impl std::ops::AddAssign for Confusion {
    fn add_assign(&mut self, other: Self) {
        self.true_positives += other.true_positives;
        self.false_positives += other.false_positives;
        self.false_negatives += other.false_negatives;
        self.true_negatives += other.true_negatives;
    }
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { f64::NAN } else { part as f64 / whole as f64 }
}

/// What a statement on performance rests on.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Basis {
    /// Nothing is known.
    #[default]
    None,
    Labels,
    /// Calibrated probabilities of the model; no labels.
    Estimate,
}

/// Data drift and performance together: two different things, said in one line.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Statement {
    /// No label has come, and nothing can be estimated.
    #[default]
    Unknown,
    Fine,
    FineEstimated,
    /// The data has drifted; nothing is known of the performance.
    DataChanged,
    DataChangedFine,
    DataChangedFineEstimated,
    MaybeWorse,
    MaybeWorseEstimated,
    Worse,
    WorseDataUnchanged,
}

impl Statement {
    /// As in files: `DataChangedFine`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "Unknown",
            Self::Fine => "Fine",
            Self::FineEstimated => "FineEstimated",
            Self::DataChanged => "DataChanged",
            Self::DataChangedFine => "DataChangedFine",
            Self::DataChangedFineEstimated => "DataChangedFineEstimated",
            Self::MaybeWorse => "MaybeWorse",
            Self::MaybeWorseEstimated => "MaybeWorseEstimated",
            Self::Worse => "Worse",
            Self::WorseDataUnchanged => "WorseDataUnchanged",
        }
    }

    /// ASCII text; `labels` is the number of labels it rests on.
    pub fn text(self, labels: u32) -> String {
        match self {
            Self::Unknown => "performance unknown: no labels".into(),
            Self::Fine => format!("model fine, data unchanged (confirmed by {labels} labels)"),
            Self::FineEstimated => "model fine, data unchanged (estimated, no labels)".into(),
            Self::DataChanged => "data changed, model fine (not confirmed by labels)".into(),
            Self::DataChangedFine => format!("data changed, model fine (confirmed by {labels} labels)"),
            Self::DataChangedFineEstimated => "data changed, model fine (estimated, no labels)".into(),
            Self::MaybeWorse => "model may be worse".into(),
            Self::MaybeWorseEstimated => "model may be worse (estimated, no labels)".into(),
            Self::Worse => "model worse".into(),
            Self::WorseDataUnchanged => "model worse, data unchanged".into(),
        }
    }

    /// Whether labels say that the model has become worse.
    pub const fn is_worse(self) -> bool {
        matches!(self, Self::Worse | Self::WorseDataUnchanged)
    }
}

/// Why the error cannot be estimated without labels.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum NoEstimate {
    #[error("the training rows had no labels for this model")]
    NoLabels,
    #[error("the training had labels of {healthy} healthy and {faulty} faulty rows kept out of the fit; {need} of each are needed")]
    TooFew { healthy: u32, faulty: u32, need: u32 },
    #[error("the score of faulty training rows is not higher than that of healthy ones: it gives no probability")]
    Uninformative,
}

/// The performance of one model in one regime.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct RegimePerformance {
    /// `None` before anything is known.
    pub status: Option<DriftStatus>,
    pub basis: Basis,
    /// The last labelled rows.
    pub window: Confusion,
    /// All labelled rows since the bundle became active.
    pub total: Confusion,
    /// What the window is held against; all zeros while the first labelled rows are collected for it.
    pub reference: Confusion,
    /// Estimated error rate of the last predictions, without labels; NaN where there is none.
    pub estimate: f64,
    /// Where the estimate lies while the data is like the training's: lower and upper end.
    pub band: (f64, f64),
}

/// The performance of one model.
#[derive(Clone, Debug, PartialEq)]
pub struct PerformanceReport {
    /// One a regime slot.
    pub regimes: Vec<RegimePerformance>,
    pub statement: Statement,
    /// Regime that the statement is of.
    pub regime: Option<u16>,
    /// Labels that the statement rests on.
    pub labels: u32,
    /// Probability that the prediction of the present row is right; NaN without one.
    pub confidence: f64,
    /// Why there is no estimate, where there is none.
    pub no_estimate: Option<NoEstimate>,
    /// Labels whose value could not be read.
    pub unreadable: u64,
    /// Labels of rows without a prediction: outside the envelope, in a transient, or with a missing input.
    pub unmatched: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_of_a_confusion() {
        let mut c = Confusion::default();
        assert!(c.error_rate().is_nan() && c.precision().is_nan() && c.recall().is_nan());
        for (predicted, fault, n) in [(true, true, 6), (true, false, 2), (false, true, 4), (false, false, 8)] {
            (0..n).for_each(|_| c.add(predicted, fault));
        }
        assert_eq!((c.total(), c.errors(), c.of_class(true), c.of_class(false)), (20, 6, (10, 4), (10, 2)));
        assert_eq!((c.error_rate(), c.precision(), c.recall()), (0.3, 0.75, 0.6));
        c.remove(true, false);
        assert_eq!(c.precision(), 6.0 / 7.0);
    }

    #[test]
    fn data_changed_and_model_worse_are_different_words() {
        assert_eq!(Statement::DataChangedFine.text(200), "data changed, model fine (confirmed by 200 labels)");
        assert_eq!(Statement::WorseDataUnchanged.text(0), "model worse, data unchanged");
        assert_eq!(Statement::Worse.text(0), "model worse");
    }
}
