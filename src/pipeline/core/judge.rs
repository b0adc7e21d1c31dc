//! Third step: what one row means.

use std::sync::Arc;
use std::time::Duration;

use super::MachineCore;
use super::buffers::{BufferRow, Change};
use crate::bundle::Bundle;
use crate::regime::Place;
use crate::types::{BufferReason, DriftStatus, EventKind, NotEvaluated, RegimeState, Timestamp, Trust};

impl MachineCore {
    pub(super) fn judge_row(&mut self) {
        self.sampled = None;
        let slot = match (&self.now.place, self.now.not_evaluated) {
            (Place::Known { slot, .. }, None) => Some(*slot),
            _ => None,
        };
        self.report_regime(slot);
        if let Some(slot) = slot {
            self.visit(slot);
            self.detect_faults();
            if self.fault_active() {
                self.now.not_evaluated = Some(NotEvaluated::FaultActive);
            } else {
                self.monitor(slot);
                self.recent.push(slot, self.now.time, &self.now.adjusted, Some(&self.now.extracted.values));
                self.check(slot);
            }
        }
        self.follow_labels(slot);
        self.report_monitors(slot);
        self.report_performance();
        self.report_models();
        self.report_machine();
        if let (Some(slot), None) = (slot, self.now.not_evaluated) {
            self.collect(slot);
            self.sample();
        } else if self.now.not_evaluated == Some(NotEvaluated::OutsideEnvelope) && self.config.buffers.collect_outside {
            self.collect_outside();
        }
    }

    fn visit(&mut self, slot: u16) {
        let was_here = self.verdict.regime.slot == Some(slot) && self.verdict.row + 1 == self.now.row && self.verdict.row > 0;
        let Some(visits) = self.visits.get_mut(usize::from(slot)) else { return };
        // Learned rows are no visits: the first one has none before it.
        let since = if visits.last_seen == Timestamp::EPOCH { Duration::ZERO } else { self.now.time.since(visits.last_seen) };
        visits.rows += 1;
        visits.last_seen = self.now.time;
        let total = self.labelling.spend(slot, if was_here { since } else { Duration::ZERO });
        if !was_here || visits.occurrences == 0 {
            visits.occurrences = visits.occurrences.saturating_add(1);
        }
        if let Some(report) = self.verdict.regimes.get_mut(usize::from(slot)) {
            report.last_seen = visits.last_seen;
            report.occurrences = visits.occurrences;
            report.total_time = total;
        }
    }

    fn detect_faults(&mut self) {
        let regime = self.regime_key();
        for k in 0..self.models.len() {
            let trusted = self.trust(k).is_trusted();
            let state = &mut self.models[k];
            // Without a score nothing is said: the state is kept.
            if state.score.is_nan() {
                continue;
            }
            state.scored = Some((self.now.row, self.now.time));
            state.anomaly = state.score > state.threshold;
            if !state.fault.step(state.anomaly, trusted, self.config.models[k].fault_rows) {
                continue;
            }
            let (active, value, threshold) = (state.fault.is_active(), state.score, state.threshold);
            let feature = self.strangest_input(k);
            let model = self.config.models[k].name.clone();
            self.labelling.fault(active, self.now.row, self.now.time);
            self.push_event(EventKind::Fault { model, active, regime: regime.clone(), feature, value, threshold });
        }
    }

    /// The input that lies farthest from its reference: what drove a score.
    fn strangest_input(&self, k: usize) -> Option<Arc<str>> {
        let model = self.bundle.as_ref()?.model(&self.config.models[k].name)?;
        let residuals = self.models[k].residuals.iter().zip(&model.inputs);
        let (_, input) = residuals.max_by(|a, b| a.0.abs().total_cmp(&b.0.abs()))?;
        Some(self.config.features.get(*input)?.name.clone())
    }

    pub(super) fn fault_active(&self) -> bool {
        self.models.iter().any(|m| m.fault.is_active())
    }

