//! Named checks, as in a test suite: each looks at the same rows as the monitors, holds one figure against one limit, and passes
//! or fails. Pure; the rows come from whoever keeps them.
//!
//! | check | its figure | default limit |
//! |---|---|---|
//! | `range` | share of values outside a range: a stated one, or the one that the reference spans | 0 |
//! | `missing_share` | share of rows without a value | 0.05 |
//! | `mean_in_band` | distance of the mean from the reference's, in standard deviations of the reference | 2 |
//! | `drifted_share` | share of features whose tests exceed their threshold | 0.5 |
//!
//! A check passes where its figure is at most its limit. Where it has no answer (no reference, no values) it neither passes nor
//! fails.

use std::sync::Arc;

use crate::drift::metric::Reference;

/// What a check measures.
#[derive(Copy, Clone, Debug, PartialEq)]
pub enum CheckKind {
    /// Share of values outside; `None`: outside what the reference spans.
    Range(Option<(f64, f64)>),
    /// Share of rows without a value, 0..1.
    MissingShare,
    /// Distance of the mean from the reference's mean, in the reference's standard deviations; a reference that is constant allows
    /// no distance.
    MeanInBand,
    /// Share of the features that exceed their thresholds, 0..1.
    DriftedShare,
}

impl CheckKind {
    /// Word of the configuration, and in reports and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Range(_) => "range",
            Self::MissingShare => "missing_share",
            Self::MeanInBand => "mean_in_band",
            Self::DriftedShare => "drifted_share",
        }
    }

    /// The limit where none is stated.
    pub const fn default_limit(self) -> f64 {
        match self {
            Self::Range(_) => 0.0,
            Self::MissingShare => 0.05,
            Self::MeanInBand => 2.0,
            Self::DriftedShare => 0.5,
        }
    }

    /// The highest limit that means anything: shares end at 1.
    pub const fn highest_limit(self) -> f64 {
        match self {
            Self::Range(_) | Self::MissingShare | Self::DriftedShare => 1.0,
            Self::MeanInBand => 1e6,
        }
    }

    /// The figure of one column; NaN where it has none. Values without a number are NaN.
    ///
    /// ```
    /// use driftgate::checks::CheckKind;
    /// use driftgate::drift::metric::Reference;
    /// let reference = Reference::new(&[1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
    /// let values = [3.0, f64::NAN, 6.0, 4.0];
    /// assert_eq!(CheckKind::Range(None).figure(&values, Some(&reference)), 1.0 / 3.0);
    /// assert_eq!(CheckKind::Range(Some((0.0, 10.0))).figure(&values, None), 0.0);
    /// assert_eq!(CheckKind::MissingShare.figure(&values, None), 0.25);
    /// // (13/3 - 3) / sqrt(2.5)
    /// assert!((CheckKind::MeanInBand.figure(&values, Some(&reference)) - 0.8432740427).abs() < 1e-9);
    /// assert!(CheckKind::MeanInBand.figure(&values, None).is_nan());
    /// ```
    pub fn figure(self, values: &[f64], reference: Option<&Reference>) -> f64 {
        if values.is_empty() {
            return f64::NAN;
        }
        let present = || values.iter().copied().filter(|x| x.is_finite());
        let n = present().count();
        match self {
            Self::MissingShare => (values.len() - n) as f64 / values.len() as f64,
            // Of a monitor's result, not of values.
            Self::DriftedShare => f64::NAN,
            _ if n == 0 => f64::NAN,
            Self::Range(stated) => {
                let Some((low, high)) = stated.or(reference.map(Reference::range)) else { return f64::NAN };
                present().filter(|x| *x < low || *x > high).count() as f64 / n as f64
            }
            Self::MeanInBand => reference.map_or(f64::NAN, |r| distance(present().sum::<f64>() / n as f64, r)),
        }
    }
}

/// Largest distance that is stated: from a constant reference any other value is infinitely far.
const FARTHEST: f64 = 1e9;

