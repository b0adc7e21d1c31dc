use std::borrow::Cow;
use std::sync::Arc;

use super::performance::RowLabel;
use super::{Bundle, BundleModel, Provenance, RegimeReference, contract};
use crate::config::{MachineConfig, ModelConfig, ModelKind, MonitorConfig};
use crate::drift::calibrate::{Answer, Calibration, HealthyRows, Subject, calibrate};
use crate::drift::metric::Reference;
use crate::drift::{MonitorParams, REFERENCE_CAP};
use crate::model::{FitError, GaussianMixture, IsolationForest, KMeans, Model, OneClassSvm, Pca, tail_quantile};
use crate::regime::{Cell, Located, Point, RegimeTable, Regression};
use crate::types::Timestamp;

/// One healthy row to learn from.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingRow {
    /// When it was measured.
    pub time: Timestamp,
    /// Its settings, in the order of the machine's rules.
    pub cells: Vec<Cell>,
    /// In the order of the machine's features; NaN where missing.
    pub features: Vec<f64>,
}

/// Rows collected for a training. Bounded by whoever fills it.
#[derive(Clone, Debug, Default)]
pub struct Training {
    /// In the order in which they came.
    pub rows: Vec<TrainingRow>,
    /// Which unit each row is of; rows beyond its end are of unit 0. Charts and own baselines start anew with each.
    pub units: Vec<u32>,
    /// Healthy rows kept out of model and references, for thresholds; with its own units.
    pub held_back: Option<Box<Training>>,
    /// What was true at rows, where somebody said so.
    pub labels: Vec<RowLabel>,
    /// Rows of a fault, with their labels: no part of references and models. See [`Self::set_faults_aside`].
    pub faults: Option<Box<Training>>,
}

/// Why nothing could be learned.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TrainError {
    #[error("no regime has enough rows: the best has `{best}`, `min_reference_rows` asks for `{need}`; give more data or lower it")]
    TooFewRows { best: usize, need: u32 },
    #[error("`{regimes}` combinations of settings have enough rows, `regime_slots` is `{slots}`; raise it or widen the tolerances")]
    TooManyRegimes { regimes: usize, slots: u16 },
    #[error("model `{model}`: {cause}")]
    Fit { model: String, cause: FitError },
    #[error("model `{model}`: only `{rows}` rows have all its inputs; check the signals it names")]
    Incomplete { model: String, rows: usize },
}

/// Of ten rows, the last three are kept from the fit: they give threshold and score references.
pub(super) const HELD_OUT: std::ops::Range<usize> = 7..10;

impl Training {
    /// A row of a unit; the rows of several units may come in any order.
    pub fn push(&mut self, unit: u32, row: TrainingRow) {
        self.units.resize(self.rows.len(), 0);
        self.units.push(unit);
        self.rows.push(row);
    }

    pub(super) fn unit(&self, row: usize) -> u32 {
        self.units.get(row).copied().unwrap_or(0)
    }

    /// Learns envelope, references and models. Deterministic: the same rows give the same bundle.
    pub fn train(&self, machine: &MachineConfig, config_hash: &str) -> Result<Bundle, TrainError> {
        let mut table = RegimeTable::new(machine);
        let cells: Vec<Vec<Cell>> = self.rows.iter().map(|r| r.cells.clone()).collect();
        let slots = table.learn(&cells);
        let (envelope, members) = self.enough(machine, table, &slots)?;
        let regressions: Vec<_> = members.iter().map(|rows| self.regression(&envelope, rows)).collect();
        // From here on rows are as monitors and models will see them.
        let seen = self.adjusted(&envelope, &regressions);
        let references = members.iter().map(|rows| seen.reference(rows, machine.features.len()));
        let regimes: Vec<_> = references.zip(regressions).map(|(r, regression)| RegimeReference { regression, ..r }).collect();
        let models: Result<Vec<_>, _> = machine.models.iter().map(|m| seen.fit(m, &members, &regimes)).collect();
        let mut models = models?;
        let data_drift = seen.calibrate_data(machine, &envelope, &regimes);
        for (model, config) in models.iter_mut().zip(&machine.models) {
            model.prediction_drift = seen.calibrate_prediction(config, &envelope, &regimes, model);
        }
        for (k, model) in models.iter_mut().enumerate() {
            model.performance = seen.learn_performance(k, &members, &envelope, &regimes, model);
        }
        let times = || self.rows.iter().map(|r| r.time);
        Ok(Bundle {
            machine: machine.name.clone(),
            features: contract(machine),
            envelope,
            regimes,
            models,
            data_drift,
            provenance: Provenance {
                program: env!("CARGO_PKG_VERSION").into(),
                config: config_hash.into(),
                rows: members.iter().map(|m| m.len() as u64).sum(),
                from: times().min().unwrap_or_default(),
                to: times().max().unwrap_or_default(),
                base: String::new(),
            },
        })
    }

