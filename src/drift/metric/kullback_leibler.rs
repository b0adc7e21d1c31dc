//! Kullback-Leibler divergence of the current shares from the reference's.
//!
//! Formula: `KL = sum_i p_i ln(p_i / q_i)` in nats over the cells, p the reference's share and q the current one's, both scaled to a sum of 1
//! after filling. Range: 0 upward.
//!
//! Cells and the filling of empty ones: as in [`super::psi`]. Behaviour: asymmetric; most sensitive to cells that the current sample
//! has left. Limits: noise alone gives about `(cells - 1)/2 (1/n + 1/m)`. Threshold: 0.1 by default.
//! Siblings: [`super::psi`] (both directions added), [`super::jensen_shannon`] (bounded).
//! Reference: Kullback and Leibler, On information and sufficiency, 1951.
//!
//! ```
//! use driftgate::drift::metric::{Metric, categorical};
//!
//! let outcome = categorical(Metric::KullbackLeibler, &[50, 50], &[25, 75]).unwrap();
//! assert!((outcome.score - 0.5 * (4.0 / 3.0f64).ln()).abs() < 1e-15);
//! ```

use super::{NotApplicable, Outcome};

/// The divergence of shares without one-sided zeros that each sum to 1.
pub(super) fn of_shares(p: &[f64], q: &[f64]) -> Result<Outcome, NotApplicable> {
    Outcome::distance(p.iter().zip(q).filter(|(p, q)| p != q).map(|(p, q)| p * (p / q).ln()).sum())
}
