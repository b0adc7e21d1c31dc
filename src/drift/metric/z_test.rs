//! Z-test of two proportions: has the share of the second class changed?
//!
//! Formula: `z = (p1 - p2) / s`. Pooled: `s^2 = P (1 - P) (1/n + 1/m)` with P the share in both samples together; unpooled:
//! `s^2 = p1 (1 - p1)/n + p2 (1 - p2)/m`. p = 2 P(Z >= |z|), computed in the tail: no underflow before |z| = 38.
//!
//! Behaviour: two-sided; the pooled form gives the p-value of [`super::chi_squared`]. Limits: exactly two classes (one class on both sides
//! is p = 1); wants five of each class. The unpooled form has no answer where neither sample varies. Threshold: p <= 0.05 by default.
//! Siblings: [`super::chi_squared`] (any number of classes), [`super::fisher_exact`] (small counts).
//! Reference: Agresti, Categorical Data Analysis, 2013, section 3.1.
//!
//! ```
//! use driftgate::drift::metric::{Metric, categorical};
//!
//! let outcome = categorical(Metric::ZTest, &[30, 20], &[0, 50]).unwrap();
//! assert!((outcome.statistic + 6.54653670707977).abs() < 1e-13);
//! assert!((outcome.score / 5.88866804957198e-11 - 1.0).abs() < 1e-12);
//! ```

use super::counts::Counts;
use super::special::normal_sf;
use super::{NotApplicable, Outcome};

/// Which standard error is used.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum Variance {
    #[default]
    Pooled,
    Unpooled,
}

/// The test. Statistic: z, positive where the reference has the larger share of the second class that occurs.
///
/// # Errors
/// As [`super::categorical`]; [`NotApplicable::TooManyClasses`]; unpooled: [`NotApplicable::Constant`] where neither sample varies.
pub fn test(reference: &[u64], current: &[u64], variance: Variance) -> Result<Outcome, NotApplicable> {
    let counts = Counts::new(reference, current)?;
    let mut pairs = counts.seen();
    let (Some(_), second, None) = (pairs.next(), pairs.next(), pairs.next()) else {
        return Err(NotApplicable::TooManyClasses { have: counts.classes(), most: 2 });
    };
    let Some((r, c)) = second else { return Outcome::p(0.0, 1.0) };
    let z = statistic(r, c, counts.totals(), variance).ok_or(NotApplicable::Constant)?;
    Outcome::p(z, 2.0 * normal_sf(z.abs()))
}

/// z of r among n against c among m; `None` where the standard error is 0.
pub(super) fn statistic(r: f64, c: f64, (n, m): (f64, f64), variance: Variance) -> Option<f64> {
    let (p1, p2) = (r / n, c / m);
    let both = (r + c) / (n + m);
    let square = match variance {
        Variance::Pooled => both * (1.0 - both) * (1.0 / n + 1.0 / m),
        Variance::Unpooled => p1 * (1.0 - p1) / n + p2 * (1.0 - p2) / m,
    };
    (square > 0.0).then(|| (p1 - p2) / square.sqrt())
}
