//! Epps-Singleton test: do the empirical characteristic functions agree at two frequencies?
//!
//! Formula: with `g(v) = (cos t1 v, cos t2 v, sin t1 v, sin t2 v)`, `(t1, t2) = (0.4, 0.8) / (IQR/2)` and the IQR of both samples together,
//! `W = N d' S^+ d`, d the difference of the mean g of both samples and `S = N/n Sx + N/m Sy` their covariances (divisors n and m);
//! p from chi-squared with the rank of S as degrees of freedom. Where both samples have fewer than 25 values, W is multiplied by
//! `1 / (1 + N^-0.45 + 10.1 (n^-1.7 + m^-1.7))`.
//!
//! Behaviour: also for discrete values; more power than [`super::kolmogorov_smirnov`] against changes of spread and shape. Limits: at least five
//! values in each; rejects too often for very unequal sizes (14-21 % instead of 5 % at 1000 against 100); no spread in the middle half of the
//! values: [`NotApplicable::Constant`]. Threshold: p <= 0.05 by default.
//! Siblings: [`super::anderson_darling`], [`super::mmd`] (all frequencies).
//! Reference: Epps and Singleton 1986; Goerg and Kaiser 2009.
//!
//! ```
//! use driftgate::drift::metric::{Metric, Reference, Scratch, numerical};
//!
//! let reference: Vec<f64> = (1..=10).map(f64::from).collect();
//! let current: Vec<f64> = (1..=10).map(|i| f64::from(i) + 3.5).collect();
//! let outcome = numerical(Metric::EppsSingleton, &Reference::new(&reference).unwrap(), &current, &mut Scratch::new()).unwrap();
//! assert!((outcome.statistic - 4.897534082951598).abs() < 1e-9);
//! assert!((outcome.score - 0.297973639754162).abs() < 1e-9);
//! ```

use super::special::chi_squared_sf;
use super::walk::pooled_quantile;
use super::{NotApplicable, Outcome, Reference};

/// Least values in each sample.
pub const LEAST: usize = 5;
/// Eigenvalues below this share of the largest are taken for zero.
const RANK_TOLERANCE: f64 = 1e-12;

type Vector = [f64; 4];
type Matrix = [Vector; 4];

/// The test. Statistic: W.
///
/// # Errors
/// [`NotApplicable::TooFew`]; [`NotApplicable::Constant`].
pub fn test(reference: &Reference, current: &[f64]) -> Result<Outcome, NotApplicable> {
    let (x, y) = (reference.sorted(), current);
    let have = x.len().min(y.len());
    if have < LEAST {
        return Err(NotApplicable::TooFew { have, need: LEAST });
    }
    let (low, high) = (pooled_quantile(x, y, 0.25), pooled_quantile(x, y, 0.75));
    let half_range = 0.5 * high - 0.5 * low;
    if half_range <= 0.0 {
        return Err(NotApplicable::Constant);
    }
    // a common shift turns g without changing W: centred values keep the digits of the angle
    let centre = 0.5 * low + 0.5 * high;
    let (a, b) = (Sums::of(x, centre, half_range), Sums::of(y, centre, half_range));
    let (n, m) = (x.len() as f64, y.len() as f64);
    let all = n + m;
    let (ca, cb) = (a.covariance(), b.covariance());
    let s = std::array::from_fn(|i| std::array::from_fn(|j| all / n * ca[i][j] + all / m * cb[i][j]));
    let d = std::array::from_fn(|i| a.mean[i] - b.mean[i]);
    let (form, rank) = inverse_form(s, d);
    if rank == 0 {
        return Err(NotApplicable::Constant);
    }
    let small = 1.0 / (1.0 + all.powf(-0.45) + 10.1 * (n.powf(-1.7) + m.powf(-1.7)));
    let w = all * form * if n.max(m) < 25.0 { small } else { 1.0 };
    Outcome::p(w, chi_squared_sf(w, rank as f64))
}

/// Mean of g and of its products.
struct Sums {
    mean: Vector,
    product: Matrix,
}

