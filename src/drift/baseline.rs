use serde::{Deserialize, Serialize};

/// A machine's own offset against references that were learned on other machines: the mean residual of its first rows.
///
/// ```text
///   learning (rows kept) ──── `rows` judged rows ────▶ complete (offset fixed)
/// ```
/// Each residual counts at most [`super::chart::CLIP`] away from the median of its column, so that a spike in these rows
/// does not become the machine's normal. Rows of any regime count: residuals are regime-normalised.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    rows: usize,
    columns: usize,
    /// Residuals so far, row by row; empty once complete.
    kept: Vec<f64>,
    /// One a column; zeros until complete.
    offset: Vec<f64>,
    complete: bool,
}

impl Baseline {
    /// Learns from the first `rows` rows; 0: no offset.
    pub fn new(rows: usize, columns: usize) -> Self {
        Self { rows, columns, kept: Vec::with_capacity(rows * columns), offset: vec![0.0; columns], complete: rows == 0 }
    }

    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Whether it learns, or has learned, from any rows.
    pub fn is_used(&self) -> bool {
        self.rows > 0
    }

    /// Rows that it learns from.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Mean residual of each column; 0 until complete, or where a column had no values.
    pub fn offset(&self) -> &[f64] {
        &self.offset
    }

    /// One row of residuals, NaN where missing.
    pub fn learn(&mut self, residuals: &[f64]) {
        if self.complete {
            return;
        }
        self.kept.extend_from_slice(residuals);
        if self.kept.len() < self.rows * self.columns {
            return;
        }
        for (k, offset) in self.offset.iter_mut().enumerate() {
            let mut column: Vec<f64> = self.kept.iter().skip(k).step_by(self.columns).copied().filter(|z| z.is_finite()).collect();
            *offset = clipped_mean(&mut column);
        }
        self.kept = Vec::new();
        self.complete = true;
    }

    /// Starts again, with another number of rows.
    pub fn reset(&mut self, rows: usize) {
        *self = Self::new(rows, self.columns);
    }
}

fn clipped_mean(values: &mut [f64]) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    values.sort_unstable_by(f64::total_cmp);
    let middle = values[values.len() / 2];
    let clip = super::chart::CLIP;
    values.iter().map(|z| z.clamp(middle - clip, middle + clip)).sum::<f64>() / values.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_of_the_first_rows_without_their_spikes() {
        let mut baseline = Baseline::new(4, 2);
        for z in [5.0, 5.5, 100.0, 5.5] {
            assert!(!baseline.is_complete() && baseline.offset() == [0.0, 0.0]);
            baseline.learn(&[z, f64::NAN]);
        }
        assert!(baseline.is_complete());
        assert_eq!(baseline.offset(), [(5.0 + 5.5 + 5.5 + 9.5) / 4.0, 0.0]);
        baseline.learn(&[0.0, 0.0]);
        assert_eq!(baseline.offset()[0], 6.375, "fixed");
        assert!(Baseline::new(0, 3).is_complete());
    }
}
