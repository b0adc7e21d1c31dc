//! Which columns are settings, and the values they are set to.

use serde::Serialize;

use super::combinations::Combinations;
use super::data::{Data, Key, Values, number};
use super::groups::{self, Cluster, tidy};
use super::names::{self, Hint};
use crate::comparison::Setting;

/// Regimes that a machine can have (`regime_slots`).
pub const MOST_REGIMES: usize = 64;
/// Rows that a regime needs by default (`min_reference_rows`).
pub const REGIME_ROWS: usize = 200;
/// Texts of more classes are no setting.
const MOST_CLASSES: usize = 64;
/// Settings that are proposed at most: by their name, and by their values alone.
const MOST_HINTED: usize = 6;
const MOST_UNHINTED: usize = 3;
/// A column says nothing new where this share of rows has the value that goes with the other settings.
const FOLLOWS: f64 = 0.9;
/// Groups wider than this against their distance are measured, not set.
const LOOSE: f64 = 0.3;
/// A value that counts has this share of the rows.
const COUNTS: f64 = 0.01;
/// Visits shorter than this are no setting that is held.
const HELD_ROWS: f64 = 10.0;
/// Codes of classes are whole numbers up to this.
const HIGHEST_CODE: f64 = 64.0;

/// No group.
pub(super) const NONE: u32 = u32::MAX;

/// How a setting's values become regimes: the keys of the configuration.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// Each value is a class.
    Category,
    /// Values within so much of a centre are the same.
    Tolerance(f64),
    /// Edges of half-open bins.
    Bins(Vec<f64>),
}

/// Who says that a column is a setting.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Chosen {
    /// The user.
    Named,
    /// Its values and its name look like it.
    Detected,
}

/// One value, or range of values, of a setting.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Level {
    /// As in the name of a regime: `164`, `A`, `[0, 200)`.
    pub value: String,
    /// Lowest and highest number in it; `None` for texts.
    pub low: Option<f64>,
    pub high: Option<f64>,
    pub rows: usize,
}

/// A setting with its values.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SettingProfile {
    pub name: String,
    pub chosen: Chosen,
    pub condition: Condition,
    pub levels: Vec<Level>,
    /// Rows that belong to no level: on the way from one to another.
    pub rows_between: usize,
    pub rows_missing: usize,
}

/// A column whose rows are sorted into levels.
#[derive(Clone, Debug)]
pub(super) struct Grouped {
    pub column: usize,
    pub hint: Hint,
    /// Width of its groups against their distance: 0 for exact values.
    looseness: f64,
    pub profile: SettingProfile,
    /// Level by row; [`NONE`] where there is none.
    pub of_row: Vec<u32>,
}

/// The settings, and what only looks like one.
pub(super) struct Found {
    pub settings: Vec<Grouped>,
    /// Columns with few values that follow the chosen settings, or make too many combinations.
    pub also: Vec<usize>,
}

/// Sorts the rows of the named settings.
pub(super) fn named(data: &Data<'_>, settings: &[Setting], categorical: &[String]) -> Found {
    let group = |setting: &Setting| {
        let column = data.find(&setting.name)?;
        let values = &data.columns[column];
        let sorted = values.sorted();
        let grouped = match setting.tolerance {
            Some(tolerance) => by_tolerance(values, within(&sorted, tolerance), tolerance),
            None if categorical.contains(&setting.name) => by_class(values),
            None => group(values, &sorted, true).or_else(|| by_class(values)),
        };
        let (condition, levels, of_row) = grouped?;
        Some(finish(data, column, Chosen::Named, condition, levels, of_row))
    };
    Found { settings: settings.iter().filter_map(group).collect(), also: Vec::new() }
}

/// Chooses settings among `columns` (none of them time, unit, constant or label).
pub(super) fn detect(data: &Data<'_>, columns: &[usize], series: &[Vec<usize>]) -> Found {
    let mut candidates: Vec<Grouped> = columns.iter().filter_map(|c| candidate(data, *c, series)).collect();
    // the order of the file where the rest is the same
    candidates.sort_by(|a, b| b.hint.cmp(&a.hint).then(a.looseness.total_cmp(&b.looseness)));
    let mut found = Found { settings: Vec::new(), also: Vec::new() };
    for candidate in candidates {
        let hinted = candidate.hint > Hint::None;
        let most = if hinted {
            MOST_HINTED
        } else {
            MOST_HINTED.min(MOST_UNHINTED + found.settings.iter().filter(|s| s.hint > Hint::None).count())
        };
        let before = Combinations::of(&found.settings, series, data.rows);
        let is_first = found.settings.is_empty();
        let tells_nothing = !hinted && !is_first && before.purity(&candidate.of_row) >= FOLLOWS;
        let column = candidate.column;
        found.settings.push(candidate);
        let after = Combinations::of(&found.settings, series, data.rows);
        let too_many = after.list.len() > MOST_REGIMES;
        // combinations that were held, and no longer are: a measured value that moves within them
        let breaks = !hinted && !is_first && before.is_held(HELD_ROWS) && !after.is_held(HELD_ROWS);
        if tells_nothing || too_many || breaks || found.settings.len() > most {
            found.settings.pop();
            found.also.push(column);
        }
    }
    found.settings.sort_by_key(|s| s.column);
    found
}

