//! Performance of a model: what it said against what was true, regime by regime; and an estimate of it where nobody says what was true.
//!
//! ```text
//! label of a row ─▶ right or wrong ─▶ window of its regime ─(every `hop` labels, when full)─▶ tests ─▶ decision of the regime
//! prediction ─▶ probability that it is wrong ─▶ mean over the last rows of its regime ─▶ inside the band of the reference?
//! ```
//! **Labels.** Rows that were a fault and rows that were none are held apart, each against the reference's rows of its class, so that
//! more faults than usual do not look like a worse model. A class with fewer than [`MIN_CLASS`] rows in the reference is held against
//! the reference's error rate over both classes, and one with fewer than [`MIN_SEEN`] in the window is not tested. A test counts
//! towards a drift only where the model is wrong more often than in the reference: an improvement is no alarm. The reference are
//! labelled training rows that the model was not fitted on; without them, the first `window_rows` labelled rows of the regime.
//!
//! **Estimate** (confidence-based performance estimation). The mean probability that a prediction is wrong, from calibrated scores.
//! It follows a change of the data alone; it is blind to a change of the relation between data and truth, so it never contradicts
//! labels, never says more than Warning, and counts only where no labels come.
//!
//! Reference for the estimate: NannyML's CBPE; Guillory et al., Predicting with confidence on unseen distributions, 2021.

mod delay;
mod probability;
mod reference;

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::metric::{self, Metric};
use super::{Decision, Evaluation, MonitorParams, Test, TestResult, Window};
use crate::config::MonitorConfig;
use crate::types::{Basis, Confusion, DriftStatus, RegimePerformance, Timestamp};

pub use delay::DelayLine;
pub use probability::{MIN_CLASS_ROWS, Probability};
pub use reference::{LabelledScores, MIN_REFERENCE_ROWS, PerformanceReference};

/// Reference rows of a class from which on it is held against its own error rate.
pub const MIN_CLASS: u64 = 20;
/// Rows of a class in the window from which on it is tested.
pub const MIN_SEEN: u64 = 5;

/// The threshold of a test that nobody set. A p-value is asked for again and again, so it is lower than that of a single look.
pub fn default_threshold(test: Test) -> f64 {
    if test.is_p_value() { 0.001 } else { test.default_threshold(1) }
}

/// Whether a test can say something of right and wrong: any metric of categories.
pub fn is_applicable(test: Test) -> bool {
    test.metric().is_some_and(Metric::is_categorical)
}

/// Parameters of a performance monitor.
pub fn params(config: &MonitorConfig) -> MonitorParams {
    MonitorParams {
        enabled: config.enabled,
        tests: config.tests.iter().map(|t| (t.metric, t.threshold.unwrap_or_else(|| default_threshold(t.metric)))).collect(),
        window_rows: config.window_rows as usize,
        hop: config.hop as usize,
        consecutive_limit: config.consecutive_limit,
        baseline_rows: 0,
    }
}

/// One labelled row: what the model said, and what was true.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Labelled {
    pub time: Timestamp,
    /// The model called the row faulty.
    pub predicted: bool,
    pub fault: bool,
}

/// The performance of one model. Memory does not grow with time.
#[derive(Clone, Debug)]
pub struct Performance {
    params: MonitorParams,
    regimes: Vec<Regime>,
    tests: Vec<TestResult>,
    last: Option<Evaluation>,
}

#[derive(Clone, Debug)]
struct Regime {
    by_labels: ByLabels,
    index: f64,
    /// Probability of being wrong, of the last predictions.
    expected: Window,
    estimate: f64,
    band: Option<(f64, f64)>,
    by_estimate: Decision,
    predictions_since: usize,
    estimated: bool,
}

/// What labels have said of one regime, kept over a restart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct ByLabels {
    reference: Confusion,
    /// The reference is complete.
    learned: bool,
    window: VecDeque<Labelled>,
    /// Of the window.
    counts: Confusion,
    total: Confusion,
    decision: Decision,
    since: usize,
    /// Predictions since the last label, and between two labels on average.
    unlabelled: u64,
    gap: f64,
}

/// What must survive a restart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PerformanceState {
    regimes: Vec<ByLabels>,
    estimates: Vec<Decision>,
}

