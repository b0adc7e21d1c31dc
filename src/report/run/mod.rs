//! The report of a run of the engine, from recorded data or live: one page for one or more units (machines).
//!
//! ```text
//! each row: Verdict, Events ─▶ Collector ─┐
//! at the end: verdict, bundle, windows ───┴─▶ Unit ─▶ html(units) ─▶ page
//! ```
//! Nothing here keeps rows: histories have a fixed number of places, distributions are taken from the bundle's references and
//! from the windows that the monitors hold anyway.

mod collector;
mod page;
mod parts;
mod places;

use std::sync::Arc;

use super::bins::Bins;
use crate::bundle::Bundle;
use crate::config::MachineConfig;
use crate::drift::Test;
use crate::drift::calibrate::{Answer, memory};
use crate::types::{DriftStatus, FeatureReport, TestReport, Verdict};
use collector::{Lane, Moment};

pub use collector::Collector;
pub use page::html;

/// What times of a run mean.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Clock {
    /// There are none, rows are counted.
    Rows,
    /// Seconds of a recording.
    Seconds,
    /// Times of day.
    Utc,
}

/// The end of a run of one unit, from which its part of the page is made.
pub struct End<'a> {
    /// Name of the unit; empty for the only one.
    pub unit: &'a str,
    pub config: &'a MachineConfig,
    /// On the last row.
    pub verdict: &'a Verdict,
    pub bundle: Option<&'a Bundle>,
    /// The values of a feature in the data monitor's window of a regime slot, oldest first, NaN where there is none.
    pub window: &'a dyn Fn(u16, usize) -> Vec<f64>,
    pub clock: Clock,
}

/// One unit, ready to be drawn.
#[derive(Clone, Debug)]
pub struct Unit {
    name: String,
    clock: Clock,
    collected: Collector,
    verdict: Verdict,
    features: Vec<Feature>,
    regimes: Vec<RegimeLine>,
    models: Vec<Arc<str>>,
    n_limit: u16,
    thresholds: &'static str,
}

/// A feature in the regime where it stands worst.
#[derive(Clone, Debug)]
struct Feature {
    name: Arc<str>,
    unit: String,
    column: usize,
    regime: String,
    report: Option<FeatureReport>,
    since: Option<Moment>,
    test: Option<(&'static str, f64)>,
    n_reference: usize,
    n_current: usize,
    effective_n: Option<f64>,
    range: (f64, f64),
    reference: Vec<f64>,
    current: Vec<f64>,
    beyond: (usize, usize),
}

#[derive(Clone, Debug)]
struct RegimeLine {
    key: String,
    learned: u32,
    rows: u64,
    visits: u32,
    last: Option<Moment>,
    status: DriftStatus,
    index: f64,
}

impl Unit {
    /// Puts together what the collector has and how the core ended.
    pub fn new(collected: Collector, end: &End<'_>) -> Self {
        let features = (0..end.config.features.len()).map(|k| Feature::new(k, &collected, end)).collect();
        let regimes = end.verdict.regimes.iter().enumerate().filter(|(_, r)| !r.key.is_empty());
        let regimes = regimes.map(|(slot, r)| {
            let run = collected.regimes.get(slot).filter(|run| run.rows > 0);
            RegimeLine {
                key: r.key.to_string(),
                learned: r.rows_learned,
                rows: run.map_or(0, |run| run.rows),
                visits: r.occurrences,
                last: run.map(|run| run.last),
                status: r.drift_status,
                index: r.drift_index,
            }
        });
        let calibrated = end.bundle.and_then(|b| b.data_drift.as_ref()).is_some_and(|c| matches!(c.answer, Answer::Thresholds(_)));
        Self {
            name: end.unit.to_string(),
            clock: end.clock,
            verdict: end.verdict.clone(),
            features,
            regimes: regimes.collect(),
            models: end.config.models.iter().map(|m| m.name.clone()).collect(),
            n_limit: end.config.data_drift.consecutive_limit,
            thresholds: if calibrated { "calibrated to a budget" } else { "uncalibrated" },
            collected,
        }
    }

    /// Worse units are larger: drifting at the end, then by the share of rows in drift, then by index.
    fn rank(&self) -> (u8, u64, f64) {
        let c = &self.collected;
        let share = |lane: Lane| c.rows_per_lane[lane as usize] * 1_000 / c.rows.max(1);
        let status = match c.judged {
            Some((DriftStatus::Drift, _)) => 4,
            _ if c.drifts > 0 => 3,
            Some((DriftStatus::Warning, _)) => 2,
            Some(_) => 1,
            None => 0,
        };
        (status, share(Lane::Drift) * 10 + share(Lane::Outside), self.verdict.drift_index.max(0.0))
    }

