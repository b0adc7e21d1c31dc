//! EWMA with Hotelling's T2: the exponentially weighted mean of all residuals, as one distance.
//!
//! `e_t = (1 - lambda) e_(t-1) + lambda z_t`, `T2 = e_t' S^-1 e_t`, with S the covariance of e on healthy rows.
//!
//! - Parameters: `lambda` = 0.1 (a memory of about 10 rows; smaller sees smaller shifts later), residuals clipped at 4 sd.
//! - Range of the value: 0 and up; for healthy Gaussian rows it follows chi-squared with as many degrees of freedom as columns.
//! - Warm-up: [`WARM_UP`] rows without a value. `e` starts at 0, so the first values are too small, never too large.
//! - False alarms: the threshold decides, values in a row are strongly dependent; alarms come in runs of about `1 / lambda`.
//!   With S learned on autocorrelated rows the scale stays right; calibrate the threshold for a rate.
//! - Siblings: [`cusum`](super::cusum) for one column's shift of known size; a window metric for changes of spread or shape.
//! - Reference: Lowry, Woodall, Champ, Rigdon, "A Multivariate EWMA Control Chart", Technometrics 34 (1992).
//!
//! ```
//! use driftgate::drift::chart::ewma_t2::EwmaT2;
//! let mut chart = EwmaT2::new(1);
//! for _ in 0..10 {
//!     chart.push(&[1.0], None);
//! }
//! let e = 1.0 - 0.9f64.powi(10);
//! assert!((chart.value() - e * e * 19.0).abs() < 1e-12); // variance lambda / (2 - lambda) = 1 / 19
//! ```

use serde::{Deserialize, Serialize};

use crate::drift::covariance::Moments;

/// Weight of the newest row.
pub const LAMBDA: f64 = 0.1;
/// Rows before the first value.
pub const WARM_UP: u32 = 10;
/// Variance of e for independent rows of unit variance.
const VARIANCE: f64 = LAMBDA / (2.0 - LAMBDA);

/// Wilson and Hilferty's chi-squared quantile at 4.5 standard deviations (3e-6 a row).
pub fn default_threshold(columns: usize) -> f64 {
    let p = columns.max(1) as f64;
    let a = 2.0 / (9.0 * p);
    p * (1.0 - a + 4.5 * a.sqrt()).powi(3)
}

/// How e behaves on healthy rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EwmaReference {
    /// Standard deviation of each column of e; 1 where it does not vary.
    pub sd: Vec<f64>,
    /// Inverse of the covariance, row by row.
    pub inverse: Vec<f64>,
}

/// Effective rows per column from which the sample covariance is used as it is.
const ROWS_PER_COLUMN: f64 = 10.0;

impl EwmaReference {
    /// Learns S from the residuals of healthy units (each a list of rows of `columns` values, NaN where missing).
    ///
    /// S is the sample covariance of e, shrunk towards `D R D`: D the standard deviations of e, R the correlation of the
    /// rows' innovations (what an AR(1) of each column leaves), which needs far fewer rows. The weight of the target is
    /// `10 columns / effective rows`, at most 1; a chart's rows are effective at one in `(1 + a f) / (1 - a f)`-like spans. D itself is
    /// shrunk, with the weight of one column, towards what AR(1) rows of the column's variance would give: a few hundred
    /// rows are worth a handful of independent values of e, and say little of its spread.
    pub fn learn(columns: usize, units: &[Vec<f64>]) -> Self {
        let phi = lag_one(columns, units);
        let mut e = Moments::new(columns);
        let mut innovations = Moments::new(columns);
        let (mut state, mut fresh) = (vec![0.0; columns], vec![0.0; columns]);
        for unit in units {
            state.fill(0.0);
            let mut previous: Option<&[f64]> = None;
            for (i, row) in unit.chunks_exact(columns).enumerate() {
                step(&mut state, row);
                if i >= 2 * WARM_UP as usize {
                    e.push(&state);
                }
                for k in 0..columns {
                    let before = previous.map_or(f64::NAN, |p| p[k]);
                    let x = row[k] - phi[k] * before;
                    fresh[k] = if x.is_finite() { x } else { 0.0 };
                }
                if previous.is_some() {
                    innovations.push(&fresh);
                }
                previous = Some(row);
            }
        }
        let covariance = e.covariance();
        let spread = variances(columns, units);
        let variance = |k: usize| {
            let few = (ROWS_PER_COLUMN * memory(phi[k]) / e.rows().max(1.0)).min(1.0);
            (1.0 - few) * covariance[k * columns + k] + few * theory(spread[k], phi[k])
        };
        let sd: Vec<f64> = (0..columns).map(|k| variance(k).sqrt()).map(|s| if s > 1e-9 { s } else { 1.0 }).collect();
        let mean_phi = (phi.iter().sum::<f64>() / columns.max(1) as f64).clamp(0.0, 0.99);
        let shrink = (ROWS_PER_COLUMN * columns as f64 * memory(mean_phi) / e.rows().max(1.0)).min(1.0);
        let correlation = innovations.correlation();
        let mut s = vec![0.0; columns * columns];
        for i in 0..columns {
            for j in 0..columns {
                let at = i * columns + j;
                let target = correlation[at] * sd[i] * sd[j];
                s[at] = if i == j { sd[i] * sd[i] * (1.0 + RIDGE) } else { (1.0 - shrink) * covariance[at] + shrink * target };
            }
        }
        let inverse = invert(&s, columns).unwrap_or_else(|| diagonal(&sd));
        Self { sd, inverse }
    }
}

