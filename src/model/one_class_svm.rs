use linfa::prelude::*;
use linfa_svm::Svm;
use ndarray::{Array2, ArrayView2, Axis};
use rand::SeedableRng;
use rand::seq::index::sample;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::FitError;

/// Rows that it is fitted to at most: the kernel of all pairs is in memory, 32 MB, and the time grows with its square.
const MOST_ROWS: usize = 2_000;

/// One-class support vector machine (Schölkopf et al. 2001): rows outside the boundary around the healthy ones are strange.
///
/// Score: `rho / (rho + sum of a_i exp(-gamma |x - x_i|^2))` over the support vectors, 0 to 1: 0.5 on the boundary, 1 far from all healthy
/// rows; it orders rows as the decision function does. `gamma` is one over inputs times variance, as scikit-learn's `scale`. Fitted by
/// linfa-svm to a seeded choice of 2,000 rows at most.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OneClassSvm {
    inputs: usize,
    gamma: f64,
    rho: f64,
    /// Weight of each support vector.
    weights: Vec<f64>,
    /// Support vector after support vector, each of `inputs` values.
    vectors: Vec<f64>,
}

impl OneClassSvm {
    /// `nu` (0 to 1): the share of rows that are outside at most, and that are support vectors at least. `rows` is row after row, each of
    /// `inputs` values.
    pub fn fit(rows: &[f64], inputs: usize, nu: f64, seed: u64) -> Result<Self, FitError> {
        super::check_rows(rows, inputs)?;
        let n = rows.len() / inputs;
        let view = ArrayView2::from_shape((n, inputs), rows).map_err(|_| FitError::Shape { inputs, values: rows.len() })?;
        let chosen: Array2<f64> = if n > MOST_ROWS {
            let mut at = sample(&mut ChaCha8Rng::seed_from_u64(seed), n, MOST_ROWS).into_vec();
            at.sort_unstable();
            view.select(Axis(0), &at)
        } else {
            view.to_owned()
        };
        // Rows that are all the same have none.
        let variance = chosen.var(0.0).max(1e-12);
        let width = inputs as f64 * variance;
        let targets = ndarray::Array1::from_elem(chosen.nrows(), ());
        let params = Svm::<f64, Pr>::params().nu_weight(nu).gaussian_kernel(width);
        let data = DatasetBase::new(chosen, targets);
        let fitted = params.fit(&data).map_err(|e| FitError::NoConvergence(e.to_string()))?;
        if !(fitted.rho.is_finite() && fitted.rho > 0.0) {
            return Err(FitError::NoConvergence(format!("the boundary is at {}", fitted.rho)));
        }
        let mut model = Self { inputs, gamma: 1.0 / width, rho: fitted.rho, weights: Vec::new(), vectors: Vec::new() };
        let all = fitted.alpha.iter().zip(data.records.rows());
        for (alpha, row) in all.filter(|(alpha, _)| alpha.abs() > 100.0 * f64::EPSILON) {
            model.weights.push(*alpha);
            model.vectors.extend(row);
        }
        Ok(model)
    }

    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// How far one row of [`Self::inputs`] values is outside.
    pub fn score(&self, row: &[f64]) -> f64 {
        let squared = |vector: &[f64]| vector.iter().zip(row).map(|(v, x)| (x - v) * (x - v)).sum::<f64>();
        let near = self.vectors.chunks_exact(self.inputs).zip(&self.weights).map(|(v, a)| a * (-self.gamma * squared(v)).exp());
        self.rho / (self.rho + near.sum::<f64>())
    }

    /// True where the tables fit together.
    pub fn is_sound(&self) -> bool {
        let positive = |x: f64| x.is_finite() && x > 0.0;
        self.inputs > 0
            && !self.weights.is_empty()
            && self.weights.len().checked_mul(self.inputs) == Some(self.vectors.len())
            && self.vectors.iter().all(|x| x.is_finite())
            && self.weights.iter().all(|a| positive(*a))
            && positive(self.gamma)
            && positive(self.rho)
    }
}

#[cfg(test)]
mod tests {
    use rand_distr::{Distribution, StandardNormal};

    use super::*;

    /// On a ring of radius 5.
    fn ring(n: u32) -> Vec<f64> {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut noise = || -> f64 { StandardNormal.sample(&mut rng) };
        (0..n)
            .flat_map(|i| {
                let (angle, radius) = (f64::from(i), 5.0 + 0.2 * noise());
                [radius * angle.cos(), radius * angle.sin()]
            })
            .collect()
    }

    #[test]
    fn the_boundary_is_where_the_healthy_rows_end() {
        let rows = ring(400);
        let model = OneClassSvm::fit(&rows, 2, 0.05, 1).unwrap();
        assert!(model.is_sound());
        let outside = rows.chunks_exact(2).filter(|row| model.score(row) > 0.5).count();
        assert!((4..=28).contains(&outside), "{outside} of 400 where nu is 5 %");
        assert!(model.score(&[12.0, 0.0]) > 0.9 && model.score(&[5.0, 0.0]) < 0.5);
        assert_eq!(model.score(&[1e9, -1e9]), 1.0);
        assert_eq!(model, OneClassSvm::fit(&rows, 2, 0.05, 1).unwrap());
    }

    #[test]
    fn many_rows_are_chosen_from_and_rows_that_are_all_the_same_are_borne() {
        let model = OneClassSvm::fit(&ring(5_000), 2, 0.02, 1).unwrap();
        assert!(model.is_sound() && model.weights.len() < 200, "{}", model.weights.len());
        let same = OneClassSvm::fit(&[1.0; 60], 2, 0.05, 1).unwrap();
        assert!(same.score(&[1.0, 1.0]) <= 0.5 + 1e-9 && same.score(&[2.0, 1.0]) > 0.99);
        assert_eq!(OneClassSvm::fit(&[1.0, f64::NAN], 1, 0.05, 1), Err(FitError::NotFinite(0)));
    }
}
