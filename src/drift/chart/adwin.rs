//! ADWIN: an adaptive window; is there a place to cut it where both parts differ in their mean?
//!
//! For each cut of the window into n0 older and n1 newer rows with means m0, m1, and the window's variance v, the bound of
//! the method is `|m0 - m1| >= sqrt(2 v L / m) + 2 L / (3 m)`, `1/m = 1/n0 + 1/n1`. The value is the largest L for which some
//! cut still holds; the threshold is `L = ln(2 ln(n) / delta)` of the literature. At the threshold the older part is dropped.
//!
//! - Parameters: at least [`MIN_PART`] rows on each side of a cut, cuts looked for every [`EVERY`] rows; residuals clipped at 4 sd.
//! - Range of the value: 0 and up, natural logarithm; held until the next look.
//! - Memory: [`PER_LEVEL`] buckets at each power of two, [`LEVELS`] levels: 160 buckets a column, whatever the number of rows;
//!   the window ends at about 10^8 rows.
//! - Warm-up: `2 MIN_PART` rows.
//! - False alarms: at most delta a look for independent rows of bounded size. On autocorrelated rows calibrate: each
//!   alarm makes it start anew, which the calibration follows.
//! - Siblings: [`page_hinkley`](super::page_hinkley) is cheaper; both take a machine as it comes and forget a lasting change,
//!   which [`ewma_t2`](super::ewma_t2) and [`cusum`](super::cusum) keep reporting.
//! - Reference: Bifet, Gavalda, "Learning from Time-Changing Data with Adaptive Windowing", SDM 2007.
//!
//! ```
//! use driftgate::drift::chart::adwin::Adwin;
//! let mut chart = Adwin::new(1);
//! for i in 0..200 {
//!     chart.push(&[if i % 2 == 0 { 1.0 } else { -1.0 }], 10.0);
//! }
//! assert!(chart.value() < 0.5);
//! for i in 0..40 {
//!     chart.push(&[if i % 2 == 0 { 4.0 } else { 2.0 }], 1e9);
//! }
//! assert!(chart.value() > 10.0);
//! ```

use serde::{Deserialize, Serialize};

/// Rows on each side of a cut at least.
pub const MIN_PART: f64 = 10.0;
/// Rows between two looks for a cut.
pub const EVERY: u32 = 4;
/// Buckets of the same size before two are merged.
pub const PER_LEVEL: usize = 5;
/// Sizes of buckets: 1, 2, 4, ... 2^(LEVELS - 1) rows.
pub const LEVELS: usize = 25;

/// delta = 1e-4 over all columns, at a window of 1,000 rows.
pub fn default_threshold(columns: usize) -> f64 {
    (2.0 * 1_000f64.ln() * columns.max(1) as f64 / 1e-4).ln()
}

/// The running chart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Adwin {
    columns: Vec<Column>,
    rows: u32,
}

/// Buckets oldest first: `2^level` rows each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Column {
    buckets: Vec<Bucket>,
    value: f64,
}

#[derive(Copy, Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Bucket {
    level: u8,
    sum: f64,
    squares: f64,
}

impl Adwin {
    pub fn new(columns: usize) -> Self {
        let column = || Column { buckets: Vec::with_capacity((PER_LEVEL + 1) * LEVELS), value: f64::NAN };
        Self { columns: (0..columns).map(|_| column()).collect(), rows: 0 }
    }

    /// One row of residuals; NaN leaves a column as it is. At a value of `threshold` the older part is dropped.
    pub fn push(&mut self, residuals: &[f64], threshold: f64) {
        self.rows = self.rows.wrapping_add(1);
        let look = self.rows.is_multiple_of(EVERY);
        for (column, z) in self.columns.iter_mut().zip(residuals) {
            if z.is_finite() {
                column.push(*z);
                if look {
                    column.look(threshold);
                }
            }
        }
    }

    pub fn value(&self) -> f64 {
        self.columns.iter().map(|c| c.value).fold(f64::NAN, f64::max)
    }

    pub fn column(&self, k: usize) -> f64 {
        self.columns[k].value
    }
}

