//! Values of one column that lie together: the values a setting is set to.
//!
//! Few different values: neighbours are one group where their distance is far below the others'. Many: groups are dense stretches of a
//! histogram with empty ones at least as wide between them, so that ramps from one setting to the next (few rows) do not join groups.

use super::numbers::quantile;

/// Up to so many different values are looked at one by one.
const FEW: usize = 64;
/// More groups are a continuous quantity.
pub(super) const MOST: usize = 20;
/// Distances that jump by this factor are of two sorts: within a group, and between groups.
const JUMP: f64 = 20.0;
/// The same for groups that are dense stretches of many values.
const COARSE_JUMP: f64 = 5.0;
/// Bars that a histogram has at most, and rows a bar at least.
const BARS: usize = 400;
const ROWS_A_BAR: usize = 20;
/// A bar is part of a group from this share of the mean bar on.
const DENSE: f64 = 0.1;
/// Rows that groups must hold, of all.
const COVERED: f64 = 0.9;

/// Values that lie together.
#[derive(Copy, Clone, Debug, PartialEq)]
pub(super) struct Cluster {
    pub low: f64,
    pub high: f64,
    /// Median.
    pub centre: f64,
    pub rows: usize,
}

/// The groups of ascending finite values, in their order; `None` where they are continuous.
pub(super) fn clusters(sorted: &[f64]) -> Option<Vec<Cluster>> {
    let mut distinct = Vec::new();
    for x in sorted {
        if distinct.last() != Some(x) {
            distinct.push(*x);
            if distinct.len() > FEW {
                break;
            }
        }
    }
    let bounds = if distinct.len() <= FEW { few(&distinct) } else { dense(sorted) };
    let clusters: Vec<Cluster> = bounds.into_iter().map(|(low, high)| cluster(sorted, low, high)).collect();
    let covered: usize = clusters.iter().map(|c| c.rows).sum();
    let fits = (1..=MOST).contains(&clusters.len()) && covered as f64 >= COVERED * sorted.len() as f64;
    fits.then_some(clusters)
}

fn cluster(sorted: &[f64], low: f64, high: f64) -> Cluster {
    let values = &sorted[sorted.partition_point(|x| *x < low)..sorted.partition_point(|x| *x <= high)];
    Cluster { low, high, centre: quantile(values, 0.5), rows: values.len() }
}

fn few(distinct: &[f64]) -> Vec<(f64, f64)> {
    let gaps: Vec<f64> = distinct.windows(2).map(|w| w[1] - w[0]).collect();
    let mut sorted = gaps.clone();
    sorted.sort_by(f64::total_cmp);
    let jump = sorted.windows(2).filter(|w| w[1] > JUMP * w[0]).max_by(|a, b| (a[1] / a[0]).total_cmp(&(b[1] / b[0])));
    let within = jump.map_or(0.0, |w| w[0]);
    let mut bounds: Vec<(f64, f64)> = Vec::new();
    for (i, x) in distinct.iter().enumerate() {
        match bounds.last_mut() {
            Some(last) if i > 0 && gaps[i - 1] <= within => last.1 = *x,
            _ => bounds.push((*x, *x)),
        }
    }
    bounds
}

fn dense(sorted: &[f64]) -> Vec<(f64, f64)> {
    let (low, high) = (quantile(sorted, 0.005), quantile(sorted, 0.995));
    let bars = (sorted.len() / ROWS_A_BAR).clamp(10, BARS);
    let width = (high / 2.0 - low / 2.0) / bars as f64;
    if width <= 0.0 {
        return Vec::new();
    }
    let bar = |x: f64| ((x / 2.0 - low / 2.0) / width) as usize;
    let inside = &sorted[sorted.partition_point(|x| *x < low)..sorted.partition_point(|x| *x <= high)];
    let mut found: Vec<Option<(f64, f64, usize)>> = vec![None; bars];
    for x in inside {
        let (_, to, count) = found[bar(*x).min(bars - 1)].get_or_insert((*x, *x, 0));
        *to = *x;
        *count += 1;
    }
    let least = (DENSE * inside.len() as f64 / bars as f64).max(2.0);
    let mut bounds: Vec<(f64, f64)> = Vec::new();
    let mut adjacent = false;
    for bar in found {
        let Some((from, to, _)) = bar.filter(|(.., count)| *count as f64 >= least) else {
            adjacent = false;
            continue;
        };
        match bounds.last_mut() {
            Some(last) if adjacent && from / 2.0 - last.1 / 2.0 < 0.7 * width => last.1 = to,
            _ => bounds.push((from, to)),
        }
        adjacent = true;
    }
    merge_close(bounds)
}

