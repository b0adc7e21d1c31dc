//! Empirical maximum mean discrepancy with a Gaussian kernel, judged by permutation.
//!
//! Formula: the unbiased `MMD^2 = 1/(n(n-1)) sum k(x_i, x_j) + 1/(m(m-1)) sum k(y_i, y_j) - 2/(nm) sum k(x_i, y_j)` (first two sums without
//! i = j), `k(a, b) = exp(-(a - b)^2 / med)`, med the median of the reference's squared distances (all n^2, the zero ones of each value to itself
//! included). Where that median is 0, twice the variance of both samples together. p: `(1 + hits)/(1 + draws)` over random splits.
//!
//! Parameters, [`Options`]: `cap`, the values of each sample that are used at most (20 up; a random choice with a fixed seed, default 500: with
//! more, only so many are looked at); `draws` (default 199, so p is at least 0.005; 19 up).
//! The kernel matrix is never formed: it is factored to 1e-12 by incomplete Cholesky, whose rank is 15 to 40 for ordinary values.
//!
//! Behaviour: any change of the distribution at the scale of the reference's spread. Limits: the cap; the step of p. All values equal: p = 1. At least
//! two values in each. Threshold: p <= 0.05 by default.
//! Siblings: [`super::energy_distance`] (another kernel, no p-value), [`super::epps_singleton`].
//! Reference: Gretton et al., A kernel two-sample test, 2012; Fine and Scheinberg 2001 for the factoring.
//!
//! ```
//! use driftgate::drift::metric::{Metric, Reference, Scratch, numerical};
//!
//! // squared distances 0, 0, 1, 1: the middle one in even order is 1, hence k = exp(-d^2)
//! let reference = Reference::new(&[0.0, 1.0]).unwrap();
//! let outcome = numerical(Metric::Mmd, &reference, &[0.0, 1.0], &mut Scratch::new()).unwrap();
//! assert!((outcome.statistic - ((-1f64).exp() - 1.0)).abs() < 1e-12);
//! ```

use rand::Rng;

use super::hypergeometric::generator;
use super::moments::{Moments, unit};
use super::{NotApplicable, Outcome, Reference};

/// Largest residual of the factored kernel.
const TOLERANCE: f64 = 1e-12;
/// Rounding of two equal statistics.
const SLACK: f64 = 1e-10;

/// How much is computed.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// Values of each sample used at most.
    pub cap: usize,
    /// Random splits.
    pub draws: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { cap: 500, draws: 199 }
    }
}

/// The test. Statistic: the unbiased MMD^2 (may be below 0); score: the permutation p-value.
///
/// # Errors
/// [`NotApplicable::TooFew`] below two values in either sample.
pub fn test(reference: &Reference, current: &[f64], options: Options) -> Result<Outcome, NotApplicable> {
    let pair = Pair::of(reference, current, options.cap)?;
    let Some(gamma) = pair.scale_free_gamma() else { return Outcome::p(0.0, 1.0) };
    let (statistic, hits) = pair.permute(gamma, options.draws);
    Outcome::p(statistic, f64::from(1 + hits) / (1.0 + f64::from(options.draws)))
}

/// The statistic and how many of the draws are at least as large, on all values; a median of 0 counts as 1 in the signal's unit.
pub(super) fn with_unit_fallback(reference: &Reference, current: &[f64], draws: u32) -> Result<(f64, u32), NotApplicable> {
    let pair = Pair::of(reference, current, usize::MAX)?;
    let median = median_square(&pair.x);
    let gamma = if median > 0.0 { 1.0 / median } else { pair.unit * pair.unit };
    Ok(pair.permute(gamma, draws))
}

/// What both samples hold, in ascending order, centred and in a power of two as unit.
struct Pair {
    x: Vec<f64>,
    y: Vec<f64>,
    unit: f64,
}

impl Pair {
    fn of(reference: &Reference, current: &[f64], cap: usize) -> Result<Self, NotApplicable> {
        let have = reference.len().min(current.len());
        if have < 2 {
            return Err(NotApplicable::TooFew { have, need: 2 });
        }
        let unit = unit(reference.sorted()).max(unit(current));
        let centre = reference.mean() / unit;
        // the mirror image must give the same draws: of both directions always the same one is computed with
        let mirrored = lean(reference.sorted(), unit, centre).or_else(|| lean(current, unit, centre)) == Some(Lean::Down);
        let prepare = |v: &[f64]| {
            let mut v: Vec<f64> = v.iter().map(|v| if mirrored { centre - v / unit } else { v / unit - centre }).collect();
            if mirrored {
                v.reverse();
            }
            choose(v, cap)
        };
        Ok(Self { x: prepare(reference.sorted()), y: prepare(current), unit })
    }

