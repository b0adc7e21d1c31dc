//! The reference sample, prepared once; and the buffers that comparisons reuse.

use serde::{Deserialize, Serialize};

use super::NotApplicable;
use super::anderson_darling::Harmonic;
use super::cells::Cells;
use super::moments::Moments;

/// The frozen sample of a feature in a regime: sorted, with what the metrics need of it computed once.
///
/// Serialised as the plain list of its values; everything else is computed again when read.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(try_from = "Vec<f64>", into = "Vec<f64>")]
pub struct Reference {
    sorted: Vec<f64>,
    moments: Moments,
    distinct: usize,
    cells: Cells,
}

impl Reference {
    /// From values in any order; those that are not finite are dropped.
    ///
    /// # Errors
    /// [`NotApplicable::Empty`] where no finite value is left.
    pub fn new(values: &[f64]) -> Result<Self, NotApplicable> {
        let mut sorted = Vec::with_capacity(values.len());
        sort_finite(values, &mut sorted);
        Self::from_sorted(sorted)
    }

    fn from_sorted(sorted: Vec<f64>) -> Result<Self, NotApplicable> {
        if sorted.is_empty() {
            return Err(NotApplicable::Empty);
        }
        let distinct = 1 + sorted.windows(2).filter(|w| w[0] != w[1]).count();
        let moments = Moments::of(&sorted);
        let cells = Cells::of(&sorted);
        Ok(Self { sorted, moments, distinct, cells })
    }

    /// The values in ascending order; at least one.
    pub fn sorted(&self) -> &[f64] {
        &self.sorted
    }

    #[allow(clippy::len_without_is_empty, reason = "never empty")]
    pub fn len(&self) -> usize {
        self.sorted.len()
    }

    pub fn mean(&self) -> f64 {
        self.moments.mean()
    }

    /// Standard deviation with divisor n - 1; 0 for a single value.
    pub fn sd(&self) -> f64 {
        self.moments.sd()
    }

    /// Standard deviation with divisor n.
    pub fn sd_population(&self) -> f64 {
        self.moments.sd_population()
    }

    /// Smallest and largest value.
    pub fn range(&self) -> (f64, f64) {
        (self.sorted[0], self.sorted[self.sorted.len() - 1])
    }

    /// Quantile `q` (0..=1, clamped), linear between order statistics.
    pub fn quantile(&self, q: f64) -> f64 {
        quantile(&self.sorted, q)
    }

    /// Number of different values.
    pub fn distinct(&self) -> usize {
        self.distinct
    }

    /// All values are the same.
    pub fn is_constant(&self) -> bool {
        self.distinct == 1
    }

    pub(super) fn has_ties(&self) -> bool {
        self.distinct < self.sorted.len()
    }

    pub(super) fn moments(&self) -> &Moments {
        &self.moments
    }

    /// The frozen cells of the reference with its own counts.
    pub(super) fn cells(&self) -> &Cells {
        &self.cells
    }
}

impl TryFrom<Vec<f64>> for Reference {
    type Error = NotApplicable;

    fn try_from(values: Vec<f64>) -> Result<Self, NotApplicable> {
        Self::new(&values)
    }
}

impl From<Reference> for Vec<f64> {
    fn from(reference: Reference) -> Self {
        reference.sorted
    }
}

/// Fills `out` with the finite values in ascending order: how a current sample is made ready.
///
/// ```
/// let mut current = Vec::new();
/// driftgate::drift::metric::sort_finite(&[2.0, f64::NAN, -1.0], &mut current);
/// assert_eq!(current, [-1.0, 2.0]);
/// ```
pub fn sort_finite(values: &[f64], out: &mut Vec<f64>) {
    out.clear();
    out.extend(values.iter().copied().filter(|v| v.is_finite()));
    out.sort_unstable_by(f64::total_cmp);
}

/// Quantile of a sorted, non-empty sample, linear between order statistics (R type 7).
pub(super) fn quantile(sorted: &[f64], q: f64) -> f64 {
    let last = sorted.len() - 1;
    let h = q.clamp(0.0, 1.0) * last as f64;
    let below = (h.floor() as usize).min(last);
    let above = (below + 1).min(last);
    let share = h - below as f64;
    sorted[below] * (1.0 - share) + sorted[above] * share
}

/// Buffers of the comparisons. Keep one per thread and reuse it: after the first calls nothing is allocated.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    pub(super) row: Vec<f64>,
    pub(super) p: Vec<f64>,
    pub(super) q: Vec<f64>,
    /// Sums of the Anderson-Darling variance for the last size.
    pub(super) harmonic: Option<Harmonic>,
}

impl Scratch {
    pub fn new() -> Self {
        Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn non_finite_values_are_dropped() {
        let r = Reference::new(&[3.0, f64::NAN, 1.0, f64::INFINITY, 2.0, f64::NEG_INFINITY]).unwrap();
        assert_eq!(r.sorted(), [1.0, 2.0, 3.0]);
        assert_eq!((r.mean(), r.sd(), r.len(), r.distinct()), (2.0, 1.0, 3, 3));
        assert!((r.sd_population() - (2.0f64 / 3.0).sqrt()).abs() < 1e-15);
        assert_eq!(Reference::new(&[f64::NAN]), Err(NotApplicable::Empty));
    }

    #[test]
    fn serialised_as_its_values() {
        let r = Reference::new(&[2.5, 1.5, 1.5]).unwrap();
        let text = serde_json::to_string(&r).unwrap();
        assert_eq!(text, "[1.5,1.5,2.5]");
        assert_eq!(serde_json::from_str::<Reference>(&text).unwrap(), r);
        assert!(serde_json::from_str::<Reference>("[]").unwrap_err().to_string().contains("empty"));
    }

    #[test]
    fn quantiles_are_linear_between_values() {
        let r = Reference::new(&[1.0, 2.0, 3.0, 4.0]).unwrap();
        assert_eq!((r.quantile(0.0), r.quantile(0.5), r.quantile(1.0)), (1.0, 2.5, 4.0));
    }
}
