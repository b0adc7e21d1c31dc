//! One column: its kind and role, gaps, distribution, behaviour in time.

use std::collections::HashMap;

use serde::Serialize;

use super::combinations::Explained;
use super::data::{Data, Key, Values};
use super::names;
use super::numbers::{self, Numbers, quantile};
use super::order::Order;
use crate::comparison;
use crate::drift::metric::Kind;

/// Most frequent values that are listed.
const TOP: usize = 10;
/// Slices of the rows in the map of gaps.
const SLICES: usize = 100;
/// Texts that differ in more than every tenth row are identifiers, from this number of different ones on.
const IDENTIFIERS_FROM: usize = 64;
/// Values beyond so many quartile ranges from the quartiles are outliers.
const OUTLIER: f64 = 3.0;
/// A unit has so many rows on average, at least.
const ROWS_A_UNIT: usize = 5;

/// What a column is in the machine's story.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Time,
    /// Tells machines apart.
    Unit,
    /// A value the machine is set to.
    Setting,
    /// A measured value.
    Signal,
    /// Classes that are no setting.
    Class,
    /// Rises by the same step in every row.
    Counter,
    /// What is known of the truth: anomaly, fault, remaining life.
    Label,
    /// One value only.
    Constant,
    /// No value.
    Empty,
    /// Texts that hardly repeat.
    Identifier,
}

/// Gaps of a column.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Missing {
    /// Rows without a value; infinite numbers are among them.
    pub count: usize,
    /// Of all rows, 0 to 1.
    pub share: f64,
    /// Stretches of missing rows, and the longest.
    pub runs: usize,
    pub longest_run: usize,
    /// Share in each hundredth of the rows; `None` where nothing is missing.
    pub map: Option<Vec<f64>>,
}

/// A value with the rows that hold it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Top {
    pub value: String,
    pub count: usize,
}

/// The profile of one column.
#[derive(Clone, Debug, Serialize)]
pub struct ColumnProfile {
    pub name: String,
    pub kind: Kind,
    pub role: Role,
    /// Rows with a value.
    pub n: usize,
    pub missing: Missing,
    /// Cells that held an infinite number, and texts in a column of numbers.
    pub infinite: usize,
    pub texts: usize,
    pub distinct: usize,
    /// The most frequent values of a column of classes.
    pub top: Vec<Top>,
    pub numbers: Option<Numbers>,
    /// Numbers far outside the quartiles of their combination of settings; `None` where the quartiles are one.
    pub outliers: Option<usize>,
    /// Share of rows with the value of the row before, and the longest stretch of rows with one value.
    pub repeated: f64,
    pub longest_hold: usize,
    /// What the settings explain of it; `None` without settings.
    pub settings: Option<Explained>,
    /// Its behaviour in time at unchanged settings; `None` where it does not vary or has too few rows.
    pub order: Option<Order>,
}

/// What a column is before settings are looked for.
pub(super) struct Basics {
    pub kind: Kind,
    pub distinct: usize,
    pub counts: (usize, usize),
    pub sorted: Vec<f64>,
}

impl Basics {
    pub fn of(values: &Values<'_>, numerical: bool, categorical: bool) -> Self {
        let sorted = values.sorted();
        let counts = values.counts();
        let distinct = sorted.windows(2).filter(|w| w[0] != w[1]).count() + usize::from(!sorted.is_empty());
        let kind = match (numerical, categorical) {
            (true, _) => Kind::Numerical,
            (_, true) => Kind::Categorical,
            _ => comparison::kind_of(counts.0, counts.1, distinct),
        };
        // texts among numbers are gaps
        let distinct = if kind == Kind::Numerical { distinct } else { distinct + values.labels.len() };
        Self { kind, distinct, counts, sorted }
    }

    /// Its role by its values and name alone.
    pub fn role(&self, values: &Values<'_>, series: &[Vec<usize>]) -> Role {
        let n = if self.kind == Kind::Numerical { self.counts.0 } else { self.counts.0 + self.counts.1 };
        let mostly_text = self.counts.1 > self.counts.0;
        match self.distinct {
            _ if n == 0 => Role::Empty,
            1 => Role::Constant,
            _ if names::label(values.name, self.distinct) => Role::Label,
            _ if is_counter(&values.numbers, series) => Role::Counter,
            d if mostly_text && d > IDENTIFIERS_FROM && d * 10 > n => Role::Identifier,
            _ if self.kind == Kind::Categorical => Role::Class,
            _ => Role::Signal,
        }
    }
}

fn is_counter(numbers: &[f64], series: &[Vec<usize>]) -> bool {
    let steps: Vec<f64> = series.iter().flat_map(|rows| rows.windows(2)).map(|w| numbers[w[1]] - numbers[w[0]]).collect();
    let Some(first) = steps.first().copied().filter(|s| *s > 0.0) else { return false };
    let same = steps.iter().filter(|s| (**s - first).abs() <= 1e-6 * first).count();
    steps.len() >= 10 && same as f64 >= 0.999 * steps.len() as f64
}

