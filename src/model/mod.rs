//! Fault-detection models: pure functions on slices of features.

mod isolation_forest;
mod kmeans;
mod threshold;

use serde::{Deserialize, Serialize};

pub use isolation_forest::IsolationForest;
pub use kmeans::KMeans;
pub use threshold::tail_quantile;

/// A trained model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Model {
    IsolationForest(IsolationForest),
    KMeans(KMeans),
}

impl Model {
    /// Anomaly score of one row of inputs: the larger, the stranger. Finite for finite inputs.
    pub fn score(&self, inputs: &[f64]) -> f64 {
        match self {
            Self::IsolationForest(forest) => forest.score(inputs),
            Self::KMeans(kmeans) => kmeans.score(inputs),
        }
    }

    /// Number of inputs.
    pub fn inputs(&self) -> usize {
        match self {
            Self::IsolationForest(forest) => forest.inputs(),
            Self::KMeans(kmeans) => kmeans.inputs(),
        }
    }

    /// True where its tables fit together: what came from a file can be scored with.
    pub fn is_sound(&self) -> bool {
        match self {
            Self::IsolationForest(forest) => forest.is_sound(),
            Self::KMeans(kmeans) => kmeans.is_sound(),
        }
    }

    /// `isolation_forest`, `kmeans`
    pub fn kind(&self) -> &'static str {
        match self {
            Self::IsolationForest(_) => "isolation_forest",
            Self::KMeans(_) => "kmeans",
        }
    }
}

/// Why no model can be fitted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FitError {
    #[error("a model needs at least 2 rows; got `{0}`")]
    TooFewRows(usize),
    #[error("rows of `{inputs}` inputs cannot be cut from `{values}` values")]
    Shape { inputs: usize, values: usize },
    #[error("input {0} is not finite in some row; leave such rows out")]
    NotFinite(usize),
    #[error("the clusters do not settle: {0}; try fewer")]
    NoConvergence(String),
}

/// Rows that a model can be fitted to: whole, finite, at least two.
fn check_rows(rows: &[f64], inputs: usize) -> Result<(), FitError> {
    if inputs == 0 || !rows.len().is_multiple_of(inputs) {
        return Err(FitError::Shape { inputs, values: rows.len() });
    }
    if let Some(i) = rows.iter().position(|x| !x.is_finite()) {
        return Err(FitError::NotFinite(i % inputs));
    }
    if rows.len() / inputs < 2 {
        return Err(FitError::TooFewRows(rows.len() / inputs));
    }
    Ok(())
}
