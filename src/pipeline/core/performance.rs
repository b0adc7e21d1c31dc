//! Labels: what was true at a row, held against what the model had said of it.

use std::collections::VecDeque;
use std::sync::Arc;

use super::MachineCore;
use crate::config::{FaultWhen, LabelConfig, LabelValue, PerformanceConfig};
use crate::drift::performance::{self, DelayLine, Labelled, Performance};
use crate::regime::Place;
use crate::types::{Basis, Channel, DriftStatus, EventKind, NoEstimate, PerformanceReport, Statement, Timestamp, Trust, Value};

/// The performance of one model that has labels.
#[derive(Clone)]
pub(super) struct ModelPerformance {
    pub monitor: Performance,
    /// Predictions that wait for their labels; `None` for a row without one.
    waiting: DelayLine<Option<Prediction>>,
    /// What the label channel says at the present row.
    pub truth: Option<bool>,
    /// Probability that the present prediction is right.
    confidence: f64,
    unreadable: u64,
    unmatched: u64,
    /// Predictions that people can still label, with their rows.
    pub(super) past: VecDeque<(u64, Prediction)>,
    /// Labels by people that count at the next row.
    pub(super) given: Vec<(u16, Labelled)>,
}

/// Predictions that people can still label: 16 minutes of ten rows a second.
const PAST: usize = 10_000;

#[derive(Copy, Clone)]
pub(super) struct Prediction {
    pub slot: u16,
    pub time: Timestamp,
    pub fault: bool,
}

impl ModelPerformance {
    pub fn new(config: &PerformanceConfig, regimes: usize) -> Self {
        Self {
            monitor: Performance::new(performance::params(&config.drift), regimes),
            waiting: DelayLine::new(config.label.delay_rows as usize),
            truth: None,
            confidence: f64::NAN,
            unreadable: 0,
            unmatched: 0,
            past: VecDeque::new(),
            given: Vec::new(),
        }
    }

    /// Reads the label of a row.
    pub fn read(&mut self, config: &LabelConfig, channel: Option<&Channel>) {
        self.truth = match channel.map_or(Read::Nothing, |c| read(config, c)) {
            Read::Truth(fault) => Some(fault),
            Read::Nothing => None,
            Read::Unreadable => {
                self.unreadable += 1;
                None
            }
        };
    }
}

/// What a label channel says.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Read {
    Nothing,
    Unreadable,
    Truth(bool),
}

/// A value that is not good is no label.
pub(super) fn read(config: &LabelConfig, channel: &Channel) -> Read {
    let Some(value) = channel.value.as_ref().filter(|_| channel.quality.is_good()) else { return Read::Nothing };
    let is = |listed: &LabelValue| match (listed, value) {
        (LabelValue::Text(listed), Value::Text(text)) => **listed == **text,
        (LabelValue::Number(listed), value) => value.number() == Some(*listed),
        (LabelValue::Text(_), _) => false,
    };
    if config.ignore_values.iter().any(is) {
        return Read::Nothing;
    }
    let number = || value.number().filter(|x| x.is_finite());
    let fault = match &config.fault {
        FaultWhen::Listed(values) => (!matches!(value, Value::Block(_))).then(|| values.iter().any(is)),
        FaultWhen::Positive => number().map(|x| x > 0.0),
        FaultWhen::Outside(low, high) => number().map(|x| x < *low || x > *high),
    };
    fault.map_or(Read::Unreadable, Read::Truth)
}

/// A report before the first row.
pub(super) fn empty() -> PerformanceReport {
    PerformanceReport {
        regimes: Vec::new(),
        statement: Statement::Unknown,
        regime: None,
        labels: 0,
        confidence: f64::NAN,
        no_estimate: Some(NoEstimate::NoLabels),
        unreadable: 0,
        unmatched: 0,
    }
}