    /// 1/median, or by the variance; `None` where all values are equal.
    fn scale_free_gamma(&self) -> Option<f64> {
        let median = median_square(&self.x);
        if median > 0.0 {
            return Some(1.0 / median);
        }
        let sd = Moments::of_both(&self.x, &self.y).sd_population();
        (sd > 0.0).then(|| 0.5 / (sd * sd))
    }

    /// The statistic, and how many random splits have one at least as large.
    fn permute(&self, gamma: f64, draws: u32) -> (f64, u32) {
        let (n, m) = (self.x.len(), self.y.len());
        let factor = Factor::of(&self.x, &self.y, gamma);
        let mut sums = vec![0.0; factor.rank];
        factor.add_rows(&mut sums, 0..n);
        let observed = factor.statistic(&sums, n, m);
        let mut rng = generator();
        let mut order: Vec<u32> = (0..(n + m) as u32).collect();
        let (few, mirrored) = (n.min(m), m < n);
        let mut hits = 0;
        for _ in 0..draws {
            for i in 0..few {
                let j = rng.gen_range(i as u32..(n + m) as u32) as usize;
                order.swap(i, j);
            }
            sums.fill(0.0);
            factor.add_rows(&mut sums, order[..few].iter().map(|i| *i as usize));
            let permuted = if mirrored { factor.statistic(&sums, m, n) } else { factor.statistic(&sums, n, m) };
            hits += u32::from(permuted >= observed - SLACK * observed.abs().max(SLACK));
        }
        (observed, hits)
    }
}

/// To which side a sample leans.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Lean {
    Up,
    Down,
}

/// Compares an ascending sample with its mirror image about `centre`, from the ends inwards; `None` where they are the same
/// but for rounding.
fn lean(sorted: &[f64], unit: f64, centre: f64) -> Option<Lean> {
    let off = |v: f64| v / unit - centre;
    let size = sorted.iter().fold(0.0, |size: f64, v| size.max(off(*v).abs()));
    sorted.iter().zip(sorted.iter().rev()).find_map(|(low, high)| {
        let difference = off(*high) + off(*low);
        (difference.abs() > 1e-9 * size).then_some(if difference > 0.0 { Lean::Up } else { Lean::Down })
    })
}

/// At most `cap` of the values, at random, in their order (Knuth's selection sampling).
fn choose(values: Vec<f64>, cap: usize) -> Vec<f64> {
    if values.len() <= cap {
        return values;
    }
    let mut rng = generator();
    let mut left = values.len();
    let mut chosen = Vec::with_capacity(cap);
    for v in values {
        if rng.gen_range(0..left as u64) < (cap - chosen.len()) as u64 {
            chosen.push(v);
        }
        left -= 1;
    }
    chosen
}

/// The median of all n^2 squared distances of an ascending sample, the nearest order statistic (ties of rank to the even one).
fn median_square(sorted: &[f64]) -> f64 {
    let n = sorted.len() as u64;
    let rank = (0.5 * (n * n - 1) as f64).round_ties_even() as u64;
    // the smallest distance d with more than `rank` ordered pairs within it, by bisection over the bits of d
    let within = |d: f64| {
        let (mut first, mut pairs) = (0, 0u64);
        for (i, v) in sorted.iter().enumerate() {
            while v - sorted[first] > d {
                first += 1;
            }
            pairs += (i - first) as u64;
        }
        n + 2 * pairs > rank
    };
    if within(0.0) {
        return 0.0;
    }
    let (mut low, mut high) = (0u64, (sorted[sorted.len() - 1] - sorted[0]).to_bits());
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if within(f64::from_bits(middle)) {
            high = middle;
        } else {
            low = middle;
        }
    }
    f64::from_bits(high) * f64::from_bits(high)
}

/// `K = L L'` of both samples, L row by row.
struct Factor {
    rank: usize,
    rows: Vec<f64>,
    /// Sum of all rows.
    total: Vec<f64>,
}

impl Factor {
    fn of(x: &[f64], y: &[f64], gamma: f64) -> Self {
        let z: Vec<f64> = x.iter().chain(y).copied().collect();
        let mut residual = vec![1.0; z.len()];
        let mut columns: Vec<Vec<f64>> = Vec::new();
        loop {
            let (pivot, largest) = residual.iter().copied().enumerate().fold((0, 0.0), |best, v| if v.1 > best.1 { v } else { best });
            if largest <= TOLERANCE || columns.len() == z.len() {
                break;
            }
            let mut column: Vec<f64> = z.iter().map(|v| (-gamma * (v - z[pivot]) * (v - z[pivot])).exp()).collect();
            for known in &columns {
                let weight = known[pivot];
                column.iter_mut().zip(known).for_each(|(c, k)| *c -= weight * k);
            }
            let scale = 1.0 / largest.sqrt();
            column.iter_mut().for_each(|c| *c *= scale);
            residual.iter_mut().zip(&column).for_each(|(r, c)| *r -= c * c);
            residual[pivot] = 0.0;
            columns.push(column);
        }
        let rank = columns.len();
        let mut rows = vec![0.0; rank * z.len()];
        for (k, column) in columns.iter().enumerate() {
            column.iter().enumerate().for_each(|(i, v)| rows[i * rank + k] = *v);
        }
        let total = columns.iter().map(|c| c.iter().sum()).collect();
        Self { rank, rows, total }
    }

