//! Combinations of settings with their rows, and what they explain.

use std::collections::HashMap;

use serde::Serialize;

use super::settings::{Grouped, NONE, REGIME_ROWS};

/// One combination of settings: a regime to be.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Combination {
    /// `voltage=164;load=40`
    pub key: String,
    /// The level of each setting, in their order.
    pub levels: Vec<usize>,
    pub rows: usize,
    /// Of all rows, 0 to 1.
    pub share: f64,
    /// How often it was entered, and for how many rows it was held: median and longest.
    pub visits: usize,
    pub visit_rows_median: f64,
    pub visit_rows_longest: usize,
    /// Files or units that were in it.
    pub series: usize,
    /// Rows enough to learn it (200).
    pub enough: bool,
}

/// All combinations, with the rows of each.
pub(super) struct Combinations {
    pub list: Vec<Combination>,
    /// Combination by row; [`NONE`] between levels, or where a setting is missing.
    pub of_row: Vec<u32>,
}

impl Combinations {
    /// In the order of the settings' levels; none without settings.
    pub fn of(settings: &[Grouped], series: &[Vec<usize>], rows: usize) -> Self {
        let mut of_row = vec![NONE; rows];
        if settings.is_empty() {
            return Self { list: Vec::new(), of_row };
        }
        let mut ids: HashMap<Vec<u32>, u32> = HashMap::new();
        let mut levels: Vec<u32> = Vec::with_capacity(settings.len());
        for (row, slot) in of_row.iter_mut().enumerate() {
            levels.clear();
            levels.extend(settings.iter().map(|s| s.of_row[row]));
            if !levels.contains(&NONE) {
                let next = ids.len() as u32;
                *slot = match ids.get(&levels) {
                    Some(id) => *id,
                    None => *ids.entry(levels.clone()).or_insert(next),
                };
            }
        }
        let mut order: Vec<(Vec<u32>, u32)> = ids.into_iter().collect();
        order.sort();
        let mut place = vec![0; order.len()];
        order.iter().enumerate().for_each(|(i, (_, id))| place[*id as usize] = i as u32);
        of_row.iter_mut().filter(|c| **c != NONE).for_each(|c| *c = place[*c as usize]);
        let visits = visits(&of_row, series, order.len());
        let list = order.into_iter().zip(visits).map(|((levels, _), visits)| combination(settings, &levels, visits, rows)).collect();
        Self { list, of_row }
    }

    /// Rows without a combination.
    pub fn rows_outside(&self) -> usize {
        self.of_row.iter().filter(|c| **c == NONE).count()
    }

    /// A visit lasts so many rows, on average.
    pub fn is_held(&self, rows_a_visit: f64) -> bool {
        let visits: usize = self.list.iter().map(|c| c.visits).sum();
        let rows: usize = self.list.iter().map(|c| c.rows).sum();
        rows as f64 >= rows_a_visit * visits as f64
    }

    /// Share of rows that have the most frequent level of another grouping in their combination: 1 where it follows from them.
    pub fn purity(&self, levels: &[u32]) -> f64 {
        let mut counts: HashMap<(u32, u32), usize> = HashMap::new();
        for pair in self.of_row.iter().zip(levels).filter(|(c, l)| **c != NONE && **l != NONE) {
            *counts.entry((*pair.0, *pair.1)).or_default() += 1;
        }
        let mut best: HashMap<u32, usize> = HashMap::new();
        for ((combination, _), count) in &counts {
            let most = best.entry(*combination).or_default();
            *most = (*most).max(*count);
        }
        let total: usize = counts.values().sum();
        if total == 0 { 0.0 } else { best.values().sum::<usize>() as f64 / total as f64 }
    }
}

/// The lengths of a combination's visits, and the series that have some.
#[derive(Clone, Default)]
struct Visits {
    lengths: Vec<usize>,
    series: usize,
}

fn visits(of_row: &[u32], series: &[Vec<usize>], count: usize) -> Vec<Visits> {
    let mut visits = vec![Visits::default(); count];
    let mut seen_in = vec![usize::MAX; count];
    for (s, rows) in series.iter().enumerate() {
        let mut before = NONE;
        for row in rows {
            let now = of_row[*row];
            if now != NONE {
                let at = now as usize;
                match visits[at].lengths.last_mut() {
                    Some(last) if now == before => *last += 1,
                    _ => visits[at].lengths.push(1),
                }
                if seen_in[at] != s {
                    seen_in[at] = s;
                    visits[at].series += 1;
                }
            }
            before = now;
        }
    }
    visits
}

