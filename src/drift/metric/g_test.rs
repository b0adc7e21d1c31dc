//! G-test of homogeneity: the likelihood-ratio form of the chi-squared test.
//!
//! Formula: `G = 2 sum observed ln(observed / expected)` over both rows of the 2 x K table, expected from the margins; p from chi-squared
//! with K - 1 degrees of freedom.
//!
//! Behaviour: near [`super::chi_squared`] for large counts; additive over independent tables. The two samples may differ in size. Limits:
//! too ready to reject where expected counts are below 5. Threshold: p <= 0.05 by default.
//! Siblings: [`super::chi_squared`], [`super::jensen_shannon`] (for n = m, G = 4 n JSD).
//! Reference: Wilks 1938; Agresti, Categorical Data Analysis, 2013, section 3.2.
//!
//! ```
//! use driftgate::drift::metric::{Metric, categorical};
//!
//! let outcome = categorical(Metric::GTest, &[50, 0], &[0, 50]).unwrap();
//! assert!((outcome.statistic - 200.0 * 2f64.ln()).abs() < 1e-12);
//! ```

use super::counts::Counts;
use super::special::chi_squared_sf;
use super::{NotApplicable, Outcome, chi_squared};

/// The test of homogeneity.
///
/// # Errors
/// As [`super::categorical`].
pub fn test(reference: &[u64], current: &[u64]) -> Result<Outcome, NotApplicable> {
    let counts = Counts::new(reference, current)?;
    let (n, m) = counts.totals();
    let term = |observed: f64, total: f64, both: f64| {
        if observed > 0.0 { observed * (observed * (n + m) / (total * both)).ln() } else { 0.0 }
    };
    let statistic = 2.0 * counts.seen().map(|(r, c)| term(r, n, r + c) + term(c, m, r + c)).sum::<f64>();
    chi_squared::p_value(statistic.max(0.0), counts.classes())
}

/// Goodness of fit to the reference's counts taken as exact: statistic and p; `None` where there is one class only.
pub(super) fn goodness_of_fit(counts: &Counts) -> Option<(f64, f64)> {
    let (n, m) = counts.totals();
    let term = |(r, c): (f64, f64)| if c > 0.0 { c * (c * n / (r * m)).ln() } else { 0.0 };
    let statistic = 2.0 * counts.seen().map(term).sum::<f64>();
    (counts.classes() > 1).then(|| (statistic, chi_squared_sf(statistic, (counts.classes() - 1) as f64)))
}