/// Keeps S invertible where columns are copies of each other.
const RIDGE: f64 = 1e-4;

/// Rows in a row that say as much as one: the integrated autocorrelation of an EWMA over AR(1) rows.
fn memory(phi: f64) -> f64 {
    let a = 1.0 - LAMBDA;
    (1.0 + phi) / (1.0 - phi) * (1.0 + a) / (1.0 - a) * (1.0 - phi * a) / (1.0 + phi * a)
}

/// Variance of an EWMA over AR(1) rows of this variance.
fn theory(variance: f64, phi: f64) -> f64 {
    let a = 1.0 - LAMBDA;
    variance * VARIANCE * (1.0 + phi * a) / (1.0 - phi * a)
}

/// Variance of each column's rows, over all units.
fn variances(columns: usize, units: &[Vec<f64>]) -> Vec<f64> {
    let variance = |k: usize| {
        let values = || units.iter().flat_map(move |u| u.iter().skip(k).step_by(columns)).filter(|x| x.is_finite());
        let n = values().count() as f64;
        let mean = values().sum::<f64>() / n.max(1.0);
        values().map(|x| (x - mean) * (x - mean)).sum::<f64>() / (n - 1.0).max(1.0)
    };
    (0..columns).map(variance).collect()
}

/// Autocorrelation at lag one of each column, pooled over the units, in 0..=0.999.
fn lag_one(columns: usize, units: &[Vec<f64>]) -> Vec<f64> {
    let (mut squares, mut products) = (vec![0.0; columns], vec![0.0; columns]);
    for unit in units {
        let mut rows = unit.chunks_exact(columns).peekable();
        while let Some(row) = rows.next() {
            let Some(next) = rows.peek() else { break };
            for k in 0..columns {
                if row[k].is_finite() && next[k].is_finite() {
                    squares[k] += row[k] * row[k];
                    products[k] += row[k] * next[k];
                }
            }
        }
    }
    squares.iter().zip(&products).map(|(s, p)| if *s > 0.0 { (p / s).clamp(0.0, 0.999) } else { 0.0 }).collect()
}

fn step(e: &mut [f64], residuals: &[f64]) {
    for (e, z) in e.iter_mut().zip(residuals) {
        if z.is_finite() {
            *e += LAMBDA * (z - *e);
        }
    }
}

/// Inverse of a symmetric positive definite matrix by its Cholesky factor; `None` where it is not positive definite.
fn invert(s: &[f64], n: usize) -> Option<Vec<f64>> {
    let mut l = vec![0.0; n * n];
    for i in 0..n {
        for j in 0..=i {
            let dot: f64 = (0..j).map(|k| l[i * n + k] * l[j * n + k]).sum();
            let rest = s[i * n + j] - dot;
            l[i * n + j] = if i == j { Some(rest.sqrt()).filter(|r| *r > 0.0)? } else { rest / l[j * n + j] };
        }
    }
    let mut inverse = vec![0.0; n * n];
    let mut x = vec![0.0; n];
    for column in 0..n {
        for i in 0..n {
            let dot: f64 = (0..i).map(|k| l[i * n + k] * x[k]).sum();
            x[i] = (f64::from(u8::from(i == column)) - dot) / l[i * n + i];
        }
        for i in (0..n).rev() {
            let dot: f64 = (i + 1..n).map(|k| l[k * n + i] * x[k]).sum();
            x[i] = (x[i] - dot) / l[i * n + i];
        }
        for (i, x) in x.iter().enumerate() {
            inverse[i * n + column] = *x;
        }
    }
    Some(inverse)
}

fn diagonal(sd: &[f64]) -> Vec<f64> {
    let n = sd.len();
    (0..n * n).map(|i| if i / n == i % n { 1.0 / (sd[i / n] * sd[i / n]) } else { 0.0 }).collect()
}

/// The running chart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EwmaT2 {
    e: Vec<f64>,
    /// Square of each column over its variance.
    columns: Vec<f64>,
    rows: u32,
    value: f64,
}

impl EwmaT2 {
    pub fn new(columns: usize) -> Self {
        Self { e: vec![0.0; columns], columns: vec![0.0; columns], rows: 0, value: f64::NAN }
    }