fn candidate(data: &Data<'_>, column: usize, series: &[Vec<usize>]) -> Option<Grouped> {
    let values = &data.columns[column];
    let by_file = constant_in_each_file(data, values);
    let hint = if by_file { Hint::Strong } else { names::setting(values.name) };
    let sorted = values.sorted();
    let (condition, levels, of_row) = group(values, &sorted, hint == Hint::Strong)?;
    let mut grouped = finish(data, column, Chosen::Detected, condition, levels, of_row);
    let mut clusters = groups::clusters(&sorted).filter(|_| matches!(grouped.profile.condition, Condition::Tolerance(_)));
    if hint == Hint::None
        && !is_held(&grouped, series)
        && let Some(coarse) = clusters.as_deref().and_then(|c| groups::coarser(&sorted, c))
    {
        let (condition, levels, of_row) = by_tolerance(values, coarse.clone(), groups::tolerance(&coarse)?)?;
        grouped = finish(data, column, Chosen::Detected, condition, levels, of_row);
        clusters = Some(coarse);
    }
    let looseness = clusters.as_deref().map_or(0.0, groups::looseness);
    if hint == Hint::None && looseness > LOOSE {
        return None;
    }
    let rows = grouped.profile.levels.iter().map(|l| l.rows);
    let total: usize = rows.clone().sum();
    let real = rows.filter(|r| *r as f64 >= COUNTS * total as f64 && *r > 1).count();
    let held = by_file || hint > Hint::None && !matches!(grouped.profile.condition, Condition::Bins(_)) || !toggles(&grouped, series);
    (real >= 2 && held && total > 0).then_some(Grouped { hint, looseness, ..grouped })
}

fn is_held(grouped: &Grouped, series: &[Vec<usize>]) -> bool {
    Combinations::of(std::slice::from_ref(grouped), series, grouped.of_row.len()).is_held(HELD_ROWS)
}

/// Given with the files, or recorded once for each.
fn constant_in_each_file(data: &Data<'_>, values: &Values<'_>) -> bool {
    data.starts.len() > 2 && data.starts.windows(2).all(|w| (w[0]..w[1]).all(|row| values.key(row) == values.key(w[0])))
}

/// Few neighbouring values that change all the time: a coarse sensor, a pulse; or bins of a quantity that moves all the time.
fn toggles(grouped: &Grouped, series: &[Vec<usize>]) -> bool {
    if is_held(grouped, series) {
        return false;
    }
    let levels = &grouped.profile.levels;
    let centres: Option<Vec<f64>> = levels.iter().map(|l| Some(f64::midpoint(l.low?, l.high?))).collect();
    let Some(centres) = centres.filter(|c| c.len() > 3) else { return true };
    let gaps: Vec<f64> = centres.windows(2).map(|w| w[1] - w[0]).collect();
    let least = gaps.iter().copied().fold(f64::MAX, f64::min);
    // steps of a sensor are all the same, but where values are rare
    let same = gaps.iter().filter(|g| **g < 1.5 * least).count();
    matches!(grouped.profile.condition, Condition::Bins(_)) || same * 2 >= gaps.len()
}

type Levels = (Condition, Vec<Level>, Vec<u32>);

/// `continuous`: a quantity without groups is cut into bins.
fn group(values: &Values<'_>, sorted: &[f64], continuous: bool) -> Option<Levels> {
    let (numbers, texts) = values.counts();
    if texts > 0 && texts * 20 > numbers + texts {
        return by_class(values);
    }
    match groups::clusters(sorted) {
        Some(clusters) if are_codes(&clusters) => by_class(values),
        Some(clusters) if clusters.len() > 1 || clusters.iter().all(|c| c.low == c.high) => {
            let tolerance = groups::tolerance(&clusters)?;
            by_tolerance(values, clusters, tolerance)
        }
        _ if continuous => by_bins(values, groups::bins(sorted, 2 * REGIME_ROWS)?),
        _ => None,
    }
}

/// Whole numbers in a row: program 1, 2, 3.
fn are_codes(clusters: &[Cluster]) -> bool {
    let whole = clusters.iter().all(|c| c.low == c.high && c.low.fract() == 0.0 && (0.0..=HIGHEST_CODE).contains(&c.low));
    let (first, last) = (clusters.first().map_or(0.0, |c| c.low), clusters.last().map_or(0.0, |c| c.low));
    clusters.len() > 1 && whole && last - first < 2.0 * clusters.len() as f64
}

