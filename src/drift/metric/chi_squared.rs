//! Pearson's chi-squared test of homogeneity: do both samples have the same shares of classes?
//!
//! Formula: `X^2 = sum (observed - expected)^2 / expected` over both rows of the 2 x K table, expected from the margins, without
//! Yates' correction; p from chi-squared with K - 1 degrees of freedom, K the classes seen on either side.
//!
//! Behaviour: both samples count as samples; a class unseen in one of them has an expected count and so a finite answer. One class on
//! both sides is p = 1. Limits: expected counts below 5 make the p-value rough: [`super::fisher_exact`] then.
//! Threshold: p <= 0.05 by default.
//! Siblings: [`super::g_test`] (likelihood ratio), [`super::z_test`] (two classes: the same p), [`super::total_variation`] (by permutation).
//! Reference: Pearson 1900; Agresti, Categorical Data Analysis, 2013, section 3.2.
//!
//! ```
//! use driftgate::drift::metric::{Metric, categorical};
//!
//! let outcome = categorical(Metric::ChiSquared, &[50, 0], &[0, 50]).unwrap();
//! assert_eq!(outcome.statistic, 100.0);
//! assert!((outcome.score / 1.5239706048321e-23 - 1.0).abs() < 1e-10);
//! ```

use super::counts::Counts;
use super::special::chi_squared_sf;
use super::{NotApplicable, Outcome};

/// The test of homogeneity.
///
/// # Errors
/// As [`super::categorical`].
pub fn test(reference: &[u64], current: &[u64]) -> Result<Outcome, NotApplicable> {
    let counts = Counts::new(reference, current)?;
    let (n, m) = counts.totals();
    // both rows of one class together: (r m - c n)^2 / (n m (r + c))
    let statistic: f64 = counts.seen().map(|(r, c)| (r * m - c * n) * ((r * m - c * n) / (n * m * (r + c)))).sum();
    p_value(statistic, counts.classes())
}

/// Goodness of fit: the reference's shares taken as exact. Drops as soon as a class is new; kept for comparison with programs that
/// do so. Statistic and p; `None` where there is one class only.
pub(super) fn goodness_of_fit(counts: &Counts) -> Option<(f64, f64)> {
    let (n, m) = counts.totals();
    let statistic: f64 = counts.seen().map(|(r, c)| (c - r * m / n) * ((c - r * m / n) / (r * m / n))).sum();
    (counts.classes() > 1).then(|| (statistic, chi_squared_sf(statistic, (counts.classes() - 1) as f64)))
}

/// p of a chi-squared statistic over so many classes.
pub(super) fn p_value(statistic: f64, classes: usize) -> Result<Outcome, NotApplicable> {
    let p = if classes > 1 { chi_squared_sf(statistic, (classes - 1) as f64) } else { 1.0 };
    Outcome::p(statistic, p)
}
