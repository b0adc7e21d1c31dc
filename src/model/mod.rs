//! Fault-detection models: pure functions on slices of features.

mod isolation_forest;
mod threshold;

use serde::{Deserialize, Serialize};

pub use isolation_forest::{FitError, IsolationForest};
pub use threshold::tail_quantile;

/// A trained model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Model {
    IsolationForest(IsolationForest),
}

impl Model {
    /// Anomaly score of one row of inputs: the larger, the stranger. Finite for finite inputs.
    pub fn score(&self, inputs: &[f64]) -> f64 {
        match self {
            Self::IsolationForest(forest) => forest.score(inputs),
        }
    }

    /// Number of inputs.
    pub fn inputs(&self) -> usize {
        match self {
            Self::IsolationForest(forest) => forest.inputs(),
        }
    }

    /// `isolation_forest`
    pub fn kind(&self) -> &'static str {
        match self {
            Self::IsolationForest(_) => "isolation_forest",
        }
    }
}