impl Column {
    fn push(&mut self, z: f64) {
        self.buckets.push(Bucket { level: 0, sum: z, squares: z * z });
        let mut end = self.buckets.len();
        for level in 0..LEVELS as u8 {
            let start = self.buckets[..end].iter().rposition(|b| b.level != level).map_or(0, |i| i + 1);
            if end - start <= PER_LEVEL {
                break;
            }
            if usize::from(level) + 1 == LEVELS {
                self.buckets.remove(start);
                break;
            }
            let newer = self.buckets.remove(start + 1);
            let older = &mut self.buckets[start];
            *older = Bucket { level: level + 1, sum: older.sum + newer.sum, squares: older.squares + newer.squares };
            end = start + 1;
        }
    }

    /// Looks at all cuts between buckets; drops the older part where the evidence reaches the threshold.
    fn look(&mut self, threshold: f64) {
        let total = |f: fn(&Bucket) -> f64| self.buckets.iter().map(f).sum::<f64>();
        let (n, sum) = (total(Bucket::rows), total(|b| b.sum));
        let variance = (total(|b| b.squares) / n - (sum / n) * (sum / n)).max(0.0);
        let (mut n0, mut s0, mut best) = (0.0, 0.0, (f64::NAN, 0));
        for (i, bucket) in self.buckets.iter().enumerate() {
            n0 += bucket.rows();
            s0 += bucket.sum;
            let n1 = n - n0;
            if n1 < MIN_PART {
                break;
            }
            // No cut is better than the best where already `d^2 m < 2 v L`, its bound without the second term.
            let difference = s0 * n - sum * n0;
            if n0 < MIN_PART || difference * difference < 2.0 * variance * best.0 * n0 * n1 * n {
                continue;
            }
            let evidence = evidence(s0 / n0 - (sum - s0) / n1, 1.0 / (1.0 / n0 + 1.0 / n1), variance);
            if best.0.is_nan() || evidence > best.0 {
                best = (evidence, i + 1);
            }
        }
        self.value = best.0;
        if best.0 >= threshold {
            self.buckets.drain(..best.1);
        }
    }
}

impl Bucket {
    fn rows(&self) -> f64 {
        f64::from(1u32 << self.level)
    }
}

/// The L that solves `d = sqrt(2 v L / m) + 2 L / (3 m)`.
fn evidence(d: f64, m: f64, variance: f64) -> f64 {
    let b = (2.0 * variance / m).sqrt();
    let a = 2.0 / (3.0 * m);
    let root = ((b * b + 4.0 * a * d.abs()).sqrt() - b) / (2.0 * a);
    root * root
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_solves_the_bound() {
        for (d, m, v) in [(0.5, 20.0, 1.0), (2.0, 7.0, 0.0), (0.0, 5.0, 1.0)] {
            let l = evidence(d, m, v);
            assert!(((2.0 * v * l / m).sqrt() + 2.0 * l / (3.0 * m) - d).abs() < 1e-12);
        }
    }

    #[test]
    fn memory_is_bounded_and_no_row_is_lost() {
        let mut column = Column { buckets: vec![], value: f64::NAN };
        for i in 0..20_000 {
            column.push(f64::from(i));
            assert!(column.buckets.windows(2).all(|b| b[0].level >= b[1].level), "oldest and largest first");
        }
        assert!(column.buckets.len() <= PER_LEVEL * 14, "{}", column.buckets.len());
        assert_eq!(column.buckets.iter().map(Bucket::rows).sum::<f64>(), 20_000.0);
        assert_eq!(column.buckets.iter().map(|b| b.sum).sum::<f64>(), f64::from(20_000 / 2) * 19_999.0);
    }

    #[test]
    fn a_cut_drops_the_older_part() {
        let mut chart = Adwin::new(1);
        let threshold = default_threshold(1);
        let wave = |i: i32, level: f64| level + if i % 2 == 0 { 1.0 } else { -1.0 };
        (0..400).for_each(|i| chart.push(&[wave(i, 0.0)], threshold));
        let mut alarms = 0;
        for i in 0..400 {
            chart.push(&[wave(i, 2.0)], threshold);
            alarms += u32::from(chart.value() >= threshold);
        }
        assert!(alarms > 0, "the change is seen");
        assert!(chart.value() < threshold, "and then the window holds the new level only");
    }
}
