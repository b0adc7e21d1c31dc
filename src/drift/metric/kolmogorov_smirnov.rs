//! Two-sample Kolmogorov-Smirnov test: the largest gap between the two empirical distribution functions.
//!
//! Formula: `D = max |F(v) - G(v)|` over all values v.
//!
//! p-value, by [`Method`]:
//! - exact: the share of the lattice paths from (0, 0) to (n, m) that somewhere have `|i/n - j/m| >= D`. For n = m by the reflection
//!   principle, `2 sum_k (-1)^(k+1) C(2n, n-kh) / C(2n, n)` with `h = n D`; otherwise by the recursion over the lattice inside
//!   the band, where `u(i, j) = i/(i+j) u(i-1, j) + j/(i+j) u(i, j-1)` is the share of the paths through (i, j) that have left it.
//!   All terms are positive: small p-values keep their digits. The law is that of continuous data; with ties the true p-value is smaller.
//! - asymptotic: the one-sample law of D for `round(n m / (n + m))` values.
//!
//! Behaviour: sees any change of shape, most of all in the middle; weak in the tails. Limits: serial correlation makes it reject too often
//! (calibrate the threshold). Threshold: p <= 0.05 by default.
//! Siblings: [`super::anderson_darling`] (tails), [`super::cramer_von_mises`] (all of the range), [`super::wasserstein`] (how far).
//! Reference: Hodges, The significance probability of the Smirnov two-sample test, 1958; Simard and L'Ecuyer, Computing the two-sided
//! Kolmogorov-Smirnov distribution, 2011.
//!
//! ```
//! use driftgate::drift::metric::{Metric, Reference, Scratch, numerical};
//!
//! let reference = Reference::new(&[1.0, 2.0, 3.0, 4.0]).unwrap();
//! let outcome = numerical(Metric::KolmogorovSmirnov, &reference, &[3.5, 4.5, 5.5, 6.5], &mut Scratch::new()).unwrap();
//! assert_eq!(outcome.statistic, 0.75);
//! assert!((outcome.score - 16.0 / 70.0).abs() < 1e-15);
//! ```

use super::kolmogorov;
use super::{NotApplicable, Outcome, Reference, Scratch};

/// Where [`Method::Auto`] stops being exact: the largest n m.
pub const EXACT_LIMIT: u64 = 1_000_000;

/// How the p-value is computed.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum Method {
    /// Exact while n m <= [`EXACT_LIMIT`] and no value occurs twice, otherwise asymptotic.
    #[default]
    Auto,
    /// The exact law of continuous data, whatever the sizes: up to n m steps.
    Exact,
    Asymptotic,
}

/// The test. Statistic: D in 0..=1.
///
/// # Errors
/// [`NotApplicable::Empty`].
pub fn test(reference: &Reference, current: &[f64], method: Method, scratch: &mut Scratch) -> Result<Outcome, NotApplicable> {
    let (x, y) = (reference.sorted(), current);
    if y.is_empty() {
        return Err(NotApplicable::Empty);
    }
    let (n, m) = (x.len() as u64, y.len() as u64);
    let gap = largest_gap(x, y);
    let d = gap.steps as f64 / (n as f64 * m as f64);
    let exact = match method {
        Method::Exact => true,
        Method::Asymptotic => false,
        Method::Auto => !gap.ties && !reference.has_ties() && n.saturating_mul(m) <= EXACT_LIMIT,
    };
    let p = match (exact, n == m) {
        (true, true) => exact_equal(n, gap.steps / n),
        (true, false) => exact_unequal(n, m, gap.steps, &mut scratch.row),
        (false, _) => kolmogorov::survival((n as f64 * m as f64 / (n + m) as f64).round_ties_even().max(1.0) as u64, d),
    };
    Outcome::p(d, p)
}

struct Gap {
    /// max |i m - j n|, where i and j values of the samples are at most v.
    steps: u64,
    /// A value occurs in both samples, or twice in the second.
    ties: bool,
}

/// Looks at both sides of each value of y: between two of them the gap only grows, so its extremes are at the ends.
fn largest_gap(x: &[f64], y: &[f64]) -> Gap {
    let (n, m) = (x.len() as i64, y.len() as i64);
    let (mut i, mut j, mut steps, mut ties) = (0, 0, 0i64, false);
    while j < y.len() {
        let b = y[j];
        // Before b, all smaller values of x counted.
        i += count_while(&x[i..], |a| a < b);
        steps = steps.max((i as i64 * m - j as i64 * n).abs());
        let (equal_x, equal_y) = (count_while(&x[i..], |a| a == b), count_while(&y[j..], |v| v == b));
        ties |= equal_x > 0 || equal_y > 1;
        i += equal_x;
        j += equal_y;
        steps = steps.max((i as i64 * m - j as i64 * n).abs());
    }
    Gap { steps: steps.unsigned_abs(), ties }
}

