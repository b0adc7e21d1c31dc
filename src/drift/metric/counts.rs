//! The counts of classes of two samples.

use super::NotApplicable;

/// Counts of both samples over the union of their classes, in the same order.
pub(super) struct Counts<'a> {
    reference: &'a [u64],
    current: &'a [u64],
    n: u64,
    m: u64,
}

impl<'a> Counts<'a> {
    /// Neither side may be empty, and both must list the same classes.
    pub(super) fn new(reference: &'a [u64], current: &'a [u64]) -> Result<Self, NotApplicable> {
        if reference.len() != current.len() {
            return Err(NotApplicable::UnequalClasses { reference: reference.len(), current: current.len() });
        }
        let total = |counts: &[u64]| counts.iter().try_fold(0u64, |sum, c| sum.checked_add(*c)).filter(|t| *t <= MOST);
        let (Some(n), Some(m)) = (total(reference), total(current)) else {
            return Err(NotApplicable::OutOfRange);
        };
        if n == 0 || m == 0 {
            return Err(NotApplicable::Empty);
        }
        Ok(Self { reference, current, n, m })
    }

    /// Values in both samples, as floating point numbers.
    pub(super) fn totals(&self) -> (f64, f64) {
        (self.n as f64, self.m as f64)
    }

    pub(super) fn sizes(&self) -> (u64, u64) {
        (self.n, self.m)
    }

    /// Classes that occur on either side.
    pub(super) fn classes(&self) -> usize {
        self.pairs().count()
    }

    /// Both counts of every class that occurs.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (u64, u64)> {
        self.reference.iter().copied().zip(self.current.iter().copied()).filter(|(r, c)| r + c > 0)
    }

    /// [`Self::pairs`] as floating point numbers.
    pub(super) fn seen(&self) -> impl Iterator<Item = (f64, f64)> {
        self.pairs().map(|(r, c)| (r as f64, c as f64))
    }
}

/// Most values of a sample: products of two totals stay exact in 64 bits.
const MOST: u64 = 1 << 31;
