//! What the continuous settings of a regime explain of its features.
//!
//! ```text
//! feature, settings ─▶ (feature - expected(settings)) / spread(settings) + mean ─▶ references, models, windows, charts
//! ```
//! `expected` is a sum of terms of the settings in a fixed order: constant, linear, squares and products, cubes, then cubic splines
//! with 1, 3, 7 and 15 knots at quantiles of the trained settings. Each feature takes the first few of them:
//!
//! - Fitted by least squares with Huber's weights (residuals beyond 1.345 robust sd count less; at last those beyond 4 not at all),
//!   so that spikes do not bend it.
//! - As many as lower the Bayesian information criterion `n ln(RSS / rows) + terms ln n`, and at most one for ten rows. `n` is the
//!   effective number of rows, `rows (1 - r) / (1 + r)` with the residuals' autocorrelation `r` from row to row: noise that
//!   wanders along with a setting is no relation.
//! - `spread` is fitted in the same way to the logarithm of the absolute residuals, with terms up to squares: a feature that is
//!   noisier at high speed drifts at no speed. It is 1 where the criterion finds no difference.
//!
//! A feature that no setting explains is left as it is. The feature's mean is added so that values keep unit and level.

use serde::{Deserialize, Serialize};

use super::least_squares::LeastSquares;
use super::support::Point;
use crate::config::MAX_CONTINUOUS;

/// Rows that a fit looks at, evenly spaced.
const FIT_CAP: usize = 5_000;
/// Effective rows for each term.
const ROWS_PER_TERM: f64 = 10.0;
/// Splines are refined until there are so many terms.
const MOST_TERMS: usize = 48;
const MOST_LEVELS: u32 = 4;
/// Huber's constant: 95 % efficient on Gaussian residuals.
const HUBER: f64 = 1.345;
/// Rows farther than so many robust sd are spikes: they take no part in the choice of terms.
const SPIKE: f64 = 4.0;
const ITERATIONS: usize = 10;
/// Spread changes by this factor at most, either way.
const MOST_SPREAD: f64 = 8.0;
/// A relation that is exact up to this share is exact.
const EXACT: f64 = 1e-9;

/// Predicts the features of one regime from its continuous settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Regression {
    basis: Basis,
    /// One a feature.
    features: Vec<Prediction>,
}

/// The terms: settings brought to -1..1 over the trained range, and knots on that scale.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Basis {
    centre: Vec<f64>,
    half_range: Vec<f64>,
    /// Of each setting: the median, then the quartiles, then the odd eighths, ...
    knots: Vec<Vec<f64>>,
}

/// One feature.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Prediction {
    /// Coefficients of the first terms; none where the settings explain nothing.
    expected: Vec<f64>,
    /// Of the logarithm of the spread; none where it is 1.
    spread: Vec<f64>,
    /// Mean of the predictions in training.
    mean: f64,
    /// Residuals up to this are rounding.
    rounding: f64,
}

impl Regression {
    /// From the rows of a regime: settings and features (NaN where missing) in the order of their times.
    pub fn fit(rows: &[(Point, &[f64])]) -> Self {
        let step = rows.len().div_ceil(FIT_CAP).max(1);
        let rows: Vec<_> = rows.iter().step_by(step).collect();
        let basis = Basis::of(rows.iter().map(|r| r.0));
        let steps = basis.steps();
        let (mut design, mut terms) = (Vec::new(), Vec::new());
        for row in &rows {
            basis.terms(&row.0, &mut terms);
            design.extend_from_slice(&terms);
        }
        let width = rows.first().map_or(0, |r| r.1.len());
        let feature = |k: usize| rows.iter().map(|r| r.1.get(k).copied().unwrap_or(f64::NAN)).collect::<Vec<_>>();
        let features = (0..width).map(|k| Fit { design: &design, steps: &steps }.feature(feature(k))).collect();
        Self { basis, features }
    }

    /// Takes what the settings explain out of a row of features, in place; `terms` is a buffer to reuse. Missing values stay so.
    pub fn apply(&self, point: &Point, terms: &mut Vec<f64>, values: &mut [f64]) {
        self.basis.terms(point, terms);
        for (value, feature) in values.iter_mut().zip(&self.features) {
            *value = feature.apply(terms, *value);
        }
    }

