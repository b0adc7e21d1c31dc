//! Bins that two samples share, so that their shares can be drawn over each other.

/// Bins at least and at most.
const BINS: (usize, usize) = (8, 32);
/// Values farther from the middle 98 % than this multiple of its width are counted beyond the edge instead of squeezing all others.
const FAR: f64 = 1.0;

/// Equal bins over a range.
#[derive(Copy, Clone, PartialEq, Debug)]
pub struct Bins {
    low: f64,
    high: f64,
    count: usize,
}

/// The shares of one sample in [`Bins`].
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Shares {
    /// Of all values, one a bin, each 0..=1.
    pub shares: Vec<f64>,
    /// Values below the first bin and above the last; in no bin.
    pub below: usize,
    pub above: usize,
}

impl Bins {
    /// For ascending finite samples, either of which may be empty; `None` where both are.
    ///
    /// Width by Freedman and Diaconis on the first sample (the second where it is empty), 8 to 32 bins. A single value gets a range
    /// around it.
    pub fn of(reference: &[f64], current: &[f64]) -> Option<Self> {
        let ranges = [reference, current].into_iter().filter_map(near_range);
        let (low, high) = ranges.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))?;
        if low >= high {
            // a constant: in the middle of a range around it
            let by = if low == 0.0 { 1.0 } else { low.abs() * 0.05 };
            return Some(Self { low: (low - by).max(f64::MIN), high: (high + by).min(f64::MAX), count: 9 });
        }
        let basis = if reference.is_empty() { current } else { reference };
        let quartiles = at(basis, 0.75) / 2.0 - at(basis, 0.25) / 2.0;
        // halves: the range itself may be too wide for a number
        let width = 2.0 * quartiles / (basis.len() as f64).cbrt();
        let wanted = if width > 0.0 { ((high / 2.0 - low / 2.0) / width).ceil() } else { BINS.1 as f64 };
        Some(Self { low, high, count: (wanted as usize).clamp(BINS.0, BINS.1) })
    }

    /// Lower edge of the first bin and upper edge of the last.
    pub fn range(&self) -> (f64, f64) {
        (self.low, self.high)
    }

    /// Number of bins.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The shares of a sample; what is not finite does not count.
    pub fn shares(&self, values: &[f64]) -> Shares {
        let mut shares = Shares { shares: vec![0.0; self.count], ..Shares::default() };
        let (half, count) = (self.high / 2.0 - self.low / 2.0, self.count as f64);
        let mut n = 0.0;
        for x in values.iter().copied().filter(|x| x.is_finite()) {
            n += 1.0;
            if x < self.low {
                shares.below += 1;
            } else if x > self.high {
                shares.above += 1;
            } else {
                let bin = ((x / 2.0 - self.low / 2.0) / half * count) as usize;
                shares.shares[bin.min(self.count - 1)] += 1.0;
            }
        }
        if n > 0.0 {
            shares.shares.iter_mut().for_each(|s| *s /= n);
        }
        shares
    }
}

/// The range of an ascending sample, without values that lie far out.
fn near_range(sorted: &[f64]) -> Option<(f64, f64)> {
    let (first, last) = (*sorted.first()?, *sorted.last()?);
    let (low, high) = (at(sorted, 0.01), at(sorted, 0.99));
    let reach = (high - low) * FAR;
    if reach <= 0.0 || !reach.is_finite() {
        return Some((first, last));
    }
    let near = |x: &&f64| **x >= low - reach && **x <= high + reach;
    Some((sorted.iter().find(near).copied().unwrap_or(first), sorted.iter().rev().find(near).copied().unwrap_or(last)))
}

fn at(sorted: &[f64], q: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * q).round() as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_sum_to_one_and_the_edges_are_inside() {
        let reference: Vec<f64> = (0..200).map(f64::from).collect();
        let current: Vec<f64> = (100..400).map(f64::from).collect();
        let bins = Bins::of(&reference, &current).unwrap();
        assert_eq!(bins.range(), (0.0, 399.0));
        for sample in [&reference, &current] {
            let shares = bins.shares(sample);
            assert!((shares.shares.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            assert_eq!((shares.below, shares.above, shares.shares.len()), (0, 0, bins.count()));
        }
    }

    #[test]
    fn a_far_value_does_not_squeeze_the_others() {
        let mut values: Vec<f64> = (0..300).map(f64::from).collect();
        values.push(1e9);
        let bins = Bins::of(&values, &[]).unwrap();
        assert_eq!(bins.range(), (0.0, 299.0));
        let shares = bins.shares(&values);
        assert_eq!((shares.below, shares.above), (0, 1));
    }

    #[test]
    fn odd_samples_have_bins() {
        assert_eq!(Bins::of(&[], &[]), None);
        for sample in [vec![0.0], vec![5.0; 9], vec![-1e308, 1e308], vec![1e-320, 2e-320], vec![f64::MAX; 3], vec![1.0, 1.0 + f64::EPSILON]]
        {
            let bins = Bins::of(&sample, &[]).unwrap();
            let (low, high) = bins.range();
            let shares = bins.shares(&sample);
            assert!(low < high && low.is_finite() && high.is_finite(), "{sample:?}");
            let inside = shares.shares.iter().sum::<f64>() + (shares.below + shares.above) as f64 / sample.len() as f64;
            assert!((inside - 1.0).abs() < 1e-9, "{sample:?} {shares:?}");
        }
    }
}
