//! A monitor: the last rows of a regime against the reference of that regime, by up to four tests.
//!
//! ```text
//! judged row ─▶ window of its regime ─(every `hop` rows, when full)─▶ metrics per feature ─▶ decision of the regime
//!       └─▶ residual - own baseline ─▶ charts, over all regimes
//! ```
//! A monitor of charts alone needs no window: it is evaluated every `hop` rows, whatever their regime, and has one decision.
//!
//! The value of a test is that of the feature with the largest index; p-values are corrected for the number of features
//! (Bonferroni), so that a verdict does not depend on how many are watched. The monitor's index is the smallest of its
//! tests (all must exceed); its status is the worst of its regimes.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::calibrate::Calibration;
use super::chart::ewma_t2::EwmaReference;
use super::chart::{CLIP, ChartState};
use super::metric::{self, Metric, Outcome, Reference, Scratch};
use super::{Baseline, Decision, Test, Window};
use crate::config::MonitorConfig;
use crate::types::{DriftStatus, FeatureReport, Timestamp};

/// The frozen samples of one regime: one a column, `None` where the feature had no (or too few) values.
pub type References = Vec<Option<Reference>>;

/// What a monitor needs to know of its configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct MonitorParams {
    pub enabled: bool,
    /// Metric or chart, and threshold, of T1..T4.
    pub tests: Vec<(Test, f64)>,
    pub window_rows: usize,
    pub hop: usize,
    pub consecutive_limit: u16,
    /// Judged rows that a machine's own baseline is learned from; 0: none.
    pub baseline_rows: usize,
}

impl MonitorParams {
    /// From the configuration of a monitor of `columns` columns. Thresholds, first that applies: the configuration's (a
    /// written one stands in it), the calibrated one, the default of the metric or chart.
    pub fn new(config: &MonitorConfig, baseline_rows: u32, columns: usize, calibration: Option<&Calibration>) -> Self {
        let tests = config.tests.iter().map(|t| (t.metric, t.threshold.unwrap_or_else(|| t.metric.default_threshold(columns))));
        let mut params = Self {
            enabled: config.enabled,
            tests: tests.collect(),
            window_rows: config.window_rows as usize,
            hop: config.hop as usize,
            consecutive_limit: config.consecutive_limit,
            baseline_rows: baseline_rows as usize,
        };
        if let Some(calibrated) = calibration.and_then(|c| c.thresholds_for(&params)) {
            for ((test, config), calibrated) in params.tests.iter_mut().zip(&config.tests).zip(calibrated) {
                if config.threshold.is_none() {
                    test.1 = *calibrated;
                }
            }
        }
        params
    }

    /// Charts alone: one decision over all regimes, no window needed.
    pub fn is_pooled(&self) -> bool {
        !self.tests.is_empty() && self.tests.iter().all(|t| t.0.is_chart())
    }
}

/// One test at one evaluation.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct TestResult {
    /// Of the feature with the largest index; NaN where no feature could be tested.
    pub value: f64,
    /// Corrected for the number of features; NaN where the metric has none.
    pub p_value: f64,
    pub index: f64,
    pub exceeded: bool,
}

impl Default for TestResult {
    fn default() -> Self {
        Self { value: f64::NAN, p_value: f64::NAN, index: f64::NAN, exceeded: false }
    }
}

/// One feature at one evaluation.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct ColumnResult {
    /// Smallest index over the tests.
    pub index: f64,
    /// Value of the test with that index.
    pub value: f64,
    pub p_value: f64,
    pub exceeded: usize,
    pub mean: f64,
    pub sd: f64,
    /// Share of rows without a value.
    pub missing: f64,
    /// Of the mean, against reference and own baseline, in standard deviations of the reference; against a constant one -1, 0 or 1.
    pub shift: f64,
    /// From when on the index has been above [`FeatureReport::ABOVE`] at each evaluation of the regime; the epoch where it is not.
    pub since: Timestamp,
}

impl Default for ColumnResult {
    fn default() -> Self {
        let nan = f64::NAN;
        Self { index: nan, value: nan, p_value: nan, exceeded: 0, mean: nan, sd: nan, missing: 0.0, shift: nan, since: Timestamp::EPOCH }
    }
}

/// The state of one monitor. Memory does not grow with time.
#[derive(Clone, Debug)]
pub struct Monitor {
    params: MonitorParams,
    width: usize,
    regimes: Vec<RegimeState>,
    tests: Vec<TestResult>,
    columns: Vec<ColumnResult>,
    last: Option<Evaluation>,
    pooled: bool,
    baseline: Baseline,
    /// One a test; `None` for a metric.
    charts: Vec<Option<ChartState>>,
    ewma: Option<Arc<EwmaReference>>,
    residuals: Vec<f64>,
    column: Vec<f64>,
    indexes: Vec<f64>,
    scratch: Scratch,
}

