//! Histories of fixed size: a fixed number of places over all rows so far, each as wide as it must be.

/// Places at most; when they are used up, neighbours fall together.
const MOST: usize = 400;

/// What a place holds: something that two neighbours can be put together to.
pub trait Merge: Clone + Default {
    fn merge(&mut self, later: &Self);
}

/// One value a place, over the rows from 1 on. Memory does not grow with their number.
#[derive(Clone, Debug)]
pub struct Places<T> {
    width: u64,
    places: Vec<T>,
}

impl<T: Merge> Default for Places<T> {
    fn default() -> Self {
        Self { width: 1, places: Vec::new() }
    }
}

impl<T: Merge> Places<T> {
    /// The place of a row (1-based), to add to.
    pub fn at(&mut self, row: u64) -> &mut T {
        let row = row.saturating_sub(1);
        while row / self.width >= MOST as u64 {
            self.halve();
        }
        let place = (row / self.width) as usize;
        if place >= self.places.len() {
            self.places.resize_with(place + 1, T::default);
        }
        &mut self.places[place]
    }

    fn halve(&mut self) {
        self.width *= 2;
        let together = |pair: &[T]| {
            let mut first = pair[0].clone();
            pair.iter().skip(1).for_each(|later| first.merge(later));
            first
        };
        self.places = self.places.chunks(2).map(together).collect();
    }

    /// Each place with its middle row.
    pub fn iter(&self) -> impl Iterator<Item = (f64, &T)> {
        let middle = |i: usize| (i as f64 + 0.5) * self.width as f64 + 0.5;
        self.places.iter().enumerate().map(move |(i, place)| (middle(i), place))
    }
}

/// Range and mean of the values of a place.
#[derive(Copy, Clone, Debug, Default)]
pub struct Spread {
    low: f32,
    high: f32,
    sum: f64,
    n: u32,
}

impl Spread {
    /// One value more; what is not finite does not count.
    pub fn add(&mut self, x: f64) {
        if x.is_finite() {
            let one = x.clamp(f64::from(f32::MIN), f64::from(f32::MAX));
            self.merge(&Self { low: one as f32, high: one as f32, sum: one, n: 1 });
        }
    }

    /// Least, mean and largest value; `None` without any.
    pub fn range(&self) -> Option<(f64, f64, f64)> {
        let mean = self.sum / f64::from(self.n.max(1));
        // rounded to single precision the ends may pass the mean
        (self.n > 0).then(|| (f64::from(self.low).min(mean), mean, f64::from(self.high).max(mean)))
    }
}

impl Merge for Spread {
    fn merge(&mut self, later: &Self) {
        if self.n == 0 {
            *self = *later;
        } else if later.n > 0 {
            (self.low, self.high) = (self.low.min(later.low), self.high.max(later.high));
            self.sum += later.sum;
            self.n = self.n.saturating_add(later.n);
        }
    }
}

/// Rows of each of several kinds.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Counts<const N: usize>(pub [u32; N]);

impl<const N: usize> Default for Counts<N> {
    fn default() -> Self {
        Self([0; N])
    }
}

impl<const N: usize> Merge for Counts<N> {
    fn merge(&mut self, later: &Self) {
        self.0.iter_mut().zip(later.0).for_each(|(a, b)| *a = a.saturating_add(b));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_rows_take_no_more_than_the_first_hundreds_and_lose_no_extreme() {
        let mut places: Places<Spread> = Places::default();
        for row in 1..=1_000_000u64 {
            places.at(row).add(if row == 777_777 { 50.0 } else { 1.0 });
        }
        let ranges: Vec<_> = places.iter().filter_map(|(row, s)| Some((row, s.range()?))).collect();
        assert!((MOST / 2..=MOST).contains(&ranges.len()), "{}", ranges.len());
        let (row, peak) = ranges.iter().find(|(_, r)| r.2 > 1.0).unwrap();
        assert!((row - 777_777.0).abs() < 5_000.0 && peak.0 == 1.0 && peak.2 == 50.0, "{row} {peak:?}");
        assert!(ranges.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn counts_keep_their_sum_and_rows_without_a_value_leave_gaps() {
        let mut places: Places<Counts<2>> = Places::default();
        (1..=5_000u64).for_each(|row| places.at(row).0[usize::from(row > 2_500)] += 1);
        let sum = places.iter().fold([0, 0], |s, (_, c)| [s[0] + c.0[0], s[1] + c.0[1]]);
        assert_eq!(sum, [2_500, 2_500]);
        let mut gaps: Places<Spread> = Places::default();
        gaps.at(10).add(f64::NAN);
        gaps.at(20).add(1e300);
        assert_eq!(gaps.iter().filter(|(_, s)| s.range().is_some()).count(), 1);
    }
}