/// Joins neighbours whose gap is narrower than the wider of them.
fn merge_close(mut bounds: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    let close = |w: &[(f64, f64)]| w[1].0 - w[0].1 < (w[0].1 - w[0].0).max(w[1].1 - w[1].0);
    while let Some(at) = bounds.windows(2).position(close) {
        bounds[at].1 = bounds[at + 1].1;
        bounds.remove(at + 1);
    }
    bounds
}

/// The groups joined where their distances are of two sorts, at the last jump between them; `None` where they are not.
pub(super) fn coarser(sorted: &[f64], clusters: &[Cluster]) -> Option<Vec<Cluster>> {
    let mut gaps: Vec<f64> = clusters.windows(2).map(|w| w[1].low - w[0].high).collect();
    gaps.sort_by(f64::total_cmp);
    let jump = gaps.windows(2).rev().find(|w| w[1] > COARSE_JUMP * w[0])?[0];
    let mut bounds: Vec<(f64, f64)> = Vec::new();
    for c in clusters {
        match bounds.last_mut() {
            Some(last) if c.low - last.1 <= jump => last.1 = c.high,
            _ => bounds.push((c.low, c.high)),
        }
    }
    Some(bounds.into_iter().map(|(low, high)| cluster(sorted, low, high)).collect())
}

/// Half the width of the widest group against the smallest distance of two: 0 for exact values, up to a half. 0 for a single group.
pub(super) fn looseness(clusters: &[Cluster]) -> f64 {
    nearest(clusters).map_or(0.0, |distance| half_width(clusters) / distance)
}

fn half_width(clusters: &[Cluster]) -> f64 {
    clusters.iter().map(|c| (c.high - c.centre).max(c.centre - c.low)).fold(0.0, f64::max)
}

fn nearest(clusters: &[Cluster]) -> Option<f64> {
    clusters.windows(2).map(|w| w[1].centre - w[0].centre).min_by(f64::total_cmp)
}

/// A tolerance that holds each group together and apart from the others: a fifth of the smallest distance of centres, or what the
/// widest group needs. A single group gets a twentieth of its value.
pub(super) fn tolerance(clusters: &[Cluster]) -> Option<f64> {
    let half = half_width(clusters);
    let nearest = nearest(clusters);
    let wanted = match (nearest, clusters) {
        (Some(distance), _) => 0.2 * distance,
        (None, [only]) => 0.05 * only.centre.abs(),
        _ => return None,
    };
    let wanted = if wanted > 0.0 { wanted } else { 1.0 };
    let nice = nice_down(wanted);
    let tolerance = if nice >= 1.2 * half { nice } else { nice_up(1.2 * half) };
    // two regimes never overlap
    let most = nearest.map_or(f64::MAX, |d| short_down(0.499 * d));
    Some(tolerance.min(most)).filter(|t| t.is_finite() && *t > 0.0)
}

/// 1, 2 or 5 times a power of ten, at most `x`.
pub(super) fn nice_down(x: f64) -> f64 {
    let power = 10f64.powf(x.log10().floor());
    let digit = [5.0, 2.0, 1.0].into_iter().find(|d| d * power <= x * (1.0 + 1e-9)).unwrap_or(1.0);
    tidy(digit * power)
}

/// 1, 2 or 5 times a power of ten, at least `x`.
pub(super) fn nice_up(x: f64) -> f64 {
    let power = 10f64.powf(x.log10().floor());
    let digit = [1.0, 2.0, 5.0].into_iter().find(|d| d * power >= x * (1.0 - 1e-9)).unwrap_or(10.0);
    tidy(digit * power)
}

/// Three digits, at most `x`.
fn short_down(x: f64) -> f64 {
    let step = 10f64.powf(x.log10().floor() - 2.0);
    tidy((x / step).floor() * step)
}

/// Without the dust of binary fractions: 0.1 + 0.2 is 0.3.
pub(super) fn tidy(x: f64) -> f64 {
    format!("{x:.6e}").parse().unwrap_or(x)
}

