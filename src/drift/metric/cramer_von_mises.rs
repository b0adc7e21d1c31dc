//! Two-sample Cramer-von Mises test: the mean squared gap between the distribution functions.
//!
//! Formula: `T = U/(nmN) - (4nm - 1)/(6N)`, `U = n sum (r_i - i)^2 + m sum (s_j - j)^2` with r and s the (mid)ranks of both samples among all N.
//! Computed in whole numbers. p: exact where both samples have at most 20 values and nothing is tied; otherwise
//! from the limit law at `1/6 + (T - E T) / sqrt(45 Var T)`, with its tail to full relative accuracy.
//!
//! Parameters: [`Method`]. Behaviour: sees shifts and changes of shape over the whole range; more power than
//! [`super::kolmogorov_smirnov`] against small wide changes. Limits: at least two values in each sample; the exact law is that of
//! continuous data. Threshold: p <= 0.05 by default.
//! Siblings: [`super::anderson_darling`] (tails weigh more), [`super::energy_distance`] (in units of the values).
//! Reference: Anderson, On the distribution of the two-sample Cramer-von Mises criterion, 1962; Xiao, Gordon and Yakovlev 2006.
//!
//! ```
//! use driftgate::drift::metric::{Metric, Reference, Scratch, numerical};
//!
//! let reference = Reference::new(&[1.0, 2.0]).unwrap();
//! let outcome = numerical(Metric::CramerVonMises, &reference, &[3.0, 4.0], &mut Scratch::new()).unwrap();
//! assert_eq!(outcome.statistic, 0.375);
//! assert!((outcome.score - 2.0 / 6.0).abs() < 1e-15);
//! ```

use super::special::cramer_von_mises_sf;
use super::walk::groups;
use super::{NotApplicable, Outcome, Reference};

/// Largest sample with an exact p-value.
pub const EXACT_LIMIT: usize = 20;

/// How the p-value is computed.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum Method {
    /// Exact for at most [`EXACT_LIMIT`] values each without ties, otherwise asymptotic.
    #[default]
    Auto,
    /// The exact law of continuous data; only up to [`EXACT_LIMIT`] values, asymptotic beyond.
    Exact,
    Asymptotic,
}

/// The test. Statistic: T.
///
/// # Errors
/// [`NotApplicable::TooFew`] below two values.
pub fn test(reference: &Reference, current: &[f64], method: Method) -> Result<Outcome, NotApplicable> {
    let criterion = Criterion::of(reference.sorted(), current)?;
    let small = reference.len().max(current.len()) <= EXACT_LIMIT;
    let exact = match method {
        Method::Auto => small && !criterion.ties,
        Method::Exact => small,
        Method::Asymptotic => false,
    };
    let p = if exact {
        let (reached, all) = tail_weight(criterion.n, criterion.m, criterion.zeta(), |v| v);
        reached / all
    } else {
        criterion.asymptotic()
    };
    Outcome::p(criterion.t(), p)
}

/// The criterion of two samples, in whole numbers.
pub(super) struct Criterion {
    pub(super) n: u64,
    pub(super) m: u64,
    /// 24 n m N T.
    scaled: i128,
    pub(super) ties: bool,
}

impl Criterion {
    pub(super) fn of(x: &[f64], y: &[f64]) -> Result<Self, NotApplicable> {
        let (n, m) = (x.len() as u64, y.len() as u64);
        if n.min(m) < 2 {
            return Err(NotApplicable::TooFew { have: n.min(m) as usize, need: 2 });
        }
        if n.max(m) > MOST {
            return Err(NotApplicable::OutOfRange);
        }
        let (mut in_x, mut in_y, mut ties) = (0i128, 0i128, false);
        groups(x, y, |g| {
            // midrank - own rank of the first value of the group: j + 1/2 (in_y + in_x - 1) .. falling by 1
            let both = g.in_x + g.in_y;
            ties |= both > 1;
            in_x += twice_deviations(2 * g.j as i64 + both as i64 - 1, g.in_x);
            in_y += twice_deviations(2 * g.i as i64 + both as i64 - 1, g.in_y);
        });
        let (a, b) = (i128::from(n), i128::from(m));
        // U4 = 4 U; 24 n m N T = 6 U4 - 4 n m (4 n m - 1)
        let scaled = 6 * (a * in_x + b * in_y) - 4 * a * b * (4 * a * b - 1);
        Ok(Self { n, m, scaled, ties })
    }

    fn t(&self) -> f64 {
        let (n, m) = (self.n as f64, self.m as f64);
        self.scaled as f64 / (24.0 * n * m * (n + m))
    }

    /// `lcm^2 N T` rounded down: what the exact law counts in.
    pub(super) fn zeta(&self) -> i64 {
        let lcm = i128::from(self.n / gcd(self.n, self.m) * self.m);
        let (n, m) = (i128::from(self.n), i128::from(self.m));
        // T = scaled / (24 n m N) and the law counts nm/N^2-normalised squares: lcm^2 N^2 / (n m) T
        let numerator = lcm * lcm * (n + m) * self.scaled;
        i64::try_from(numerator.div_euclid(24 * n * n * m * m)).unwrap_or(i64::MAX)
    }

