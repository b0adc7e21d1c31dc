//! Two-sample Anderson-Darling test: squared gaps of the distribution functions, weighted so that the tails count.
//!
//! Formula (midrank form, k = 2): `A2 = (N-1)/N^2 (1/n + 1/m) sum_l c_l (N M_l - n B_l)^2 / (B_l (N - B_l) - N c_l / 4)` over the distinct values, with
//! c how often a value occurs, B and M how many values of all and of the reference are below it plus half of those equal;
//! statistic `T = (A2 - 1) / sigma_N`.
//!
//! p: within the table of Scholz and Stephens (T in 0.325..=6.546, p in 0.001..=0.25) by their quadratic in ln p. Beyond it: up to
//! [`PERMUTED`] values by permutation (`(1 + hits)/(1 + draws)`, at most [`DRAWS`], fixed seed), above from the limit law
//! `sum Z_j^2 / (j (j + 1))` at `1 + T sqrt(2 pi^2/3 - 6)`.
//!
//! Behaviour: more power than [`super::kolmogorov_smirnov`] against changes of the tails and the spread. Limits: the table is rough for very small
//! or heavily tied samples. All values equal: [`NotApplicable::Constant`]. Threshold: p <= 0.05 by default.
//! Siblings: [`super::cramer_von_mises`], [`super::epps_singleton`].
//! Reference: Scholz and Stephens, K-sample Anderson-Darling tests, 1987.
//!
//! ```
//! use driftgate::drift::metric::{Metric, Reference, Scratch, numerical};
//!
//! let reference: Vec<f64> = (0..20).map(f64::from).collect();
//! let current: Vec<f64> = (0..20).map(|i| f64::from(i) + 5.5).collect();
//! let outcome = numerical(Metric::AndersonDarling, &Reference::new(&reference).unwrap(), &current, &mut Scratch::new()).unwrap();
//! assert!((outcome.statistic - 3.744701954476424).abs() < 1e-12);
//! assert!((outcome.score - 0.01007105150566606).abs() < 1e-14);
//! ```

use std::f64::consts::PI;

use rand::Rng;

use super::hypergeometric::generator;
use super::special::anderson_darling_sf;
use super::walk::{Group, groups};
use super::{NotApplicable, Outcome, Reference, Scratch};

/// Most values in both samples together whose p-value is permuted beyond the table.
pub const PERMUTED: usize = 200;
/// Most permutations.
pub const DRAWS: u32 = 1_999;
/// Permutations end once so many are at least as extreme: p is large and known well enough.
const ENOUGH_HITS: u32 = 50;

/// Ends of the table in T.
const TABLE: (f64, f64) = (0.325, 6.546);
/// p-values at the ends of the table.
const TABLE_P: (f64, f64) = (0.25, 0.001);
/// ln p over the table: least-squares quadratic through ln of 25, 10, 5, 2.5, 1, 0.5, 0.1 % at T = 0.325, 1.226, 1.961, 2.718, 3.752, 4.592, 6.546.
const LN_P: [f64; 3] = [-1.077770279820486, -1.0082265644652515, 0.018198094574111343];

/// The test. Statistic: T.
///
/// # Errors
/// [`NotApplicable::Empty`]; [`NotApplicable::TooFew`] below five values in both together; [`NotApplicable::Constant`].
pub fn test(reference: &Reference, current: &[f64], scratch: &mut Scratch) -> Result<Outcome, NotApplicable> {
    let t = statistic(reference, current, scratch)?;
    let p = if (TABLE.0..=TABLE.1).contains(&t) {
        table_p(t)
    } else if reference.len() + current.len() <= PERMUTED {
        permuted(reference.sorted(), current, scratch)
    } else {
        anderson_darling_sf((1.0 + t * (2.0 * PI * PI / 3.0 - 6.0).sqrt()).max(0.0))
    };
    Outcome::p(t, p)
}

/// T.
pub(super) fn statistic(reference: &Reference, current: &[f64], scratch: &mut Scratch) -> Result<f64, NotApplicable> {
    let (x, y) = (reference.sorted(), current);
    if y.is_empty() {
        return Err(NotApplicable::Empty);
    }
    let all = x.len() + y.len();
    if all < 5 {
        return Err(NotApplicable::TooFew { have: all, need: 5 });
    }
    if reference.is_constant() && x[0] == y[0] && y[0] == y[y.len() - 1] {
        return Err(NotApplicable::Constant);
    }
    let sums = match scratch.harmonic {
        Some(known) if known.n == all => known,
        _ => *scratch.harmonic.insert(Harmonic::of(all)),
    };
    Ok((a2(x, y) - 1.0) / sums.sigma(x.len(), y.len()))
}

/// p within the table, 0.25 below and 0.001 above it.
pub(super) fn table_p(t: f64) -> f64 {
    if t < TABLE.0 {
        TABLE_P.0
    } else if t > TABLE.1 {
        TABLE_P.1
    } else {
        (LN_P[0] + t * (LN_P[1] + t * LN_P[2])).exp()
    }
}

fn a2(x: &[f64], y: &[f64]) -> f64 {
    let (n, m) = (x.len() as f64, y.len() as f64);
    let all = n + m;
    let mut sum = 0.0;
    groups(x, y, |Group { i, j, in_x, in_y }| sum += term(n, all, (i as f64, in_x as f64), ((i + j) as f64, (in_x + in_y) as f64)));
    sum * (all - 1.0) / (all * all) * (1.0 / n + 1.0 / m)
}

