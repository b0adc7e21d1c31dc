//! Frozen cells of a reference: the bins of PSI, KL, Jensen-Shannon and Hellinger on numbers.
//!
//! The cuts are order statistics of the REFERENCE alone at (nearly) equal shares, the outer cells are open. A cut value that holds
//! at least a cell's share of the reference (a discrete signal, a zero-inflated one) is a cell of its own; any other value on
//! a cut counts half on either side. So a verdict does not depend on the current sample's range, on the unit, or on the sign:
//! cuts are values of the sample (scaling moves them along) and both the cuts and the rule at a cut are symmetric. The number of
//! shares is odd, because a middle cut of an even sample would have to lie between two values.

/// Most shares into which a reference is cut.
const MOST_SHARES: usize = 9;
/// Values of the reference per share, where there are few.
const VALUES_PER_SHARE: usize = 5;

/// Cuts and the reference's own counts.
///
/// Cells are numbered in ascending order: with cuts c1..ck they are (-inf, c1), {c1}, (c1, c2), {c2}, .., (ck, inf); a cut that is
/// not a cell of its own keeps the count 0.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Cells {
    cuts: Vec<Cut>,
    counts: Vec<f64>,
}

#[derive(Copy, Clone, PartialEq, Debug)]
struct Cut {
    at: f64,
    own_cell: bool,
}

impl Cells {
    /// Of an ascending, non-empty sample.
    pub(super) fn of(sorted: &[f64]) -> Self {
        let n = sorted.len();
        let shares = (n / VALUES_PER_SHARE).clamp(3, MOST_SHARES).div_ceil(2) * 2 - 1;
        let half = (shares - 1) / 2;
        let lower = (1..=half).map(|i| (n - 1) * i / shares);
        let upper = (1..=half).rev().map(|i| n - 1 - (n - 1) * i / shares);
        let mut at: Vec<f64> = lower.chain(upper).map(|i| sorted[i]).collect();
        at.dedup();
        let cuts = at
            .into_iter()
            .map(|at| {
                let (below, upto) = span(sorted, at);
                Cut { at, own_cell: (upto - below) * shares >= n }
            })
            .collect();
        let mut cells = Self { cuts, counts: Vec::new() };
        let mut counts = Vec::new();
        cells.count(sorted, &mut counts);
        cells.counts = counts;
        cells
    }

    /// The reference's counts, one per cell; multiples of 0.5.
    pub(super) fn counts(&self) -> &[f64] {
        &self.counts
    }

    /// Counts an ascending sample into the cells.
    pub(super) fn count(&self, sorted: &[f64], counts: &mut Vec<f64>) {
        counts.clear();
        counts.resize(2 * self.cuts.len() + 1, 0.0);
        let mut from = 0;
        for (i, cut) in self.cuts.iter().enumerate() {
            let (below, upto) = span(&sorted[from..], cut.at);
            counts[2 * i] += below as f64;
            let on = (upto - below) as f64;
            if cut.own_cell {
                counts[2 * i + 1] = on;
            } else {
                counts[2 * i] += 0.5 * on;
                counts[2 * i + 2] += 0.5 * on;
            }
            from += upto;
        }
        counts[2 * self.cuts.len()] += (sorted.len() - from) as f64;
    }
}

/// How many values are below `at`, and how many are at most `at`.
fn span(sorted: &[f64], at: f64) -> (usize, usize) {
    let below = sorted.partition_point(|v| *v < at);
    (below, below + sorted[below..].partition_point(|v| *v <= at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_continuous_reference_has_nine_cells_of_equal_share() {
        let sorted: Vec<f64> = (0..900).map(f64::from).collect();
        let cells = Cells::of(&sorted);
        let filled: Vec<f64> = cells.counts().iter().copied().filter(|c| *c > 0.0).collect();
        assert_eq!(filled.len(), 9);
        assert!(filled.iter().all(|c| (c - 100.0).abs() <= 1.0), "{filled:?}");
    }

    #[test]
    fn a_value_with_much_of_the_reference_is_its_own_cell() {
        let mut sorted = vec![0.0; 70];
        sorted.extend([1.0; 30]);
        let cells = Cells::of(&sorted);
        assert_eq!(cells.counts(), [0.0, 70.0, 0.0, 30.0, 0.0]);
        let mut counts = Vec::new();
        cells.count(&[-1.0, 0.0, 0.5, 1.0, 1.0, 2.0], &mut counts);
        assert_eq!(counts, [1.0, 1.0, 1.0, 2.0, 1.0]);
    }

    #[test]
    fn mirrored_samples_have_mirrored_counts() {
        let x: Vec<f64> = (0..137).map(|i| f64::from(i * i % 97)).collect();
        let y: Vec<f64> = (0..61).map(|i| f64::from(i * 7 % 50)).collect();
        let sorted = |v: &[f64], sign: f64| {
            let mut v: Vec<f64> = v.iter().map(|a| a * sign).collect();
            v.sort_unstable_by(f64::total_cmp);
            v
        };
        let (up, down) = (Cells::of(&sorted(&x, 1.0)), Cells::of(&sorted(&x, -1.0)));
        let (mut a, mut b) = (Vec::new(), Vec::new());
        up.count(&sorted(&y, 1.0), &mut a);
        down.count(&sorted(&y, -1.0), &mut b);
        b.reverse();
        assert_eq!(a, b);
        assert_eq!(a.iter().sum::<f64>(), 61.0);
    }

    #[test]
    fn a_single_value_has_an_answer() {
        let cells = Cells::of(&[5.0]);
        assert_eq!(cells.counts(), [0.0, 1.0, 0.0]);
    }
}
