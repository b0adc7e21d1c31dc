//! Bundles: what a training leaves behind. Model, references, envelope, thresholds and provenance in one checked file.
//!
//! All but `file.rs` is pure; that one reads and writes the disk.

mod align;
mod change;
mod codec;
mod file;
mod life;
mod performance;
mod train;

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

use crate::config::MachineConfig;
use crate::drift::References;
use crate::drift::calibrate::Calibration;
use crate::drift::metric::Reference;
use crate::drift::performance::PerformanceReference;
use crate::model::Model;
use crate::regime::{Cell, Regime, RegimeTable, Regression, SettingRule};
use crate::types::Timestamp;

pub use change::{ChangeKind, Previous, ReferenceChange, Stamp};
pub use codec::{DecodeError, decode, encode};
pub use file::{BundleFileError, load, save};
pub use life::{BundleLife, Candidate, Exchanged, Kept};
pub use performance::{Labeller, RowLabel, performance_text};
pub use train::{TrainError, Training, TrainingRow, calibration_text};

/// Everything a machine was trained with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bundle {
    /// Name of the machine (or kind of machine) in the configuration it was trained with.
    pub machine: Arc<str>,
    /// Data contract: the features in their order.
    pub features: Vec<FeatureContract>,
    /// The trained regimes: the envelope.
    pub envelope: RegimeTable,
    /// One a regime, in the order of the envelope.
    pub regimes: Vec<RegimeReference>,
    /// One a model of the configuration; none where only data drift is watched.
    pub models: Vec<BundleModel>,
    /// What the data monitor needs beyond references: calibrated thresholds, a chart's covariance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_drift: Option<Calibration>,
    /// What it was made from, by what.
    pub provenance: Provenance,
}

/// A feature by name and unit: both must fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeatureContract {
    /// Name of the feature.
    pub name: Arc<str>,
    /// Unit; empty for none.
    pub unit: String,
}

/// Reference of one regime.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegimeReference {
    /// Rows it was learned from.
    pub rows: u32,
    /// Frozen sample of each feature; `None` where it had no values.
    pub references: References,
    /// Mean and standard deviation of each feature, for regime-normalised residuals; NaN and 0 where it had no values.
    #[serde(deserialize_with = "null_is_nan")]
    pub mean: Vec<f64>,
    pub sd: Vec<f64>,
    /// What continuous settings explain of the features; `None` where there are no such settings. All of the above is of
    /// features without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regression: Option<Regression>,
    /// A regime that was learned at the machine: no model of the bundle knows it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub untrained: bool,
    /// What was done to it since the training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Box<ReferenceChange>>,
}

impl RegimeReference {
    /// Whether there is nothing to hold rows against: it was discarded.
    pub fn is_empty(&self) -> bool {
        self.references.iter().all(Option::is_none)
    }

    /// Takes what the continuous settings of a row explain out of its features, in place; `terms` is a buffer to reuse.
    pub fn adjust(&self, envelope: &RegimeTable, cells: &[Cell], terms: &mut Vec<f64>, features: &mut [f64]) {
        if let Some(regression) = &self.regression {
            regression.apply(&envelope.point(cells), terms, features);
        }
    }

    /// Regime-normalised residual of feature `k`; 0 where the reference is constant or missing.
    pub fn residual(&self, k: usize, value: f64) -> f64 {
        let (mean, sd) = (self.mean[k], self.sd[k]);
        if sd > 0.0 { (value - mean) / sd } else { 0.0 }
    }
}

/// A trained model. Its inputs are regime-normalised residuals.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BundleModel {
    pub name: Arc<str>,
    /// Names of its inputs; indexes into the bundle's features beside.
    pub inputs: Vec<usize>,
    /// What scores a row of inputs.
    pub model: Model,
    /// Scores beyond are anomalies.
    pub threshold: f64,
    /// Scores of healthy rows that the model was not fitted on: one sample a regime.
    pub scores: Vec<Option<Reference>>,
    /// As `data_drift` of the bundle, for the scores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prediction_drift: Option<Calibration>,
    /// Labelled rows that it was not fitted on; `None` where the training rows had no labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub performance: Option<PerformanceReference>,
}

/// Where a bundle comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// Version of driftgate.
    pub program: String,
    /// SHA-256 of the configuration, hex.
    pub config: String,
    /// Rows it was learned from, all regimes together.
    pub rows: u64,
    /// Time of the first of them.
    pub from: Timestamp,
    /// Time of the last of them.
    pub to: Timestamp,
    /// SHA-256 of the bundle as it was trained, where references were changed at the machine since; else empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub base: String,
}

