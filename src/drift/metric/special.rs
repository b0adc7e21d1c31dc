//! Tail probabilities. From `statrs` where it is accurate enough; the tails of quadratic forms by Smirnov's inversion.

use std::f64::consts::PI;

use statrs::function::{beta::beta_reg, gamma::gamma_ur, gamma::ln_gamma};

/// P(Z >= z) of a standard normal Z: half the tail of chi-squared, which keeps more digits than the library's `erfc`.
pub(super) fn normal_sf(z: f64) -> f64 {
    let half = 0.5 * chi_squared_sf(z * z, 1.0);
    if z < 0.0 { 1.0 - half } else { half }
}

/// P(X >= x) of a chi-squared X with `df` > 0 degrees of freedom.
pub(super) fn chi_squared_sf(x: f64, df: f64) -> f64 {
    if x <= 0.0 {
        1.0
    } else if x.is_finite() {
        gamma_ur(0.5 * df, 0.5 * x)
    } else {
        0.0
    }
}

/// P(|T| >= |t|) of a Student T with `df` > 0 degrees of freedom.
///
/// Above 5,000 degrees of freedom by Hill's expansion (Algorithm 395, 1970), which is better there than the continued fraction.
pub(super) fn student_two_sided(t: f64, df: f64) -> f64 {
    let t2 = t * t;
    if df > 5_000.0 {
        let a = df - 0.5;
        let b = 48.0 * a * a;
        let z2 = a * (t2 / df).ln_1p();
        let correction = (((-0.4 * z2 - 3.3) * z2 - 24.0) * z2 - 85.5) / (0.8 * z2 * z2 + 100.0 + b);
        return 2.0 * normal_sf(((correction + z2 + 3.0) / b + 1.0) * z2.sqrt());
    }
    // on either side the form of the incomplete beta function that loses no digits
    if t2 > 3.0 { beta_reg(0.5 * df, 0.5, df / (df + t2)) } else { 1.0 - beta_reg(0.5, 0.5 * df, t2 / (df + t2)) }
}

/// ln n!
pub(super) fn ln_factorial(n: u64) -> f64 {
    ln_gamma(n as f64 + 1.0)
}

/// ln of the number of ways to choose k of n; k <= n.
pub(super) fn ln_choose(n: u64, k: u64) -> f64 {
    ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k)
}

/// P(W >= x) for the limit of the Cramer-von Mises statistic, `W = sum_j Z_j^2 / (j pi)^2`.
///
/// Relative accuracy about 1e-9 in the tail, where one minus the distribution function would lose it.
pub(super) fn cramer_von_mises_sf(x: f64) -> f64 {
    // with s = t^2 / 2: D(s) = sin t / t, whose zeros are at t = j pi
    let density = |t: f64| (-(t.sin() / t)).abs();
    smirnov(x, |k| ((2 * k - 1) as f64 * PI, 2.0 * k as f64 * PI), |t| 0.5 * t * t, density)
}

/// P(A >= x) for the limit of the Anderson-Darling statistic, `A = sum_j Z_j^2 / (j (j + 1))`.
pub(super) fn anderson_darling_sf(x: f64) -> f64 {
    // with t^2 = 1 + 8 s: D(s) = -cos(pi t / 2) / (2 pi s), whose zeros are at t = 3, 5, 7, ..
    let s = |t: f64| (t * t - 1.0) / 8.0;
    let density = |t: f64| (0.5 * PI * t).cos().abs() / (2.0 * PI * s(t));
    smirnov(x, |k| ((4 * k - 1) as f64, (4 * k + 1) as f64), s, density)
}

/// Tail of a quadratic form `sum_j l_j Z_j^2` (Smirnov 1937; Martynov 1975):
/// `P = 1/pi sum_k (-1)^(k+1) integral exp(-x s) / (s sqrt |D(s)|) ds` over the k-th pair of zeros `1/(2 l_(2k-1)) .. 1/(2 l_2k)` of
/// `D(s) = prod_j (1 - 2 l_j s)`.
///
/// In a variable t with `ends(k)` the zeros. The inverse roots at both ends are the weight of the Gauss-Chebyshev rule.
fn smirnov(x: f64, ends: impl Fn(u32) -> (f64, f64), s: impl Fn(f64) -> f64, determinant: impl Fn(f64) -> f64) -> f64 {
    const NODES: u32 = 40;
    const MOST_TERMS: u32 = 60;
    // below this the tail is 1 to more digits than are kept
    if x < 0.01 {
        return 1.0;
    }
    let (mut sum, mut sign) = (0.0, 1.0);
    for k in 1..=MOST_TERMS {
        let (a, b) = ends(k);
        let (middle, half) = (0.5 * (a + b), 0.5 * (b - a));
        let mut term = 0.0;
        for i in 0..NODES {
            let angle = PI * (f64::from(i) + 0.5) / f64::from(NODES);
            let t = middle + half * angle.cos();
            let st = s(t);
            // ds = s'(t) dt with s quadratic in t
            let slope = (s(t + 1.0) - s(t - 1.0)) * 0.5;
            term += (-x * st).exp() * slope * half * angle.sin() / (st * determinant(t).sqrt());
        }
        term /= f64::from(NODES);
        sum += sign * term;
        sign = -sign;
        if term <= 1e-14 * sum.abs() {
            break;
        }
    }
    sum.clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64, relative: f64) {
        assert!((a - b).abs() <= relative * b.abs(), "{a} is not {b}");
    }

    #[test]
    fn tails_of_the_normal_chi_squared_and_student() {
        close(normal_sf(1.959_963_984_540_054), 0.025, 1e-13);
        close(normal_sf(10.0), 7.619_853_024_160_47e-24, 1e-12);
        close(chi_squared_sf(3.841_458_820_694_124, 1.0), 0.05, 1e-13);
        close(normal_sf(-1.959_963_984_540_054), 0.975, 1e-14);
        close(chi_squared_sf(100.0, 1.0), 1.523_970_604_832_1e-23, 1e-11);
        close(student_two_sided(1.0, 1.0), 0.5, 1e-14);
        close(student_two_sided(6.0, 4_999.0), student_two_sided(6.0, 5_001.0), 1e-4);
        close(student_two_sided(6.0, 1e9), 2.0 * normal_sf(6.0), 1e-6);
        close(student_two_sided(-73.154_787_809_328_67, 398.0), 6.694_515_322_078_474e-233, 1e-8);
        assert_eq!((chi_squared_sf(0.0, 3.0), chi_squared_sf(f64::INFINITY, 3.0)), (1.0, 0.0));
    }

    #[test]
    fn tails_of_the_quadratic_forms_meet_the_tables() {
        // Anderson and Darling 1952, table 1; Anderson and Darling 1954
        for (x, p) in [(0.11888, 0.5), (0.34730, 0.1), (0.46136, 0.05), (0.74346, 0.01), (1.16786, 0.001)] {
            assert!((cramer_von_mises_sf(x) - p).abs() < 2e-5, "{x}: {}", cramer_von_mises_sf(x));
        }
        for (x, p) in [(1.933, 0.10), (2.492, 0.05), (3.878, 0.01)] {
            assert!((anderson_darling_sf(x) - p).abs() < 1e-4, "{x}: {}", anderson_darling_sf(x));
        }
        let falls = |f: fn(f64) -> f64| (1..400).all(|i| f(f64::from(i) * 0.02) <= f(f64::from(i - 1) * 0.02) + 1e-9);
        assert!(falls(cramer_von_mises_sf) && falls(anderson_darling_sf));
    }
}