impl MachineCore {
    /// What the labels of each model say at the present row. After [`Self::prepare`].
    pub fn truths(&self) -> impl Iterator<Item = Option<bool>> + '_ {
        self.models.iter().map(|m| m.performance.as_ref()?.truth)
    }

    /// The present prediction waits for its label; the label that has come goes to the prediction it belongs to. `slot` is the regime
    /// where the row is judged in one.
    pub(super) fn follow_labels(&mut self, slot: Option<u16>) {
        let Some(bundle) = self.bundle.clone() else { return };
        let (time, fault_active) = (self.now.time, self.fault_active());
        let mut at = 1 + self.models.len();
        for (state, config) in self.models.iter_mut().zip(&self.config.models) {
            let Some(performance) = &mut state.performance else { continue };
            let prediction = slot.filter(|_| state.score.is_finite() && state.complete);
            let prediction = prediction.map(|slot| Prediction { slot, time, fault: state.anomaly });
            let reference = bundle.model(&config.name).and_then(|m| m.performance.as_ref());
            let expected_error = reference.map_or(f64::NAN, |r| r.expected_error(state.score, state.threshold));
            performance.confidence = f64::NAN;
            if let Some(prediction) = prediction {
                performance.confidence = 1.0 - expected_error;
                // A fault of the machine changes how often a model errs, but says nothing about the model.
                let counted = if fault_active { f64::NAN } else { expected_error };
                performance.monitor.predicted(prediction.slot, time, counted);
                if performance.past.len() == PAST {
                    performance.past.pop_front();
                }
                performance.past.push_back((self.now.row, prediction));
            }
            let due = performance.waiting.push(prediction);
            let evaluation = match (performance.truth, due) {
                (Some(fault), Some(Some(Prediction { slot, time, fault: predicted }))) => {
                    performance.monitor.label(slot, Labelled { time, predicted, fault })
                }
                (Some(_), _) => {
                    performance.unmatched += 1;
                    None
                }
                (None, _) => None,
            };
            let by_people: Vec<_> = performance.given.drain(..).filter_map(|(slot, row)| performance.monitor.label(slot, row)).collect();
            self.verdict.monitors[at].evaluated = evaluation.is_some() || !by_people.is_empty();
            at += 1;
        }
    }

    /// What labels (or the estimate) say of the trust in model `k`, in the present regime; `None`: nothing against it, nothing for it.
    pub(super) fn performance_trust(&self, k: usize) -> Option<Trust> {
        let Place::Known { slot, .. } = self.now.place else { return None };
        let monitor = &self.models[k].performance.as_ref()?.monitor;
        let data_changed = self.data.status() == Some(DriftStatus::Drift);
        match (monitor.regime_status(slot)?, monitor.basis(slot)) {
            (DriftStatus::Drift, _) => {
                Some(Trust::PerformanceDrift { data_changed: self.data.regime_status(slot) == Some(DriftStatus::Drift) })
            }
            (DriftStatus::Warning, _) => Some(Trust::TrustedMaybeWorse),
            (_, Basis::Labels) if data_changed => Some(Trust::TrustedConfirmed { labels: monitor.labels(slot) }),
            (_, Basis::Estimate) if data_changed => Some(Trust::TrustedEstimated),
            _ => None,
        }
    }

    /// Fills the reports of all models with labels; an event where data and labels together say something new.
    pub(super) fn report_performance(&mut self) {
        for k in 0..self.models.len() {
            let Some(performance) = &self.models[k].performance else { continue };
            let (statement, regime) = self.statement(&performance.monitor);
            let bundle = self.bundle.as_deref();
            let regimes = bundle.map_or(0, |b| b.regimes.len());
            let reference = bundle.and_then(|b| b.model(&self.config.models[k].name)).and_then(|m| m.performance.as_ref());
            let no_estimate = reference.map_or(Some(NoEstimate::NoLabels), |r| r.probability.as_ref().err().copied());
            let report = self.verdict.models[k].performance.get_or_insert_with(empty);
            report.regimes.clear();
            report.regimes.extend((0..regimes).filter_map(|slot| performance.monitor.regime(slot as u16)));
            report.confidence = performance.confidence;
            (report.unreadable, report.unmatched) = (performance.unreadable, performance.unmatched);
            report.no_estimate = no_estimate;
            report.labels = regime.map_or(0, |slot| performance.monitor.labels(slot));
            report.regime = regime;
            if report.statement != statement {
                report.statement = statement;
                self.push_statement(k);
            }
        }
    }

    /// What data and labels together say of a model, and of which regime: that with the worst performance, else that with drifted data.
    fn statement(&self, performance: &Performance) -> (Statement, Option<u16>) {
        let worst = performance.worst_slot();
        match (performance.status(), worst) {
            (Some(DriftStatus::Drift), Some(slot)) => {
                let both = self.data.regime_status(slot) == Some(DriftStatus::Drift);
                return (if both { Statement::Worse } else { Statement::WorseDataUnchanged }, worst);
            }
            (Some(DriftStatus::Warning), Some(slot)) => {
                let estimated = performance.basis(slot) == Basis::Estimate;
                return (if estimated { Statement::MaybeWorseEstimated } else { Statement::MaybeWorse }, worst);
            }
            _ => {}
        }
        if self.data.status() == Some(DriftStatus::Drift) {
            // Charts pool the regimes: the last one that was looked at.
            let slot = self.data.worst_slot().or_else(|| self.data.last().map(|l| l.slot));
            return match slot.map_or(Basis::None, |s| performance.basis(s)) {
                Basis::Labels => (Statement::DataChangedFine, slot),
                Basis::Estimate => (Statement::DataChangedFineEstimated, slot),
                Basis::None => (Statement::DataChanged, slot),
            };
        }
        match worst.map(|slot| performance.basis(slot)) {
            Some(Basis::Labels) => (Statement::Fine, worst),
            Some(Basis::Estimate) => (Statement::FineEstimated, worst),
            Some(Basis::None) | None => (Statement::Unknown, None),
        }
    }

    fn push_statement(&mut self, k: usize) {
        let Some(report) = &self.verdict.models[k].performance else { return };
        let at = report.regime.and_then(|slot| report.regimes.get(usize::from(slot)));
        let finite = |x: f64| Some(x).filter(|x| x.is_finite());
        let key = |slot: u16| Some(self.bundle.as_ref()?.envelope.regimes.get(usize::from(slot))?.key.clone());
        let kind = EventKind::Statement {
            model: Arc::clone(&self.config.models[k].name),
            statement: report.statement,
            labels: report.labels,
            regime: report.regime.and_then(key),
            error_rate: at.and_then(|r| finite(r.window.error_rate())),
            reference: at.and_then(|r| finite(r.reference.error_rate())),
            estimate: at.and_then(|r| finite(r.estimate)),
        };
        self.push_event(kind);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Cause, Quality};

    fn config(faults: &[LabelValue], ignored: &[LabelValue]) -> LabelConfig {
        LabelConfig {
            name: "M.label".into(),
            column: "label".into(),
            origin: None,
            fault: if faults.is_empty() { FaultWhen::Positive } else { FaultWhen::Listed(faults.to_vec()) },
            ignore_values: ignored.to_vec(),
            delay_rows: 0,
        }
    }

    fn good(value: Value) -> Channel {
        Channel::good(value, Timestamp::EPOCH)
    }

    #[test]
    fn numbers_above_zero_are_faults_and_bad_values_are_no_labels() {
        let plain = config(&[], &[LabelValue::Number(-1.0)]);
        let number = |x: f64| read(&plain, &good(Value::Real(x)));
        assert_eq!((number(0.0), number(2.0), number(-3.0)), (Read::Truth(false), Read::Truth(true), Read::Truth(false)));
        assert_eq!(number(-1.0), Read::Nothing, "not inspected");
        assert_eq!(read(&plain, &good(Value::Bool(true))), Read::Truth(true));
        for unreadable in [Value::Real(f64::NAN), Value::Text("scrap".into()), Value::Block(Arc::from([1.0]))] {
            assert_eq!(read(&plain, &good(unreadable)), Read::Unreadable);
        }
        let mut stale = good(Value::Real(1.0));
        for quality in [Quality::Bad(Cause::Stale), Quality::Uncertain(Cause::LastUsable)] {
            stale.quality = quality;
            assert_eq!(read(&plain, &stale), Read::Nothing);
        }
        assert_eq!(read(&plain, &Channel::default()), Read::Nothing);
    }

    #[test]
    fn listed_values_are_faults_and_all_others_are_not() {
        let listed = config(&[LabelValue::Number(2.0), LabelValue::Text("scrap".into())], &[LabelValue::Text("?".into())]);
        let value = |value| read(&listed, &good(value));
        assert_eq!((value(Value::Integer(2)), value(Value::Integer(1))), (Read::Truth(true), Read::Truth(false)));
        assert_eq!((value(Value::Text("scrap".into())), value(Value::Text("good".into()))), (Read::Truth(true), Read::Truth(false)));
        assert_eq!(value(Value::Text("?".into())), Read::Nothing);
    }

    #[test]
    fn a_measured_value_is_a_fault_outside_its_range() {
        let measured = LabelConfig { fault: FaultWhen::Outside(-0.1, 0.3), ..config(&[], &[LabelValue::Number(-1.0)]) };
        let value = |x: f64| read(&measured, &good(Value::Real(x)));
        assert_eq!([0.3, -0.1, 0.31, -0.2].map(value), [false, false, true, true].map(Read::Truth));
        assert_eq!((value(-1.0), value(f64::NAN)), (Read::Nothing, Read::Unreadable));
        assert_eq!(read(&measured, &good(Value::Text("0.2".into()))), Read::Unreadable);
    }
}