    fn add_rows(&self, sums: &mut [f64], rows: impl Iterator<Item = usize>) {
        for i in rows {
            let row = &self.rows[i * self.rank..(i + 1) * self.rank];
            sums.iter_mut().zip(row).for_each(|(s, v)| *s += v);
        }
    }

    /// MMD^2 of a split into n rows with this sum and the other m.
    fn statistic(&self, sums: &[f64], n: usize, m: usize) -> f64 {
        let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
        for (s, t) in sums.iter().zip(&self.total) {
            let rest = t - s;
            xx += s * s;
            yy += rest * rest;
            xy += s * rest;
        }
        let (n, m) = (n as f64, m as f64);
        // the kernel of each value with itself is 1
        (xx - n) / (n * (n - 1.0)) + (yy - m) / (m * (m - 1.0)) - 2.0 * xy / (n * m)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_definition(x: &[f64], y: &[f64], gamma: f64) -> f64 {
        let k = |a: f64, b: f64| (-gamma * (a - b) * (a - b)).exp();
        let mean = |a: &[f64], b: &[f64], own: f64| {
            let sum: f64 = a.iter().map(|u| b.iter().map(|v| k(*u, *v)).sum::<f64>()).sum();
            (sum - own * a.len() as f64) / (a.len() as f64 * (b.len() as f64 - own))
        };
        mean(x, x, 1.0) + mean(y, y, 1.0) - 2.0 * mean(x, y, 0.0)
    }

    fn wave(n: usize, step: f64, shift: f64) -> Vec<f64> {
        let mut v: Vec<f64> = (0..n).map(|i| (i as f64 * step).sin() * 3.0 + shift).collect();
        v.sort_unstable_by(f64::total_cmp);
        v
    }

    #[test]
    fn the_factored_kernel_gives_the_definition() {
        let (x, y) = (wave(60, 0.7, 0.0), wave(45, 1.3, 0.8));
        let pair = Pair { x: x.clone(), y: y.clone(), unit: 1.0 };
        for gamma in [0.01, 1.0, 50.0] {
            let (statistic, _) = pair.permute(gamma, 0);
            assert!((statistic - by_definition(&x, &y, gamma)).abs() < 1e-11);
        }
    }

    #[test]
    fn the_median_of_all_squared_distances() {
        let x = wave(31, 0.9, 0.0);
        let mut all: Vec<f64> = x.iter().flat_map(|a| x.iter().map(move |b| (a - b) * (a - b))).collect();
        all.sort_unstable_by(f64::total_cmp);
        assert_eq!(median_square(&x), all[480]);
        assert_eq!(median_square(&[1.0, 1.0, 1.0, 7.0]), 0.0);
    }

    #[test]
    fn the_mirror_image_has_the_same_answer() {
        let squared = |n, step| wave(n, step, 4.0).iter().map(|v| v * v).collect::<Vec<_>>();
        let turned = |v: &[f64]| v.iter().rev().map(|v| -v).collect::<Vec<_>>();
        let (x, y) = (squared(900, 0.7), squared(620, 0.71));
        let ask = |x: &[f64], y: &[f64]| test(&Reference::new(x).unwrap(), y, Options::default()).unwrap();
        let (a, b) = (ask(&x, &y), ask(&turned(&x), &turned(&y)));
        assert!(a.score == b.score && (a.statistic - b.statistic).abs() < 1e-12, "{a:?} {b:?}");
    }

    #[test]
    fn the_mirror_image_of_a_reference_with_equal_tails_too() {
        let (x, y) = ([-2.0, -1.25, -1.25, -0.75, 0.25, 0.5], [-0.25, 0.0, 0.0, 0.0, 0.0]);
        let turned = |v: &[f64]| v.iter().rev().map(|v| -v).collect::<Vec<_>>();
        let ask = |x: &[f64], y: &[f64]| test(&Reference::new(x).unwrap(), y, Options::default()).unwrap();
        assert_eq!(ask(&x, &y).score, ask(&turned(&x), &turned(&y)).score);
    }

    #[test]
    fn drift_is_seen_and_its_absence_too() {
        let r = Reference::new(&wave(800, 0.7, 0.0)).unwrap();
        let p = |shift| test(&r, &wave(700, 1.3, shift), Options::default()).unwrap().score;
        assert!(p(1.5) == 0.005 && p(0.0) > 0.05, "{} {}", p(1.5), p(0.0));
    }
}