    /// The regimes with enough rows, and the rows of each.
    fn enough(
        &self,
        machine: &MachineConfig,
        table: RegimeTable,
        slots: &[Option<u16>],
    ) -> Result<(RegimeTable, Vec<Vec<usize>>), TrainError> {
        let mut members = vec![Vec::new(); table.regimes.len()];
        for (row, slot) in slots.iter().enumerate() {
            if let Some(slot) = slot {
                members[usize::from(*slot)].push(row);
            }
        }
        let best = members.iter().map(Vec::len).max().unwrap_or(0);
        let kept: Vec<_> = table.regimes.into_iter().zip(members).filter(|(_, m)| m.len() >= machine.min_reference_rows as usize).collect();
        if kept.is_empty() {
            return Err(TrainError::TooFewRows { best, need: machine.min_reference_rows });
        }
        if kept.len() > usize::from(machine.regime_slots) {
            return Err(TrainError::TooManyRegimes { regimes: kept.len(), slots: machine.regime_slots });
        }
        let (regimes, members) = kept.into_iter().unzip();
        Ok((RegimeTable { rules: table.rules, regimes }, members))
    }

    /// What the continuous settings explain in a regime; `None` where there are none.
    pub(super) fn regression(&self, envelope: &RegimeTable, rows: &[usize]) -> Option<Regression> {
        let rows = rows.iter().map(|r| &self.rows[*r]);
        let rows: Vec<(Point, &[f64])> = rows.map(|r| (envelope.point(&r.cells), r.features.as_slice())).collect();
        (envelope.continuous() > 0).then(|| Regression::fit(&rows))
    }

