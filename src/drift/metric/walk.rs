//! Walks over two ascending samples at once.

/// `sum f(i m - j n) (next - v)` over the steps of both distribution functions, where i and j values are at most v.
///
/// Of equal values those of x come first. Each stretch of x below the next value of y is walked in one go.
#[inline]
pub(super) fn integrate(x: &[f64], y: &[f64], f: impl Fn(f64) -> f64) -> f64 {
    let (n, m) = (x.len() as f64, y.len() as f64);
    let (mut i, mut gap, mut sum) = (0, 0.0, 0.0);
    let mut last = x[0].min(y[0]);
    for b in y {
        while let Some(a) = x.get(i).filter(|a| *a <= b) {
            sum += f(gap) * (a - last);
            last = *a;
            gap += m;
            i += 1;
        }
        sum += f(gap) * (b - last);
        last = *b;
        gap -= n;
    }
    for a in &x[i..] {
        sum += f(gap) * (a - last);
        last = *a;
        gap += m;
    }
    sum
}

/// A value of the pooled sample with its counts.
#[derive(Copy, Clone, PartialEq, Debug)]
pub(super) struct Group {
    /// Values of x and of y below it.
    pub(super) i: u64,
    pub(super) j: u64,
    /// How often x and y hold it.
    pub(super) in_x: u64,
    pub(super) in_y: u64,
}

/// Visits the distinct values of both samples in ascending order.
#[inline]
pub(super) fn groups(x: &[f64], y: &[f64], mut visit: impl FnMut(Group)) {
    let (mut i, mut j) = (0, 0);
    while i < x.len() || j < y.len() {
        let v = match (x.get(i), y.get(j)) {
            (Some(a), Some(b)) => a.min(*b),
            (Some(a), None) => *a,
            (None, Some(b)) => *b,
            (None, None) => break,
        };
        let (from_i, from_j) = (i, j);
        while i < x.len() && x[i] == v {
            i += 1;
        }
        while j < y.len() && y[j] == v {
            j += 1;
        }
        visit(Group { i: from_i as u64, j: from_j as u64, in_x: (i - from_i) as u64, in_y: (j - from_j) as u64 });
    }
}

/// The k-th smallest value (from 0) of both samples together; `k < x.len() + y.len()`.
pub(super) fn pooled_order(x: &[f64], y: &[f64], k: usize) -> f64 {
    // smallest i such that the k - i values of y before the k-th are all at most x[i]
    let (mut low, mut high) = (k.saturating_sub(y.len()), k.min(x.len()));
    while low < high {
        let i = low.midpoint(high);
        if y[k - i - 1] > x[i] {
            low = i + 1;
        } else {
            high = i;
        }
    }
    match (x.get(low), y.get(k - low)) {
        (Some(a), Some(b)) => a.min(*b),
        (Some(a), None) => *a,
        (None, Some(b)) => *b,
        (None, None) => f64::NAN,
    }
}

/// Quantile `q` of both samples together, linear between order statistics.
pub(super) fn pooled_quantile(x: &[f64], y: &[f64], q: f64) -> f64 {
    let last = x.len() + y.len() - 1;
    let h = q * last as f64;
    let below = (h.floor() as usize).min(last);
    let share = h - below as f64;
    let (a, b) = (pooled_order(x, y, below), pooled_order(x, y, (below + 1).min(last)));
    a * (1.0 - share) + b * share
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_integral_of_the_gap_is_the_difference_of_the_means() {
        let (x, y) = ([1.0, 2.0, 6.0], [3.0, 5.0]);
        assert_eq!(integrate(&x, &y, |g| g) / 6.0, 2.0 * 0.5);
        assert_eq!(integrate(&y, &x, |g| g) / 6.0, -1.0);
    }

    #[test]
    fn groups_count_equal_values() {
        let mut seen = Vec::new();
        groups(&[1.0, 2.0, 2.0], &[2.0, 3.0], |g| seen.push((g.i, g.j, g.in_x, g.in_y)));
        assert_eq!(seen, [(0, 0, 1, 0), (1, 0, 2, 1), (3, 1, 0, 1)]);
    }

    #[test]
    fn pooled_order_is_the_order_of_all() {
        let x = [1.0, 4.0, 4.0, 9.0];
        for y in [vec![0.0, 4.0, 5.0], vec![10.0], vec![-3.0, -2.0, -1.0, 0.0, 1.0, 1.0], vec![]] {
            let mut all: Vec<f64> = x.iter().chain(&y).copied().collect();
            all.sort_unstable_by(f64::total_cmp);
            for (k, v) in all.iter().enumerate() {
                assert_eq!(pooled_order(&x, &y, k), *v, "{k} {y:?}");
                assert_eq!(pooled_order(&y, &x, k), *v, "{k} {y:?}");
            }
        }
    }
}
