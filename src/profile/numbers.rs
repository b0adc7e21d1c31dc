//! The distribution of a column's numbers.

use serde::Serialize;

/// Bars of a histogram.
const BARS: usize = 30;
/// Values beyond so many quartile ranges from the quartiles are drawn as counts beside the histogram.
const FAR: f64 = 5.0;
/// ... where they are at most this share.
const FEW_BEYOND: f64 = 0.01;

/// Moments, quantiles and shape of the finite numbers of a column. `None` where a figure does not exist.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Numbers {
    pub min: f64,
    pub q1: f64,
    pub median: f64,
    pub q3: f64,
    pub max: f64,
    /// `None` where it cannot be written as a number.
    pub mean: Option<f64>,
    /// Standard deviation (n - 1); `None` for one value.
    pub sd: Option<f64>,
    /// Third standardised moment; `None` where nothing varies.
    pub skewness: Option<f64>,
    /// Smallest step of which all differences of values are multiples; `None` where there is none that can be seen.
    pub resolution: Option<f64>,
    /// Rows at the lowest and at the highest value.
    pub at_min: usize,
    pub at_max: usize,
    pub histogram: Histogram,
}

/// Counts in bars of equal width between two values.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Histogram {
    pub low: f64,
    pub high: f64,
    pub counts: Vec<usize>,
    /// Values below `low` and above `high`: far outliers that would squeeze the rest into one bar.
    pub below: usize,
    pub above: usize,
}

/// From ascending finite numbers; `None` where there are none.
pub(super) fn numbers(sorted: &[f64]) -> Option<Numbers> {
    let (min, max) = (*sorted.first()?, *sorted.last()?);
    let moments = Moments::of(sorted);
    Some(Numbers {
        min,
        q1: quantile(sorted, 0.25),
        median: quantile(sorted, 0.5),
        q3: quantile(sorted, 0.75),
        max,
        mean: moments.mean,
        sd: moments.sd,
        skewness: moments.skewness,
        resolution: resolution(sorted),
        at_min: sorted.partition_point(|x| *x <= min),
        at_max: sorted.len() - sorted.partition_point(|x| *x < max),
        histogram: histogram(sorted),
    })
}

/// Linear between the neighbours; `p` in 0..=1; 0 for no values.
pub(super) fn quantile(sorted: &[f64], p: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let at = p.clamp(0.0, 1.0) * last as f64;
    let (low, share) = (at.floor() as usize, at.fract());
    let (a, b) = (sorted[low], sorted[(low + 1).min(last)]);
    if share == 0.0 { a } else { a * (1.0 - share) + b * share }
}

pub(super) struct Moments {
    pub mean: Option<f64>,
    pub sd: Option<f64>,
    pub skewness: Option<f64>,
}

impl Moments {
    /// In units of the largest value, so that neither squares nor sums leave the range of numbers.
    pub fn of(values: &[f64]) -> Self {
        let scale = values.iter().fold(0.0f64, |m, x| m.max(x.abs()));
        let n = values.len() as f64;
        if scale == 0.0 || !scale.is_finite() || values.is_empty() {
            let zero = (!values.is_empty()).then_some(0.0);
            return Self { mean: zero, sd: zero.filter(|_| n > 1.0), skewness: None };
        }
        let mean = values.iter().map(|x| x / scale).sum::<f64>() / n;
        let (mut m2, mut m3) = (0.0, 0.0);
        for x in values {
            let d = x / scale - mean;
            m2 += d * d;
            m3 += d * d * d;
        }
        let constant = values.iter().all(|x| *x == values[0]);
        let variance = if constant { 0.0 } else { m2 };
        let finite = |x: f64| Some(x).filter(|x| x.is_finite());
        Self {
            mean: if constant { Some(values[0]) } else { finite(mean * scale) },
            sd: (n > 1.0).then(|| (variance / (n - 1.0)).sqrt() * scale).and_then(finite),
            skewness: (variance > 0.0).then(|| m3 / n / (m2 / n).powf(1.5)).and_then(finite),
        }
    }
}

/// The smallest difference of neighbouring values, where nearly all others are multiples of it.
fn resolution(sorted: &[f64]) -> Option<f64> {
    let mut steps: Vec<f64> = sorted.windows(2).map(|w| w[1] - w[0]).filter(|d| *d > 0.0 && d.is_finite()).collect();
    let scale = sorted.first()?.abs().max(sorted.last()?.abs());
    // rounding of the values themselves is no step
    steps.retain(|d| *d > scale * 1e-13);
    let least = steps.iter().copied().min_by(f64::total_cmp)?;
    // the printed values are rounded: the mean of the shortest steps is the better estimate
    let short: Vec<f64> = steps.iter().copied().filter(|d| *d < 1.5 * least).collect();
    let step = short.iter().sum::<f64>() / short.len() as f64;
    let is_multiple = |d: &&f64| ((*d / step).round() * step - **d).abs() <= 0.02 * step * (*d / step).round().sqrt();
    (steps.len() >= 2 && steps.iter().filter(is_multiple).count() * 20 >= steps.len() * 19).then_some(step)
}

