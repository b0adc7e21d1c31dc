use std::sync::Arc;

use super::{Bundle, BundleModel, Provenance, RegimeReference, contract};
use crate::config::{MachineConfig, ModelConfig, ModelKind};
use crate::drift::metric::Reference;
use crate::model::{FitError, IsolationForest, Model, tail_quantile};
use crate::regime::{Cell, RegimeTable};
use crate::types::Timestamp;

/// One healthy row to learn from.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingRow {
    pub time: Timestamp,
    pub cells: Vec<Cell>,
    /// In the order of the machine's features; NaN where missing.
    pub features: Vec<f64>,
}

/// Rows collected for a training. Bounded by whoever fills it.
#[derive(Clone, Debug, Default)]
pub struct Training {
    pub rows: Vec<TrainingRow>,
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

/// Values kept of each reference at most, evenly spaced over the rows.
const REFERENCE_CAP: usize = 5_000;
/// Of ten rows, the last three are kept from the fit: they give threshold and score references.
const HELD_OUT: std::ops::Range<usize> = 7..10;

impl Training {
    /// Learns envelope, references and models. Deterministic: the same rows give the same bundle.
    pub fn train(&self, machine: &MachineConfig, config_hash: &str) -> Result<Bundle, TrainError> {
        let mut table = RegimeTable::new(machine);
        let cells: Vec<Vec<Cell>> = self.rows.iter().map(|r| r.cells.clone()).collect();
        let slots = table.learn(&cells);
        let (envelope, members) = self.enough(machine, table, &slots)?;
        let regimes: Vec<_> = members.iter().map(|rows| self.reference(rows, machine.features.len())).collect();
        let models: Result<Vec<_>, _> = machine.models.iter().map(|m| self.fit(m, &members, &regimes)).collect();
        let times = || self.rows.iter().map(|r| r.time);
        Ok(Bundle {
            machine: machine.name.clone(),
            features: contract(machine),
            envelope,
            regimes,
            models: models?,
            provenance: Provenance {
                program: env!("CARGO_PKG_VERSION").into(),
                config: config_hash.into(),
                rows: members.iter().map(|m| m.len() as u64).sum(),
                from: times().min().unwrap_or_default(),
                to: times().max().unwrap_or_default(),
            },
        })
    }

    /// The regimes with enough rows, and the rows of each.
    fn enough(&self, machine: &MachineConfig, table: RegimeTable, slots: &[u16]) -> Result<(RegimeTable, Vec<Vec<usize>>), TrainError> {
        let mut members = vec![Vec::new(); table.regimes.len()];
        for (row, slot) in slots.iter().enumerate() {
            members[usize::from(*slot)].push(row);
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

    fn reference(&self, rows: &[usize], features: usize) -> RegimeReference {
        let step = rows.len().div_ceil(REFERENCE_CAP).max(1);
        let mut regime = RegimeReference {
            rows: rows.len() as u32,
            references: Vec::with_capacity(features),
            mean: vec![f64::NAN; features],
            sd: vec![0.0; features],
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
        let ModelKind::IsolationForest { trees, samples, seed } = model.kind;
        let forest = IsolationForest::fit(&fit, model.inputs.len(), trees, samples, seed)
            .map_err(|cause| TrainError::Fit { model: model.name.to_string(), cause })?;
        let trained = Model::IsolationForest(forest);
        let scores: Vec<Vec<f64>> = held.iter().map(|rows| rows.iter().map(|r| trained.score(r)).collect()).collect();
        let all: Vec<f64> = scores.iter().flatten().copied().collect();
        Ok(BundleModel {
            name: Arc::clone(&model.name),
            inputs: model.inputs.clone(),
            threshold: tail_quantile(&all, model.contamination).unwrap_or(f64::INFINITY),
            scores: scores.iter().map(|s| Reference::new(s).ok()).collect(),
            model: trained,
        })
    }
}
