//! Energy distance, free of the unit: the squared gaps of the distribution functions in units of the pooled spread.
//!
//! Formula: `E = sqrt(2/s integral (F(v) - G(v))^2 dv)`, s the standard deviation (divisor N) of both samples put together. Without the
//! division it is the energy distance `sqrt(2 E|X-Y| - E|X-X'| - E|Y-Y'|)`, whose square has the unit of the signal. Range: 0 up to about 2.
//!
//! Behaviour: any change of the distribution; less driven by outliers than [`super::wasserstein`]. All values equal: 0. Limits: noise alone gives
//! about `sqrt(1.1 (1/n + 1/m))`: 0.08 for 1000 and 200 values; the default threshold of 0.1 wants that many.
//! Siblings: [`super::cramer_von_mises`] (by ranks, with p-value), [`super::wasserstein`], [`super::mmd`].
//! Reference: Szekely and Rizzo, Energy statistics, 2013.
//!
//! ```
//! use driftgate::drift::metric::{Metric, Reference, Scratch, energy_distance, numerical};
//!
//! let (reference, current) = (Reference::new(&[0.0, 1.0, 2.0, 3.0]).unwrap(), [2.0, 3.0, 4.0, 5.0]);
//! let outcome = numerical(Metric::EnergyDistance, &reference, &current, &mut Scratch::new()).unwrap();
//! assert!((outcome.score - (1.75f64 / 1.5).sqrt()).abs() < 1e-15);
//! assert!((energy_distance::unscaled(&reference, &current).unwrap() - 1.75f64.sqrt()).abs() < 1e-15);
//! ```

use super::moments::Moments;
use super::walk::integrate;
use super::{NotApplicable, Outcome, Reference};

/// The distance in units of the pooled spread.
///
/// # Errors
/// [`NotApplicable::Empty`].
pub fn test(reference: &Reference, current: &[f64]) -> Result<Outcome, NotApplicable> {
    if current.is_empty() {
        return Err(NotApplicable::Empty);
    }
    let scale = Moments::of_both(reference.sorted(), current).sd_population();
    if scale == 0.0 {
        return Outcome::distance(0.0);
    }
    Outcome::distance((square(reference.sorted(), current) / scale).sqrt())
}

/// The distance in the square root of the signal's unit.
///
/// # Errors
/// [`NotApplicable::Empty`].
pub fn unscaled(reference: &Reference, current: &[f64]) -> Result<f64, NotApplicable> {
    if current.is_empty() {
        return Err(NotApplicable::Empty);
    }
    Ok(square(reference.sorted(), current).sqrt())
}

fn square(x: &[f64], y: &[f64]) -> f64 {
    let product = x.len() as f64 * y.len() as f64;
    2.0 * integrate(x, y, |gap| gap * gap) / (product * product)
}
