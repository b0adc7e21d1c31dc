//! The metrics of drift: one file each, pure functions on slices.
//!
//! ```text
//! Reference (sorted once, cells frozen) ─┐
//!                                        ├─▶ numerical(metric) ──▶ Outcome {statistic, p_value, score} ──▶ exceeded, index
//! current sample (sorted) ───────────────┘                    └──▶ NotApplicable (typed, never NaN)
//! counts per class of both ──────────────▶ categorical(metric) ──▶ the same
//! ```
//!
//! An outcome depends on the two samples alone: not on their order, and, as a verdict, not on the unit or the direction of the
//! signal. [`exceeded`] and [`index`] read a score: a p-value at or below its threshold and a distance at or above it are drift,
//! and the index is 1.0 there.

pub mod anderson_darling;
pub mod chi_squared;
pub mod cramer_von_mises;
pub mod energy_distance;
pub mod epps_singleton;
pub mod evidently;
pub mod fisher_exact;
pub mod g_test;
pub mod hellinger;
pub mod jensen_shannon;
pub mod kolmogorov_smirnov;
pub mod kullback_leibler;
pub mod mann_whitney_u;
pub mod mmd;
pub mod psi;
pub mod t_test;
pub mod total_variation;
pub mod wasserstein;
pub mod z_test;

mod cells;
mod counts;
mod hypergeometric;
mod kolmogorov;
mod moments;
mod outcome;
mod reference;
mod shares;
mod special;
mod walk;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use counts::Counts;

pub use outcome::{NotApplicable, Outcome, Refusal};
pub use reference::{Reference, Scratch, sort_finite};

/// A metric by its name in configuration, files and messages.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(into = "&'static str", try_from = "String")]
pub enum Metric {
    ChiSquared,
    ZTest,
    FisherExact,
    GTest,
    TotalVariation,
    KolmogorovSmirnov,
    Wasserstein,
    AndersonDarling,
    CramerVonMises,
    MannWhitneyU,
    EnergyDistance,
    EppsSingleton,
    TTest,
    Mmd,
    KullbackLeibler,
    Psi,
    JensenShannon,
    Hellinger,
}

/// Each metric with its name and the other names it is known by (Evidently's among them).
const NAMES: &[(Metric, &str, &[&str])] = &[
    (Metric::ChiSquared, "chi_squared", &["chisquare", "chi2"]),
    (Metric::ZTest, "z_test", &["z"]),
    (Metric::FisherExact, "fisher_exact", &["fisher"]),
    (Metric::GTest, "g_test", &["g"]),
    (Metric::TotalVariation, "total_variation", &["TVD", "tvd"]),
    (Metric::KolmogorovSmirnov, "kolmogorov_smirnov", &["ks"]),
    (Metric::Wasserstein, "wasserstein", &["w1"]),
    (Metric::AndersonDarling, "anderson_darling", &["anderson", "ad"]),
    (Metric::CramerVonMises, "cramer_von_mises", &["cvm"]),
    (Metric::MannWhitneyU, "mann_whitney_u", &["mannw", "mwu"]),
    (Metric::EnergyDistance, "energy_distance", &["ed"]),
    (Metric::EppsSingleton, "epps_singleton", &["es"]),
    (Metric::TTest, "t_test", &["t"]),
    (Metric::Mmd, "mmd", &["empirical_mmd"]),
    (Metric::KullbackLeibler, "kullback_leibler", &["kl_div", "kl"]),
    (Metric::Psi, "psi", &["population_stability_index"]),
    (Metric::JensenShannon, "jensen_shannon", &["jensenshannon", "js"]),
    (Metric::Hellinger, "hellinger", &["hellinger_distance"]),
];

impl Metric {
    pub fn all() -> impl Iterator<Item = Self> {
        NAMES.iter().map(|(m, ..)| *m)
    }

    /// The name of product.md: `kolmogorov_smirnov`, `wasserstein`, ...
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(m, ..)| *m == self).map_or("", |(_, name, _)| name)
    }
}

