//! Compatibility mode `evidently`: the scores, thresholds and verdicts of Evidently 0.7.23 (with scipy 1.17, numpy 2.4), so that
//! one program can be checked against the other.
//!
//! An adapter over the metrics: only what differs is here.
//!
//! | metric | what differs from the default |
//! |---|---|
//! | chi_squared, g_test | goodness of fit: the reference counts as exact; an unseen class gives p = 0; g_test refuses n != m |
//! | z_test | more than two classes: the first in order against the rest; `2 (1 - cdf)` underflows to 0 beyond z = 8.3 |
//! | fisher_exact | refuses n != m and more than two classes on a side; a third class over both sides counts with the second |
//! | total_variation, mmd | no +1 correction; mmd on all values, a median of 0 counts as 1 in the signal's unit |
//! | kolmogorov_smirnov | exact up to 10,000 values in each, whatever the ties |
//! | wasserstein | divided by at least 0.001 in the signal's unit |
//! | anderson_darling | p within 0.001..=0.25 |
//! | cramer_von_mises | exact up to 20 values whatever the ties, in half or single precision; refuses the sizes at which it fails |
//! | mann_whitney_u | one-sided: a lower current sample never drifts |
//! | energy_distance | not divided: depends on the unit |
//! | t_test | Student |
//! | psi, kullback_leibler, jensen_shannon | at most 20 different reference values: a bin each; otherwise Sturges bins over both samples; empty bins as 0.0001, or a millionth of the smallest share where that is at most 0.0001 |
//! | hellinger | of numbers: Sturges bins over the different values |
//!
//! What Evidently answers with an error or NaN is [`NotApplicable::Refused`]. Its random resampling (total_variation, mmd) is matched in law, not in numbers.
//!
//! ```
//! use driftgate::drift::metric::{Metric, evidently};
//!
//! // one row of a class never seen before
//! let outcome = evidently::categorical(Metric::ChiSquared, &[300, 200, 0], &[300, 199, 1]).unwrap();
//! assert_eq!(outcome.score, 0.0);
//! assert!(evidently::exceeded(Metric::ChiSquared, &outcome, evidently::default_threshold(Metric::ChiSquared)));
//! ```

use super::counts::Counts;
use super::cramer_von_mises::{Criterion, EXACT_LIMIT, gcd, tail_weight};
use super::special::normal_sf;
use super::walk::groups;
use super::{
    Kind, Metric, NotApplicable, Outcome, Reference, Refusal, Scratch, anderson_darling, check_sorted, chi_squared, cramer_von_mises,
    energy_distance, epps_singleton, fisher_exact, g_test, jensen_shannon, kolmogorov_smirnov, kullback_leibler, mann_whitney_u, mmd, psi,
    shares, t_test, total_variation, wasserstein, z_test,
};

/// What a column of numbers holds: whole numbers get bins at least 1 wide.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum Dtype {
    #[default]
    Float,
    Integer,
}

/// Largest sample whose Kolmogorov-Smirnov p-value is exact.
const KS_EXACT: usize = 10_000;
/// Different values of the reference up to which each has its own bin.
const VALUES_AS_BINS: usize = 20;
/// Permutations of total_variation and of mmd.
const TVD_DRAWS: u32 = 1_000;
const MMD_DRAWS: u32 = 100;

/// The threshold where the user names none.
pub const fn default_threshold(metric: Metric) -> f64 {
    match metric {
        Metric::ChiSquared | Metric::ZTest | Metric::KolmogorovSmirnov | Metric::MannWhitneyU | Metric::EppsSingleton | Metric::TTest => {
            0.05
        }
        _ => 0.1,
    }
}

/// The score says drift. Each metric has its own side of the threshold.
pub fn exceeded(metric: Metric, outcome: &Outcome, threshold: f64) -> bool {
    match metric {
        Metric::KolmogorovSmirnov | Metric::CramerVonMises => outcome.score <= threshold,
        Metric::EnergyDistance => outcome.score > threshold,
        _ if metric.is_p_value() => outcome.score < threshold,
        _ => outcome.score >= threshold,
    }
}

/// The metric where the user names none. Only the reference's size counts; `distinct` is the number of different values on both sides.
pub fn default_metric(kind: Kind, n_ref: usize, distinct: usize) -> Metric {
    match (kind, n_ref <= 1_000) {
        (Kind::Numerical, true) if distinct > 5 => Metric::KolmogorovSmirnov,
        (Kind::Numerical, false) if distinct > 5 => Metric::Wasserstein,
        (_, false) => Metric::JensenShannon,
        (_, true) if distinct > 2 => Metric::ChiSquared,
        (_, true) => Metric::ZTest,
    }
}

