//! Walks over two ascending samples at once.

/// `sum f(i m - j n) (next - v)` over the steps of both distribution functions, where i and j values are at most v.
#[inline]
pub(super) fn integrate(x: &[f64], y: &[f64], f: impl Fn(f64) -> f64) -> f64 {
    let (n, m) = (x.len() as f64, y.len() as f64);
    let (mut i, mut j, mut gap, mut sum) = (0, 0, 0.0, 0.0);
    let mut last = x[0].min(y[0]);
    while i < x.len() && j < y.len() {
        let (a, b) = (x[i], y[j]);
        let first = a <= b;
        let v = if first { a } else { b };
        sum += f(gap) * (v - last);
        last = v;
        i += usize::from(first);
        j += usize::from(!first);
        gap += if first { m } else { -n };
    }
    for v in &x[i..] {
        sum += f(gap) * (v - last);
        last = *v;
        gap += m;
    }
    for v in &y[j..] {
        sum += f(gap) * (v - last);
        last = *v;
        gap -= n;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_integral_of_the_gap_is_the_difference_of_the_means() {
        let (x, y) = ([1.0, 2.0, 6.0], [3.0, 5.0]);
        assert_eq!(integrate(&x, &y, |g| g) / 6.0, 1.0);
        assert_eq!(integrate(&y, &x, |g| g) / 6.0, -1.0);
    }
}
