//! Counts to shares, and what stands in for an empty cell.

/// Shares of the counts; both totals must be positive.
pub(super) fn of(counts: &[f64], shares: &mut Vec<f64>) {
    let total: f64 = counts.iter().sum();
    shares.clear();
    shares.extend(counts.iter().map(|c| c / total));
}

/// An empty cell counts as half an observation, but never as more than the share on the other side.
///
/// Cells that are empty on both sides stay so.
pub(super) fn fill(p: &mut [f64], n: f64, q: &mut [f64], m: f64) {
    for (p, q) in p.iter_mut().zip(q) {
        if *p == 0.0 {
            *p = q.min(0.5 / n);
        } else if *q == 0.0 {
            *q = p.min(0.5 / m);
        }
    }
}

/// Scales the shares to a sum of 1.
pub(super) fn normalise(shares: &mut [f64]) {
    let total: f64 = shares.iter().sum();
    shares.iter_mut().for_each(|p| *p /= total);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absence_that_a_small_sample_cannot_show_weighs_nothing() {
        let (mut p, mut q) = (vec![0.001, 0.999], vec![0.0, 1.0]);
        fill(&mut p, 1000.0, &mut q, 50.0);
        assert_eq!(q[0], 0.001);
        let (mut p, mut q) = (vec![0.5, 0.5, 0.0], vec![0.0, 1.0, 0.0]);
        fill(&mut p, 1000.0, &mut q, 50.0);
        assert_eq!((q[0], p[2], q[2]), (0.01, 0.0, 0.0));
    }
}