impl Sums {
    fn of(sorted: &[f64], centre: f64, half_range: f64) -> Self {
        let (mut mean, mut product) = ([0.0; 4], [[0.0; 4]; 4]);
        let frequency = 0.4 / half_range;
        for v in sorted {
            let (sin, cos) = ((v - centre) * frequency).sin_cos();
            // the second frequency is twice the first
            let g = [cos, 2.0 * cos * cos - 1.0, sin, 2.0 * sin * cos];
            for i in 0..4 {
                mean[i] += g[i];
                for j in 0..=i {
                    product[i][j] += g[i] * g[j];
                }
            }
        }
        let n = sorted.len() as f64;
        mean.iter_mut().for_each(|v| *v /= n);
        product.iter_mut().flatten().for_each(|v| *v /= n);
        Self { mean, product }
    }

    fn covariance(&self) -> Matrix {
        let entry = |i: usize, j: usize| self.product[i.max(j)][i.min(j)] - self.mean[i] * self.mean[j];
        std::array::from_fn(|i| std::array::from_fn(|j| entry(i, j)))
    }
}

/// `d' S^+ d` and the rank of S, by the eigenvectors of S (Jacobi's rotations).
fn inverse_form(mut s: Matrix, d: Vector) -> (f64, usize) {
    let mut turned = d;
    for _ in 0..30 {
        let off: f64 = (0..4).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| s[i][j] * s[i][j]).sum();
        let diagonal: f64 = (0..4).map(|i| s[i][i] * s[i][i]).sum();
        if off <= 1e-40 * diagonal || diagonal == 0.0 {
            break;
        }
        for i in 0..3 {
            for j in i + 1..4 {
                rotate(&mut s, &mut turned, i, j);
            }
        }
    }
    let largest = (0..4).map(|i| s[i][i]).fold(0.0, f64::max);
    let kept = |i: &usize| s[*i][*i] > RANK_TOLERANCE * largest && s[*i][*i] > 1e-15;
    let form = (0..4).filter(kept).map(|i| turned[i] * turned[i] / s[i][i]).sum();
    (form, (0..4).filter(kept).count())
}

/// Makes `s[i][j]` zero and turns the vector along.
fn rotate(s: &mut Matrix, vector: &mut Vector, i: usize, j: usize) {
    if s[i][j] == 0.0 {
        return;
    }
    let theta = (s[j][j] - s[i][i]) / (2.0 * s[i][j]);
    let t = theta.signum() / (theta.abs() + theta.hypot(1.0));
    let cos = 1.0 / t.hypot(1.0);
    let sin = t * cos;
    for row in s.iter_mut() {
        (row[i], row[j]) = (cos * row[i] - sin * row[j], sin * row[i] + cos * row[j]);
    }
    let (a, b) = (s[i], s[j]);
    s[i] = std::array::from_fn(|k| cos * a[k] - sin * b[k]);
    s[j] = std::array::from_fn(|k| sin * a[k] + cos * b[k]);
    (vector[i], vector[j]) = (cos * vector[i] - sin * vector[j], sin * vector[i] + cos * vector[j]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inverse_form_of_a_known_matrix() {
        let s = [[4.0, 1.0, 0.0, 0.0], [1.0, 3.0, 0.0, 0.0], [0.0, 0.0, 2.0, 0.0], [0.0, 0.0, 0.0, 0.0]];
        let (form, rank) = inverse_form(s, [1.0, 2.0, 3.0, 5.0]);
        // the inverse of the upper block is [[3, -1], [-1, 4]] / 11
        assert_eq!(rank, 3);
        assert!((form - ((3.0 - 4.0 + 16.0) / 11.0 + 4.5)).abs() < 1e-13);
    }

    #[test]
    fn no_spread_in_the_middle_has_no_answer() {
        let r = Reference::new(&[0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 3.0]).unwrap();
        assert_eq!(test(&r, &[1.0; 9]), Err(NotApplicable::Constant));
        assert_eq!(test(&r, &[1.0; 4]), Err(NotApplicable::TooFew { have: 4, need: 5 }));
    }
}