/// Compares numbers. The tests of classes that the default rule may choose (chi_squared, z_test) take each value for a class.
///
/// # Errors
/// [`NotApplicable::Refused`] where Evidently has no answer; otherwise as [`super::numerical`].
pub fn numerical(
    metric: Metric,
    reference: &Reference,
    current_sorted: &[f64],
    dtype: Dtype,
    scratch: &mut Scratch,
) -> Result<Outcome, NotApplicable> {
    check_sorted(current_sorted)?;
    let (n, m) = (reference.len(), current_sorted.len());
    let answer = match metric {
        Metric::KolmogorovSmirnov => {
            let exact = n.max(m) <= KS_EXACT;
            let method = if exact { kolmogorov_smirnov::Method::Exact } else { kolmogorov_smirnov::Method::Asymptotic };
            kolmogorov_smirnov::test(reference, current_sorted, method, scratch)
        }
        Metric::Wasserstein => {
            let distance = wasserstein::unscaled(reference, current_sorted)?;
            Outcome::distance(distance / reference.sd_population().max(0.001))
        }
        Metric::AndersonDarling => {
            anderson_darling::statistic(reference, current_sorted, scratch).and_then(|t| Outcome::p(t, anderson_darling::table_p(t)))
        }
        Metric::CramerVonMises => cramer_von_mises(reference, current_sorted),
        Metric::MannWhitneyU => {
            mann_whitney_u::test(reference, current_sorted, mann_whitney_u::Alternative::CurrentLarger, mann_whitney_u::Method::Auto)
        }
        Metric::EnergyDistance => energy_distance::unscaled(reference, current_sorted).and_then(Outcome::distance),
        Metric::EppsSingleton => or_certain(epps_singleton::test(reference, current_sorted), reference, current_sorted),
        Metric::TTest => or_certain(t_test::test(reference, current_sorted, t_test::Variances::Equal), reference, current_sorted),
        Metric::Mmd => mmd::with_unit_fallback(reference, current_sorted, MMD_DRAWS)
            .and_then(|(statistic, hits)| Outcome::p(statistic, f64::from(hits) / f64::from(MMD_DRAWS))),
        Metric::Hellinger => hellinger(reference, current_sorted, dtype, scratch),
        Metric::KullbackLeibler | Metric::Psi | Metric::JensenShannon => {
            if reference.distinct() > VALUES_AS_BINS {
                pooled_bins(reference, current_sorted, dtype, scratch);
            } else {
                value_bins(reference, current_sorted, scratch);
            }
            of_shares(metric, scratch)
        }
        Metric::ChiSquared | Metric::ZTest => {
            let (mut r, mut c) = (Vec::new(), Vec::new());
            groups(reference.sorted(), current_sorted, |g| {
                r.push(g.in_x);
                c.push(g.in_y);
            });
            categorical(metric, &r, &c)
        }
        Metric::FisherExact | Metric::GTest | Metric::TotalVariation => Err(NotApplicable::NotNumerical(metric)),
    };
    answer.map_err(as_refusal)
}

/// Compares counts of classes, in the ascending order of their names.
///
/// # Errors
/// [`NotApplicable::Refused`] where Evidently has no answer; otherwise as [`super::categorical`].
pub fn categorical(metric: Metric, reference: &[u64], current: &[u64]) -> Result<Outcome, NotApplicable> {
    if !metric.is_categorical() {
        return Err(NotApplicable::NotCategorical(metric));
    }
    let counts = Counts::new(reference, current)?;
    let (n, m) = counts.sizes();
    let refuse = |refusal| Err(NotApplicable::Refused(refusal));
    match metric {
        Metric::ChiSquared => fit(chi_squared::goodness_of_fit(&counts)),
        Metric::GTest if n != m => refuse(Refusal::UnequalSizes),
        Metric::GTest => fit(g_test::goodness_of_fit(&counts)),
        Metric::ZTest => z(&counts),
        Metric::FisherExact if sides(&counts).0.max(sides(&counts).1) > 2 => refuse(Refusal::ManyClasses),
        Metric::FisherExact if n != m => refuse(Refusal::UnequalSizes),
        Metric::FisherExact => {
            let (r, c) = counts.pairs().next().unwrap_or_default();
            fisher_exact::test(&[r, n - r], &[c, m - c])
        }
        Metric::TotalVariation => {
            let hits = total_variation::hits(&counts, TVD_DRAWS);
            Outcome::p(total_variation::distance(reference, current)?, f64::from(hits) / f64::from(TVD_DRAWS))
        }
        _ => {
            let mut scratch = Scratch::new();
            scratch.p.extend(counts.seen().map(|(r, _)| r / n as f64));
            scratch.q.extend(counts.seen().map(|(_, c)| c / m as f64));
            of_shares(metric, &mut scratch)
        }
    }
}

