//! What a sample is like: for reports and checks, beside what the metrics say.

use crate::drift::calibrate::memory;

/// Values that the memory is estimated from at most: the last ones.
const MEMORY_FROM: usize = 4_000;

/// One side of a column in a regime. Numbers are `None` for classes, and where there is no value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Statistics {
    /// Rows of the regime on this side, with or without a value.
    pub rows: usize,
    /// Values.
    pub n: usize,
    /// Independent values that say as much about the mean: n over the memory of the values in their order.
    pub effective_n: Option<f64>,
    pub mean: Option<f64>,
    /// Divisor n - 1.
    pub sd: Option<f64>,
    pub median: Option<f64>,
}

impl Statistics {
    /// Of numbers in the order of their rows, and the same ascending.
    pub(super) fn of_numbers(rows: usize, values: &[f64], sorted: &[f64], mean: f64, sd: f64) -> Self {
        let finite = |x: f64| Some(x).filter(|x| x.is_finite() && !sorted.is_empty());
        let recent = &values[values.len().saturating_sub(MEMORY_FROM)..];
        let middle = |k: usize| sorted.get(k).copied().unwrap_or(f64::NAN);
        let (below, above) = (middle(sorted.len().saturating_sub(1) / 2), middle(sorted.len() / 2));
        let n = values.len();
        Self {
            rows,
            n,
            effective_n: finite(n as f64 / memory(recent)).map(|e| e.clamp(1.0, n as f64)),
            mean: finite(mean),
            sd: finite(sd),
            median: finite(below / 2.0 + above / 2.0),
        }
    }

    pub(super) fn of_classes(rows: usize, counts: &[u64]) -> Self {
        Self { rows, n: counts.iter().sum::<u64>() as usize, ..Self::default() }
    }

    /// Share of rows without a value, 0..=1; `None` without rows.
    pub fn missing(&self) -> Option<f64> {
        (self.rows > 0).then(|| 1.0 - self.n as f64 / self.rows as f64)
    }

    /// Standard error of the mean.
    pub fn standard_error(&self) -> Option<f64> {
        Some(self.sd? / self.effective_n?.sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_follow_each_other_count_less() {
        let noise: Vec<f64> = (0..500).map(|i| (f64::from(i) * 0.754_877_666).fract()).collect();
        let mut slow = vec![0.0; 500];
        (1..500).for_each(|i| slow[i] = 0.9 * slow[i - 1] + noise[i] - 0.5 + 0.3 * (i as f64 * 0.05).sin());
        let of = |values: &[f64]| {
            let mut sorted = values.to_vec();
            sorted.sort_unstable_by(f64::total_cmp);
            Statistics::of_numbers(510, values, &sorted, 0.5, 0.1)
        };
        let (a, b) = (of(&noise), of(&slow));
        assert!(a.effective_n.unwrap() > 300.0 && b.effective_n.unwrap() < 100.0, "{a:?} {b:?}");
        assert!(b.standard_error() > a.standard_error());
        assert!((a.missing().unwrap() - 10.0 / 510.0).abs() < 1e-12);
        assert!((a.median.unwrap() - 0.5).abs() < 0.01);
    }

    #[test]
    fn nothing_has_no_statistics() {
        let none = Statistics::of_numbers(3, &[], &[], f64::NAN, f64::NAN);
        assert_eq!((none.mean, none.median, none.effective_n, none.missing()), (None, None, None, Some(1.0)));
        assert_eq!(Statistics::default().missing(), None);
    }
}
