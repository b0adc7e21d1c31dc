//! Fisher's exact test on the 2 x K table of two samples and K classes: exact also for small counts.
//!
//! Formula: with the margins fixed, a table has the probability `prod_k C(column_k, r_k) / C(n + m, n)`; p is the sum over all tables that
//! are at most as probable as the observed one (two-sided; tables within 1e-7 of it count as equal).
//!
//! Two classes: all tables by the ratio of neighbours. More (Freeman and Halton): all tables where there are at most [`MOST_TABLES`],
//! otherwise `(1 + hits) / (1 + draws)` over [`DRAWS`] random tables with a fixed seed. The statistic is the logarithm of the observed table's
//! probability. Behaviour: conservative, because p-values of small tables are few. Threshold: p <= 0.05 by default.
//! Siblings: [`super::chi_squared`] for large counts, [`super::total_variation`].
//! Reference: Fisher 1934; Freeman and Halton 1951.
//!
//! ```
//! use driftgate::drift::metric::{Metric, categorical};
//!
//! let outcome = categorical(Metric::FisherExact, &[8, 2], &[1, 9]).unwrap();
//! assert!((outcome.score - 0.005477494641581).abs() < 1e-14);
//! ```

use super::counts::Counts;
use super::hypergeometric::{draw_table, generator, ratio};
use super::special::ln_choose;
use super::{NotApplicable, Outcome};

/// Largest number of 2 x K tables that are enumerated.
pub const MOST_TABLES: u64 = 100_000;
/// Random tables where there are more.
pub const DRAWS: u32 = 1_999;
/// Relative difference of probabilities that counts as none.
const SLACK: f64 = 1e-7;

/// The test, two-sided.
///
/// # Errors
/// As [`super::categorical`].
pub fn test(reference: &[u64], current: &[u64]) -> Result<Outcome, NotApplicable> {
    let counts = Counts::new(reference, current)?;
    let (n, m) = counts.sizes();
    let pairs: Vec<(u64, u64)> = counts.pairs().collect();
    let columns: Vec<u64> = pairs.iter().map(|(r, c)| r + c).collect();
    let observed = pairs.iter().map(|(r, c)| ln_choose(r + c, *r)).sum::<f64>() - ln_choose(n + m, n);
    let p = match pairs.as_slice() {
        [_] => 1.0,
        [(r, _), _] => two_classes(n + m, columns[0], n, *r),
        _ if tables(&columns, n) <= MOST_TABLES => enumerated(&columns, n, m, observed),
        _ => drawn(&columns, n, m, observed),
    };
    Outcome::p(observed, p)
}

/// p of `observed` of `marked` among `total` in a draw of `draws`.
fn two_classes(total: u64, marked: u64, draws: u64, observed: u64) -> f64 {
    let lowest = (marked + draws).saturating_sub(total);
    let highest = marked.min(draws);
    // probabilities relative to the observed one, both ways; both tails and the middle add up to the whole
    let mut sums = Sums { extreme: 1.0, rest: 0.0 };
    let mut p = 1.0;
    for k in observed..highest {
        p *= ratio(total, marked, draws, k);
        if !sums.add(p) {
            break;
        }
    }
    p = 1.0;
    for k in (lowest..observed).rev() {
        p /= ratio(total, marked, draws, k);
        if !sums.add(p) {
            break;
        }
    }
    sums.extreme / (sums.extreme + sums.rest)
}

struct Sums {
    extreme: f64,
    rest: f64,
}

impl Sums {
    /// Adds a probability relative to the observed one; false where the rest cannot matter.
    fn add(&mut self, p: f64) -> bool {
        if p <= 1.0 + SLACK {
            self.extreme += p;
        } else {
            self.rest += p;
        }
        p > 1e-18 * self.extreme && p.is_finite()
    }
}

