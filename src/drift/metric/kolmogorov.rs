//! The law of the one-sample Kolmogorov-Smirnov statistic D for n values: P(D >= d).
//!
//! By region, after Simard and L'Ecuyer, Computing the two-sided Kolmogorov-Smirnov distribution, J. Stat. Software 39(11), 2011:
//! - the ends, in closed form (Ruben and Gambino);
//! - the tail: twice the one-sided law `d sum_j C(n, j) (1 - d - j/n)^(n-j) (d + j/n)^(j-1)` (Birnbaum and Tingey), whose error is the
//!   chance of crossing both sides;
//! - n d^1.5 small: the matrix power of Durbin (Marsaglia, Tsang and Wang, 2003);
//! - otherwise the expansion of Pelz and Good (1976), whose error is about 0.05 / n^2.

use std::f64::consts::PI;

/// Up to this n the matrix is used over the whole range.
const SMALL: u64 = 140;

/// P(D >= d) for n >= 1 values.
pub(super) fn survival(n: u64, d: f64) -> f64 {
    let n_f = n as f64;
    let t = n_f * d;
    if t <= 0.5 {
        return 1.0;
    }
    if d >= 1.0 {
        return 0.0;
    }
    if t <= 1.0 {
        let ln_cdf: f64 = (1..=n).map(|i| (i as f64 / n_f * (2.0 * t - 1.0)).ln()).sum();
        return -ln_cdf.exp_m1();
    }
    if t >= n_f - 1.0 {
        return 2.0 * (1.0 - d).powf(n_f);
    }
    let z2 = t * d;
    let tail_from = if n <= SMALL { 4.0 } else { 2.2 };
    if d >= 0.5 || z2 >= tail_from {
        return (2.0 * one_sided(n, d)).min(1.0);
    }
    if n <= SMALL || t * d.sqrt() <= 1.4 {
        return 1.0 - durbin(n, d);
    }
    1.0 - pelz_good(n_f, d)
}

/// P(D+ >= d).
fn one_sided(n: u64, d: f64) -> f64 {
    let n_f = n as f64;
    if n_f * d * d > 400.0 {
        return 0.0;
    }
    let last = (n_f * (1.0 - d)).floor() as u64;
    let mut ln_choose = 0.0;
    let mut sum = 0.0;
    for j in 0..=last.min(n) {
        let j_f = j as f64;
        let up = d + j_f / n_f;
        let down = 1.0 - up;
        if down > 0.0 {
            sum += (ln_choose + (n_f - j_f) * down.ln() + (j_f - 1.0) * up.ln()).exp();
        }
        ln_choose += ((n_f - j_f) / (j_f + 1.0)).ln();
    }
    d * sum
}

/// P(D < d) by the power of Durbin's matrix.
fn durbin(n: u64, d: f64) -> f64 {
    let t = n as f64 * d;
    let k = t.floor() as usize + 1;
    let h = k as f64 - t;
    let size = 2 * k - 1;
    let mut base = vec![0.0; size * size];
    for i in 0..size {
        for j in 0..size.min(i + 2) {
            base[i * size + j] = 1.0;
        }
    }
    for i in 0..size {
        base[i * size] -= h.powi(i as i32 + 1);
        base[(size - 1) * size + i] -= h.powi((size - i) as i32);
    }
    base[(size - 1) * size] += if 2.0 * h > 1.0 { (2.0 * h - 1.0).powi(size as i32) } else { 0.0 };
    for i in 0..size {
        let mut factorial = 1.0;
        for j in (0..(i + 1).min(size)).rev() {
            // divided by (i - j + 1)!
            factorial *= (i - j + 1) as f64;
            base[i * size + j] /= factorial;
        }
    }
    let (power, mut exponent) = matrix_power(&base, size, n);
    let mut p = power[(k - 1) * size + k - 1];
    for i in 1..=n {
        p *= i as f64 / n as f64;
        if p < 1e-140 {
            p *= 1e140;
            exponent -= 140;
        }
    }
    p * 10f64.powi(exponent)
}

/// base^n, scaled by 10^exponent.
fn matrix_power(base: &[f64], size: usize, n: u64) -> (Vec<f64>, i32) {
    let middle = (size / 2) * size + size / 2;
    let mut result: Vec<f64> = (0..size * size).map(|i| if i / size == i % size { 1.0 } else { 0.0 }).collect();
    let mut square = base.to_vec();
    let (mut result_exponent, mut square_exponent) = (0, 0);
    let mut bits = n;
    while bits > 0 {
        if bits & 1 == 1 {
            result = multiply(&result, &square, size);
            result_exponent += square_exponent + rescale(&mut result, middle);
        }
        bits >>= 1;
        if bits > 0 {
            square = multiply(&square, &square, size);
            square_exponent = 2 * square_exponent + rescale(&mut square, middle);
        }
    }
    (result, result_exponent)
}

