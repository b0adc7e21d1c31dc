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

fn largest_gap(x: &[f64], y: &[f64]) -> Gap {
    let (n, m) = (x.len() as i64, y.len() as i64);
    let (mut i, mut j, mut at, mut steps, mut ties) = (0, 0, 0i64, 0i64, false);
    while i < x.len() && j < y.len() {
        let (a, b) = (x[i], y[j]);
        if a < b {
            at += m;
            i += 1;
        } else if b < a {
            at -= n;
            j += 1;
            ties |= j < y.len() && y[j] == b;
        } else {
            ties = true;
            while i < x.len() && x[i] == a {
                at += m;
                i += 1;
            }
            while j < y.len() && y[j] == a {
                at -= n;
                j += 1;
            }
        }
        // Inside a run of equal values `at` only moves on in its direction: the largest gap of the run is at its end, unless the
        // gap began on the other side, where its beginning has been seen already.
        steps = steps.max(at.abs());
    }
    ties |= y[j..].windows(2).any(|w| w[0] == w[1]);
    Gap { steps: steps.unsigned_abs(), ties }
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
fn exact_unequal(n: u64, m: u64, steps: u64, row: &mut Vec<f64>) -> f64 {
    if steps == 0 {
        return 1.0;
    }
    // rows run along the larger sample, so that the row in hand is the short one
    let (long, short) = (n.max(m), n.min(m));
    let inside = |i: u64, j: u64| (i * short).abs_diff(j * long) < steps;
    row.clear();
    row.resize(short as usize + 1, 1.0);
    for (j, u) in row.iter_mut().enumerate() {
        *u = if inside(0, j as u64) { 0.0 } else { 1.0 };
    }
    for i in 1..=long {
        // j inside: i short / long - steps / long < j < i short / long + steps / long
        let middle = i * short;
        let first = if middle < steps { 0 } else { (middle - steps) / long + 1 };
        let last = ((middle + steps - 1) / long).min(short);
        let weight = i as f64;
        let mut left = 1.0;
        if first > 0 {
            row[first as usize - 1] = 1.0;
        }
        for j in first..=last {
            let u = &mut row[j as usize];
            let j = j as f64;
            left = if j == 0.0 { *u } else { (weight * *u + j * left) / (weight + j) };
            *u = left;
        }
    }
    row[short as usize]
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
