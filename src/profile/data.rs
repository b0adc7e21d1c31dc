//! The rows of all files together, and their order: series of rows that follow one another.

use std::collections::{BTreeMap, HashMap};

use super::{Options, ProfileError};
use crate::comparison::{Column, Entry, Table};

/// The rows of one file.
#[derive(Clone, Debug)]
pub struct Part {
    /// What the file is called in the profile.
    pub name: String,
    pub table: Table,
}

/// A value that can be told from others and sorted: numbers first.
pub(super) type Key = (bool, u64);

/// One column over all files.
pub(super) struct Values<'a> {
    pub name: &'a str,
    /// One a row; NaN where there is no finite number.
    pub numbers: Vec<f64>,
    /// Index into `labels` by row; empty where the column has no text.
    texts: Vec<u32>,
    pub labels: Vec<&'a str>,
    /// Cells that held an infinite number.
    pub infinite: usize,
}

const NO_TEXT: u32 = u32::MAX;

impl<'a> Values<'a> {
    fn new(name: &'a str, rows: usize) -> Self {
        Self { name, numbers: Vec::with_capacity(rows), texts: Vec::new(), labels: Vec::new(), infinite: 0 }
    }

    fn append(&mut self, column: Option<&'a Column>, rows: usize, known: &mut HashMap<&'a str, u32>) {
        let before = self.numbers.len();
        let Some(column) = column else {
            self.numbers.resize(before + rows, f64::NAN);
            if !self.texts.is_empty() {
                self.texts.resize(before + rows, NO_TEXT);
            }
            return;
        };
        self.infinite += column.infinite();
        for entry in (0..rows).map(|row| column.get(row)) {
            self.numbers.push(if let Entry::Number(x) = entry { x } else { f64::NAN });
            if let Entry::Text(text) = entry {
                self.texts.resize(self.numbers.len(), NO_TEXT);
                let label = *known.entry(text).or_insert_with(|| {
                    self.labels.push(text);
                    self.labels.len() as u32 - 1
                });
                if let Some(last) = self.texts.last_mut() {
                    *last = label;
                }
            }
        }
        if !self.texts.is_empty() {
            self.texts.resize(self.numbers.len(), NO_TEXT);
        }
    }

    /// The value of a row; `None` where it is missing.
    pub fn key(&self, row: usize) -> Option<Key> {
        if let Some(label) = self.texts.get(row).filter(|l| **l != NO_TEXT) {
            return Some((true, u64::from(*label)));
        }
        let x = self.numbers[row];
        x.is_finite().then(|| (false, ordered(x)))
    }

    /// The text of a row.
    pub fn text(&self, row: usize) -> Option<&'a str> {
        let label = *self.texts.get(row).filter(|l| **l != NO_TEXT)?;
        self.labels.get(label as usize).copied()
    }

    /// What a key stands for.
    pub fn show(&self, key: Key) -> String {
        if key.0 { self.labels.get(key.1 as usize).map_or_else(String::new, |t| (*t).to_string()) } else { number(key).to_string() }
    }

    /// Rows that hold a number; rows that hold a text.
    pub fn counts(&self) -> (usize, usize) {
        let numbers = self.numbers.iter().filter(|x| x.is_finite()).count();
        (numbers, self.texts.iter().filter(|l| **l != NO_TEXT).count())
    }

    /// All finite numbers, ascending.
    pub fn sorted(&self) -> Vec<f64> {
        let mut values: Vec<f64> = self.numbers.iter().copied().filter(|x| x.is_finite()).collect();
        values.sort_unstable_by(f64::total_cmp);
        values
    }
}

/// Bits that ascend like the numbers; -0 is 0.
fn ordered(x: f64) -> u64 {
    let bits = (x + 0.0).to_bits();
    if bits >> 63 == 1 { !bits } else { bits | (1 << 63) }
}

/// The number of a key that is none of a text.
pub(super) fn number(key: Key) -> f64 {
    f64::from_bits(if key.1 >> 63 == 1 { key.1 & !(1 << 63) } else { !key.1 })
}

/// All files as one.
pub(super) struct Data<'a> {
    pub rows: usize,
    pub columns: Vec<Values<'a>>,
    /// First row of each file, and the end of the last.
    pub starts: Vec<usize>,
}