impl ByLabels {
    fn push(&mut self, row: Labelled, window_rows: usize) {
        self.window.push_back(row);
        self.counts.add(row.predicted, row.fault);
        self.cut(window_rows);
    }

    /// Leaves the newest rows.
    fn cut(&mut self, window_rows: usize) {
        while self.window.len() > window_rows
            && let Some(old) = self.window.pop_front()
        {
            self.counts.remove(old.predicted, old.fault);
        }
    }

    /// Labels still come: the last one is not older than it takes to fill a window at their usual pace.
    fn fresh(&self, window_rows: usize) -> bool {
        self.unlabelled as f64 <= window_rows as f64 * self.gap.max(1.0)
    }
}

impl Performance {
    /// For `regimes` slots.
    pub fn new(params: MonitorParams, regimes: usize) -> Self {
        let regime = Regime {
            by_labels: ByLabels::default(),
            index: f64::NAN,
            expected: Window::new(params.window_rows, 1),
            estimate: f64::NAN,
            band: None,
            by_estimate: Decision::default(),
            predictions_since: 0,
            estimated: false,
        };
        Self { tests: vec![TestResult::default(); params.tests.len()], regimes: vec![regime; regimes], params, last: None }
    }

    /// Parameters in use.
    pub fn params(&self) -> &MonitorParams {
        &self.params
    }

    /// New parameters, effective at once; windows keep their newest rows.
    pub fn set_params(&mut self, params: MonitorParams) {
        for regime in &mut self.regimes {
            regime.by_labels.cut(params.window_rows);
            if params.window_rows != self.params.window_rows {
                regime.expected = regime.expected.resized(params.window_rows);
            }
        }
        if params.tests.iter().map(|t| t.0).ne(self.params.tests.iter().map(|t| t.0)) {
            self.tests = vec![TestResult::default(); params.tests.len()];
            for regime in &mut self.regimes {
                (regime.by_labels.decision, regime.index) = (Decision::default(), f64::NAN);
            }
        }
        self.params = params;
    }

    /// What to hold labels and estimates against, with this threshold of the score; `None`: the first labelled rows of each regime.
    /// A regime that learns from its own first rows goes on with them.
    pub fn set_reference(&mut self, reference: Option<&PerformanceReference>, threshold: f64) {
        for (slot, regime) in self.regimes.iter_mut().enumerate() {
            let confusion = reference.map(|r| r.confusion(slot, threshold)).unwrap_or_default();
            if confusion.total() >= MIN_REFERENCE_ROWS {
                (regime.by_labels.reference, regime.by_labels.learned) = (confusion, true);
            }
            regime.band = reference.and_then(|r| r.band(slot, threshold, self.params.window_rows));
        }
    }

    /// A label has come for a row of a regime. Returns an evaluation where one was due.
    pub fn label(&mut self, slot: u16, row: Labelled) -> Option<Evaluation> {
        let window_rows = self.params.window_rows;
        let labels = &mut self.regimes.get_mut(usize::from(slot)).filter(|_| self.params.enabled)?.by_labels;
        labels.gap = if labels.total.total() == 0 { 1.0 } else { 0.9 * labels.gap + 0.1 * labels.unlabelled as f64 };
        labels.unlabelled = 0;
        labels.total.add(row.predicted, row.fault);
        if !labels.learned {
            labels.reference.add(row.predicted, row.fault);
            labels.learned = labels.reference.total() >= window_rows as u64;
            return None;
        }
        labels.push(row, window_rows);
        labels.since += 1;
        if labels.window.len() < window_rows || labels.since < self.params.hop {
            return None;
        }
        labels.since = 0;
        self.evaluate(slot, row.time)
    }

