//! Covariance and correlation of columns, row by row.

/// Sums for the covariance of some columns.
#[derive(Clone, Debug)]
pub struct Moments {
    columns: usize,
    n: f64,
    sum: Vec<f64>,
    products: Vec<f64>,
}

impl Moments {
    pub fn new(columns: usize) -> Self {
        Self { columns, n: 0.0, sum: vec![0.0; columns], products: vec![0.0; columns * columns] }
    }

    /// Adds a row of as many values, finite ones.
    pub fn push(&mut self, row: &[f64]) {
        self.n += 1.0;
        for (i, x) in row.iter().enumerate() {
            self.sum[i] += x;
            let products = &mut self.products[i * self.columns..(i + 1) * self.columns];
            for (p, y) in products.iter_mut().zip(row) {
                *p += x * y;
            }
        }
    }

    /// Rows so far.
    pub fn rows(&self) -> f64 {
        self.n
    }

    /// `columns` x `columns`, with divisor n - 1.
    pub fn covariance(&self) -> Vec<f64> {
        let n = self.n.max(1.0);
        let at = |i: usize| (self.products[i] - self.sum[i / self.columns] * self.sum[i % self.columns] / n) / (n - 1.0).max(1.0);
        (0..self.products.len()).map(at).collect()
    }

    /// Pearson's; 0 beside a column that does not vary, 1 on the diagonal.
    pub fn correlation(&self) -> Vec<f64> {
        let c = self.covariance();
        let sd: Vec<f64> = (0..self.columns).map(|k| c[k * self.columns + k].max(0.0).sqrt()).collect();
        let at = |i: usize| {
            let (a, b) = (i / self.columns, i % self.columns);
            if a == b {
                1.0
            } else if sd[a] > 0.0 && sd[b] > 0.0 {
                c[i] / (sd[a] * sd[b])
            } else {
                0.0
            }
        };
        (0..c.len()).map(at).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn covariance_and_correlation_of_three_rows() {
        let mut moments = Moments::new(3);
        [[1.0, 2.0, 5.0], [2.0, 1.0, 5.0], [3.0, 6.0, 5.0]].iter().for_each(|row| moments.push(row));
        assert_eq!(moments.rows(), 3.0);
        assert_eq!(moments.covariance(), [1.0, 2.0, 0.0, 2.0, 7.0, 0.0, 0.0, 0.0, 0.0]);
        let r = 2.0 / 7.0f64.sqrt();
        let expected = [1.0, r, 0.0, r, 1.0, 0.0, 0.0, 0.0, 1.0];
        assert!(moments.correlation().iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-15));
    }
}