    /// A unit that will not be drawn: its histories are dropped, its numbers stay.
    pub fn forget_histories(&mut self) {
        let c = &mut self.collected;
        c.features = Vec::new();
        c.scores = Vec::new();
        c.regimes = Vec::new();
        c.events = Vec::new();
        (c.index, c.lanes) = Default::default();
        self.features.iter_mut().for_each(|f| (f.reference, f.current) = (Vec::new(), Vec::new()));
    }

    /// Keeps the histories of the worst `most` units only: what a report can draw.
    pub fn keep_worst(units: &mut [Self], most: usize) {
        let order = worst_first(units);
        order.into_iter().skip(most).for_each(|k| units[k].forget_histories());
    }
}

/// Indexes of units, worst first; equal ones in their order.
fn worst_first(units: &[Unit]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..units.len()).collect();
    let key = |k: usize| units[k].rank();
    order.sort_by(|a, b| {
        let (a, b) = (key(*a), key(*b));
        b.0.cmp(&a.0).then(b.1.cmp(&a.1)).then(b.2.total_cmp(&a.2))
    });
    order
}

impl Feature {
    fn new(column: usize, collected: &Collector, end: &End<'_>) -> Self {
        let contract = &end.config.features[column];
        let slot = worst_slot(column, collected);
        let judged = slot.and_then(|s| collected.regimes[usize::from(s)].features.get(column));
        let report = judged.map(|j| j.report.clone());
        let tests = end.verdict.monitors.first().map_or(&[][..], |m| &m.tests);
        let mut feature = Self {
            name: contract.name.clone(),
            unit: contract.unit.clone(),
            column,
            regime: String::new(),
            test: report.as_ref().and_then(|r| deciding(r, tests)),
            since: judged.and_then(|j| j.since),
            report,
            n_reference: 0,
            n_current: 0,
            effective_n: None,
            range: (0.0, 0.0),
            reference: Vec::new(),
            current: Vec::new(),
            beyond: (0, 0),
        };
        if let Some(slot) = slot {
            feature.picture(slot, end);
        }
        feature
    }

    /// Distributions of the reference and of the window.
    fn picture(&mut self, slot: u16, end: &End<'_>) {
        let at = usize::from(slot);
        self.regime = end.verdict.regimes.get(at).map(|r| r.key.to_string()).unwrap_or_default();
        let reference = end.bundle.and_then(|b| b.regimes.get(at)?.references.get(self.column)?.as_ref());
        let reference = reference.map_or(&[][..], |r| r.sorted());
        let mut current: Vec<f64> = (end.window)(slot, self.column).into_iter().filter(|x| x.is_finite()).collect();
        (self.n_reference, self.n_current) = (reference.len(), current.len());
        self.effective_n = (!current.is_empty()).then(|| (current.len() as f64 / memory(&current)).clamp(1.0, current.len() as f64));
        current.sort_unstable_by(f64::total_cmp);
        let Some(bins) = Bins::of(reference, &current) else { return };
        let (r, c) = (bins.shares(reference), bins.shares(&current));
        self.range = bins.range();
        self.beyond = (r.below + c.below, r.above + c.above);
        self.reference = if reference.is_empty() { Vec::new() } else { r.shares };
        self.current = if current.is_empty() { Vec::new() } else { c.shares };
    }

    fn status(&self) -> DriftStatus {
        self.report.as_ref().map_or(DriftStatus::NotEvaluated, |r| r.status)
    }

    fn index(&self) -> f64 {
        self.report.as_ref().map_or(f64::NAN, |r| r.index)
    }
}

/// The regime in which a feature was last judged worst; `None` where in none.
fn worst_slot(column: usize, collected: &Collector) -> Option<u16> {
    let judged = collected.regimes.iter().enumerate().filter_map(|(slot, r)| Some((slot as u16, &r.features.get(column)?.report)));
    let key = |slot: u16, r: &FeatureReport| {
        let latest = collected.evaluated_in == Some(slot);
        (r.status.code(), if r.index.is_finite() { r.index } else { -1.0 }, latest)
    };
    judged
        .map(|(slot, r)| (slot, key(slot, r)))
        .max_by(|a, b| a.1.0.cmp(&b.1.0).then(a.1.1.total_cmp(&b.1.1)).then(a.1.2.cmp(&b.1.2)))
        .map(|j| j.0)
}

/// The test that a feature's value and index come from, and its threshold.
fn deciding(report: &FeatureReport, tests: &[TestReport]) -> Option<(&'static str, f64)> {
    let index = |t: &TestReport| {
        let test: Test = t.name.parse().ok()?;
        Some(test.index(if test.is_p_value() { report.p_value } else { report.value }, t.threshold))
    };
    let near = |t: &&TestReport| index(t).is_some_and(|i| (i - report.index).abs() <= 1e-9 * report.index.abs());
    tests.iter().find(near).or(if tests.len() == 1 { tests.first() } else { None }).map(|t| (t.name, t.threshold))
}
