//! What a replay says of models with labels.

use std::collections::BTreeMap;

use serde::Serialize;

use super::core::MachineCore;
use crate::config::MachineConfig;
use crate::types::{Confusion, DriftStatus, Event, EventKind, RegimePerformance, Verdict};

/// One model, all units together.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PerformanceSummary {
    /// Labels that met a prediction.
    pub labels: u64,
    /// Labels of rows without one: outside the envelope, in a transient, or with a missing input.
    pub labels_without_prediction: u64,
    /// Labels whose value could not be read.
    pub unreadable_labels: u64,
    /// Onsets of performance drift.
    pub drifts: u64,
    /// How often each statement on data and model began.
    pub statements: BTreeMap<&'static str, u64>,
    /// By key of the regime; those with labels or an estimate.
    pub regimes: BTreeMap<String, RegimeSummary>,
    /// Why there is no estimate without labels, where there is none.
    pub no_estimate: Option<String>,
}

/// One regime. A rate that does not exist is null.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RegimeSummary {
    /// All labelled rows; positive is a fault.
    #[serde(flatten)]
    pub confusion: Confusion,
    pub error_rate: Option<f64>,
    pub precision: Option<f64>,
    pub recall: Option<f64>,
    /// Of the labelled rows that these are held against.
    pub reference_error_rate: Option<f64>,
    /// Estimated without labels: the mean over the rows at which there was an estimate.
    pub estimated_error_rate: Option<f64>,
    /// Where the estimate lies while the data is like the training's.
    pub estimated_band: Option<[f64; 2]>,
    #[serde(skip)]
    reference: Confusion,
    #[serde(skip)]
    estimates: (f64, u64),
}

type Summaries = BTreeMap<String, PerformanceSummary>;

/// One row: its estimate.
pub(super) fn count(summaries: &mut Summaries, machine: &MachineConfig, verdict: &Verdict) {
    let (Some(slot), None) = (verdict.regime.slot, verdict.not_evaluated) else { return };
    for (model, report) in machine.models.iter().zip(&verdict.models) {
        let Some(at) = report.performance.as_ref().and_then(|p| p.regimes.get(usize::from(slot))) else { continue };
        if at.estimate.is_finite() {
            let regime = summaries.entry(model.name.to_string()).or_default().regimes.entry(verdict.regime.key.to_string()).or_default();
            regime.estimates.0 += at.estimate;
            regime.estimates.1 += 1;
        }
    }
}

/// One event: what begins.
pub(super) fn count_event(summaries: &mut Summaries, event: &Event) {
    match &event.kind {
        EventKind::Status { monitor, status: DriftStatus::Drift, .. } => {
            if let Some(model) = monitor.strip_suffix(".PerformanceDrift") {
                summaries.entry(model.into()).or_default().drifts += 1;
            }
        }
        EventKind::Statement { model, statement, .. } => {
            *summaries.entry(model.to_string()).or_default().statements.entry(statement.name()).or_default() += 1;
        }
        _ => {}
    }
}

/// The last row of a unit: what its labels came to.
pub(super) fn close_unit(summaries: &mut Summaries, machine: &MachineConfig, core: &MachineCore) {
    for (model, report) in machine.models.iter().zip(&core.verdict().models) {
        let Some(report) = &report.performance else { continue };
        let summary = summaries.entry(model.name.to_string()).or_default();
        summary.unreadable_labels += report.unreadable;
        summary.labels_without_prediction += report.unmatched;
        summary.no_estimate = report.no_estimate.map(|why| why.to_string());
        let keys = core.bundle().into_iter().flat_map(|b| &b.envelope.regimes).map(|r| &r.key);
        for (key, at) in keys.zip(&report.regimes) {
            summary.labels += at.total.total();
            if at.total.total() > 0 || at.estimate.is_finite() {
                summary.regimes.entry(key.to_string()).or_default().add(at);
            }
        }
    }
}

impl RegimeSummary {
    fn add(&mut self, at: &RegimePerformance) {
        self.confusion += at.total;
        self.reference += at.reference;
        self.error_rate = finite(self.confusion.error_rate());
        self.precision = finite(self.confusion.precision());
        self.recall = finite(self.confusion.recall());
        self.reference_error_rate = finite(self.reference.error_rate());
        self.estimated_error_rate = finite(self.estimates.0 / self.estimates.1 as f64);
        self.estimated_band = finite(at.band.0).zip(finite(at.band.1)).map(|(low, high)| [low, high]);
    }
}

fn finite(x: f64) -> Option<f64> {
    Some(x).filter(|x| x.is_finite())
}

impl std::fmt::Display for PerformanceSummary {
    /// Lines for a terminal.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} labels, {} performance drift(s)", self.labels, self.drifts)?;
        for (what, n) in [("without a prediction", self.labels_without_prediction), ("unreadable", self.unreadable_labels)] {
            if n > 0 {
                write!(f, ", {n} {what}")?;
            }
        }
        let percent = |x: Option<f64>| x.map_or("-".to_string(), |x| format!("{:.1} %", 100.0 * x));
        for (key, r) in &self.regimes {
            let (error, reference, estimate) = (r.error_rate, r.reference_error_rate, r.estimated_error_rate);
            write!(f, "\n    {key:<38} {:>9} labels, wrong {}", r.confusion.total(), percent(error))?;
            write!(f, " (reference {}), estimated {}", percent(reference), percent(estimate))?;
        }
        if let Some(why) = &self.no_estimate {
            write!(f, "\n    no estimate without labels: {why}")?;
        }
        Ok(())
    }
}