fn combination(settings: &[Grouped], levels: &[u32], mut visits: Visits, total: usize) -> Combination {
    let levels: Vec<usize> = levels.iter().map(|l| *l as usize).collect();
    let part = |(s, l): (&Grouped, &usize)| format!("{}={}", s.profile.name, s.profile.levels[*l].value);
    visits.lengths.sort_unstable();
    let (n, rows) = (visits.lengths.len(), visits.lengths.iter().sum::<usize>());
    let middle = |i: usize| visits.lengths.get(i).copied().unwrap_or(0) as f64;
    Combination {
        key: settings.iter().zip(&levels).map(part).collect::<Vec<_>>().join(";"),
        levels,
        rows,
        share: rows as f64 / total.max(1) as f64,
        visits: n,
        visit_rows_median: f64::midpoint(middle(n.saturating_sub(1) / 2), middle(n / 2)),
        visit_rows_longest: visits.lengths.last().copied().unwrap_or(0),
        series: visits.series,
        enough: rows >= REGIME_ROWS,
    }
}

/// What the settings explain of a signal.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explained {
    /// Share of its variance, 0 to 1, corrected for the number of combinations; `None` where nothing varies.
    pub share: Option<f64>,
    /// Standard deviation within the combinations.
    pub within_sd: Option<f64>,
    /// Largest by smallest standard deviation over the combinations of at least 100 rows in which it varies.
    pub sd_ratio: Option<f64>,
    /// It has one value in each combination: it says nothing that the settings do not say.
    pub constant_within: bool,
    /// Its mean in each combination, in their order, of the first 64; `None` where it has no value.
    pub means: Vec<Option<f64>>,
}

/// Combinations of which means are kept.
const MEANS: usize = 64;

/// Rows that a combination needs for its mean to be one.
const FEW: usize = 10;
/// Rows that a combination needs for its spread to be compared with others'.
const SPREAD_ROWS: usize = 100;

/// A column's numbers less the mean of their combination, in its standard deviations (0 where that is 0); NaN where there is no number
/// or too little to take it from. Without combinations, less the mean of all.
pub(super) fn residuals(numbers: &[f64], combinations: &Combinations) -> (Vec<f64>, Option<Explained>) {
    // in units of the largest value: squares stay in the range of numbers
    let scale = numbers.iter().filter(|x| x.is_finite()).fold(0.0f64, |m, x| m.max(x.abs()));
    let scale = if scale > 0.0 { scale } else { 1.0 };
    let conditioned = !combinations.list.is_empty();
    let slot = |row: usize| if conditioned { combinations.of_row[row] } else { 0 };
    let mut groups = vec![Group::default(); combinations.list.len().max(1)];
    for (row, x) in numbers.iter().enumerate().filter(|(_, x)| x.is_finite()) {
        if let Some(group) = groups.get_mut(slot(row) as usize) {
            group.push(x / scale);
        }
    }
    let residual = |(row, x): (usize, &f64)| match groups.get(slot(row) as usize).filter(|g| g.n >= FEW) {
        Some(group) if x.is_finite() => group.residual(x / scale),
        _ => f64::NAN,
    };
    let residuals = numbers.iter().enumerate().map(residual).collect();
    (residuals, (combinations.list.len() > 1).then(|| explained(&groups, scale)))
}

fn explained(groups: &[Group], scale: f64) -> Explained {
    let used: Vec<&Group> = groups.iter().filter(|g| g.n >= 2).collect();
    let n: f64 = used.iter().map(|g| g.n as f64).sum();
    let k = used.len() as f64;
    let mean = used.iter().map(|g| g.n as f64 * g.mean).sum::<f64>() / n.max(1.0);
    let within: f64 = used.iter().map(|g| if g.is_constant() { 0.0 } else { g.squares }).sum();
    let between: f64 = used.iter().map(|g| g.n as f64 * (g.mean - mean).powi(2)).sum();
    let degrees = n - k;
    let finite = |x: f64| Some(x).filter(|x| x.is_finite());
    let varies = within + between > 1e-24 * n && degrees > 0.0 && k > 1.0;
    let sds = used.iter().filter(|g| g.n >= SPREAD_ROWS && !g.is_constant()).map(|g| g.sd());
    let (low, high) = sds.fold((f64::MAX, 0.0f64), |(low, high), sd| (low.min(sd), high.max(sd)));
    Explained {
        sd_ratio: (low > 0.0 && high > 0.0).then(|| high / low).and_then(finite),
        share: varies.then(|| 1.0 - (within / degrees) / ((within + between) / (n - 1.0))).and_then(finite).map(|x| x.clamp(0.0, 1.0)),
        within_sd: (degrees > 0.0).then(|| (within / degrees).sqrt() * scale).and_then(finite),
        constant_within: varies && used.iter().all(|g| g.is_constant()),
        means: groups.iter().take(MEANS).map(|g| (g.n > 0).then_some(g.mean * scale).and_then(finite)).collect(),
    }
}

