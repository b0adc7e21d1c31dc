use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_clustering::GaussianMixtureModel;
use linfa_linalg::cholesky::Cholesky;
use ndarray::{ArrayView2, Axis};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::FitError;

/// Added to the variances: inputs are residuals in standard deviations, and one that never moves must not end the fit.
const RIDGE: f64 = 1e-6;

/// Gaussian mixture: rows of a low density under the mixture of the healthy ones are strange.
///
/// Score: `sqrt(2 (ln p* - ln p(x)))`, where `p` is the density of the mixture and `p*` the largest one at a component's mean; 0 and
/// larger. For one component it is the Mahalanobis distance, so it reads as standard deviations; it orders rows as the log-likelihood
/// does. Fitted by expectation maximisation with full covariances (linfa-clustering), the best of three seeded runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GaussianMixture {
    inputs: usize,
    /// Component after component, each of `inputs` values.
    means: Vec<f64>,
    /// Inverse covariances, component after component, each of `inputs` x `inputs` values.
    precisions: Vec<f64>,
    /// Logarithm of each component's share and of its density at its own mean, without `-inputs/2 ln 2 pi`.
    peaks: Vec<f64>,
    /// `ln p*`, likewise.
    highest: f64,
}

impl GaussianMixture {
    /// Fits `components` (fewer, where there are fewer than ten rows for each). `rows` is row after row, each of `inputs` values.
    pub fn fit(rows: &[f64], inputs: usize, components: usize, seed: u64) -> Result<Self, FitError> {
        super::check_rows(rows, inputs)?;
        let n = rows.len() / inputs;
        let view = ArrayView2::from_shape((n, inputs), rows).map_err(|_| FitError::Shape { inputs, values: rows.len() })?;
        let rng = ChaCha8Rng::seed_from_u64(seed);
        let params = GaussianMixtureModel::params_with_rng(components.clamp(1, (n / 10).max(1)), rng);
        let params = params.n_runs(3).max_n_iterations(200).tolerance(1e-3).reg_covariance(RIDGE);
        let unsettled = |e: &dyn std::fmt::Display| FitError::NoConvergence(e.to_string());
        let fitted = params.fit(&DatasetBase::from(view.to_owned())).map_err(|e| unsettled(&e))?;
        let mut peaks = Vec::new();
        for (weight, precision) in fitted.weights().iter().zip(fitted.precisions().axis_iter(Axis(0))) {
            let root = precision.to_owned().cholesky().map_err(|e| unsettled(&e))?;
            peaks.push(weight.ln() + root.diag().iter().map(|x| x.ln()).sum::<f64>());
        }
        let mut model = Self {
            inputs,
            means: fitted.means().iter().copied().collect(),
            precisions: fitted.precisions().iter().copied().collect(),
            peaks,
            highest: 0.0,
        };
        model.highest = model.means.chunks_exact(inputs).map(|mean| model.log_density(mean)).fold(f64::NEG_INFINITY, f64::max);
        Ok(model)
    }

    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// How far one row of [`Self::inputs`] values lies from where the healthy ones are dense.
    pub fn score(&self, row: &[f64]) -> f64 {
        // Between the means of components that overlap the density can be larger than at each of them.
        (2.0 * (self.highest - self.log_density(row)).max(0.0)).sqrt()
    }

    fn log_density(&self, row: &[f64]) -> f64 {
        let components = self.means.chunks_exact(self.inputs).zip(self.precisions.chunks_exact(self.inputs * self.inputs));
        let logs = components.zip(&self.peaks).map(|((mean, precision), peak)| peak - 0.5 * distance(row, mean, precision));
        // ln(sum of exp), so that far rows do not become 0.
        let (largest, sum) = logs.fold((f64::NEG_INFINITY, 0.0), |(largest, sum): (f64, f64), log| {
            if log > largest { (log, sum * (largest - log).exp() + 1.0) } else { (largest, sum + (log - largest).exp()) }
        });
        largest + sum.ln()
    }

    /// True where the tables fit together.
    pub fn is_sound(&self) -> bool {
        let components = self.peaks.len();
        let all = [&self.means, &self.precisions, &self.peaks];
        self.inputs > 0
            && components > 0
            && components.checked_mul(self.inputs) == Some(self.means.len())
            && self.means.len().checked_mul(self.inputs) == Some(self.precisions.len())
            && self.highest.is_finite()
            && all.iter().all(|values| values.iter().all(|x| x.is_finite()))
    }
}

/// Squared Mahalanobis distance.
fn distance(row: &[f64], mean: &[f64], precision: &[f64]) -> f64 {
    let difference = |i: usize| row[i] - mean[i];
    let lines = precision.chunks_exact(mean.len()).enumerate();
    lines.map(|(i, line)| difference(i) * line.iter().enumerate().map(|(j, p)| p * difference(j)).sum::<f64>()).sum()
}

#[cfg(test)]
mod tests {
    use rand_distr::{Distribution, StandardNormal};

    use super::*;

    /// Around -10 and 10, with both inputs moving together.
    fn rows() -> Vec<f64> {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut noise = || -> f64 { StandardNormal.sample(&mut rng) };
        (0..800)
            .flat_map(|i| {
                let (x, e) = (noise(), noise());
                let centre = if i % 2 == 0 { -10.0 } else { 10.0 };
                [centre + x, 0.9 * x + 0.436 * e]
            })
            .collect()
    }

    #[test]
    fn the_score_is_the_distance_in_standard_deviations() {
        let model = GaussianMixture::fit(&rows(), 2, 2, 1).unwrap();
        assert!(model.is_sound() && model.inputs() == 2);
        // One component may be a little denser than the other.
        assert!(model.score(&[10.0, 0.0]) < 0.7 && model.score(&[-10.0, 0.0]) < 0.7);
        // Along the cluster, across it, and between both.
        let [along, across, between] = [[12.0, 1.8], [12.0, -1.8], [0.0, 0.0]].map(|row| model.score(&row));
        assert!((along - 2.0).abs() < 0.3, "{along}");
        assert!((across - 8.7).abs() < 1.0, "{across}");
        assert!(between > 10.0);
        assert!(model.score(&[1e6, 1e6]).is_finite());
        assert_eq!(model, GaussianMixture::fit(&rows(), 2, 2, 1).unwrap(), "seeded");
    }

    #[test]
    fn an_input_that_never_moves_and_few_rows_are_borne() {
        let flat: Vec<f64> = rows().chunks_exact(2).flat_map(|r| [r[0], 3.0]).collect();
        assert!(GaussianMixture::fit(&flat, 2, 2, 1).unwrap().score(&[10.0, 3.0]).is_finite());
        assert!(GaussianMixture::fit(&rows()[..8], 2, 8, 1).unwrap().is_sound());
        assert_eq!(GaussianMixture::fit(&[1.0, f64::NAN], 1, 2, 1), Err(FitError::NotFinite(0)));
        let mut torn = GaussianMixture::fit(&rows(), 2, 2, 1).unwrap();
        torn.precisions.pop();
        assert!(!torn.is_sound());
    }
}
