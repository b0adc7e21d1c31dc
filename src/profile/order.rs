//! What a signal does in time, at unchanged settings: how long it remembers, whether it has a level to come back to, whether it oscillates.
//!
//! All of it is of the residuals within the combinations of settings, series by series: a change of settings is no trend.

use std::collections::HashMap;
use std::sync::Arc;

use realfft::{RealFftPlanner, RealToComplex};
use serde::Serialize;

use crate::drift::calibrate::has_unit_root;

/// Shorter series say nothing.
const MIN_ROWS: usize = 50;
/// Autocorrelations are added up to the first below this.
const FORGOTTEN: f64 = 0.05;
/// An oscillation goes down to minus this, and comes back to this.
const SWING: f64 = 0.3;
/// Lags in which a waveform shows.
const NEAR_LAGS: usize = 200;
/// A trend moves so many standard deviations from start to end, and is this share of the variance.
const TREND_SD: f64 = 1.0;
const TREND_SHARE: f64 = 0.1;

/// Whether a level holds.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stationarity {
    /// It comes back to its level.
    Stationary,
    /// It has a level, and moves away from it in one direction.
    Trend,
    /// It has no level to come back to (unit root).
    Wanders,
}

/// A signal in time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Order {
    /// Rows used, of series of at least 50 rows.
    pub rows: usize,
    /// Rows that say as much about a mean as one independent row.
    pub memory: f64,
    /// `rows` by `memory`.
    pub effective_n: f64,
    pub stationarity: Stationarity,
    /// Change from the start to the end of a series along a straight line, in standard deviations; mean over the series.
    pub trend_sd: f64,
    /// Lowest autocorrelation of the first 200 lags: clearly below 0 for a waveform, or a control loop that hunts.
    pub lowest_autocorrelation: f64,
    /// Rows of one oscillation; `None` where no clear one comes back.
    pub period_rows: Option<usize>,
}

/// Takes the autocorrelations of many columns.
pub(super) struct Ordering {
    planner: RealFftPlanner<f64>,
    plans: HashMap<usize, Arc<dyn RealToComplex<f64>>>,
}

impl Ordering {
    pub fn new() -> Self {
        Self { planner: RealFftPlanner::new(), plans: HashMap::new() }
    }

    /// `residuals`: one a row, NaN where there is none. `None` where nothing varies, or no series is long enough.
    pub fn of(&mut self, residuals: &[f64], series: &[Vec<usize>]) -> Option<Order> {
        let values = |rows: &Vec<usize>| rows.iter().map(|r| residuals[*r]).filter(|x| x.is_finite()).collect::<Vec<f64>>();
        let series: Vec<Vec<f64>> = series.iter().map(values).filter(|s| s.len() >= MIN_ROWS && varies(s)).collect();
        if series.is_empty() {
            return None;
        }
        let rows: usize = series.iter().map(Vec::len).sum();
        let correlations = self.autocorrelations(&series);
        let memory = (1.0 + 2.0 * correlations.iter().take_while(|r| **r > FORGOTTEN).sum::<f64>()).clamp(1.0, rows as f64);
        let (trend_sd, share) = trend(&series);
        let effective_n = rows as f64 / memory;
        let steady = trend_sd.abs() < TREND_SD || share < TREND_SHARE.max(4.0 / effective_n.max(1.0)).min(0.5);
        let stationarity = if has_unit_root(series.iter().map(Vec::as_slice)) {
            Stationarity::Wanders
        } else if steady {
            Stationarity::Stationary
        } else {
            Stationarity::Trend
        };
        let near = correlations.len().min(NEAR_LAGS).min(rows / 20);
        let lowest_autocorrelation = correlations[..near].iter().copied().fold(1.0, f64::min);
        Some(Order { rows, memory, effective_n, stationarity, trend_sd, lowest_autocorrelation, period_rows: period(&correlations) })
    }

    /// Of the lags 1.., up to a quarter of the longest series; at each lag over the series that are four times as long.
    ///
    /// For a single series these are the correlations that `drift::calibrate::memory` adds up.
    fn autocorrelations(&mut self, series: &[Vec<f64>]) -> Vec<f64> {
        let lags = series.iter().map(|s| s.len().div_ceil(4)).max().unwrap_or(1);
        let mut sums = vec![0.0; lags];
        let mut squares = vec![0.0; lags];
        for values in series {
            let own = self.autocovariances(values);
            for (lag, c) in own.iter().enumerate() {
                sums[lag] += c;
                squares[lag] += own[0];
            }
        }
        sums.iter().zip(squares).skip(1).map(|(c, s)| if s > 0.0 { c / s } else { 0.0 }).collect()
    }

