use linfa_linalg::eigh::{EigSort, Eigh};
use ndarray::{Array2, ArrayView2, Axis};
use serde::{Deserialize, Serialize};

use super::FitError;

/// Principal components: rows that the main directions of the healthy ones do not explain are strange.
///
/// Score: Euclidean distance between a row and its projection on the components that are kept (the reconstruction error; its square is
/// the Q statistic, Jackson and Mudholkar 1979), 0 and larger, in the unit of the inputs. Kept are the fewest components that explain the
/// wanted share of the variance, but never all of them: then nothing would be strange.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pca {
    mean: Vec<f64>,
    /// Component after component, each of as many values as there are inputs, of length 1 and at right angles.
    components: Vec<f64>,
}

impl Pca {
    /// Keeps components that explain a share `explained` (0 to 1) of the variance. `rows` is row after row, each of `inputs` values.
    pub fn fit(rows: &[f64], inputs: usize, explained: f64) -> Result<Self, FitError> {
        super::check_rows(rows, inputs)?;
        let n = rows.len() / inputs;
        let view = ArrayView2::from_shape((n, inputs), rows).map_err(|_| FitError::Shape { inputs, values: rows.len() })?;
        let mean = view.mean_axis(Axis(0)).ok_or(FitError::TooFewRows(n))?;
        let centred = &view - &mean;
        let covariance: Array2<f64> = centred.t().dot(&centred) / (n - 1) as f64;
        let (values, vectors) = covariance.eigh().map_err(|e| FitError::NoConvergence(e.to_string()))?.sort_eig_desc();
        let all: f64 = values.iter().map(|v| v.max(0.0)).sum();
        let mut sum = 0.0;
        let enough = |v: &f64| {
            sum += v.max(0.0);
            sum >= explained * all
        };
        let kept = values.iter().position(enough).map_or(inputs, |k| k + 1).min(inputs - 1);
        let components = vectors.axis_iter(Axis(1)).take(kept).flat_map(|vector| vector.to_vec()).collect();
        Ok(Self { mean: mean.to_vec(), components })
    }

    pub fn inputs(&self) -> usize {
        self.mean.len()
    }

    /// How far one row of [`Self::inputs`] values lies from what the components explain.
    pub fn score(&self, row: &[f64]) -> f64 {
        let mut rest: Vec<f64> = row.iter().zip(&self.mean).map(|(x, mean)| x - mean).collect();
        for component in self.components.chunks_exact(self.mean.len()) {
            let along: f64 = rest.iter().zip(component).map(|(x, c)| x * c).sum();
            rest.iter_mut().zip(component).for_each(|(x, c)| *x -= along * c);
        }
        rest.iter().map(|x| x * x).sum::<f64>().sqrt()
    }

    /// True where the tables fit together.
    pub fn is_sound(&self) -> bool {
        let finite = |values: &[f64]| values.iter().all(|x| x.is_finite());
        !self.mean.is_empty() && self.components.len().is_multiple_of(self.mean.len()) && finite(&self.mean) && finite(&self.components)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    use super::*;

    #[test]
    fn what_leaves_the_plane_is_strange_however_near() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut noise = || -> f64 { StandardNormal.sample(&mut rng) };
        let rows: Vec<f64> = (0..500)
            .flat_map(|_| {
                let (a, b) = (noise(), noise());
                [a, b, a + b + 0.1 * noise()]
            })
            .collect();
        let model = Pca::fit(&rows, 3, 0.95).unwrap();
        assert!(model.is_sound() && model.inputs() == 3 && model.components.len() == 6);
        assert!(model.score(&[10.0, 5.0, 15.0]) < 0.5, "far, but as the signals go together");
        // The plane a + b = c: a distance of 1 / sqrt(3) for each unit.
        assert!((model.score(&[0.0, 0.0, 3.0]) - 3.0 / 3f64.sqrt()).abs() < 0.1);
        assert!(model.score(&[1e9, -1e9, 1e9]).is_finite());
    }

    #[test]
    fn one_input_and_inputs_that_never_move_are_borne() {
        let model = Pca::fit(&[1.0, 3.0], 1, 0.9).unwrap();
        assert_eq!(model.score(&[5.0]), 3.0, "nothing is kept: the distance from the mean");
        assert!(Pca::fit(&[1.0, 2.0, 1.0, 2.0], 2, 0.9).unwrap().score(&[1.0, 2.0]).abs() < 1e-12);
        assert_eq!(Pca::fit(&[1.0], 1, 0.9), Err(FitError::TooFewRows(1)));
        let torn = Pca { mean: vec![0.0; 3], components: vec![0.0; 4] };
        assert!(!torn.is_sound());
    }
}