/// Number of first rows with these column sums and this total, saturating.
fn tables(columns: &[u64], first_row: u64) -> u64 {
    let mut ways = vec![0u64; first_row as usize + 1];
    ways[0] = 1;
    for column in columns {
        // ways'[t] = sum of ways[t - k] for k in 0..=column, by a running sum
        let mut next = vec![0u64; ways.len()];
        let mut running = 0u64;
        for t in 0..ways.len() {
            running = running.saturating_add(ways[t]);
            if t as u64 > *column {
                running = running.saturating_sub(ways[t - *column as usize - 1]);
            }
            next[t] = running.min(MOST_TABLES * MOST_TABLES);
        }
        ways = next;
    }
    ways[first_row as usize]
}

fn enumerated(columns: &[u64], n: u64, m: u64, observed: f64) -> f64 {
    let base = -ln_choose(n + m, n);
    let choose: Vec<Vec<f64>> = columns.iter().map(|c| (0..=*c).map(|k| ln_choose(*c, k)).collect()).collect();
    let mut after: Vec<u64> = vec![0; columns.len() + 1];
    for i in (0..columns.len()).rev() {
        after[i] = after[i + 1] + columns[i];
    }
    let limit = observed + SLACK;
    let mut sum = 0.0;
    walk(&choose, &after, 0, n, base, &mut |ln_p| {
        if ln_p <= limit {
            sum += ln_p.exp();
        }
    });
    sum
}

/// Visits the log-probability of every first row; `after[i]` is the sum of the columns from i on.
fn walk(choose: &[Vec<f64>], after: &[u64], i: usize, left: u64, ln_p: f64, visit: &mut impl FnMut(f64)) {
    if i == choose.len() {
        return visit(ln_p);
    }
    let column = choose[i].len() as u64 - 1;
    for k in left.saturating_sub(after[i + 1])..=column.min(left) {
        walk(choose, after, i + 1, left - k, ln_p + choose[i][k as usize], visit);
    }
}

fn drawn(columns: &[u64], n: u64, m: u64, observed: f64) -> f64 {
    let base = -ln_choose(n + m, n);
    let mut rng = generator();
    let mut row = Vec::with_capacity(columns.len());
    let mut hits = 0u32;
    for _ in 0..DRAWS {
        draw_table(&mut rng, columns, n, &mut row);
        let ln_p = base + columns.iter().zip(&row).map(|(c, k)| ln_choose(*c, *k)).sum::<f64>();
        hits += u32::from(ln_p <= observed + SLACK);
    }
    f64::from(1 + hits) / f64::from(1 + DRAWS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enumeration_draws_and_the_short_way_agree() {
        let columns = [9, 11];
        let observed = ln_choose(9, 8) + ln_choose(11, 2) - ln_choose(20, 10);
        let short = two_classes(20, 9, 10, 8);
        assert!((enumerated(&columns, 10, 10, observed) - short).abs() < 1e-12);
        assert!((drawn(&columns, 10, 10, observed) - short).abs() < 0.01);
    }

    #[test]
    fn three_classes_by_hand() {
        // columns 2, 1, 1 and two in each row: 4 tables with C(2,a) C(1,b) C(1,c) = 1, 2, 2, 1 of 6
        assert_eq!(tables(&[2, 1, 1], 2), 4);
        let outcome = test(&[2, 0, 0], &[0, 1, 1]).unwrap();
        assert!((outcome.score - 1.0 / 3.0).abs() < 1e-12);
        assert!((test(&[1, 1, 0], &[1, 0, 1]).unwrap().score - 1.0).abs() < 1e-12);
    }

    #[test]
    fn many_tables_are_drawn() {
        let outcome = test(&[100; 10], &[100; 10]).unwrap();
        assert_eq!(outcome.score, 1.0);
        let far = test(&[100, 200, 300, 400, 500], &[500, 400, 300, 200, 100]).unwrap();
        assert_eq!(far.score, 1.0 / 2000.0);
    }
}