/// What the metrics themselves do not answer, Evidently does not either.
fn as_refusal(reason: NotApplicable) -> NotApplicable {
    match reason {
        NotApplicable::TooFew { .. } | NotApplicable::Constant => NotApplicable::Refused(Refusal::Degenerate),
        other => other,
    }
}

/// Two different constants: the statistic is infinite, and p is 0.
fn or_certain(answer: Result<Outcome, NotApplicable>, reference: &Reference, current: &[f64]) -> Result<Outcome, NotApplicable> {
    let (x, y) = (reference.sorted()[0], current[0]);
    let constant = reference.is_constant() && y == current[current.len() - 1];
    match answer {
        Err(NotApplicable::Constant) if constant && x != y => Outcome::p(if x < y { -f64::MAX } else { f64::MAX }, 0.0),
        other => other,
    }
}

/// A goodness of fit; an infinite statistic becomes the largest number.
fn fit(answer: Option<(f64, f64)>) -> Result<Outcome, NotApplicable> {
    let (statistic, p) = answer.ok_or(NotApplicable::Refused(Refusal::NotANumber))?;
    Outcome::p(statistic.min(f64::MAX), p)
}

/// Classes that occur in the reference and in the current sample.
fn sides(counts: &Counts) -> (usize, usize) {
    (counts.pairs().filter(|(r, _)| *r > 0).count(), counts.pairs().filter(|(_, c)| *c > 0).count())
}

fn z(counts: &Counts) -> Result<Outcome, NotApplicable> {
    let (n, m) = counts.totals();
    let (r, c) = counts.seen().next().unwrap_or_default();
    match z_test::statistic(n - r, m - c, (n, m), z_test::Variance::Pooled) {
        // 1 - cdf loses what is below the rounding of 1
        Some(z) => Outcome::p(z, 2.0 * (1.0 - (1.0 - normal_sf(z.abs())))),
        None => Outcome::p(0.0, 1.0),
    }
}

/// Exact up to 20 values in each, in the precision that the number of orders fits.
fn cramer_von_mises(reference: &Reference, current: &[f64]) -> Result<Outcome, NotApplicable> {
    let asymptotic = cramer_von_mises::test(reference, current, cramer_von_mises::Method::Asymptotic)?;
    if reference.len().max(current.len()) > EXACT_LIMIT {
        return Ok(asymptotic);
    }
    let criterion = Criterion::of(reference.sorted(), current)?;
    let (n, m) = (criterion.n, criterion.m);
    let lcm = n / gcd(n, m) * m;
    let (_, orders) = tail_weight(n, m, i64::MAX, |v| v);
    if (lcm * lcm * (n + m)) as f64 >= orders {
        // the table becomes one of whole numbers, and the library's addition to it fails
        return Err(NotApplicable::Refused(Refusal::Degenerate));
    }
    let round = if orders <= 65_504.0 { to_half } else { to_single };
    let (reached, orders) = tail_weight(n, m, criterion.zeta(), round);
    Outcome::p(asymptotic.statistic, round(round(reached) / round(orders)))
}

fn to_single(v: f64) -> f64 {
    f64::from(v as f32)
}

/// Nearest half-precision number; for 0 <= v <= 65,504.
fn to_half(v: f64) -> f64 {
    if v == 0.0 {
        return 0.0;
    }
    // 11 significant bits, and no finer than 2^-24
    let quantum = 2f64.powi(v.log2().floor() as i32 - 10).max(2f64.powi(-24));
    (v / quantum).round_ties_even() * quantum
}

/// Shares in `scratch.p` and `scratch.q` by a bin for each different value.
fn value_bins(reference: &Reference, current: &[f64], scratch: &mut Scratch) {
    let Scratch { p, q, .. } = scratch;
    let (n, m) = (reference.len() as f64, current.len() as f64);
    p.clear();
    q.clear();
    groups(reference.sorted(), current, |g| {
        p.push(g.in_x as f64 / n);
        q.push(g.in_y as f64 / m);
    });
}