/// The column that tells units apart: by its name, and by values that stay for whole stretches.
pub(super) fn find_unit(data: &Data<'_>, basics: &[Basics]) -> Option<usize> {
    let fits = |column: &usize| {
        let (values, basics) = (&data.columns[*column], &basics[*column]);
        let hint = names::unit(values.name);
        let whole = basics.sorted.iter().all(|x| x.fract() == 0.0 && x.abs() < 1e9);
        let complete = basics.counts.0 + basics.counts.1 == data.rows;
        let few = basics.distinct >= 2 && basics.distinct * ROWS_A_UNIT <= data.rows;
        hint > names::Hint::None && whole && complete && few && (hint == names::Hint::Strong || stretches(data, values) == basics.distinct)
    };
    (0..data.columns.len()).find(fits)
}

/// Stretches of rows with one value, files apart.
fn stretches(data: &Data<'_>, values: &Values<'_>) -> usize {
    (0..data.rows).filter(|row| *row == 0 || values.key(*row) != values.key(row - 1)).count()
}

/// `residuals`: at unchanged settings, one a row.
pub(super) fn profile(
    data: &Data<'_>,
    values: &Values<'_>,
    basics: &Basics,
    role: Role,
    series: &[Vec<usize>],
    residuals: &[f64],
    (settings, order): (Option<Explained>, Option<Order>),
) -> ColumnProfile {
    let numerical = basics.kind == Kind::Numerical;
    let key = |row: usize| values.key(row).filter(|k| !(numerical && k.0));
    let (repeated, longest_hold) = holds(key, series);
    ColumnProfile {
        name: values.name.to_string(),
        kind: basics.kind,
        role,
        n: if numerical { basics.counts.0 } else { basics.counts.0 + basics.counts.1 },
        missing: missing(|row| values.key(row).is_none(), data.rows, series),
        infinite: values.infinite,
        texts: if numerical { basics.counts.1 } else { 0 },
        distinct: basics.distinct,
        top: if numerical { Vec::new() } else { top(values) },
        numbers: numbers::numbers(&basics.sorted),
        outliers: if numerical { outliers(residuals) } else { None },
        repeated,
        longest_hold,
        settings,
        order,
    }
}

fn missing(is_missing: impl Fn(usize) -> bool, rows: usize, series: &[Vec<usize>]) -> Missing {
    let count = (0..rows).filter(|row| is_missing(*row)).count();
    if count == 0 {
        return Missing::default();
    }
    let (mut runs, mut longest_run) = (0, 0);
    for rows in series {
        let mut run = 0;
        for row in rows {
            run = if is_missing(*row) { run + 1 } else { 0 };
            runs += usize::from(run == 1);
            longest_run = longest_run.max(run);
        }
    }
    let slices = SLICES.min(rows);
    let slice = |i: usize| {
        let (from, to) = (i * rows / slices, (i + 1) * rows / slices);
        let share = (from..to).filter(|row| is_missing(*row)).count() as f64 / (to - from).max(1) as f64;
        (share * 1e3).round() / 1e3
    };
    Missing { count, share: count as f64 / rows as f64, runs, longest_run, map: Some((0..slices).map(slice).collect()) }
}

fn top(values: &Values<'_>) -> Vec<Top> {
    let mut counts: HashMap<Key, usize> = HashMap::new();
    (0..values.numbers.len()).filter_map(|row| values.key(row)).for_each(|key| *counts.entry(key).or_default() += 1);
    let mut counts: Vec<(Key, usize)> = counts.into_iter().collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    counts.truncate(TOP);
    counts.into_iter().map(|(key, count)| Top { value: values.show(key), count }).collect()
}

fn holds(key: impl Fn(usize) -> Option<Key>, series: &[Vec<usize>]) -> (f64, usize) {
    let (mut repeated, mut pairs, mut longest) = (0, 0, 0);
    for rows in series {
        let (mut run, mut before) = (0, None);
        for row in rows {
            let now = key(*row);
            pairs += usize::from(before.is_some() && now.is_some());
            run = match now {
                None => 0,
                Some(_) if now == before => {
                    repeated += 1;
                    run + 1
                }
                Some(_) => 1,
            };
            longest = longest.max(run);
            before = now;
        }
    }
    (repeated as f64 / pairs.max(1) as f64, longest)
}

fn outliers(residuals: &[f64]) -> Option<usize> {
    let mut sorted: Vec<f64> = residuals.iter().copied().filter(|x| x.is_finite()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let (q1, q3) = (quantile(&sorted, 0.25), quantile(&sorted, 0.75));
    let reach = OUTLIER * (q3 - q1);
    (reach > 0.0).then(|| sorted.partition_point(|x| *x < q1 - reach) + sorted.len() - sorted.partition_point(|x| *x <= q3 + reach))
}