    /// The rows, also those held back or of faults, without what the continuous settings explain.
    pub(super) fn adjusted(&self, envelope: &RegimeTable, regressions: &[Option<Regression>]) -> Cow<'_, Self> {
        if envelope.continuous() == 0 {
            return Cow::Borrowed(self);
        }
        let mut seen = self.clone();
        let mut terms = Vec::new();
        for row in &mut seen.rows {
            if let Located::Known { slot, .. } = envelope.locate(&row.cells)
                && let Some(regression) = &regressions[usize::from(slot)]
            {
                regression.apply(&envelope.point(&row.cells), &mut terms, &mut row.features);
            }
        }
        let inner = |t: &Option<Box<Self>>| t.as_ref().map(|t| Box::new(t.adjusted(envelope, regressions).into_owned()));
        (seen.held_back, seen.faults) = (inner(&self.held_back), inner(&self.faults));
        Cow::Owned(seen)
    }

    pub(super) fn reference(&self, rows: &[usize], features: usize) -> RegimeReference {
        let step = rows.len().div_ceil(REFERENCE_CAP).max(1);
        let mut regime = RegimeReference {
            rows: rows.len() as u32,
            references: Vec::with_capacity(features),
            mean: vec![f64::NAN; features],
            sd: vec![0.0; features],
            regression: None,
            untrained: false,
            change: None,
        };
        for k in 0..features {
            let all: Vec<f64> = rows.iter().map(|r| self.rows[*r].features[k]).filter(|x| x.is_finite()).collect();
            if all.len() >= 2 {
                let mean = all.iter().sum::<f64>() / all.len() as f64;
                let variance = all.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / (all.len() - 1) as f64;
                (regime.mean[k], regime.sd[k]) = (mean, variance.sqrt());
            }
            let sample: Vec<f64> = all.into_iter().step_by(step).collect();
            regime.references.push(Reference::new(&sample).ok());
        }
        regime
    }

    fn fit(&self, model: &ModelConfig, members: &[Vec<usize>], regimes: &[RegimeReference]) -> Result<BundleModel, TrainError> {
        let mut fit = Vec::new();
        let mut held: Vec<Vec<Vec<f64>>> = vec![Vec::new(); regimes.len()];
        for (slot, (rows, regime)) in members.iter().zip(regimes).enumerate() {
            let complete = rows.iter().map(|r| &self.rows[*r].features).filter(|f| model.inputs.iter().all(|i| f[*i].is_finite()));
            for (i, features) in complete.enumerate() {
                let inputs = model.inputs.iter().map(|k| regime.residual(*k, features[*k]));
                if HELD_OUT.contains(&(i % 10)) { held[slot].push(inputs.collect()) } else { fit.extend(inputs) }
            }
        }
        let held_rows = held.iter().map(Vec::len).sum::<usize>();
        if held_rows < 20 {
            return Err(TrainError::Incomplete { model: model.name.to_string(), rows: held_rows + fit.len() / model.inputs.len().max(1) });
        }
        let width = model.inputs.len();
        let trained = match model.kind {
            ModelKind::IsolationForest { trees, samples, seed } => {
                IsolationForest::fit(&fit, width, trees, samples, seed).map(Model::IsolationForest)
            }
            ModelKind::KMeans { clusters, seed } => KMeans::fit(&fit, width, clusters, seed).map(Model::KMeans),
            ModelKind::GaussianMixture { clusters, seed } => GaussianMixture::fit(&fit, width, clusters, seed).map(Model::GaussianMixture),
            ModelKind::Pca { explained } => Pca::fit(&fit, width, explained).map(Model::Pca),
            ModelKind::OneClassSvm { nu, seed } => OneClassSvm::fit(&fit, width, nu, seed).map(Model::OneClassSvm),
        };
        let trained = trained.map_err(|cause| TrainError::Fit { model: model.name.to_string(), cause })?;
        let scores: Vec<Vec<f64>> = held.iter().map(|rows| rows.iter().map(|r| trained.score(r)).collect()).collect();
        let all: Vec<f64> = scores.iter().flatten().copied().collect();
        Ok(BundleModel {
            name: Arc::clone(&model.name),
            inputs: model.inputs.clone(),
            threshold: tail_quantile(&all, model.contamination).unwrap_or(f64::INFINITY),
            scores: scores.iter().map(|s| Reference::new(s).ok()).collect(),
            model: trained,
            prediction_drift: None,
            performance: None,
        })
    }

    /// What the data monitor needs beyond references; `None` where it asks for nothing.
    fn calibrate_data(&self, machine: &MachineConfig, envelope: &RegimeTable, regimes: &[RegimeReference]) -> Option<Calibration> {
        let width = machine.features.len();
        let params = wanted(&machine.data_drift, machine.baseline_rows, width)?;
        let rows = |t: &Self| t.judged(envelope, width, |_, features, out| out.copy_from_slice(features));
        Some(calibrate(&Subject {
            params: &params,
            budget: machine.data_drift.budget,
            references: regimes.iter().map(|r| r.references.as_slice()).collect(),
            healthy: &rows(self),
            held_back: self.held_back.as_deref().map(rows).as_ref(),
        }))
    }

    /// The same for a model's scores.
    fn calibrate_prediction(
        &self,
        config: &ModelConfig,
        envelope: &RegimeTable,
        regimes: &[RegimeReference],
        model: &BundleModel,
    ) -> Option<Calibration> {
        let params = wanted(&config.prediction_drift, 0, 1)?;
        let mut inputs = Vec::new();
        let mut score = |slot: u16, features: &[f64], out: &mut [f64]| {
            inputs.clear();
            inputs.extend(model.inputs.iter().map(|k| regimes[usize::from(slot)].residual(*k, features[*k])));
            out[0] = if inputs.iter().any(|z| z.is_nan()) { f64::NAN } else { model.model.score(&inputs) };
        };
        // The model has not seen the rows that its score references come from: healthy scores are theirs alone.
        let healthy = self.kept_out().judged(envelope, 1, &mut score);
        let held_back = self.held_back.as_deref().map(|t| t.judged(envelope, 1, &mut score));
        Some(calibrate(&Subject {
            params: &params,
            budget: config.prediction_drift.budget,
            references: model.scores.iter().map(std::slice::from_ref).collect(),
            healthy: &healthy,
            held_back: held_back.as_ref(),
        }))
    }

    /// The rows that no model was fitted on.
    fn kept_out(&self) -> Self {
        let mut out = Self::default();
        for (i, row) in self.rows.iter().enumerate() {
            if HELD_OUT.contains(&(i % 10)) {
                out.push(self.unit(i), row.clone());
            }
        }
        out
    }

    /// The rows inside an envelope, as a monitor gets them: `width` values that `fill` writes from regime and features.
    fn judged(&self, envelope: &RegimeTable, width: usize, mut fill: impl FnMut(u16, &[f64], &mut [f64])) -> HealthyRows {
        let mut rows = HealthyRows::new(width);
        let mut values = vec![f64::NAN; width];
        let mut order: Vec<usize> = (0..self.rows.len()).collect();
        order.sort_by_key(|i| self.unit(*i));
        let mut unit = None;
        for i in order {
            if unit.replace(self.unit(i)) != Some(self.unit(i)) {
                rows.start_unit();
            }
            let row = &self.rows[i];
            if let Located::Known { slot, .. } = envelope.locate(&row.cells) {
                fill(slot, &row.features, &mut values);
                rows.push(slot, row.time, &values);
            }
        }
        rows
    }
}

