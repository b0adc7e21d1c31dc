//! Hellinger distance between shares.
//!
//! Formula: `H = sqrt(1/2 sum_i (sqrt p_i - sqrt q_i)^2)`, equal to `sqrt(1 - sum_i sqrt(p_i q_i))` but without its loss of digits near 0.
//! Range: 0..=1; a metric.
//!
//! Cells: as in [`super::psi`], but empty ones need no filling. Limits: noise alone gives about `sqrt((cells - 1)/8 (1/n + 1/m))`.
//! Threshold: 0.1 by default.
//! Siblings: [`super::jensen_shannon`], [`super::total_variation`] (`H^2 <= TVD <= H sqrt 2`).
//! Reference: Hellinger 1909; Le Cam, Asymptotic Methods in Statistical Decision Theory, 1986.
//!
//! ```
//! use driftgate::drift::metric::{Metric, categorical};
//!
//! let outcome = categorical(Metric::Hellinger, &[8, 2], &[1, 9]).unwrap();
//! assert!((outcome.score - 0.541196100146197).abs() < 1e-14);
//! ```

use super::{NotApplicable, Outcome};

/// The distance of shares.
pub(super) fn of_shares(p: &[f64], q: &[f64]) -> Result<Outcome, NotApplicable> {
    let square = |(p, q): (&f64, &f64)| (p.sqrt() - q.sqrt()).powi(2);
    let sum: f64 = p.iter().zip(q).map(square).sum();
    Outcome::distance((0.5 * sum).sqrt().min(1.0))
}
