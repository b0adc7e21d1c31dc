//! t-test of the means.
//!
//! Formula: `t = (mean x - mean y) / s`. Welch (default): `s^2 = sx^2/n + sy^2/m` with the degrees of freedom of Welch and Satterthwaite;
//! Student: the pooled variance with n + m - 2. Two-sided p.
//!
//! Parameters: [`Variances`]. Behaviour: the most power against a shift of nearly normal values. Limits: blind to everything but the mean;
//! one outlier hides much. No spread in either sample: [`NotApplicable::Constant`]. Threshold: p <= 0.05 by default.
//! Siblings: [`super::mann_whitney_u`] (by ranks), [`super::kolmogorov_smirnov`] (any change).
//! Reference: Student 1908; Welch, The generalization of Student's problem, 1947.
//!
//! ```
//! use driftgate::drift::metric::{Metric, Reference, Scratch, numerical};
//!
//! let reference = Reference::new(&[1.0, 2.0, 3.0, 4.0]).unwrap();
//! let outcome = numerical(Metric::TTest, &reference, &[3.0, 4.0, 5.0, 9.0], &mut Scratch::new()).unwrap();
//! assert!((outcome.statistic + 1.8773044091622955).abs() < 1e-14);
//! assert!((outcome.score - 0.1276804127833926).abs() < 1e-13);
//! ```

use super::moments::{Moments, unit};
use super::special::student_two_sided;
use super::{NotApplicable, Outcome, Reference};

/// What is assumed of the two variances.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum Variances {
    /// They may differ (Welch).
    #[default]
    Any,
    /// They are equal (Student).
    Equal,
}

/// The test. Statistic: t, positive where the reference's mean is larger.
///
/// # Errors
/// [`NotApplicable::TooFew`] below two values in either sample; [`NotApplicable::Constant`].
pub fn test(reference: &Reference, current: &[f64], variances: Variances) -> Result<Outcome, NotApplicable> {
    let (n, m) = (reference.len() as f64, current.len() as f64);
    if n.min(m) < 2.0 {
        return Err(NotApplicable::TooFew { have: reference.len().min(current.len()), need: 2 });
    }
    let (x, y) = moments(reference, current);
    let (vx, vy) = (x.variance_in_unit() * n / (n - 1.0), y.variance_in_unit() * m / (m - 1.0));
    let (square, df) = match variances {
        Variances::Any => {
            let (a, b) = (vx / n, vy / m);
            let sum = a + b;
            // shares instead of squares: nothing underflows
            (sum, 1.0 / ((a / sum).powi(2) / (n - 1.0) + (b / sum).powi(2) / (m - 1.0)))
        }
        Variances::Equal => (((n - 1.0) * vx + (m - 1.0) * vy) / (n + m - 2.0) * (1.0 / n + 1.0 / m), n + m - 2.0),
    };
    if square <= 0.0 {
        return Err(NotApplicable::Constant);
    }
    let t = (x.mean_in_unit() - y.mean_in_unit()) / square.sqrt();
    Outcome::p(t, student_two_sided(t, df))
}

/// Moments of both in one unit.
fn moments(reference: &Reference, current: &[f64]) -> (Moments, Moments) {
    let known = *reference.moments();
    if unit(current) <= known.unit() {
        (known, Moments::in_unit(current, known.unit()))
    } else {
        (Moments::in_unit(reference.sorted(), unit(current)), Moments::of(current))
    }
}
