//! Jensen-Shannon distance: how far both distributions are from their mean.
//!
//! Formula: `JS = sqrt(KL(p | m)/2 + KL(q | m)/2)` with `m = (p + q)/2`, in nats. Range: 0 to sqrt(ln 2) = 0.8326; a metric.
//!
//! Cells: as in [`super::psi`], but empty ones need no filling. Behaviour: bounded and symmetric; robust to cells that are empty on one
//! side. Limits: noise alone gives about `sqrt((cells - 1)/8 (1/n + 1/m))`: with nine cells and m = 100 that is 0.1. Threshold: 0.1 by default.
//! Siblings: [`super::hellinger`] (nearly proportional for small changes), [`super::psi`].
//! Reference: Lin 1991; Endres and Schindelin 2003.
//!
//! ```
//! use driftgate::drift::metric::{Metric, categorical};
//!
//! let outcome = categorical(Metric::JensenShannon, &[10, 0], &[0, 20]).unwrap();
//! assert!((outcome.score - 2f64.ln().sqrt()).abs() < 1e-15);
//! ```

use super::{NotApplicable, Outcome};

/// The distance of shares.
pub(super) fn of_shares(p: &[f64], q: &[f64]) -> Result<Outcome, NotApplicable> {
    // a ln(a / m) is 0 for a = 0
    let term = |a: f64, m: f64| if a > 0.0 { a * (a / m).ln() } else { 0.0 };
    let divergence: f64 = p
        .iter()
        .zip(q)
        .filter(|(p, q)| p != q)
        .map(|(p, q)| {
            let m = 0.5 * (p + q);
            term(*p, m) + term(*q, m)
        })
        .sum();
    Outcome::distance((0.5 * divergence).max(0.0).sqrt())
}
