use std::ops::Range;
use std::time::Duration;

use crate::drift::References;
use crate::drift::metric::Reference;
use crate::types::Timestamp;

/// Healthy judged rows in their order, of one or more units (machines).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HealthyRows {
    columns: usize,
    slots: Vec<u16>,
    times: Vec<Timestamp>,
    values: Vec<f64>,
    starts: Vec<usize>,
}

impl HealthyRows {
    /// For rows of so many columns (at least 1).
    pub fn new(columns: usize) -> Self {
        Self { columns: columns.max(1), ..Self::default() }
    }

    /// The rows from now on are another unit's.
    pub fn start_unit(&mut self) {
        if self.starts.last() != Some(&self.slots.len()) {
            self.starts.push(self.slots.len());
        }
    }

    /// A row of `columns` values (NaN where missing) in the regime `slot`.
    pub fn push(&mut self, slot: u16, time: Timestamp, values: &[f64]) {
        if self.starts.is_empty() {
            self.starts.push(0);
        }
        self.slots.push(slot);
        self.times.push(time);
        self.values.extend_from_slice(&values[..self.columns]);
    }

    pub fn columns(&self) -> usize {
        self.columns
    }

    pub fn len(&self) -> usize {
        self.slots.len()
    }

    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub fn slot(&self, row: usize) -> u16 {
        self.slots[row]
    }

    pub fn time(&self, row: usize) -> Timestamp {
        self.times[row]
    }

    pub fn row(&self, row: usize) -> &[f64] {
        &self.values[row * self.columns..(row + 1) * self.columns]
    }

    /// The rows of each unit; none is empty.
    pub fn units(&self) -> Vec<Range<usize>> {
        let ends = self.starts.iter().skip(1).copied().chain([self.len()]);
        self.starts.iter().copied().zip(ends).map(|(a, b)| a..b).filter(|r| !r.is_empty()).collect()
    }

    /// Rows of each of `regimes` regimes, in their order.
    pub fn members(&self, regimes: usize) -> Vec<Vec<usize>> {
        let mut members = vec![Vec::new(); regimes];
        for (row, slot) in self.slots.iter().enumerate() {
            if let Some(m) = members.get_mut(usize::from(*slot)) {
                m.push(row);
            }
        }
        members
    }

    /// Median time between consecutive rows of a unit; `None` where time stands still.
    pub fn interval(&self) -> Option<Duration> {
        let mut steps: Vec<Duration> = Vec::with_capacity(self.len());
        for unit in self.units() {
            steps.extend(self.times[unit].windows(2).map(|w| w[1].since(w[0])));
        }
        steps.sort_unstable();
        steps.get(steps.len() / 2).copied().filter(|d| !d.is_zero())
    }

    /// References of the regimes from some of the rows (row indexes by regime).
    pub fn references(&self, members: &[Vec<usize>]) -> Vec<References> {
        let column = |rows: &[usize], k: usize| {
            let step = rows.len().div_ceil(crate::drift::REFERENCE_CAP).max(1);
            let values: Vec<f64> = rows.iter().map(|r| self.row(*r)[k]).filter(|x| x.is_finite()).step_by(step).collect();
            Reference::new(&values).ok()
        };
        members.iter().map(|rows| (0..self.columns).map(|k| column(rows, k)).collect()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_members_and_interval() {
        let mut rows = HealthyRows::new(1);
        for unit in 0..3 {
            rows.start_unit();
            rows.start_unit();
            for i in 0..(unit * 2) {
                rows.push(i as u16 % 2, Timestamp::from_secs_f64(f64::from(i) * 2.0), &[f64::from(i)]);
            }
        }
        assert_eq!(rows.units(), [0..2, 2..6]);
        assert_eq!(rows.members(2), [vec![0, 2, 4], vec![1, 3, 5]]);
        assert_eq!(rows.interval(), Some(Duration::from_secs(2)));
        let references = rows.references(&rows.members(3));
        assert_eq!(references[1][0].as_ref().unwrap().sorted(), [1.0, 1.0, 3.0]);
        assert!(references[2][0].is_none());
    }
}