impl Metric {
    /// Judged by a p-value (small is drift); the others are distances (large is drift).
    pub const fn is_p_value(self) -> bool {
        !matches!(
            self,
            Self::Wasserstein | Self::EnergyDistance | Self::KullbackLeibler | Self::Psi | Self::JensenShannon | Self::Hellinger
        )
    }

    /// The field's uncalibrated threshold: 0.05 for p-values, 0.1 for distances.
    pub const fn default_threshold(self) -> f64 {
        if self.is_p_value() { 0.05 } else { 0.1 }
    }

    /// Compares counts of classes.
    pub const fn is_categorical(self) -> bool {
        matches!(self, Self::ChiSquared | Self::ZTest | Self::FisherExact | Self::GTest | Self::TotalVariation) || self.is_binned()
    }

    /// Compares numbers.
    pub const fn is_numerical(self) -> bool {
        !self.is_categorical() || self.is_binned()
    }

    /// Works on shares of cells: of classes, or of numbers by the reference's cells.
    const fn is_binned(self) -> bool {
        matches!(self, Self::KullbackLeibler | Self::Psi | Self::JensenShannon | Self::Hellinger)
    }
}

/// Compares a current sample of numbers with the reference.
///
/// `current_sorted` is finite and ascending, as [`sort_finite`] makes it. The default variant of each metric; the others are
/// parameters of the functions in its own file.
///
/// # Errors
/// [`NotApplicable`] says why there is no answer; [`NotApplicable::NotNumerical`] for a metric of classes.
pub fn numerical(metric: Metric, reference: &Reference, current_sorted: &[f64], scratch: &mut Scratch) -> Result<Outcome, NotApplicable> {
    check_sorted(current_sorted)?;
    match metric {
        Metric::KolmogorovSmirnov => kolmogorov_smirnov::test(reference, current_sorted, kolmogorov_smirnov::Method::Auto, scratch),
        Metric::Wasserstein => wasserstein::test(reference, current_sorted),
        Metric::AndersonDarling => anderson_darling::test(reference, current_sorted, scratch),
        Metric::CramerVonMises => cramer_von_mises::test(reference, current_sorted, cramer_von_mises::Method::Auto),
        Metric::MannWhitneyU => {
            mann_whitney_u::test(reference, current_sorted, mann_whitney_u::Alternative::TwoSided, mann_whitney_u::Method::Auto)
        }
        Metric::EnergyDistance => energy_distance::test(reference, current_sorted),
        Metric::EppsSingleton => epps_singleton::test(reference, current_sorted),
        Metric::TTest => t_test::test(reference, current_sorted, t_test::Variances::Any),
        Metric::Mmd => mmd::test(reference, current_sorted, mmd::Options::default()),
        Metric::KullbackLeibler | Metric::Psi | Metric::JensenShannon | Metric::Hellinger => {
            binned(metric, reference, current_sorted, scratch)
        }
        Metric::ChiSquared | Metric::ZTest | Metric::FisherExact | Metric::GTest | Metric::TotalVariation => {
            Err(NotApplicable::NotNumerical(metric))
        }
    }
}

/// Compares the counts of classes of two samples: one entry per class of the union, in the same order on both sides.
///
/// # Errors
/// [`NotApplicable`] says why there is no answer; [`NotApplicable::NotCategorical`] for a metric of numbers.
pub fn categorical(metric: Metric, reference: &[u64], current: &[u64]) -> Result<Outcome, NotApplicable> {
    match metric {
        Metric::ChiSquared => chi_squared::test(reference, current),
        Metric::ZTest => z_test::test(reference, current, z_test::Variance::Pooled),
        Metric::FisherExact => fisher_exact::test(reference, current),
        Metric::GTest => g_test::test(reference, current),
        Metric::TotalVariation => total_variation::test(reference, current, total_variation::DRAWS),
        Metric::KullbackLeibler | Metric::Psi | Metric::JensenShannon | Metric::Hellinger => {
            let counts = Counts::new(reference, current)?;
            let (n, m) = counts.totals();
            let mut scratch = Scratch::new();
            scratch.p.extend(counts.seen().map(|(r, _)| r / n));
            scratch.q.extend(counts.seen().map(|(_, c)| c / m));
            of_shares(metric, n, m, &mut scratch)
        }
        _ => Err(NotApplicable::NotCategorical(metric)),
    }
}