impl<'a> Data<'a> {
    pub fn join(parts: &'a [Part], options: &Options) -> Result<Self, ProfileError> {
        let mut starts = vec![0];
        for part in parts {
            starts.push(starts.last().unwrap_or(&0) + part.table.rows());
        }
        let rows = starts.last().copied().unwrap_or(0);
        if rows == 0 {
            return Err(ProfileError::Empty);
        }
        let mut names: Vec<&'a str> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for column in parts.iter().flat_map(|p| &p.table.columns) {
            if seen.insert(column.name.as_str()) {
                names.push(&column.name);
            }
        }
        check(&names, options)?;
        names.retain(|n| !options.kinds.ignore.iter().any(|i| i == n));
        if names.is_empty() {
            return Err(ProfileError::NoColumns);
        }
        let by_name: Vec<HashMap<&str, &'a Column>> =
            parts.iter().map(|p| p.table.columns.iter().map(|c| (c.name.as_str(), c)).collect()).collect();
        let join = |name: &&'a str| {
            let mut values = Values::new(name, rows);
            let mut known = HashMap::new();
            for (part, columns) in parts.iter().zip(&by_name) {
                values.append(columns.get(name).copied(), part.table.rows(), &mut known);
            }
            values
        };
        Ok(Self { rows, columns: names.iter().map(join).collect(), starts })
    }

    pub fn find(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name == name)
    }

    /// File and row in it (from 0) of a row.
    pub fn place(&self, row: usize) -> (usize, usize) {
        let file = self.starts.partition_point(|s| *s <= row).saturating_sub(1).min(self.starts.len().saturating_sub(2));
        (file, row - self.starts[file])
    }

    /// Rows that follow one another: those of each file, or of each value of the unit column in it; none is empty.
    pub fn series(&self, unit: Option<usize>) -> Vec<Vec<usize>> {
        let mut all = Vec::new();
        for file in self.starts.windows(2) {
            let rows = file[0]..file[1];
            let Some(unit) = unit else {
                all.push(rows.collect());
                continue;
            };
            let mut by_unit: BTreeMap<Option<Key>, usize> = BTreeMap::new();
            let first = all.len();
            for row in rows {
                let count = by_unit.len();
                let at = *by_unit.entry(self.columns[unit].key(row)).or_insert(count);
                if all.len() <= first + at {
                    all.push(Vec::new());
                }
                all[first + at].push(row);
            }
        }
        all.retain(|rows| !rows.is_empty());
        all
    }
}

fn check(names: &[&str], options: &Options) -> Result<(), ProfileError> {
    let kinds = &options.kinds;
    let settings = options.settings.iter().flatten().map(|s| &s.name);
    let named = kinds.numerical.iter().chain(&kinds.categorical).chain(&kinds.ignore).chain(settings);
    let mut named = named.chain(&options.unit_column).chain(&options.time_column);
    if let Some(column) = named.find(|n| !names.contains(&n.as_str())) {
        let has = names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
        return Err(ProfileError::NoColumn { column: column.clone(), has });
    }
    let used = options.settings.iter().flatten().map(|s| &s.name).chain(&options.unit_column).chain(&options.time_column);
    let mut claims: Vec<&String> = used.chain(&kinds.ignore).collect();
    claims.sort();
    if let Some(pair) = claims.windows(2).find(|p| p[0] == p[1]) {
        return Err(ProfileError::Twice { column: pair[0].clone() });
    }
    match kinds.numerical.iter().find(|n| kinds.categorical.contains(n)) {
        Some(column) => Err(ProfileError::KindTwice { column: column.clone() }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(name: &str, columns: &[(&str, &[Entry<'_>])]) -> Part {
        let fill = |(name, entries): &(&str, &[Entry<'_>])| {
            let mut column = Column::new(*name);
            entries.iter().for_each(|e| column.push(*e));
            column
        };
        Part { name: name.into(), table: Table { columns: columns.iter().map(fill).collect() } }
    }

    #[test]
    fn files_with_other_columns_are_joined_with_gaps() {
        let (one, two) = (Entry::Number(-1.5), Entry::Text("b"));
        let parts = [part("a", &[("x", &[one, two])]), part("b", &[("y", &[one]), ("x", &[two])])];
        let data = Data::join(&parts, &Options::default()).unwrap();
        let x = &data.columns[0];
        assert_eq!((data.rows, x.counts(), data.columns[1].counts()), (3, (1, 2), (1, 0)));
        assert_eq!((x.key(1), x.text(1), x.show(x.key(0).unwrap())), (x.key(2), Some("b"), "-1.5".to_string()));
        assert_eq!((data.place(0), data.place(1), data.place(2)), ((0, 0), (0, 1), (1, 0)));
    }

    #[test]
    fn series_are_files_or_units_within_files() {
        let entries: Vec<_> = [1.0, 2.0, 1.0].map(Entry::Number).into();
        let parts = [part("a", &[("u", &entries)]), part("b", &[("u", &entries[..1])])];
        let data = Data::join(&parts, &Options::default()).unwrap();
        assert_eq!(data.series(None), [vec![0, 1, 2], vec![3]]);
        assert_eq!(data.series(Some(0)), [vec![0, 2], vec![1], vec![3]]);
    }
}