    /// Whether it can be applied to so many settings and features.
    pub fn is_sound(&self, settings: usize, features: usize) -> bool {
        let basis = &self.basis;
        let lengths = [basis.centre.len(), basis.half_range.len(), basis.knots.len()];
        let terms = basis.steps().last().copied().unwrap_or(0);
        let knots = basis.knots.iter().all(|k| k.len() == basis.knots[0].len() && k.iter().all(|x| x.is_finite()));
        lengths == [settings; 3]
            && (1..=MAX_CONTINUOUS).contains(&settings)
            && knots
            && basis.centre.iter().all(|x| x.is_finite())
            && basis.half_range.iter().all(|x| x.is_finite() && *x > 0.0)
            && self.features.len() == features
            && self.features.iter().all(|f| f.is_sound(terms))
    }
}

impl Basis {
    fn of(points: impl Iterator<Item = Point>) -> Self {
        let points: Vec<Point> = points.collect();
        let width = points.first().map_or(0, |p| p.len());
        let mut basis = Self { centre: Vec::new(), half_range: Vec::new(), knots: Vec::new() };
        let levels = levels(width);
        for i in 0..width {
            let mut sorted: Vec<f64> = points.iter().filter_map(|p| p.get(i).copied()).collect();
            sorted.sort_by(f64::total_cmp);
            let (low, high) = (sorted[0], sorted[sorted.len() - 1]);
            let (centre, half) = (low.midpoint(high), (high - low) / 2.0);
            let half = if half > 0.0 { half } else { 1.0 };
            let at = |part: f64| (sorted[(part * (sorted.len() - 1) as f64) as usize] - centre) / half;
            // The odd halves, quarters, eighths: each level lies between the knots of those before.
            let parts = (1..=levels).flat_map(|l| (0..1 << (l - 1)).map(move |k| f64::from(2 * k + 1) / f64::from(1 << l)));
            basis.knots.push(parts.map(at).collect());
            basis.centre.push(centre);
            basis.half_range.push(half);
        }
        basis
    }

    /// Numbers of terms that a feature may take.
    fn steps(&self) -> Vec<usize> {
        let d = self.centre.len();
        let mut steps = polynomial_steps(d).to_vec();
        let mut knots = 0;
        while knots < self.knots.first().map_or(0, Vec::len) {
            knots = 2 * knots + 1;
            steps.push(steps[3] + d * knots);
        }
        steps
    }

    /// All terms at one point into `out`.
    fn terms(&self, point: &Point, out: &mut Vec<f64>) {
        let mut z = [0.0; MAX_CONTINUOUS];
        for ((z, x), (centre, half)) in z.iter_mut().zip(point.iter()).zip(self.centre.iter().zip(&self.half_range)) {
            *z = (x - centre) / half;
        }
        let z = &z[..self.centre.len().min(MAX_CONTINUOUS)];
        out.clear();
        out.push(1.0);
        out.extend_from_slice(z);
        for (i, a) in z.iter().enumerate() {
            out.extend(z[i..].iter().map(|b| a * b));
        }
        for a in z {
            out.extend(z.iter().map(|b| a * a * b));
        }
        let (mut from, mut to) = (0, 1);
        while self.knots.first().is_some_and(|k| from < k.len()) {
            for (z, knots) in z.iter().zip(&self.knots) {
                out.extend(knots.iter().take(to).skip(from).map(|knot| (z - knot).max(0.0).powi(3)));
            }
            (from, to) = (to, 2 * to + 1);
        }
    }
}

/// Numbers of terms up to constant, linear, square and cubic ones, of `d` settings.
fn polynomial_steps(d: usize) -> [usize; 4] {
    let squares = 1 + d + d * (d + 1) / 2;
    [1, 1 + d, squares, squares + d * d]
}

/// How often the knots are doubled.
fn levels(d: usize) -> u32 {
    let terms = |level: u32| polynomial_steps(d)[3] + d * ((1 << level) - 1);
    (1..=MOST_LEVELS).take_while(|l| terms(*l) <= MOST_TERMS).last().unwrap_or(0)
}

impl Prediction {
    fn apply(&self, terms: &[f64], value: f64) -> f64 {
        if self.expected.is_empty() {
            return value;
        }
        let residual = value - dot(&self.expected, terms);
        let residual = if residual.abs() <= self.rounding { 0.0 } else { residual };
        let spread = dot(&self.spread, terms).exp().clamp(1.0 / MOST_SPREAD, MOST_SPREAD);
        self.mean + residual / spread
    }