fn by_class(values: &Values<'_>) -> Option<Levels> {
    let mut counts: std::collections::BTreeMap<Key, u32> = std::collections::BTreeMap::new();
    for key in (0..values.numbers.len()).filter_map(|row| values.key(row)) {
        *counts.entry(key).or_default() += 1;
        if counts.len() > MOST_CLASSES {
            return None;
        }
    }
    // texts in their order, not in that of their appearance
    let mut keys: Vec<Key> = counts.keys().copied().collect();
    keys.sort_by(|a, b| if a.0 && b.0 { values.show(*a).cmp(&values.show(*b)) } else { a.cmp(b) });
    let level = |key: &Key| {
        let x = (!key.0).then(|| number(*key));
        Level { value: values.show(*key), low: x, high: x, rows: counts[key] as usize }
    };
    let at: std::collections::HashMap<Key, u32> = keys.iter().enumerate().map(|(i, k)| (*k, i as u32)).collect();
    let of_row = (0..values.numbers.len()).map(|row| values.key(row).map_or(NONE, |k| at[&k])).collect();
    Some((Condition::Category, keys.iter().map(level).collect(), of_row))
}

/// Groups of a given tolerance, as `compare` makes them: values within twice the tolerance from the lowest.
fn within(sorted: &[f64], tolerance: f64) -> Vec<Cluster> {
    let mut rest = sorted;
    let mut clusters = Vec::new();
    while let Some(first) = rest.first() {
        let end = rest.partition_point(|x| x - first <= 2.0 * tolerance).max(1);
        clusters.push(Cluster { low: *first, high: rest[end - 1], centre: f64::midpoint(*first, rest[end - 1]), rows: end });
        rest = &rest[end..];
    }
    clusters
}

fn by_tolerance(values: &Values<'_>, clusters: Vec<Cluster>, tolerance: f64) -> Option<Levels> {
    if clusters.is_empty() {
        return None;
    }
    let locate = |x: &f64| {
        let next = clusters.partition_point(|c| c.centre < *x);
        let near = [next.checked_sub(1), Some(next)].into_iter().flatten().filter(|i| *i < clusters.len());
        let best = near.min_by(|a, b| (clusters[*a].centre - x).abs().total_cmp(&(clusters[*b].centre - x).abs()))?;
        ((clusters[best].centre - x).abs() <= tolerance * (1.0 + 1e-9)).then_some(best as u32)
    };
    let of_row: Vec<u32> = values.numbers.iter().map(|x| if x.is_finite() { locate(x).unwrap_or(NONE) } else { NONE }).collect();
    let mut levels: Vec<Level> =
        clusters.iter().map(|c| Level { value: rounded(c.centre, tolerance), low: Some(c.low), high: Some(c.high), rows: 0 }).collect();
    count(&mut levels, &of_row);
    Some((Condition::Tolerance(tolerance), levels, of_row))
}

fn by_bins(values: &Values<'_>, edges: Vec<f64>) -> Option<Levels> {
    let locate = |x: &f64| match edges.partition_point(|e| e <= x) {
        0 => NONE,
        i if i < edges.len() => i as u32 - 1,
        _ => NONE,
    };
    let of_row: Vec<u32> = values.numbers.iter().map(|x| if x.is_finite() { locate(x) } else { NONE }).collect();
    let level = |w: &[f64]| Level { value: format!("[{}, {})", w[0], w[1]), low: Some(w[0]), high: Some(w[1]), rows: 0 };
    let mut levels: Vec<Level> = edges.windows(2).map(level).collect();
    count(&mut levels, &of_row);
    Some((Condition::Bins(edges), levels, of_row))
}

fn count(levels: &mut [Level], of_row: &[u32]) {
    for level in of_row.iter().filter(|l| **l != NONE) {
        levels[*level as usize].rows += 1;
    }
}

/// As fine as the tolerance can tell apart.
fn rounded(x: f64, tolerance: f64) -> String {
    let decimals = (-tolerance.log10()).ceil().clamp(0.0, 12.0) as usize;
    let text = format!("{x:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_string() } else { text };
    match text.as_str() {
        _ if tolerance < 1e-12 => tidy(x).to_string(),
        "-0" => "0".to_string(),
        _ => text,
    }
}

fn finish(data: &Data<'_>, column: usize, chosen: Chosen, condition: Condition, levels: Vec<Level>, of_row: Vec<u32>) -> Grouped {
    let values = &data.columns[column];
    let rows_missing = (0..data.rows).filter(|row| values.key(*row).is_none()).count();
    let placed = of_row.iter().filter(|l| **l != NONE).count();
    let profile = SettingProfile {
        name: values.name.to_string(),
        chosen,
        condition,
        levels,
        rows_between: data.rows - placed - rows_missing,
        rows_missing,
    };
    Grouped { column, hint: Hint::None, looseness: 0.0, profile, of_row }
}
