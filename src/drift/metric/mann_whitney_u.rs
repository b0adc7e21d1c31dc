//! Mann-Whitney U test (Wilcoxon rank sum): does one sample tend to be larger?
//!
//! Formula: U = number of pairs (reference, current) with the reference value larger, ties counted half. p two-sided by default:
//! exact where the smaller sample has at most 8 values and nothing is tied (the other so few that counts fit in 128 bits), otherwise
//! normal with the tie-corrected variance `nm/12 ((N + 1) - sum (t^3 - t) / (N (N - 1)))` and a continuity correction of 1/2.
//!
//! Parameters: [`Alternative`]. Behaviour: sees shifts, whatever the outliers. Limits: blind to changes of spread and shape about the same middle.
//! All values equal: p = 1. Threshold: p <= 0.05 by default.
//! Siblings: [`super::t_test`] (means), [`super::kolmogorov_smirnov`] (any change).
//! Reference: Mann and Whitney 1947; Hollander, Wolfe and Chicken, Nonparametric Statistical Methods, 2014, section 4.1.
//!
//! ```
//! use driftgate::drift::metric::{Metric, Reference, Scratch, numerical};
//!
//! let reference = Reference::new(&[1.0, 2.0, 3.0, 4.0]).unwrap();
//! let outcome = numerical(Metric::MannWhitneyU, &reference, &[5.0, 6.0, 7.0, 8.0], &mut Scratch::new()).unwrap();
//! assert_eq!(outcome.statistic, 0.0);
//! assert!((outcome.score - 2.0 / 70.0).abs() < 1e-15);
//! ```

use super::special::normal_sf;
use super::walk::groups;
use super::{NotApplicable, Outcome, Reference};

/// Largest smaller sample with an exact p-value.
pub const EXACT_LIMIT: usize = 8;

/// What counts as extreme.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum Alternative {
    #[default]
    TwoSided,
    /// Only a current sample that is larger: one-sided, blind to downward shifts.
    CurrentLarger,
}

/// How the p-value is computed.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum Method {
    /// Exact for small samples without ties, otherwise asymptotic.
    #[default]
    Auto,
    Asymptotic,
}

/// The test. Statistic: U of the reference, 0..=nm.
///
/// # Errors
/// [`NotApplicable::Empty`].
pub fn test(reference: &Reference, current: &[f64], alternative: Alternative, method: Method) -> Result<Outcome, NotApplicable> {
    if current.is_empty() {
        return Err(NotApplicable::Empty);
    }
    let ranks = Ranks::of(reference.sorted(), current);
    let (n, m) = (ranks.n as f64, ranks.m as f64);
    let u = ranks.twice_u as f64 / 2.0;
    let extreme = match alternative {
        Alternative::TwoSided => u.max(n * m - u),
        Alternative::CurrentLarger => n * m - u,
    };
    let sides = if alternative == Alternative::TwoSided { 2.0 } else { 1.0 };
    let exact = if method == Method::Auto && ranks.ties == 0.0 { exact_sf(ranks.n, ranks.m, extreme) } else { None };
    let p = exact.unwrap_or_else(|| asymptotic_sf(&ranks, extreme));
    Outcome::p(u, (sides * p).min(1.0))
}

struct Ranks {
    n: u64,
    m: u64,
    /// 2 U of the reference: whole also with ties.
    twice_u: u128,
    /// sum (t^3 - t) over the groups of equal values.
    ties: f64,
}

impl Ranks {
    fn of(x: &[f64], y: &[f64]) -> Self {
        let (mut twice_u, mut ties) = (0u128, 0.0);
        groups(x, y, |g| {
            twice_u += u128::from(g.in_x * (2 * g.j + g.in_y));
            let t = (g.in_x + g.in_y) as f64;
            ties += t * (t * t - 1.0);
        });
        Self { n: x.len() as u64, m: y.len() as u64, twice_u, ties }
    }
}

fn asymptotic_sf(ranks: &Ranks, u: f64) -> f64 {
    let (n, m) = (ranks.n as f64, ranks.m as f64);
    let all = n + m;
    let variance = n * m / 12.0 * ((all + 1.0) - ranks.ties / (all * (all - 1.0)));
    if variance <= 0.0 {
        return 1.0;
    }
    normal_sf((u - 0.5 * n * m - 0.5) / variance.sqrt())
}

/// P(U >= u); `None` where the samples are too large.
fn exact_sf(n: u64, m: u64, u: f64) -> Option<f64> {
    let (few, many) = (n.min(m), n.max(m));
    if few > EXACT_LIMIT as u64 || many > 100_000 {
        return None;
    }
    // the number of orders with U = k is the coefficient of q^k in prod_{i=1..few} (1 - q^(many+i)) / (1 - q^i), which has few * many
    // as its degree and is symmetric. Whole numbers below 2^128, so wrapping differences are exact.
    let degree = (few * many) as usize;
    let mut ways = vec![0u128; degree + 1];
    ways[0] = 1;
    for i in 1..=few as usize {
        let factor = many as usize + i;
        for k in (factor..=degree).rev() {
            ways[k] = ways[k].wrapping_sub(ways[k - factor]);
        }
        for k in i..=degree {
            ways[k] = ways[k].wrapping_add(ways[k - i]);
        }
    }
    let from = (u.ceil().max(0.0) as usize).min(degree + 1);
    // the tail with fewer terms is summed, from its small end
    let total: f64 = (1..=few).map(|i| (many + i) as f64 / i as f64).product();
    if from > degree / 2 {
        Some(ways[from..].iter().rev().map(|w| *w as f64).sum::<f64>() / total)
    } else {
        Some(1.0 - ways[..from].iter().map(|w| *w as f64).sum::<f64>() / total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exact_law_of_three_and_four() {
        // ways for U = 0..12 among 35
        let ways = [1.0, 1.0, 2.0, 3.0, 4.0, 4.0, 5.0, 4.0, 4.0, 3.0, 2.0, 1.0, 1.0];
        for u in 0..=12 {
            let p = ways[u..].iter().sum::<f64>() / 35.0;
            for (n, m) in [(3, 4), (4, 3)] {
                assert!((exact_sf(n, m, u as f64).unwrap() - p).abs() < 1e-15);
            }
        }
        assert_eq!(exact_sf(9, 9, 1.0), None);
    }

    #[test]
    fn one_sided_is_blind_downward() {
        let reference = Reference::new(&[1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
        let down = [-4.0, -3.0, -2.0, -1.0, 0.0];
        let p = |a| test(&reference, &down, a, Method::Auto).unwrap().score;
        assert!(p(Alternative::CurrentLarger) == 1.0 && p(Alternative::TwoSided) < 0.01);
    }

    #[test]
    fn equal_values_are_no_drift() {
        let reference = Reference::new(&[3.0; 10]).unwrap();
        assert_eq!(test(&reference, &[3.0; 4], Alternative::TwoSided, Method::Auto).unwrap().score, 1.0);
    }
}