fn rescale(matrix: &mut [f64], middle: usize) -> i32 {
    if matrix[middle] <= 1e140 {
        return 0;
    }
    matrix.iter_mut().for_each(|v| *v *= 1e-140);
    140
}

fn multiply(a: &[f64], b: &[f64], size: usize) -> Vec<f64> {
    let mut c = vec![0.0; size * size];
    for i in 0..size {
        for k in 0..size {
            let factor = a[i * size + k];
            for j in 0..size {
                c[i * size + j] += factor * b[k * size + j];
            }
        }
    }
    c
}

/// P(D < d) by Pelz and Good: K0(z) + K1(z)/sqrt n + K2(z)/n + K3(z)/n^1.5 with z = d sqrt n, each a theta series.
fn pelz_good(n: f64, d: f64) -> f64 {
    let z = d * n.sqrt();
    let z2 = z * z;
    let (pi2, z4, z6) = (PI * PI, z2 * z2, z2 * z2 * z2);
    let (pi4, pi6) = (pi2 * pi2, pi2 * pi2 * pi2);
    let mut k = [0.0; 4];
    let mut extra = [0.0; 2];
    for i in 0..(2.0 * z + 12.0) as i32 {
        let a2 = (f64::from(i) + 0.5).powi(2);
        let e = (-pi2 * a2 / (2.0 * z2)).exp();
        k[0] += e;
        k[1] += (pi2 * a2 - z2) * e;
        k[2] += (6.0 * z6 + 2.0 * z4 + pi2 * (2.0 * z4 - 5.0 * z2) * a2 + pi4 * (1.0 - 2.0 * z2) * a2 * a2) * e;
        k[3] += (-30.0 * z6 - 90.0 * z6 * z2
            + pi2 * (135.0 * z4 - 96.0 * z6) * a2
            + pi4 * (212.0 * z4 - 60.0 * z2) * a2 * a2
            + pi6 * (5.0 - 30.0 * z2) * a2 * a2 * a2)
            * e;
        let b2 = f64::from(i + 1).powi(2);
        let e = (-pi2 * b2 / (2.0 * z2)).exp();
        extra[0] += b2 * e;
        extra[1] += (3.0 * z2 * b2 - pi2 * b2 * b2) * e;
    }
    let root = (2.0 * PI).sqrt();
    let k0 = root / z * k[0];
    let k1 = root / (6.0 * z4) * k[1];
    let k2 = root / (72.0 * z6 * z) * k[2] - pi2 * root / (36.0 * z2 * z) * extra[0];
    let k3 = root / (6480.0 * z6 * z4) * k[3] + pi2 * root / (216.0 * z6) * extra[1];
    k0 + k1 / n.sqrt() + k2 / n + k3 / (n * n.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Marsaglia, Tsang and Wang give P(D < 0.274) = 0.6284796154565 for n = 10.
    #[test]
    fn the_published_value() {
        assert!((durbin(10, 0.274) - 0.628_479_615_456_5).abs() < 1e-12);
        assert!((survival(10, 0.274) - (1.0 - 0.628_479_615_456_5)).abs() < 1e-12);
    }

    #[test]
    fn the_regions_meet() {
        for n in [141, 500, 2000] {
            for z in [0.6, 0.9, 1.2, 1.45] {
                let d = z / f64::sqrt(n as f64);
                let (a, b) = (durbin(n, d), pelz_good(n as f64, d));
                assert!((a - b).abs() < 0.1 / (n * n) as f64, "{n} {z}: {a} {b}");
            }
        }
        for n in [30, 140, 200] {
            let d = (4.0 / n as f64).sqrt();
            let (tail, matrix) = (2.0 * one_sided(n, d), 1.0 - durbin(n, d));
            assert!((tail / matrix - 1.0).abs() < 1e-7, "{n}: {tail} {matrix}");
        }
    }

    #[test]
    fn the_ends_are_one_and_zero() {
        assert_eq!(survival(1, 0.3), 1.0);
        assert_eq!(survival(50, 0.0), 1.0);
        assert_eq!(survival(50, 1.0), 0.0);
        assert!((survival(1, 0.75) - 0.5).abs() < 1e-15);
        let mut last = 1.0;
        for i in 0..=1000 {
            let p = survival(37, f64::from(i) / 1000.0);
            assert!((0.0..=1.0).contains(&p) && p <= last + 1e-9, "{i}: {p} after {last}");
            last = p;
        }
    }
}