    /// Whether model `k`'s prediction at the present row can be relied on.
    pub(super) fn trust(&self, k: usize) -> Trust {
        match self.now.not_evaluated {
            Some(NotEvaluated::OutsideEnvelope) => return Trust::Outside,
            Some(NotEvaluated::Transient) => return Trust::Transient,
            Some(NotEvaluated::NotProducing) => return Trust::NotProducing,
            Some(NotEvaluated::BadSetting) => return Trust::BadSetting,
            Some(NotEvaluated::BadInputs) => return Trust::BadInputs,
            Some(NotEvaluated::NoReference) => return Trust::NoModel,
            Some(NotEvaluated::Learning) => return Trust::Learning,
            Some(NotEvaluated::Suspended) => return Trust::Suspended,
            Some(NotEvaluated::FaultActive | NotEvaluated::NoLabels) | None => {}
        }
        let untrained = |b: &Bundle| self.verdict_slot().and_then(|s| b.regimes.get(usize::from(s))).is_some_and(|r| r.untrained);
        if self.bundle.as_deref().is_some_and(untrained) {
            // Its data is watched; no model knows it.
            return Trust::Outside;
        }
        let Some(model) = self.bundle.as_ref().and_then(|b| b.model(&self.config.models[k].name)) else { return Trust::NoModel };
        let missing = model.inputs.iter().any(|i| self.now.extracted.values.get(*i).is_none_or(|x| x.is_nan()));
        if missing || self.now.extracted.uncertain {
            Trust::BadInputs
        } else if let Some(worse @ Trust::PerformanceDrift { .. }) = self.performance_trust(k) {
            worse
        } else if self.models[k].monitor.status() == Some(DriftStatus::Drift) {
            Trust::PredictionDrift
        } else if let Some(trust) = self.performance_trust(k) {
            trust
        } else if self.data.status() == Some(DriftStatus::Drift) {
            Trust::TrustedDataDrift
        } else {
            Trust::Trusted
        }
    }

    fn monitor(&mut self, slot: u16) {
        let Some(bundle) = self.bundle.clone() else { return };
        let Some(regime) = bundle.regimes.get(usize::from(slot)) else { return };
        let (time, row) = (self.now.time, &self.now.adjusted);
        self.verdict.monitors[0].evaluated = self.data.push(slot, time, row, &regime.references).is_some();
        for (k, (state, config)) in self.models.iter_mut().zip(&self.config.models).enumerate() {
            let Some(model) = bundle.model(&config.name) else { continue };
            let reference = &model.scores[usize::from(slot)..=usize::from(slot)];
            // A score with a stand-in is more ordinary than a real one: it says nothing about drift.
            let scored = state.score.is_finite() && state.complete;
            self.verdict.monitors[1 + k].evaluated = scored && state.monitor.push(slot, time, &[state.score], reference).is_some();
        }
    }

    /// Retraining data: the worst monitor of this regime decides.
    fn collect(&mut self, slot: u16) {
        let data = self.data.regime_status(slot).unwrap_or(DriftStatus::OK);
        let prediction = self.models.iter().filter_map(|m| m.monitor.regime_status(slot)).max_by_key(|s| s.code());
        let performance = self.models.iter().filter_map(|m| m.performance.as_ref()?.monitor.regime_status(slot)).max_by_key(|s| s.code());
        let monitors = [
            (performance.unwrap_or(DriftStatus::OK), BufferReason::PerformanceDrift),
            (prediction.unwrap_or(DriftStatus::OK), BufferReason::PredictionDrift),
            (data, BufferReason::DataDrift),
        ];
        // The last of the worst: data drift comes first where it is as bad.
        let (status, reason) = monitors.into_iter().max_by_key(|(s, _)| s.code()).unwrap_or((data, BufferReason::DataDrift));
        let key = self.verdict.regime.key.clone();
        let row = BufferRow { row: self.now.row, time: self.now.time, regime: slot, regime_key: &key, status, reason };
        let mut changes: Vec<Change> = Vec::new();
        self.buffers.step(&row, &mut changes);
        self.tell_of_buffers(changes);
    }

