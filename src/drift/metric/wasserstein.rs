//! Wasserstein distance of order 1 in units of the reference's spread: how far the sample has moved, in standard deviations.
//!
//! Formula: `W = 1/s integral |F(v) - G(v)| dv`, where s is the reference's standard deviation (divisor n). Range: 0 upward; a shift by one
//! standard deviation gives 1.
//!
//! Behaviour: grows with the size of a change, not with the number of values; sees shifts, changes of spread and outliers. Limits: noise
//! alone gives about `1.3 / sqrt(m)`, so the default threshold of 0.1 wants several hundred values. A reference without spread has no
//! unit to measure in: [`NotApplicable::ConstantReference`].
//! Siblings: [`super::energy_distance`] (squared gaps), [`super::kolmogorov_smirnov`] (largest gap, with p-value).
//! Reference: Villani, Optimal Transport, 2009; for samples on the line, Vallender 1974.
//!
//! ```
//! use driftgate::drift::metric::{Metric, Reference, Scratch, numerical};
//!
//! let reference = Reference::new(&[-1.0, 1.0]).unwrap();
//! let outcome = numerical(Metric::Wasserstein, &reference, &[1.0, 3.0], &mut Scratch::new()).unwrap();
//! assert_eq!(outcome.score, 2.0);
//! ```

use super::{NotApplicable, Outcome, Reference};

/// The distance in standard deviations of the reference.
///
/// # Errors
/// [`NotApplicable::Empty`]; [`NotApplicable::ConstantReference`] for a reference without spread.
pub fn test(reference: &Reference, current: &[f64]) -> Result<Outcome, NotApplicable> {
    if current.is_empty() {
        return Err(NotApplicable::Empty);
    }
    let sd = reference.sd_population();
    if sd == 0.0 {
        return Err(NotApplicable::ConstantReference);
    }
    Outcome::distance(distance(reference.sorted(), current) / sd)
}

/// The distance in the signal's unit.
///
/// # Errors
/// [`NotApplicable::Empty`].
pub fn unscaled(reference: &Reference, current: &[f64]) -> Result<f64, NotApplicable> {
    if current.is_empty() {
        return Err(NotApplicable::Empty);
    }
    Ok(distance(reference.sorted(), current))
}

/// `integral |F - G|` of two ascending, non-empty samples, in their unit.
fn distance(x: &[f64], y: &[f64]) -> f64 {
    let (n, m) = (x.len() as f64, y.len() as f64);
    super::walk::integrate(x, y, |gap| gap.abs()) / (n * m)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_reference_has_its_own_answer() {
        let reference = Reference::new(&[3.0; 5]).unwrap();
        assert_eq!(test(&reference, &[3.0]), Err(NotApplicable::ConstantReference));
        assert_eq!(unscaled(&reference, &[5.0, 6.0]), Ok(2.5));
    }

    #[test]
    fn the_number_of_values_does_not_matter() {
        let reference = Reference::new(&[0.0, 1.0, 2.0]).unwrap();
        let doubled = [0.5, 0.5, 1.5, 1.5, 2.5, 2.5];
        assert!((unscaled(&reference, &doubled).unwrap() - 0.5).abs() < 1e-15);
    }
}
