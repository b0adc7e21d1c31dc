//! Mean and spread of a sorted sample, safe from overflow and from large offsets.

/// Mean and central second moment of a sample.
///
/// Computed in units of a power of two near the largest value, in two passes around a value of the sample: no overflow, no
/// underflow, and no loss where the offset is much larger than the spread.
#[derive(Copy, Clone, PartialEq, Debug)]
pub(super) struct Moments {
    n: f64,
    /// A power of two.
    unit: f64,
    /// In units.
    mean: f64,
    /// Divisor n, in squared units.
    variance: f64,
}

impl Moments {
    /// Of an ascending, non-empty, finite sample.
    pub(super) fn of(sorted: &[f64]) -> Self {
        Self::in_unit(sorted, unit(sorted))
    }

    /// Of two samples put together.
    pub(super) fn of_both(x: &[f64], y: &[f64]) -> Self {
        let unit = unit(x).max(unit(y));
        let (a, b) = (Self::in_unit(x, unit), Self::in_unit(y, unit));
        let n = a.n + b.n;
        let gap = b.mean - a.mean;
        let mean = a.mean + gap * (b.n / n);
        let variance = (a.n * a.variance + b.n * b.variance) / n + gap * gap * (a.n / n) * (b.n / n);
        Self { n, unit, mean, variance }
    }

    /// `unit` is a power of two, at least half the largest absolute value.
    pub(super) fn in_unit(sorted: &[f64], unit: f64) -> Self {
        let n = sorted.len() as f64;
        let inverse = 1.0 / unit;
        let centre = sorted[sorted.len() / 2] * inverse;
        if sorted[0] == sorted[sorted.len() - 1] {
            return Self { n, unit, mean: centre, variance: 0.0 };
        }
        let offset = sum(sorted, |v| v * inverse - centre) / n;
        let mean = centre + offset;
        let square = sum(sorted, |v| {
            let d = v * inverse - mean;
            d * d
        });
        Self { n, unit, mean, variance: square / n }
    }

    pub(super) fn mean(&self) -> f64 {
        self.mean * self.unit
    }

    pub(super) fn sd_population(&self) -> f64 {
        self.variance.sqrt() * self.unit
    }

    pub(super) fn sd(&self) -> f64 {
        if self.n < 2.0 { 0.0 } else { (self.variance * (self.n / (self.n - 1.0))).sqrt() * self.unit }
    }

    /// The power of two that [`Self::mean_in_unit`] and [`Self::variance_in_unit`] are measured in.
    pub(super) fn unit(&self) -> f64 {
        self.unit
    }

    pub(super) fn mean_in_unit(&self) -> f64 {
        self.mean
    }

    /// Divisor n.
    pub(super) fn variance_in_unit(&self) -> f64 {
        self.variance
    }
}

/// The largest power of two that is not above the largest absolute value; 1 for zeros.
pub(super) fn unit(sorted: &[f64]) -> f64 {
    let largest = sorted[0].abs().max(sorted[sorted.len() - 1].abs());
    if largest == 0.0 {
        return 1.0;
    }
    let exponent = (largest.to_bits() >> 52).clamp(1, 2045);
    f64::from_bits(exponent << 52)
}

/// Sum in four lanes: quicker, and rounds less.
fn sum(values: &[f64], f: impl Fn(f64) -> f64) -> f64 {
    let mut lanes = [0.0; 4];
    let chunks = values.chunks_exact(4);
    let rest: f64 = chunks.remainder().iter().map(|v| f(*v)).sum();
    for c in chunks {
        for (lane, v) in lanes.iter_mut().zip(c) {
            *lane += f(*v);
        }
    }
    (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]) + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extreme_scales_neither_overflow_nor_vanish() {
        for scale in [1e-320, 1e-200, 1.0, 1e200, 1e307] {
            let m = Moments::of(&[-scale, 0.0, scale]);
            assert!((m.sd() / scale - 1.0).abs() < 1e-3, "{scale}: {}", m.sd());
            assert_eq!(m.mean(), 0.0);
        }
        assert!(Moments::of(&[f64::MIN, f64::MAX]).sd_population().is_finite());
    }

    #[test]
    fn a_large_offset_costs_no_digits() {
        let m = Moments::of(&[1e9, 1e9 + 1.0, 1e9 + 2.0]);
        assert_eq!((m.mean(), m.sd()), (1e9 + 1.0, 1.0));
    }

    #[test]
    fn both_together_is_the_moments_of_all() {
        let both = Moments::of_both(&[1.0, 2.0], &[10.0, 20.0, 30.0]);
        let all = Moments::of(&[1.0, 2.0, 10.0, 20.0, 30.0]);
        assert!((both.mean() - all.mean()).abs() < 1e-14);
        assert!((both.sd() - all.sd()).abs() < 1e-14);
    }
}