#[derive(Clone, Debug)]
struct RegimeState {
    window: Window,
    rows_since: usize,
    decision: Decision,
    index: f64,
    /// One a column; see [`ColumnResult::since`].
    since: Vec<Timestamp>,
}

/// Where and when the last evaluation took place, and what it said.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct Evaluation {
    pub slot: u16,
    pub time: Timestamp,
    pub window: (Timestamp, Timestamp),
    pub index: f64,
    /// Column with the largest index.
    pub top: Option<u16>,
    pub status: DriftStatus,
}

/// What must survive a restart besides the rows of the windows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MonitorState {
    pub decisions: Vec<Decision>,
    pub rows_since: Vec<u32>,
    /// Slot by slot, column by column.
    since: Vec<Vec<Timestamp>>,
    baseline: Option<Baseline>,
    charts: Vec<Option<ChartState>>,
}

/// Share of a window that must have a value for a column to be tested.
const MIN_PRESENT: f64 = 0.5;

impl Monitor {
    /// `width` columns, `regimes` slots.
    pub fn new(params: MonitorParams, width: usize, regimes: usize) -> Self {
        let state = RegimeState {
            window: Window::new(params.window_rows, width),
            rows_since: 0,
            decision: Decision::default(),
            index: f64::NAN,
            since: vec![Timestamp::EPOCH; width],
        };
        Self {
            tests: vec![TestResult::default(); params.tests.len()],
            columns: vec![ColumnResult::default(); width],
            regimes: vec![state; regimes],
            last: None,
            pooled: params.is_pooled(),
            baseline: Baseline::new(params.baseline_rows, width),
            charts: charts(&params, width),
            ewma: None,
            residuals: vec![f64::NAN; width],
            column: Vec::with_capacity(params.window_rows),
            indexes: Vec::new(),
            scratch: Scratch::default(),
            params,
            width,
        }
    }

    pub fn params(&self) -> &MonitorParams {
        &self.params
    }

    /// New parameters, effective at once; windows keep their newest rows.
    pub fn set_params(&mut self, params: MonitorParams) {
        if params.window_rows != self.params.window_rows {
            for regime in &mut self.regimes {
                regime.window = regime.window.resized(params.window_rows);
            }
        }
        if params.baseline_rows != self.params.baseline_rows {
            self.baseline.reset(params.baseline_rows);
        }
        if params.tests.iter().map(|t| t.0).ne(self.params.tests.iter().map(|t| t.0)) {
            self.tests = vec![TestResult::default(); params.tests.len()];
            self.charts = charts(&params, self.width);
            self.pooled = params.is_pooled();
            // Other tests decide anew, as soon as the windows allow.
            for regime in &mut self.regimes {
                (regime.rows_since, regime.decision, regime.index) = (params.hop, Decision::default(), f64::NAN);
                regime.since.fill(Timestamp::EPOCH);
            }
            self.columns.fill(ColumnResult::default());
            self.last = None;
        } else {
            // The verdict on the last values is of interest at once, not a hop later.
            for (test, (kind, threshold)) in self.tests.iter_mut().zip(&params.tests) {
                let score = if kind.is_p_value() { test.p_value } else { test.value };
                if score.is_finite() {
                    test.index = kind.index(score, *threshold);
                    test.exceeded = test.index >= 1.0;
                }
            }
        }
        self.params = params;
    }

    /// How the EWMA behaves on healthy rows; `None`: as independent rows would.
    pub fn set_ewma(&mut self, reference: Option<Arc<EwmaReference>>) {
        self.ewma = reference;
    }

    /// One judged row of `width` values in a regime with its references. Returns an evaluation where one was due.
    pub fn push(&mut self, slot: u16, time: Timestamp, row: &[f64], references: &[Option<Reference>]) -> Option<Evaluation> {
        if !self.params.enabled || usize::from(slot) >= self.regimes.len() {
            return None;
        }
        if !self.follow(row, references) {
            return None;
        }
        self.regimes[usize::from(slot)].window.push(time, row);
        let at = self.decided_at(slot);
        let regime = &mut self.regimes[at];
        regime.rows_since += 1;
        let ready = if self.pooled { self.charts.iter().flatten().all(|c| !c.value().is_nan()) } else { regime.window.is_full() };
        if !ready || regime.rows_since < self.params.hop {
            return None;
        }
        regime.rows_since = 0;
        self.evaluate(slot, time, references)
    }

