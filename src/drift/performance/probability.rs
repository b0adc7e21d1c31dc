//! Probability of a fault from a model's score: isotonic regression by pooling adjacent violators.
//!
//! The curve is the best fit (least squares) to the labels of all curves that never fall with the score. Between the scores of two
//! pools it is linear; below the lowest and above the highest score it stays as it is there. The mean probability of the rows it was
//! fitted to is their share of faults.
//!
//! Limits: needs [`MIN_CLASS_ROWS`] labelled rows of each class that the model was not fitted on; one curve for all regimes, as the
//! model's inputs are regime-normalised.
//! Reference: Ayer et al. 1955; Zadrozny and Elkan, Transforming classifier scores into accurate multiclass probability estimates, 2002.

use serde::{Deserialize, Serialize};

use crate::types::NoEstimate;

/// Labelled rows of each class that a curve needs.
pub const MIN_CLASS_ROWS: u32 = 20;

/// A curve from score to probability.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Probability {
    /// Ascending; two a pool, its lowest and highest score (one where they are the same).
    scores: Vec<f64>,
    /// Probability of a fault at each, never falling.
    probabilities: Vec<f64>,
}

/// Rows of equal probability.
struct Pool {
    low: f64,
    high: f64,
    rows: f64,
    faults: f64,
}

impl Pool {
    fn share(&self) -> f64 {
        self.faults / self.rows
    }
}

impl Probability {
    /// From scores (finite) and whether each row was a fault.
    ///
    /// # Errors
    /// Too few rows of a class, or a curve that does not rise.
    pub fn fit(labelled: impl Iterator<Item = (f64, bool)>) -> Result<Self, NoEstimate> {
        let mut rows: Vec<(f64, bool)> = labelled.filter(|(score, _)| score.is_finite()).collect();
        let faulty = rows.iter().filter(|r| r.1).count() as u32;
        let healthy = rows.len() as u32 - faulty;
        if rows.is_empty() {
            return Err(NoEstimate::NoLabels);
        }
        if healthy.min(faulty) < MIN_CLASS_ROWS {
            return Err(NoEstimate::TooFew { healthy, faulty, need: MIN_CLASS_ROWS });
        }
        rows.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut pools: Vec<Pool> = Vec::new();
        for (score, fault) in rows {
            let faults = f64::from(u8::from(fault));
            match pools.last_mut() {
                // Rows of one score cannot be told apart.
                Some(last) if last.low == score => (last.rows, last.faults) = (last.rows + 1.0, last.faults + faults),
                _ => {
                    settle(&mut pools);
                    pools.push(Pool { low: score, high: score, rows: 1.0, faults });
                }
            }
        }
        settle(&mut pools);
        if pools.len() < 2 {
            return Err(NoEstimate::Uninformative);
        }
        let mut curve = Self { scores: Vec::new(), probabilities: Vec::new() };
        for pool in &pools {
            curve.scores.push(pool.low);
            curve.probabilities.push(pool.share());
            if pool.high > pool.low {
                curve.scores.push(pool.high);
                curve.probabilities.push(pool.share());
            }
        }
        Ok(curve)
    }

    /// Probability of a fault at a score, 0..1; NaN for NaN.
    pub fn of(&self, score: f64) -> f64 {
        if score.is_nan() {
            return f64::NAN;
        }
        let above = self.scores.partition_point(|s| *s <= score);
        let (Some(first), Some(last)) = (self.probabilities.first(), self.probabilities.last()) else { return f64::NAN };
        match above {
            0 => *first,
            k if k == self.scores.len() => *last,
            k => {
                let (s0, s1) = (self.scores[k - 1], self.scores[k]);
                let (p0, p1) = (self.probabilities[k - 1], self.probabilities[k]);
                p0 + (p1 - p0) * ((score - s0) / (s1 - s0))
            }
        }
    }

    /// True where what came from a file is a curve.
    pub fn is_sound(&self) -> bool {
        let ascending = self.scores.windows(2).all(|w| w[0] < w[1]) && self.scores.iter().all(|s| s.is_finite());
        let rising = self.probabilities.windows(2).all(|w| w[0] <= w[1]) && self.probabilities.iter().all(|p| (0.0..=1.0).contains(p));
        self.scores.len() == self.probabilities.len() && self.scores.len() >= 2 && ascending && rising
    }
}

/// Merges the last pools until their shares rise.
fn settle(pools: &mut Vec<Pool>) {
    while let [.., before, last] = pools.as_mut_slice() {
        if before.share() < last.share() {
            return;
        }
        before.high = last.high;
        before.rows += last.rows;
        before.faults += last.faults;
        pools.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_what_falls() {
        // 20 rows at each score; shares of faults 0.1, 0.5, 0.3, 0.9: the middle two make one pool of 0.4.
        let rows = [(1.0, 2), (2.0, 10), (3.0, 6), (4.0, 18)];
        let rows = rows.iter().flat_map(|(s, faults)| (0..20).map(move |i| (*s, i < *faults)));
        let curve = Probability::fit(rows).unwrap();
        assert!(curve.is_sound());
        for (score, p) in [(-5.0, 0.1), (1.0, 0.1), (2.0, 0.4), (2.5, 0.4), (3.0, 0.4), (3.5, 0.65), (4.0, 0.9), (99.0, 0.9)] {
            assert!((curve.of(score) - p).abs() < 1e-12, "{score}: {}", curve.of(score));
        }
        assert!(curve.of(f64::NAN).is_nan());
    }

    #[test]
    fn what_gives_no_probability_says_why() {
        let rows = |n: i32, fault: fn(i32) -> bool| (0..n).map(move |i| (f64::from(i), fault(i)));
        assert_eq!(Probability::fit(rows(0, |_| true)), Err(NoEstimate::NoLabels));
        assert_eq!(Probability::fit(rows(100, |_| false)), Err(NoEstimate::TooFew { healthy: 100, faulty: 0, need: 20 }));
        assert_eq!(Probability::fit(rows(100, |i| i > 80)), Err(NoEstimate::TooFew { healthy: 81, faulty: 19, need: 20 }));
        assert_eq!(Probability::fit(rows(100, |i| i < 50)), Err(NoEstimate::Uninformative));
        let nan = (0..100).map(|i| (f64::NAN, i < 50));
        assert_eq!(Probability::fit(nan), Err(NoEstimate::NoLabels));
    }
}