/// The configuration and a bundle do not fit together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContractError {
    #[error("the bundle was trained with the features {bundle}, the machine `{machine}` has {config}; train again or correct the signals")]
    Features { machine: String, bundle: String, config: String },
    #[error("the bundle was trained with the settings {bundle}, the machine `{machine}` has {config}; train again or correct the settings")]
    Settings { machine: String, bundle: String, config: String },
    #[error("the bundle has no model `{model}`, which the machine `{machine}` asks for; train again")]
    Model { machine: String, model: String },
    #[error("the bundle is inconsistent: {0}; it was damaged or made by hand")]
    Inconsistent(&'static str),
}

impl Bundle {
    /// Checks that a machine's frames give what this bundle was trained with, and that its tables fit together.
    pub fn check(&self, machine: &MachineConfig) -> Result<(), ContractError> {
        let name = || machine.name.to_string();
        let ours = contract(machine);
        if ours != self.features {
            let list = |f: &[FeatureContract]| f.iter().map(|f| format!("`{}` [{}]", f.name, f.unit)).collect::<Vec<_>>().join(", ");
            return Err(ContractError::Features { machine: name(), bundle: list(&self.features), config: list(&ours) });
        }
        let rules = RegimeTable::new(machine).rules;
        // Tolerances are tuned: they do not belong to the contract.
        let same = |(a, b): (&SettingRule, &SettingRule)| a.is_alike(b);
        if rules.len() != self.envelope.rules.len() || !rules.iter().zip(&self.envelope.rules).all(same) {
            let list = |r: &[SettingRule]| r.iter().map(|r| format!("`{}` ({:?})", r.name, r.conditioning)).collect::<Vec<_>>().join(", ");
            return Err(ContractError::Settings { machine: name(), bundle: list(&self.envelope.rules), config: list(&rules) });
        }
        if let Some(model) = machine.models.iter().find(|m| self.model(&m.name).is_none()) {
            return Err(ContractError::Model { machine: name(), model: model.name.to_string() });
        }
        self.check_tables()
    }

    fn check_tables(&self) -> Result<(), ContractError> {
        let k = self.features.len();
        let bad = |what| Err(ContractError::Inconsistent(what));
        if self.regimes.len() != self.envelope.regimes.len() {
            return bad("regimes and references differ in number");
        }
        if self.regimes.iter().any(|r| r.references.len() != k || r.mean.len() != k || r.sd.len() != k) {
            return bad("a regime has another number of features");
        }
        if self.envelope.regimes.iter().any(|r| r.cells.len() != self.envelope.rules.len()) {
            return bad("a regime has another number of settings");
        }
        let continuous = self.envelope.continuous();
        let supported = |r: &Regime| r.support.as_ref().map_or(continuous == 0, |s| s.is_sound(continuous));
        if !self.envelope.regimes.iter().all(supported) {
            return bad("a regime's trained places do not fit its continuous settings");
        }
        let predicted = |r: &RegimeReference| r.regression.as_ref().map_or(continuous == 0, |r| r.is_sound(continuous, k));
        if !self.regimes.iter().all(predicted) {
            return bad("a regime's regression does not fit its settings and features");
        }
        if self.data_drift.as_ref().is_some_and(|c| !c.is_sound(k)) {
            return bad("the calibration has another number of features");
        }
        for model in &self.models {
            if model.prediction_drift.as_ref().is_some_and(|c| !c.is_sound(1)) {
                return bad("a model's calibration does not fit");
            }
            if model.performance.as_ref().is_some_and(|p| !p.is_sound(self.regimes.len())) {
                return bad("a model's labelled rows do not fit");
            }
            if model.inputs.iter().any(|i| *i >= k) || model.model.inputs() != model.inputs.len() {
                return bad("a model's inputs are no features");
            }
            if model.scores.len() != self.regimes.len() {
                return bad("a model has another number of regimes");
            }
            if !model.model.is_sound() {
                return bad("a model's tables do not fit together");
            }
        }
        Ok(())
    }

    /// The model of this name.
    pub fn model(&self, name: &str) -> Option<&BundleModel> {
        self.models.iter().find(|m| &*m.name == name)
    }
}

/// Numbers as JSON has them: it knows no NaN.
fn null_is_nan<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<f64>, D::Error> {
    let numbers = Vec::<Option<f64>>::deserialize(from)?;
    Ok(numbers.into_iter().map(|x| x.unwrap_or(f64::NAN)).collect())
}

/// The data contract of a machine.
pub fn contract(machine: &MachineConfig) -> Vec<FeatureContract> {
    machine.features.iter().map(|f| FeatureContract { name: f.name.clone(), unit: f.unit.clone() }).collect()
}