    /// Residuals to baseline and charts; false while the row belongs to the baseline.
    fn follow(&mut self, row: &[f64], references: &[Option<Reference>]) -> bool {
        let charted = self.charts.iter().any(Option::is_some);
        if !charted && self.baseline.is_complete() {
            return true;
        }
        for ((z, x), reference) in self.residuals.iter_mut().zip(row).zip(references) {
            *z = reference.as_ref().map_or(f64::NAN, |r| if r.sd() > 0.0 { (x - r.mean()) / r.sd() } else { 0.0 });
        }
        if !self.baseline.is_complete() {
            self.baseline.learn(&self.residuals);
            return false;
        }
        for (z, offset) in self.residuals.iter_mut().zip(self.baseline.offset()) {
            *z = (*z - offset).clamp(-CLIP, CLIP);
        }
        for (chart, (_, threshold)) in self.charts.iter_mut().zip(&self.params.tests) {
            if let Some(chart) = chart {
                chart.push(&self.residuals, *threshold, self.ewma.as_deref());
            }
        }
        true
    }

    /// Whose decision a row of a regime goes to: its own, or the only one.
    fn decided_at(&self, slot: u16) -> usize {
        if self.pooled { 0 } else { usize::from(slot) }
    }

    /// The last row's residuals against its regime and the machine's own baseline, clipped: what the charts have seen.
    pub fn residuals(&self) -> &[f64] {
        &self.residuals
    }

    pub fn baseline(&self) -> &Baseline {
        &self.baseline
    }

    /// A row from before a restart: into its window, without an evaluation.
    pub fn restore_row(&mut self, slot: u16, time: Timestamp, row: &[f64]) {
        if let Some(regime) = self.regimes.get_mut(usize::from(slot)) {
            regime.window.push(time, row);
        }
    }

    fn evaluate(&mut self, slot: u16, time: Timestamp, references: &[Option<Reference>]) -> Option<Evaluation> {
        let tests = self.params.tests.len();
        let judged = references.iter().take(self.width).filter(|r| r.is_some()).count();
        self.tests.fill(TestResult::default());
        self.columns.fill(ColumnResult::default());
        let mut top = None;
        for (k, reference) in references.iter().take(self.width).enumerate() {
            let Some(reference) = reference else { continue };
            self.evaluate_column(slot, k, reference, judged);
            let index = self.columns[k].index;
            if index.is_finite() && top.is_none_or(|(_, best)| index > best) {
                top = Some((k as u16, index));
            }
        }
        for ((test, chart), (kind, threshold)) in self.tests.iter_mut().zip(&self.charts).zip(&self.params.tests) {
            if let Some(value) = chart.as_ref().map(ChartState::value).filter(|v| v.is_finite()) {
                let index = kind.index(value, *threshold);
                *test = TestResult { value, p_value: f64::NAN, index, exceeded: index >= 1.0 };
            }
        }
        let index = self.tests.iter().map(|t| t.index).fold(f64::INFINITY, |a, b| if b.is_nan() { f64::NEG_INFINITY } else { a.min(b) });
        let index = if index.is_finite() { index } else { f64::NAN };
        let exceeded = self.tests.iter().filter(|t| t.exceeded).count();
        let window = self.regimes[usize::from(slot)].window.span()?;
        let at = self.decided_at(slot);
        let regime = &mut self.regimes[at];
        for (column, since) in self.columns.iter_mut().zip(&mut regime.since) {
            // Without an answer nothing is known: what was above stays so.
            if column.index < FeatureReport::ABOVE {
                *since = Timestamp::EPOCH;
            } else if column.index >= FeatureReport::ABOVE && *since == Timestamp::EPOCH {
                *since = time;
            }
            column.since = *since;
        }
        let status = regime.decision.step(exceeded, tests, self.params.consecutive_limit);
        regime.index = index;
        let evaluation = Evaluation { slot, time, window, index, top: top.map(|t| t.0), status };
        self.last = Some(evaluation);
        self.last
    }