    /// One row of residuals. Without a reference, columns are taken as independent rows of unit variance.
    pub fn push(&mut self, residuals: &[f64], reference: Option<&EwmaReference>) {
        step(&mut self.e, residuals);
        self.rows = self.rows.saturating_add(1);
        let n = self.e.len();
        let mut t2 = 0.0;
        for (i, e) in self.e.iter().enumerate() {
            match reference.filter(|r| r.inverse.len() == n * n) {
                Some(r) => {
                    let product: f64 = r.inverse[i * n..(i + 1) * n].iter().zip(&self.e).map(|(a, b)| a * b).sum();
                    t2 += e * product;
                    self.columns[i] = (e / r.sd[i]).powi(2);
                }
                None => {
                    self.columns[i] = e * e / VARIANCE;
                    t2 += self.columns[i];
                }
            }
        }
        self.value = if self.rows < WARM_UP { f64::NAN } else { t2.max(0.0) };
    }

    pub fn value(&self) -> f64 {
        self.value
    }

    pub fn column(&self, k: usize) -> f64 {
        if self.value.is_nan() { f64::NAN } else { self.columns[k].min(self.value) }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    use super::*;

    /// Two columns with correlation 0.8, both AR(1).
    fn rows(n: usize, phi: f64, seed: u64) -> Vec<f64> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (mut x, scale) = ([0.0; 2], (1.0 - phi * phi).sqrt());
        let mut out = vec![];
        for _ in 0..n {
            let (a, b): (f64, f64) = (StandardNormal.sample(&mut rng), StandardNormal.sample(&mut rng));
            let fresh = [a, 0.8 * a + 0.6 * b];
            for k in 0..2 {
                x[k] = phi * x[k] + scale * fresh[k];
            }
            out.extend(x);
        }
        out
    }

    fn mean_t2(phi: f64, rows_learned: usize) -> f64 {
        let reference = EwmaReference::learn(2, &[rows(rows_learned, phi, 1)]);
        let mut chart = EwmaT2::new(2);
        let fresh = rows(100_000, phi, 2);
        let values = fresh.chunks_exact(2).map(|row| {
            chart.push(row, Some(&reference));
            chart.value()
        });
        let values: Vec<f64> = values.filter(|v| v.is_finite()).collect();
        values.iter().sum::<f64>() / values.len() as f64
    }

    #[test]
    fn healthy_rows_have_a_mean_of_the_number_of_columns_also_autocorrelated() {
        for phi in [0.0, 0.5, 0.9] {
            let mean = mean_t2(phi, 50_000);
            assert!((mean - 2.0).abs() < 0.35, "phi {phi}: {mean}");
        }
    }

    /// What e itself shows over 120 rows is off by a factor of two and more.
    #[test]
    fn a_few_rows_give_nearly_the_true_spread() {
        for seed in 0..30 {
            for phi in [0.0, 0.3] {
                let reference = EwmaReference::learn(2, &[rows(120, phi, seed)]);
                let truth = theory(1.0, phi).sqrt();
                for sd in &reference.sd {
                    assert!((0.65..1.5).contains(&(sd / truth)), "seed {seed}, phi {phi}: {sd} instead of {truth}");
                }
            }
        }
    }

    #[test]
    fn a_shift_across_the_correlation_counts_more_than_one_along_it() {
        let reference = EwmaReference::learn(2, &[rows(20_000, 0.0, 3)]);
        let at = |row: [f64; 2]| {
            let mut chart = EwmaT2::new(2);
            (0..50).for_each(|_| chart.push(&row, Some(&reference)));
            (chart.value(), chart.column(0))
        };
        assert!(at([1.0, -1.0]).0 > 5.0 * at([1.0, 1.0]).0);
        assert!(at([1.0, 1.0]).1 <= at([1.0, 1.0]).0);
    }

    #[test]
    fn the_inverse_is_one() {
        let s = [4.0, 1.0, 0.5, 1.0, 3.0, 0.2, 0.5, 0.2, 2.0];
        let inverse = invert(&s, 3).unwrap();
        for i in 0..3 {
            for j in 0..3 {
                let x: f64 = (0..3).map(|k| s[i * 3 + k] * inverse[k * 3 + j]).sum();
                assert!((x - f64::from(u8::from(i == j))).abs() < 1e-12);
            }
        }
        assert_eq!(invert(&[1.0, 1.0, 1.0, 1.0], 2), None);
    }

    #[test]
    fn a_constant_column_and_a_copy_do_no_harm() {
        let unit: Vec<f64> = rows(2000, 0.0, 4).chunks_exact(2).flat_map(|r| [r[0], r[0], 0.0]).collect();
        let reference = EwmaReference::learn(3, &[unit]);
        let mut chart = EwmaT2::new(3);
        (0..50).for_each(|_| chart.push(&[0.2, 0.2, 0.0], Some(&reference)));
        assert!(chart.value().is_finite() && chart.value() < 20.0, "{}", chart.value());
    }
}
