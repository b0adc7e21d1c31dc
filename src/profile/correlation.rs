//! Correlations of all pairs of columns.

use serde::Serialize;

/// Rows that correlations are taken from at most, evenly spaced.
pub const CORRELATED_ROWS: usize = 5_000;
/// Columns that a matrix has at most: the first ones of the file.
pub const CORRELATED_COLUMNS: usize = 100;
/// Pairs of values that a correlation needs.
const FEW: usize = 3;

/// Correlation matrices, row by row; `None` where a pair has too few common values, or one of them does not vary.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Correlations {
    pub columns: Vec<String>,
    /// Columns beyond the first hundred.
    pub columns_left_out: usize,
    /// Rows used, evenly spaced over all.
    pub rows_used: usize,
    pub pearson: Vec<Vec<Option<f64>>>,
    pub spearman: Vec<Vec<Option<f64>>>,
    /// Pearson's of the residuals within the combinations of settings: what goes together when the settings stay. `None` without settings.
    pub within: Option<Vec<Vec<Option<f64>>>>,
}

/// A column to correlate.
pub(super) struct Correlated<'a> {
    pub name: &'a str,
    pub numbers: &'a [f64],
    /// Empty where there are no combinations.
    pub residuals: &'a [f64],
}

pub(super) fn correlations(columns: &[Correlated<'_>], rows: usize, conditioned: bool) -> Correlations {
    let used = &columns[..columns.len().min(CORRELATED_COLUMNS)];
    let step = rows.div_ceil(CORRELATED_ROWS).max(1);
    let thin = |values: &[f64]| values.iter().step_by(step).copied().collect::<Vec<f64>>();
    let numbers: Vec<Vec<f64>> = used.iter().map(|c| thin(c.numbers)).collect();
    let residuals: Vec<Vec<f64>> = used.iter().map(|c| thin(c.residuals)).collect();
    Correlations {
        columns: used.iter().map(|c| c.name.to_string()).collect(),
        columns_left_out: columns.len() - used.len(),
        rows_used: rows.div_ceil(step),
        pearson: matrix(&numbers, |a, b| pearson(a, b)),
        within: conditioned.then(|| matrix(&residuals, |a, b| pearson(a, b))),
        spearman: matrix(&numbers.into_iter().map(|values| Ranked { ranks: ranks(&values), values }).collect::<Vec<_>>(), spearman),
    }
}

struct Ranked {
    values: Vec<f64>,
    ranks: Vec<f64>,
}

fn matrix<T>(columns: &[T], of: impl Fn(&T, &T) -> Option<f64>) -> Vec<Vec<Option<f64>>> {
    let mut matrix = vec![vec![None; columns.len()]; columns.len()];
    for a in 0..columns.len() {
        for b in a..columns.len() {
            let r = of(&columns[a], &columns[b]);
            (matrix[a][b], matrix[b][a]) = (r, r);
        }
    }
    matrix
}

/// Of the rows where both are there.
fn pearson(a: &[f64], b: &[f64]) -> Option<f64> {
    let pairs = || a.iter().zip(b).filter(|(x, y)| x.is_finite() && y.is_finite()).map(|(x, y)| (*x, *y));
    let largest = |of: fn((f64, f64)) -> f64| pairs().map(of).fold(0.0f64, |m, x| m.max(x.abs()));
    let (sx, sy) = (largest(|p| p.0), largest(|p| p.1));
    if sx == 0.0 || sy == 0.0 {
        return None;
    }
    let (mut n, mut mx, mut my) = (0.0, 0.0, 0.0);
    for (x, y) in pairs() {
        n += 1.0;
        mx += x / sx;
        my += y / sy;
    }
    (mx, my) = (mx / n, my / n);
    let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
    for (x, y) in pairs() {
        let (x, y) = (x / sx - mx, y / sy - my);
        xx += x * x;
        xy += x * y;
        yy += y * y;
    }
    // below: rounding of values that do not vary
    if n < FEW as f64 || xx <= 1e-24 * n || yy <= 1e-24 * n {
        return None;
    }
    let r = xy / (xx * yy).sqrt();
    r.is_finite().then(|| r.clamp(-1.0, 1.0))
}

/// Pearson's of the ranks. Where the gaps of two columns differ, the ranks are taken anew over the common rows.
fn spearman(a: &Ranked, b: &Ranked) -> Option<f64> {
    if a.values.iter().zip(&b.values).all(|(x, y)| x.is_finite() == y.is_finite()) {
        return pearson(&a.ranks, &b.ranks);
    }
    let common = |own: &[f64], other: &[f64]| -> Vec<f64> {
        own.iter().zip(other).filter(|(x, y)| x.is_finite() && y.is_finite()).map(|(x, _)| *x).collect()
    };
    pearson(&ranks(&common(&a.values, &b.values)), &ranks(&common(&b.values, &a.values)))
}

/// Mean ranks; NaN stays.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).filter(|i| values[*i].is_finite()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![f64::NAN; values.len()];
    let mut rest = order.as_slice();
    let mut before = 0.0;
    while let Some(first) = rest.first() {
        let ties = rest.iter().take_while(|i| values[**i] == values[*first]).count();
        rest[..ties].iter().for_each(|i| ranks[*i] = before + f64::midpoint(1.0, ties as f64));
        before += ties as f64;
        rest = &rest[ties..];
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(a: &[f64], b: &[f64]) -> Correlations {
        let columns = [Correlated { name: "a", numbers: a, residuals: &[] }, Correlated { name: "b", numbers: b, residuals: &[] }];
        correlations(&columns, a.len(), false)
    }

    #[test]
    fn figures_are_those_of_the_textbook() {
        // scipy.stats.pearsonr and spearmanr
        let found = of(&[1.0, 2.0, 3.0, 4.0, 5.0], &[1.0, 4.0, 9.0, 16.0, 25.0]);
        assert!((found.pearson[0][1].unwrap() - 0.981_104_910_259_484).abs() < 1e-9);
        assert!((found.spearman[0][1].unwrap() - 1.0).abs() < 1e-12);
        assert_eq!(found.pearson[0][0], Some(1.0));
        let ties = of(&[1.0, 2.0, 2.0, 3.0], &[4.0, 1.0, 3.0, 2.0]);
        assert!((ties.spearman[1][0].unwrap() + 0.632_455_532_033_676).abs() < 1e-9);
    }

    #[test]
    fn gaps_constants_and_the_ends_of_the_numbers() {
        let nan = f64::NAN;
        assert_eq!(of(&[1.0, nan, 2.0, nan], &[nan, 1.0, nan, 2.0]).pearson[0][1], None);
        assert_eq!(of(&[0.1; 50], &[1.0; 50]).pearson, vec![vec![None; 2]; 2]);
        let wide: Vec<f64> = (0..50).map(|i| f64::from(i) * 1e307 / 50.0).collect();
        let tiny: Vec<f64> = (0..50).map(|i| -f64::from(i) * 1e-300).collect();
        assert!((of(&wide, &tiny).pearson[0][1].unwrap() + 1.0).abs() < 1e-9);
    }

    #[test]
    fn many_rows_are_thinned_and_many_columns_left_out() {
        let values: Vec<f64> = (0..12_000).map(f64::from).collect();
        let columns: Vec<Correlated<'_>> = (0..103).map(|_| Correlated { name: "x", numbers: &values, residuals: &values }).collect();
        let found = correlations(&columns[98..], values.len(), true);
        assert_eq!((found.rows_used, found.within.unwrap().len()), (4_000, 5));
        let few: Vec<f64> = values[..30].to_vec();
        let many: Vec<Correlated<'_>> = (0..103).map(|_| Correlated { name: "x", numbers: &few, residuals: &[] }).collect();
        let found = correlations(&many, few.len(), false);
        assert_eq!((found.columns.len(), found.columns_left_out), (100, 3));
    }
}