    /// All tests of column `k`; `judged` columns are compared.
    fn evaluate_column(&mut self, slot: u16, k: usize, reference: &Reference, judged: usize) {
        let regime = &self.regimes[usize::from(slot)];
        if self.pooled {
            regime.window.column(k, &mut self.column);
        } else {
            regime.window.sorted_column(k, &mut self.column);
        }
        let column = &mut self.columns[k];
        let rows = regime.window.len() as f64;
        column.missing = 1.0 - self.column.len() as f64 / rows;
        (column.mean, column.sd) = mean_sd(&self.column);
        if !self.pooled && (self.column.len() as f64) < MIN_PRESENT * rows {
            (column.mean, column.sd) = (f64::NAN, f64::NAN);
            return;
        }
        column.shift = shift(column.mean, reference, self.baseline.offset()[k]);
        let offset = self.baseline.offset()[k] * reference.sd();
        if offset != 0.0 {
            // Against the reference as it would be for this machine.
            self.column.iter_mut().for_each(|x| *x -= offset);
        }
        self.indexes.clear();
        for (((kind, threshold), test), chart) in self.params.tests.iter().zip(&mut self.tests).zip(&self.charts) {
            let (value, p, index) = match (kind, chart) {
                (Test::Chart(_), Some(chart)) => {
                    let value = chart.column(k);
                    if value.is_nan() {
                        continue;
                    }
                    (value, f64::NAN, kind.index(value, *threshold))
                }
                (Test::Metric(metric), _) => {
                    let Ok(outcome) = metric::numerical(*metric, reference, &self.column, &mut self.scratch) else { continue };
                    let (score, p) = corrected(*metric, &outcome, judged);
                    let index = kind.index(score, *threshold);
                    if test.index.is_nan() || index > test.index {
                        *test = TestResult { value: outcome.statistic, p_value: p, index, exceeded: index >= 1.0 };
                    }
                    (outcome.statistic, p, index)
                }
                (Test::Chart(_), None) => continue,
            };
            self.indexes.push(index);
            if column.index.is_nan() || index < column.index {
                (column.index, column.value, column.p_value) = (index, value, p);
            }
            column.exceeded += usize::from(index >= 1.0);
        }
        if self.indexes.len() < self.params.tests.len() {
            // A column that some test has no answer for cannot exceed all of them.
            column.index = f64::NAN;
        }
    }

    /// Worst status of the regimes; `None` before the first evaluation.
    pub fn status(&self) -> Option<DriftStatus> {
        self.regimes.iter().filter_map(|r| r.decision.status()).max_by_key(|s| s.code())
    }

    /// Slot with the worst status; `None` where charts pool all regimes.
    pub fn worst_slot(&self) -> Option<u16> {
        if self.pooled {
            return None;
        }
        let worst = self.status()?;
        self.regimes.iter().position(|r| r.decision.status() == Some(worst)).map(|s| s as u16)
    }

    pub fn regime_status(&self, slot: u16) -> Option<DriftStatus> {
        self.regimes.get(self.decided_at(slot))?.decision.status()
    }

    /// Index at the last evaluation in a regime; NaN before.
    pub fn regime_index(&self, slot: u16) -> f64 {
        self.regimes.get(self.decided_at(slot)).map_or(f64::NAN, |r| r.index)
    }

    pub fn consecutive(&self, slot: u16) -> u16 {
        self.regimes.get(self.decided_at(slot)).map_or(0, |r| r.decision.consecutive())
    }

    pub fn last(&self) -> Option<&Evaluation> {
        self.last.as_ref()
    }

    pub fn tests(&self) -> &[TestResult] {
        &self.tests
    }

    pub fn columns(&self) -> &[ColumnResult] {
        &self.columns
    }

    /// The values of a column in the window of a regime, oldest first, NaN where missing: for reports.
    pub fn window_column(&self, slot: u16, column: usize) -> Vec<f64> {
        let mut values = Vec::new();
        if let Some(regime) = self.regimes.get(usize::from(slot)).filter(|_| column < self.width) {
            regime.window.newest(column, regime.window.len(), &mut values);
        }
        values
    }

    pub fn window_fill(&self, slot: u16) -> (usize, usize) {
        self.regimes.get(usize::from(slot)).map_or((0, 0), |r| (r.window.len(), r.window.capacity()))
    }

    /// Forgets windows, charts, baseline and decisions: after a repair, or with new references.
    pub fn reset(&mut self) {
        self.baseline.reset(self.params.baseline_rows);
        self.clear();
    }

    /// Another reference in one regime: its decision starts anew, and the charts. With `keep_window` the rows stay, and the next one is
    /// evaluated.
    pub fn renew(&mut self, slot: u16, keep_window: bool) {
        for chart in self.charts.iter_mut().flatten() {
            chart.reset(self.width);
        }
        let (at, hop) = (self.decided_at(slot), self.params.hop);
        if let Some(regime) = self.regimes.get_mut(usize::from(slot)).filter(|_| !keep_window) {
            regime.window.clear();
        }
        if let Some(regime) = self.regimes.get_mut(at) {
            (regime.rows_since, regime.decision, regime.index) = (if keep_window { hop } else { 0 }, Decision::default(), f64::NAN);
            regime.since.fill(Timestamp::EPOCH);
        }
        if self.last.is_some_and(|last| self.pooled || last.slot == slot) {
            self.tests.fill(TestResult::default());
            self.columns.fill(ColumnResult::default());
            self.last = None;
        }
    }