    pub(super) fn asymptotic(&self) -> f64 {
        let (n, m) = (self.n as f64, self.m as f64);
        let (all, product) = (n + m, n * m);
        let mean = (1.0 + 1.0 / all) / 6.0;
        let variance = (all + 1.0) * (4.0 * product * all - 3.0 * (n * n + m * m) - 2.0 * product) / (45.0 * all * all * 4.0 * product);
        cramer_von_mises_sf(1.0 / 6.0 + (self.t() - mean) / (45.0 * variance).sqrt())
    }
}

/// Largest sample: the whole numbers stay below 2^127.
const MOST: u64 = 1 << 28;

/// `sum_{k=0..count} (first - 2k)^2`.
fn twice_deviations(first: i64, count: u64) -> i128 {
    if count == 1 {
        return i128::from(first) * i128::from(first);
    }
    let (a, c) = (i128::from(first), i128::from(count));
    c * a * a - 2 * a * c * (c - 1) + 2 * c * (c - 1) * (2 * c - 1) / 3
}

pub(super) fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Of all orders of n and m values: how many have a criterion of at least `zeta`, and how many there are.
///
/// Recursion of Xiao, Gordon and Yakovlev over the lattice: at (u, v) the criterion grows by `(a v - b u)^2`. `round` is applied to
/// every number: the identity, or a coarser arithmetic.
pub(super) fn tail_weight(n: u64, m: u64, zeta: i64, round: impl Fn(f64) -> f64) -> (f64, f64) {
    let lcm = n / gcd(n, m) * m;
    let (a, b) = ((lcm / n) as f64, (lcm / m) as f64);
    let mut row: Vec<Vec<(f64, f64)>> = vec![Vec::new(); n as usize + 1];
    row[0].push((0.0, 1.0));
    for u in 0..=m {
        let mut left: Vec<(f64, f64)> = Vec::new();
        for (v, here) in row.iter_mut().enumerate() {
            let mut sum = merge(&left, here, &round);
            let step = a * v as f64 - b * u as f64;
            sum.iter_mut().for_each(|(value, _)| *value = round(*value + step * step));
            left.clone_from(&sum);
            *here = sum;
        }
    }
    let last = &row[n as usize];
    let reached = last.iter().filter(|(value, _)| *value >= zeta as f64).map(|(_, ways)| ways).sum();
    let all = (1..=n).fold(1.0, |product, i| product * (m + i) as f64 / i as f64).round();
    (reached, all)
}

/// Two ascending frequency tables as one.
fn merge(a: &[(f64, f64)], b: &[(f64, f64)], round: &impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
    let mut out = Vec::with_capacity(a.len() + b.len());
    let (mut i, mut j) = (0, 0);
    while i < a.len() && j < b.len() {
        match a[i].0.total_cmp(&b[j].0) {
            std::cmp::Ordering::Less => {
                out.push(a[i]);
                i += 1;
            }
            std::cmp::Ordering::Greater => {
                out.push(b[j]);
                j += 1;
            }
            std::cmp::Ordering::Equal => {
                out.push((a[i].0, round(a[i].1 + b[j].1)));
                i += 1;
                j += 1;
            }
        }
    }
    out.extend_from_slice(&a[i..]);
    out.extend_from_slice(&b[j..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_give_the_published_formula() {
        let (x, y) = ([1.0, 2.0, 2.0, 5.0, 7.0], [2.0, 3.0, 7.0]);
        // midranks by hand: x at 1, 3, 3, 6, 7.5; y at 3, 5, 7.5
        let u = 5.0 * (0.0 + 1.0 + 0.0 + 4.0 + 6.25) + 3.0 * (4.0 + 9.0 + 20.25);
        let t = u / (15.0 * 8.0) - 59.0 / 48.0;
        let criterion = Criterion::of(&x, &y).unwrap();
        assert!((criterion.t() - t).abs() < 1e-14 && criterion.ties);
    }

    #[test]
    fn the_exact_law_counts_all_orders() {
        for (n, m) in [(2, 2), (3, 5), (4, 4), (5, 3)] {
            let (reached, all) = tail_weight(n, m, i64::MIN, |v| v);
            assert_eq!(reached, all);
        }
    }

    #[test]
    fn exact_and_asymptotic_are_near_at_the_limit() {
        let x: Vec<f64> = (0..20).map(f64::from).collect();
        let y: Vec<f64> = (0..20).map(|i| f64::from(i) + 4.5).collect();
        let r = Reference::new(&x).unwrap();
        let p = |method| test(&r, &y, method).unwrap().score;
        assert!((p(Method::Exact) - p(Method::Asymptotic)).abs() < 0.01);
        assert_eq!(p(Method::Exact), p(Method::Auto));
    }

    #[test]
    fn one_value_is_too_few() {
        let r = Reference::new(&[1.0, 2.0]).unwrap();
        assert_eq!(test(&r, &[1.0], Method::Auto), Err(NotApplicable::TooFew { have: 1, need: 2 }));
    }
}