/// Mean and squares about it, one value after the other (Welford).
#[derive(Clone, Default)]
struct Group {
    n: usize,
    mean: f64,
    squares: f64,
    low: f64,
    high: f64,
}

impl Group {
    fn push(&mut self, x: f64) {
        if self.n == 0 {
            (self.low, self.high) = (x, x);
        }
        self.n += 1;
        let d = x - self.mean;
        self.mean += d / self.n as f64;
        self.squares += d * (x - self.mean);
        (self.low, self.high) = (self.low.min(x), self.high.max(x));
    }

    fn is_constant(&self) -> bool {
        self.low == self.high
    }

    fn sd(&self) -> f64 {
        (self.squares / (self.n as f64 - 1.0).max(1.0)).sqrt()
    }

    fn residual(&self, x: f64) -> f64 {
        let sd = self.sd();
        if self.is_constant() || sd <= 0.0 { 0.0 } else { (x - self.mean) / sd }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comparison::{Column, Entry, Setting, Table};
    use crate::profile::data::{Data, Part};
    use crate::profile::{Options, settings};

    fn part(columns: &[(&str, Vec<f64>)]) -> Part {
        let fill = |(name, values): &(&str, Vec<f64>)| {
            let mut column = Column::new(*name);
            values.iter().for_each(|x| column.push(Entry::Number(*x)));
            column
        };
        Part { name: "f".into(), table: Table { columns: columns.iter().map(fill).collect() } }
    }

    fn named(data: &Data<'_>, names: &[&str]) -> Combinations {
        let list: Vec<Setting> = names.iter().map(|n| n.parse().unwrap()).collect();
        Combinations::of(&settings::named(data, &list, &[]).settings, &data.series(None), data.rows)
    }

    #[test]
    fn combinations_have_rows_visits_and_lengths() {
        let voltage: Vec<f64> = [vec![164.0; 300], vec![289.0; 100], vec![164.0; 50], vec![230.0; 1], vec![289.0; 100]].concat();
        let n = voltage.len();
        let parts = [part(&[("voltage", voltage), ("x", vec![1.0; n])])];
        let data = Data::join(&parts, &Options::default()).unwrap();
        let found = named(&data, &["voltage~5"]);
        let seen: Vec<_> =
            found.list.iter().map(|c| (c.key.as_str(), c.rows, c.visits, c.visit_rows_median, c.visit_rows_longest, c.enough)).collect();
        assert_eq!(
            seen,
            [("voltage=164", 350, 2, 175.0, 300, true), ("voltage=230", 1, 1, 1.0, 1, false), ("voltage=289", 200, 2, 100.0, 100, true)]
        );
        assert_eq!(found.rows_outside(), 0);
    }

    #[test]
    fn the_share_that_settings_explain_does_not_depend_on_the_unit() {
        for unit in [1e-200, 1.0, 1e200] {
            let load: Vec<f64> = (0..1000).map(|i| f64::from(i / 100 % 2) * 40.0).collect();
            let noise = |i: usize| ((i * 7919) % 101) as f64 / 50.0 - 1.0;
            let moved: Vec<f64> = load.iter().enumerate().map(|(i, l)| (l + noise(i)) * unit).collect();
            let free: Vec<f64> = (0..1000).map(|i| noise(i) * unit).collect();
            let fixed: Vec<f64> = load.iter().map(|l| (l * 3.0 + 1.0) * unit).collect();
            let parts = [part(&[("load", load), ("moved", moved), ("free", free), ("fixed", fixed)])];
            let data = Data::join(&parts, &Options::default()).unwrap();
            let found = named(&data, &["load"]);
            let explained = |c: usize| residuals(&data.columns[c].numbers, &found).1.unwrap();
            assert!(explained(1).share.unwrap() > 0.99 && !explained(1).constant_within);
            assert!(explained(2).share.unwrap() < 0.02);
            let sd = explained(1).within_sd.unwrap() / unit;
            assert!((sd - 0.583).abs() < 0.01, "{sd}");
            assert!(explained(3).constant_within && explained(3).share == Some(1.0));
            let (z, _) = residuals(&data.columns[1].numbers, &found);
            assert!(z.iter().sum::<f64>().abs() < 1e-6 && z.iter().all(|z| z.abs() < 3.0));
        }
    }
}