    fn is_sound(&self, terms: usize) -> bool {
        let numbers = self.expected.iter().chain(&self.spread).chain([&self.mean, &self.rounding]);
        self.expected.len() <= terms && self.spread.len() <= terms && numbers.into_iter().all(|x| x.is_finite())
    }
}

/// Over the shorter of both.
fn dot(coefficients: &[f64], terms: &[f64]) -> f64 {
    coefficients.iter().zip(terms).map(|(c, x)| c * x).sum()
}

/// The rows of a regime by their terms.
struct Fit<'a> {
    design: &'a [f64],
    steps: &'a [usize],
}

impl Fit<'_> {
    fn terms(&self) -> usize {
        self.steps[self.steps.len() - 1]
    }

    fn rows(&self) -> impl Iterator<Item = &[f64]> {
        self.design.chunks_exact(self.terms())
    }

    /// Where the settings explain nothing, or nothing can be said, a prediction without terms.
    fn feature(&self, y: Vec<f64>) -> Prediction {
        let present: Vec<f64> = y.iter().map(|y| f64::from(u8::from(y.is_finite()))).collect();
        let count: f64 = present.iter().sum();
        let largest = y.iter().filter(|y| y.is_finite()).fold(0.0, |m: f64, y| m.max(y.abs()));
        let Some(most) = self.affordable(count, self.terms()) else { return Prediction::default() };
        // About zero, so that squares keep their digits.
        let level = median(y.iter().copied().filter(|y| y.is_finite()).collect());
        let y: Vec<f64> = y.into_iter().map(|y| if y.is_finite() { y - level } else { 0.0 }).collect();
        let (fit, residuals) = self.robust(&y, &present, most);
        let rows = effective(&residuals, &present);
        let total = fit.residual(0);
        let best = self.choose(&fit, most, count, rows, EXACT * EXACT * (total + count * level * level));
        let mut expected = fit.solve(best);
        if best == 1 || !expected.iter().all(|c| c.is_finite()) {
            return Prediction::default();
        }
        let residuals: Vec<f64> = self.rows().zip(&y).map(|(x, y)| y - dot(&expected, x)).collect();
        let rounding = EXACT * largest;
        let spread = self.spread(&residuals, &present, rounding);
        let mean = self.rows().zip(&present).map(|(x, p)| p * dot(&expected, x)).sum::<f64>() / count + level;
        expected[0] += level;
        Prediction { expected, spread, mean, rounding }
    }

    /// The largest number of terms up to `most` that so many rows can carry; `None` where that is but the constant.
    fn affordable(&self, rows: f64, most: usize) -> Option<usize> {
        self.steps.iter().copied().filter(|p| *p <= most && *p as f64 * ROWS_PER_TERM <= rows).max().filter(|p| *p > 1)
    }

    /// The fit with Huber's weights, and its residuals with `most` terms.
    fn robust(&self, y: &[f64], present: &[f64], most: usize) -> (LeastSquares, Vec<f64>) {
        let mut weights = present.to_vec();
        let mut round = 0;
        loop {
            let fit = LeastSquares::new(self.design, self.terms(), most, y, &weights);
            let c = fit.solve(most);
            let residuals: Vec<f64> = self.rows().zip(y).map(|(x, y)| y - dot(&c, x)).collect();
            let sd = robust_sd(&residuals, present);
            round += 1;
            if round > ITERATIONS || sd.is_nan() || sd <= 0.0 {
                return (fit, residuals);
            }
            for ((w, r), p) in weights.iter_mut().zip(&residuals).zip(present) {
                *w = match r.abs() / sd {
                    z if z <= HUBER => *p,
                    z if z > SPIKE && round == ITERATIONS => 0.0,
                    z => p * HUBER / z,
                };
            }
        }
    }

    /// The number of terms with the smallest criterion; `rows` of `count` are effective, squares up to `exact` are rounding.
    fn choose(&self, fit: &LeastSquares, most: usize, count: f64, rows: f64, exact: f64) -> usize {
        let most = self.affordable(rows, most).unwrap_or(1);
        let criterion = |p: usize| {
            let squares = fit.residual(p).max(exact).max(f64::MIN_POSITIVE);
            rows * (squares / count).ln() + fit.rank(p) as f64 * rows.ln()
        };
        let each = self.steps.iter().copied().filter(|p| *p <= most).map(|p| (p, criterion(p)));
        each.min_by(|a, b| a.1.total_cmp(&b.1)).map_or(1, |best| best.0)
    }

    /// Coefficients of the logarithm of the spread, about 0 in the mean over the rows; none where it is the same everywhere.
    fn spread(&self, residuals: &[f64], present: &[f64], rounding: f64) -> Vec<f64> {
        let sd = robust_sd(residuals, present);
        let count: f64 = present.iter().sum();
        let most = self.affordable(count, self.steps[2]);
        let (Some(most), true) = (most, sd > rounding) else { return Vec::new() };
        // A residual that happens to be near zero says little: its logarithm is bounded.
        let mut logs: Vec<f64> = residuals.iter().map(|r| (r.abs() / sd).max(0.05).ln()).collect();
        let level = logs.iter().zip(present).map(|(l, p)| l * p).sum::<f64>() / count;
        logs.iter_mut().for_each(|l| *l -= level);
        let (fit, left) = self.robust(&logs, present, most);
        match self.choose(&fit, most, count, effective(&left, present), 0.0) {
            1 => Vec::new(),
            best => fit.solve(best),
        }
    }
}

