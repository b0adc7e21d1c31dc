//! Total variation distance between shares of classes, judged by permutation.
//!
//! Formula: `TVD = 1/2 sum |p_k - q_k|`, the largest difference of the probability of any set of classes; range 0..=1. p is the share
//! of random splits of both samples together (same sizes) with a distance at least as large, `(1 + hits) / (1 + draws)`: never 0.
//!
//! Parameters: draws, [`DRAWS`] by default, so that p is at least 1/1000; the seed is fixed. Distances are compared in whole numbers:
//! ties are exact. Behaviour: valid for any counts. Limits: p no smaller than 1 / (1 + draws). Threshold: p <= 0.05 by default.
//! Siblings: [`super::chi_squared`], [`super::fisher_exact`], [`super::hellinger`].
//! Reference: Levin, Peres, Markov Chains and Mixing Times, 2017, chapter 4; Phipson and Smyth 2010 for the correction.
//!
//! ```
//! use driftgate::drift::metric::{Metric, categorical};
//!
//! let outcome = categorical(Metric::TotalVariation, &[50, 50], &[25, 75]).unwrap();
//! assert_eq!(outcome.statistic, 0.25);
//! assert!(outcome.score <= 0.005);
//! ```

use super::counts::Counts;
use super::hypergeometric::{draw_table, generator};
use super::{NotApplicable, Outcome};

/// Random splits by default.
pub const DRAWS: u32 = 999;

/// The test. Statistic: the distance; score: the permutation p-value.
///
/// # Errors
/// As [`super::categorical`].
pub fn test(reference: &[u64], current: &[u64], draws: u32) -> Result<Outcome, NotApplicable> {
    let counts = Counts::new(reference, current)?;
    let hits = hits(&counts, draws);
    Outcome::p(statistic(&counts), f64::from(1 + hits) / (1.0 + f64::from(draws)))
}

/// The distance alone, 0..=1.
///
/// # Errors
/// As [`super::categorical`].
pub fn distance(reference: &[u64], current: &[u64]) -> Result<f64, NotApplicable> {
    Ok(statistic(&Counts::new(reference, current)?))
}

fn statistic(counts: &Counts) -> f64 {
    let (n, m) = counts.totals();
    steps(counts.pairs(), counts.sizes()) as f64 / (2.0 * n * m)
}

/// How many random splits are at least as far apart.
pub(super) fn hits(counts: &Counts, draws: u32) -> u32 {
    let (n, m) = counts.sizes();
    let observed = steps(counts.pairs(), (n, m));
    let columns: Vec<u64> = counts.pairs().map(|(r, c)| r + c).collect();
    let mut rng = generator();
    let mut row = Vec::with_capacity(columns.len());
    let mut hits = 0;
    for _ in 0..draws {
        draw_table(&mut rng, &columns, n, &mut row);
        let split = row.iter().zip(&columns).map(|(r, both)| (*r, both - r));
        hits += u32::from(steps(split, (n, m)) >= observed);
    }
    hits
}

/// `sum |r m - c n|`: the distance in whole numbers.
fn steps(pairs: impl Iterator<Item = (u64, u64)>, (n, m): (u64, u64)) -> u128 {
    pairs.map(|(r, c)| u128::from((r * m).abs_diff(c * n))).sum()
}