fn binned(metric: Metric, reference: &Reference, current: &[f64], scratch: &mut Scratch) -> Result<Outcome, NotApplicable> {
    let cells = reference.cells();
    cells.count(current, &mut scratch.row);
    shares::of(cells.counts(), &mut scratch.p);
    shares::of(&scratch.row, &mut scratch.q);
    of_shares(metric, reference.len() as f64, current.len() as f64, scratch)
}

/// The metrics of shares on `scratch.p` (of n values) and `scratch.q` (of m).
fn of_shares(metric: Metric, n: f64, m: f64, scratch: &mut Scratch) -> Result<Outcome, NotApplicable> {
    let Scratch { p, q, .. } = scratch;
    match metric {
        Metric::JensenShannon => jensen_shannon::of_shares(p, q),
        Metric::Hellinger => hellinger::of_shares(p, q),
        Metric::KullbackLeibler => {
            shares::fill(p, n, q, m);
            shares::normalise(p);
            shares::normalise(q);
            kullback_leibler::of_shares(p, q)
        }
        _ => {
            shares::fill(p, n, q, m);
            psi::of_shares(p, q)
        }
    }
}

/// Not empty, finite, ascending.
fn check_sorted(current: &[f64]) -> Result<(), NotApplicable> {
    let (Some(first), Some(last)) = (current.first(), current.last()) else {
        return Err(NotApplicable::Empty);
    };
    // NaN fails every comparison
    if first.is_finite() && last.is_finite() && current.windows(2).all(|w| w[0] <= w[1]) { Ok(()) } else { Err(NotApplicable::NotSorted) }
}

/// The score says drift: a p-value at or below the threshold, a distance at or above it.
pub fn exceeded(metric: Metric, outcome: &Outcome, threshold: f64) -> bool {
    if metric.is_p_value() { outcome.score <= threshold } else { outcome.score >= threshold }
}

/// How near a score is to its threshold: 1.0 at the threshold, larger beyond it, never negative, always finite.
///
/// A distance: value / threshold. A p-value: `ln p / ln threshold`, p not below 1e-300.
pub fn index(metric: Metric, score: f64, threshold: f64) -> f64 {
    let index = if metric.is_p_value() {
        // thresholds of 0 and 1 have no logarithm to divide by
        score.clamp(P_FLOOR, 1.0).ln() / threshold.clamp(P_FLOOR, 1.0 - f64::EPSILON).ln()
    } else {
        score / threshold.max(f64::MIN_POSITIVE)
    };
    // + 0.0: ln 1 over a negative logarithm is -0
    (index + 0.0).clamp(0.0, INDEX_CAP)
}

/// What a column holds.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Numerical,
    Categorical,
}

/// The metric where the user names none. "Objects" are the values of the smaller sample.
///
/// Categorical, at most 1,000 objects: Z-test for up to two classes, chi-squared otherwise; above: Jensen-Shannon. Numerical, at most 1,000:
/// Kolmogorov-Smirnov; above: Wasserstein. `classes` (seen on either side) is not looked at for numbers.
pub fn default_metric(kind: Kind, n_ref: usize, n_cur: usize, classes: usize) -> Metric {
    let few = n_ref.min(n_cur) <= FEW_OBJECTS;
    match (kind, few) {
        (Kind::Numerical, true) => Metric::KolmogorovSmirnov,
        (Kind::Numerical, false) => Metric::Wasserstein,
        (Kind::Categorical, true) if classes <= 2 => Metric::ZTest,
        (Kind::Categorical, true) => Metric::ChiSquared,
        (Kind::Categorical, false) => Metric::JensenShannon,
    }
}

