use crate::types::Timestamp;

/// The last rows of one regime: a ring of `capacity` rows of `width` values, across visits. Allocated once.
#[derive(Clone, Debug)]
pub struct Window {
    width: usize,
    capacity: usize,
    values: Vec<f64>,
    times: Vec<Timestamp>,
    next: usize,
    len: usize,
}

impl Window {
    /// `capacity` rows (at least 1) of `width` values.
    pub fn new(capacity: usize, width: usize) -> Self {
        let capacity = capacity.max(1);
        Self { width, capacity, values: vec![f64::NAN; capacity * width], times: vec![Timestamp::EPOCH; capacity], next: 0, len: 0 }
    }

    /// Appends a row of `width` values; the oldest goes where the ring is full.
    pub fn push(&mut self, time: Timestamp, row: &[f64]) {
        let start = self.next * self.width;
        for (slot, x) in self.values[start..start + self.width].iter_mut().zip(row) {
            *slot = *x;
        }
        self.times[self.next] = time;
        self.next = (self.next + 1) % self.capacity;
        self.len = (self.len + 1).min(self.capacity);
    }

    pub fn is_full(&self) -> bool {
        self.len == self.capacity
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Times of the oldest and the newest row.
    pub fn span(&self) -> Option<(Timestamp, Timestamp)> {
        if self.len == 0 {
            return None;
        }
        let oldest = if self.is_full() { self.next } else { 0 };
        let newest = (self.next + self.capacity - 1) % self.capacity;
        Some((self.times[oldest], self.times[newest]))
    }

    /// The finite values of one column, in the order of the ring, into `out`.
    pub fn column(&self, column: usize, out: &mut Vec<f64>) {
        out.clear();
        out.extend((0..self.len).map(|i| self.values[i * self.width + column]).filter(|x| x.is_finite()));
    }

    /// One column of the newest `rows` rows (fewer where there are fewer), oldest first, NaN where missing, into `out`.
    pub fn newest(&self, column: usize, rows: usize, out: &mut Vec<f64>) {
        let rows = rows.min(self.len);
        let start = self.next + self.capacity - rows;
        out.clear();
        out.extend((0..rows).map(|i| self.values[(start + i) % self.capacity * self.width + column]));
    }

    /// The finite values of one column, sorted ascending, into `out`.
    pub fn sorted_column(&self, column: usize, out: &mut Vec<f64>) {
        self.column(column, out);
        out.sort_unstable_by(f64::total_cmp);
    }

    /// A window of another size with the newest rows of this one.
    pub fn resized(&self, capacity: usize) -> Self {
        let mut other = Self::new(capacity, self.width);
        let start = (self.next + self.capacity - self.len) % self.capacity;
        for k in 0..self.len {
            let i = (start + k) % self.capacity;
            other.push(self.times[i], &self.values[i * self.width..(i + 1) * self.width]);
        }
        other
    }

    pub fn clear(&mut self) {
        self.len = 0;
        self.next = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_newest_rows_and_resizes() {
        let mut w = Window::new(3, 2);
        for i in 0..5 {
            w.push(Timestamp::from_nanos(i), &[i as f64, f64::NAN]);
        }
        let mut column = vec![];
        w.sorted_column(0, &mut column);
        assert_eq!(column, [2.0, 3.0, 4.0]);
        assert_eq!(w.span(), Some((Timestamp::from_nanos(2), Timestamp::from_nanos(4))));
        w.sorted_column(1, &mut column);
        assert!(column.is_empty());
        w.newest(0, 2, &mut column);
        assert_eq!(column, [3.0, 4.0]);
        w.newest(0, 9, &mut column);
        assert_eq!(column, [2.0, 3.0, 4.0]);
        w.newest(1, 1, &mut column);
        assert!(column.len() == 1 && column[0].is_nan());
        w.resized(2).sorted_column(0, &mut column);
        assert_eq!(column, [3.0, 4.0]);
        let bigger = w.resized(9);
        assert_eq!((bigger.len(), bigger.is_full()), (3, false));
    }
}