    fn evaluate(&mut self, slot: u16, time: Timestamp) -> Option<Evaluation> {
        let regime = &mut self.regimes[usize::from(slot)];
        let labels = &mut regime.by_labels;
        let strata = strata(&labels.reference, &labels.counts);
        for (result, (test, threshold)) in self.tests.iter_mut().zip(&self.params.tests) {
            *result = test.metric().map_or_else(TestResult::default, |m| compare(m, *threshold, &strata));
        }
        let exceeded = self.tests.iter().filter(|t| t.exceeded).count();
        let index = self.tests.iter().map(|t| t.index).fold(f64::INFINITY, |a, b| if b.is_nan() { f64::NEG_INFINITY } else { a.min(b) });
        let index = if index.is_finite() { index } else { f64::NAN };
        let status = labels.decision.step(exceeded, self.params.tests.len(), self.params.consecutive_limit);
        regime.index = index;
        let window = (labels.window.front()?.time, labels.window.back()?.time);
        self.last = Some(Evaluation { slot, time, window, index, top: None, status });
        self.last
    }

    /// The model has made a prediction in a regime; `expected_error` is the probability that it is wrong, NaN where the model gives none.
    pub fn predicted(&mut self, slot: u16, time: Timestamp, expected_error: f64) {
        let Some(regime) = self.regimes.get_mut(usize::from(slot)).filter(|_| self.params.enabled) else { return };
        regime.by_labels.unlabelled = regime.by_labels.unlabelled.saturating_add(1);
        if !expected_error.is_finite() {
            return;
        }
        regime.expected.push(time, &[expected_error]);
        regime.predictions_since += 1;
        if !regime.expected.is_full() || regime.predictions_since < self.params.hop {
            return;
        }
        regime.predictions_since = 0;
        regime.estimate();
        if let Some((_, high)) = regime.band {
            regime.by_estimate.step(usize::from(regime.estimate > high), 1, self.params.consecutive_limit);
            regime.estimated = true;
        }
    }

    /// A prediction from before a restart: into the estimate's window alone.
    pub fn restore_prediction(&mut self, slot: u16, time: Timestamp, expected_error: f64) {
        if let Some(regime) = self.regimes.get_mut(usize::from(slot)).filter(|_| expected_error.is_finite()) {
            regime.expected.push(time, &[expected_error]);
        }
    }

    /// Worst status of the regimes; `None` before anything is known.
    pub fn status(&self) -> Option<DriftStatus> {
        (0..self.regimes.len()).filter_map(|slot| self.regime_status(slot as u16)).max_by_key(|s| s.code())
    }

    /// Slot with the worst status.
    pub fn worst_slot(&self) -> Option<u16> {
        let worst = self.status()?;
        (0..self.regimes.len() as u16).find(|slot| self.regime_status(*slot) == Some(worst))
    }

    /// Status of one regime: labels decide; where they do not come (any more), the estimate may add a Warning.
    pub fn regime_status(&self, slot: u16) -> Option<DriftStatus> {
        let regime = self.regimes.get(usize::from(slot))?;
        let labelled = regime.by_labels.decision.status();
        match self.basis(slot) {
            Basis::None => None,
            Basis::Labels => labelled,
            Basis::Estimate => labelled.into_iter().chain(regime.estimated_status()).max_by_key(|s| s.code()),
        }
    }

    /// What the status of a regime rests on.
    pub fn basis(&self, slot: u16) -> Basis {
        let Some(regime) = self.regimes.get(usize::from(slot)) else { return Basis::None };
        let labels = &regime.by_labels;
        match labels.decision.status() {
            // Only labels take back what labels have said.
            Some(DriftStatus::Drift) => Basis::Labels,
            Some(_) if labels.fresh(self.params.window_rows) || !regime.estimated => Basis::Labels,
            _ if regime.estimated => Basis::Estimate,
            _ => Basis::None,
        }
    }

    /// Labels that the status of a regime rests on.
    pub fn labels(&self, slot: u16) -> u32 {
        self.regimes.get(usize::from(slot)).map_or(0, |r| r.by_labels.window.len() as u32)
    }

    /// Labels of all regimes so far.
    pub fn total(&self) -> u64 {
        self.regimes.iter().map(|r| r.by_labels.total.total()).sum()
    }

    /// Evaluations in a row of a regime with all tests exceeded.
    pub fn consecutive(&self, slot: u16) -> u16 {
        self.regimes.get(usize::from(slot)).map_or(0, |r| r.by_labels.decision.consecutive())
    }

    /// The last evaluation on labels.
    pub fn last(&self) -> Option<&Evaluation> {
        self.last.as_ref()
    }

    /// T1..T4 at the last evaluation.
    pub fn tests(&self) -> &[TestResult] {
        &self.tests
    }