/// Objects up to which a test is the default, and a distance above.
const FEW_OBJECTS: usize = 1_000;
/// Smallest p-value of an index.
const P_FLOOR: f64 = 1e-300;
/// Largest index.
const INDEX_CAP: f64 = 1e9;

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl From<Metric> for &'static str {
    fn from(metric: Metric) -> Self {
        metric.name()
    }
}

impl TryFrom<String> for Metric {
    type Error = UnknownMetric;

    fn try_from(name: String) -> Result<Self, UnknownMetric> {
        name.parse()
    }
}

impl FromStr for Metric {
    type Err = UnknownMetric;

    fn from_str(name: &str) -> Result<Self, UnknownMetric> {
        NAMES
            .iter()
            .find(|(_, n, aliases)| *n == name || aliases.contains(&name))
            .map(|(m, ..)| *m)
            .ok_or_else(|| UnknownMetric(name.to_string()))
    }
}

/// A name that is no metric.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown metric: `{0}`; known are {known}", known = NAMES.iter().map(|n| n.1).collect::<Vec<_>>().join(", "))]
pub struct UnknownMetric(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_is_one_at_the_threshold_and_always_finite() {
        assert!((index(Metric::KolmogorovSmirnov, 0.05, 0.05) - 1.0).abs() < 1e-15);
        assert!((index(Metric::KolmogorovSmirnov, 0.0025, 0.05) - 2.0).abs() < 1e-12);
        assert_eq!(index(Metric::Wasserstein, 0.3, 0.1), 0.3 / 0.1);
        for metric in Metric::all() {
            for score in [0.0, 1e-320, 0.5, 1.0, 1e300] {
                for threshold in [0.0, 1e-320, 0.05, 1.0, 1e300] {
                    let index = index(metric, score, threshold);
                    assert!((0.0..=INDEX_CAP).contains(&index), "{metric} {score} {threshold}: {index}");
                }
            }
        }
    }

    #[test]
    fn exceeded_includes_the_threshold() {
        let p = Outcome::p(1.0, 0.05).unwrap();
        let d = Outcome::distance(0.1).unwrap();
        assert!(exceeded(Metric::KolmogorovSmirnov, &p, 0.05) && !exceeded(Metric::KolmogorovSmirnov, &p, 0.049));
        assert!(exceeded(Metric::Psi, &d, 0.1) && !exceeded(Metric::Psi, &d, 0.101));
    }

    #[test]
    fn a_malformed_sample_is_an_answer() {
        let r = Reference::new(&[1.0, 2.0]).unwrap();
        let ask = |current: &[f64]| numerical(Metric::KolmogorovSmirnov, &r, current, &mut Scratch::new()).unwrap_err();
        assert_eq!(ask(&[]), NotApplicable::Empty);
        assert_eq!(ask(&[2.0, 1.0]), NotApplicable::NotSorted);
        assert_eq!(ask(&[1.0, f64::NAN, 3.0]), NotApplicable::NotSorted);
        assert_eq!(ask(&[1.0, f64::INFINITY]), NotApplicable::NotSorted);
        assert_eq!(numerical(Metric::ChiSquared, &r, &[1.0], &mut Scratch::new()), Err(NotApplicable::NotNumerical(Metric::ChiSquared)));
    }

    #[test]
    fn names_are_unique_and_read_back() {
        let mut seen = std::collections::HashSet::new();
        for (metric, name, aliases) in NAMES {
            for text in std::iter::once(name).chain(*aliases) {
                assert!(seen.insert(*text), "{text} twice");
                assert_eq!(text.parse::<Metric>().as_ref(), Ok(metric));
            }
        }
        assert_eq!(Metric::all().count(), 18);
        assert!("ksx".parse::<Metric>().unwrap_err().to_string().contains("kolmogorov_smirnov"));
    }
}