fn distance(mean: f64, reference: &Reference) -> f64 {
    let off = (mean - reference.mean()).abs();
    // A constant's mean is exact up to rounding.
    if off <= 1e-12 * reference.mean().abs() { 0.0 } else { (off / reference.sd()).min(FARTHEST) }
}

/// A check by its name.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// `[A-Za-z][A-Za-z0-9_]{0,31}`: a segment of node ids.
    pub name: Arc<str>,
    pub kind: CheckKind,
    /// Which column (feature); `None`: all of them, the worst counts.
    pub column: Option<usize>,
    /// At least 0; the check fails beyond.
    pub limit: f64,
}

/// What one look of a check brought.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct CheckResult {
    /// NaN where it has none.
    pub value: f64,
    /// `None` where there is no answer.
    pub passed: Option<bool>,
    /// The column with the largest figure; `None` for a share of columns.
    pub column: Option<usize>,
}

impl CheckResult {
    /// Before the first look, or without an answer.
    pub const NONE: Self = Self { value: f64::NAN, passed: None, column: None };
}

impl Check {
    /// Looks at columns: `figure` gives that of one column, NaN where it has none.
    pub fn of_columns(&self, columns: usize, mut figure: impl FnMut(usize) -> f64) -> CheckResult {
        let mut worst = CheckResult::NONE;
        let range = self.column.map_or(0..columns, |k| k..(k + 1).min(columns));
        for k in range {
            let value = figure(k);
            if value.is_finite() && (worst.passed.is_none() || value > worst.value) {
                worst = CheckResult { value, passed: Some(value <= self.limit), column: Some(k) };
            }
        }
        worst
    }

    /// Looks at a share of columns.
    pub fn of_share(&self, share: f64) -> CheckResult {
        CheckResult { value: share, passed: share.is_finite().then_some(share <= self.limit), column: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: CheckKind, column: Option<usize>) -> Check {
        Check { name: "C".into(), kind, column, limit: kind.default_limit() }
    }

    #[test]
    fn the_worst_column_counts() {
        let missing = [0.0, 0.3, f64::NAN, 0.1];
        let all = check(CheckKind::MissingShare, None).of_columns(4, |k| missing[k]);
        assert_eq!(all, CheckResult { value: 0.3, passed: Some(false), column: Some(1) });
        let one = check(CheckKind::MissingShare, Some(0)).of_columns(4, |k| missing[k]);
        assert_eq!(one, CheckResult { value: 0.0, passed: Some(true), column: Some(0) });
        let none = check(CheckKind::MissingShare, Some(2)).of_columns(4, |k| missing[k]);
        assert_eq!((none.passed, none.column), (None, None));
        // A column that is not there has no answer.
        assert_eq!(check(CheckKind::MissingShare, Some(9)).of_columns(4, |k| missing[k]).passed, None);
    }

    #[test]
    fn a_limit_is_inclusive() {
        let share = check(CheckKind::DriftedShare, None);
        assert_eq!(share.of_share(0.5).passed, Some(true));
        assert_eq!(share.of_share(0.51).passed, Some(false));
        assert_eq!(share.of_share(f64::NAN).passed, None);
    }

    #[test]
    fn a_constant_reference_allows_no_distance() {
        let constant = Reference::new(&[4.0; 10]).unwrap();
        let band = CheckKind::MeanInBand;
        assert_eq!(band.figure(&[4.0, 4.0], Some(&constant)), 0.0);
        assert_eq!(band.figure(&[4.0, 4.1], Some(&constant)), FARTHEST);
        assert_eq!(CheckKind::Range(None).figure(&[4.0, 4.1], Some(&constant)), 0.5);
    }

    #[test]
    fn without_values_there_is_no_answer() {
        for kind in [CheckKind::Range(Some((0.0, 1.0))), CheckKind::MissingShare, CheckKind::MeanInBand] {
            assert!(kind.figure(&[], None).is_nan());
        }
        let nothing = [f64::NAN, f64::INFINITY];
        assert_eq!(CheckKind::MissingShare.figure(&nothing, None), 1.0);
        assert!(CheckKind::Range(Some((0.0, 1.0))).figure(&nothing, None).is_nan());
    }
}
