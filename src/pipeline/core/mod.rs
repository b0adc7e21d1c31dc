//! The pure core of one machine: `Frame` in, [`Verdict`] and [`Event`]s out. Time comes in as data; the same rows give the
//! same bits.
//!
//! ```text
//!          prepare                    infer                 judge
//! Frame ─▶ features, regime ─▶ score of each model ─▶ faults, monitors, buffers ─▶ Verdict, Events
//! ```
//! The driver calls the three steps one by one and times the second; everybody else calls [`MachineCore::step`].

mod buffers;
mod checks;
#[cfg(test)]
mod command_tests;
mod commands;
mod exchange;
mod fault;
mod judge;
mod labelling;
mod learn;
mod performance;
mod recent;
mod report;
mod sampling;
mod sensors;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::bundle::{Bundle, ChangeKind, ContractError, Labeller, Training, TrainingRow};
use crate::config::MachineConfig;
use crate::drift::performance::{PerformanceState, params as performance_params};
use crate::drift::{Baseline, Monitor, MonitorParams, MonitorState};
use crate::feature::{Extracted, Extractor};
use crate::regime::{Cell, Place, RegimeTable, RegimeTracker};
use crate::types::{BufferState, Event, EventKind, Frame, NotEvaluated, Timestamp, Verdict};
use buffers::Buffers;
use checks::Checks;
pub use commands::{Decided, Orders, Plan};
use fault::FaultState;
use labelling::Labelling;
use learn::Learning;
use performance::ModelPerformance;
use recent::Recent;
pub use recent::{RecentRows, Snapshot};
use sampling::Sampler;
pub use sampling::Stratum;

/// Owner of all state of one machine (or of one unit of a replay).
pub struct MachineCore {
    config: Arc<MachineConfig>,
    config_hash: Arc<str>,
    unit: Arc<str>,
    bundle: Option<Arc<Bundle>>,
    /// SHA-256 of the bundle, hex; empty where nobody has said it.
    bundle_hash: Arc<str>,
    /// Rules without regimes: what settings are read with before there is a bundle.
    rules: RegimeTable,
    /// The bundle's regimes with the tolerances of the configuration, where those are others.
    tuned: Option<RegimeTable>,
    training: Option<Training>,
    labeller: Labeller,
    extractor: Extractor,
    tracker: RegimeTracker,
    data: Monitor,
    models: Vec<ModelState>,
    buffers: Buffers,
    sampler: Sampler,
    /// The stratum of samples that the present row belongs to.
    sampled: Option<u16>,
    recent: Recent,
    checks: Checks,
    /// Rows and visits of each regime slot.
    visits: Vec<Visits>,
    now: Now,
    verdict: Verdict,
    events: Vec<Event>,
    suspended: bool,
    suspended_until: Option<Timestamp>,
    /// The reference of one regime, learned anew.
    learning: Option<Learning>,
    /// The own baseline before the last rebaseline.
    baseline_before: Option<Baseline>,
    /// Rows that the windows of each monitor have forgotten: data, then each model, then each that has labels.
    forgotten: Vec<u64>,
    /// Labels given by people, and when the last one came.
    labels: (u32, Timestamp),
    /// What labels are given for, and those that wait for the next row.
    labelling: Labelling,
    /// What was told of each signal's sensor.
    sensors: Vec<sensors::Told>,
}

/// One model's state.
struct ModelState {
    monitor: Monitor,
    fault: FaultState,
    score: f64,
    /// All inputs were there.
    complete: bool,
    /// Row and time of the last score since the model became active.
    scored: Option<(u64, Timestamp)>,
    threshold: f64,
    /// The bundle's.
    own_threshold: f64,
    anomaly: bool,
    residuals: Vec<f64>,
    /// `None` where nobody says what was true.
    performance: Option<ModelPerformance>,
}

