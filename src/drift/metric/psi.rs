//! Population stability index: the symmetric relative entropy of two binned distributions.
//!
//! Formula: `PSI = sum_i (p_i - q_i) ln(p_i / q_i)` over the cells, p the reference's share and q the current one's. Range: 0 upward.
//!
//! Cells: of numbers, those frozen with the reference (about nine of equal share, the outer ones open; values with much of the
//! reference on their own); of classes, one each. An empty cell counts as half an observation, but never as more than
//! the share on the other side, so a rare class that is absent from a small sample weighs nothing.
//!
//! Behaviour: 0.1 is read as a slight, 0.25 as a marked change. Limits: noise alone gives about `(cells - 1) (1/n + 1/m)`: with nine
//! cells and m = 100 that is 0.09, close to the default threshold. Changes inside a cell are not seen.
//! Siblings: [`super::kullback_leibler`] (one direction), [`super::jensen_shannon`] and [`super::hellinger`] (bounded).
//! Reference: Kullback and Leibler, On information and sufficiency, 1951 (their divergence J).
//!
//! ```
//! use driftgate::drift::metric::{Metric, categorical};
//!
//! let outcome = categorical(Metric::Psi, &[50, 50], &[25, 75]).unwrap();
//! assert!((outcome.score - 0.25 * 3f64.ln()).abs() < 1e-15);
//! ```

use super::{NotApplicable, Outcome};

/// The index of shares without zeros.
pub(super) fn of_shares(p: &[f64], q: &[f64]) -> Result<Outcome, NotApplicable> {
    Outcome::distance(p.iter().zip(q).filter(|(p, q)| p != q).map(|(p, q)| (p - q) * (p / q).ln()).sum())
}