    /// Data of settings that nobody has trained: for learning them.
    fn collect_outside(&mut self) {
        let (key, mut changes) = (self.verdict.regime.key.clone(), Vec::new());
        self.buffers.step_outside(self.now.row, self.now.time, &key, &mut changes);
        self.tell_of_buffers(changes);
    }

    /// Now and then a row of each regime, whatever its status; and now and then all of them as a dataset.
    fn sample(&mut self) {
        let Some(config) = &self.config.buffers.samples else { return };
        if self.buffers.holds_samples() {
            return;
        }
        let (row, time) = (self.now.row, self.now.time);
        self.sampled = self.sampler.step(&self.verdict.regime.key, time, config, self.config.regime_slots);
        if !self.sampler.is_due(time) {
            return;
        }
        let Some(sampled) = self.sampler.sampled() else { return };
        let mut changes = Vec::new();
        if self.buffers.start_sampled(row, time, &sampled, &mut changes) {
            self.sampler.made(time, config);
        }
        self.tell_of_buffers(changes);
    }

    fn tell_of_buffers(&mut self, changes: Vec<Change>) {
        self.buffers.report_into(&mut self.verdict.buffers);
        for Change { slot, report } in changes {
            self.push_event(EventKind::Buffer {
                slot,
                state: report.state,
                reason: report.reason,
                regime: Some(report.regime_key),
                rows: report.rows,
                dataset_id: report.dataset_id,
            });
        }
    }

    /// Key of the regime where the row is judged in one; `None` outside, in a transient, with a bad setting.
    pub(super) fn regime_key(&self) -> Option<Arc<str>> {
        matches!(self.now.place, Place::Known { .. }).then(|| self.verdict.regime.key.clone())
    }

    fn report_regime(&mut self, judged: Option<u16>) {
        let table = self.tuned.as_ref().or(self.bundle.as_ref().map(|b| &b.envelope)).unwrap_or(&self.rules);
        let key = self.tracker.key(table, &self.now.place);
        let (slot, distance) = match self.now.place {
            Place::Known { slot, distance } => (Some(slot), distance),
            Place::Outside { distance } => (None, distance),
            Place::Transient | Place::BadSetting => (None, f64::NAN),
        };
        let state = match (self.now.not_evaluated, judged) {
            (_, Some(_)) | (Some(NotEvaluated::FaultActive), _) => RegimeState::Monitoring,
            (Some(NotEvaluated::Suspended), _) => RegimeState::Suspended,
            (Some(NotEvaluated::Learning), _) => RegimeState::Learning,
            (Some(NotEvaluated::Transient), _) => RegimeState::Transient,
            (Some(NotEvaluated::NotProducing), _) => RegimeState::NotProducing,
            (Some(NotEvaluated::OutsideEnvelope), _) => RegimeState::OutOfEnvelope,
            (Some(NotEvaluated::BadInputs), _) if slot.is_some() => RegimeState::Monitoring,
            (Some(NotEvaluated::BadSetting | NotEvaluated::BadInputs | NotEvaluated::NoReference | NotEvaluated::NoLabels) | None, _) => {
                RegimeState::NoReference
            }
        };
        let regime = &mut self.verdict.regime;
        let changed = regime.state != state || regime.slot != slot || regime.key != key;
        if changed || self.now.row == 1 {
            (regime.state, regime.slot) = (state, slot);
            regime.key = key.clone();
            regime.since = self.now.time;
            regime.distance = distance;
            let known = matches!(self.now.place, Place::Known { .. }).then(|| key.clone());
            let distance = Some(distance).filter(|d| d.is_finite());
            self.push_event(EventKind::Regime { state, regime: known, key, distance });
        } else {
            regime.distance = distance;
        }
    }
}