    /// All that is known of a regime.
    pub fn regime(&self, slot: u16) -> Option<RegimePerformance> {
        let regime = self.regimes.get(usize::from(slot))?;
        let labels = &regime.by_labels;
        Some(RegimePerformance {
            status: self.regime_status(slot),
            basis: self.basis(slot),
            window: labels.counts,
            total: labels.total,
            reference: if labels.learned { labels.reference } else { Confusion::default() },
            estimate: regime.estimate,
            band: regime.band.unwrap_or((f64::NAN, f64::NAN)),
        })
    }

    /// Forgets everything: with a new bundle, or when predictions are made in another way.
    pub fn reset(&mut self) {
        *self = Self::new(self.params.clone(), self.regimes.len());
    }

    /// What [`Self::restore_state`] takes.
    pub fn state(&self) -> PerformanceState {
        PerformanceState {
            regimes: self.regimes.iter().map(|r| r.by_labels.clone()).collect(),
            estimates: self.regimes.iter().map(|r| r.by_estimate).collect(),
        }
    }

    /// Goes on where another one stopped.
    pub fn restore_state(&mut self, state: &PerformanceState) {
        for (regime, labels) in self.regimes.iter_mut().zip(&state.regimes) {
            regime.by_labels.clone_from(labels);
        }
        for (regime, decision) in self.regimes.iter_mut().zip(&state.estimates) {
            regime.by_estimate = *decision;
            regime.estimated = decision.status().is_some();
            regime.estimate();
        }
        self.set_params(self.params.clone());
    }
}

impl Regime {
    /// The mean expected error of the window; NaN until it is full.
    fn estimate(&mut self) {
        let mut errors = Vec::with_capacity(self.expected.len());
        self.expected.column(0, &mut errors);
        self.estimate = if self.expected.is_full() { errors.iter().sum::<f64>() / errors.len() as f64 } else { f64::NAN };
    }

    /// Never more than Warning.
    fn estimated_status(&self) -> Option<DriftStatus> {
        self.by_estimate.status().map(|s| if s == DriftStatus::Drift { DriftStatus::Warning } else { DriftStatus::OK })
    }
}

/// One class of rows: right and wrong in the reference and in the window.
#[derive(Copy, Clone, Debug, PartialEq)]
struct Stratum {
    reference: [u64; 2],
    window: [u64; 2],
}

impl Stratum {
    fn new(reference: (u64, u64), window: (u64, u64)) -> Self {
        let cells = |(rows, wrong): (u64, u64)| [rows - wrong, wrong];
        Self { reference: cells(reference), window: cells(window) }
    }

    fn is_worse(&self) -> bool {
        let rate = |[right, wrong]: [u64; 2]| wrong as f64 / (right + wrong).max(1) as f64;
        rate(self.window) > rate(self.reference)
    }
}

/// The comparisons that reference and window allow.
fn strata(reference: &Confusion, window: &Confusion) -> Vec<Stratum> {
    let overall = (reference.total(), reference.errors());
    let class = |fault: bool| {
        let (known, seen) = (reference.of_class(fault), window.of_class(fault));
        (seen.0 >= MIN_SEEN).then(|| Stratum::new(if known.0 >= MIN_CLASS { known } else { overall }, seen))
    };
    [class(false), class(true)].into_iter().flatten().collect()
}

/// The test of the class with the largest index; p-values are corrected for the number of classes.
fn compare(metric: Metric, threshold: f64, strata: &[Stratum]) -> TestResult {
    let mut worst = TestResult::default();
    for stratum in strata {
        let Ok(outcome) = metric::categorical(metric, &stratum.reference, &stratum.window) else { continue };
        let p_value = outcome.p_value.map_or(f64::NAN, |p| (p * strata.len() as f64).min(1.0));
        let score = if metric.is_p_value() { p_value } else { outcome.score };
        let index = if stratum.is_worse() { metric::index(metric, score, threshold) } else { 0.0 };
        if worst.index.is_nan() || index > worst.index {
            worst = TestResult { value: outcome.statistic, p_value, index, exceeded: index >= 1.0 };
        }
    }
    worst
}

#[cfg(test)]
mod tests;
