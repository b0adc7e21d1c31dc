//! A small autoregressive model of one column: what its past says about its next value.

use std::ops::Range;

/// Largest order.
pub const MAX_ORDER: usize = 10;
/// Fewer values say nothing about their order in time.
const MIN_ROWS: usize = 50;
/// Largest partial autocorrelation: the model stays stationary.
const LARGEST: f64 = 0.999;
/// Largest share of the variance that unknown levels are held to have taken away.
const MOST_LOST: f64 = 0.5;

/// Coefficients a of `x_t = a_1 x_(t-1) + ... + a_p x_(t-p) + e_t`, always stationary; none for values without memory.
///
/// `x`: deviations from the level of their regime, NaN where missing; `segments`: rows that follow each other;
/// `rows_per_level`: rows that a level was estimated from. Yule and Walker's equations, solved by Levinson and Durbin; order of
/// least AIC (corrected for few rows), at most [`MAX_ORDER`]. An estimated level follows the values, which takes `v = memory / rows_per_level` of their
/// variance and as much of each autocovariance: it is added again, `(r + v) / (1 + v)`, without which memory is
/// underestimated most where it is longest (Marriott, Pope, Biometrika 41, 1954).
pub fn fit(x: &[f64], segments: &[Range<usize>], rows_per_level: f64) -> Vec<f64> {
    let (covariances, rows) = autocovariances(x, segments);
    if rows < MIN_ROWS || covariances[0] <= 0.0 {
        return Vec::new();
    }
    let raw: Vec<f64> = covariances.iter().map(|c| c / covariances[0]).collect();
    let mut lost = 0.0;
    let mut model = (Vec::new(), 1.0);
    for _ in 0..4 {
        let corrected: Vec<f64> = raw.iter().map(|r| (r + lost) / (1.0 + lost)).collect();
        model = least_aic(&corrected, rows);
        lost = (memory(&model.0, model.1) / rows_per_level.max(1.0)).min(MOST_LOST);
    }
    model.0
}

/// Rows that say as much about a mean as one: the variance of a long mean over that of independent rows.
fn memory(coefficients: &[f64], variance: f64) -> f64 {
    let gain = 1.0 - coefficients.iter().sum::<f64>();
    variance / (gain * gain).max(1e-12)
}

/// Mean products at lags 0..=MAX_ORDER (as far as there are pairs), and the number of values.
fn autocovariances(x: &[f64], segments: &[Range<usize>]) -> (Vec<f64>, usize) {
    let mut out = Vec::with_capacity(MAX_ORDER + 1);
    let mut rows = 0;
    for lag in 0..=MAX_ORDER {
        let (mut sum, mut pairs) = (0.0, 0usize);
        for segment in segments.iter().filter(|s| s.len() > lag) {
            let (early, late) = (&x[segment.start..segment.end - lag], &x[segment.start + lag..segment.end]);
            for product in early.iter().zip(late).map(|(a, b)| a * b).filter(|p| p.is_finite()) {
                sum += product;
                pairs += 1;
            }
        }
        rows = rows.max(pairs);
        if pairs < MIN_ROWS {
            break;
        }
        out.push(sum / pairs as f64);
    }
    (out, rows)
}

/// Coefficients and variance of the innovations (of unit variance) for the order with the least AIC.
fn least_aic(r: &[f64], rows: usize) -> (Vec<f64>, f64) {
    let n = rows as f64;
    let (mut a, mut variance): (Vec<f64>, f64) = (Vec::new(), 1.0);
    let mut best = (0.0, Vec::new(), 1.0);
    for p in 1..r.len().min(rows / 10) {
        let predicted: f64 = a.iter().enumerate().map(|(j, a)| a * r[p - 1 - j]).sum();
        let partial = ((r[p] - predicted) / variance).clamp(-LARGEST, LARGEST);
        let reversed: Vec<f64> = a.iter().rev().copied().collect();
        a.iter_mut().zip(reversed).for_each(|(a, b)| *a -= partial * b);
        a.push(partial);
        variance *= 1.0 - partial * partial;
        let aic = n * variance.ln() + 2.0 * p as f64 * n / (n - p as f64 - 2.0);
        if aic < best.0 {
            best = (aic, a.clone(), variance);
        }
    }
    (best.1, best.2)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    use super::*;

    fn simulate(a: &[f64], n: usize, seed: u64) -> Vec<f64> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut x = vec![0.0; a.len().max(1)];
        while x.len() < n + 500 {
            let e: f64 = StandardNormal.sample(&mut rng);
            let past: f64 = a.iter().zip(x.iter().rev()).map(|(a, x)| a * x).sum();
            x.push(past + e);
        }
        x.split_off(x.len() - n)
    }

    #[test]
    fn order_and_coefficients_are_found() {
        let white = simulate(&[], 5_000, 1);
        assert!(fit(&white, std::slice::from_ref(&(0..5_000)), 5_000.0).iter().map(|a| a.abs()).sum::<f64>() < 0.1);
        let x = simulate(&[1.2, -0.6], 20_000, 2);
        let a = fit(&x, &[0..9_000, 9_000..20_000], 20_000.0);
        assert!((a[0] - 1.2).abs() < 0.03 && (a[1] + 0.6).abs() < 0.03, "{a:?}");
        assert_eq!(fit(&x[..40], std::slice::from_ref(&(0..40)), 40.0), [0.0; 0], "too few");
        assert_eq!(fit(&[1.0; 0], &[], 1.0), [0.0; 0]);
    }

    #[test]
    fn memory_is_not_underestimated_where_levels_took_part_of_it() {
        // 40 regimes of 200 rows, each minus its own mean.
        let sums = (0..20).map(|seed| {
            let mut x = simulate(&[0.95], 8_000, 10 + seed);
            for regime in x.chunks_mut(200) {
                let mean = regime.iter().sum::<f64>() / 200.0;
                regime.iter_mut().for_each(|x| *x -= mean);
            }
            let segments: Vec<Range<usize>> = (0..40).map(|i| i * 200..(i + 1) * 200).collect();
            fit(&x, &segments, 200.0).iter().sum::<f64>()
        });
        let mean = sums.sum::<f64>() / 20.0;
        assert!((mean - 0.95).abs() < 0.006, "{mean}");
    }

    #[test]
    fn missing_values_are_left_out_and_a_walk_stays_stationary() {
        let mut x = simulate(&[0.8], 10_000, 3);
        x.iter_mut().step_by(7).for_each(|x| *x = f64::NAN);
        let a = fit(&x, std::slice::from_ref(&(0..10_000)), 10_000.0);
        assert!((a.iter().sum::<f64>() - 0.8).abs() < 0.05, "{a:?}");
        let walk = simulate(&[1.0], 2_000, 4);
        assert!(fit(&walk, std::slice::from_ref(&(0..2_000)), 500.0).iter().sum::<f64>() < 1.0);
    }
}
