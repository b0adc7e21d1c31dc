use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::chart::Chart;
use super::metric::{self, Metric};

/// What a monitor has in a slot T1..T4: a metric of its window, or a chart of its rows.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(into = "&'static str", try_from = "String")]
pub enum Test {
    Metric(Metric),
    Chart(Chart),
}

impl Test {
    /// All metrics, then all charts.
    pub fn all() -> impl Iterator<Item = Self> {
        Metric::all().map(Self::Metric).chain(Chart::ALL.into_iter().map(Self::Chart))
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Metric(metric) => metric.name(),
            Self::Chart(chart) => chart.name(),
        }
    }

    /// Judged by a p-value (small is drift).
    pub const fn is_p_value(self) -> bool {
        matches!(self, Self::Metric(metric) if metric.is_p_value())
    }

    pub const fn is_chart(self) -> bool {
        matches!(self, Self::Chart(_))
    }

    pub const fn metric(self) -> Option<Metric> {
        match self {
            Self::Metric(metric) => Some(metric),
            Self::Chart(_) => None,
        }
    }

    /// The uncalibrated threshold for a monitor of so many columns.
    pub fn default_threshold(self, columns: usize) -> f64 {
        match self {
            Self::Metric(metric) => metric.default_threshold(),
            Self::Chart(chart) => chart.default_threshold(columns),
        }
    }

    /// 1.0 at the threshold, larger beyond; see [`metric::index`].
    pub fn index(self, score: f64, threshold: f64) -> f64 {
        match self {
            Self::Metric(metric) => metric::index(metric, score, threshold),
            // Any distance has the same rule.
            Self::Chart(_) => metric::index(Metric::Wasserstein, score, threshold),
        }
    }
}

impl From<Metric> for Test {
    fn from(metric: Metric) -> Self {
        Self::Metric(metric)
    }
}

impl From<Chart> for Test {
    fn from(chart: Chart) -> Self {
        Self::Chart(chart)
    }
}

impl From<Test> for &'static str {
    fn from(test: Test) -> Self {
        test.name()
    }
}

impl TryFrom<String> for Test {
    type Error = UnknownTest;

    fn try_from(name: String) -> Result<Self, UnknownTest> {
        name.parse()
    }
}

impl FromStr for Test {
    type Err = UnknownTest;

    fn from_str(name: &str) -> Result<Self, UnknownTest> {
        let metric = name.parse().map(Self::Metric).ok();
        metric.or_else(|| name.parse().map(Self::Chart).ok()).ok_or_else(|| UnknownTest(name.to_string()))
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name that is neither a metric nor a chart.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown metric or chart: `{0}`; known are {known}", known = Test::all().map(Test::name).collect::<Vec<_>>().join(", "))]
pub struct UnknownTest(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_read_back() {
        let names: std::collections::HashSet<_> = Test::all().map(Test::name).collect();
        assert_eq!(names.len(), 22);
        for test in Test::all() {
            assert_eq!(test.name().parse(), Ok(test));
        }
        assert_eq!("ks".parse(), Ok(Test::Metric(Metric::KolmogorovSmirnov)));
        assert!("ewma".parse::<Test>().unwrap_err().to_string().contains("ewma_t2"));
    }

    #[test]
    fn index_is_one_at_the_threshold() {
        for test in Test::all() {
            let threshold = test.default_threshold(5);
            assert!((test.index(threshold, threshold) - 1.0).abs() < 1e-12, "{test}");
        }
    }
}