    /// Learns the machine's own baseline anew from its next `rows` judged rows; the one before comes back. Decisions start anew.
    pub fn rebaseline(&mut self, rows: usize) -> Baseline {
        let before = std::mem::replace(&mut self.baseline, Baseline::new(rows, self.width));
        self.clear();
        before
    }

    /// Puts another baseline in force; the one before comes back. Decisions start anew.
    pub fn set_baseline(&mut self, baseline: Baseline) -> Baseline {
        let before = std::mem::replace(&mut self.baseline, baseline);
        self.clear();
        before
    }

    /// The rows of the window of a regime, a column each, oldest first, NaN where missing, as the reference would have them: without
    /// the machine's own baseline.
    pub fn window_columns(&self, slot: u16) -> Vec<Vec<f64>> {
        let of = |k: usize| {
            let mut column = self.window_column(slot, k);
            let finite: Vec<f64> = column.iter().copied().filter(|x| x.is_finite()).collect();
            let offset = self.baseline.offset()[k] * if finite.len() > 1 { mean_sd(&finite).1 } else { 0.0 };
            column.iter_mut().for_each(|x| *x -= offset);
            column
        };
        (0..self.width).map(of).collect()
    }

    /// Forgets windows, charts and decisions.
    pub fn clear(&mut self) {
        for chart in self.charts.iter_mut().flatten() {
            chart.reset(self.width);
        }
        for regime in &mut self.regimes {
            regime.window.clear();
            (regime.rows_since, regime.decision, regime.index) = (0, Decision::default(), f64::NAN);
            regime.since.fill(Timestamp::EPOCH);
        }
        self.tests.fill(TestResult::default());
        self.columns.fill(ColumnResult::default());
        self.last = None;
    }

    pub fn state(&self) -> MonitorState {
        MonitorState {
            decisions: self.regimes.iter().map(|r| r.decision).collect(),
            rows_since: self.regimes.iter().map(|r| r.rows_since as u32).collect(),
            since: self.regimes.iter().map(|r| r.since.clone()).collect(),
            baseline: (self.params.baseline_rows > 0 || self.baseline.is_used()).then(|| self.baseline.clone()),
            charts: self.charts.clone(),
        }
    }

    pub fn restore_state(&mut self, state: &MonitorState) {
        for ((regime, decision), rows) in self.regimes.iter_mut().zip(&state.decisions).zip(&state.rows_since) {
            regime.decision = *decision;
            regime.rows_since = *rows as usize;
        }
        for (regime, since) in self.regimes.iter_mut().zip(&state.since).filter(|(r, s)| r.since.len() == s.len()) {
            regime.since.clone_from(since);
        }
        let none = || Baseline::new(self.params.baseline_rows, self.width);
        self.baseline = state.baseline.clone().unwrap_or_else(none);
        for (ours, theirs) in self.charts.iter_mut().zip(&state.charts) {
            if ours.as_ref().map(ChartState::chart) == theirs.as_ref().map(ChartState::chart) {
                ours.clone_from(theirs);
            }
        }
    }
}

/// A chart for each test that is one.
fn charts(params: &MonitorParams, width: usize) -> Vec<Option<ChartState>> {
    let chart = |test: &Test| match test {
        Test::Chart(chart) => Some(ChartState::new(*chart, width)),
        Test::Metric(_) => None,
    };
    params.tests.iter().map(|t| chart(&t.0)).collect()
}

/// The score to hold against the threshold and the p-value to show, corrected for `columns` comparisons.
fn corrected(metric: Metric, outcome: &Outcome, columns: usize) -> (f64, f64) {
    let p = outcome.p_value.map_or(f64::NAN, |p| (p * columns.max(1) as f64).min(1.0));
    if metric.is_p_value() { (p, p) } else { (outcome.score, p) }
}

fn shift(mean: f64, reference: &Reference, offset: f64) -> f64 {
    let off = mean - reference.mean();
    if reference.sd() > 0.0 {
        off / reference.sd() - offset
    } else if off == 0.0 {
        0.0
    } else {
        off.signum()
    }
}

/// Mean and standard deviation (n - 1) of at least one value; sd NaN for a single one.
fn mean_sd(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|x| (x - mean) * (x - mean)).sum();
    (mean, (squares / (n - 1.0)).sqrt())
}

#[cfg(test)]
mod tests;