fn histogram(sorted: &[f64]) -> Histogram {
    let (q1, q3) = (quantile(sorted, 0.25), quantile(sorted, 0.75));
    let reach = FAR * (q3 - q1);
    let (mut low, mut high) = (sorted[0], sorted[sorted.len() - 1]);
    if reach > 0.0 && reach.is_finite() {
        // many values far outside are no outliers but another group
        let few = (sorted.len() as f64 * FEW_BEYOND) as usize;
        if sorted.partition_point(|x| *x < q1 - reach) <= few {
            low = low.max(q1 - reach);
        }
        if sorted.len() - sorted.partition_point(|x| *x <= q3 + reach) <= few {
            high = high.min(q3 + reach);
        }
    }
    let below = sorted.partition_point(|x| *x < low);
    let inside = &sorted[below..sorted.partition_point(|x| *x <= high)];
    (low, high) = (inside.first().copied().unwrap_or(low), inside.last().copied().unwrap_or(high));
    let above = sorted.len() - below - inside.len();
    // halves, so that the widest range is still a number
    let width = high / 2.0 - low / 2.0;
    let mut counts = vec![0; if width > 0.0 { BARS } else { 1 }];
    let last = counts.len() - 1;
    for x in inside {
        let at = if width > 0.0 { ((x / 2.0 - low / 2.0) / width * BARS as f64) as usize } else { 0 };
        counts[at.min(last)] += 1;
    }
    Histogram { low, high, counts, below, above }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_the_textbook() {
        let n = numbers(&[1.0, 2.0, 3.0, 4.0, 10.0]).unwrap();
        assert_eq!((n.min, n.q1, n.median, n.q3, n.max, n.mean), (1.0, 2.0, 3.0, 4.0, 10.0, Some(4.0)));
        assert!((n.sd.unwrap() - 12.5f64.sqrt()).abs() < 1e-12);
        // scipy.stats.skew([1, 2, 3, 4, 10])
        assert!((n.skewness.unwrap() - 1.138_419_957_660_617).abs() < 1e-9, "{:?}", n.skewness);
        assert_eq!((n.resolution, n.at_min, n.at_max), (Some(1.0), 1, 1));
        assert_eq!(n.histogram.counts.iter().sum::<usize>() + n.histogram.below + n.histogram.above, 5);
    }

    #[test]
    fn nothing_one_value_and_the_ends_of_the_numbers() {
        assert!(numbers(&[]).is_none());
        let one = numbers(&[7.0]).unwrap();
        assert_eq!((one.median, one.mean, one.sd, one.skewness, one.resolution), (7.0, Some(7.0), None, None, None));
        let constant = numbers(&[0.1; 1000]).unwrap();
        assert_eq!((constant.mean, constant.sd, constant.skewness), (Some(0.1), Some(0.0), None));
        assert_eq!(constant.histogram.counts, [1000]);
        let wide = numbers(&[-1.7e308, -1e308, 0.0, 1e308, 1.7e308]).unwrap();
        assert!(wide.mean.unwrap().abs() < 1e292 && wide.sd.is_some_and(f64::is_finite));
        assert_eq!(wide.histogram.counts.iter().sum::<usize>(), 5);
        let tiny = numbers(&[1e-320, 2e-320, 3e-320]).unwrap();
        assert!(tiny.sd.is_some_and(f64::is_finite));
    }

    #[test]
    fn the_step_of_a_coarse_sensor_is_seen_although_values_are_rounded() {
        let mut values: Vec<f64> =
            (0..400).map(|i| f64::from(i % 9 - 4) * 0.327_927).map(|x| (x * 1e6).round() / 1e6 + 0.054_711).collect();
        values.sort_by(f64::total_cmp);
        assert!((resolution(&values).unwrap() - 0.327_927).abs() < 1e-5);
        let mut rng = 1u64;
        let mut noise: Vec<f64> = (0..400)
            .map(|_| {
                rng = rng.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (rng >> 11) as f64 / (1u64 << 53) as f64
            })
            .collect();
        noise.sort_by(f64::total_cmp);
        assert_eq!(resolution(&noise), None);
    }

    #[test]
    fn a_far_outlier_does_not_squeeze_the_histogram() {
        let mut values: Vec<f64> = (0..1000).map(f64::from).collect();
        values.push(1e9);
        let histogram = numbers(&values).unwrap().histogram;
        assert_eq!((histogram.above, histogram.high), (1, 999.0));
        assert!(histogram.counts.iter().all(|c| (30..=37).contains(c)), "{:?}", histogram.counts);
        // another group is no outlier
        values.extend([-1e6; 50]);
        values.sort_by(f64::total_cmp);
        let histogram = numbers(&values).unwrap().histogram;
        assert_eq!((histogram.low, histogram.below, histogram.counts[0]), (-1e6, 0, 50));
    }
}
