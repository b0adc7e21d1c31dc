//! Where the continuous settings of a regime were trained: the envelope within a regime.

use std::collections::BTreeMap;
use std::ops::Deref;

use serde::{Deserialize, Serialize};

use crate::config::MAX_CONTINUOUS;

/// The regression settings of one row, each in its own tolerances; derefs to a slice of as many as there are.
#[derive(Copy, Clone, Debug, Default, PartialEq)]
pub struct Point {
    values: [f64; MAX_CONTINUOUS],
    width: usize,
}

impl Point {
    /// From settings in tolerances; those beyond [`MAX_CONTINUOUS`] are left out (the configuration allows no more).
    pub fn new(values: impl Iterator<Item = f64>) -> Self {
        let mut point = Self::default();
        for x in values.take(MAX_CONTINUOUS) {
            point.values[point.width] = x;
            point.width += 1;
        }
        point
    }
}

impl Deref for Point {
    type Target = [f64];

    fn deref(&self) -> &[f64] {
        &self.values[..self.width]
    }
}

/// A place is trained where so many rows lie within one tolerance of it: a single stray row widens no envelope.
const NEAR_ROWS: u32 = 5;

/// Rows within a cell of so many parts of a tolerance become one place.
const CELLS: f64 = 4.0;

/// The trained places of one regime. The distance of a point is that to the nearest place, the largest over the settings, in
/// tolerances: 1 is the border. So there is an outside beyond the trained range, in a gap inside it, and, with several
/// settings, at a combination that never was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Support {
    width: usize,
    /// `width` values each, in tolerances; ascending in the first.
    places: Vec<f64>,
}

impl Support {
    /// From the rows of a regime, in any order; of `width` settings (at least 1).
    pub fn learn<'a>(width: usize, rows: impl Iterator<Item = &'a Point>) -> Self {
        let width = width.clamp(1, MAX_CONTINUOUS);
        // Rows and sums of each occupied cell.
        let mut cells: BTreeMap<[i64; MAX_CONTINUOUS], (u32, [f64; MAX_CONTINUOUS])> = BTreeMap::new();
        for point in rows.filter(|p| p.width == width) {
            let (rows, sum) = cells.entry(point.values.map(|x| (x * CELLS).floor() as i64)).or_default();
            *rows += 1;
            sum.iter_mut().zip(&point.values).for_each(|(s, x)| *s += x);
        }
        let mut places: Vec<_> = cells.into_values().map(|(n, sum)| (n, sum.map(|s| s / f64::from(n)))).collect();
        places.sort_by(|a, b| a.1[0].total_cmp(&b.1[0]));
        let trained = (0..places.len()).filter(|i| is_trained(&places, *i, width));
        Self { width, places: trained.flat_map(|i| places[i].1.into_iter().take(width)).collect() }
    }

    /// Distance to the nearest trained place, in tolerances; infinite where there is none, or the point has other settings.
    pub fn distance(&self, point: &Point) -> f64 {
        let mut best = f64::INFINITY;
        if point.width != self.width || point.is_empty() {
            return best;
        }
        let place = |i: usize| &self.places[i * self.width..(i + 1) * self.width];
        let count = self.places.len() / self.width;
        let middle = partition(count, |i| place(i)[0] < point[0]);
        // Places are ascending in the first setting: once that alone is farther than the best, so are all others.
        for i in middle..count {
            if place(i)[0] - point[0] >= best {
                break;
            }
            best = best.min(apart(place(i), point));
        }
        for i in (0..middle).rev() {
            if point[0] - place(i)[0] >= best {
                break;
            }
            best = best.min(apart(place(i), point));
        }
        best
    }

    /// Whether it can be asked with points of so many settings.
    pub fn is_sound(&self, width: usize) -> bool {
        let ascending = |i: usize| self.places[i] <= self.places[i + self.width];
        self.width == width
            && (1..=MAX_CONTINUOUS).contains(&width)
            && self.places.len().is_multiple_of(width)
            && self.places.iter().all(|x| x.is_finite())
            && (0..self.places.len().saturating_sub(width)).step_by(width).all(ascending)
    }
}

