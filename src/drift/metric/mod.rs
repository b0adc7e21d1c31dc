//! The metrics of drift: one file each, pure functions on slices.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

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