/// Edges of half-open bins with about the same number of rows each; `None` where there are too few different values.
pub(super) fn bins(sorted: &[f64], rows_a_bin: usize) -> Option<Vec<f64>> {
    let (low, high) = (*sorted.first()?, *sorted.last()?);
    let count = (sorted.len() / rows_a_bin.max(1)).clamp(2, 5);
    // single values far outside do not make the rest coarse
    let step = nice_down((quantile(sorted, 0.99) - quantile(sorted, 0.01)) / 50.0);
    if !(step > 0.0 && step.is_finite()) {
        return None;
    }
    let round = |x: f64, to: fn(f64) -> f64| tidy(to(x / step) * step);
    let mut edges = vec![round(low, f64::floor)];
    for i in 1..count {
        let edge = round(quantile(sorted, i as f64 / count as f64), f64::round);
        if edges.last().is_some_and(|last| *last < edge) {
            edges.push(edge);
        }
    }
    // the last bin is open at its end
    let top = round(high + step * 0.5, f64::ceil);
    edges.retain(|e| *e < top);
    edges.push(top);
    (edges.len() >= 2 && edges.iter().all(|e| e.is_finite())).then_some(edges)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Even noise of -0.5 to 0.5.
    fn noise(i: u32) -> f64 {
        f64::from(i.wrapping_mul(2_654_435_761) >> 8) / f64::from(1 << 24) - 0.5
    }

    fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        values
    }

    fn centres(values: &[f64]) -> Option<Vec<i64>> {
        clusters(values).map(|c| c.iter().map(|c| c.centre.round() as i64).collect())
    }

    #[test]
    fn noisy_settings_with_ramps_between_them_are_found() {
        let noisy = sorted((0..3000).map(|i| [164.0, 289.0, 230.0][i as usize % 3] + noise(i)));
        assert_eq!(centres(&noisy), Some(vec![164, 230, 289]));
        let ramps = sorted(noisy.iter().copied().chain((0..120).map(|i| 164.0 + f64::from(i))));
        assert_eq!(centres(&ramps), Some(vec![164, 230, 289]));
        let t = tolerance(&clusters(&ramps).unwrap()).unwrap();
        assert_eq!(t, 10.0);
    }

    #[test]
    fn continuous_values_are_one_group_or_none() {
        let uniform = sorted((0..3000).map(noise));
        assert!(clusters(&uniform).is_none_or(|c| c.len() == 1));
        let bell = sorted((0..3000).map(|i| (0..12).map(|k| noise(i * 12 + k)).sum::<f64>()));
        assert!(clusters(&bell).is_none_or(|c| c.len() == 1), "{:?}", clusters(&bell));
    }

    #[test]
    fn few_values_are_joined_only_where_distances_are_of_two_sorts() {
        assert_eq!(centres(&[0.0, 10.0, 20.0, 25.0, 35.0, 42.0]), Some(vec![0, 10, 20, 25, 35, 42]));
        assert_eq!(centres(&[163.9, 164.0, 164.1, 289.0, 289.1]), Some(vec![164, 289]));
        assert_eq!(centres(&[5.0, 5.0]), Some(vec![5]));
        assert_eq!(centres(&[]), None);
        assert_eq!(centres(&(0..40).map(f64::from).collect::<Vec<_>>()), None);
    }

    #[test]
    fn tolerances_keep_groups_together_and_apart_whatever_the_unit() {
        for unit in [1e-9, 1.0, 1e9] {
            let values = sorted((0..900).map(|i| ([0.0, 4.0, 40.0][i as usize % 3] + noise(i)) * unit));
            let found = clusters(&values).unwrap();
            let t = tolerance(&found).unwrap();
            assert!(t >= 0.5 * unit && t < 2.0 * unit, "{t}");
        }
        assert_eq!(tolerance(&clusters(&[50.0, 50.0]).unwrap()), Some(2.0));
        assert_eq!(tolerance(&clusters(&[0.0, 0.0]).unwrap()), Some(1.0));
        assert_eq!((nice_down(0.016), nice_up(0.016), nice_down(1.0), nice_up(7.0)), (0.01, 0.02, 1.0, 10.0));
    }

    #[test]
    fn jitter_of_whole_steps_is_joined_on_a_coarser_look() {
        let values = sorted((0..4000).map(|i| [30.0, 75.0, 127.0][i as usize % 3] + f64::from(i / 3 % 4) + 0.01 * noise(i)));
        let fine = clusters(&values).unwrap();
        assert_eq!(fine.len(), 12);
        let coarse = coarser(&values, &fine).unwrap();
        assert_eq!(coarse.iter().map(|c| c.low.round() as i64).collect::<Vec<_>>(), [30, 75, 127]);
        assert!(looseness(&coarse) < 0.1 && coarser(&values, &coarse).is_none());
    }

    #[test]
    fn bins_hold_all_values_in_about_equal_shares() {
        let values: Vec<f64> = (0..1000).map(|i| f64::from(i) * 0.75).collect();
        assert_eq!(bins(&values, 250), Some(vec![0.0, 190.0, 370.0, 560.0, 760.0]));
        assert_eq!(bins(&[3.0, 3.0], 1), None);
        assert_eq!(bins(&[], 1), None);
    }
}
