use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_clustering::KMeans as Fitted;
use ndarray::ArrayView2;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::FitError;

/// K-means distance: rows far from every cluster of healthy rows are strange.
///
/// Score: Euclidean distance to the nearest centre, 0 and larger, in the unit of the inputs (regime-normalised residuals: standard
/// deviations). Centres by Lloyd's algorithm from k-means++ starts (linfa-clustering), the best of three seeded runs. Depends on the
/// scale of the inputs, unlike [`super::IsolationForest`]; finds rows between clusters that the forest finds ordinary.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KMeans {
    inputs: usize,
    /// Centre after centre, each of `inputs` values.
    centres: Vec<f64>,
}

impl KMeans {
    /// Fits `clusters` centres (fewer, where there are fewer rows). `rows` is row after row, each of `inputs` values.
    pub fn fit(rows: &[f64], inputs: usize, clusters: usize, seed: u64) -> Result<Self, FitError> {
        super::check_rows(rows, inputs)?;
        let n = rows.len() / inputs;
        let view = ArrayView2::from_shape((n, inputs), rows).map_err(|_| FitError::Shape { inputs, values: rows.len() })?;
        let rng = ChaCha8Rng::seed_from_u64(seed);
        let params = Fitted::params_with_rng(clusters.clamp(1, n), rng).n_runs(3).max_n_iterations(100).tolerance(1e-4);
        let fitted = params.fit(&DatasetBase::from(view.to_owned())).map_err(|e| FitError::NoConvergence(e.to_string()))?;
        Ok(Self { inputs, centres: fitted.centroids().iter().copied().collect() })
    }

    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Distance of one row of [`Self::inputs`] values to the nearest centre.
    pub fn score(&self, row: &[f64]) -> f64 {
        let squared = |centre: &[f64]| centre.iter().zip(row).map(|(c, x)| (x - c) * (x - c)).sum::<f64>();
        self.centres.chunks_exact(self.inputs).map(squared).fold(f64::INFINITY, f64::min).sqrt()
    }

    /// True where the tables fit together.
    pub fn is_sound(&self) -> bool {
        self.inputs > 0
            && !self.centres.is_empty()
            && self.centres.len().is_multiple_of(self.inputs)
            && self.centres.iter().all(|c| c.is_finite())
    }
}

#[cfg(test)]
mod tests {
    use rand_distr::{Distribution, StandardNormal};

    use super::*;

    #[test]
    fn rows_between_clusters_are_far() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let rows: Vec<f64> = (0..400)
            .flat_map(|i| {
                let centre = if i % 2 == 0 { -10.0 } else { 10.0 };
                let (a, b): (f64, f64) = (StandardNormal.sample(&mut rng), StandardNormal.sample(&mut rng));
                [centre + a, b]
            })
            .collect();
        let model = KMeans::fit(&rows, 2, 2, 1).unwrap();
        assert!(model.score(&[-10.0, 0.0]) < 0.5 && model.score(&[10.0, 0.0]) < 0.5);
        assert!((model.score(&[0.0, 0.0]) - 10.0).abs() < 0.5);
        assert_eq!(model, KMeans::fit(&rows, 2, 2, 1).unwrap(), "seeded");
        assert!(model.is_sound());
    }

    #[test]
    fn bad_rows_are_refused_and_few_rows_give_few_clusters() {
        assert_eq!(KMeans::fit(&[1.0, f64::INFINITY], 1, 2, 1), Err(FitError::NotFinite(0)));
        assert_eq!(KMeans::fit(&[1.0, 2.0], 1, 8, 1).unwrap().score(&[1.0]), 0.0);
    }
}