/// How many values at the head of an ascending slice a condition holds for, found in steps that double, then halve.
fn count_while(values: &[f64], holds: impl Fn(f64) -> bool) -> usize {
    let mut reach = 1;
    while reach <= values.len() && holds(values[reach - 1]) {
        reach *= 2;
    }
    let known = reach / 2;
    known + values[known..(reach - 1).clamp(known, values.len())].partition_point(|v| holds(*v))
}

/// P(n D >= h) for two samples of n.
fn exact_equal(n: u64, h: u64) -> f64 {
    if h == 0 {
        return 1.0;
    }
    let n_f = n as f64;
    // term = C(2n, n - j) / C(2n, n), by its factors (n - i + 1) / (n + i)
    let (mut sum, mut term, mut sign, mut j) = (0.0, 1.0, 1.0, 0u64);
    while j + h <= n {
        for i in j + 1..=j + h {
            term *= (n_f - i as f64 + 1.0) / (n_f + i as f64);
        }
        j += h;
        sum += sign * term;
        sign = -sign;
        if term <= sum.abs() * 1e-17 {
            break;
        }
    }
    2.0 * sum
}

/// Share of the paths from (0, 0) to (n, m) that somewhere have |i m - j n| >= steps.
///
/// Diagonal by diagonal: the cells with i + j = s depend on those before alone, so that several are computed at once.
fn exact_unequal(n: u64, m: u64, steps: u64, row: &mut Vec<f64>) -> f64 {
    if steps == 0 {
        return 1.0;
    }
    let (long, short) = (n.max(m), n.min(m));
    let all = long + short;
    // Cell j along the shorter sample lies at j + 1, between one on either side that has left the band: share 1.
    let width = short as usize + 3;
    row.clear();
    row.resize(3 * width, 1.0);
    let (mut before, rest) = row.split_at_mut(width);
    let (mut now, numbers) = rest.split_at_mut(width);
    numbers.iter_mut().enumerate().for_each(|(j, number)| *number = j as f64);
    before[1] = 0.0;
    // Inside: |i short - j long| = |s short - j all| < steps. Both bounds only grow.
    let (mut first, mut last) = (0, (steps - 1) / all);
    for s in 1..=all {
        let middle = s * short;
        while first * all + steps <= middle {
            first += 1;
        }
        while (last + 1) * all < middle + steps {
            last += 1;
        }
        let from = first.max(s.saturating_sub(long)) as usize;
        let to = last.min(short).min(s) as usize;
        let sum = s as f64;
        let inputs = before[from + 1..].iter().zip(&before[from..]).zip(&numbers[from..]);
        for (u, ((up, left), j)) in now[from + 1..to + 2].iter_mut().zip(inputs) {
            *u = ((sum - j) * up + j * left) / sum;
        }
        (now[from], now[to + 2]) = (1.0, 1.0);
        std::mem::swap(&mut before, &mut now);
    }
    before[short as usize + 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All C(n + m, n) orders of the two samples, by counting those whose gap is at least `steps`.
    fn by_enumeration(n: u64, m: u64, steps: u64) -> f64 {
        fn walk(i: u64, j: u64, n: u64, m: u64, steps: u64, out: bool) -> (u64, u64) {
            let out = out || (i * m).abs_diff(j * n) >= steps;
            if i == n && j == m {
                return (u64::from(out), 1);
            }
            let a = if i < n { walk(i + 1, j, n, m, steps, out) } else { (0, 0) };
            let b = if j < m { walk(i, j + 1, n, m, steps, out) } else { (0, 0) };
            (a.0 + b.0, a.1 + b.1)
        }
        let (out, all) = walk(0, 0, n, m, steps, false);
        out as f64 / all as f64
    }

    #[test]
    fn the_exact_law_is_the_count_of_paths() {
        let mut row = Vec::new();
        for (n, m) in [(4, 4), (3, 7), (7, 3), (5, 6), (8, 2), (6, 9)] {
            for steps in 1..=n * m {
                let counted = by_enumeration(n, m, steps);
                assert!((exact_unequal(n, m, steps, &mut row) - counted).abs() < 1e-14, "{n} {m} {steps}");
                if n == m {
                    assert!((exact_equal(n, steps.div_ceil(n)) - counted).abs() < 1e-14, "{n} {steps}");
                }
            }
        }
    }

    #[test]
    fn ties_are_found_in_either_sample_and_across() {
        let tied = |x: &[f64], y: &[f64]| largest_gap(x, y).ties;
        assert!(!tied(&[1.0, 2.0], &[3.0, 4.0]));
        assert!(tied(&[1.0, 2.0], &[2.0, 4.0]));
        assert!(tied(&[1.0, 2.0], &[3.0, 3.0]));
        assert!(tied(&[1.0, 5.0], &[3.0, 3.0]));
    }

    #[test]
    fn equal_samples_have_no_gap() {
        let r = Reference::new(&[1.0, 2.0, 2.0]).unwrap();
        for method in [Method::Auto, Method::Exact, Method::Asymptotic] {
            let o = test(&r, &[1.0, 2.0, 2.0], method, &mut Scratch::new()).unwrap();
            assert_eq!((o.statistic, o.score), (0.0, 1.0));
        }
    }
}
