//! Least squares for terms in a fixed order, of which the first few may be enough.

/// The factor of weighted normal equations: solves for the first `n` terms, for every `n`, from one factorisation.
///
/// With the Gram matrix `G = X' W X = L L'` and `L u = X' W y`, the leading block of `L` is the factor for the first terms alone:
/// their coefficients solve `L_n' c = u_n`, and each term takes `u_i^2` off the sum of squares.
pub(super) struct LeastSquares {
    terms: usize,
    /// Lower triangle, row by row in a full square.
    factor: Vec<f64>,
    u: Vec<f64>,
    squares: f64,
}

/// A term of which less than this share is left after the terms before it is taken for a combination of them, and left out.
const DEPENDENT: f64 = 1e-10;

impl LeastSquares {
    /// `design` holds `width` values a row, of which the first `terms` are used; rows without weight do not count.
    pub fn new(design: &[f64], width: usize, terms: usize, y: &[f64], weights: &[f64]) -> Self {
        let mut factor = vec![0.0; terms * terms];
        let mut u = vec![0.0; terms];
        let mut squares = 0.0;
        for ((x, y), w) in design.chunks_exact(width).zip(y).zip(weights).filter(|(_, w)| **w > 0.0) {
            for i in 0..terms {
                let weighted = w * x[i];
                for j in 0..=i {
                    factor[i * terms + j] += weighted * x[j];
                }
                u[i] += weighted * y;
            }
            squares += w * y * y;
        }
        let mut this = Self { terms, factor, u, squares };
        this.factorise();
        this
    }

    /// Cholesky, in place; a dependent term gets a zero on the diagonal.
    fn factorise(&mut self) {
        let n = self.terms;
        for i in 0..n {
            let whole = self.factor[i * n + i];
            for j in 0..=i {
                let sum: f64 = (0..j).map(|k| self.factor[i * n + k] * self.factor[j * n + k]).sum();
                let rest = self.factor[i * n + j] - sum;
                self.factor[i * n + j] =
                    if i == j { if rest > DEPENDENT * whole { rest.sqrt() } else { 0.0 } } else { divide(rest, self.factor[j * n + j]) };
            }
            let sum: f64 = (0..i).map(|k| self.factor[i * n + k] * self.u[k]).sum();
            self.u[i] = divide(self.u[i] - sum, self.factor[i * n + i]);
        }
    }

    /// How many of the first `n` terms are independent.
    pub fn rank(&self, n: usize) -> usize {
        (0..n).filter(|i| self.factor[i * self.terms + i] > 0.0).count()
    }

    /// Weighted sum of squared residuals with the first `n` terms; not negative.
    pub fn residual(&self, n: usize) -> f64 {
        (self.squares - self.u[..n].iter().map(|u| u * u).sum::<f64>()).max(0.0)
    }

    /// Coefficients of the first `n` terms.
    pub fn solve(&self, n: usize) -> Vec<f64> {
        let mut c = vec![0.0; n];
        for i in (0..n).rev() {
            let sum: f64 = (i + 1..n).map(|k| self.factor[k * self.terms + i] * c[k]).sum();
            c[i] = divide(self.u[i] - sum, self.factor[i * self.terms + i]);
        }
        c
    }
}

/// 0 for a term that is left out.
fn divide(x: f64, diagonal: f64) -> f64 {
    if diagonal > 0.0 { x / diagonal } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows `1, x, x^2, 2x + 1, x^3`: the fourth term is dependent.
    fn design(xs: &[f64]) -> Vec<f64> {
        xs.iter().flat_map(|x| [1.0, *x, x * x, 2.0 * x + 1.0, x * x * x]).collect()
    }

    #[test]
    fn every_prefix_is_solved_and_a_dependent_term_left_out() {
        let xs: Vec<f64> = (0..40).map(|i| f64::from(i) / 20.0 - 1.0).collect();
        let y: Vec<f64> = xs.iter().map(|x| 3.0 - 2.0 * x + 0.5 * x * x * x).collect();
        let fit = LeastSquares::new(&design(&xs), 5, 5, &y, &[1.0; 40]);
        assert_eq!([fit.rank(1), fit.rank(4), fit.rank(5)], [1, 3, 4]);
        let wanted = [3.0, -2.0, 0.0, 0.0, 0.5];
        assert!(fit.solve(5).iter().zip(wanted).all(|(c, w)| (c - w).abs() < 1e-10), "{:?}", fit.solve(5));
        assert!(fit.residual(5) < 1e-12);
        // The first two terms alone are the straight line through the rows.
        let line = fit.solve(2);
        let residuals: Vec<f64> = xs.iter().zip(&y).map(|(x, y)| y - line[0] - line[1] * x).collect();
        assert!(residuals.iter().sum::<f64>().abs() < 1e-10);
        assert!(residuals.iter().zip(&xs).map(|(r, x)| r * x).sum::<f64>().abs() < 1e-10);
        assert!((fit.residual(2) - residuals.iter().map(|r| r * r).sum::<f64>()).abs() < 1e-10);
    }

    #[test]
    fn rows_without_weight_do_not_count() {
        let xs = [0.0, 1.0, 2.0, 3.0];
        let fit = LeastSquares::new(&design(&xs), 5, 2, &[1.0, 2.0, 3.0, 1e9], &[1.0, 1.0, 1.0, 0.0]);
        assert!(fit.solve(2).iter().all(|c| (c - 1.0).abs() < 1e-12));
    }
}
