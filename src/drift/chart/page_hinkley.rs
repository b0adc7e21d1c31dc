//! Page-Hinkley, two-sided: how far the sum of deviations from the running mean has come away from its extreme.
//!
//! Per column: `m_t` the mean of all residuals so far, `U_t = max(0, U_(t-1) + z_t - m_t - d)`, downwards alike; value: the
//! largest of all. (`U_t` is the usual "sum minus its minimum", in the form that cannot overflow.)
//!
//! - Parameters: tolerated change `d` = 0.25 sd; the mean forgets with weight at least `1 / 1,000`; residuals clipped at 4 sd.
//! - Range of the value: 0 and up, in standard deviations, cut at [`CAP`].
//! - Warm-up: [`WARM_UP`] rows without a value, while the mean settles.
//! - False alarms: decided by the threshold; more than CUSUM's for the same threshold, as `d` is smaller. Calibrate.
//! - Siblings: [`cusum`](super::cusum) measures against the reference; this one takes a machine as it comes, sees changes,
//!   and forgets a lasting one within about a thousand rows.
//! - Reference: Page (1954); Hinkley, "Inference about the change-point from cumulative sum tests", Biometrika 58 (1971).
//!
//! ```
//! use driftgate::drift::chart::page_hinkley::PageHinkley;
//! let mut chart = PageHinkley::new(1);
//! for _ in 0..100 {
//!     chart.push(&[0.0]);
//! }
//! assert_eq!(chart.value(), 0.0);
//! chart.push(&[2.0]);
//! assert!((chart.value() - (2.0 - 2.0 / 101.0 - 0.25)).abs() < 1e-12);
//! ```

use serde::{Deserialize, Serialize};

/// Tolerated change in standard deviations.
pub const TOLERATED: f64 = 0.25;
/// Rows before the first value.
pub const WARM_UP: u32 = 30;
/// Rows the mean remembers at most.
pub const MEMORY: u32 = 1_000;
/// Largest sum.
pub const CAP: f64 = 1_000.0;

/// One alarm in about 100,000 independent rows over all columns (Siegmund).
pub fn default_threshold(columns: usize) -> f64 {
    (1e5 * columns.max(1) as f64 * 2.0 * 2.0 * TOLERATED * TOLERATED).ln() / (2.0 * TOLERATED) - 1.166
}

/// The running chart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PageHinkley {
    columns: Vec<Column>,
}

#[derive(Copy, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Column {
    rows: u32,
    mean: f64,
    up: f64,
    down: f64,
}

impl PageHinkley {
    pub fn new(columns: usize) -> Self {
        Self { columns: vec![Column::default(); columns] }
    }

    /// One row of residuals; NaN leaves a column as it is.
    pub fn push(&mut self, residuals: &[f64]) {
        for (c, z) in self.columns.iter_mut().zip(residuals) {
            if z.is_finite() {
                c.rows = (c.rows + 1).min(MEMORY);
                c.mean += (z - c.mean) / f64::from(c.rows);
                c.up = (c.up + z - c.mean - TOLERATED).clamp(0.0, CAP);
                c.down = (c.down - z + c.mean - TOLERATED).clamp(0.0, CAP);
            }
        }
    }

    pub fn value(&self) -> f64 {
        (0..self.columns.len()).map(|k| self.column(k)).fold(f64::NAN, f64::max)
    }

    pub fn column(&self, k: usize) -> f64 {
        let c = &self.columns[k];
        if c.rows < WARM_UP { f64::NAN } else { c.up.max(c.down) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_a_level_as_it_comes_and_sees_it_change() {
        let mut chart = PageHinkley::new(1);
        (0..500).for_each(|_| chart.push(&[3.0]));
        assert_eq!(chart.value(), 0.0, "no reference: 3 is where this machine stands");
        (0..40).for_each(|_| chart.push(&[2.0]));
        assert!(chart.value() > 20.0, "{}", chart.value());
        (0..20_000).for_each(|_| chart.push(&[2.0]));
        assert_eq!(chart.value(), 0.0, "a lasting change becomes the mean");
    }
}
