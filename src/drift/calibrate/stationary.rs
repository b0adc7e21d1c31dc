//! What a column's residuals on healthy rows say about time: how long they remember, and whether they come back at all.

/// Mean and standard deviation of Dickey and Fuller's t-value with a constant where there is a unit root.
const UNDER_UNIT_ROOT: (f64, f64) = (-1.53, 0.84);
/// Normal quantile: a unit root is held for impossible with 5 % error.
const ONE_SIDED: f64 = 1.6;
/// Fewer values say nothing.
const MIN_ROWS: usize = 50;

/// Whether a unit root cannot be ruled out: the series wander and have no level to come back to.
///
/// Augmented Dickey-Fuller with a constant and one lagged difference, `dx_t = a + g x_(t-1) + b dx_(t-1)`; the mean of the
/// t-values of g over the series (units) is not below `-1.53 - 1.6 0.84 / sqrt(N)`: -2.87 for one. False where no series has
/// 50 values and varies. (Said, Dickey, Biometrika 71, 1984; Im, Pesaran, Shin, J. Econometrics 115, 2003.)
pub fn has_unit_root<'a>(series: impl Iterator<Item = &'a [f64]>) -> bool {
    let t: Vec<f64> = series.filter_map(dickey_fuller).collect();
    let n = t.len() as f64;
    n > 0.0 && t.iter().sum::<f64>() / n > UNDER_UNIT_ROOT.0 - ONE_SIDED * UNDER_UNIT_ROOT.1 / n.sqrt()
}

/// The t-value of g; `None` where the series is too short or does not vary.
fn dickey_fuller(series: &[f64]) -> Option<f64> {
    if series.len() < MIN_ROWS {
        return None;
    }
    // Regression of dx on (x, dx before), all centred: the constant is gone.
    let rows = || (2..series.len()).map(|t| (series[t] - series[t - 1], series[t - 1], series[t - 1] - series[t - 2]));
    let n = (series.len() - 2) as f64;
    let (mut my, mut mx, mut mz) = (0.0, 0.0, 0.0);
    for (y, x, z) in rows() {
        my += y / n;
        mx += x / n;
        mz += z / n;
    }
    let (mut xx, mut xz, mut zz, mut xy, mut zy, mut yy) = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0);
    for (y, x, z) in rows() {
        let (y, x, z) = (y - my, x - mx, z - mz);
        xx += x * x;
        xz += x * z;
        zz += z * z;
        xy += x * y;
        zy += z * y;
        yy += y * y;
    }
    let determinant = xx * zz - xz * xz;
    if determinant <= 1e-12 * xx * zz || xx == 0.0 {
        return None;
    }
    let g = (xy * zz - zy * xz) / determinant;
    let b = (zy * xx - xy * xz) / determinant;
    let rest = (yy - g * xy - b * zy).max(0.0) / (n - 3.0);
    let error = (rest * zz / determinant).sqrt();
    (error > 0.0).then(|| g / error)
}

/// Rows that say as much about a mean as one independent row: `1 + 2 sum of autocorrelations`, up to the first below 0.05.
pub fn memory(series: &[f64]) -> f64 {
    let n = series.len();
    let mean = series.iter().sum::<f64>() / n.max(1) as f64;
    let at = |lag: usize| (lag..n).map(|t| (series[t] - mean) * (series[t - lag] - mean)).sum::<f64>() / n as f64;
    let variance = at(0);
    if n < MIN_ROWS || variance <= 0.0 {
        return 1.0;
    }
    let correlations = (1..n / 4).map(|lag| at(lag) / variance).take_while(|r| *r > 0.05);
    1.0 + 2.0 * correlations.sum::<f64>()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    use super::*;

    fn ar(phi: f64, n: usize, seed: u64) -> Vec<f64> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut x = 0.0;
        (0..n)
            .map(|_| {
                let e: f64 = StandardNormal.sample(&mut rng);
                x = phi * x + e;
                x
            })
            .collect()
    }

    #[test]
    fn a_random_walk_is_recognised_and_autocorrelation_is_not_taken_for_one() {
        let found = |phi: f64| (0..40).filter(|seed| has_unit_root([ar(phi, 2_000, *seed).as_slice()].into_iter())).count();
        assert_eq!((found(0.0), found(0.9), found(0.95)), (0, 0, 0));
        assert!(found(1.0) >= 35, "{}", found(1.0));
        assert!(!has_unit_root([[1.0; 500].as_slice()].into_iter()));
    }

    #[test]
    fn short_series_of_many_units_speak_together() {
        let units = |phi: f64| (0..30).map(|seed| ar(phi, 80, seed)).collect::<Vec<_>>();
        assert!(!has_unit_root(units(0.7).iter().map(Vec::as_slice)));
        assert!(has_unit_root(units(1.0).iter().map(Vec::as_slice)));
    }

    #[test]
    fn memory_is_that_of_the_textbook() {
        for (phi, expected) in [(0.0, 1.0), (0.5, 3.0), (0.9, 19.0)] {
            let found = memory(&ar(phi, 50_000, 3));
            assert!((found / expected - 1.0).abs() < 0.2, "{phi}: {found}");
        }
    }
}