/// What is known of the present row between the steps.
struct Now {
    row: u64,
    time: Timestamp,
    extracted: Extracted,
    /// The features as models and monitors see them: without what continuous settings explain.
    adjusted: Vec<f64>,
    /// Buffer of the regression.
    terms: Vec<f64>,
    place: Place,
    /// Settings of the row; only where all of them are `readable`.
    cells: Vec<Cell>,
    readable: bool,
    producing: Option<bool>,
    /// Set where this row is not judged.
    not_evaluated: Option<NotEvaluated>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Visits {
    last_seen: Timestamp,
    occurrences: u32,
    rows: u64,
}

/// What one row has brought.
pub struct Step<'a> {
    /// All that is said of the machine at this row.
    pub verdict: &'a Verdict,
    /// In the order in which they happened; empty on most rows.
    pub events: &'a [Event],
    /// The stratum of samples that keeps this row, too.
    pub sampled: Option<u16>,
    /// A bundle that was learned at this row, and is active from now on.
    pub learned: Option<Arc<Bundle>>,
}

/// What must survive a restart, besides the rows of the windows (those are in the store's feature ring).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CoreState {
    /// Rows so far.
    pub row: u64,
    data: MonitorState,
    models: Vec<(Arc<str>, MonitorState, FaultState)>,
    buffers: Buffers,
    visits: Vec<Visits>,
    suspended: bool,
    drift_counts: Vec<u32>,
    #[serde(default)]
    performance: Vec<(Arc<str>, PerformanceState)>,
    #[serde(default)]
    orders: Option<Orders>,
}

impl MachineCore {
    /// A core for `unit` (shown in events). With a bundle it judges from the first row on; without one it learns from the
    /// first `learn_rows` valid rows where the configuration says so.
    pub fn new(
        config: Arc<MachineConfig>,
        config_hash: Arc<str>,
        unit: Arc<str>,
        bundle: Option<Arc<Bundle>>,
    ) -> Result<Self, ContractError> {
        if let Some(bundle) = &bundle {
            bundle.check(&config)?;
        }
        let slots = usize::from(config.regime_slots);
        let width = config.features.len();
        let models = config.models.iter().map(|m| ModelState {
            monitor: Monitor::new(MonitorParams::new(&m.prediction_drift, 0, 1, None), 1, slots),
            fault: FaultState::default(),
            score: f64::NAN,
            complete: false,
            scored: None,
            threshold: f64::NAN,
            own_threshold: f64::NAN,
            anomaly: false,
            residuals: Vec::with_capacity(m.inputs.len()),
            performance: m.performance.as_ref().map(|p| ModelPerformance::new(p, slots)),
        });
        let mut core = Self {
            rules: RegimeTable::new(&config),
            training: (bundle.is_none() && config.learn_rows > 0).then(Training::default),
            labeller: Labeller::new(&config),
            extractor: Extractor::new(&config),
            tracker: RegimeTracker::new(config.settle),
            data: Monitor::new(MonitorParams::new(&config.data_drift, config.baseline_rows, width, None), width, slots),
            models: models.collect(),
            buffers: Buffers::new(&config),
            sampler: Sampler::default(),
            sampled: None,
            recent: Recent::new(&config),
            checks: Checks::new(&config),
            visits: vec![Visits::default(); slots],
            now: Now {
                row: 0,
                time: Timestamp::EPOCH,
                extracted: Extracted::default(),
                adjusted: vec![f64::NAN; width],
                terms: Vec::new(),
                place: Place::BadSetting,
                cells: Vec::new(),
                readable: false,
                producing: None,
                not_evaluated: Some(NotEvaluated::NoReference),
            },
            forgotten: vec![0; 1 + 2 * config.models.len()],
            verdict: report::empty(&config),
            events: Vec::new(),
            suspended: false,
            suspended_until: None,
            bundle_hash: "".into(),
            learning: None,
            baseline_before: None,
            labels: (0, Timestamp::EPOCH),
            labelling: Labelling::default(),
            sensors: vec![None; config.signals.len()],
            tuned: None,
            config,
            config_hash,
            unit,
            bundle,
        };
        core.update_parameters();
        core.report_slots();
        Ok(core)
    }