/// Shares by Sturges bins over both samples.
fn pooled_bins(reference: &Reference, current: &[f64], dtype: Dtype, scratch: &mut Scratch) {
    histogram(reference, current, reference.len() + current.len(), dtype, scratch);
}

/// Shares by numpy's Sturges rule for so many values between the smallest and the largest of both samples.
fn histogram(reference: &Reference, current: &[f64], values: usize, dtype: Dtype, scratch: &mut Scratch) {
    let (low, high) = reference.range();
    let (low, high) = (low.min(current[0]), high.max(current[current.len() - 1]));
    let Scratch { row: edges, p, q, .. } = scratch;
    edges.clear();
    if low == high {
        edges.extend([low - 0.5, high + 0.5]);
    } else {
        let range = high - low;
        let width = range / ((values as f64).log2() + 1.0);
        let width = if dtype == Dtype::Integer { width.max(1.0) } else { width };
        let bins = (range / width).ceil();
        let step = range / bins;
        edges.extend((0..bins as u32).map(|i| f64::from(i) * step + low));
        edges.push(high);
    }
    count(reference.sorted(), edges, p);
    count(current, edges, q);
}

/// Shares of an ascending sample in bins closed on the left, the last one on both sides.
fn count(sorted: &[f64], edges: &[f64], out: &mut Vec<f64>) {
    let last = edges.len() - 1;
    let below = |i: usize| if i == last { sorted.partition_point(|v| *v <= edges[i]) } else { sorted.partition_point(|v| *v < edges[i]) };
    out.clear();
    out.extend((0..last).map(|i| (below(i + 1) - below(i)) as f64 / sorted.len() as f64));
}

/// Over the different values of both samples, not over all.
fn hellinger(reference: &Reference, current: &[f64], dtype: Dtype, scratch: &mut Scratch) -> Result<Outcome, NotApplicable> {
    let mut distinct = 0;
    groups(reference.sorted(), current, |_| distinct += 1);
    histogram(reference, current, distinct, dtype, scratch);
    of_shares(Metric::Hellinger, scratch)
}

fn of_shares(metric: Metric, scratch: &mut Scratch) -> Result<Outcome, NotApplicable> {
    let Scratch { p, q, .. } = scratch;
    match metric {
        Metric::JensenShannon => {
            shares::normalise(p);
            shares::normalise(q);
            jensen_shannon::of_shares(p, q)
        }
        Metric::Hellinger => {
            let overlap: f64 = p.iter().zip(q.iter()).map(|(p, q)| (p * q).sqrt()).sum();
            Outcome::distance((1.0 - overlap.clamp(0.0, 1.0)).sqrt())
        }
        Metric::KullbackLeibler => {
            fill(p);
            fill(q);
            shares::normalise(p);
            shares::normalise(q);
            kullback_leibler::of_shares(p, q)
        }
        _ => {
            fill(p);
            fill(q);
            psi::of_shares(p, q)
        }
    }
}

/// Empty bins: 0.0001, or a millionth of the smallest share where that is at most 0.0001.
fn fill(shares: &mut [f64]) {
    let smallest = shares.iter().copied().filter(|p| *p > 0.0).fold(f64::INFINITY, f64::min);
    let filler = if smallest <= 1e-4 { smallest / 1e6 } else { 1e-4 };
    shares.iter_mut().filter(|p| **p == 0.0).for_each(|p| *p = filler);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_precision_has_eleven_bits() {
        assert_eq!(to_half(2049.0), 2048.0);
        assert_eq!(to_half(12_870.0), 12_872.0);
        assert_eq!(to_half(66.0 / 252.0), 0.261_962_890_625);
        assert_eq!(to_half(4.1135e-5), 690.0 * 2f64.powi(-24));
    }

    #[test]
    fn the_default_rule_looks_at_the_reference_only() {
        let choose = |kind, n, distinct| default_metric(kind, n, distinct).name();
        assert_eq!(choose(Kind::Numerical, 1_000, 6), "kolmogorov_smirnov");
        assert_eq!(choose(Kind::Numerical, 1_001, 6), "wasserstein");
        assert_eq!(choose(Kind::Numerical, 1_000, 5), "chi_squared");
        assert_eq!(choose(Kind::Numerical, 1_000, 2), "z_test");
        assert_eq!(choose(Kind::Numerical, 1_001, 5), "jensen_shannon");
        assert_eq!(choose(Kind::Categorical, 1_000, 2), "z_test");
        assert_eq!(choose(Kind::Categorical, 1_000, 3), "chi_squared");
        assert_eq!(choose(Kind::Categorical, 1_001, 2), "jensen_shannon");
    }
}
