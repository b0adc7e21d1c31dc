//! Sequential charts: they follow a machine row by row and see slow, small changes sooner than a window does.
//!
//! ```text
//! judged row ─▶ residual of its regime ─▶ minus the machine's own baseline ─▶ clipped at 4 sd ─▶ chart ─▶ value, index
//! ```
//! A residual is `(x - mean_r) / sd_r` with mean and standard deviation of the row's regime r, so a chart goes on over
//! regimes and pools what each of them shows. Rows that are not judged (outside, transient, faults) leave it as it is.
//! One file a chart; all are tests of a monitor like the metrics: value, threshold, index 1.0 at the threshold.

pub mod adwin;
pub mod cusum;
pub mod ewma_t2;
pub mod page_hinkley;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use adwin::Adwin;
use cusum::Cusum;
use ewma_t2::{EwmaReference, EwmaT2};
use page_hinkley::PageHinkley;

/// A residual counts for at most so many standard deviations: one spike moves no chart beyond its threshold.
pub const CLIP: f64 = 4.0;

/// A chart by its name in configuration, files and messages.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Chart {
    EwmaT2,
    Cusum,
    PageHinkley,
    Adwin,
}

impl Chart {
    pub const ALL: [Self; 4] = [Self::EwmaT2, Self::Cusum, Self::PageHinkley, Self::Adwin];

    /// `ewma_t2`, `cusum`, `page_hinkley`, `adwin`
    pub const fn name(self) -> &'static str {
        match self {
            Self::EwmaT2 => "ewma_t2",
            Self::Cusum => "cusum",
            Self::PageHinkley => "page_hinkley",
            Self::Adwin => "adwin",
        }
    }

    /// Uncalibrated threshold for independent Gaussian rows of so many features.
    pub fn default_threshold(self, columns: usize) -> f64 {
        match self {
            Self::EwmaT2 => ewma_t2::default_threshold(columns),
            Self::Cusum => cusum::default_threshold(columns),
            Self::PageHinkley => page_hinkley::default_threshold(columns),
            Self::Adwin => adwin::default_threshold(columns),
        }
    }
}

impl fmt::Display for Chart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Chart {
    type Err = UnknownChart;

    fn from_str(name: &str) -> Result<Self, UnknownChart> {
        Self::ALL.into_iter().find(|c| c.name() == name).ok_or_else(|| UnknownChart(name.to_string()))
    }
}

/// A name that is no chart.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown chart: `{0}`; known are ewma_t2, cusum, page_hinkley, adwin")]
pub struct UnknownChart(String);

/// A running chart over all columns of a monitor. Memory is fixed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ChartState {
    EwmaT2(EwmaT2),
    Cusum(Cusum),
    PageHinkley(PageHinkley),
    Adwin(Adwin),
}

impl ChartState {
    pub fn new(chart: Chart, columns: usize) -> Self {
        match chart {
            Chart::EwmaT2 => Self::EwmaT2(EwmaT2::new(columns)),
            Chart::Cusum => Self::Cusum(Cusum::new(columns)),
            Chart::PageHinkley => Self::PageHinkley(PageHinkley::new(columns)),
            Chart::Adwin => Self::Adwin(Adwin::new(columns)),
        }
    }

    pub fn chart(&self) -> Chart {
        match self {
            Self::EwmaT2(_) => Chart::EwmaT2,
            Self::Cusum(_) => Chart::Cusum,
            Self::PageHinkley(_) => Chart::PageHinkley,
            Self::Adwin(_) => Chart::Adwin,
        }
    }

    /// One row of residuals, one a column; NaN where a value is missing, which leaves that column as it is.
    pub fn push(&mut self, residuals: &[f64], threshold: f64, reference: Option<&EwmaReference>) {
        match self {
            Self::EwmaT2(c) => c.push(residuals, reference),
            Self::Cusum(c) => c.push(residuals),
            Self::PageHinkley(c) => c.push(residuals),
            Self::Adwin(c) => c.push(residuals, threshold),
        }
    }

    /// What is held against the threshold; NaN while warming up.
    pub fn value(&self) -> f64 {
        match self {
            Self::EwmaT2(c) => c.value(),
            Self::Cusum(c) => c.value(),
            Self::PageHinkley(c) => c.value(),
            Self::Adwin(c) => c.value(),
        }
    }

    /// One column's part on the same scale: at most [`Self::value`].
    pub fn column(&self, k: usize) -> f64 {
        match self {
            Self::EwmaT2(c) => c.column(k),
            Self::Cusum(c) => c.column(k),
            Self::PageHinkley(c) => c.column(k),
            Self::Adwin(c) => c.column(k),
        }
    }

    /// The same chart before its first row.
    pub fn reset(&mut self, columns: usize) {
        *self = Self::new(self.chart(), columns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_thresholds_are_finite() {
        for chart in Chart::ALL {
            assert_eq!(chart.name().parse(), Ok(chart));
            assert_eq!(ChartState::new(chart, 3).chart(), chart);
            for columns in [1, 14, 1000] {
                assert!(chart.default_threshold(columns).is_finite());
            }
        }
        assert!("ewma".parse::<Chart>().is_err());
    }

    #[test]
    fn every_chart_is_quiet_without_a_shift_and_finds_one() {
        for chart in Chart::ALL {
            let mut state = ChartState::new(chart, 2);
            let threshold = chart.default_threshold(2);
            let mut noise = (0..).map(|i| ((f64::from(i) * 0.754_877_666).fract() - 0.5) * 3.4);
            for _ in 0..500 {
                state.push(&[noise.next().unwrap(), noise.next().unwrap()], threshold, None);
                assert!(state.value().is_nan() || state.value() < threshold, "{chart}");
            }
            let mut found = false;
            for _ in 0..60 {
                state.push(&[noise.next().unwrap(), noise.next().unwrap() - 2.0], threshold, None);
                found |= state.value() >= threshold && state.column(1) > state.column(0);
            }
            assert!(found, "{chart}");
        }
    }

    #[test]
    fn a_missing_value_keeps_the_column() {
        for chart in Chart::ALL {
            let mut state = ChartState::new(chart, 2);
            for _ in 0..50 {
                state.push(&[0.3, f64::NAN], 1e9, None);
            }
            assert!(state.column(0).is_finite() && state.value().is_finite(), "{chart}");
        }
    }
}