    /// Sums of products at the lags 0 to a quarter of the length (Wiener, Khinchin), in the order of the lags.
    fn autocovariances(&mut self, values: &[f64]) -> Vec<f64> {
        let lags = values.len().div_ceil(4);
        let size = (values.len() + lags).next_power_of_two();
        let planner = &mut self.planner;
        let forward = self.plans.entry(size).or_insert_with(|| planner.plan_fft_forward(size)).clone();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let mut padded: Vec<f64> = values.iter().map(|x| x - mean).collect();
        padded.resize(size, 0.0);
        let mut spectrum = forward.make_output_vec();
        if forward.process(&mut padded, &mut spectrum).is_err() {
            return vec![0.0; lags];
        }
        // The power is real and even, so that its forward transform is its inverse one but for the size.
        let half = spectrum.len();
        let power = |k: usize| spectrum[if k < half { k } else { size - k }].norm_sqr();
        let mut powers: Vec<f64> = (0..size).map(power).collect();
        let mut back = forward.make_output_vec();
        if forward.process(&mut powers, &mut back).is_err() {
            return vec![0.0; lags];
        }
        back.iter().take(lags).map(|c| c.re / size as f64).collect()
    }
}

fn varies(series: &[f64]) -> bool {
    series.iter().any(|x| *x != series[0])
}

/// Mean change along a straight line over the series, in standard deviations about their means, and its share of the variance.
fn trend(series: &[Vec<f64>]) -> (f64, f64) {
    let (mut slopes, mut explained, mut squares, mut rows) = (0.0, 0.0, 0.0, 0.0);
    for values in series {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        // time from -1/2 to 1/2
        let time = |i: usize| i as f64 / (n - 1.0) - 0.5;
        let (mut tt, mut tx, mut xx) = (0.0, 0.0, 0.0);
        for (i, x) in values.iter().enumerate() {
            tt += time(i) * time(i);
            tx += time(i) * (x - mean);
            xx += (x - mean) * (x - mean);
        }
        slopes += n * tx / tt;
        // only what all series share is the machine's: each has its own sign
        explained += tx / tt * tt.sqrt();
        squares += xx;
        rows += n;
    }
    let sd = (squares / rows).sqrt();
    if sd <= 0.0 {
        return (0.0, 0.0);
    }
    let share = explained * explained / series.len() as f64 / squares;
    (slopes / rows / sd, share.min(1.0))
}

/// The lag at which a clear swing comes back.
fn period(correlations: &[f64]) -> Option<usize> {
    let down = correlations.iter().position(|r| *r < -SWING)?;
    // a half period lies within a few quarter periods
    let end = correlations.len().min(6 * (down + 1));
    let best = (down..end).max_by(|a, b| correlations[*a].total_cmp(&correlations[*b]))?;
    (correlations[best] > SWING).then_some(best + 1)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    use super::*;
    use crate::drift::calibrate::memory;

    fn ar(phi: f64, n: usize, seed: u64) -> Vec<f64> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut x = 0.0;
        let step = |_| {
            let e: f64 = StandardNormal.sample(&mut rng);
            x = phi * x + e;
            x
        };
        (0..n).map(step).collect()
    }

    fn order(values: &[f64]) -> Order {
        Ordering::new().of(values, &[(0..values.len()).collect()]).unwrap()
    }

    #[test]
    fn memory_is_that_of_the_calibration() {
        for phi in [0.0, 0.5, 0.9] {
            let series = ar(phi, 3_001, 5);
            let found = order(&series);
            assert!((found.memory - memory(&series).max(1.0)).abs() < 1e-6, "{phi}: {} {}", found.memory, memory(&series));
            assert_eq!(found.stationarity, Stationarity::Stationary);
            assert!((found.effective_n * found.memory - 3_001.0).abs() < 1e-6);
        }
    }

    #[test]
    fn a_walk_wanders_a_slope_is_a_trend_and_a_jump_of_phase_is_neither() {
        assert_eq!(order(&ar(1.0, 3_000, 2)).stationarity, Stationarity::Wanders);
        let slope: Vec<f64> = ar(0.0, 2_000, 3).iter().enumerate().map(|(i, x)| x + i as f64 / 500.0).collect();
        let found = order(&slope);
        assert_eq!(found.stationarity, Stationarity::Trend);
        assert!(found.trend_sd > 2.0 && found.trend_sd < 3.5, "{}", found.trend_sd);
        let reports = (0..40).filter(|seed| order(&ar(0.9, 2_000, 100 + seed)).stationarity != Stationarity::Stationary).count();
        assert!(reports <= 1, "{reports}");
    }

    #[test]
    fn a_waveform_has_its_period() {
        let wave: Vec<f64> = ar(0.0, 4_000, 4).iter().enumerate().map(|(i, e)| (i as f64 * 0.1).sin() * 3.0 + e).collect();
        let period = order(&wave).period_rows.unwrap();
        assert!((62..=64).contains(&period), "{period}");
        assert_eq!(order(&ar(0.9, 4_000, 6)).period_rows, None);
    }

    #[test]
    fn many_short_series_are_pooled_and_shorter_ones_say_nothing() {
        let all: Vec<f64> = (0..40).flat_map(|seed| ar(0.8, 100, seed)).collect();
        let series: Vec<Vec<usize>> = (0..40).map(|s| (s * 100..(s + 1) * 100).collect()).collect();
        let found = Ordering::new().of(&all, &series).unwrap();
        assert!((5.0..13.0).contains(&found.memory), "{}", found.memory);
        assert_eq!(Ordering::new().of(&[1.0; 49], &[(0..49).collect()]), None);
        assert_eq!(Ordering::new().of(&[1.0; 500], &[(0..500).collect()]), None);
        assert_eq!(Ordering::new().of(&[f64::NAN; 500], &[(0..500).collect()]), None);
    }
}