/// One distinct value: (below, equal) in the reference, and in both samples.
#[inline]
fn term(n: f64, all: f64, own: (f64, f64), both: (f64, f64)) -> f64 {
    let b = both.0 + 0.5 * both.1;
    let gap = all * (own.0 + 0.5 * own.1) - n * b;
    let weight = b * (all - b) - 0.25 * all * both.1;
    if weight > 0.0 { both.1 * gap * gap / weight } else { 0.0 }
}

/// `h = sum_{i<N} 1/i` and `g = sum_{i<N-1} sum_{i<j<N} 1/((N-i) j)` of the variance.
#[derive(Copy, Clone, Debug)]
pub(super) struct Harmonic {
    n: usize,
    h: f64,
    g: f64,
}

impl Harmonic {
    fn of(n: usize) -> Self {
        let (mut tail, mut g) = (0.0, 0.0);
        // from the end: tail = sum_{j > i} 1/j
        for i in (1..n).rev() {
            g += tail / (n - i) as f64;
            tail += 1.0 / i as f64;
        }
        Self { n, h: tail, g }
    }

    /// Standard deviation of A2 for k = 2 samples of n and m values.
    fn sigma(&self, n: usize, m: usize) -> f64 {
        let (all, h, g, k) = (self.n as f64, self.h, self.g, 2.0);
        let inverse = 1.0 / n as f64 + 1.0 / m as f64;
        let a = (4.0 * g - 6.0) * (k - 1.0) + (10.0 - 6.0 * g) * inverse;
        let b = (2.0 * g - 4.0) * k * k + 8.0 * h * k + (2.0 * g - 14.0 * h - 4.0) * inverse - 8.0 * h + 4.0 * g - 6.0;
        let c = (6.0 * h + 2.0 * g - 2.0) * k * k + (4.0 * h - 4.0 * g + 6.0) * k + (2.0 * h - 6.0) * inverse + 4.0 * h;
        let d = (2.0 * h + 6.0) * k * k - 4.0 * h * k;
        ((((a * all + b) * all + c) * all + d) / ((all - 1.0) * (all - 2.0) * (all - 3.0))).sqrt()
    }
}

/// Share of random splits with A2 at least as large; ends early where p is large (Besag and Clifford 1991).
fn permuted(x: &[f64], y: &[f64], scratch: &mut Scratch) -> f64 {
    let (n, all) = (x.len(), x.len() + y.len());
    let sizes = &mut scratch.p;
    sizes.clear();
    groups(x, y, |g| sizes.push((g.in_x + g.in_y) as f64));
    // the mirror image draws the same splits
    if sizes.iter().rev().lt(sizes.iter()) {
        sizes.reverse();
    }
    let observed = a2(x, y) * (1.0 - 1e-12);
    let scale = (all as f64 - 1.0) / (all * all) as f64 * (1.0 / n as f64 + 1.0 / y.len() as f64);
    let mut rng = generator();
    let mut hits = 0;
    for draw in 1..=DRAWS {
        let (mut left, mut own, mut below, mut sum) = (n, 0.0, 0.0, 0.0);
        for size in sizes.iter() {
            // each value of the group goes to the first sample with the chance of what is left of it
            let mut taken = 0;
            for k in 0..*size as usize {
                let remaining = all - below as usize - k;
                if rng.gen_range(0..remaining as u32) < (left - taken) as u32 {
                    taken += 1;
                }
            }
            sum += term(n as f64, all as f64, (own, taken as f64), (below, *size));
            left -= taken;
            own += taken as f64;
            below += size;
        }
        hits += u32::from(sum * scale >= observed);
        if hits == ENOUGH_HITS {
            return f64::from(hits) / f64::from(draw);
        }
    }
    f64::from(1 + hits) / f64::from(1 + DRAWS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ways_to_a_p_value_agree() {
        let r = Reference::new(&(0..60).map(f64::from).collect::<Vec<_>>()).unwrap();
        let mut scratch = Scratch::new();
        for shift in [5.5, 7.5, 9.5] {
            let current: Vec<f64> = (0..60).map(|i| f64::from(i) + shift).collect();
            let t = statistic(&r, &current, &mut scratch).unwrap();
            let limit = anderson_darling_sf(1.0 + t * (2.0 * PI * PI / 3.0 - 6.0).sqrt());
            let permuted = permuted(r.sorted(), &current, &mut scratch);
            assert!((table_p(t) / limit - 1.0).abs() < 0.1, "{shift}: {} {limit}", table_p(t));
            assert!((permuted - limit).abs() < 0.01 + 0.3 * limit, "{shift}: {permuted} {limit}");
        }
    }

    #[test]
    fn no_p_value_is_cut_off_at_the_ends_of_the_table() {
        let r = Reference::new(&(0..500).map(f64::from).collect::<Vec<_>>()).unwrap();
        let p = |shift: f64| {
            let current: Vec<f64> = (0..500).map(|i| f64::from(i) + shift).collect();
            test(&r, &current, &mut Scratch::new()).unwrap().score
        };
        assert!(p(0.5) > 0.99 && p(300.5) < 1e-20);
        assert!(p(10.5) > p(20.5) && p(100.5) > p(120.5));
    }

    #[test]
    fn all_equal_has_no_answer() {
        let r = Reference::new(&[2.0; 10]).unwrap();
        assert_eq!(test(&r, &[2.0; 10], &mut Scratch::new()), Err(NotApplicable::Constant));
        assert!(test(&r, &[3.0; 10], &mut Scratch::new()).unwrap().score < 0.01);
    }
}