/// The largest difference over the settings.
fn apart(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

/// First index of `0..count` where `before` no longer holds.
fn partition(count: usize, before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low.midpoint(high);
        if before(middle) { low = middle + 1 } else { high = middle }
    }
    low
}

/// Whether enough rows lie within a tolerance of place `i`; `places` are ascending in the first setting.
fn is_trained(places: &[(u32, [f64; MAX_CONTINUOUS])], i: usize, width: usize) -> bool {
    let (own, at) = &places[i];
    let mut rows = *own;
    let mut count = |(n, other): &(u32, [f64; MAX_CONTINUOUS])| {
        rows += if apart(&at[..width], &other[..width]) <= 1.0 { *n } else { 0 };
        rows >= NEAR_ROWS
    };
    let near = |other: &&(u32, [f64; MAX_CONTINUOUS])| (other.1[0] - at[0]).abs() <= 1.0;
    *own >= NEAR_ROWS
        || places[i + 1..].iter().take_while(near).any(&mut count)
        || places[..i].iter().rev().take_while(near).any(&mut count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(values: &[f64]) -> Point {
        Point::new(values.iter().copied())
    }

    #[test]
    fn outside_lies_beyond_the_range_and_in_a_gap_inside_it() {
        // Speeds from 0 to 20 and from 30 to 40 tolerances.
        let rows: Vec<_> = (0..200).map(|i| f64::from(i) * 0.1).chain((0..100).map(|i| 30.0 + f64::from(i) * 0.1)).collect();
        let rows: Vec<_> = rows.into_iter().map(|x| point(&[x])).collect();
        let support = Support::learn(1, rows.iter());
        assert!(support.is_sound(1) && !support.is_sound(2));
        for row in &rows {
            assert!(support.distance(row) <= 0.25, "{row:?}");
        }
        for (x, inside) in
            [(-0.8, true), (-1.1, false), (20.7, true), (21.1, false), (25.0, false), (28.8, false), (29.3, true), (41.1, false)]
        {
            assert_eq!(support.distance(&point(&[x])) <= 1.0, inside, "{x}");
        }
        assert!((support.distance(&point(&[25.0])) - 5.0).abs() < 0.2, "in tolerances from both sides");
    }

    #[test]
    fn a_combination_that_never_was_is_outside() {
        // Load follows speed: neither corner was ever visited.
        let rows: Vec<_> =
            (0..2000).map(|i| point(&[f64::from(i % 200) * 0.1, f64::from(i % 200) * 0.1 + f64::from(i % 7) * 0.2])).collect();
        let support = Support::learn(2, rows.iter());
        assert!(support.distance(&point(&[10.0, 10.5])) <= 1.0);
        assert!((support.distance(&point(&[5.0, 15.0])) - 4.5).abs() < 0.7, "{}", support.distance(&point(&[5.0, 15.0])));
        assert!(support.distance(&point(&[15.0, 5.0])) > 4.0);
        // The same as trying every place.
        for i in 0..50 {
            let p = point(&[f64::from(i) * 0.5 - 2.0, f64::from(i * 7 % 50) * 0.5 - 2.0]);
            let nearest = support.places.chunks(2).map(|q| apart(q, &p)).fold(f64::INFINITY, f64::min);
            assert_eq!(support.distance(&p), nearest);
        }
    }

    #[test]
    fn a_stray_row_is_not_trained_and_five_near_it_are() {
        let mut rows: Vec<_> = (0..100).map(|i| point(&[f64::from(i) * 0.05])).collect();
        rows.push(point(&[50.0]));
        assert!(Support::learn(1, rows.iter()).distance(&point(&[50.0])) > 40.0);
        rows.extend([49.1, 49.4, 50.5, 50.9].map(|x| point(&[x])));
        assert!(Support::learn(1, rows.iter()).distance(&point(&[50.0])) <= 0.25);
        assert_eq!(Support::learn(1, [].iter()).distance(&point(&[0.0])), f64::INFINITY);
        assert_eq!(Support::learn(1, rows.iter()).distance(&point(&[1.0, 1.0])), f64::INFINITY);
    }
}
