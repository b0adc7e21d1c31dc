//! Two-sided CUSUM: adds up what lies beyond an allowance; the fastest chart for a shift of known size.
//!
//! Per column: `up_t = max(0, up_(t-1) + z_t - k)`, `down_t = max(0, down_(t-1) - z_t - k)`; value: the largest of all.
//!
//! - Parameters: allowance `k` = 0.5 sd, half the shift (1 sd) it is fastest for; residuals clipped at 4 sd.
//! - Range of the value: 0 and up, in standard deviations, cut at [`CAP`] so that it comes back in bounded time.
//! - Warm-up: none.
//! - False alarms: for independent Gaussian rows and a threshold h, one in about `exp(2 k (h + 1.17)) / (4 k^2)` rows a
//!   column and two sides (Siegmund): h = 5 gives one in 470 rows. Autocorrelation raises the rate by orders of magnitude: calibrate.
//! - Siblings: [`ewma_t2`](super::ewma_t2) uses the correlation of the columns; [`page_hinkley`](super::page_hinkley) measures
//!   against the running mean in place of the reference.
//! - Reference: Page, "Continuous Inspection Schemes", Biometrika 41 (1954); Siegmund, "Sequential Analysis" (1985).
//!
//! ```
//! use driftgate::drift::chart::cusum::Cusum;
//! let mut chart = Cusum::new(1);
//! for _ in 0..4 {
//!     chart.push(&[-2.0]);
//! }
//! assert_eq!(chart.value(), 6.0); // 4 (2 - 0.5)
//! ```

use serde::{Deserialize, Serialize};

/// Allowance in standard deviations.
pub const ALLOWANCE: f64 = 0.5;
/// Largest sum: a repaired machine is quiet again after a bounded number of rows.
pub const CAP: f64 = 1_000.0;

/// One alarm in about 100,000 independent rows over all columns (Siegmund).
pub fn default_threshold(columns: usize) -> f64 {
    (1e5 * columns.max(1) as f64 * 2.0 * 2.0 * ALLOWANCE * ALLOWANCE).ln() / (2.0 * ALLOWANCE) - 1.166
}

/// The running chart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cusum {
    up: Vec<f64>,
    down: Vec<f64>,
}

impl Cusum {
    pub fn new(columns: usize) -> Self {
        Self { up: vec![0.0; columns], down: vec![0.0; columns] }
    }

    /// One row of residuals; NaN leaves a column as it is.
    pub fn push(&mut self, residuals: &[f64]) {
        for ((up, down), z) in self.up.iter_mut().zip(&mut self.down).zip(residuals) {
            if z.is_finite() {
                *up = (*up + z - ALLOWANCE).clamp(0.0, CAP);
                *down = (*down - z - ALLOWANCE).clamp(0.0, CAP);
            }
        }
    }

    pub fn value(&self) -> f64 {
        (0..self.up.len()).map(|k| self.column(k)).fold(0.0, f64::max)
    }

    pub fn column(&self, k: usize) -> f64 {
        self.up[k].max(self.down[k])
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    use super::*;

    /// Mean rows to the first value of at least `h`.
    fn run_length(h: f64, shift: f64) -> f64 {
        let mut rng = ChaCha8Rng::seed_from_u64(9);
        let runs = 400;
        let lengths = (0..runs).map(|_| {
            let mut chart = Cusum::new(1);
            let mut rows = 0;
            while chart.value() < h {
                let z: f64 = StandardNormal.sample(&mut rng);
                chart.push(&[z + shift]);
                rows += 1;
            }
            f64::from(rows)
        });
        lengths.sum::<f64>() / f64::from(runs)
    }

    #[test]
    fn run_lengths_are_those_of_the_literature() {
        // Two-sided, k = 0.5, h = 5: 465 rows in control, 10.4 at a shift of 1 sd (Montgomery, table 9.3).
        assert!((run_length(5.0, 0.0) - 465.0).abs() < 70.0);
        assert!((run_length(5.0, 1.0) - 10.4).abs() < 0.6);
    }

    #[test]
    fn comes_back_after_a_repair() {
        let mut chart = Cusum::new(1);
        (0..100_000).for_each(|_| chart.push(&[4.0]));
        assert_eq!(chart.value(), CAP);
        (0..2_000).for_each(|_| chart.push(&[0.0]));
        assert_eq!(chart.value(), 0.0);
    }
}