/// 1.4826 times the median of the absolute values of the rows that are there; NaN where there are none.
fn robust_sd(residuals: &[f64], present: &[f64]) -> f64 {
    1.4826 * median(residuals.iter().zip(present).filter(|(_, p)| **p > 0.0).map(|(r, _)| r.abs()).collect())
}

/// The upper one of two; NaN where there are no values.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The number of independent rows that autocorrelated ones are worth; spikes are clipped.
fn effective(residuals: &[f64], present: &[f64]) -> f64 {
    let limit = 3.0 * robust_sd(residuals, present);
    let here = residuals.iter().zip(present).filter(|(_, p)| **p > 0.0);
    let clipped: Vec<f64> = here.map(|(r, _)| if limit > 0.0 { r.clamp(-limit, limit) } else { *r }).collect();
    let squares: f64 = clipped.iter().map(|r| r * r).sum();
    let products: f64 = clipped.windows(2).map(|r| r[0] * r[1]).sum();
    let r = if squares > 0.0 { (products / squares).clamp(0.0, 0.99) } else { 0.0 };
    clipped.len() as f64 * (1.0 - r) / (1.0 + r)
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use rand_distr::StandardNormal;

    use super::*;

    /// Speeds in tolerances, and what a machine does there.
    fn rows(n: usize, seed: u64, feature: impl Fn(f64, f64) -> f64) -> (Vec<Point>, Vec<[f64; 1]>) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut draw = || {
            let speed: f64 = rng.gen_range(10.0..40.0);
            let noise: f64 = rng.sample(StandardNormal);
            (Point::new([speed].into_iter()), [feature(speed, noise)])
        };
        (0..n).map(|_| draw()).unzip()
    }

    fn fit(rows: &(Vec<Point>, Vec<[f64; 1]>)) -> Regression {
        let rows: Vec<_> = rows.0.iter().copied().zip(rows.1.iter().map(|f| f.as_slice())).collect();
        Regression::fit(&rows)
    }

    fn apply(regression: &Regression, point: &[f64], value: f64) -> f64 {
        let mut values = [value];
        regression.apply(&Point::new(point.iter().copied()), &mut Vec::new(), &mut values);
        values[0]
    }

    /// Saturates, then falls: no polynomial.
    fn current(speed: f64) -> f64 {
        5.0 + 3.0 * (speed / 8.0 - 2.0).tanh() - 0.002 * (speed - 30.0).max(0.0).powi(2)
    }

    #[test]
    fn a_nonlinear_relation_is_taken_out_at_every_speed() {
        let regression = fit(&rows(3000, 1, |speed, noise| current(speed) + 0.05 * noise));
        assert!(regression.is_sound(1, 1));
        for i in 0..=60 {
            let speed = 10.0 + f64::from(i) * 0.5;
            let left = apply(&regression, &[speed], current(speed)) - regression.features[0].mean;
            assert!(left.abs() < 0.02, "{left} of a noise of 0.05 at {speed}");
            let shifted = apply(&regression, &[speed], current(speed) + 0.05) - regression.features[0].mean - left;
            assert!((0.04..0.065).contains(&shifted), "a shift of 0.05 stays one: {shifted} at {speed}");
        }
    }

    #[test]
    fn spikes_do_not_bend_it() {
        let clean = fit(&rows(1500, 2, |speed, noise| current(speed) + 0.05 * noise));
        let spiked = fit(&rows(1500, 2, |speed, noise| if speed > 36.0 && noise > 1.0 { 1e4 } else { current(speed) + 0.05 * noise }));
        for speed in [11.0, 25.0, 33.0, 38.0] {
            for shift in [0.0, 0.1] {
                let left = |r: &Regression| apply(r, &[speed], current(speed) + shift) - r.features[0].mean;
                let (clean, spiked) = (left(&clean), left(&spiked));
                assert!((clean - spiked).abs() < 0.02, "{clean} and {spiked} at {speed}");
            }
        }
    }

    #[test]
    fn what_no_setting_explains_is_left_alone() {
        let regression = fit(&rows(1500, 3, |_, noise| 7.0 + noise));
        assert_eq!(regression.features[0], Prediction::default());
        assert_eq!(apply(&regression, &[20.0], 7.3), 7.3);
        assert!(apply(&regression, &[20.0], f64::NAN).is_nan());
        // A line takes a line's terms, not a spline's; and noise that wanders with the speed is no relation.
        let regression = fit(&rows(1500, 3, |speed, noise| 0.5 * speed + noise));
        assert_eq!((regression.features[0].expected.len(), regression.features[0].spread.len()), (2, 0));
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let (mut speed, mut noise) = (25.0, 0.0);
        let slow: Vec<(Point, [f64; 1])> = (0..1500)
            .map(|_| {
                speed = 25.0 + 0.99 * (speed - 25.0) + rng.sample::<f64, _>(StandardNormal);
                noise = 0.98 * noise + 0.2 * rng.sample::<f64, _>(StandardNormal);
                (Point::new([speed].into_iter()), [noise])
            })
            .collect();
        assert!(fit(&slow.into_iter().unzip()).features[0].expected.len() <= 2);
    }

    #[test]
    fn an_exact_relation_leaves_a_constant() {
        let regression = fit(&rows(500, 5, |speed, _| 60.0 * speed));
        let left: Vec<f64> = (10..40).map(|s| apply(&regression, &[f64::from(s)], 60.0 * f64::from(s))).collect();
        assert!(left.iter().all(|x| *x == left[0]), "no rounding is taken for a signal: {left:?}");
    }

    #[test]
    fn noise_that_grows_with_speed_is_as_wide_everywhere() {
        let regression = fit(&rows(3000, 6, |speed, noise| speed + noise * speed / 20.0));
        let mean = regression.features[0].mean;
        let width = |speed: f64| apply(&regression, &[speed], speed + speed / 20.0) - mean;
        let (slow, fast) = (width(12.0), width(38.0));
        assert!((0.85..1.15).contains(&(slow / fast)), "{slow} {fast}");
    }

    #[test]
    fn settings_act_together() {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let mut row = || {
            let (speed, load): (f64, f64) = (rng.gen_range(0.0..30.0), rng.gen_range(0.0..20.0));
            (Point::new([speed, load].into_iter()), [speed * load / 50.0 + load * load / 40.0 + 0.2 * rng.sample::<f64, _>(StandardNormal)])
        };
        let regression = fit(&(0..2000).map(|_| row()).unzip());
        assert!(regression.is_sound(2, 1) && !regression.is_sound(1, 1) && !regression.is_sound(2, 2));
        for (speed, load) in [(2.0, 2.0), (2.0, 18.0), (28.0, 2.0), (28.0, 18.0), (15.0, 10.0)] {
            let left = apply(&regression, &[speed, load], speed * load / 50.0 + load * load / 40.0) - regression.features[0].mean;
            assert!(left.abs() < 0.08, "{left} at {speed}, {load}");
        }
    }

    #[test]
    fn hardly_any_rows_or_values_are_no_error() {
        assert_eq!(Regression::fit(&[]).features, []);
        for n in [1, 2, 19, 25, 60] {
            let mut few = rows(n, 8, |speed, noise| speed + noise);
            assert!(fit(&few).is_sound(1, 1));
            few.1.iter_mut().for_each(|f| f[0] = f64::NAN);
            assert_eq!(fit(&few).features, [Prediction::default()]);
            few.0.iter_mut().for_each(|p| *p = Point::new([3.0].into_iter()));
            few.1.iter_mut().enumerate().for_each(|(i, f)| f[0] = i as f64);
            assert_eq!(fit(&few).features, [Prediction::default()], "one speed explains nothing");
        }
    }
}