/// Parameters of a monitor that has a budget, or a chart that learns; `None` for one that needs no calibration.
fn wanted(config: &MonitorConfig, baseline_rows: u32, columns: usize) -> Option<MonitorParams> {
    let asked = config.enabled && (config.budget.is_some() || config.tests.iter().any(|t| t.metric.is_chart()));
    asked.then(|| MonitorParams::new(config, baseline_rows, columns, None))
}

/// Says in one line what a calibration came to.
pub fn calibration_text(calibration: &Calibration, features: &[String]) -> String {
    match &calibration.answer {
        Answer::NotAsked => "uncalibrated: no budget".into(),
        Answer::NoTime => "uncalibrated: the budget is per time, and the rows have none; state it per evaluations".into(),
        Answer::TooFewRows { evaluations } => {
            format!("uncalibrated: only {evaluations} evaluations on healthy rows; give more rows, or a smaller window or hop")
        }
        Answer::NotStationary { columns } => {
            let names: Vec<_> = columns.iter().filter_map(|k| features.get(usize::from(*k))).map(|f| format!("`{f}`")).collect();
            format!("uncalibrated: not stationary (unit root), no threshold keeps a budget: {}; leave out or difference", names.join(", "))
        }
        Answer::Thresholds(c) => {
            let thresholds: Vec<_> = calibration.tests.iter().zip(&c.thresholds).map(|(t, h)| format!("{t} {h:.4}")).collect();
            let delays = c.delay_rows.map(|d| d.map_or("not in time".to_string(), |d| d.to_string()));
            format!(
                "calibrated to {} from {} evaluations: {}; rows to a drift of 0.5, 1, 2 sd: {}",
                c.budget,
                c.evaluations,
                thresholds.join(", "),
                delays.join(", ")
            )
        }
    }
}