    /// One row: the three steps in one.
    pub fn step(&mut self, frame: &Frame) -> Step<'_> {
        self.prepare(frame);
        self.infer();
        self.judge()
    }

    /// First step: features and regime.
    pub fn prepare(&mut self, frame: &Frame) {
        self.events.clear();
        let now = &mut self.now;
        now.row += 1;
        now.time = frame.time;
        self.extractor.extract(frame, &mut now.extracted);
        now.producing = self.config.active_when.as_ref().map_or(Some(true), |c| c.holds(frame));
        let signals = self.config.signals.len();
        let settings = frame.channels.iter().skip(signals).take(self.config.settings.len()).map(|c| c.usable());
        now.readable = self.rules.read(settings, &mut now.cells);
        let table = self.tuned.as_ref().or(self.bundle.as_ref().map(|b| &b.envelope)).unwrap_or(&self.rules);
        now.place = self.tracker.step(table, now.time, now.readable.then_some(now.cells.as_slice()));
        self.tell_of_sensors(frame);
        self.end_suspension();
        self.learn_by_itself();
        self.now.not_evaluated = self.why_not();
        self.adjust();
        let mut labels = frame.channels.iter().skip(signals + self.config.settings.len());
        for (state, config) in self.models.iter_mut().zip(&self.config.models) {
            if let (Some(performance), Some(config)) = (&mut state.performance, &config.performance) {
                performance.read(&config.label, labels.next());
            }
        }
    }

    /// Takes what continuous settings explain out of the features, in a known regime.
    fn adjust(&mut self) {
        let now = &mut self.now;
        now.adjusted.clone_from(&now.extracted.values);
        let (Place::Known { slot, .. }, true, Some(bundle)) = (&now.place, now.readable, &self.bundle) else { return };
        if let Some(regime) = bundle.regimes.get(usize::from(*slot)) {
            regime.adjust(&bundle.envelope, &now.cells, &mut now.terms, &mut now.adjusted);
        }
    }

    /// Why the present row is not judged.
    fn why_not(&self) -> Option<NotEvaluated> {
        let now = &self.now;
        let inputs = now.extracted.values.len();
        match (&now.place, now.producing) {
            _ if self.suspended => Some(NotEvaluated::Suspended),
            (_, None) => Some(NotEvaluated::BadInputs),
            (_, Some(false)) => Some(NotEvaluated::NotProducing),
            (Place::BadSetting, _) => Some(NotEvaluated::BadSetting),
            (Place::Transient, _) => Some(NotEvaluated::Transient),
            _ if self.training.is_some() => Some(NotEvaluated::Learning),
            _ if self.bundle.is_none() => Some(NotEvaluated::NoReference),
            _ if self.is_learned_from() => Some(NotEvaluated::Learning),
            (Place::Known { slot, .. }, _) if self.is_without_reference(*slot) => Some(NotEvaluated::NoReference),
            (Place::Outside { .. }, _) => Some(NotEvaluated::OutsideEnvelope),
            (Place::Known { .. }, _) if now.extracted.missing >= inputs => Some(NotEvaluated::BadInputs),
            (Place::Known { .. }, _) => None,
        }
    }

    fn is_without_reference(&self, slot: u16) -> bool {
        self.bundle.as_ref().and_then(|b| b.regimes.get(usize::from(slot))).is_some_and(|r| r.is_empty())
    }

    /// Second step: the score of each model at this row.
    pub fn infer(&mut self) {
        for state in &mut self.models {
            state.score = f64::NAN;
        }
        let (None, Place::Known { slot, .. }, Some(bundle)) = (self.now.not_evaluated, &self.now.place, &self.bundle) else { return };
        let Some(regime) = bundle.regimes.get(usize::from(*slot)).filter(|r| !r.untrained) else { return };
        for (state, config) in self.models.iter_mut().zip(&self.config.models) {
            let Some(model) = bundle.model(&config.name) else { continue };
            state.residuals.clear();
            state.residuals.extend(model.inputs.iter().map(|k| regime.residual(*k, self.now.adjusted[*k])));
            let missing = state.residuals.iter().filter(|z| z.is_nan()).count();
            state.complete = missing == 0;
            if missing * 2 > state.residuals.len() {
                continue;
            }
            // A missing input says nothing: the reference's mean stands in, and the prediction is not trusted.
            for z in &mut state.residuals {
                if z.is_nan() {
                    *z = 0.0;
                }
            }
            state.score = model.model.score(&state.residuals);
        }
    }

    /// Third step: faults, monitors, buffers; the verdict and what has changed.
    pub fn judge(&mut self) -> Step<'_> {
        let learned = self.learn().or_else(|| self.learn_regime());
        self.judge_row();
        Step { verdict: &self.verdict, events: &self.events, sampled: self.sampled, learned }
    }

    /// The present row as one to learn from; `None` where the machine is not producing, in a transient, or a setting or all
    /// inputs are bad. After [`Self::prepare`].
    pub fn training_row(&self) -> Option<TrainingRow> {
        let settled = matches!(self.now.place, Place::Known { .. } | Place::Outside { .. });
        let present = self.now.extracted.missing < self.now.extracted.values.len();
        if !(settled && present && self.now.producing == Some(true)) {
            return None;
        }
        let cells = self.now.readable.then(|| self.now.cells.clone())?;
        Some(TrainingRow { time: self.now.time, cells, features: self.now.extracted.values.clone() })
    }

    /// Collects the present row for a training, and trains when there are enough.
    fn learn(&mut self) -> Option<Arc<Bundle>> {
        self.training.as_ref()?;
        let row = (self.now.not_evaluated == Some(NotEvaluated::Learning)).then(|| self.training_row()).flatten();
        let training = self.training.as_mut()?;
        let index = row.map(|row| {
            training.rows.push(row);
            training.rows.len() - 1
        });
        let truths = self.models.iter().map(|m| m.performance.as_ref()?.truth);
        self.labeller.step(training, index, truths);
        if index.is_none() || training.rows.len() < self.config.learn_rows as usize {
            return None;
        }
        training.set_faults_aside();
        match training.train(&self.config, &self.config_hash) {
            Ok(bundle) => {
                let bundle = Arc::new(bundle);
                for (regime, reference) in bundle.envelope.regimes.iter().zip(&bundle.regimes) {
                    self.push_event(EventKind::Reference { regime: regime.key.clone(), rows: reference.rows });
                }
                self.activate(Some(bundle.clone()));
                Some(bundle)
            }
            Err(error) => {
                self.training = Some(Training::default());
                self.push_event(EventKind::Note { text: format!("learning starts again: {error}") });
                None
            }
        }
    }

    /// Makes a bundle (or none) the active one: monitors start anew against its references.
    fn activate(&mut self, bundle: Option<Arc<Bundle>>) {
        self.bundle = bundle;
        self.training = None;
        self.learning = None;
        self.data.reset();
        for state in &mut self.models {
            state.monitor.reset();
            state.fault = FaultState::default();
            state.scored = None;
            if let Some(performance) = &mut state.performance {
                performance.monitor.reset();
                performance.past.clear();
                performance.given.clear();
            }
        }
        self.visits.fill(Visits::default());
        self.labelling.forget_times();
        self.recent.clear();
        self.checks.clear();
        self.verdict.checks = checks::reports(&self.config);
        self.update_parameters();
        self.report_slots();
    }

    /// Another configuration of the same shape (tuned parameters), effective at once.
    pub fn set_config(&mut self, config: Arc<MachineConfig>) {
        self.tracker.set_settle(config.settle);
        self.rules = RegimeTable::new(&config);
        self.buffers.set_config(&config.buffers);
        self.recent.set_config(&config);
        self.config = config;
        self.report_limits();
        self.update_parameters();
        self.report_slots();
        self.report_monitors(self.verdict_slot());
    }

    /// Monitors and thresholds as configuration and bundle have them.
    fn update_parameters(&mut self) {
        let (config, bundle) = (&self.config, self.bundle.as_deref());
        self.tuned = bundle.and_then(|b| b.envelope.with_tolerances(config));
        let calibration = bundle.and_then(|b| b.data_drift.as_ref());
        self.data.set_params(MonitorParams::new(&config.data_drift, config.baseline_rows, config.features.len(), calibration));
        self.data.set_ewma(calibration.and_then(|c| c.ewma.clone()));
        for (state, config) in self.models.iter_mut().zip(&config.models) {
            let model = bundle.and_then(|b| b.model(&config.name));
            let calibration = model.and_then(|m| m.prediction_drift.as_ref());
            state.monitor.set_params(MonitorParams::new(&config.prediction_drift, 0, 1, calibration));
            state.monitor.set_ewma(calibration.and_then(|c| c.ewma.clone()));
            let before = state.threshold;
            state.own_threshold = model.map_or(f64::NAN, |m| m.threshold);
            state.threshold = config.score_threshold.unwrap_or(state.own_threshold);
            if let (Some(performance), Some(config)) = (&mut state.performance, &config.performance) {
                if before.is_finite() && before != state.threshold {
                    // Right and wrong are counted anew: the model says other things now.
                    performance.monitor.reset();
                }
                performance.monitor.set_params(performance_params(&config.drift));
                performance.monitor.set_reference(model.and_then(|m| m.performance.as_ref()), state.threshold);
            }
        }
        self.report_thresholds();
    }

    fn verdict_slot(&self) -> Option<u16> {
        match self.now.place {
            Place::Known { slot, .. } => Some(slot),
            _ => None,
        }
    }

    /// The configuration in use, with what people have tuned.
    pub fn config(&self) -> &Arc<MachineConfig> {
        &self.config
    }

    /// The active bundle.
    pub fn bundle(&self) -> Option<&Arc<Bundle>> {
        self.bundle.as_ref()
    }

    /// The verdict on the last row.
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// The values of a feature in the data monitor's window of a regime slot, oldest first, NaN where missing.
    pub fn window_values(&self, slot: u16, feature: usize) -> Vec<f64> {
        self.data.window_column(slot, feature)
    }

    /// The kept data sets of a buffer slot: state, id, regime slot.
    pub fn buffer(&self, slot: usize) -> Option<(BufferState, Arc<str>, u16)> {
        self.buffers.slot(slot).map(|(state, id, regime)| (state, id.clone(), regime))
    }

    /// First and last rows of what a buffer slot has collected outside the envelope; empty where it is of a regime.
    pub fn buffer_stretches(&self, slot: usize) -> Vec<(u64, u64)> {
        self.buffers.stretches(slot).to_vec()
    }

    /// What was sampled, a stratum each, in the order of the store's.
    pub fn strata(&self) -> &[Stratum] {
        self.sampler.strata()
    }

    /// Rows learned so far and rows wanted, while learning.
    pub fn learning(&self) -> Option<(usize, usize)> {
        self.training.as_ref().map(|t| (t.rows.len(), self.config.learn_rows as usize))
    }

    /// What [`Self::restore`] needs after a restart.
    pub fn state(&self) -> CoreState {
        let models = self.config.models.iter().zip(&self.models);
        CoreState {
            row: self.now.row,
            data: self.data.state(),
            models: models.map(|(c, m)| (c.name.clone(), m.monitor.state(), m.fault.clone())).collect(),
            buffers: self.buffers.clone(),
            visits: self.visits.clone(),
            suspended: self.suspended,
            drift_counts: self.verdict.monitors.iter().map(|m| m.drift_count).collect(),
            performance: self.performance_states(),
            orders: self.orders(),
        }
    }

    /// Goes on where a core of the same configuration stopped. Call before the first row; then feed the judged rows that
    /// the windows held with [`Self::restore_row`].
    pub fn restore(&mut self, state: &CoreState) {
        self.now.row = state.row;
        self.data.restore_state(&state.data);
        for (config, model) in self.config.models.iter().zip(&mut self.models) {
            if let Some((_, monitor, fault)) = state.models.iter().find(|(name, ..)| *name == config.name) {
                model.monitor.restore_state(monitor);
                model.fault = fault.clone();
            }
            let kept = state.performance.iter().find(|(name, _)| *name == config.name);
            if let (Some(performance), Some((_, kept))) = (&mut model.performance, kept) {
                performance.monitor.restore_state(kept);
            }
            if let Some(performance) = &mut model.performance {
                performance.given.clear();
            }
        }
        self.update_parameters();
        self.buffers.restore(&state.buffers);
        for (ours, theirs) in self.visits.iter_mut().zip(&state.visits) {
            ours.clone_from(theirs);
        }
        self.suspended = state.suspended;
        self.restore_orders(state.orders.as_ref());
        for (report, count) in self.verdict.monitors.iter_mut().zip(&state.drift_counts) {
            report.drift_count = *count;
        }
        self.report_slots();
        self.verdict.buffers = self.buffers.reports();
    }

    /// Row numbers go on after `row`.
    pub fn continue_after(&mut self, row: u64) {
        self.now.row = self.now.row.max(row);
    }

    /// Before rows are restored: which of them were forgotten by command.
    pub fn restore_forgotten(&mut self, state: &CoreState) {
        let forgotten = state.orders.as_ref().map_or(&[][..], |o| &o.forgotten);
        for (ours, theirs) in self.forgotten.iter_mut().zip(forgotten) {
            *ours = *theirs;
        }
    }

    /// One judged row from before a restart: its number, regime, features and scores. What was judged by another reference than the
    /// present one is left out.
    pub fn restore_row(&mut self, row: u64, slot: u16, time: Timestamp, features: &[f64], scores: &[f64]) {
        let change = self.bundle.as_ref().and_then(|b| b.regimes.get(usize::from(slot))).and_then(|r| r.change.as_ref());
        let before = change.is_some_and(|c| row <= c.stamp.row);
        if before && change.is_some_and(|c| c.kind != ChangeKind::Accepted) {
            return;
        }
        let forgotten = |k: usize| self.forgotten.get(k).is_some_and(|f| row <= *f);
        let forgotten: Vec<bool> = (0..=self.models.len()).map(forgotten).collect();
        if features.len() == self.config.features.len() && !forgotten[0] {
            self.data.restore_row(slot, time, features);
            self.recent.push(slot, time, features, None);
        }
        let bundle = self.bundle.as_deref();
        for (((model, config), score), forgotten) in self.models.iter_mut().zip(&self.config.models).zip(scores).zip(&forgotten[1..]) {
            if !score.is_finite() || before || *forgotten {
                continue;
            }
            model.monitor.restore_row(slot, time, &[*score]);
            let reference = bundle.and_then(|b| b.model(&config.name)).and_then(|m| m.performance.as_ref());
            if let (Some(performance), Some(reference)) = (&mut model.performance, reference) {
                performance.monitor.restore_prediction(slot, time, reference.expected_error(*score, model.threshold));
            }
        }
    }

    /// Rows that the windows hold at most: how many judged rows a restart needs.
    pub fn window_rows(&self) -> usize {
        let report = self.config.report.interval.map_or(0, |_| self.config.report.rows);
        let models = self.config.models.iter();
        let models = models.flat_map(|m| m.performance.iter().map(|p| p.drift.window_rows).chain([m.prediction_drift.window_rows]));
        let longest = models.chain([self.config.data_drift.window_rows, report]).max().unwrap_or(0);
        longest as usize * usize::from(self.config.regime_slots)
    }

    fn performance_states(&self) -> Vec<(Arc<str>, PerformanceState)> {
        let models = self.config.models.iter().zip(&self.models);
        models.filter_map(|(c, m)| Some((c.name.clone(), m.performance.as_ref()?.monitor.state()))).collect()
    }

    fn push_event(&mut self, kind: EventKind) {
        self.events.push(Event { unit: self.unit.clone(), row: self.now.row, time: self.now.time, kind });
    }
}
