//! Fault-detection models: pure functions on slices of features.

mod gaussian_mixture;
mod isolation_forest;
mod kmeans;
mod one_class_svm;
mod pca;
mod threshold;

use serde::{Deserialize, Serialize};

pub use gaussian_mixture::GaussianMixture;
pub use isolation_forest::IsolationForest;
pub use kmeans::KMeans;
pub use one_class_svm::OneClassSvm;
pub use pca::Pca;
pub use threshold::tail_quantile;

/// A trained model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Model {
    IsolationForest(IsolationForest),
    KMeans(KMeans),
    // Appended only: bundles have the position.
    GaussianMixture(GaussianMixture),
    Pca(Pca),
    OneClassSvm(OneClassSvm),
}

impl Model {
    /// Anomaly score of one row of inputs: the larger, the stranger. Finite for finite inputs.
    pub fn score(&self, inputs: &[f64]) -> f64 {
        match self {
            Self::IsolationForest(forest) => forest.score(inputs),
            Self::KMeans(kmeans) => kmeans.score(inputs),
            Self::GaussianMixture(mixture) => mixture.score(inputs),
            Self::Pca(pca) => pca.score(inputs),
            Self::OneClassSvm(svm) => svm.score(inputs),
        }
    }

    /// Number of inputs.
    pub fn inputs(&self) -> usize {
        match self {
            Self::IsolationForest(forest) => forest.inputs(),
            Self::KMeans(kmeans) => kmeans.inputs(),
            Self::GaussianMixture(mixture) => mixture.inputs(),
            Self::Pca(pca) => pca.inputs(),
            Self::OneClassSvm(svm) => svm.inputs(),
        }
    }

    /// True where its tables fit together: what came from a file can be scored with.
    pub fn is_sound(&self) -> bool {
        match self {
            Self::IsolationForest(forest) => forest.is_sound(),
            Self::KMeans(kmeans) => kmeans.is_sound(),
            Self::GaussianMixture(mixture) => mixture.is_sound(),
            Self::Pca(pca) => pca.is_sound(),
            Self::OneClassSvm(svm) => svm.is_sound(),
        }
    }

    /// `isolation_forest`, `kmeans`, `gaussian_mixture`, `pca`, `one_class_svm`
    pub fn kind(&self) -> &'static str {
        match self {
            Self::IsolationForest(_) => "isolation_forest",
            Self::KMeans(_) => "kmeans",
            Self::GaussianMixture(_) => "gaussian_mixture",
            Self::Pca(_) => "pca",
            Self::OneClassSvm(_) => "one_class_svm",
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
    #[error("the model does not settle: {0}; try fewer clusters, or other inputs")]
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
